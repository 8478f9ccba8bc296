//! The buffer: frames whole, one behind the other in a ring of private memory.
//!
//! The memory is a memfd in a DMA domain of its own, since that is where [`Burst`] takes frames from: they go to their
//! receiver like any other, with one more copy.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

use arrayvec::ArrayVec;
use guest_memory::{Access, DmaDomain, GuestSlice, Limits, MapRequest, PAGE_SIZE};
use port::{Burst, Frame, Kept, Refusal};
use rustix::fs::{FallocateFlags, MemfdFlags};

use super::{Copy, GapLimits};

/// Octets after which a burst takes no further frame, as for those of a guest.
const BURST_OCTETS: usize = 512 << 10;

#[derive(Debug)]
pub(super) struct Store {
    domain: DmaDomain,
    file: OwnedFd,
    size: usize,
    /// Where the first frame begins.
    start: usize,
    /// Octets of all frames.
    used: usize,
    records: VecDeque<Record>,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    length: usize,
    kept: Kept,
    copy: Copy,
}

impl Store {
    pub(super) fn new(limits: GapLimits) -> io::Result<Self> {
        let bytes = u64::from(limits.octets).max(1).next_multiple_of(PAGE_SIZE);
        let file = rustix::fs::memfd_create("gap", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, bytes)?;
        let domain = DmaDomain::new(Limits { max_regions: 1, max_bytes: bytes });
        let request =
            MapRequest { iova: 0, size: bytes, offset: 0, writable: true, readable: true, fd: file.as_fd() };
        domain.map(request).map_err(io::Error::other)?;
        let size = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let most = limits.frames as usize;
        // All of it now: the worker allocates nothing. Pages are taken by the system when they are written.
        let mut records = VecDeque::new();
        records.try_reserve_exact(most).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(Self { domain, file, size, start: 0, used: 0, records, most })
    }

    /// Frames in the buffer.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// True if a frame of `length` octets fits into an empty buffer.
    pub(super) fn could_hold(&self, length: usize) -> bool {
        length <= self.size && self.most > 0
    }

    /// Adds a frame at the end; false if there is no room for it now.
    ///
    /// # Errors
    /// It cannot be copied: the sender's memory is not what it was.
    pub(super) fn push(&mut self, frame: &Frame<'_>, copy: Copy) -> Result<bool, Refusal> {
        let length = frame.len();
        if self.records.len() == self.most || length > self.size - self.used {
            return Ok(false);
        }
        let view = self.domain.view();
        let mut into = ArrayVec::<GuestSlice<'_>, 2>::new();
        for range in self.parts(self.used, length) {
            let address = range.start as u64;
            into.push(view.slice(address, range.len(), Access::Write).map_err(|_| Refusal::DmaFault)?);
        }
        let kept = frame.keep(&into)?;
        self.records.push_back(Record { length, kept, copy });
        self.used += length;
        Ok(true)
    }

    /// Fills `burst` with the first frames.
    pub(super) fn load(&self, burst: &mut Burst) {
        burst.begin(self.domain.view());
        let mut octets = 0;
        for record in &self.records {
            if burst.is_full() || octets >= BURST_OCTETS {
                break;
            }
            for range in self.parts(octets, record.length) {
                // They lie in memory of our own, and are few: a frame that is not whole is not restored.
                let _ = burst.gather(range.start as u64, range.len());
            }
            if burst.restore(&record.kept).is_err() {
                break;
            }
            octets += record.length;
        }
    }

    /// The first frame.
    pub(super) fn first(&mut self) -> Option<&mut Copy> {
        self.records.front_mut().map(|record| &mut record.copy)
    }

    /// Forgets the first frame.
    pub(super) fn pop(&mut self) {
        let Some(record) = self.records.pop_front() else { return };
        self.start = (self.start + record.length) % self.size;
        self.used -= record.length;
    }

    /// Gives the memory of an empty buffer back to the system.
    pub(super) fn trim(&mut self) {
        if self.is_empty() {
            let all = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // If it fails the memory stays, within the limits.
            let _ = rustix::fs::fallocate(&self.file, all, 0, self.size as u64);
            self.start = 0;
        }
    }

    /// Where `length` octets lie from `skip` octets behind the start on: in one part, or around the end in two.
    fn parts(&self, skip: usize, length: usize) -> [Range<usize>; 2] {
        let at = (self.start + skip) % self.size;
        let first = length.min(self.size - at);
        [at..at + first, 0..length - first]
    }
}

#[cfg(test)]
mod tests;
