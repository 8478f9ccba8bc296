//! Transmission: descriptors to frames.

use arrayvec::ArrayVec;
use guest_memory::{Access, GuestSlice, MemoryView};
use port::{BURST, Burst, Consumed, Malformed};

use super::descriptor::{Context, Data, TRANSMIT_DONE, Transmit};
use super::offload;
use super::ring::{Ring, Sync, load, store_last_word};
use crate::registers::tx;
use crate::state::{VfState, word};

/// Data descriptors that one frame may have.
const MAX_BUFFERS: u32 = 64;
/// Context descriptors that may stand before one frame.
const MAX_CONTEXTS: u32 = 8;
/// Descriptors looked at in one fetch. More than any frame may have, so that a look always gets on.
const MAX_DESCRIPTORS: u32 = 512;
/// Packets and octets after which a burst takes no further frame: what a burst costs, not its number of frames, must
/// be alike for all guests.
const BURST_PACKETS: u32 = 256;
const BURST_OCTETS: u32 = 512 << 10;
/// Descriptors whose buffers are fetched into the cache ahead of their use.
const AHEAD: u32 = 8;

/// One transmit queue.
#[derive(Debug)]
pub(super) struct TxQueue {
    index: usize,
    ring: Ring,
    at: Place,
    /// The tail register that the last look found nothing more to take before.
    exhausted: Option<u32>,
    fetch: Fetch,
}

/// How far a scan of the ring is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    position: u32,
    contexts: [Context; 2],
    /// In the middle of a frame that is being dropped.
    discarding: bool,
}

/// What a fetch found, kept until its frames are completed.
#[derive(Debug, Default)]
struct Fetch {
    /// Where each frame of the burst begins, what was dropped before it included, and where the last one ends.
    starts: ArrayVec<Place, { BURST + 1 }>,
    /// Descriptors that report when done.
    reports: ArrayVec<u32, { MAX_DESCRIPTORS as usize }>,
    /// What each frame makes on the wire.
    sizes: ArrayVec<WireSize, BURST>,
}

/// What a frame makes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WireSize {
    pub(super) packets: u32,
    pub(super) octets: u32,
}

/// What the completed frames of a queue amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) packets: u64,
    pub(super) octets: u64,
    /// A descriptor was reported done.
    pub(super) reported: bool,
}

enum Outcome {
    Frame(WireSize),
    Dropped(Option<Malformed>),
    Unfinished,
}

impl TxQueue {
    pub(super) fn new(index: u32) -> Self {
        let number = index as usize;
        let ring = Ring::new(tx(index, 0), word::TX_GENERATION + number);
        Self { index: number, ring, at: Place::default(), exhausted: None, fetch: Fetch::default() }
    }

    /// True if the driver made descriptors available.
    #[inline]
    pub(super) fn is_waiting(&self, state: &VfState) -> bool {
        self.ring.is_waiting(state)
    }

    /// True if a fetch could bring more than the last one left.
    pub(super) fn has_work(&self, state: &VfState) -> bool {
        self.ring.is_waiting(state) && self.exhausted != Some(self.ring.tail_register(state))
    }

    /// Pieces of the frame at the head that were delivered before.
    pub(super) fn resume(&self, state: &VfState) -> u32 {
        let resume = Resume(state.private.load(word::TX_RESUME + self.index));
        if resume.generation() == self.ring.generation() & Resume::GENERATION { resume.pieces() } else { 0 }
    }

    fn set_resume(&self, state: &VfState, pieces: u32) {
        let resume = Resume::new(self.ring.generation(), pieces);
        state.private.store(word::TX_RESUME + self.index, resume.0);
    }

    /// Adds to `burst` what the driver made available; `dropped` hears of frames that make no sense.
    pub(super) fn fetch(
        &mut self,
        state: &VfState,
        view: &MemoryView,
        burst: &mut Burst,
        dropped: &mut impl FnMut(Malformed),
    ) {
        self.fetch.starts.clear();
        self.fetch.reports.clear();
        self.fetch.sizes.clear();
        let tail_register = self.ring.tail_register(state);
        self.exhausted = Some(tail_register);
        match self.ring.sync(state) {
            Sync::Off => return self.set_resume(state, 0),
            Sync::Same => {}
            Sync::Restarted => self.restart(state),
        }
        let tail = self.ring.tail(state);
        if self.at.position == tail {
            return;
        }
        let Some(memory) = self.ring.memory(view) else {
            dropped(Malformed::DmaFault);
            self.move_to(state, Place { position: tail, ..self.at }, 0);
            return;
        };
        let available = self.ring.distance(self.at.position, tail);
        let (last, done) = self.scan(&memory, view, available.min(MAX_DESCRIPTORS), burst, dropped);
        self.fetch.starts.push(last);
        if !done || available > MAX_DESCRIPTORS || !burst.is_empty() {
            self.exhausted = None;
        }
        if burst.is_empty() {
            // Only dropped frames, if anything: no one will complete them.
            self.complete(state, view, Consumed::default());
        }
    }

    /// Goes on from the head register with the contexts of before.
    fn restart(&mut self, state: &VfState) {
        let words = state.private.window(word::TX_CONTEXT + 8 * self.index, 8);
        let pair = |n: usize| u64::from(words.load(n)) | u64::from(words.load(n + 1)) << 32;
        let contexts = [Context([pair(0), pair(2)]), Context([pair(4), pair(6)])];
        self.at = Place { position: self.ring.head(), contexts, discarding: false };
    }

    /// Gathers the frames of the next `left` descriptors. Where the scan ended, and whether nothing whole is left.
    fn scan(
        &mut self,
        memory: &GuestSlice<'_>,
        view: &MemoryView,
        mut left: u32,
        burst: &mut Burst,
        dropped: &mut impl FnMut(Malformed),
    ) -> (Place, bool) {
        let mut place = self.at;
        let mut total = WireSize::default();
        while left > 0 {
            if burst.is_full() || total.packets >= BURST_PACKETS || total.octets >= BURST_OCTETS {
                return (place, false);
            }
            let (start, reports) = (place, self.fetch.reports.len());
            let outcome = self.frame(memory, view, &mut place, left, burst);
            left -= self.ring.distance(start.position, place.position);
            match outcome {
                Outcome::Frame(size) => {
                    self.fetch.starts.push(start);
                    self.fetch.sizes.push(size);
                    total.packets += size.packets;
                    total.octets += size.octets;
                }
                Outcome::Dropped(None) => {}
                Outcome::Dropped(Some(reason)) => dropped(reason),
                Outcome::Unfinished => {
                    self.fetch.reports.truncate(reports);
                    return (start, true);
                }
            }
        }
        (place, true)
    }

    /// Reads one frame from `place` on, of at most `left` descriptors.
    fn frame(
        &mut self,
        memory: &GuestSlice<'_>,
        view: &MemoryView,
        place: &mut Place,
        left: u32,
        burst: &mut Burst,
    ) -> Outcome {
        let mut first: Option<Data> = None;
        let (mut buffers, mut contexts) = (0, 0);
        let mut error = None;
        for remaining in (0..left).rev() {
            let position = place.position;
            place.position = self.ring.after(position, 1);
            if remaining >= AHEAD {
                prefetch(view, load(memory, self.ring.after(position, AHEAD)));
            }
            let data = match Transmit::decode(load(memory, position)) {
                Transmit::Data(data) => data,
                Transmit::Context(context) => {
                    place.contexts[context.slot()] = context;
                    contexts += 1;
                    if first.is_some() || contexts > MAX_CONTEXTS {
                        error = error.or(Some(Malformed::BadDescriptor));
                    }
                    continue;
                }
                Transmit::Unknown(data) => {
                    error = error.or(Some(Malformed::BadDescriptor));
                    data
                }
            };
            let first = *first.get_or_insert(data);
            buffers += 1;
            if data.reports() {
                self.fetch.reports.push(position);
            }
            if buffers > MAX_BUFFERS {
                error = error.or(Some(Malformed::TooManyBuffers));
            }
            if error.is_none() && !place.discarding {
                error = burst.gather(data.address, data.length()).err();
            }
            if !data.ends_frame() {
                continue;
            }
            if std::mem::take(&mut place.discarding) {
                return Outcome::Dropped(None);
            }
            let made = error.map_or_else(|| offload::finish(burst, first, &place.contexts), Err);
            return made.map_or_else(
                |reason| {
                    burst.abandon();
                    Outcome::Dropped(Some(reason))
                },
                Outcome::Frame,
            );
        }
        burst.abandon();
        if place.discarding {
            return Outcome::Dropped(None);
        }
        place.discarding = error.is_some();
        error.map_or(Outcome::Unfinished, |reason| Outcome::Dropped(Some(reason)))
    }

    /// Gives back what is consumed of the last fetch.
    pub(super) fn complete(&mut self, state: &VfState, view: &MemoryView, consumed: Consumed) -> Sent {
        let mut sent = Sent::default();
        let Some(&place) = self.fetch.starts.get(consumed.frames) else { return sent };
        for size in self.fetch.sizes.iter().take(consumed.frames) {
            sent.packets += u64::from(size.packets);
            sent.octets += u64::from(size.octets);
        }
        let done = self.ring.distance(self.at.position, place.position);
        let is_done = |position: &u32| self.ring.distance(self.at.position, *position) < done;
        if self.fetch.reports.first().is_some_and(is_done)
            && let Some(memory) = self.ring.memory(view)
        {
            for position in self.fetch.reports.iter().copied().take_while(is_done) {
                store_last_word(&memory, position, TRANSMIT_DONE);
            }
            sent.reported = true;
        }
        self.move_to(state, place, consumed.pieces);
        sent
    }

    /// Moves the head to `place`, `pieces` of whose frame were delivered. In an order that at worst repeats pieces if
    /// this process ends in the midst of it.
    fn move_to(&mut self, state: &VfState, place: Place, pieces: u32) {
        let words = state.private.window(word::TX_CONTEXT + 8 * self.index, 8);
        for (n, (new, old)) in place.contexts.iter().zip(&self.at.contexts).enumerate() {
            if new != old {
                for (half, value) in new.0.into_iter().enumerate() {
                    let at = 4 * n + 2 * half;
                    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
                    words.store(at, u32::from_le_bytes([a, b, c, d]));
                    words.store(at + 1, u32::from_le_bytes([e, f, g, h]));
                }
            }
        }
        if place.position != self.at.position {
            if self.resume(state) != 0 {
                self.set_resume(state, 0);
            }
            self.ring.set_head(state, place.position);
        }
        if self.resume(state) != pieces {
            self.set_resume(state, pieces);
        }
        self.at = place;
    }
}

/// Asks for the first cache line of the buffer of a data descriptor.
#[inline]
fn prefetch(view: &MemoryView, words: [u64; 2]) {
    if let Transmit::Data(data) = Transmit::decode(words)
        && let Ok(slice) = view.first_slice(data.address, data.length(), Access::Read)
    {
        slice.prefetch_read(0);
    }
}

/// How much of the frame at the head was delivered, as kept in the state: 20 bits of the ring's generation above 12
/// bits of pieces. What was delivered of a frame in a ring that is no more is void.
#[derive(Clone, Copy)]
struct Resume(u32);

impl Resume {
    const GENERATION: u32 = (1 << 20) - 1;
    const PIECES_BITS: u32 = 12;

    fn new(generation: u32, pieces: u32) -> Self {
        const _: () = assert!(ethernet::MAX_SEGMENTS < 1 << Resume::PIECES_BITS, "pieces have 12 bits");
        Self((generation & Self::GENERATION) << Self::PIECES_BITS | pieces & ((1 << Self::PIECES_BITS) - 1))
    }

    fn generation(self) -> u32 {
        self.0 >> Self::PIECES_BITS
    }

    fn pieces(self) -> u32 {
        self.0 & ((1 << Self::PIECES_BITS) - 1)
    }
}
