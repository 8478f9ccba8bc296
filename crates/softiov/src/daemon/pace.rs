//! How often forwarding state is published because guests ask for it.
//!
//! A snapshot for the worker is made of the whole adapter: with hundreds of VPorts that takes longer than answering
//! a mailbox request. A guest that asks and asks must not keep the bus thread busy with it. So snapshots take at most
//! one part in [`SHARE`] of the time: after each, as many times its cost passes before the next, which holds all
//! changes of the meantime.

use std::time::{Duration, Instant};

/// Of this much time, one part may be spent on snapshots.
const SHARE: u32 = 16;

/// When the next snapshot may be made.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    not_before: Option<Instant>,
}

impl Pace {
    /// How long the next snapshot has to wait; zero if it may be made now.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// A snapshot was made in this time.
    pub(crate) fn spent(&mut self, began: Instant, ended: Instant) {
        let cost = ended.saturating_duration_since(began);
        self.not_before = Some(ended + cost * (SHARE - 1));
    }
}

#[cfg(test)]
mod tests;
