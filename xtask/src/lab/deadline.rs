//! Every wait in the lab ends: at its own limit, or when the time of the case is up.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// How long something may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a state that nothing announces.
const PERIOD: Duration = Duration::from_millis(20);

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

/// Waits for something that nothing announces.
pub(super) fn await_that(mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !holds()? {
        ensure!(Instant::now() < until, "it does not come about within {PATIENCE:?}");
        thread::sleep(PERIOD);
    }
    Ok(())
}
