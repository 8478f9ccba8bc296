//! Which DMA maps the client has: no two overlap, and what is unmapped was mapped.

use std::collections::BTreeMap;

use crate::device::{DmaRange, DmaUnmap};
use crate::reason::Reason;

/// The ranges, by first address.
#[derive(Debug)]
pub(crate) struct DmaMaps {
    ranges: BTreeMap<u64, DmaRange>,
    limit: u32,
}

impl DmaMaps {
    pub(crate) fn new(limit: u32) -> Self {
        Self { ranges: BTreeMap::new(), limit }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = DmaRange> + '_ {
        self.ranges.values().copied()
    }

    /// Whether there is room for one more, and at this place.
    pub(crate) fn check(&self, range: DmaRange) -> Result<(), Reason> {
        // Of the ranges that begin at or before the new one's end, the last one reaches furthest: none overlap.
        let below = self.ranges.range(..=range.last()).next_back();
        if below.is_some_and(|(_, other)| other.last() >= range.iova()) {
            return Err(Reason::DmaOverlap);
        }
        if self.ranges.len() >= self.limit as usize {
            return Err(Reason::DmaTooMany);
        }
        Ok(())
    }

    pub(crate) fn insert(&mut self, range: DmaRange) {
        self.ranges.insert(range.iova(), range);
    }

    pub(crate) fn contains(&self, range: DmaRange) -> bool {
        self.ranges.get(&range.iova()) == Some(&range)
    }

    pub(crate) fn remove(&mut self, unmap: DmaUnmap) {
        match unmap {
            DmaUnmap::Range(range) => drop(self.ranges.remove(&range.iova())),
            DmaUnmap::All => self.ranges.clear(),
        }
    }
}

#[cfg(test)]
mod tests;
