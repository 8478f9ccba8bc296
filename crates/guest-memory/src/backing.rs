//! Which file descriptors may back guest memory.
//!
//! A page fault on a file of the peer's own file system (FUSE, NFS) is answered when the peer likes, and blocks the
//! thread until then. Only file systems that hold their pages in memory are taken.

#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, OFlags, SealFlags};
use rustix::io::Errno;

use crate::{Access, MapError, PAGE_SIZE};

/// `TMPFS_MAGIC` of linux/magic.h; memfds are on tmpfs too.
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// `HUGETLBFS_MAGIC` of linux/magic.h.
const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;

/// The part of a file that has to be mapped for a region to be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// File offset, a multiple of the file's page size.
    pub(crate) offset: u64,
    /// Length in bytes, a multiple of the file's page size.
    pub(crate) len: usize,
    /// Where the region starts in the window.
    pub(crate) lead: usize,
    /// The file's page size in bytes, a power of two.
    pub(crate) page: usize,
}

impl Window {
    /// Rounds a region of a file outwards to the file's pages. A VMM splits memory that is backed by huge pages at
    /// offsets that are multiples of small pages only, while the kernel maps huge pages whole.
    ///
    /// The caller has checked that the region lies in the file, so that the end is at most 2^63.
    fn around(offset: u64, size: u64, page: u64) -> Option<Self> {
        let start = offset & !(page - 1);
        let end = offset.checked_add(size)?.checked_next_multiple_of(page)?;
        Some(Self {
            offset: start,
            len: usize::try_from(end - start).ok()?,
            lead: usize::try_from(offset - start).ok()?,
            page: usize::try_from(page).ok()?,
        })
    }
}

/// Checks that `size` bytes at `offset` of a file can be mapped for `access` and never block.
pub(crate) fn inspect(
    fd: BorrowedFd<'_>,
    offset: u64,
    size: u64,
    access: Access,
) -> Result<Window, MapError> {
    let needed = offset.checked_add(size).ok_or(MapError::Wraps { start: offset, size })?;
    check_open_mode(fd, access)?;
    // First of all, since it is the one question that never leaves the kernel's own memory: only tmpfs and hugetlbfs
    // have seals. Even fstatfs asks the peer if the file is on FUSE.
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| MapError::NotMemory)?;
    let file = rustix::fs::fstat(fd).map_err(MapError::Os)?;
    let system = rustix::fs::fstatfs(fd).map_err(MapError::Os)?;
    if FileType::from_raw_mode(file.st_mode) != FileType::RegularFile || !holds_pages_in_memory(system.f_type)
    {
        return Err(MapError::NotMemory);
    }
    if access.allows(Access::Write) && seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) {
        return Err(MapError::WriteSealed);
    }
    let length = u64::try_from(file.st_size).unwrap_or(0);
    if length < needed {
        return Err(MapError::TooShort { length, needed });
    }
    // Both file systems report their page size as block size.
    let page = u64::try_from(system.f_bsize).ok().filter(|page| page.is_power_of_two() && *page >= PAGE_SIZE);
    page.and_then(|page| Window::around(offset, size, page)).ok_or(MapError::NotMemory)
}

/// Keeps the file from shrinking under the mapping, where it allows that: then no page can vanish. It is fine if not;
/// the fault handler is there for that.
pub(crate) fn seal_against_shrinking(fd: BorrowedFd<'_>) {
    let _not_sealable: Result<(), Errno> = rustix::fs::fcntl_add_seals(fd, SealFlags::SHRINK);
}

/// A shared mapping always needs a readable descriptor, even if it is only written.
fn check_open_mode(fd: BorrowedFd<'_>, access: Access) -> Result<(), MapError> {
    let flags = rustix::fs::fcntl_getfl(fd).map_err(MapError::Os)?;
    let mode = flags & OFlags::RWMODE;
    if flags.contains(OFlags::PATH) || mode == OFlags::WRONLY {
        return Err(MapError::NotReadable);
    }
    if access.allows(Access::Write) && mode != OFlags::RDWR {
        return Err(MapError::NotWritable);
    }
    Ok(())
}

/// True for the magic numbers of file systems whose page faults need nobody's answer.
fn holds_pages_in_memory(magic: i64) -> bool {
    matches!(magic, TMPFS_MAGIC | HUGETLBFS_MAGIC)
}
