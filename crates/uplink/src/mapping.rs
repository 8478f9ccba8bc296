//! Memory that is shared with the kernel: rings, and the pool that frames are received into.

// UNSAFETY: mapped memory is reached through raw pointers only.
#![expect(unsafe_code, reason = "memory shared with the kernel is raw memory")]

use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags};

/// A shared, writable mapping of a file or socket. The kernel, and for the pool the views of its DMA domain, access the
/// same bytes; so no reference to plain bytes of them is ever made: they are copied, or loaded and stored atomically.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread; words are accessed atomically, and bytes are copied by raw pointers.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `fd` from `offset` on, with their pages made now rather than on the first frame.
    ///
    /// The bytes must stay there: a memfd that is sealed against shrinking, or rings of a socket, which cannot shrink
    /// while they are mapped.
    pub(crate) fn new(fd: impl AsFd, offset: u64, len: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, access, flags, fd, offset) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Address of the first byte, for the kernel.
    pub(crate) fn address(&self) -> u64 {
        self.base.as_ptr().addr() as u64
    }

    /// The place of `len` bytes from `at` on, all of which are mapped.
    ///
    /// # Panics
    /// If they do not lie in the mapping: offsets are laid out by this crate or checked before.
    #[inline]
    pub(crate) fn at(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at <= self.len && len <= self.len - at, "{len} bytes at {at} of {}", self.len);
        self.base.as_ptr().wrapping_add(at)
    }

    /// The 32-bit word at `at`, a multiple of 4.
    #[inline]
    pub(crate) fn word32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4), "word at {at}");
        let word = self.at(at, 4).cast();
        // SAFETY: mapped for reading and writing as long as `self`, and aligned, since mappings start on a page. All
        // access to words of a ring is atomic or the kernel's.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// The 64-bit word at `at`, a multiple of 8.
    #[inline]
    pub(crate) fn word64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8), "word at {at}");
        let word = self.at(at, 8).cast();
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// Copies bytes from `at` on into private memory.
    #[inline]
    pub(crate) fn read(&self, at: usize, to: &mut [u8]) {
        let from = self.at(at, to.len());
        // SAFETY: `from` is mapped for the length of `to`, which is private memory: it cannot overlap.
        unsafe { ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
    }

    /// Copies private bytes to `at`.
    #[inline]
    pub(crate) fn write(&self, at: usize, from: &[u8]) {
        let to = self.at(at, from.len());
        // SAFETY: `to` is mapped for the length of `from`, which is private memory: it cannot overlap.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
    }

    /// Copies `len` bytes from `from_at` of another mapping to `at`.
    #[inline]
    pub(crate) fn copy_from(&self, at: usize, from: &Self, from_at: usize, len: usize) {
        let (to, from) = (self.at(at, len), from.at(from_at, len));
        // SAFETY: both are mapped for `len` bytes; `ptr::copy` allows that they overlap.
        unsafe { ptr::copy(from, to, len) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`, and no reference into it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping");
    }
}
