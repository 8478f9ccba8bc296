//! Gaps: what a guest cannot hear while it changes from one path to the other is kept for it.
//!
//! A guest with net_failover hears its VF until the VF's driver closes the receive ring, and its synthetic adapter
//! only from the moment at which the VF's netdev is unregistered. In between it accepts no frame at all. Its frames
//! of that time go into a bounded buffer, and from there, in their order and before any newer one, to the path that
//! it ends up with.
//!
//! ```text
//!              VPort refuses: ring closed                release(to)
//!   armed ------------------------------> holding --------------------> draining --> empty: armed again, or over
//!     |                                    ^  ^                          |
//!     +----------- hold(nic) --------------+  +-------- hold(nic) -------+
//! ```
//!
//! While it is armed, frames for the NIC and its VPort go there; otherwise all of them go into the buffer, behind
//! those that are there.
//!
//! A gap belongs to a NIC, which is the same adapter whichever path it is on, and watches the VPort of its VF. When
//! it is released to the VPort it stays armed, since the guest may close its ring again; when it is released to the
//! NIC it is over, and lets go of the VPort at once: the next frames for that are another guest's.
//!
//! | file | concern |
//! |---|---|
//! | `handle` | the control side's orders |
//! | `report` | what is counted |
//! | `store` | the buffer |
//! | `worker` | keeping and draining |

mod handle;
mod report;
mod store;
mod worker;

use std::sync::Arc;

use ethernet::VlanTag;
use port::{Cycles, Frame, Refusal};

pub(crate) use self::handle::GapCommand;
pub use self::handle::NoGap;
pub use self::report::{GapCounters, GapLimits, GapReport, GapState};
use self::store::Store;
use crate::hold::Allowance;

/// The gap of one NIC.
#[derive(Debug)]
pub(crate) struct Gap {
    /// Number of the place of the VPort that it watches.
    watch: Option<usize>,
    mode: Mode,
    store: Store,
    counters: Arc<GapCounters>,
    /// How much longer local senders wait for room in the buffer.
    allowance: Allowance,
    /// Of all that is kept in any gap, the number of the last copy that this one kept.
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Armed,
    Holding,
    /// To the place of this number.
    Draining(usize),
}

/// What is known of a frame in the buffer besides what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    /// The tag that the receiver sees.
    pub(crate) tag: Option<VlanTag>,
    /// It comes by a VM queue.
    pub(crate) direct: bool,
    /// First piece that was not delivered yet.
    pub(crate) pieces: u32,
    /// When it was kept.
    pub(crate) since: Cycles,
}

impl Gap {
    fn new(store: Store, allowance: Allowance) -> Self {
        let counters = Arc::default();
        Self { watch: None, mode: Mode::Armed, store, counters, allowance, last: 0 }
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.counters.set_state(match mode {
            Mode::Armed => GapState::Armed,
            Mode::Holding => GapState::Holding,
            Mode::Draining(_) => GapState::Draining,
        });
    }

    /// Keeps `frame`; false if there is no room for it now.
    ///
    /// # Errors
    /// It can never be kept.
    fn keep(&mut self, frame: &Frame<'_>, copy: Copy) -> Result<bool, Refusal> {
        if !self.store.could_hold(frame.len()) {
            self.counters.overflowed.add(1);
            return Err(Refusal::GapOverflow);
        }
        let kept = self.store.push(frame, copy)?;
        if kept {
            self.allowance.took();
            self.counters.held.add(1);
            self.counters.held_octets.add(frame.len() as u64);
        }
        Ok(kept)
    }
}

impl Drop for Gap {
    fn drop(&mut self) {
        self.counters.discarded.add(self.store.len() as u64);
        self.counters.set_state(GapState::Over);
    }
}

/// All gaps of a worker.
#[derive(Debug)]
pub(crate) struct Gaps {
    /// By NIC.
    gaps: Box<[Option<Box<Gap>>]>,
    /// By number of the place: the NIC whose gap takes frames for it.
    nics: Box<[Option<usize>]>,
    /// NICs whose gaps are being drained.
    draining: Vec<usize>,
    /// Copies kept so far.
    kept: u64,
}

impl Gaps {
    pub(crate) fn new(places: usize, nics: usize) -> Self {
        Self {
            gaps: (0..nics).map(|_| None).collect(),
            nics: vec![None; places].into(),
            draining: Vec::with_capacity(nics),
            kept: 0,
        }
    }

    /// True if a gap takes frames for the place of this number, or may begin to.
    pub(crate) fn guards(&self, place: usize) -> bool {
        self.nic(place).is_some()
    }

    /// True while something is to be delivered.
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        !self.draining.is_empty()
    }

    /// A number that grows with each copy that is kept.
    #[inline]
    pub(crate) fn mark(&self) -> u64 {
        self.kept
    }

    /// True if the gap of the place of this number has kept a copy since `mark`.
    #[inline]
    pub(crate) fn has_kept_since(&mut self, mark: u64, place: usize) -> bool {
        self.kept != mark && self.at(place).is_some_and(|gap| gap.last > mark)
    }

    /// The NIC whose gap takes frames for the place of this number.
    fn nic(&self, place: usize) -> Option<usize> {
        self.nics.get(place).copied().flatten()
    }

    fn at(&mut self, place: usize) -> Option<&mut Gap> {
        self.of(self.nic(place)?)
    }

    fn of(&mut self, nic: usize) -> Option<&mut Gap> {
        self.gaps.get_mut(nic)?.as_deref_mut()
    }

    /// Keeps a copy of `frame` for a NIC; false if there is no room for it now.
    ///
    /// # Errors
    /// It can never be kept.
    fn keep(&mut self, nic: usize, frame: &Frame<'_>, copy: Copy) -> Result<bool, Refusal> {
        let number = self.kept + 1;
        let gap = self.of(nic).ok_or(Refusal::NotReady)?;
        let kept = gap.keep(frame, copy)?;
        if kept {
            gap.last = number;
            self.kept = number;
        }
        Ok(kept)
    }

    /// Counts a frame for which there is no room in the gap of the place of this number; false if no gap takes its
    /// frames.
    pub(crate) fn overflow(&mut self, place: usize) -> bool {
        let keeper = self.keeper(place);
        keeper.inspect(|gap| gap.counters.overflowed.add(1)).is_some()
    }

    /// The gap that takes all frames for the place of this number, if one does.
    fn keeper(&mut self, place: usize) -> Option<&mut Gap> {
        self.at(place).filter(|gap| gap.mode != Mode::Armed)
    }
}
