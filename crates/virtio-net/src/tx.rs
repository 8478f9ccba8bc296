//! Transmission: chains to frames.

mod offload;

use arrayvec::ArrayVec;
use guest_memory::{Access, MemoryView};
use port::{BURST, Burst, Consumed, Malformed};

use crate::features::Features;
use crate::header::{HEADER_BYTES, Header};
use crate::ring::{Buffer, Chain, Fault, RingError, RingMemory, Used};
use crate::virtqueue::Virtqueue;

/// Chains looked at in one fetch, those that are dropped included.
const MAX_CHAINS: usize = 2 * BURST;
/// Descriptors, octets and packets after which a burst takes no further frame: what a burst costs, not its number of frames, must be
/// alike for all guests.
const BURST_DESCRIPTORS: usize = 512;
const BURST_OCTETS: usize = 512 << 10;
const BURST_PACKETS: u32 = 256;

/// One transmit queue.
#[derive(Debug)]
pub(crate) struct TxQueue {
    pub(crate) ring: Virtqueue,
    chain: Box<Chain>,
    taken: ArrayVec<Taken, MAX_CHAINS>,
    /// Where in `taken` each frame of the burst is.
    frames: ArrayVec<usize, BURST>,
}

/// A chain that a fetch took.
#[derive(Clone, Copy, Debug)]
struct Taken {
    id: u16,
    slots: u16,
    dropped: Option<Malformed>,
}

/// What a round knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) features: Features,
    /// Bytes of the header.
    pub(crate) header: usize,
    /// The header may ask for something.
    pub(crate) offloads: bool,
}

/// Frames that were dropped, by reason.
pub(crate) type Dropped = [u64; Malformed::ALL.len()];

impl TxQueue {
    pub(crate) fn new(ring: Virtqueue) -> Self {
        let chain = Box::new(Chain::to_transmit());
        Self { ring, chain, taken: ArrayVec::new(), frames: ArrayVec::new() }
    }

    /// Adds to `burst` what the driver made available. Chains without a frame in them are counted in `dropped` when they
    /// are given back.
    pub(crate) fn fetch(
        &mut self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        setting: Setting,
        burst: &mut Burst,
        dropped: &mut Dropped,
    ) -> Result<(), RingError> {
        self.taken.clear();
        self.frames.clear();
        let scanned = self.scan(memory, view, setting, burst);
        if burst.is_empty() && !self.taken.is_empty() {
            // No one will complete them.
            self.complete(memory, setting.features, Consumed::default(), dropped);
        }
        scanned
    }

    fn scan(
        &mut self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        setting: Setting,
        burst: &mut Burst,
    ) -> Result<(), RingError> {
        let mut at = self.ring.next();
        let (mut descriptors, mut octets, mut packets) = (0, 0, 0);
        while !burst.is_full()
            && !self.taken.is_full()
            && descriptors < BURST_DESCRIPTORS
            && octets < BURST_OCTETS
            && packets < BURST_PACKETS
        {
            self.ring.prefetch(memory, view, at, setting.header, Access::Read);
            if !self.ring.chain(memory, view, &mut at, &mut self.chain)? {
                break;
            }
            descriptors += self.chain.walked.max(usize::from(self.chain.slots));
            let made = frame(&self.chain, view, setting, burst);
            let dropped = match made {
                Ok(count) => {
                    octets += burst.frame(burst.len() - 1).len();
                    packets += count;
                    self.frames.push(self.taken.len());
                    None
                }
                Err(reason) => {
                    burst.abandon();
                    Some(reason)
                }
            };
            self.taken.push(Taken { id: self.chain.id, slots: self.chain.slots, dropped });
        }
        Ok(())
    }

    /// Gives back what is consumed of the last fetch: frames, and what was dropped before them.
    pub(crate) fn complete(
        &mut self,
        memory: &RingMemory<'_>,
        features: Features,
        consumed: Consumed,
        dropped: &mut Dropped,
    ) {
        let count = self.frames.get(consumed.frames).copied().unwrap_or(self.taken.len());
        let mut all: Option<Used> = None;
        for taken in self.taken.drain(..count) {
            if let Some(reason) = taken.dropped {
                dropped[reason.index()] += 1;
            }
            let one = Used { id: taken.id, length: 0, slots: taken.slots };
            if features.contains(Features::IN_ORDER) {
                // One entry for all of them (section 2.7.9, 2.8.9): the id of the last.
                // Bounded by what a burst may cost.
                let slots = all.map_or(0, |used| used.slots) + one.slots;
                all = Some(Used { slots, ..one });
            } else {
                self.ring.give_back(memory, one);
            }
        }
        if let Some(used) = all {
            self.ring.give_back(memory, used);
        }
        self.taken.clear();
        self.frames.clear();
        self.ring.set_resume(consumed.pieces);
    }
}

/// Makes a frame of `chain`; the number of packets that it makes on the wire.
fn frame(chain: &Chain, view: &MemoryView, setting: Setting, burst: &mut Burst) -> Result<u32, Malformed> {
    match chain.fault {
        None if chain.writable().is_empty() => {}
        None | Some(Fault::Order) => return Err(Malformed::BadDescriptor),
        Some(Fault::TooManyBuffers) => return Err(Malformed::TooManyBuffers),
        Some(Fault::Unmapped) => return Err(Malformed::DmaFault),
    }
    let buffers = chain.readable();
    let total: u64 = buffers.iter().map(|buffer| u64::from(buffer.length)).sum();
    let header = setting.header;
    let Some(length) = usize::try_from(total).ok().and_then(|total| total.checked_sub(header)) else {
        return Err(Malformed::TooShort);
    };
    let mut asked = Header::default();
    if setting.offloads {
        let mut bytes = [0; HEADER_BYTES];
        copy_out(view, buffers, 0, &mut bytes[..header])?;
        asked = Header::decode(bytes);
    }
    let (spec, packets) = offload::spec(asked, setting.features, length, |to| {
        let most = to.len().min(length);
        copy_out(view, buffers, header, &mut to[..most])?;
        Ok(most)
    })?;
    let mut skip = header;
    for buffer in buffers {
        let length = buffer.length as usize;
        if skip >= length {
            skip -= length;
            continue;
        }
        // An address that wraps is mapped nowhere.
        let address = buffer.address.checked_add(skip as u64).ok_or(Malformed::DmaFault)?;
        burst.gather(address, length - skip)?;
        skip = 0;
    }
    burst.commit(&spec)?;
    Ok(packets)
}

/// Copies the bytes from `skip` on out of `buffers`, which have that many.
fn copy_out(
    view: &MemoryView,
    buffers: &[Buffer],
    mut skip: usize,
    mut to: &mut [u8],
) -> Result<(), Malformed> {
    for buffer in buffers {
        if to.is_empty() {
            break;
        }
        let length = buffer.length as usize;
        if skip >= length {
            skip -= length;
            continue;
        }
        let address = buffer.address.checked_add(skip as u64).ok_or(Malformed::DmaFault)?;
        let (now, later) = to.split_at_mut(to.len().min(length - skip));
        view.read_bytes(address, now).map_err(|_| Malformed::DmaFault)?;
        to = later;
        skip = 0;
    }
    Ok(())
}
