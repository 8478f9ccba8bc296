//! A bound on log lines that peers can cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may come at once, and per period.
const BURST: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Lets [`BURST`] events through in each second.
#[derive(Debug)]
pub(crate) struct RateLimit(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Option<Instant>,
    let_through: u32,
    /// Events that were not let through, since the last that was.
    left_out: u64,
}

impl RateLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Window { since: None, let_through: 0, left_out: 0 }))
    }

    /// `Some` if this event may be logged, with the number of events that were left out before it.
    pub(crate) fn allow(&self) -> Option<u64> {
        self.allow_at(Instant::now())
    }

    fn allow_at(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            (window.since, window.let_through) = (Some(now), 0);
        }
        if window.let_through == BURST {
            window.left_out += 1;
            return None;
        }
        window.let_through += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests;
