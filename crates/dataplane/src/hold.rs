//! Back-pressure: how long a full receiver may hold its local senders back.
//!
//! A guest that sends a 64 KiB frame to another guest fills its receive ring at once; dropping the rest would cost a
//! retransmission each time. So the sender's queue waits. But a receiver that never makes room must not stop those who
//! send to it (and, on the same queue, to others): waiting is paid from the receiver's allowance, which fills up at a
//! quarter of the time that passes. A receiver that spent it loses frames like any NIC. A sender has such an allowance
//! too, so that many such receivers together cannot stop it for longer than one of them.

use port::Cycles;

/// Most time that a port can have in hand, in microseconds.
const ALLOWANCE: u64 = 20_000;
/// The allowance grows by one cycle in so many.
const SHARE: u64 = 4;

/// What a receiver may still cost its senders, or what a sender may still wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    cycles: u64,
    limit: u64,
    updated: Cycles,
    /// When it was last found waiting, if it has been since without a break.
    waiting_since: Option<Cycles>,
}

impl Allowance {
    pub(crate) fn new(cycles_per_microsecond: u64, now: Cycles) -> Self {
        let limit = ALLOWANCE * cycles_per_microsecond;
        Self { cycles: limit, limit, updated: now, waiting_since: None }
    }

    /// There is no room: true if the sender may wait.
    pub(crate) fn may_hold(&mut self, now: Cycles) -> bool {
        self.refill(now);
        let since = *self.waiting_since.get_or_insert(now);
        let waited = now.saturating_sub(since);
        self.waiting_since = Some(now);
        self.cycles = self.cycles.saturating_sub(waited);
        if self.cycles == 0 {
            self.waiting_since = None;
        }
        self.cycles > 0
    }

    /// The wait is over.
    #[inline]
    pub(crate) fn took(&mut self) {
        self.waiting_since = None;
    }

    /// When a sender that waits from `now` on will have waited long enough.
    pub(crate) fn deadline(&self, now: Cycles) -> Cycles {
        now + self.cycles
    }

    fn refill(&mut self, now: Cycles) {
        let earned = now.saturating_sub(self.updated) / SHARE;
        if earned > 0 {
            self.cycles = (self.cycles + earned).min(self.limit);
            self.updated = now;
        }
    }
}

#[cfg(test)]
mod tests;
