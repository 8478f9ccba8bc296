//! Private memory that frames of the kernel are received into and handed over from.
//!
//! A [`port::Burst`] carries frames in the memory of a DMA domain, and [`port::Piece::write`] copies into such memory.
//! So the pool is a memfd that is mapped twice: by a [`DmaDomain`] of its own, for the rest of the data path, and by
//! this crate, which passes the addresses to the kernel. "Bus addresses" of the domain are offsets in the pool.

use std::io;
use std::os::fd::AsFd;

use guest_memory::{DmaDomain, Limits, MapRequest, MemoryView, PAGE_SIZE};
use rustix::fs::MemfdFlags;

use crate::mapping::Mapping;

#[derive(Debug)]
pub(crate) struct Pool {
    domain: DmaDomain,
    memory: Mapping,
}

impl Pool {
    /// A pool of at least `bytes` bytes of zeros; `name` is for those who look into `/proc`.
    pub(crate) fn new(name: &str, bytes: usize) -> io::Result<Self> {
        let size = (bytes as u64).next_multiple_of(PAGE_SIZE);
        let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&fd, size)?;
        let domain = DmaDomain::new(Limits { max_regions: 1, max_bytes: size });
        let request = MapRequest { iova: 0, size, offset: 0, writable: true, readable: true, fd: fd.as_fd() };
        // Seals the file against shrinking, too.
        domain.map(request).map_err(io::Error::other)?;
        let len = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(Self { domain, memory: Mapping::new(&fd, 0, len)? })
    }

    /// The pool as the data path sees it.
    pub(crate) fn view(&self) -> MemoryView {
        self.domain.view()
    }

    /// The pool as the kernel sees it.
    pub(crate) fn memory(&self) -> &Mapping {
        &self.memory
    }
}
