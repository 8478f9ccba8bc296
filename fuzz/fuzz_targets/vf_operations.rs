//! A VF as the daemon has it, under a guest, a VMM and a physical function that do anything in any order.
//!
//! Ids and constants stand. The device writes into memory only where it is mapped for writing; from the moment a
//! reset, bus mastering off, an unplug or the last queue's end is answered it writes nothing at all, whatever the
//! worker does, and sends no message; and what is asked of the physical function is something that can be.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use ethernet::{MacAddr, VlanTag};
use libfuzzer_sys::fuzz_target;
use pcie::Delivery;
use port::{Burst, Consumed, FrameMeta, GuestRequest, Reception, Spec};
use support::frames::Packet;
use support::memory::{PAGE, Ram, Window};
use support::vf::{DESCRIPTOR, MAC, Ring, Vf};
use sys::EventFd;
use vf82599::registers::{
    CONTROL, ENABLE, QUEUES, SRRCTL, TAIL, VFMBMEM, VFMRQC, VFPSRTYPE, VFRETA, VFRSSRK, VFRXMEMWRAP,
    VFSTATUS, VTEIAC, VTEIAM, VTEICR, VTEICS, VTEIMC, VTEIMS, VTEITR, VTIVAR, VTIVAR_MISC, rx, tx,
};
use vf82599::{Host, ResetKind};

/// Guest memory, the first of which is mapped at [`IOVA`] to begin with.
const PAGES: usize = 16;
const IOVA: u64 = 0x10_0000;
/// Restarts in one run, for they take long.
const RESTARTS: u32 = 4;

/// Registers that a guest writes often.
const REGISTERS: [u32; 16] = [
    0,
    VTEICR,
    VTEICS,
    VTEIMS,
    VTEIMC,
    VTEIAC,
    VTEIAM,
    VTIVAR,
    VTIVAR_MISC,
    VTEITR,
    VFPSRTYPE,
    VFMRQC,
    VFRETA,
    VFRSSRK,
    0x2fc,
    VFMBMEM,
];

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Region {
    Registers,
    Msix,
    Config,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Queue {
    transmit: bool,
    second: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Address {
    Near(u32),
    Any(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Guest<'a> {
    Start,
    Read { region: Region, at: u16, len: u8 },
    Write { region: Region, at: u16, data: &'a [u8] },
    Register(u8, u32),
    QueueRegister { queue: Queue, at: u8, value: u32 },
    Command(u8),
    FunctionLevelReset,
    Memory { at: u16, bytes: &'a [u8] },
    Ring { queue: Queue, page: u8, blocks: u8, head: u8, control: u32 },
    Descriptor { queue: Queue, address: Address, second: u64 },
    Send { second: bool, packet: Packet, at: u16, mss: u16, offload: bool },
    Fill { second: bool, at: u8 },
    Tail { queue: Queue, tail: u8 },
    Disable(Queue),
    Message { opcode: u8, info: u8, words: [u32; 3] },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Vmm {
    Map { iova: u8, page: u8, pages: u8, readable: bool, writable: bool },
    Unmap { iova: u8, pages: u8 },
    UnmapAll,
    Connect { vector: u8, connected: bool },
    Reset,
    Disconnect,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Pf {
    Reset,
    Link(bool),
    Mac(bool),
    Refuses(bool),
    Unplug,
    Restart,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Worker {
    Fetch,
    LoopBack,
    Complete { frames: u8, pieces: u8 },
    Put { packet: Packet, mss: Option<u16>, tag: Option<u16>, from: u8 },
    EndRound,
    Wait(u16),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step<'a> {
    Guest(Guest<'a>),
    Worker(Worker),
    Vmm(Vmm),
    Pf(Pf),
}

/// The VF and its surroundings.
struct Bench {
    vf: Vf,
    ram: Ram,
    /// By first page in the device's address space: first page in memory, pages, whether the device may write.
    maps: BTreeMap<u64, (usize, usize, bool)>,
    /// Tails of the rings as the driver counts them, and their sizes.
    rings: BTreeMap<u32, (u64, u32, u32)>,
    /// Memory as the last look at it showed it.
    seen: Vec<u8>,
    /// Room for the next look.
    now: Vec<u8>,
    unplugged: bool,
    restarts: u32,
    /// Memory of another guest, and what it sends.
    wire: Ram,
    burst: Burst,
}

fn block(queue: Queue) -> u32 {
    let number = u32::from(queue.second);
    if queue.transmit { tx(number, 0) } else { rx(number, 0) }
}

impl Bench {
    fn new() -> Self {
        let (vf, ram) = (Vf::default(), Ram::new(PAGES));
        let seen = ram.snapshot();
        let (maps, rings, now) = (BTreeMap::new(), BTreeMap::new(), seen.clone());
        let (wire, burst) = (Ram::new(4), Burst::new());
        Self { vf, ram, maps, rings, seen, now, unplugged: false, restarts: 0, wire, burst }
    }

    /// The guest writes its memory.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.ram.write(at, bytes);
        let end = self.seen.len().min(at + bytes.len());
        if at < end {
            self.seen[at..end].copy_from_slice(&bytes[..end - at]);
        }
    }

    fn guest(&mut self, step: Guest<'_>) {
        match step {
            Guest::Start => self.vf.start(),
            Guest::Read { region, at, len } => {
                let (mut data, at) = (vec![0xee; usize::from(len % 20)], u64::from(at));
                let control = &mut self.vf.control;
                match region {
                    Region::Registers => control.bar0_read(at, &mut data, &self.vf.worker),
                    Region::Msix => control.bar3_read(at, &mut data),
                    Region::Config => control.config_read(at, &mut data),
                }
                assert!(!self.unplugged || data.iter().all(|byte| *byte == 0xff), "gone, and yet it answers");
            }
            Guest::Write { region, at, data } => {
                let (control, at) = (&mut self.vf.control, u64::from(at));
                match region {
                    Region::Registers => control.bar0_write(at, data, &mut self.vf.worker),
                    Region::Msix => control.bar3_write(at % 0x40, data),
                    Region::Config => control.config_write(at, data, &mut self.vf.worker),
                }
            }
            Guest::Register(n, value) => self.vf.write(REGISTERS[usize::from(n % 16)], value),
            Guest::QueueRegister { queue, at, value } => {
                self.vf.write(block(queue) + u32::from(at % 16) * 4, value);
            }
            Guest::Command(value) => self.vf.config_write(4, &[value, 0]),
            Guest::FunctionLevelReset => self.vf.config_write(0xa8, &[0, 0x80]),
            Guest::Memory { at, bytes } => self.write(usize::from(at), bytes),
            Guest::Ring { queue, page, blocks, head, control } => {
                let size = 8 * (1 + u32::from(blocks % 32));
                let (block, head) = (block(queue), u32::from(head) % size);
                let base = IOVA + u64::from(page % 20) * PAGE as u64;
                if !queue.transmit {
                    self.vf.write(block + SRRCTL, 1 << 25 | (1 + (control & 7)));
                }
                self.vf.enable(&Ring { block, base, size, head, tail: head, control: control & !0x7 });
                self.rings.insert(block, (base, size, head));
            }
            Guest::Descriptor { queue, address, second } => {
                let address = match address {
                    Address::Near(n) => IOVA - PAGE as u64 + u64::from(n) % ((PAGES + 2) * PAGE) as u64,
                    Address::Any(address) => address,
                };
                self.post(block(queue), [address, second]);
            }
            Guest::Send { second, packet, at, mss, offload } => {
                let built = packet.build(if mss > 0 { 10_000 } else { 3000 });
                self.write(usize::from(at), &built.bytes);
                let block = tx(u32::from(second), 0);
                let [mac, ip, l4] =
                    [built.l3, built.l4 - built.l3, built.header - built.l4].map(|n| n as u64);
                let kind = 1 << 29 | 2 << 20 | u64::from(!packet.v6) << 10 | 1 << 11;
                self.post(block, [mac << 9 | ip, kind | l4 << 40 | u64::from(mss) << 48]);
                let flags = if mss > 0 { 1 << 31 } else { 0 } | if offload { 0x300 << 32 } else { 0 };
                // End of packet, report status.
                let data = 1 << 29 | 3 << 20 | 1 << 24 | 1 << 27 | flags | built.bytes.len() as u64;
                self.post(block, [IOVA + u64::from(at), data]);
            }
            Guest::Fill { second, at } => {
                let block = rx(u32::from(second), 0);
                for n in 0..8 {
                    self.post(block, [IOVA + (u64::from(at) + 8 * n) * 256, 0]);
                }
            }
            Guest::Tail { queue, tail } => self.vf.write(block(queue) + TAIL, tail.into()),
            Guest::Disable(queue) => self.vf.write(block(queue) + CONTROL, 0),
            Guest::Message { opcode, info, words: [a, b, c] } => {
                self.vf.message(&[u32::from(opcode % 0x14) | u32::from(info) << 16, a, b, c]);
            }
        }
    }

    /// Writes a descriptor at the tail of the ring with this register block, and rings its doorbell.
    fn post(&mut self, block: u32, words: [u64; 2]) {
        let Some((base, size, tail)) = self.rings.get_mut(&block) else { return };
        let at = usize::try_from(*base - IOVA).expect("64 bits") + *tail as usize * DESCRIPTOR;
        *tail = (*tail + 1) % *size;
        let tail = *tail;
        if at < self.ram.len() {
            self.write(at, &[words[0].to_le_bytes(), words[1].to_le_bytes()].concat());
        }
        self.vf.write(block + TAIL, tail);
    }

    fn vmm(&mut self, step: Vmm) {
        match step {
            Vmm::Map { iova, page, pages, readable, writable } => {
                let (first, page) = (u64::from(iova % 24), usize::from(page) % PAGES);
                let pages = 1 + usize::from(pages) % PAGES;
                let (iova, offset, len) = (IOVA + first * PAGE as u64, page * PAGE, pages * PAGE);
                let mapped = self.ram.map(&self.vf.domain, Window { iova, offset, len, readable, writable });
                let free = self
                    .maps
                    .iter()
                    .all(|(other, (_, n, _))| first + pages as u64 <= *other || other + *n as u64 <= first);
                assert_eq!(
                    mapped.is_ok(),
                    free && page + pages <= PAGES && (readable || writable),
                    "{mapped:?}"
                );
                if mapped.is_ok() {
                    self.maps.insert(first, (page, pages, writable));
                }
            }
            Vmm::Unmap { iova, pages } => {
                let (first, pages) = (u64::from(iova % 24), 1 + u64::from(pages % 24));
                let retired = self.vf.domain.unmap(IOVA + first * PAGE as u64, pages * PAGE as u64);
                if retired.is_ok() {
                    self.maps.retain(|other, _| *other < first || first + pages <= *other);
                }
                // As the daemon does before it answers.
                self.vf.worker.quiesce();
                assert!(retired.is_err() || !retired.is_ok_and(|retired| retired.in_use()), "still in use");
            }
            Vmm::UnmapAll => {
                let retired = self.vf.domain.unmap_all();
                self.maps.clear();
                self.vf.worker.quiesce();
                assert!(!retired.in_use(), "still in use");
            }
            Vmm::Connect { vector, connected } => {
                let eventfd = connected.then(|| EventFd::new().expect("an eventfd can be made"));
                self.vf.vectors.connect(vector.into(), eventfd);
            }
            Vmm::Reset => self.vf.control.reset(ResetKind::Device, &mut self.vf.worker),
            Vmm::Disconnect => {
                self.vf.control.reset(ResetKind::Disconnected, &mut self.vf.worker);
                drop(self.vf.domain.unmap_all());
                self.maps.clear();
            }
        }
    }

    fn worker(&mut self, step: Worker) {
        let worker = &mut self.vf.worker;
        match step {
            Worker::Fetch => worker.fetch(),
            Worker::LoopBack => worker.loop_back(),
            Worker::Complete { frames, pieces } => {
                let frames = usize::from(frames).min(worker.burst.len());
                // A frame that is cut has pieces, and some of the first one may have been delivered.
                let pieces = if frames < worker.burst.len() { u32::from(pieces) } else { 0 };
                worker.complete(Consumed { frames, pieces });
            }
            Worker::Put { packet, mss, tag, from } => self.put(&packet, mss, tag, from),
            Worker::EndRound => worker.end_round(),
            Worker::Wait(cycles) => worker.now += u64::from(cycles),
        }
    }

    fn put(&mut self, packet: &Packet, mss: Option<u16>, tag: Option<u16>, from: u8) {
        let built = packet.build(9000);
        let gso = mss.and_then(|mss| packet.segmentation(&built, mss));
        self.wire.write(0, &built.bytes);
        let burst = &mut self.burst;
        burst.begin(self.wire.view());
        burst.gather(0, built.bytes.len()).expect("the wire's memory");
        let spec = Spec { meta: FrameMeta { gso, ..FrameMeta::default() }, pad_to: 60, ..Spec::default() };
        if burst.commit(&spec).is_ok() {
            self.vf.worker.put(&burst.frame(0), tag.map(VlanTag), from.into());
        }
    }

    fn pf(mut self, step: &Pf) -> Self {
        let Vf { control, worker, .. } = &mut self.vf;
        match *step {
            Pf::Reset => control.reset(ResetKind::FunctionLevel, worker),
            Pf::Link(up) => control.set_link(up, worker),
            Pf::Mac(assigned) => control.set_mac(assigned.then_some(MAC), worker),
            Pf::Refuses(refuses) => worker.refuses = refuses,
            Pf::Unplug => {
                control.unplug(worker);
                self.unplugged = true;
            }
            // The process ends between two rounds; that it may end within one is another matter.
            Pf::Restart if self.restarts < RESTARTS => {
                self.restarts += 1;
                worker.end_round();
                self.vf = self.vf.restart(Vf::identity());
            }
            Pf::Restart => {}
        }
        self
    }

    /// True if the device must not touch memory: no bus mastering, or no queue.
    fn is_quiet(&self) -> bool {
        let enabled = |block: u32| self.vf.state.register(block + CONTROL) & ENABLE != 0;
        self.unplugged
            || !self.vf.control.config().is_bus_master()
            || !(0..QUEUES).any(|queue| enabled(rx(queue, 0)) || enabled(tx(queue, 0)))
    }

    /// Which pages of memory the device may write.
    fn writable(&self) -> [bool; PAGES] {
        let mut pages = [false; PAGES];
        for (first, count, _) in self.maps.values().filter(|map| map.2) {
            pages[*first..first + count].fill(true);
        }
        pages
    }

    fn check(&mut self, was_quiet: bool, was_writable: [bool; PAGES]) {
        let mut now = std::mem::take(&mut self.now);
        self.ram.read(&mut now);
        assert!(!(was_quiet && self.is_quiet()) || now == self.seen, "it was stopped, and yet it wrote");
        let may = self.writable().into_iter().zip(was_writable).map(|(now, before)| now || before);
        for (page, may) in may.enumerate() {
            let bytes = page * PAGE..(page + 1) * PAGE;
            assert!(may || now[bytes.clone()] == self.seen[bytes], "page {page} is not mapped for writing");
        }
        self.now = std::mem::replace(&mut self.seen, now);

        let ids = [self.vf.config_read(0), self.vf.config_read(8)];
        assert_eq!(ids, if self.unplugged { [u32::MAX; 2] } else { [0x1565_8086, 0x0200_0001] });
        let constants = [VFSTATUS, VFRXMEMWRAP].map(|register| self.vf.read(register));
        let decodes = self.vf.control.config().decodes_memory() && !self.unplugged;
        assert_eq!(constants, if decodes { [0x0008_0000, 0] } else { [u32::MAX; 2] });
        let bus_master = self.vf.control.config().is_bus_master();
        for vector in self.vf.vectors.take() {
            let sent = matches!(self.vf.control.msix().deliver(vector), Delivery::Message(_));
            assert!(!sent || bus_master, "a message without bus mastering");
        }
        for request in self.vf.worker.requests.drain(..) {
            check_request(&request);
        }
    }
}

/// What a guest may ask, its driver being what it will.
fn check_request(request: &GuestRequest) {
    let possible = match request {
        GuestRequest::Reset => true,
        GuestRequest::SetMac(mac) => mac.is_unicast(),
        GuestRequest::SetUnicast(macs) => macs.len() <= 16 && macs.iter().copied().all(MacAddr::is_unicast),
        GuestRequest::SetMulticast(hashes) => hashes.len() <= 30 && hashes.iter().all(|hash| *hash < 0x1000),
        GuestRequest::AddVlan(vid) | GuestRequest::RemoveVlan(vid) => (1..4095).contains(vid),
        GuestRequest::SetReception(asked) => *asked <= Reception::Promiscuous,
        GuestRequest::SetMaxFrame(bytes) => (68..=9728).contains(bytes),
    };
    assert!(possible, "{request:?}");
}

fuzz_target!(|input: (bool, Vec<Step<'_>>)| {
    let (from_power_on, steps) = input;
    let mut bench = Bench::new();
    if !from_power_on {
        bench.vmm(Vmm::Map { iova: 0, page: 0, pages: 15, readable: true, writable: true });
        bench.guest(Guest::Start);
        for (transmit, page) in [(false, 0), (true, 1)] {
            let queue = Queue { transmit, second: false };
            bench.guest(Guest::Ring { queue, page, blocks: 3, head: 0, control: 0 });
        }
    }
    for step in steps.into_iter().take(128) {
        let (quiet, writable) = (bench.is_quiet(), bench.writable());
        match step {
            Step::Guest(step) => bench.guest(step),
            Step::Worker(step) => bench.worker(step),
            Step::Vmm(step) => bench.vmm(step),
            Step::Pf(step) => bench = bench.pf(&step),
        }
        bench.check(quiet, writable);
    }
    // A worker goes on; the memory of a VF that is stopped stays as it is.
    let (quiet, writable) = (bench.is_quiet(), bench.writable());
    for _ in 0..4 {
        bench.vf.worker.fetch();
        bench.vf.worker.loop_back();
        bench.vf.worker.end_round();
    }
    bench.check(quiet, writable);
});
