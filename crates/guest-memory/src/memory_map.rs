//! The immutable table of a domain's regions.

use crate::MapError;
use crate::region::Region;

/// All regions of a domain, sorted by bus address, none overlapping another.
#[derive(Debug, Default)]
pub(crate) struct MemoryMap {
    regions: Box<[Region]>,
}

impl MemoryMap {
    #[inline]
    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Sum of the sizes in bytes. It cannot overflow: the limit of a domain is a `u64` too.
    pub(crate) fn bytes(&self) -> u64 {
        self.regions.iter().map(|region| region.info().size).sum()
    }

    /// Index of the region that holds `addr`, and the offset in it.
    pub(crate) fn find(&self, addr: u64) -> Option<(usize, u64)> {
        let index = self.regions.partition_point(|region| region.info().iova <= addr).checked_sub(1)?;
        let offset = self.regions[index].offset_of(addr)?;
        Some((index, offset))
    }

    /// Where a region of `size` bytes at `iova` would stand, if nothing is in its way. `iova + size - 1` does not wrap.
    pub(crate) fn place(&self, iova: u64, size: u64) -> Result<usize, MapError> {
        let index = self.regions.partition_point(|region| region.info().last() < iova);
        match self.regions.get(index).map(Region::info) {
            Some(next) if next.iova <= iova + (size - 1) => {
                Err(MapError::Overlaps { iova: next.iova, size: next.size })
            }
            _ => Ok(index),
        }
    }

    /// This table with `region` in the place that [`MemoryMap::place`] found.
    pub(crate) fn with(&self, place: usize, region: Region) -> Self {
        let (before, after) = self.regions.split_at(place);
        Self { regions: before.iter().cloned().chain([region]).chain(after.iter().cloned()).collect() }
    }

    /// This table without the regions in the `size` bytes from `iova` on, and those regions. `iova + size - 1` does
    /// not wrap.
    pub(crate) fn without(&self, iova: u64, size: u64) -> Result<(Self, Vec<Region>), MapError> {
        let last = iova + (size - 1);
        let start = self.regions.partition_point(|region| region.info().last() < iova);
        let end = self.regions.partition_point(|region| region.info().iova <= last);
        let removed = &self.regions[start..end];
        if removed.is_empty() {
            return Err(MapError::NotMapped { iova, size });
        }
        // Those in the middle lie between the outer two.
        let outer = [removed.first(), removed.last()].into_iter().flatten().map(Region::info);
        if let Some(cut) = outer.into_iter().find(|info| info.iova < iova || info.last() > last) {
            return Err(MapError::Bisects { iova: cut.iova, size: cut.size });
        }
        let kept = self.regions[..start].iter().chain(&self.regions[end..]).cloned().collect();
        Ok((Self { regions: kept }, removed.to_vec()))
    }
}
