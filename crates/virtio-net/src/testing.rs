//! What the tests share: a VM with a synthetic adapter, its driver, and a worker's round between two of them.

pub(crate) mod driver;
pub(crate) mod frames;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ethernet::MacAddr;
use guest_memory::{DmaDomain, Limits, MapRequest, MemoryView};
use port::{Burst, Consumed, FrameMeta, Malformed, Port, Put, Refusal};
use rustix::fs::MemfdFlags;
use sys::Words;

use self::driver::{Driver, Kind, RING_BYTES};
use crate::{AdapterState, DirtyLog, DirtyLogSlot, Features, Notify, Position, Profile, Queues, RingConfig};

pub(crate) const BASE: u64 = 0x10_0000;
/// A second region follows the first without a gap, then a hole, then memory that may only be read.
pub(crate) const SECOND: u64 = BASE + 0x100_0000;
pub(crate) const HOLE: u64 = SECOND + 0x10_0000;
pub(crate) const READ_ONLY: u64 = HOLE + 0x1000;
pub(crate) const TX_BUFFERS: u64 = BASE + 0x60_0000;
pub(crate) const RX_BUFFERS: u64 = BASE + 0xa0_0000;
pub(crate) const PAIRS: u16 = 4;
pub(crate) const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 9]);
pub(crate) const MTU: u16 = 9000;
pub(crate) const NOT_READY: Put = Put::Refused(Refusal::NotReady);

/// Counts interrupts and errors of each ring.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    calls: [AtomicU32; 9],
    errors: [AtomicU32; 9],
}

impl Notify for Counts {
    fn call(&self, ring: usize) {
        self.calls[ring].fetch_add(1, Ordering::Relaxed);
    }

    fn error(&self, ring: usize) {
        self.errors[ring].fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    pub(crate) fn calls(&self, ring: usize) -> u32 {
        self.calls[ring].load(Ordering::Relaxed)
    }

    pub(crate) fn errors(&self, ring: usize) -> u32 {
        self.errors[ring].load(Ordering::Relaxed)
    }
}

/// A VM with a synthetic adapter.
pub(crate) struct Vm {
    pub(crate) domain: Arc<DmaDomain>,
    pub(crate) state: AdapterState,
    pub(crate) notify: Arc<Counts>,
    pub(crate) log: DirtyLogSlot,
    pub(crate) profile: Profile,
    pub(crate) queues: Queues,
}

pub(crate) fn memory() -> Arc<DmaDomain> {
    let domain = DmaDomain::new(Limits::default());
    let regions = [(BASE, SECOND - BASE, true), (SECOND, HOLE - SECOND, true), (READ_ONLY, 0x1000, false)];
    for (iova, size, writable) in regions {
        let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, size).unwrap();
        let request = MapRequest { iova, size, offset: 0, writable, readable: true, fd: fd.as_fd() };
        domain.map(request).unwrap();
    }
    Arc::new(domain)
}

pub(crate) fn kind(features: Features) -> Kind {
    Kind {
        packed: features.contains(Features::RING_PACKED),
        event_idx: features.contains(Features::EVENT_IDX),
        in_order: features.contains(Features::IN_ORDER),
        indirect: features.contains(Features::INDIRECT_DESC),
    }
}

impl Vm {
    /// A VM whose link is up, with these features and VERSION_1.
    pub(crate) fn new(features: Features) -> Self {
        Self::legacy(features | Features::VERSION_1)
    }

    /// As `new`, without VERSION_1.
    pub(crate) fn legacy(features: Features) -> Self {
        let (domain, notify, log) = (memory(), Arc::<Counts>::default(), DirtyLogSlot::default());
        let state = AdapterState::create("adapter", PAIRS, MAC, MTU).unwrap();
        state.set_link_up(true);
        state.set_features(features);
        let profile = Profile::default();
        let queues = make(&state, &domain, &notify, &log, profile);
        Self { domain, state, notify, log, profile, queues }
    }

    /// Drops the data half and makes another over the same state.
    pub(crate) fn reattach(&mut self) {
        self.queues = make(&self.state, &self.domain, &self.notify, &self.log, self.profile);
    }

    pub(crate) fn view(&self) -> MemoryView {
        self.domain.view()
    }

    /// Starts and enables ring number `ring`.
    pub(crate) fn ring(&self, ring: usize, size: u16) -> Driver {
        let features = self.state.features();
        let start = Position::initial(features).available;
        self.ring_at(ring, size, start)
    }

    pub(crate) fn ring_at(&self, ring: usize, size: u16, start: u16) -> Driver {
        let driver = Driver::new(kind(self.state.features()), BASE + ring as u64 * RING_BYTES, size, start);
        if !driver.kind.packed {
            let view = self.view();
            driver.set_index(&view, start);
            view.write_bytes(driver.parts[2] + 2, &start.to_le_bytes()).unwrap();
        }
        self.start(ring, &driver, start);
        driver
    }

    pub(crate) fn start(&self, ring: usize, driver: &Driver, start: u16) {
        let config = RingConfig {
            size: driver.size,
            descriptors: driver.parts[0],
            driver: driver.parts[1],
            device: driver.parts[2],
        };
        self.state.start_ring(ring, config, Position { available: start, used: start }).unwrap();
        self.state.enable_ring(ring, true);
    }

    /// Switches the log on.
    pub(crate) fn log(&self) -> Words {
        let words = Words::heap(usize::try_from((HOLE >> 12).div_ceil(32)).unwrap());
        self.log.store(Some(Arc::new(DirtyLog::new(words.clone()))));
        words
    }

    /// Fetches and gives all of it back; the frames' headers and metadata.
    pub(crate) fn take(&mut self) -> Vec<(Vec<u8>, FrameMeta)> {
        let mut burst = Burst::new();
        self.queues.fetch(&mut burst, 0);
        let frames: Vec<_> =
            (0..burst.len()).map(|n| (burst.frame(n).header().to_vec(), *burst.frame(n).meta())).collect();
        if !burst.is_empty() {
            self.queues.complete(&burst, Consumed { frames: burst.len(), pieces: 0 }, 0);
        }
        drop(burst);
        self.queues.flush(0);
        frames
    }

    pub(crate) fn malformed(&mut self) -> Vec<(Malformed, u64)> {
        let mut counts = vec![];
        self.queues.take_malformed(&mut |reason, n| counts.push((reason, n)));
        counts
    }
}

fn make(
    state: &AdapterState,
    domain: &Arc<DmaDomain>,
    notify: &Arc<Counts>,
    log: &DirtyLogSlot,
    profile: Profile,
) -> Queues {
    let notify: Arc<dyn Notify> = Arc::<Counts>::clone(notify);
    Queues::new(state.clone(), Arc::clone(domain), notify, Arc::clone(log), profile)
}

/// One round of a worker that forwards all that `from` sends to `to`. What became of the frame that ended it.
pub(crate) fn forward(from: &mut Queues, to: &mut Queues) -> Put {
    let mut burst = Burst::new();
    from.fetch(&mut burst, 0);
    let mut resume = from.resume();
    let (mut consumed, mut end) = (Consumed { frames: burst.len(), pieces: 0 }, Put::Done);
    for index in 0..burst.len() {
        let frame = burst.frame(index);
        end = to.put(&frame, frame.meta().tag, std::mem::take(&mut resume));
        if let Put::Full { next } = end {
            consumed = Consumed { frames: index, pieces: next };
            break;
        }
    }
    if !burst.is_empty() {
        from.complete(&burst, consumed, 0);
    }
    drop(burst);
    from.flush(0);
    to.flush(0);
    end
}

/// Puts one frame that a burst of its own holds, with nothing known of it but `spec`.
pub(crate) fn put(to: &mut Vm, bytes: &[u8], spec: &port::Spec) -> Put {
    let sender = memory();
    let mut burst = Burst::new();
    burst.begin(sender.view());
    sender.view().write_bytes(TX_BUFFERS, bytes).unwrap();
    burst.gather(TX_BUFFERS, bytes.len()).unwrap();
    burst.commit(spec).unwrap();
    let frame = burst.frame(0);
    let put = to.queues.put(&frame, frame.meta().tag, 0);
    to.queues.flush(0);
    put
}

/// Puts frames into buffers and makes them available.
pub(crate) struct Sender {
    pub(crate) ring: Driver,
    at: u64,
}

impl Sender {
    pub(crate) fn new(ring: Driver) -> Self {
        Self { ring, at: TX_BUFFERS }
    }

    /// Sends a header and a frame in pieces of the lengths `cuts`, over and over; false without room.
    pub(crate) fn send(&mut self, view: &MemoryView, header: &[u8], frame: &[u8], cuts: &[u32]) -> bool {
        let bytes = [header, frame].concat();
        if self.at + 2 * bytes.len() as u64 + 4096 > RX_BUFFERS {
            self.at = TX_BUFFERS;
        }
        let (mut buffers, mut done) = (vec![], 0);
        for n in 0.. {
            if done == bytes.len() {
                break;
            }
            let cut = if cuts.is_empty() { usize::MAX } else { cuts[n % cuts.len()] as usize };
            // The last ones take what is left, so that no chain is too long.
            let length = if n >= 12 { bytes.len() - done } else { cut.min(bytes.len() - done) };
            view.write_bytes(self.at, &bytes[done..done + length]).unwrap();
            buffers.push((self.at, u32::try_from(length).unwrap()));
            self.at += length as u64 + 5;
            done += length;
        }
        self.ring.add(view, &buffers, &[]).is_some()
    }
}

/// Keeps a receive ring filled and takes frames out of it.
pub(crate) struct Receiver {
    pub(crate) ring: Driver,
    /// Lengths of the buffers of a chain.
    buffers: Vec<u32>,
    header: usize,
    mergeable: bool,
    first: u64,
    stride: u64,
}

impl Receiver {
    pub(crate) fn new(ring: Driver, buffers: &[u32], features: Features) -> Self {
        let stride = buffers.iter().map(|length| u64::from(*length) + 3).sum();
        let mergeable = features.contains(Features::MRG_RXBUF);
        Self {
            ring,
            buffers: buffers.to_vec(),
            header: features.header_len(),
            mergeable,
            first: RX_BUFFERS,
            stride,
        }
    }

    fn chain(&self, slot: u16) -> Vec<(u64, u32)> {
        let mut at = self.first + u64::from(slot) * self.stride;
        let mut chain = vec![];
        for length in &self.buffers {
            chain.push((at, *length));
            at += u64::from(*length) + 3;
        }
        chain
    }

    /// Makes up to `most` chains available. A chain's place in memory goes by its id.
    pub(crate) fn fill(&mut self, view: &MemoryView, most: usize) -> usize {
        let mut added = 0;
        while added < most {
            let slot = self.ring.next_id();
            let Some(slot) = slot else { break };
            let chain = self.chain(slot);
            if self.ring.add(view, &[], &chain).is_none() {
                break;
            }
            added += 1;
        }
        added
    }

    /// Takes what has arrived: header and frame. Chains given back empty are left out.
    pub(crate) fn receive(&mut self, view: &MemoryView) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut frames = vec![];
        let mut taken = self.ring.take(view).into_iter();
        while let Some((id, length)) = taken.next() {
            if length == 0 {
                continue;
            }
            let mut bytes = self.read(view, id, length);
            let header: Vec<u8> = bytes.drain(..self.header).collect();
            if self.header == 12 {
                let count = u16::from_le_bytes([header[10], header[11]]);
                assert!(count >= 1 && (self.mergeable || count == 1), "num_buffers is {count}");
                for _ in 1..count {
                    let (id, length) = taken.next().expect("all chains of a frame come at once");
                    bytes.extend(self.read(view, id, length));
                }
            }
            frames.push((header, bytes));
        }
        frames
    }

    fn read(&self, view: &MemoryView, id: u16, length: u32) -> Vec<u8> {
        let (mut bytes, mut left) = (vec![], length);
        for (address, room) in self.chain(id) {
            let now = left.min(room);
            let mut part = vec![0; now as usize];
            view.read_bytes(address, &mut part).unwrap();
            bytes.extend(part);
            left -= now;
        }
        assert_eq!(left, 0, "{length} bytes do not fit in the chain");
        bytes
    }
}
