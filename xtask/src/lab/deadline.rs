//! Every wait in the lab ends: at its own limit, or when the time of the case is up.

use std::time::{Duration, Instant};

/// The instant at which a case must have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// A deadline this far from now.
    pub(super) fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// The end of a wait that may take `limit`, but not longer than the case has.
    pub(super) fn within(self, limit: Duration) -> Instant {
        self.0.min(Instant::now() + limit)
    }
}
