//! One `mmap` of guest memory.

// UNSAFETY: mapping files and unmapping them is outside of what the compiler can check.
#![expect(unsafe_code, reason = "maps and unmaps memory")]

use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::backing::Window;
use crate::fault::Watch;
use crate::{Access, MapError};

/// A window of a guest memory file, mapped and watched for faults as long as this lives.
pub(crate) struct Mapping {
    /// Dropped before `area`: an address that is no longer mapped must not be taken for guest memory.
    _watch: Watch,
    area: Area,
    lead: usize,
}

impl Mapping {
    /// Maps `window` of the file. `faulted` is set when a page of it turns out to be gone; `held` is the number of
    /// mappings that the domain already has.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        window: Window,
        access: Access,
        faulted: Arc<AtomicBool>,
        held: usize,
    ) -> Result<Self, MapError> {
        let prot = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::WRITE,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        let area = Area::new(fd, window, prot).map_err(|errno| match errno {
            // The file was sealed after it was looked at.
            Errno::PERM => MapError::WriteSealed,
            errno => MapError::Os(errno),
        })?;
        let watch = Watch::new(area.start, area.len, window.page, prot, faulted, held)?;
        Ok(Self { _watch: watch, area, lead: window.lead })
    }

    /// First byte of the region.
    pub(crate) fn host(&self) -> HostAddr {
        // SAFETY: `lead` is less than the length of the window, all of which is mapped.
        HostAddr(unsafe { self.area.start.0.add(self.lead) })
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("len", &self.area.len).finish_non_exhaustive()
    }
}

/// Where guest memory is mapped in this process.
#[derive(Clone, Copy)]
pub(crate) struct HostAddr(pub(crate) NonNull<u8>);

// SAFETY: a mapping belongs to the process, not to a thread, and its memory is shared with the guest anyway: every
// access is one that bears other accesses at the same time (see `slice`).
unsafe impl Send for HostAddr {}
// SAFETY: as above; a shared address gives no more than an owned one, for it can be copied.
unsafe impl Sync for HostAddr {}

/// Mapped address space.
struct Area {
    start: HostAddr,
    len: usize,
}

impl Area {
    fn new(fd: BorrowedFd<'_>, window: Window, prot: ProtFlags) -> Result<Self, Errno> {
        // SAFETY: the kernel chooses free addresses, so that no other object of this process is touched.
        let start = unsafe {
            rustix::mm::mmap(ptr::null_mut(), window.len, prot, MapFlags::SHARED, fd, window.offset)?
        };
        let mapped = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        let area = Self { start: HostAddr(mapped), len: window.len };
        // A core dump must not hold the guest's secrets (or its terabyte), and a child process not its memory.
        for advice in [Advice::LinuxDontDump, Advice::LinuxDontFork] {
            // SAFETY: the range is the mapping just made, and these two change nothing that this process sees.
            unsafe { rustix::mm::madvise(start, area.len, advice)? };
        }
        Ok(area)
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and belongs to this value. Whoever can reach it holds the `Mapping`.
        let unmapped = unsafe { rustix::mm::munmap(self.start.0.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "the range is one that mmap returned: {unmapped:?}");
    }
}
