//! Bytes of guest memory.
//!
//! # Why racing with the guest is sound enough
//! The guest, and other workers on behalf of other devices of the same guest, read and write these bytes at any time.
//! No Rust reference to plain bytes of them is ever made, so the compiler derives nothing from them: bulk copies go
//! through raw pointers between guest memory and private memory, or between guest memory and guest memory; words that
//! order other accesses go through atomics. A copy that races with a write holds some mixture of old and new bytes, which
//! is what a device would have read by DMA too, and any mixture is a valid sequence of bytes.
//!
//! What was copied out is then fixed: an optimisation barrier after the copy keeps the compiler from going back to
//! guest memory for a byte that it has a private copy of.

// UNSAFETY: guest memory is reached through raw pointers only.
#![expect(unsafe_code, reason = "guest memory is raw memory")]

#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use zerocopy::FromBytes;

use crate::cpu::{prefetch_read, prefetch_write, settle};
use crate::mapping::HostAddr;
use crate::{Access, DmaError};

/// Contiguous bytes of guest memory, taken for one kind of access, that stay mapped for `'a`.
///
/// Offsets count from the start of the slice. Every method checks its bounds and the access that the slice was taken
/// for; both are comparisons with registers, and an error is built off the straight path. There is no way to get a
/// reference to the bytes.
#[derive(Clone, Copy)]
pub struct GuestSlice<'a> {
    host: HostAddr,
    len: usize,
    access: Access,
    view: PhantomData<&'a ()>,
}

impl<'a> GuestSlice<'a> {
    /// # Safety
    /// `len` bytes at `host` are guest memory that is mapped for `access` as long as `'a`, and no Rust reference to
    /// plain bytes of them exists meanwhile.
    pub(crate) unsafe fn new(host: HostAddr, len: usize, access: Access) -> Self {
        Self { host, len, access, view: PhantomData }
    }

    /// A slice of no bytes.
    pub(crate) fn empty(access: Access) -> Self {
        Self { host: HostAddr(NonNull::dangling()), len: 0, access, view: PhantomData }
    }

    /// # Safety
    /// The memory stays mapped as long as the result or a copy of it is used.
    pub(crate) unsafe fn forget_lifetime(self) -> GuestSlice<'static> {
        GuestSlice { view: PhantomData, ..self }
    }

    /// Length in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for a slice of no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `len` bytes from `offset` on, if they lie in this slice.
    #[inline]
    #[must_use]
    pub fn sub(&self, offset: usize, len: usize) -> Option<Self> {
        if offset > self.len || len > self.len - offset {
            return None;
        }
        // SAFETY: `offset` is at most the length of the slice, all of which is mapped.
        let host = HostAddr(unsafe { self.host.0.add(offset) });
        Some(Self { host, len, ..*self })
    }

    /// Copies bytes from `offset` on into private memory. Each byte of `to` is settled when this returns.
    ///
    /// # Errors
    /// [`DmaError::OutOfBounds`], [`DmaError::WrongAccess`]; nothing was copied.
    #[inline]
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), DmaError> {
        let from = self.pointer(offset, to.len(), Access::Read)?;
        // SAFETY: `from` is mapped for reading for the length of `to`, which is private memory: it cannot overlap.
        unsafe { ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        settle(to.as_mut_ptr());
        Ok(())
    }

    /// Copies private bytes into the slice from `offset` on.
    ///
    /// # Errors
    /// [`DmaError::OutOfBounds`], [`DmaError::WrongAccess`]; nothing was written.
    #[inline]
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<(), DmaError> {
        let to = self.pointer(offset, from.len(), Access::Write)?;
        // SAFETY: `to` is mapped for writing for the length of `from`, which is private memory: it cannot overlap.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        Ok(())
    }

    /// A private copy of the value at `offset`, of any alignment, in the byte order that `T` declares.
    ///
    /// # Errors
    /// [`DmaError::OutOfBounds`], [`DmaError::WrongAccess`].
    #[inline]
    pub fn read_obj<T: FromBytes>(&self, offset: usize) -> Result<T, DmaError> {
        let from = self.pointer(offset, size_of::<T>(), Access::Read)?;
        let mut object = T::new_zeroed();
        let to = (&raw mut object).cast::<u8>();
        // SAFETY: `from` is mapped for reading for the size of a `T`, any bytes of which are a valid `T`; `object` is
        // private memory.
        unsafe { ptr::copy_nonoverlapping(from, to, size_of::<T>()) };
        settle(to);
        Ok(object)
    }

    /// Loads the little-endian word at `offset`: one load, in no order with others.
    ///
    /// # Errors
    /// [`DmaError::OutOfBounds`], [`DmaError::WrongAccess`], [`DmaError::Misaligned`].
    #[inline]
    pub fn load_u64(&self, offset: usize) -> Result<u64, DmaError> {
        Ok(u64::from_le(self.word64(offset, Access::Read)?.load(Ordering::Relaxed)))
    }

    /// Loads the little-endian word at `offset`; what is read after it in program order is read after it. For the
    /// word of a descriptor with its done bit.
    ///
    /// # Errors
    /// As [`GuestSlice::load_u64`].
    #[inline]
    pub fn load_u64_acquire(&self, offset: usize) -> Result<u64, DmaError> {
        Ok(u64::from_le(self.word64(offset, Access::Read)?.load(Ordering::Acquire)))
    }

    /// Stores a little-endian word at `offset`; the guest that sees it also sees all that was written before it. For
    /// the word of a descriptor with its done bit.
    ///
    /// # Errors
    /// As [`GuestSlice::load_u64`].
    #[inline]
    pub fn store_u64_release(&self, offset: usize, value: u64) -> Result<(), DmaError> {
        self.word64(offset, Access::Write)?.store(value.to_le(), Ordering::Release);
        Ok(())
    }

    /// Stores a little-endian 32-bit word at `offset`; the guest that sees it also sees all that was written before
    /// it. For the write-back of a ring's head.
    ///
    /// # Errors
    /// As [`GuestSlice::load_u64`].
    #[inline]
    pub fn store_u32_release(&self, offset: usize, value: u32) -> Result<(), DmaError> {
        let pointer = self.aligned(offset, size_of::<u32>(), Access::Write)?;
        // SAFETY: aligned and mapped for writing. That others access the same bytes otherwise is the guest's affair,
        // see the head of this module.
        let word = unsafe { AtomicU32::from_ptr(pointer.cast()) };
        word.store(value.to_le(), Ordering::Release);
        Ok(())
    }

    /// Asks the processor to fetch the cache line at `offset` for reading. Nothing if it lies outside of the slice.
    #[inline]
    pub fn prefetch_read(&self, offset: usize) {
        if offset < self.len {
            prefetch_read(self.host.0.as_ptr().wrapping_add(offset));
        }
    }

    /// Asks the processor to fetch the cache line at `offset` for writing. Nothing if it lies outside of the slice.
    #[inline]
    pub fn prefetch_write(&self, offset: usize) {
        if offset < self.len {
            prefetch_write(self.host.0.as_ptr().wrapping_add(offset));
        }
    }

    /// The address of `offset`, at which `len` bytes are mapped for `access`.
    #[inline]
    pub(crate) fn pointer(&self, offset: usize, len: usize, access: Access) -> Result<*mut u8, DmaError> {
        let Some(part) = self.sub(offset, len) else {
            return Err(DmaError::OutOfBounds { offset, len, size: self.len });
        };
        if !self.access.allows(access) {
            return Err(DmaError::WrongAccess { access });
        }
        Ok(part.host.0.as_ptr())
    }

    /// As `pointer`, for a word of `size` bytes that is to be accessed at once.
    #[inline]
    fn aligned(&self, offset: usize, size: usize, access: Access) -> Result<*mut u8, DmaError> {
        let pointer = self.pointer(offset, size, access)?;
        if !pointer.addr().is_multiple_of(size) {
            return Err(DmaError::Misaligned { offset, align: size });
        }
        Ok(pointer)
    }

    #[inline]
    fn word64(&self, offset: usize, access: Access) -> Result<&'a AtomicU64, DmaError> {
        let pointer = self.aligned(offset, size_of::<u64>(), access)?;
        // SAFETY: aligned and mapped for `access` as long as `'a`; callers only load for `Read` and only store for
        // `Write`. That others access the same bytes otherwise is the guest's affair, see the head of this module.
        Ok(unsafe { AtomicU64::from_ptr(pointer.cast()) })
    }
}

impl fmt::Debug for GuestSlice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestSlice")
            .field("len", &self.len)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
