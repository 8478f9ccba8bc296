//! A guest with a driver for its VF, from the description of the device (vf-device.md): one queue pair, in the manner
//! of Linux.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::EventfdFlags;

use super::frames::{IPV4_HEADER, Mac, TCP_HEADER, TCP_HEADERS};
use super::memory::{BASE, Memory};
use super::vmm::{Failure, Vmm, region};
use super::wait_for;

const VFCTRL: u64 = 0x0000;
const VFSTATUS: u64 = 0x0008;
const VTEICS: u64 = 0x0104;
const VTEIMS: u64 = 0x0108;
const VTEIAC: u64 = 0x0110;
const VTEIAM: u64 = 0x0114;
const VTIVAR: u64 = 0x0120;
const VTIVAR_MISC: u64 = 0x0140;
const VFMBMEM: u64 = 0x0200;
const VFMAILBOX: u64 = 0x02fc;
const RX: u64 = 0x1000;
const TX: u64 = 0x2000;
/// Registers of a ring.
const LEN: u64 = 0x08;
const SRRCTL: u64 = 0x14;
const TAIL: u64 = 0x18;
const CONTROL: u64 = 0x28;

const RST: u32 = 1 << 26;
const RSTD: u32 = 1 << 7;
const REQ: u32 = 1 << 0;
const ACK: u32 = 1 << 1;
const VFU: u32 = 1 << 2;
const PFSTS: u32 = 1 << 4;
const IVAR_VALID: u32 = 0x80;
const ENABLE: u32 = 1 << 25;
/// RXDCTL: strip VLAN tags.
const VME: u32 = 1 << 30;
/// SRRCTL: buffers of 2 KiB, drop when there is none, advanced descriptors.
const BUFFERS_OF_2_KIB: u32 = 0x1200_0402;

/// Mailbox messages.
pub(crate) mod message {
    pub(crate) const RESET: u32 = 0x01;
    pub(crate) const API_NEGOTIATE: u32 = 0x08;
    pub(crate) const GET_QUEUES: u32 = 0x09;
    pub(crate) const UPDATE_XCAST: u32 = 0x0c;
    pub(crate) const SUCCESS: u32 = 1 << 31;
    pub(crate) const API_1_4: u32 = 5;
}

/// Command bits of a descriptor: end of packet, report status, insert FCS, advanced, data.
const DATA: u32 = 1 << 24 | 1 << 27 | 1 << 25 | 1 << 29 | 3 << 20;
const SEGMENT: u32 = 1 << 31;
const IP_AND_TCP_CHECKSUM: u32 = 1 << 8 | 1 << 9;

/// Where the guest keeps what.
const RING: u64 = 256;
const TX_RING: u64 = BASE;
const RX_RING: u64 = BASE + 0x1000;
const TX_BUFFERS: u64 = BASE + 0x1_0000;
const LARGE_BUFFER: u64 = BASE + 0x9_0000;
const RX_BUFFERS: u64 = BASE + 0x10_0000;
const BUFFER: u64 = 2048;
/// All of it.
pub(crate) const MEMORY: u64 = 0x20_0000;

/// Vectors: queue 0 in both directions, and what is left.
pub(crate) const QUEUE_VECTOR: u32 = 0;
pub(crate) const MISC_VECTOR: u32 = 1;
const VECTORS: u32 = 3;

/// How the guest hears of interrupts.
#[derive(Debug)]
enum Interrupts {
    /// The VMM has an eventfd for each vector.
    Native(Vec<rustix::fd::OwnedFd>),
    /// Messages of the device's own table come as writes of the server.
    Relayed,
}

/// A mode of MSI-X, as `adapter.msix` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Msix {
    Native,
    Relayed,
}

/// A running guest.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) vmm: Vmm,
    pub(crate) memory: Memory,
    pub(crate) mac: Mac,
    interrupts: Interrupts,
    /// Next descriptor to be written, counted without end.
    tx_next: u64,
    /// Next descriptor to be looked at, counted without end.
    rx_next: u64,
}

impl Guest {
    /// Plugs the VF in, and lets the driver bring it up.
    pub(crate) fn boot(socket: &Path) -> Self {
        Self::try_boot(socket, Msix::Relayed).unwrap()
    }

    /// As [`boot`](Self::boot), with memory of the caller's choice.
    pub(crate) fn boot_in(socket: &Path, memory: Memory) -> Self {
        Self::start_vm(socket, Msix::Relayed, memory).unwrap()
    }

    pub(crate) fn try_boot(socket: &Path, msix: Msix) -> Result<Self, Failure> {
        Self::start_vm(socket, msix, Memory::new(MEMORY))
    }

    fn start_vm(socket: &Path, msix: Msix, memory: Memory) -> Result<Self, Failure> {
        let mut vmm = Vmm::connect(socket)?;
        vmm.map(&memory)?;
        vmm.reset()?;
        let interrupts = Interrupts::connect(&mut vmm, msix)?;
        let mut guest = Self { vmm, memory, mac: [0; 6], interrupts, tx_next: 0, rx_next: 0 };
        guest.start()?;
        Ok(guest)
    }

    /// Shows descriptors to the device, whether there are any or not.
    pub(crate) fn ring_transmit_doorbell(&mut self, tail: u64) {
        self.ring(TX, tail).unwrap();
    }

    /// What `ixgbevf` does when it is bound and its interface set up.
    fn start(&mut self) -> Result<(), Failure> {
        let memory_and_bus_master = 0x0006_u16;
        self.vmm.write(region::CONFIG, 4, &memory_and_bus_master.to_le_bytes())?;
        self.set(VFCTRL, RST)?;
        self.get(VFSTATUS)?;
        while self.get(VFMAILBOX)? & RSTD == 0 {}
        let reply = self.ask(&[message::RESET])?;
        assert_eq!(reply[0] & !0xffff, message::SUCCESS);
        self.mac.copy_from_slice(&[reply[1].to_le_bytes(), reply[2].to_le_bytes()].concat()[..6]);
        for request in [
            &[message::API_NEGOTIATE, message::API_1_4][..],
            &[message::GET_QUEUES],
            // Broadcast and multicast.
            &[message::UPDATE_XCAST, 1],
        ] {
            assert_ne!(self.ask(request)?[0] & message::SUCCESS, 0, "{request:x?}");
        }
        self.set(VTIVAR, (IVAR_VALID | QUEUE_VECTOR) << 8 | IVAR_VALID | QUEUE_VECTOR)?;
        self.set(VTIVAR_MISC, IVAR_VALID | MISC_VECTOR)?;
        for register in [VTEIAC, VTEIAM, VTEIMS] {
            self.set(register, 1 << QUEUE_VECTOR | 1 << MISC_VECTOR)?;
        }
        self.set(RX + SRRCTL, BUFFERS_OF_2_KIB)?;
        for (ring, base, control) in [(TX, TX_RING, ENABLE), (RX, RX_RING, ENABLE | VME)] {
            let [low, high] = [base & 0xffff_ffff, base >> 32].map(|half| u32::try_from(half).unwrap());
            self.set(ring, low)?;
            self.set(ring + 4, high)?;
            self.set(ring + LEN, u32::try_from(RING * 16).unwrap())?;
            self.set(ring + CONTROL, control)?;
        }
        // All descriptors but one: head and tail must differ.
        for index in 0..RING - 1 {
            self.give_buffer(index);
        }
        self.ring(RX, RING - 1)
    }

    pub(crate) fn get(&mut self, register: u64) -> Result<u32, Failure> {
        let value = self.vmm.read(region::BAR0, register, 4)?;
        Ok(u32::from_le_bytes(value.try_into().unwrap()))
    }

    pub(crate) fn set(&mut self, register: u64, value: u32) -> Result<(), Failure> {
        self.vmm.write(region::BAR0, register, &value.to_le_bytes())
    }

    /// Rings a doorbell: a store that the guest does not wait for.
    fn ring(&mut self, ring: u64, tail: u64) -> Result<(), Failure> {
        let tail = u32::try_from(tail % RING).unwrap();
        self.vmm.post_write(region::BAR0, ring + TAIL, &tail.to_le_bytes())
    }

    /// Asks the physical function; the reply, in full.
    pub(crate) fn ask(&mut self, request: &[u32]) -> Result<[u32; 16], Failure> {
        self.set(VFMAILBOX, VFU)?;
        for (n, word) in (0..).zip(request) {
            self.set(VFMBMEM + 4 * n, *word)?;
        }
        self.set(VFMAILBOX, REQ)?;
        while self.get(VFMAILBOX)? & PFSTS == 0 {}
        let mut reply = [0; 16];
        for (n, word) in (0..).zip(&mut reply) {
            *word = self.get(VFMBMEM + 4 * n)?;
        }
        self.set(VFMAILBOX, ACK)?;
        Ok(reply)
    }

    /// Asks the physical function, and waits for nothing.
    pub(crate) fn post_request(&mut self, request: &[u32]) {
        let words = (0..).zip(request).map(|(n, word)| (VFMBMEM + 4 * n, *word));
        for (register, value) in [(VFMAILBOX, VFU)].into_iter().chain(words).chain([(VFMAILBOX, REQ)]) {
            self.vmm.post_write(region::BAR0, register, &value.to_le_bytes()).unwrap();
        }
    }

    /// Sends a frame, when there is a descriptor for it.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.try_send(frame).unwrap();
    }

    pub(crate) fn try_send(&mut self, frame: &[u8]) -> Result<(), Failure> {
        let index = self.tx_next % RING;
        self.wait_for_descriptor();
        let buffer = TX_BUFFERS + index * BUFFER;
        self.memory.write(buffer, frame);
        self.describe([buffer, length_word(frame.len(), DATA, 0, frame.len())]);
        self.ring(TX, self.tx_next)
    }

    /// Sends a large TCP frame that the device is to cut into segments of `mss` bytes.
    pub(crate) fn send_large(&mut self, frame: &[u8], mss: u32) {
        self.wait_for_descriptor();
        self.memory.write(LARGE_BUFFER, frame);
        let lengths = u64::try_from(IPV4_HEADER | 14 << 9).unwrap();
        let (tcp_over_ipv4, context) = (1_u32 << 11 | 1 << 10, 1_u32 << 29 | 2 << 20);
        let header = u32::try_from(TCP_HEADER).unwrap();
        self.describe([lengths, words(context | tcp_over_ipv4, header << 8 | mss << 16)]);
        let payload = frame.len() - TCP_HEADERS;
        self.describe([LARGE_BUFFER, length_word(frame.len(), DATA | SEGMENT, IP_AND_TCP_CHECKSUM, payload)]);
        self.ring(TX, self.tx_next).unwrap();
    }

    /// Waits until the next two descriptors, and what belongs to them, are the driver's.
    fn wait_for_descriptor(&self) {
        // A context descriptor has no status of its own: the data descriptor behind it speaks for both.
        for position in self.tx_next..self.tx_next + 4 {
            if position >= RING {
                let descriptor = TX_RING + position % RING * 16;
                wait_for("a free transmit descriptor", || {
                    let word = self.memory.read_u64(descriptor + 8);
                    let (is_done, is_context) = (word >> 32 & 1 == 1, word >> 20 & 0xf == 2);
                    (is_done || is_context).then_some(())
                });
            }
        }
    }

    fn describe(&mut self, [first, second]: [u64; 2]) {
        let descriptor = TX_RING + self.tx_next % RING * 16;
        self.memory.write_u64(descriptor, first);
        self.memory.write_u64(descriptor + 8, second);
        self.tx_next += 1;
    }

    /// The next frame, if one is there.
    pub(crate) fn received(&mut self) -> Option<Vec<u8>> {
        self.received_with_tag().map(|(frame, _)| frame)
    }

    /// The next frame and the VLAN tag that was stripped from it, if one is there.
    pub(crate) fn received_with_tag(&mut self) -> Option<(Vec<u8>, Option<u16>)> {
        let mut frame = Vec::new();
        loop {
            let index = self.rx_next % RING;
            let word = self.memory.read_u64(RX_RING + index * 16 + 8);
            let length = usize::try_from(word >> 32 & 0xffff).unwrap();
            if length == 0 {
                assert!(frame.is_empty(), "a frame is there whole or not at all");
                return None;
            }
            let mut part = vec![0; length];
            self.memory.read(RX_BUFFERS + index * BUFFER, &mut part);
            frame.extend(part);
            // The descriptor that was kept back is given now, and this one kept back.
            self.give_buffer((index + RING - 1) % RING);
            self.rx_next += 1;
            let (end_of_packet, tagged) = (word >> 1 & 1 == 1, word >> 3 & 1 == 1);
            if end_of_packet {
                // A device that is gone has nothing more to be told.
                let _ = self.ring(RX, self.rx_next + RING - 1);
                let tag = u16::try_from(word >> 48).unwrap();
                return Some((frame, tagged.then_some(tag)));
            }
        }
    }

    fn give_buffer(&self, index: u64) {
        let descriptor = RX_RING + index * 16;
        self.memory.write_u64(descriptor + 8, 0);
        self.memory.write_u64(descriptor, RX_BUFFERS + index * BUFFER);
    }

    /// The next frame.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        wait_for("a frame", || self.received())
    }

    /// Sees to it that all which was sent to this guest before is there: a frame of its own that comes back would be
    /// an error, so `other` sends one more. What came before that.
    pub(crate) fn drain(&mut self, other: &mut Self) -> Vec<Vec<u8>> {
        let last = super::frames::numbered(self.mac, other.mac, u64::MAX, 60);
        other.send(&last);
        let mut frames = Vec::new();
        loop {
            let frame = self.receive();
            if frame == last {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// Waits for an interrupt of the queues, and allows the next one, as an interrupt handler does.
    pub(crate) fn wait_for_interrupt(&mut self) {
        let vector = self.interrupts.wait(&mut self.vmm);
        assert_eq!(vector, Some(QUEUE_VECTOR));
        self.set(VTEIMS, 1 << QUEUE_VECTOR).unwrap();
    }

    /// As [`wait_for_interrupt`](Self::wait_for_interrupt), whatever other vectors are signalled.
    pub(crate) fn wait_for_queue_interrupt(&mut self) {
        while self.interrupts.wait(&mut self.vmm).expect("an interrupt") != QUEUE_VECTOR {}
        self.set(VTEIMS, 1 << QUEUE_VECTOR).unwrap();
    }

    /// Takes the interrupts that are there; which vectors.
    pub(crate) fn take_interrupts(&mut self, limit: Duration) -> Vec<u32> {
        std::iter::from_fn(|| self.interrupts.take(&mut self.vmm, limit)).collect()
    }

    /// Has the device raise a cause, as the driver's watchdog does.
    pub(crate) fn raise(&mut self, vector: u32) {
        self.try_raise(vector).unwrap();
    }

    /// As [`raise`](Self::raise), if the VMM gets that far.
    pub(crate) fn try_raise(&mut self, vector: u32) -> Result<(), Failure> {
        self.vmm.post_write(region::BAR0, VTEICS, &(1_u32 << vector).to_le_bytes())
    }

    /// From now on an interrupt masks no other.
    pub(crate) fn allow_interrupts_without_end(&mut self) {
        self.set(VTEIAM, 0).unwrap();
    }
}

impl Interrupts {
    /// In which address and with which data the message of a vector is to come.
    const MESSAGES: u64 = 0xfee0_0000;

    fn connect(vmm: &mut Vmm, msix: Msix) -> Result<Self, Failure> {
        if msix == Msix::Native {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            let eventfds: Vec<_> = (0..VECTORS).map(|_| rustix::event::eventfd(0, flags).unwrap()).collect();
            vmm.connect_vectors(0, &eventfds.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
            return Ok(Self::Native(eventfds));
        }
        let capability = find_capability(vmm, 0x11)?;
        // The table is in BAR 3, which has to be decoded for it to be written.
        vmm.write(region::CONFIG, 4, &6_u16.to_le_bytes())?;
        for vector in 0..VECTORS {
            let entry = [u32::try_from(Self::MESSAGES).unwrap(), 0, 0x40 + vector, 0];
            for (n, word) in (0..).zip(entry) {
                vmm.write(region::BAR3, u64::from(16 * vector + 4 * n), &word.to_le_bytes())?;
            }
        }
        let enable = 1_u16 << 15;
        vmm.write(region::CONFIG, capability + 2, &enable.to_le_bytes())?;
        Ok(Self::Relayed)
    }

    fn wait(&self, vmm: &mut Vmm) -> Option<u32> {
        self.take(vmm, super::PATIENCE)
    }

    /// The next vector that is signalled within `limit`.
    fn take(&self, vmm: &mut Vmm, limit: Duration) -> Option<u32> {
        match self {
            Self::Relayed => {
                let message = vmm.written(limit)?;
                assert_eq!(message.address, Self::MESSAGES);
                Some(message.data - 0x40)
            }
            Self::Native(eventfds) => {
                let began = std::time::Instant::now();
                loop {
                    let signalled = |fd: &rustix::fd::OwnedFd| rustix::io::read(fd, &mut [0; 8]).is_ok();
                    if let Some(vector) = eventfds.iter().position(signalled) {
                        return Some(u32::try_from(vector).unwrap());
                    }
                    if began.elapsed() >= limit {
                        return None;
                    }
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        }
    }
}

/// Where in config space a capability is.
fn find_capability(vmm: &mut Vmm, id: u8) -> Result<u64, Failure> {
    let mut at = vmm.read(region::CONFIG, 0x34, 1)?[0];
    while at != 0 {
        let capability = vmm.read(region::CONFIG, at.into(), 2)?;
        if capability[0] == id {
            return Ok(at.into());
        }
        at = capability[1];
    }
    panic!("the VF has no capability {id:#x}");
}

/// The second word of a data descriptor.
fn length_word(length: usize, command: u32, options: u32, payload: usize) -> u64 {
    let [length, payload] = [length, payload].map(|bytes| u32::try_from(bytes).unwrap());
    words(length | command, options | payload << 14)
}

fn words(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}
