//! Limits of rate: storm limit in frames, maximum bandwidth in octets.
//!
//! The generic cell rate algorithm: a limited port is described by one instant, when it will have paid for all that it
//! sent. What it sends pushes that instant on; while it lies more than the tolerance ahead, nothing is admitted.

#[cfg(test)]
mod tests;

use port::Cycles;

/// A rate limit, prepared for a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Cycles that one unit costs, times 2^16.
    cost: u64,
    /// How far ahead of the clock a port may be.
    tolerance: Cycles,
}

/// Units whose price is reckoned with a fraction of this many bits.
const FRACTION: u32 = 16;

impl Rate {
    /// `units` per second, at least 1, with bursts of what is admitted in `tolerance`.
    pub(crate) fn new(units: u64, cycles_per_second: u64, tolerance: Cycles) -> Self {
        let cost = (u128::from(cycles_per_second) << FRACTION) / u128::from(units.max(1));
        Self { cost: u64::try_from(cost).unwrap_or(u64::MAX), tolerance }
    }

    fn price(self, units: u64) -> Cycles {
        let cycles = (u128::from(self.cost) * u128::from(units)) >> FRACTION;
        u64::try_from(cycles).unwrap_or(u64::MAX)
    }
}

/// What a port has used of a [`Rate`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    paid_at: Cycles,
}

impl Bucket {
    /// How long nothing is admitted, from `now` on; `None` if something is.
    pub(crate) fn wait(self, rate: Rate, now: Cycles) -> Option<Cycles> {
        let ahead = self.paid_at.saturating_sub(now);
        (ahead > rate.tolerance).then(|| ahead - rate.tolerance)
    }

    /// Admits `units`, if any are.
    pub(crate) fn admit(&mut self, rate: Rate, units: u64, now: Cycles) -> bool {
        let admitted = self.wait(rate, now).is_none();
        if admitted {
            self.paid_at = self.paid_at.max(now).saturating_add(rate.price(units));
        }
        admitted
    }
}
