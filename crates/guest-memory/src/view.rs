//! A domain's memory as a worker sees it during a burst.

// UNSAFETY: hands out slices of mapped memory.
#![expect(unsafe_code, reason = "guest memory is raw memory")]

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::Arc;

use arc_swap::Guard;
use zerocopy::FromBytes;

use crate::mapping::HostAddr;
use crate::memory_map::MemoryMap;
use crate::region::Region;
use crate::{Access, DmaError, GuestSlice};

/// The memory of a domain as it was mapped when the view was made. It stays mapped as long as the view lives.
///
/// Finding an address costs a comparison if it lies in the same region as the last one, which nearly all do, else a
/// binary search.
///
/// No bytes are always allowed, wherever they are: nothing is accessed.
#[derive(Debug)]
pub struct MemoryView {
    map: Guard<Arc<MemoryMap>>,
    /// Index of the region that was found last.
    hint: Cell<usize>,
}

impl MemoryView {
    pub(crate) fn new(map: Guard<Arc<MemoryMap>>) -> Self {
        Self { map, hint: Cell::new(0) }
    }

    /// `len` bytes at `addr`, which must lie in one region.
    ///
    /// # Errors
    /// [`DmaError::Unmapped`], [`DmaError::Denied`], [`DmaError::Straddles`].
    #[inline]
    pub fn slice(&self, addr: u64, len: usize, access: Access) -> Result<GuestSlice<'_>, DmaError> {
        let slice = self.first_slice(addr, len, access)?;
        if slice.len() < len {
            return Err(DmaError::Straddles { addr, len, mapped: slice.len() as u64 });
        }
        Ok(slice)
    }

    /// The longest part of `len` bytes at `addr` that lies in one region: at least one byte of a buffer that is not
    /// empty. A buffer may straddle regions that follow one another without a gap.
    ///
    /// # Errors
    /// [`DmaError::Unmapped`], [`DmaError::Denied`].
    #[inline]
    pub fn first_slice(&self, addr: u64, len: usize, access: Access) -> Result<GuestSlice<'_>, DmaError> {
        if len == 0 {
            return Ok(GuestSlice::empty(access));
        }
        let (region, offset) = self.find(addr).ok_or(DmaError::Unmapped { addr })?;
        if !region.info().access.allows(access) {
            return Err(DmaError::Denied { addr, access });
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "offsets and sizes of what is mapped fit in a usize"
        )]
        let (offset, left) = (offset as usize, (region.info().size - offset) as usize);
        // SAFETY: the offset lies in the region, all of which is mapped.
        let host = HostAddr(unsafe { region.host().0.add(offset) });
        // SAFETY: no more than what is left of the region from there on, for an access that the region allows. The
        // table that `self` guards keeps the region mapped as long as the slice borrows `self`.
        Ok(unsafe { GuestSlice::new(host, len.min(left), access) })
    }

    /// Copies `to.len()` bytes at `addr` into private memory; they may lie in several adjacent regions.
    ///
    /// # Errors
    /// As [`MemoryView::first_slice`], for the first byte that is not there; `to` then holds the bytes before it.
    pub fn read_bytes(&self, addr: u64, to: &mut [u8]) -> Result<(), DmaError> {
        let len = to.len();
        self.for_each_slice(addr, len, Access::Read, |done, slice| {
            slice.read(0, &mut to[done..][..slice.len()])
        })
    }

    /// Copies private bytes to `addr`, into several adjacent regions if need be.
    ///
    /// # Errors
    /// As [`MemoryView::first_slice`], for the first byte that is not there; those before it are written, as on a bus.
    pub fn write_bytes(&self, addr: u64, from: &[u8]) -> Result<(), DmaError> {
        self.for_each_slice(addr, from.len(), Access::Write, |done, slice| {
            slice.write(0, &from[done..][..slice.len()])
        })
    }

    /// A private copy of the value at `addr`, of any alignment, in the byte order that `T` declares.
    ///
    /// # Errors
    /// As [`MemoryView::slice`].
    pub fn read_obj<T: FromBytes>(&self, addr: u64) -> Result<T, DmaError> {
        self.slice(addr, size_of::<T>(), Access::Read)?.read_obj(0)
    }

    /// Calls `each` with the slices that `len` bytes at `addr` are made of, and the number of bytes before each.
    #[inline]
    pub(crate) fn for_each_slice<'a>(
        &'a self,
        addr: u64,
        len: usize,
        access: Access,
        mut each: impl FnMut(usize, GuestSlice<'a>) -> Result<(), DmaError>,
    ) -> Result<(), DmaError> {
        let mut done = 0;
        while done < len {
            // Behind the end of the address space nothing is mapped.
            let next = addr.checked_add(done as u64).ok_or(DmaError::Unmapped { addr: u64::MAX })?;
            let slice = self.first_slice(next, len - done, access)?;
            each(done, slice)?;
            done += slice.len();
        }
        Ok(())
    }

    /// The region that holds `addr`, and the offset in it.
    #[inline]
    fn find(&self, addr: u64) -> Option<(&Region, u64)> {
        if let Some(region) = self.map.regions().get(self.hint.get())
            && let Some(offset) = region.offset_of(addr)
        {
            return Some((region, offset));
        }
        self.search(addr)
    }

    #[cold]
    fn search(&self, addr: u64) -> Option<(&Region, u64)> {
        let (index, offset) = self.map.find(addr)?;
        self.hint.set(index);
        Some((&self.map.regions()[index], offset))
    }
}
