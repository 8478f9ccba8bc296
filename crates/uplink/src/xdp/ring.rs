//! The four rings of an AF_XDP socket (Documentation/networking/af_xdp.rst): single producer, single consumer, indices
//! that run freely through 32 bits.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use rustix::net::xdp::XdpRingOffset;

use crate::mapping::Mapping;
use crate::syscall::Span;

/// The kernel wants to be told of new entries (`XDP_RING_NEED_WAKEUP`).
const NEED_WAKEUP: u32 = 1;
/// Bytes of an entry of the receive and transmit rings: address, length, options.
const DESCRIPTOR: usize = 16;
/// Bytes of an entry of the fill and completion rings: an address.
const ADDRESS: usize = 8;

/// Which ring, by the offset that maps it.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Kind {
    Receive = 0,
    Transmit = 0x8000_0000,
    Fill = 0x1_0000_0000,
    Completion = 0x1_8000_0000,
}

#[derive(Debug)]
struct Ring {
    memory: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    entry_len: usize,
    size: u32,
}

impl Ring {
    /// Maps a ring of `size` entries, a power of two.
    fn new(socket: impl AsFd, kind: Kind, offsets: &XdpRingOffset, size: u32) -> io::Result<Self> {
        let offset = |offset: u64| usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidData);
        let entry_len = match kind {
            Kind::Receive | Kind::Transmit => DESCRIPTOR,
            Kind::Fill | Kind::Completion => ADDRESS,
        };
        let entries = offset(offsets.desc)?;
        // Kernels before 5.4 have no flags, and no sockets that ask to be woken.
        let flags = offset(offsets.flags.ok_or(io::ErrorKind::Unsupported)?)?;
        Ok(Self {
            memory: Mapping::new(socket, kind as u64, entries + size as usize * entry_len)?,
            producer: offset(offsets.producer)?,
            consumer: offset(offsets.consumer)?,
            flags,
            entries,
            entry_len,
            size,
        })
    }

    #[inline]
    fn entry(&self, index: u32) -> usize {
        self.entries + (index & (self.size - 1)) as usize * self.entry_len
    }
}

/// The end of a fill or transmit ring that we write.
#[derive(Debug)]
pub(crate) struct Producer {
    ring: Ring,
    next: u32,
    /// The consumer's index when it was last read.
    consumed: u32,
}

impl Producer {
    pub(crate) fn new(socket: impl AsFd, kind: Kind, offsets: &XdpRingOffset, size: u32) -> io::Result<Self> {
        Ok(Self { ring: Ring::new(socket, kind, offsets, size)?, next: 0, consumed: 0 })
    }

    /// True if one more entry fits.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        if self.next.wrapping_sub(self.consumed) < self.ring.size {
            return true;
        }
        self.consumed = self.ring.memory.word32(self.ring.consumer).load(Ordering::Acquire);
        self.next.wrapping_sub(self.consumed) < self.ring.size
    }

    /// Adds an address to a fill ring that has room.
    #[inline]
    pub(crate) fn add_address(&mut self, address: u64) {
        let at = self.ring.entry(self.next);
        self.ring.memory.word64(at).store(address, Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
    }

    /// Adds a frame to a transmit ring that has room.
    #[inline]
    pub(crate) fn add_frame(&mut self, span: Span) {
        let at = self.ring.entry(self.next);
        let length = u64::try_from(span.len).unwrap_or(0) & u64::from(u32::MAX);
        self.ring.memory.word64(at).store(span.at as u64, Ordering::Relaxed);
        // Length in the low half, no options in the high half.
        self.ring.memory.word64(at + 8).store(length, Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the kernel what was added.
    #[inline]
    pub(crate) fn publish(&self) {
        self.ring.memory.word32(self.ring.producer).store(self.next, Ordering::Release);
    }

    /// Entries that the kernel has not taken yet.
    pub(crate) fn left(&mut self) -> u32 {
        self.consumed = self.ring.memory.word32(self.ring.consumer).load(Ordering::Acquire);
        self.next.wrapping_sub(self.consumed)
    }

    /// True if the kernel wants to be told of new entries.
    #[inline]
    pub(crate) fn wants_wakeup(&self) -> bool {
        self.ring.memory.word32(self.ring.flags).load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }
}

/// The end of a receive or completion ring that we read.
#[derive(Debug)]
pub(crate) struct Consumer {
    ring: Ring,
    next: u32,
    /// The producer's index when it was last read.
    produced: u32,
}

impl Consumer {
    pub(crate) fn new(socket: impl AsFd, kind: Kind, offsets: &XdpRingOffset, size: u32) -> io::Result<Self> {
        Ok(Self { ring: Ring::new(socket, kind, offsets, size)?, next: 0, produced: 0 })
    }

    /// True if an entry is there.
    #[inline]
    pub(crate) fn has_entry(&self) -> bool {
        self.produced() != self.next
    }

    /// Takes the next address from a completion ring.
    #[inline]
    pub(crate) fn take_address(&mut self) -> Option<u64> {
        let at = self.take()?;
        Some(self.ring.memory.word64(at).load(Ordering::Relaxed))
    }

    /// Takes the next frame from a receive ring.
    #[inline]
    pub(crate) fn take_frame(&mut self) -> Option<Span> {
        let at = self.take()?;
        let address = self.ring.memory.word64(at).load(Ordering::Relaxed);
        let length = self.ring.memory.word32(at + 8).load(Ordering::Relaxed);
        Some(Span { at: usize::try_from(address).unwrap_or(usize::MAX), len: length as usize })
    }

    /// Gives the places of all entries taken back to the kernel.
    #[inline]
    pub(crate) fn release(&self) {
        self.ring.memory.word32(self.ring.consumer).store(self.next, Ordering::Release);
    }

    fn take(&mut self) -> Option<usize> {
        if self.next == self.produced {
            self.produced = self.produced();
            if self.next == self.produced {
                return None;
            }
        }
        let at = self.ring.entry(self.next);
        self.next = self.next.wrapping_add(1);
        Some(at)
    }

    fn produced(&self) -> u32 {
        self.ring.memory.word32(self.ring.producer).load(Ordering::Acquire)
    }
}
