//! Pages of atomic words in a memfd.

// UNSAFETY: the words live in a file mapping, which only raw pointers reach.
#![expect(unsafe_code, reason = "file mappings are raw memory")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// Bytes of a page, the unit in which pages are made and shared.
const PAGE: usize = 4096;

/// Why pages could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// The operating system refused.
    #[error("cannot make or map shared pages")]
    Os(#[from] io::Error),
    /// The file could be resized while it is mapped, which would be fatal.
    #[error("file is not sealed against resizing")]
    NotSealed,
    /// The file has another length than the state that it should hold.
    #[error("file has {found} bytes, {expected} are needed")]
    WrongLength {
        /// Length of the file in bytes.
        found: u64,
        /// Length needed in bytes.
        expected: usize,
    },
    /// The part to be mapped is none of the file.
    #[error("{length} bytes at offset {offset} are no part of a file of {found} bytes that begins on a page")]
    NoSuchPart {
        /// Length of the file in bytes.
        found: u64,
        /// Where the part begins.
        offset: u64,
        /// Bytes.
        length: usize,
    },
}

/// The length of a file that cannot shrink.
fn sealed_length(fd: &OwnedFd) -> Result<u64, PagesError> {
    // Only files in memory have seals at all.
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| PagesError::NotSealed)?;
    if !seals.contains(SealFlags::SHRINK) {
        return Err(PagesError::NotSealed);
    }
    Ok(u64::try_from(rustix::fs::fstat(fd).map_err(io::Error::from)?.st_size).unwrap_or(0))
}

/// Whole pages of 32-bit words in a memfd. The memfd is sealed against resizing, so that the words stay readable
/// whatever another holder of the file descriptor does.
pub struct SharedPages {
    words: NonNull<AtomicU32>,
    length: usize,
    fd: OwnedFd,
}

// SAFETY: the mapping belongs to no thread and is only reached through atomics.
unsafe impl Send for SharedPages {}
// SAFETY: as above.
unsafe impl Sync for SharedPages {}

impl SharedPages {
    /// Makes `pages` pages of zeros in a new memfd called `name` (for `/proc/PID/fd`).
    ///
    /// # Errors
    /// No memory or file descriptor left.
    pub fn create(name: &str, pages: usize) -> Result<Self, PagesError> {
        let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(io::Error::from)?;
        rustix::fs::ftruncate(&fd, (pages * PAGE) as u64).map_err(io::Error::from)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&fd, seals).map_err(io::Error::from)?;
        Self::open(fd, pages)
    }

    /// Maps pages that [`SharedPages::create`] made, here or in an earlier process.
    ///
    /// # Errors
    /// The file is not of `pages` pages or not sealed.
    pub fn open(fd: OwnedFd, pages: usize) -> Result<Self, PagesError> {
        let expected = pages * PAGE;
        let found = sealed_length(&fd)?;
        if expected == 0 || found != expected as u64 {
            return Err(PagesError::WrongLength { found, expected });
        }
        Self::map(fd, 0, expected)
    }

    /// Maps `length` bytes of a peer's file from byte `offset` on, as words: a last one that is not whole reaches into
    /// what the file's last page holds beyond. The file is sealed against shrinking if its owner has not done so.
    ///
    /// # Errors
    /// The part is empty, does not begin on a page or does not lie in the file, or the file cannot be sealed, so that
    /// its owner could shrink it under the mapping.
    pub fn open_part(fd: OwnedFd, offset: u64, length: usize) -> Result<Self, PagesError> {
        // Refused if it has been done already, or cannot be: the check tells which.
        let _ = rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK);
        let found = sealed_length(&fd)?;
        let end = offset.checked_add(length as u64);
        if length == 0 || !offset.is_multiple_of(PAGE as u64) || end.is_none_or(|end| end > found) {
            return Err(PagesError::NoSuchPart { found, offset, length });
        }
        Self::map(fd, offset, length)
    }

    /// Maps a part of a file that is that long and sealed.
    fn map(fd: OwnedFd, offset: u64, length: usize) -> Result<Self, PagesError> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let address =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, &fd, offset) };
        let words = NonNull::new(address.map_err(io::Error::from)?).ok_or(io::ErrorKind::OutOfMemory);
        Ok(Self { words: words.map_err(io::Error::from)?.cast(), length: length.div_ceil(4), fd })
    }

    /// All words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping is `length` words long, the last of which may lie in the rest of a page, page aligned, lives as long as `self`, cannot shrink (sealed),
        // and every value of a word is a valid `AtomicU32`.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.length) }
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `open`, and no reference into it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), self.length * 4) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping");
    }
}

impl AsFd for SharedPages {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::fmt::Debug for SharedPages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedPages").field("words", &self.length).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum Backing {
    Pages(Arc<SharedPages>),
    Heap(Arc<[AtomicU32]>),
}

/// A window of 32-bit words, shared by all its clones. Loads acquire and stores release, so that what a thread wrote
/// before it stored a word is seen by the thread that loads the word.
#[derive(Clone, Debug)]
pub struct Words {
    backing: Backing,
    start: usize,
    length: usize,
}

impl Words {
    /// All words of `pages`.
    #[must_use]
    pub fn new(pages: Arc<SharedPages>) -> Self {
        let length = pages.words().len();
        Self { backing: Backing::Pages(pages), start: 0, length }
    }

    /// `length` words of zeros that end with the process.
    #[must_use]
    pub fn heap(length: usize) -> Self {
        let words = (0..length).map(|_| AtomicU32::new(0)).collect();
        Self { backing: Backing::Heap(words), start: 0, length }
    }

    /// The window of `length` words from word `start` on.
    ///
    /// # Panics
    /// If it does not lie within this one: windows are laid out by us, never by a peer.
    #[must_use]
    pub fn window(&self, start: usize, length: usize) -> Self {
        let end = start.checked_add(length);
        assert!(end.is_some_and(|e| e <= self.length), "window {start}+{length} of {} words", self.length);
        Self { backing: self.backing.clone(), start: self.start + start, length }
    }

    /// The words themselves.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[AtomicU32] {
        let all = match &self.backing {
            Backing::Pages(pages) => pages.words(),
            Backing::Heap(words) => words,
        };
        &all[self.start..self.start + self.length]
    }

    /// Number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// True for a window of no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The word at `index`. Panics past the end, like the other accessors.
    #[inline]
    #[must_use]
    pub fn load(&self, index: usize) -> u32 {
        self.as_slice()[index].load(Ordering::Acquire)
    }

    /// Stores a word.
    #[inline]
    pub fn store(&self, index: usize, value: u32) {
        self.as_slice()[index].store(value, Ordering::Release);
    }

    /// Sets the bits of `mask`; the word as it was before.
    #[inline]
    pub fn fetch_or(&self, index: usize, mask: u32) -> u32 {
        self.as_slice()[index].fetch_or(mask, Ordering::SeqCst)
    }

    /// Keeps only the bits of `mask`; the word as it was before.
    #[inline]
    pub fn fetch_and(&self, index: usize, mask: u32) -> u32 {
        self.as_slice()[index].fetch_and(mask, Ordering::SeqCst)
    }

    /// Adds with wrap-around; the word as it was before.
    #[inline]
    pub fn fetch_add(&self, index: usize, value: u32) -> u32 {
        self.as_slice()[index].fetch_add(value, Ordering::SeqCst)
    }

    /// Stores zero into every word.
    pub fn clear(&self) {
        for word in self.as_slice() {
            word.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;
