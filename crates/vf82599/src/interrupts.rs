//! Interrupt causes, masks and moderation.
//!
//! Raised from both halves of the device: the words are atomic, and whoever clears an enable bit by auto-mask sends
//! the message. A message too many is harmless, one too few would hang the guest.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use port::Cycles;

use crate::registers::{VECTORS, VTEIAC, VTEIAM, VTEICR, VTEIMS, VTEITR};
use crate::state::{VfState, word};

/// Sends the message of a vector to the guest.
pub trait Signal: Send + Sync + std::fmt::Debug {
    /// Must neither block nor fail: a guest that cannot be told is lost anyway.
    fn signal(&self, vector: u32);
}

/// Interrupt state of a VF, shared by its two halves.
#[derive(Debug)]
pub struct Interrupts {
    state: VfState,
    /// When the next message of each vector may be sent.
    next: [AtomicU64; VECTORS as usize],
    cycles_per_microsecond: u64,
    signal: Box<dyn Signal>,
}

impl Interrupts {
    /// Interrupts of the VF with `state`, sent by `signal`.
    #[must_use]
    pub fn new(state: VfState, cycles_per_microsecond: u64, signal: Box<dyn Signal>) -> Self {
        let next = std::array::from_fn(|_| AtomicU64::new(0));
        Self { state, next, cycles_per_microsecond: cycles_per_microsecond.max(1), signal }
    }

    /// Sets the causes `causes` (bit n is vector n) and sends the messages that are enabled and not held by
    /// moderation. True if some are held: [`Interrupts::release`] must be called at [`Interrupts::deadline`].
    pub fn raise(&self, causes: u32, now: Cycles) -> bool {
        let causes = causes & ALL_VECTORS;
        if causes == 0 {
            return false;
        }
        self.word(VTEICR, |icr| icr.fetch_or(causes, Ordering::SeqCst));
        self.fire(causes, now)
    }

    /// Sends the messages of pending causes that have just been enabled. True if moderation holds some.
    pub fn unmask(&self, enable: u32, now: Cycles) -> bool {
        let enable = enable & ALL_VECTORS;
        self.word(VTEIMS, |ims| ims.fetch_or(enable, Ordering::SeqCst));
        // Sequentially consistent, as the look at the mask in `fire`: of a raiser, who sets the cause and looks at the
        // mask, and us, who do it the other way round, at least one sees what the other did.
        let pending = self.word(VTEICR, |icr| icr.load(Ordering::SeqCst)) & enable;
        pending != 0 && self.fire(pending, now)
    }

    /// Clears enable bits.
    pub fn mask(&self, disable: u32) {
        self.word(VTEIMS, |ims| ims.fetch_and(!disable, Ordering::SeqCst));
    }

    /// Reads and clears the causes.
    pub fn take_causes(&self) -> u32 {
        self.word(VTEICR, |icr| icr.swap(0, Ordering::SeqCst))
    }

    /// Clears causes.
    pub fn clear_causes(&self, causes: u32) {
        self.word(VTEICR, |icr| icr.fetch_and(!causes, Ordering::SeqCst));
    }

    /// Sends what moderation held until now. True if some are still held.
    pub fn release(&self, now: Cycles) -> bool {
        let held = self.state.private.as_slice()[word::DEFERRED].swap(0, Ordering::SeqCst);
        let pending = held & self.state.register(VTEICR);
        pending != 0 && self.fire(pending, now)
    }

    /// When the first held message is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Cycles> {
        let held = self.state.private.load(word::DEFERRED);
        let vectors = (0..VECTORS as usize).filter(|v| held & (1 << v) != 0);
        vectors.map(|v| self.next[v].load(Ordering::Relaxed)).min()
    }

    /// Sends the message of `vector` whatever the masks say: it was held further down the way.
    pub(crate) fn signal(&self, vector: u32) {
        self.signal.signal(vector);
    }

    /// Sends the message of every vector: an earlier data path may have ended between masking one and sending it, and
    /// a guest that does not get it waits for ever.
    pub(crate) fn signal_all(&self) {
        (0..VECTORS).for_each(|vector| self.signal(vector));
    }

    /// The time `now` in microseconds, for a register that goes round.
    #[expect(clippy::cast_possible_truncation, reason = "the timer has 32 bits")]
    pub(crate) fn microseconds(&self, now: Cycles) -> u32 {
        (now / self.cycles_per_microsecond) as u32
    }

    /// So many microseconds, in cycles.
    pub(crate) fn cycles(&self, microseconds: u64) -> Cycles {
        microseconds.saturating_mul(self.cycles_per_microsecond)
    }

    /// Forgets causes, enables, moderation: the function was reset.
    pub fn reset(&self) {
        for register in [VTEICR, VTEIMS, VTEIAC, VTEIAM] {
            self.state.set_register(register, 0);
        }
        self.state.private.store(word::DEFERRED, 0);
        for vector in 0..VECTORS {
            self.state.set_register(VTEITR + 4 * vector, 0);
            self.next[vector as usize].store(0, Ordering::Relaxed);
        }
    }

    /// Sends the enabled ones of `causes`; true if some were held.
    fn fire(&self, causes: u32, now: Cycles) -> bool {
        let mut held = 0;
        for vector in (0..VECTORS).filter(|v| causes & (1 << v) != 0) {
            let bit = 1 << vector;
            if self.word(VTEIMS, |ims| ims.load(Ordering::SeqCst)) & bit == 0 {
                continue;
            }
            let next = &self.next[vector as usize];
            if now < next.load(Ordering::Relaxed) {
                held |= bit;
                continue;
            }
            // One of two concurrent raisers sees the enable bit that auto-mask is about to take away.
            let auto_mask = self.state.register(VTEIAM) & bit;
            let before = self.word(VTEIMS, |ims| ims.fetch_and(!auto_mask, Ordering::SeqCst));
            if before & bit == 0 {
                continue;
            }
            let auto_clear = self.state.register(VTEIAC) & bit;
            self.clear_causes(auto_clear);
            next.store(now.saturating_add(self.interval(vector)), Ordering::Relaxed);
            self.signal.signal(vector);
        }
        if held != 0 {
            self.state.private.fetch_or(word::DEFERRED, held);
        }
        held != 0
    }

    /// Moderation interval of a vector in cycles. Bits 11:3 of VTEITR; Linux writes microseconds times four.
    fn interval(&self, vector: u32) -> Cycles {
        let register = self.state.register(VTEITR + 4 * vector);
        u64::from((register & 0xff8) >> 2) * self.cycles_per_microsecond
    }

    fn word<T>(&self, register: u32, operation: impl FnOnce(&AtomicU32) -> T) -> T {
        operation(&self.state.registers.as_slice()[register as usize / 4])
    }
}

const ALL_VECTORS: u32 = (1 << VECTORS) - 1;

#[cfg(test)]
mod tests;
