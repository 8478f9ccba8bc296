//! A transmit ring of any content, in memory of any content.
//!
//! Each frame that the device accepts is the one that its descriptors describe, byte by byte, as a second, plain
//! reader of the ring has it: the headers as they were at the fetch, offsets and tag, and every piece in which a
//! receiver gets it. The head never goes past the tail, and the device writes nothing but "done" into the
//! descriptors it is done with.

#![no_main]

use arbitrary::Arbitrary;
use ethernet::{Gso, GsoKind, VlanTag};
use guest_memory::{Access, GuestSlice};
use libfuzzer_sys::fuzz_target;
use port::{Checksum, Consumed, Frame, FrameMeta, HEADER_MAX, Pieces, Segmentation};
use support::frames::{self, Packet, Transport, nonzero};
use support::memory::{PAGE, Ram, Window};
use support::vf::{DESCRIPTOR, Ring, Vf};
use vf82599::registers::{TAIL, tx};

const IOVA: u64 = 0x10_0000;
/// Guest memory: a page for the ring, the rest for buffers; then a page that the device may only read.
const PAGES: usize = 12;
/// The longest piece, a tag and some room to see whether more is written.
const SINK_PAGES: usize = 18;
const BLOCK: u32 = tx(0, 0);

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Address {
    /// Near guest memory, counted in bytes from a page before it.
    Near(u32),
    Any(u64),
}

/// Lengths of headers, and what else a context descriptor says.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Context {
    mac: u8,
    ip: u16,
    ipv4: bool,
    l4: u8,
    l4_len: u8,
    mss: u16,
    vlan: u16,
    slot: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Descriptor {
    Raw([u64; 2]),
    Context(Context),
    Data {
        address: Address,
        length: u16,
        end: bool,
        report: bool,
        flags: u8,
        options: u16,
    },
    /// A packet, in buffers cut at some place, with what a driver says about it.
    Packet {
        packet: Packet,
        at: u16,
        cut: u8,
        mss: u16,
        tag: bool,
        offload: bool,
    },
}

#[derive(Arbitrary, Debug)]
enum Step {
    Post(Descriptor),
    Tail(u8),
    Serve,
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Blocks of eight descriptors.
    blocks: u8,
    head: u8,
    /// What the memory is full of.
    fill: &'a [u8],
    steps: Vec<Step>,
}

const EOP: u64 = 1 << 24;
const RS: u64 = 1 << 27;
const DEXT: u64 = 1 << 29;
const VLE: u64 = 1 << 30;
const TSE: u64 = 1 << 31;
const DATA: u64 = DEXT | 3 << 20;
const CONTEXT: u64 = DEXT | 2 << 20;
const KIND: u64 = DEXT | 0xf << 20;
const IXSM: u64 = 1 << 8;
const TXSM: u64 = 1 << 9;

impl Context {
    fn words(self) -> [u64; 2] {
        let command = CONTEXT | u64::from(self.ipv4) << 10 | u64::from(self.l4 & 3) << 11;
        let lengths = u64::from(self.ip & 0x1ff) | u64::from(self.mac & 0x7f) << 9;
        let rest = u64::from(self.slot) << 36 | u64::from(self.l4_len) << 40 | u64::from(self.mss) << 48;
        [lengths | u64::from(self.vlan) << 16, command | rest]
    }
}

/// The driver, as wild as it may be.
struct Driver {
    ram: Ram,
    size: u32,
    tail: u32,
}

impl Driver {
    fn post_words(&mut self, [low, high]: [u64; 2]) {
        let at = self.tail as usize * DESCRIPTOR;
        self.ram.write(at, &[low.to_le_bytes(), high.to_le_bytes()].concat());
        self.tail = (self.tail + 1) % self.size;
    }

    fn post(&mut self, descriptor: Descriptor) {
        match descriptor {
            Descriptor::Raw(words) => self.post_words(words),
            Descriptor::Context(context) => self.post_words(context.words()),
            Descriptor::Data { address, length, end, report, flags, options } => {
                let address = match address {
                    Address::Near(n) => IOVA - PAGE as u64 + u64::from(n) % ((PAGES + 3) * PAGE) as u64,
                    Address::Any(address) => address,
                };
                let command =
                    u64::from(flags & 3) << 30 | if end { EOP } else { 0 } | if report { RS } else { 0 };
                self.post_words([address, DATA | command | u64::from(length) | u64::from(options) << 32]);
            }
            Descriptor::Packet { packet, at, cut, mss, tag, offload } => {
                self.post_packet(&packet, usize::from(at), usize::from(cut), mss, tag, offload);
            }
        }
    }

    fn post_packet(&mut self, packet: &Packet, at: usize, cut: usize, mss: u16, tag: bool, offload: bool) {
        let built = packet.build(if mss > 0 { 20_000 } else { 9000 });
        let at = PAGE + at % (6 * PAGE);
        self.ram.write(at, &built.bytes);
        let l4 = match packet.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Sctp => 2,
        };
        let [mac, ip, l4_len] = [built.l3, built.l4 - built.l3, built.header - built.l4]
            .map(|len| u8::try_from(len).expect("the headers of a packet are short"));
        let (ipv4, vlan, slot) = (!packet.v6, 0x1234, false);
        self.post_words(Context { mac, ip: ip.into(), ipv4, l4, l4_len, mss, vlan, slot }.words());
        let (cut, len) = (cut.min(built.bytes.len()), built.bytes.len());
        let segment = if mss > 0 { TSE } else { 0 };
        let first = segment | if tag { VLE } else { 0 } | if offload { (IXSM | TXSM) << 32 } else { 0 };
        let address = IOVA + at as u64;
        self.post_words([address, DATA | first | cut as u64]);
        self.post_words([address + cut as u64, DATA | EOP | RS | (len - cut) as u64]);
    }
}

/// What a plain reader of the ring takes a frame for.
struct Expected {
    /// All of it before it is cut, without its outer tag.
    bytes: Vec<u8>,
    meta: FrameMeta,
    /// Descriptor behind it.
    end: u32,
}

/// The plain reader: it knows the ring's memory and the contexts so far.
struct Reader<'a> {
    memory: &'a [u8],
    size: u32,
}

impl Reader<'_> {
    fn words(&self, index: u32) -> [u64; 2] {
        let at = index as usize * DESCRIPTOR;
        let word = |at: usize| self.memory[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
        [word(at), word(at + 8)]
    }

    /// Takes up the contexts of the descriptors from `from` to `to`.
    fn pass(&self, from: u32, to: u32, contexts: &mut [[u64; 2]; 2]) {
        let mut at = from;
        while at != to {
            let words = self.words(at);
            if words[1] & KIND == CONTEXT {
                contexts[(words[1] >> 36 & 1) as usize] = words;
            }
            at = (at + 1) % self.size;
        }
    }

    /// The frame whose first descriptor is at `start`.
    fn frame(&self, start: u32, contexts: &mut [[u64; 2]; 2]) -> Expected {
        let (mut at, mut bytes, mut first) = (start, Vec::new(), None);
        loop {
            let words = self.words(at);
            at = (at + 1) % self.size;
            assert!(at != start || words[1] & EOP != 0, "a frame without end was taken");
            if words[1] & KIND == CONTEXT {
                assert!(first.is_none(), "a context inside a frame was taken");
                contexts[(words[1] >> 36 & 1) as usize] = words;
                continue;
            }
            assert_eq!(words[1] & KIND, DATA, "a descriptor of another kind was taken");
            first.get_or_insert(words[1]);
            let offset = usize::try_from(words[0].wrapping_sub(IOVA)).expect("64 bits");
            let length = (words[1] & 0xffff) as usize;
            if length > 0 {
                bytes.extend(self.memory.get(offset..offset + length).expect("a buffer elsewhere was read"));
            }
            if words[1] & EOP != 0 {
                break;
            }
        }
        let first = first.expect("a frame has a descriptor");
        let meta = offloads(first, contexts[(first >> 36 & 1) as usize], &mut bytes);
        Expected { bytes, meta, end: at }
    }
}

/// What the first descriptor and its context ask for, as far as it is done to the headers at once.
fn offloads(first: u64, context: [u64; 2], bytes: &mut Vec<u8>) -> FrameMeta {
    let field =
        |word: u64, shift: u32, bits: u32| u16::try_from(word >> shift & ((1 << bits) - 1)).expect("16 bits");
    let (ip, mac, vlan) = (field(context[0], 0, 9), field(context[0], 9, 7), field(context[0], 16, 16));
    let (ipv4, l4) = (context[1] >> 10 & 1 == 1, context[1] >> 11 & 3);
    let (l4_len, mss) = (field(context[1], 40, 8), field(context[1], 48, 16));
    let (mut checksum, mut gso) = (Checksum::Unverified, None);
    if first & TSE != 0 {
        let kind = match (l4, ipv4) {
            (1, true) => GsoKind::TcpV4,
            (1, false) => GsoKind::TcpV6,
            (0, true) => GsoKind::UdpV4,
            (0, false) => GsoKind::UdpV6,
            _ => panic!("segmentation of another protocol was taken"),
        };
        let gso_of = Gso { kind, mss, header_len: mac + ip + l4_len };
        gso = Some(Segmentation { gso: gso_of, l3_offset: mac, l4_offset: mac + ip });
    } else {
        let start = mac + ip;
        if first >> 32 & TXSM != 0 {
            checksum = match l4 {
                0 => Checksum::Partial { start, offset: 6 },
                1 => Checksum::Partial { start, offset: 16 },
                2 => Checksum::PartialCrc32c { start, offset: 8 },
                _ => panic!("a checksum of another protocol was taken"),
            };
        }
        if first >> 32 & IXSM != 0 && ipv4 {
            let at = usize::from(mac);
            let len = 4 * usize::from(bytes[at] & 0xf);
            let header = &mut bytes[at..at + len];
            header[10..12].fill(0);
            let check = !frames::sum(header);
            header[10..12].copy_from_slice(&check.to_be_bytes());
        }
    }
    let mut tag = (first & VLE != 0).then_some(VlanTag(vlan));
    if tag.is_none()
        && let Some((without, tci)) = frames::untagged(bytes)
    {
        (*bytes, tag) = (without, Some(VlanTag(tci)));
        match &mut checksum {
            Checksum::Partial { start, .. } | Checksum::PartialCrc32c { start, .. } => *start -= 4,
            Checksum::Unverified | Checksum::Complete => {}
        }
        if let Some(cut) = &mut gso {
            for offset in [&mut cut.gso.header_len, &mut cut.l3_offset, &mut cut.l4_offset] {
                *offset -= 4;
            }
        }
    }
    FrameMeta { tag, checksum, gso }
}

/// The frame as it goes out whole: its checksum filled in, padded.
fn on_the_wire(expected: &Expected) -> Vec<u8> {
    let mut bytes = expected.bytes.clone();
    match expected.meta.checksum {
        Checksum::Partial { start, offset } => {
            let (start, at) = (usize::from(start), usize::from(start + offset));
            let check = nonzero(!frames::sum(&bytes[start..]));
            bytes[at..at + 2].copy_from_slice(&check.to_be_bytes());
        }
        Checksum::PartialCrc32c { start, offset } => {
            let (start, at) = (usize::from(start), usize::from(start + offset));
            bytes[at..at + 4].fill(0);
            let check = frames::crc32c(&bytes[start..]);
            bytes[at..at + 4].copy_from_slice(&check.to_le_bytes());
        }
        Checksum::Unverified | Checksum::Complete => {}
    }
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

/// A receiver's memory, to which pieces are delivered.
fn deliver(sink: &Ram, pieces: &Pieces<'_>, index: u32, tag: Option<VlanTag>) -> Vec<u8> {
    let mut scratch = [0; HEADER_MAX + 4];
    let piece = pieces.get(index, tag, &mut scratch);
    let (view, len) = (sink.view(), piece.len());
    // Two buffers, cut at an odd place in the headers.
    let slice = |at: usize, len: usize| view.slice(at as u64, len, Access::Write).expect("the sink is large");
    let buffers: [GuestSlice<'_>; 2] = [slice(1, 33), slice(64, len.saturating_sub(33).max(1))];
    piece.write(&buffers).expect("the buffers are long enough");
    let mut bytes = vec![0; 33.max(len)];
    view.read_bytes(1, &mut bytes[..33]).expect("the sink is large");
    view.read_bytes(64, &mut bytes[33..]).expect("the sink is large");
    bytes.truncate(len);
    bytes
}

fn check_frame(frame: &Frame<'_>, expected: &Expected, sink: &Ram) {
    let (meta, gso) = (frame.meta(), expected.meta.gso);
    assert_eq!((meta.tag, meta.gso), (expected.meta.tag, gso));
    let bytes = &expected.bytes;
    let tagged = if meta.tag.is_some() { 4 } else { 0 };
    assert!(bytes.len() + tagged >= 14 && bytes.len() <= if gso.is_some() { 0x3_ffff } else { 9728 });
    let pieces = Pieces::new(frame).expect("a fetched frame can be sent");
    let Some(cut) = gso else {
        let whole = on_the_wire(expected);
        assert_eq!((frame.len(), pieces.count()), (whole.len(), 1));
        let padded = [&bytes[..], &[0; 60]].concat();
        let header = if meta.checksum == Checksum::Complete { &whole } else { &padded };
        assert_eq!(frame.header(), &header[..frame.header().len()], "the headers are not those in memory");
        assert_eq!(deliver(sink, &pieces, 0, None), whole);
        assert_eq!(deliver(sink, &pieces, 0, Some(VlanTag(7))), frames::tagged(&whole, 7));
        return;
    };
    let header_len = usize::from(cut.gso.header_len);
    assert_eq!(frame.header(), &bytes[..header_len], "the headers are not those in memory");
    assert_eq!(frame.len(), bytes.len());
    let transport = match cut.gso.kind {
        GsoKind::TcpV4 | GsoKind::TcpV6 => Transport::Tcp,
        GsoKind::UdpV4 | GsoKind::UdpV6 => Transport::Udp,
    };
    let mut payload = bytes[header_len..].chunks(cut.gso.mss.into());
    assert_eq!(pieces.count() as usize, payload.len().max(1));
    for index in 0..pieces.count().min(8) {
        let piece = deliver(sink, &pieces, index, None);
        let end = frames::check(&piece, cut.l3_offset.into(), cut.l4_offset.into(), transport);
        assert_eq!(&piece[header_len..end], payload.next().unwrap_or_default());
        assert!(piece.len() <= pieces.longest().max(60));
    }
}

/// What the device wrote between two looks while its head went from `from` to `to`: "done" where it was asked for.
fn check_writes(before: &[u8], after: &[u8], size: u32, from: u32, to: u32) {
    let mut allowed = before.to_vec();
    let reader = Reader { memory: before, size };
    let mut at = from;
    while at != to {
        let command = reader.words(at)[1];
        if command & KIND != CONTEXT && command & RS != 0 {
            let field = at as usize * DESCRIPTOR + 12;
            allowed[field..field + 4].copy_from_slice(&[1, 0, 0, 0]);
        }
        at = (at + 1) % size;
    }
    assert!(allowed == after, "the device wrote elsewhere, or not what it should");
}

/// One look of a worker, which takes the first frame alone; false if there is none.
fn serve(vf: &mut Vf, driver: &Driver, sink: &Ram, contexts: &mut [[u64; 2]; 2]) -> bool {
    let size = driver.size;
    let distance = |from: u32, to: u32| (to + size - from) % size;
    let tail = vf.state.register(BLOCK + TAIL);
    let (old, before) = (vf.head(BLOCK), driver.ram.snapshot());
    let available = if tail < size { distance(old, tail) } else { 0 };

    // What is dropped in front of the first frame goes at once.
    vf.worker.fetch();
    let found = vf.worker.burst.len();
    vf.worker.end_round();
    let start = vf.head(BLOCK);
    assert!(distance(old, start) <= available, "the head went past the tail");
    let between = driver.ram.snapshot();
    check_writes(&before, &between, size, old, start);
    Reader { memory: &before, size }.pass(old, start, contexts);
    if found == 0 {
        return false;
    }
    vf.worker.fetch();
    assert!(vf.worker.burst.len() >= found, "a frame that was held has vanished");
    let expected = Reader { memory: &between, size }.frame(start, contexts);
    check_frame(&vf.worker.burst.frame(0), &expected, sink);
    vf.worker.complete(Consumed { frames: 1, pieces: 0 });
    vf.worker.end_round();
    let end = vf.head(BLOCK);
    let taken = distance(start, end);
    assert!(distance(old, start) + taken <= available, "the head went past the tail");
    assert!(taken >= distance(start, expected.end), "a frame was taken in part");
    check_writes(&between, &driver.ram.snapshot(), size, start, end);
    Reader { memory: &between, size }.pass(expected.end, end, contexts);
    true
}

fuzz_target!(|input: Input<'_>| {
    let size = 8 * (1 + u32::from(input.blocks % 32));
    let head = u32::from(input.head) % size;
    let mut driver = Driver { ram: Ram::new(PAGES + 1), size, tail: head };
    let (sink, mut vf) = (Ram::new(SINK_PAGES), Vf::default());
    if !input.fill.is_empty() {
        let fill: Vec<u8> = input.fill.iter().copied().cycle().take(PAGES * PAGE).collect();
        driver.ram.write(PAGE, &fill);
    }
    for (page, pages, writable) in [(0, PAGES, true), (PAGES, 1, false)] {
        let (offset, len) = (page * PAGE, pages * PAGE);
        let window = Window { iova: IOVA + offset as u64, offset, len, readable: true, writable };
        driver.ram.map(&vf.domain, window).expect("nothing else is mapped");
    }
    vf.start();
    vf.enable(&Ring { block: BLOCK, base: IOVA, size, head, tail: head, control: 0 });
    let mut contexts = [[0; 2]; 2];
    for step in input.steps.into_iter().take(64) {
        match step {
            Step::Post(descriptor) => {
                driver.post(descriptor);
                vf.write(BLOCK + TAIL, driver.tail);
            }
            // Also one outside of the ring.
            Step::Tail(tail) => vf.write(BLOCK + TAIL, tail.into()),
            Step::Serve => {
                for _ in 0..size {
                    if !serve(&mut vf, &driver, &sink, &mut contexts) {
                        break;
                    }
                }
            }
        }
    }
    while serve(&mut vf, &driver, &sink, &mut contexts) {}
});
