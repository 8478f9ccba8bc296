//! What is known of a gap from outside.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use port::Cycles;

use crate::counters::Counter;

/// What the buffer of a gap may hold. Memory is taken as it fills up, and never more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapLimits {
    /// Octets of frames. Rounded up to whole pages.
    pub octets: u32,
    /// Frames.
    pub frames: u32,
}

impl Default for GapLimits {
    /// 16 MiB, 32,768 frames: what a sender at 1 Gbit/s sends in 0.13 s. ACPI unplugs in less.
    fn default() -> Self {
        Self { octets: 16 << 20, frames: 32_768 }
    }
}

/// Where a gap is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum GapState {
    /// Frames go where they go; the first that the VPort refuses because its ring is closed begins the gap.
    #[default]
    Armed = 0,
    /// Frames are kept.
    Holding = 1,
    /// Released: what is kept is delivered as the receiver makes room, and newer frames queue up behind it.
    Draining = 2,
    /// Drained to the NIC, disarmed, or gone with the worker: it does nothing any more.
    Over = 3,
}

/// What a gap did, counted by the worker and read by anyone.
#[derive(Debug, Default)]
pub struct GapCounters {
    state: AtomicU8,
    pub(super) held: Counter,
    pub(super) held_octets: Counter,
    pub(super) released: Counter,
    pub(super) refused: Counter,
    pub(super) overflowed: Counter,
    pub(super) discarded: Counter,
    longest_wait: AtomicU64,
}

/// What a gap did since it was armed first. Of the frames that were `held` those that are neither `released` nor
/// `refused` nor `discarded` are still in the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GapReport {
    /// Where it is.
    pub state: GapState,
    /// Frames that went into the buffer.
    pub held: u64,
    /// Octets of these.
    pub held_octets: u64,
    /// Frames delivered from it.
    pub released: u64,
    /// Frames lost because the receiver they were released to cannot take them, as one that is too long for it.
    pub refused: u64,
    /// Frames lost because the buffer was full; they were not held.
    pub overflowed: u64,
    /// Frames lost because they were still in the buffer when the gap was disarmed or its worker ended.
    pub discarded: u64,
    /// Longest time that a frame was in the buffer before it was delivered, in cycles of the time stamp counter.
    pub longest_wait: Cycles,
}

impl GapReport {
    /// Frames in the buffer.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.held.saturating_sub(self.released + self.refused + self.discarded)
    }

    /// Frames lost, for whichever reason.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.refused + self.overflowed + self.discarded
    }
}

impl GapCounters {
    /// The counters as they stand. All that was counted before the state was entered is in them.
    #[must_use]
    pub fn read(&self) -> GapReport {
        let state = match self.state.load(Ordering::Acquire) {
            0 => GapState::Armed,
            1 => GapState::Holding,
            2 => GapState::Draining,
            _ => GapState::Over,
        };
        // What leaves the buffer is read before what went in, so that no more seems to have left.
        let (released, refused, discarded) = (self.released.get(), self.refused.get(), self.discarded.get());
        GapReport {
            state,
            released,
            refused,
            discarded,
            overflowed: self.overflowed.get(),
            longest_wait: self.longest_wait.load(Ordering::Relaxed),
            held: self.held.get(),
            held_octets: self.held_octets.get(),
        }
    }

    pub(super) fn set_state(&self, state: GapState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// A frame that was kept for so long is delivered.
    pub(super) fn waited(&self, cycles: Cycles) {
        self.longest_wait.fetch_max(cycles, Ordering::Relaxed);
    }
}
