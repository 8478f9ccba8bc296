//! The receive ring of a packet socket, version 2 (Documentation/networking/packet_mmap.rst).
//!
//! Version 2, not 3: each frame is seen as soon as it is there. Blocks of version 3 are handed over when they are full
//! or a timer of milliseconds ends.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use ethernet::{ETHERNET_HEADER_LEN, TPID_8021Q, VLAN_TAG_LEN};

use crate::mapping::Mapping;
use crate::syscall::set_option;
use crate::vnet::VNET_HEADER;

/// Memory of a ring in bytes.
const MEMORY: usize = 4 * 1024 * 1024;
/// What the kernel puts in front of a frame: `tpacket2_hdr`, address, vnet header, all aligned.
const OVERHEAD: usize = 128;
/// Least size of a place for a frame.
const SMALLEST: usize = 2048;
/// Size of what the kernel allocates at a time.
const BLOCK: usize = 64 * 1024;

// Offsets in `struct tpacket2_hdr`.
const STATUS: usize = 0;
const LENGTH: usize = 4;
const CAPTURED: usize = 8;
const MAC_AND_NET: usize = 12;
const VLAN: usize = 24;

#[derive(Debug)]
pub(crate) struct ReceiveRing {
    memory: Mapping,
    slot_len: usize,
    slots: usize,
    /// Slot that the kernel fills next.
    head: usize,
}

/// A slot with a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    status: u32,
    /// Offset of the slot in the ring, and its length.
    at: usize,
    slot_len: usize,
    /// Offset of the frame in the slot.
    mac: usize,
    /// Length of the frame, and how much of it is in the slot.
    length: usize,
    captured: usize,
    vlan_tci: u16,
    vlan_tpid: u16,
}

impl ReceiveRing {
    /// Gives `socket` a ring for frames of `mtu` bytes of payload. Super-frames are longer than its places; the socket
    /// keeps them apart.
    pub(crate) fn new(socket: impl AsFd, mtu: usize) -> io::Result<Self> {
        let frame = mtu + ETHERNET_HEADER_LEN + VLAN_TAG_LEN;
        let slot_len = (frame + OVERHEAD).next_power_of_two().max(SMALLEST);
        let block_len = slot_len.max(BLOCK);
        let blocks = MEMORY.div_ceil(block_len);
        let slots = blocks * (block_len / slot_len);
        let word = |n: usize| u32::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let request = [word(block_len)?, word(blocks)?, word(slot_len)?, word(slots)?];
        set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let memory = Mapping::new(socket, 0, blocks * block_len)?;
        Ok(Self { memory, slot_len, slots, head: 0 })
    }

    pub(crate) fn memory(&self) -> &Mapping {
        &self.memory
    }

    /// True if a frame is there.
    pub(crate) fn has_frame(&self) -> bool {
        self.status() & libc::TP_STATUS_USER != 0
    }

    /// The next frame; it stays the next until it is released.
    pub(crate) fn next(&self) -> Option<Slot> {
        let status = self.status();
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let at = self.head * self.slot_len;
        let word = |offset| self.memory.word32(at + offset).load(Ordering::Relaxed);
        let halves = |offset| {
            let [a, b, c, d] = word(offset).to_ne_bytes();
            (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]))
        };
        let (mac, _net) = halves(MAC_AND_NET);
        let (vlan_tci, vlan_tpid) = halves(VLAN);
        Some(Slot {
            status,
            at,
            slot_len: self.slot_len,
            mac: usize::from(mac),
            length: word(LENGTH) as usize,
            captured: word(CAPTURED) as usize,
            vlan_tci,
            vlan_tpid,
        })
    }

    /// Gives the next frame's place back to the kernel.
    pub(crate) fn release(&mut self) {
        self.memory
            .word32(self.head * self.slot_len + STATUS)
            .store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.head = (self.head + 1) % self.slots;
    }

    fn status(&self) -> u32 {
        self.memory.word32(self.head * self.slot_len + STATUS).load(Ordering::Acquire)
    }
}

impl Slot {
    /// True if the whole frame is kept apart, to be had by `read`.
    pub(crate) fn is_apart(&self) -> bool {
        self.status & libc::TP_STATUS_COPY != 0
    }

    /// Length of the frame in bytes, if all of it is here, behind a vnet header.
    pub(crate) fn whole_length(&self) -> Option<usize> {
        let fits = self.mac >= VNET_HEADER && self.mac + self.length <= self.slot_len;
        (self.captured == self.length && fits).then_some(self.length)
    }

    /// Offset of the frame in the ring.
    pub(crate) fn frame_at(&self) -> usize {
        self.at + self.mac
    }

    /// TPID and TCI of the tag that the kernel took out of the frame.
    pub(crate) fn tag(&self) -> Option<(u16, u16)> {
        let known = self.status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let tpid = if known { self.vlan_tpid } else { TPID_8021Q };
        (self.status & libc::TP_STATUS_VLAN_VALID != 0).then_some((tpid, self.vlan_tci))
    }
}
