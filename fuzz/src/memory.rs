//! Memory of a guest.

use std::os::fd::{AsFd, OwnedFd};

use guest_memory::{DmaDomain, Limits, MapError, MapRequest, MemoryView};
use rustix::fs::MemfdFlags;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// Memory of a guest: a memfd, all of which the guest itself can reach.
#[derive(Debug)]
pub struct Ram {
    fd: OwnedFd,
    own: DmaDomain,
    len: usize,
}

/// Which part of a guest's memory a device reaches, and where.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Bus address.
    pub iova: u64,
    /// First byte in the guest's memory.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
    /// The device may read.
    pub readable: bool,
    /// The device may write.
    pub writable: bool,
}

impl Ram {
    /// Memory of `pages` pages of zeros.
    ///
    /// # Panics
    /// If the system has no memory left.
    #[must_use]
    pub fn new(pages: usize) -> Self {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create("guest", flags).expect("a memfd can be made");
        let (own, len) = (DmaDomain::new(Limits::default()), pages * PAGE);
        rustix::fs::ftruncate(&fd, len as u64).expect("a new memfd can grow");
        let ram = Self { fd, own, len };
        let all = Window { iova: 0, offset: 0, len, readable: true, writable: true };
        ram.map(&ram.own, all).expect("a memfd can be mapped");
        ram
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for memory of no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets the devices of `domain` reach a part.
    ///
    /// # Errors
    /// As [`DmaDomain::map`].
    pub fn map(&self, domain: &DmaDomain, window: Window) -> Result<(), MapError> {
        let Window { iova, offset, len, readable, writable } = window;
        let (offset, size) = (offset as u64, len as u64);
        domain.map(MapRequest { iova, size, offset, writable, readable, fd: self.fd.as_fd() })
    }

    /// The guest's own view, in which bus addresses are offsets.
    #[must_use]
    pub fn view(&self) -> MemoryView {
        self.own.view()
    }

    /// Writes as the guest does; what would lie outside is left out.
    ///
    /// # Panics
    /// If the memory cannot be written, which is a fault of `guest-memory`.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let fitting = bytes.len().min(self.len.saturating_sub(offset));
        self.view().write_bytes(offset as u64, &bytes[..fitting]).expect("all of it is mapped");
    }

    /// A copy of all of it.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(&mut bytes);
        bytes
    }

    /// Reads from the first byte on.
    ///
    /// # Panics
    /// If the memory is shorter, or cannot be read, which is a fault of `guest-memory`.
    pub fn read(&self, bytes: &mut [u8]) {
        self.view().read_bytes(0, bytes).expect("all of it is mapped");
    }
}
