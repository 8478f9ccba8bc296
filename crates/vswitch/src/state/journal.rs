//! What decisions have charged, so that it can be taken back.

use crate::PortId;
use crate::extension::acl::Meter;
use crate::extension::limiter::Bucket;

/// Charges that can be taken back at a time; what is beyond stands. More than the limits of a burst need, and the meters
/// of most.
const CAPACITY: usize = 4096;

/// One charge.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Charge {
    /// To a port's storm limit, which stood so before.
    Storm { port: PortId, before: Bucket },
    /// To a port's bandwidth, likewise.
    Bandwidth { port: PortId, before: Bucket },
    /// One frame to a meter.
    Meter { meter: usize, octets: u64 },
}

/// The charges since they were last settled, in their order. Made once; it does not grow.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Vec<Charge>);

impl Journal {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(CAPACITY))
    }

    #[inline]
    pub(crate) fn push(&mut self, charge: Charge) {
        if self.0.len() < CAPACITY {
            self.0.push(charge);
        }
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the last charge out, if there are more than `mark`.
    pub(crate) fn pop(&mut self, mark: usize) -> Option<Charge> {
        if self.0.len() > mark { self.0.pop() } else { None }
    }
}

/// Counts a frame.
pub(crate) fn count(meters: &mut [Meter], meter: usize, octets: u64, journal: &mut Journal) {
    if let Some(counted) = meters.get_mut(meter) {
        counted.frames += 1;
        counted.octets += octets;
        journal.push(Charge::Meter { meter, octets });
    }
}
