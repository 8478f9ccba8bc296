//! A region of a domain: bus addresses with memory behind them.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::mapping::{HostAddr, Mapping};
use crate::{Access, MapError, backing};

/// What is mapped where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// Bus address of the first byte.
    pub iova: u64,
    /// Size in bytes.
    pub size: u64,
    /// Offset of the first byte in its file.
    pub offset: u64,
    /// What a device may do with it.
    pub access: Access,
}

impl RegionInfo {
    /// Bus address of the last byte. A region may end at the end of the address space, so that the address after it
    /// need not exist.
    pub(crate) fn last(&self) -> u64 {
        self.iova + (self.size - 1)
    }
}

/// A region with its memory.
#[derive(Clone)]
pub(crate) struct Region {
    info: RegionInfo,
    /// Where `info.iova` lies in this process; a copy of what `mapping` knows, to spare the hot path a load.
    host: HostAddr,
    mapping: Arc<Mapping>,
}

impl Region {
    /// Maps the memory of `info` from `fd`, all of its bytes and for its access. `faulted` and `held` are for
    /// [`Mapping::new`].
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        info: RegionInfo,
        faulted: Arc<AtomicBool>,
        held: usize,
    ) -> Result<Self, MapError> {
        let window = backing::inspect(fd, info.offset, info.size, info.access)?;
        let mapping = Mapping::new(fd, window, info.access, faulted, held)?;
        // Last, so that a region that is refused leaves no trace in the peer's file.
        backing::seal_against_shrinking(fd);
        Ok(Self { info, host: mapping.host(), mapping: Arc::new(mapping) })
    }

    #[inline]
    pub(crate) fn info(&self) -> &RegionInfo {
        &self.info
    }

    /// First byte of the region. All `info().size` bytes from there are mapped for `info().access` while this value or
    /// a clone of it lives.
    #[inline]
    pub(crate) fn host(&self) -> HostAddr {
        self.host
    }

    /// Offset of `addr` in the region, if it lies there.
    #[inline]
    pub(crate) fn offset_of(&self, addr: u64) -> Option<u64> {
        let offset = addr.wrapping_sub(self.info.iova);
        (offset < self.info.size).then_some(offset)
    }

    /// True while anyone else, an older table in a view for instance, keeps the memory mapped.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.mapping) > 1
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}
