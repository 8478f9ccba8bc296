//! A VF with memory and a driver, and what a worker would do between two of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use guest_memory::{DmaDomain, MemoryView};
use port::{Burst, Consumed, FrameMeta, Malformed, Port, Put, Refusal};

use super::driver::{self, EOP, MEMORY, RS, Registers, RxRing, TxRing};
use crate::queue::{QueueProfile, Queues};
use crate::registers::{CONTROL, HEAD, VTEIMS, VTIVAR, rx, tx};
use crate::state::word;
use crate::{Interrupts, Signal, VfState};

/// Queue pairs of the VFs of the tests.
pub(super) const PAIRS: u32 = 4;
const TX_RINGS: u64 = MEMORY;
/// Where the tests put what they send.
pub(super) const TX_BUFFERS: u64 = MEMORY + 0x10_0000;
const RX_RINGS: u64 = MEMORY + 0x40_0000;
const RX_STRIDE: u64 = 0x10_0000;
pub(super) const MEMORY_BYTES: u64 = 0x80_0000;

#[derive(Debug, Default)]
pub(super) struct Signals([AtomicU32; 3]);

impl Signal for Arc<Signals> {
    fn signal(&self, vector: u32) {
        self.0[vector as usize].fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) struct Vf {
    pub(super) domain: Arc<DmaDomain>,
    pub(super) state: VfState,
    pub(super) interrupts: Arc<Interrupts>,
    pub(super) queues: Queues,
    signals: Arc<Signals>,
}

/// Registers as the control half keeps them.
impl Registers for VfState {
    fn write(&mut self, offset: u32, value: u32) {
        if offset % 0x40 == CONTROL {
            let (base, from) =
                if offset < 0x2000 { (word::RX_GENERATION, 0x1000) } else { (word::TX_GENERATION, 0x2000) };
            self.private.fetch_add(base + (offset - from) as usize / 0x40, 1);
        }
        self.set_register(offset, value);
    }
}

impl Vf {
    pub(super) fn new() -> Self {
        let (domain, state) = (driver::memory(MEMORY_BYTES), VfState::create("vf").unwrap());
        state.private.store(word::DMA_ENABLED, 1);
        state.private.store(word::LINK, 1);
        state.private.store(word::MAX_FRAME, 1518);
        // Receive queues on vector 0, transmit queues on vector 1.
        for pair in 0..PAIRS {
            state.set_register(VTIVAR + 4 * (pair / 2), 0x8180_8180);
        }
        state.set_register(VTEIMS, 7);
        let signals = Arc::<Signals>::default();
        let interrupts = Arc::new(Interrupts::new(state.clone(), 1, Box::new(Arc::clone(&signals))));
        let queues = make(&state, &domain, &interrupts);
        Self { domain, state, interrupts, queues, signals }
    }

    /// Drops the data half and makes another over the same state.
    pub(super) fn reattach(&mut self) {
        self.queues = make(&self.state, &self.domain, &self.interrupts);
    }

    pub(super) fn view(&self) -> MemoryView {
        self.domain.view()
    }

    /// Enables transmit queue `queue` with `size` descriptors, at most 1,024.
    pub(super) fn tx(&mut self, queue: u32, size: u32) -> TxRing {
        TxRing::enable(&mut self.state, queue, TX_RINGS + u64::from(queue) * 0x4000, size)
    }

    /// Enables receive queue `queue` and fills it.
    pub(super) fn rx(&mut self, queue: u32, size: u32, kib: u32, control: u32) -> RxRing {
        let base = RX_RINGS + u64::from(queue) * RX_STRIDE;
        let mut ring = RxRing::enable(&mut self.state, queue, base, size, kib, control);
        ring.fill(&self.domain.view(), &mut self.state);
        ring
    }

    /// Sends `bytes` from one buffer, without offloads, reported when done.
    pub(super) fn send(&mut self, ring: &mut TxRing, bytes: &[u8]) {
        let address = TX_BUFFERS + u64::from(ring.queue) * 0x8_0000 + u64::from(ring.tail) * 0x400;
        let view = self.view();
        view.write_bytes(address, bytes).unwrap();
        ring.post(&view, driver::data(address, bytes.len(), EOP | RS, 0));
        ring.ring_doorbell(&mut self.state);
    }

    pub(super) fn fetch(&mut self) -> Burst {
        let mut burst = Burst::new();
        self.queues.fetch(&mut burst, 0);
        burst
    }

    /// Fetches and gives all of it back; the frames' headers and metadata.
    pub(super) fn take(&mut self) -> Vec<(Vec<u8>, FrameMeta)> {
        let burst = self.fetch();
        let frames: Vec<_> =
            (0..burst.len()).map(|n| (burst.frame(n).header().to_vec(), *burst.frame(n).meta())).collect();
        if !burst.is_empty() {
            self.queues.complete(&burst, Consumed { frames: burst.len(), pieces: 0 }, 0);
        }
        drop(burst);
        self.queues.flush(0);
        frames
    }

    pub(super) fn malformed(&mut self) -> Vec<(Malformed, u64)> {
        let mut counts = vec![];
        self.queues.take_malformed(&mut |reason, n| counts.push((reason, n)));
        counts
    }

    pub(super) fn signals(&self, vector: usize) -> u32 {
        self.signals.0[vector].load(Ordering::Relaxed)
    }

    pub(super) fn tx_head(&self, queue: u32) -> u32 {
        self.state.register(tx(queue, HEAD))
    }

    pub(super) fn rx_head(&self, queue: u32) -> u32 {
        self.state.register(rx(queue, HEAD))
    }
}

fn make(state: &VfState, domain: &Arc<DmaDomain>, interrupts: &Arc<Interrupts>) -> Queues {
    let profile = QueueProfile { queue_pairs: PAIRS, limits_length: true };
    Queues::new(state.clone(), Arc::clone(domain), Arc::clone(interrupts), profile)
}

/// One round of a worker that forwards all that `from` sends to `to`. What became of the frame that ended it.
pub(super) fn forward(from: &mut Queues, to: &mut Queues) -> Put {
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

/// Puts one frame that a burst of its own holds, with nothing known of it but `meta`.
pub(super) fn put(sender: &mut Vf, to: &mut Queues, bytes: &[u8], spec: &port::Spec) -> Put {
    let mut burst = Burst::new();
    burst.begin(sender.view());
    sender.view().write_bytes(TX_BUFFERS, bytes).unwrap();
    burst.gather(TX_BUFFERS, bytes.len()).unwrap();
    burst.commit(spec).unwrap();
    let frame = burst.frame(0);
    let put = to.put(&frame, frame.meta().tag, 0);
    to.flush(0);
    put
}

pub(super) const NOT_READY: Put = Put::Refused(Refusal::NotReady);
