//! A bound on log lines that peers can cause.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lines that may come at once, and per period.
const BURST: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Lets [`BURST`] events through in each second.
#[derive(Debug)]
pub(crate) struct RateLimit(Mutex<(Option<Instant>, u32)>);

impl RateLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new((None, 0)))
    }

    /// True if this event may be logged.
    pub(crate) fn allow(&self) -> bool {
        self.allow_at(Instant::now())
    }

    fn allow_at(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (since, count) = &mut *state;
        if since.is_none_or(|s| now.duration_since(s) >= PERIOD) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        *count <= BURST
    }
}

#[cfg(test)]
mod tests;
