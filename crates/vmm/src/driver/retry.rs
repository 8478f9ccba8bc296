//! When to try again.

use std::time::Duration;

/// Delays that double, from the first to the longest.
#[derive(Debug)]
pub(super) struct Retry {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Retry {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first.min(longest) }
    }

    /// A connection has ended that lasted so long. A VMM that greets and dies at once must not make us spin.
    pub(super) fn lasted(&mut self, time: Duration) {
        if time >= self.longest {
            self.next = self.first.min(self.longest);
        }
    }

    /// How long to wait now.
    pub(super) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(self.longest);
        delay
    }
}

#[cfg(test)]
mod tests;
