//! The memory of one requester id.

#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::memory_map::MemoryMap;
use crate::region::{Region, RegionInfo};
use crate::{Access, MapError, MemoryView, PAGE_SIZE};

/// What one domain may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most regions at a time. All domains share [`MAX_MAPPINGS`](crate::MAX_MAPPINGS).
    pub max_regions: usize,
    /// Most bytes at a time. Best set to the size of the VM's memory: whoever may map a sparse file of this size can
    /// make this process fill it with pages.
    pub max_bytes: u64,
}

impl Default for Limits {
    /// 4,096 regions: QEMU needs some twenty, some hundreds with hot-plugged memory devices; each change copies the
    /// table, which stays under 200 KiB. 2 TiB: the largest guests in common use, and sixty such domains fit in the
    /// address space of a process.
    fn default() -> Self {
        Self { max_regions: 4096, max_bytes: 2 << 40 }
    }
}

/// A region to be mapped. All numbers come from the peer and are checked.
#[derive(Clone, Copy, Debug)]
pub struct MapRequest<'fd> {
    /// Bus address of the first byte.
    pub iova: u64,
    /// Size in bytes.
    pub size: u64,
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// The device may write.
    pub writable: bool,
    /// The device may read.
    pub readable: bool,
    /// The file. It may be closed after the call.
    pub fd: BorrowedFd<'fd>,
}

impl MapRequest<'_> {
    /// The region that is asked for, if it can exist at all.
    fn check(&self) -> Result<RegionInfo, MapError> {
        check_range(self.iova, self.size)?;
        if let Some(value) =
            [self.iova, self.size, self.offset].into_iter().find(|value| value % PAGE_SIZE != 0)
        {
            return Err(MapError::Misaligned { value });
        }
        let access = Access::from_flags(self.readable, self.writable).ok_or(MapError::NoAccess)?;
        Ok(RegionInfo { iova: self.iova, size: self.size, offset: self.offset, access })
    }
}

/// All that the devices of one requester id can reach: bus addresses, and the guest memory mapped at them.
///
/// Mapping and unmapping are for control threads: they take a lock among themselves and copy the table of regions.
/// Views are for workers: they take no lock.
#[derive(Debug)]
pub struct DmaDomain {
    limits: Limits,
    map: ArcSwap<MemoryMap>,
    /// Held while the table is replaced.
    writer: Mutex<()>,
    faulted: Arc<AtomicBool>,
}

impl DmaDomain {
    /// A domain in which nothing is mapped.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            map: ArcSwap::default(),
            writer: Mutex::new(()),
            faulted: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Maps a region. Views made after this see it.
    ///
    /// # Errors
    /// The range, the file or a limit does not allow it; nothing has changed then.
    pub fn map(&self, request: MapRequest<'_>) -> Result<(), MapError> {
        let info = request.check()?;
        self.replace(|current| {
            let place = current.place(info.iova, info.size)?;
            let held = current.regions().len();
            if held >= self.limits.max_regions {
                return Err(MapError::TooManyRegions { max: self.limits.max_regions });
            }
            if info.size > self.limits.max_bytes.saturating_sub(current.bytes()) {
                return Err(MapError::TooManyBytes { size: info.size, max: self.limits.max_bytes });
            }
            let region = Region::map(request.fd, info, Arc::clone(&self.faulted), held)?;
            Ok((current.with(place, region), ()))
        })
    }

    /// Unmaps all regions in the range, as VFIO does: at least one, and none in part. The range may be larger than
    /// the regions in it. Views made after this do not see them; for those of before, see [`Retired`].
    ///
    /// # Errors
    /// The range is impossible, holds no region or cuts one; nothing has changed then.
    pub fn unmap(&self, iova: u64, size: u64) -> Result<Retired, MapError> {
        check_range(iova, size)?;
        self.replace(|current| {
            let (map, regions) = current.without(iova, size)?;
            Ok((map, Retired { regions }))
        })
    }

    /// Unmaps everything.
    pub fn unmap_all(&self) -> Retired {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.map.swap(Arc::default());
        Retired { regions: old.regions().to_vec() }
    }

    /// What is mapped, in the order of bus addresses.
    #[must_use]
    pub fn regions(&self) -> Vec<RegionInfo> {
        self.map.load().regions().iter().map(|region| *region.info()).collect()
    }

    /// Number of bytes mapped.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.map.load().bytes()
    }

    /// The memory as it is mapped now. Costs some tens of nanoseconds; meant to be made once per burst and dropped before
    /// the worker's next quiescent point. A thread that holds more than eight views at a time pays a reference count
    /// for each further one.
    #[must_use]
    pub fn view(&self) -> MemoryView {
        MemoryView::new(self.map.load())
    }

    /// True once a page of a mapped file was touched and found gone, because the file had shrunk or memory had run
    /// out. The region holds zeros since then and is no longer the guest's: close the session. It stays true for
    /// the life of the domain.
    #[must_use]
    pub fn faulted(&self) -> bool {
        self.faulted.load(Ordering::Relaxed)
    }

    /// Replaces the table by what `change` makes of it. One change at a time.
    fn replace<T>(
        &self,
        change: impl FnOnce(&MemoryMap) -> Result<(MemoryMap, T), MapError>,
    ) -> Result<T, MapError> {
        // The lock guards no data that a panic could have left half changed.
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (map, result) = change(&self.map.load())?;
        self.map.store(Arc::new(map));
        Ok(result)
    }
}

/// Regions that were unmapped but may still be in use by views made before. They stay accessible until this and
/// the last such view are dropped, whichever comes last.
///
/// The peer may be told that a region is unmapped when no worker can access it any more: after each has passed a
/// quiescent point, or when [`Retired::in_use`] says so.
#[derive(Debug)]
#[must_use = "the peer may be told of the unmapping only when the regions are out of use"]
pub struct Retired {
    regions: Vec<Region>,
}

impl Retired {
    /// False once no view is left that can access any of the regions, and all accesses are done.
    #[must_use]
    pub fn in_use(&self) -> bool {
        let in_use = self.regions.iter().any(Region::is_shared);
        // Pairs with the release of the reference count by the last view: its accesses happened before.
        fence(Ordering::Acquire);
        in_use
    }
}

/// Checks that a range has bytes and does not wrap.
fn check_range(iova: u64, size: u64) -> Result<(), MapError> {
    let Some(beyond_first) = size.checked_sub(1) else {
        return Err(MapError::Empty { iova });
    };
    iova.checked_add(beyond_first).map(|_| ()).ok_or(MapError::Wraps { start: iova, size })
}
