//! What the tests share: memory files, domains, and a plain checksum.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::MemfdFlags;

use crate::{DmaDomain, Limits, MapError, MapRequest, PAGE_SIZE};

/// [`PAGE_SIZE`] for offsets and lengths.
pub(crate) const PAGE: usize = 4096;

/// A memfd of `pages` pages of zeros that may be sealed.
pub(crate) fn memfd(name: &str, pages: u64) -> OwnedFd {
    sized(name, pages * PAGE_SIZE, MemfdFlags::ALLOW_SEALING)
}

/// A memfd that cannot be sealed, so that it can shrink while it is mapped.
pub(crate) fn unsealable(name: &str, pages: u64) -> OwnedFd {
    sized(name, pages * PAGE_SIZE, MemfdFlags::empty())
}

pub(crate) fn sized(name: &str, bytes: u64, flags: MemfdFlags) -> OwnedFd {
    let fd = rustix::fs::memfd_create(name, flags | MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, bytes).unwrap();
    fd
}

pub(crate) fn domain() -> DmaDomain {
    DmaDomain::new(Limits::default())
}

/// A request for `pages` pages of `fd` from its start, readable and writable, at page number `page`.
pub(crate) fn request(fd: &OwnedFd, page: u64, pages: u64) -> MapRequest<'_> {
    MapRequest {
        iova: page * PAGE_SIZE,
        size: pages * PAGE_SIZE,
        offset: 0,
        writable: true,
        readable: true,
        fd: fd.as_fd(),
    }
}

/// A domain with a memfd of `pages` pages mapped at page number `page`.
pub(crate) fn domain_with(name: &str, page: u64, pages: u64) -> DmaDomain {
    let domain = domain();
    map(&domain, &memfd(name, pages), page, pages).unwrap();
    domain
}

pub(crate) fn map(domain: &DmaDomain, fd: &OwnedFd, page: u64, pages: u64) -> Result<(), MapError> {
    domain.map(request(fd, page, pages))
}

/// True if this process has the memfd of that name mapped.
pub(crate) fn is_mapped(name: &str) -> bool {
    let link = format!("/memfd:{name} ");
    fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| line.contains(&link))
}

/// Number of open descriptors of the memfd of that name.
pub(crate) fn descriptors(name: &str) -> usize {
    let link = format!("/memfd:{name} ");
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|target| target.to_string_lossy().starts_with(&link)).count()
}

/// RFC 1071 word by word.
pub(crate) fn slow_sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    words.fold(0, |sum, word| fold(sum + u32::from(word)))
}

/// Folds a sum of 16-bit words until it is one.
pub(crate) fn fold(sum: u32) -> u32 {
    if sum >> 16 == 0 { sum } else { fold((sum & 0xffff) + (sum >> 16)) }
}

/// Tells threads to end when it is dropped, so that a failed assertion ends the test and does not wait for them.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
