//! A guest with a synthetic adapter: a front end that others wrote (the crate `vhost`), and the least of a virtio driver
//! on split rings.

use std::os::fd::AsRawFd;
use std::path::Path;

use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::EventFd;

use super::memory::{BASE, Memory};
use super::{wait_for, wait_until};

const BYTES: u64 = 0x10_0000;
/// Descriptors of a ring, each with a buffer of its own.
const RING: u16 = 64;
const BUFFER: u64 = 0x800;
/// Bytes of the header before each frame.
const HEADER: u64 = 12;
/// `VIRTIO_F_VERSION_1`, `VHOST_USER_F_PROTOCOL_FEATURES`.
const FEATURES: u64 = 1 << 32 | 1 << 30;
const RX: usize = 0;
const TX: usize = 1;
const DEVICE_WRITES: u16 = 2;

/// Where the parts of a ring lie.
struct Ring {
    descriptors: u64,
    available: u64,
    used: u64,
    buffers: u64,
    /// Buffers made available, and used ones seen.
    given: u16,
    seen: u16,
}

impl Ring {
    fn new(number: u64) -> Self {
        let base = BASE + number * 0x8_0000;
        let (available, used, buffers) = (base + 0x1000, base + 0x2000, base + 0x1_0000);
        Self { descriptors: base, available, used, buffers, given: 0, seen: 0 }
    }

    fn buffer(&self, slot: u16) -> u64 {
        self.buffers + u64::from(slot) * BUFFER
    }

    /// Makes the buffer of the next slot available.
    fn give(&mut self, memory: &Memory, length: u64, flags: u16) {
        let slot = self.given % RING;
        let at = self.descriptors + u64::from(slot) * 16;
        memory.write_u64(at, self.buffer(slot));
        memory.write_u64(at + 8, length | u64::from(flags) << 32);
        memory.write(self.available + 4 + u64::from(slot) * 2, &slot.to_le_bytes());
        self.given = self.given.wrapping_add(1);
        memory.write(self.available + 2, &self.given.to_le_bytes());
    }

    /// The slot and length of the next used buffer.
    fn take(&mut self, memory: &Memory) -> Option<(u16, u64)> {
        let mut index = [0; 2];
        memory.read(self.used + 2, &mut index);
        if u16::from_le_bytes(index) == self.seen {
            return None;
        }
        let entry = memory.read_u64(self.used + 4 + u64::from(self.seen % RING) * 8);
        self.seen = self.seen.wrapping_add(1);
        Some((u16::try_from(entry & 0xffff).unwrap(), entry >> 32))
    }
}

/// The guest.
pub(crate) struct SyntheticGuest {
    pub(crate) mac: [u8; 6],
    front: Frontend,
    memory: Memory,
    rings: [Ring; 2],
    kicks: [EventFd; 2],
    calls: [EventFd; 2],
}

impl SyntheticGuest {
    /// Connects to the adapter at `socket` and sets its rings up.
    pub(crate) fn boot(socket: &Path, mac: [u8; 6]) -> Self {
        let front = wait_for("the socket", || Frontend::connect(socket, 2).ok());
        Self::with(front, mac)
    }

    /// Goes on with a session that has just begun.
    pub(crate) fn with(front: Frontend, mac: [u8; 6]) -> Self {
        let eventfd = || EventFd::new(libc_nonblock()).unwrap();
        let mut guest = Self {
            mac,
            front,
            memory: Memory::new(BYTES),
            rings: [Ring::new(0), Ring::new(1)],
            kicks: [eventfd(), eventfd()],
            calls: [eventfd(), eventfd()],
        };
        guest.set_up();
        guest
    }

    fn set_up(&mut self) {
        let front = &mut self.front;
        front.set_owner().unwrap();
        let offered = front.get_features().unwrap();
        assert_eq!(offered & FEATURES, FEATURES, "{offered:#x}");
        let protocol = front.get_protocol_features().unwrap();
        front.set_protocol_features(protocol & VhostUserProtocolFeatures::MQ).unwrap();
        front.set_features(FEATURES).unwrap();
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: BASE,
            memory_size: BYTES,
            userspace_addr: BASE,
            mmap_offset: 0,
            mmap_handle: self.memory.file().as_raw_fd(),
        };
        front.set_mem_table(&[region]).unwrap();
        for (number, ring) in self.rings.iter().enumerate() {
            front.set_vring_num(number, RING).unwrap();
            front.set_vring_base(number, 0).unwrap();
            let addresses = VringConfigData {
                queue_max_size: RING,
                queue_size: RING,
                flags: 0,
                desc_table_addr: ring.descriptors,
                avail_ring_addr: ring.available,
                used_ring_addr: ring.used,
                log_addr: None,
            };
            front.set_vring_addr(number, &addresses).unwrap();
            front.set_vring_call(number, &self.calls[number]).unwrap();
            front.set_vring_kick(number, &self.kicks[number]).unwrap();
            front.set_vring_enable(number, true).unwrap();
        }
        // An answer says that all of it was heard.
        front.get_features().unwrap();
        for _ in 0..RING {
            self.rings[RX].give(&self.memory, BUFFER, DEVICE_WRITES);
        }
        self.kicks[RX].write(1).unwrap();
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Has a frame sent, when there is room for it.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        let ring = &mut self.rings[TX];
        wait_until("a used buffer", || {
            while ring.take(&self.memory).is_some() {}
            ring.given.wrapping_sub(ring.seen) < RING
        });
        let buffer = ring.buffer(ring.given % RING);
        self.memory.write(buffer, &[0; 12]);
        self.memory.write(buffer + HEADER, frame);
        ring.give(&self.memory, HEADER + frame.len() as u64, 0);
        self.kicks[TX].write(1).unwrap();
    }

    /// True when all that was sent is used.
    pub(crate) fn has_sent_all(&mut self) -> bool {
        let ring = &mut self.rings[TX];
        while ring.take(&self.memory).is_some() {}
        ring.given == ring.seen
    }

    /// The next frame, if there is one.
    pub(crate) fn received(&mut self) -> Option<Vec<u8>> {
        let (slot, length) = self.rings[RX].take(&self.memory)?;
        let mut frame = vec![0; usize::try_from(length - HEADER).unwrap()];
        self.memory.read(self.rings[RX].buffer(slot) + HEADER, &mut frame);
        self.rings[RX].give(&self.memory, BUFFER, DEVICE_WRITES);
        self.kicks[RX].write(1).unwrap();
        Some(frame)
    }

    /// The next frame, which must come.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        wait_for("a frame", || self.received())
    }
}

fn libc_nonblock() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap()
}
