//! A driver's side of the rings, for tests and benchmarks: descriptors as ixgbevf and DPDK's driver write them. Knows
//! the device by its registers and by guest memory only.

use std::os::fd::AsFd;
use std::sync::Arc;

use guest_memory::{Access, DmaDomain, Limits, MapRequest, MemoryView};
use rustix::fs::MemfdFlags;

/// First address of guest memory.
pub const MEMORY: u64 = 0x10_0000;

pub const EOP: u32 = 1 << 24;
pub const RS: u32 = 1 << 27;
pub const VLE: u32 = 1 << 30;
pub const TSE: u32 = 1 << 31;
/// IFCS, DEXT and type 3: set in every data descriptor.
pub const DATA: u32 = 1 << 25 | 1 << 29 | 3 << 20;
pub const IXSM: u32 = 1 << 8;
pub const TXSM: u32 = 1 << 9;

pub const RX_EOP: u32 = 1 << 1;
pub const RX_VP: u32 = 1 << 3;
pub const RX_L4CS: u32 = 1 << 5;

const RX_BLOCK: u32 = 0x1000;
const TX_BLOCK: u32 = 0x2000;
const QUEUE: u32 = 0x40;
const TAIL: u32 = 0x18;
const ENABLE: u32 = 1 << 25;

/// Maps `bytes` of new memory at `address`.
pub fn map(domain: &DmaDomain, address: u64, bytes: u64) {
    let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, bytes).unwrap();
    let request =
        MapRequest { iova: address, size: bytes, offset: 0, writable: true, readable: true, fd: fd.as_fd() };
    domain.map(request).unwrap();
}

/// A domain with `bytes` of memory at [`MEMORY`].
pub fn memory(bytes: u64) -> Arc<DmaDomain> {
    let domain = Arc::new(DmaDomain::new(Limits::default()));
    map(&domain, MEMORY, bytes);
    domain
}

/// A context descriptor for headers of these lengths; `l4` is 0 UDP, 1 TCP, 2 SCTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    pub vlan: u16,
    pub mac_len: u16,
    pub ip_len: u16,
    pub ipv4: bool,
    pub l4: u32,
    pub l4_len: u32,
    pub mss: u32,
    pub slot: u32,
}

impl Context {
    pub fn words(self) -> [u64; 2] {
        let lengths = u64::from(self.ip_len) | u64::from(self.mac_len) << 9 | u64::from(self.vlan) << 16;
        let command = 2 << 20 | 1 << 29 | u32::from(self.ipv4) << 10 | self.l4 << 11;
        let rest = self.slot << 4 | self.l4_len << 8 | self.mss << 16;
        [lengths, u64::from(command) | u64::from(rest) << 32]
    }
}

/// A data descriptor; `command` are the bits of dword 2 besides [`DATA`], `options` those of dword 3.
pub fn data(address: u64, length: usize, command: u32, options: u32) -> [u64; 2] {
    [address, length as u64 | u64::from(DATA | command) | u64::from(options) << 32]
}

/// Writes registers as the driver does.
pub trait Registers {
    fn write(&mut self, offset: u32, value: u32);
}

/// A transmit ring.
#[derive(Clone, Copy, Debug)]
pub struct TxRing {
    pub queue: u32,
    pub base: u64,
    pub size: u32,
    pub tail: u32,
}

impl TxRing {
    /// Programs and enables the ring.
    pub fn enable(registers: &mut impl Registers, queue: u32, base: u64, size: u32) -> Self {
        start(registers, TX_BLOCK + QUEUE * queue, base, size, 0);
        Self { queue, base, size, tail: 0 }
    }

    /// Writes a descriptor at the tail.
    #[inline]
    pub fn post(&mut self, view: &MemoryView, words: [u64; 2]) {
        store(view, self.base, self.tail, words);
        self.tail = (self.tail + 1) % self.size;
    }

    /// Shows the descriptors to the device.
    #[inline]
    pub fn ring_doorbell(&self, registers: &mut impl Registers) {
        registers.write(TX_BLOCK + QUEUE * self.queue + TAIL, self.tail);
    }

    pub fn is_done(&self, view: &MemoryView, index: u32) -> bool {
        load(view, self.base, index)[1] >> 32 & 1 == 1
    }
}

/// A receive ring with its buffers, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct RxRing {
    pub queue: u32,
    pub base: u64,
    pub size: u32,
    /// Bytes of a buffer.
    pub buffer: usize,
    pub buffers: u64,
    /// Next descriptor that the device will fill.
    pub next: u32,
    /// First descriptor that is not the device's.
    pub tail: u32,
}

/// What the driver finds of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub buffers: u32,
    /// Status bits of the last descriptor.
    pub status: u32,
    pub vlan: u16,
    pub rss_type: u32,
    pub packet_type: u32,
    pub hash: u32,
}

impl RxRing {
    /// Programs and enables the ring, without descriptors yet. `control` are the bits of RXDCTL besides ENABLE.
    pub fn enable(
        registers: &mut impl Registers,
        queue: u32,
        base: u64,
        size: u32,
        kib: u32,
        control: u32,
    ) -> Self {
        registers.write(RX_BLOCK + QUEUE * queue + 0x14, 1 << 28 | 1 << 25 | 0x400 | kib);
        start(registers, RX_BLOCK + QUEUE * queue, base, size, control);
        let buffers = base.wrapping_add(u64::from(size) * 16);
        Self { queue, base, size, buffer: kib as usize * 1024, buffers, next: 0, tail: 0 }
    }

    pub fn buffer_of(&self, index: u32) -> u64 {
        self.buffers + u64::from(index) * self.buffer as u64
    }

    /// Gives `count` more descriptors to the device, which sees them with the doorbell.
    #[inline]
    pub fn refill(&mut self, view: &MemoryView, count: u32) {
        for _ in 0..count {
            store(view, self.base, self.tail, [self.buffer_of(self.tail), 0]);
            self.tail = (self.tail + 1) % self.size;
        }
        // As ixgbevf does, so that what the device wrote there last time is not taken for a frame.
        store(view, self.base, self.tail, [0, 0]);
    }

    #[inline]
    pub fn ring_doorbell(&self, registers: &mut impl Registers) {
        registers.write(RX_BLOCK + QUEUE * self.queue + TAIL, self.tail);
    }

    /// All but one descriptor, shown to the device.
    pub fn fill(&mut self, view: &MemoryView, registers: &mut impl Registers) {
        let free = (self.next + self.size - 1 - self.tail) % self.size;
        self.refill(view, free);
        self.ring_doorbell(registers);
    }

    /// The second word of the next descriptor, if the device has written it.
    #[inline]
    pub fn done(&self, view: &MemoryView) -> Option<u64> {
        let word = load(view, self.base, self.next)[1];
        // Linux goes by the length, DPDK by DD: both must be there.
        let (status, length) = (word & 1, word >> 32 & 0xffff);
        assert_eq!(status == 1, length != 0, "{word:#x}");
        (length != 0).then_some(word)
    }

    /// The next frame, if it is there whole.
    pub fn receive(&mut self, view: &MemoryView) -> Option<Received> {
        let mut frame = Received::default();
        loop {
            let word = self.done(view)?;
            let [first, _] = load(view, self.base, self.next);
            let length = usize::try_from(word >> 32 & 0xffff).unwrap();
            assert!(length <= self.buffer);
            let mut bytes = vec![0; length];
            view.read_bytes(self.buffer_of(self.next), &mut bytes).unwrap();
            frame.bytes.extend(bytes);
            frame.buffers += 1;
            self.next = (self.next + 1) % self.size;
            let [low, high] = [word, first].map(|w| u32::try_from(w & 0xffff_ffff).unwrap());
            if low & RX_EOP != 0 {
                frame.status = low;
                frame.vlan = u16::try_from(word >> 48).unwrap();
                frame.hash = u32::try_from(first >> 32).unwrap();
                frame.rss_type = high & 0xf;
                frame.packet_type = high >> 4 & 0xfff;
                return Some(frame);
            }
        }
    }
}

fn start(registers: &mut impl Registers, block: u32, base: u64, size: u32, control: u32) {
    let [low, high] = [base & 0xffff_ffff, base >> 32].map(|half| u32::try_from(half).unwrap());
    registers.write(block + 0x28, 0);
    for (register, value) in
        [(0, low), (4, high), (8, size * 16), (0x10, 0), (TAIL, 0), (0x28, ENABLE | control)]
    {
        registers.write(block + register, value);
    }
}

#[inline]
pub fn store(view: &MemoryView, base: u64, index: u32, words: [u64; 2]) {
    let slice = view.slice(base + u64::from(index) * 16, 16, Access::Write).unwrap();
    slice.store_u64_release(0, words[0]).unwrap();
    slice.store_u64_release(8, words[1]).unwrap();
}

#[inline]
pub fn load(view: &MemoryView, base: u64, index: u32) -> [u64; 2] {
    let slice = view.slice(base + u64::from(index) * 16, 16, Access::Read).unwrap();
    let second = slice.load_u64_acquire(8).unwrap();
    [slice.load_u64(0).unwrap(), second]
}
