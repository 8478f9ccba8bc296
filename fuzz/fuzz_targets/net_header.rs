//! Frames with any header of virtio-net, through a synthetic adapter and back to its own guest.
//!
//! Frames that a stack could send arrive with all their bytes, in pieces that the driver agreed to take, each with right
//! lengths and checksums by the plain definition of these; what the device left to the driver is what it says. Of
//! others, those without a request to the device arrive as they are, those that ask for a checksum have the one that
//! is asked for, and no frame is both counted as malformed and delivered.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use port::Checksum;
use support::frames::{self, Packet, Transport};
use support::memory::PAGE;
use support::synthetic::Adapter;
use virtio_net::{Features, Position, RingConfig};

const HEADER: usize = 12;
const NEEDS_CSUM: u8 = 1;
const SIZE: u16 = 16;
const WRITE: u16 = 2;
const FRAME_AT: usize = 10 * PAGE;
const BUFFERS_AT: usize = 13 * PAGE;
/// Bytes of all receive buffers.
const BUFFERS: usize = 11 * PAGE;
const LONGEST: usize = 3000;
const OPTIONAL: [Features; 10] = [
    Features::CSUM,
    Features::HOST_TSO4,
    Features::HOST_TSO6,
    Features::HOST_USO,
    Features::GUEST_CSUM,
    Features::GUEST_TSO4,
    Features::GUEST_TSO6,
    Features::GUEST_USO4,
    Features::GUEST_USO6,
    Features::MRG_RXBUF,
];

#[derive(Arbitrary, Debug)]
enum Content {
    Packet { packet: Packet, tag: Option<u16>, mss: u16, header_len: u16, cut: bool },
    Bytes { bytes: Vec<u8>, header: [u8; 10] },
}

#[derive(Arbitrary, Debug)]
struct Input {
    features: u16,
    buffer: u16,
    content: Content,
}

/// A frame as it arrived: header and bytes.
type Arrived = ([u8; HEADER], Vec<u8>);

struct Guest {
    adapter: Adapter,
    features: Features,
    buffer: usize,
    posted: u16,
    seen: u16,
}

impl Guest {
    fn new(features: u16, buffer: u16) -> Self {
        let mut chosen = Features::VERSION_1;
        for (bit, feature) in OPTIONAL.into_iter().enumerate() {
            chosen.set(feature, features >> bit & 1 == 1);
        }
        let adapter = Adapter::new(chosen);
        for ring in [0, 1] {
            let [descriptors, driver, device] = [0, 1, 2].map(|part| ((4 * ring + part) * PAGE) as u64);
            let config = RingConfig { size: SIZE, descriptors, driver, device };
            assert!(adapter.start(ring, config, Position { available: 0, used: 0 }));
        }
        let features = adapter.state.features();
        let mergeable = features.contains(Features::MRG_RXBUF);
        let buffer = if mergeable { 256 + usize::from(buffer) % 2048 } else { PAGE };
        Self { adapter, features, buffer, posted: 0, seen: 0 }
    }

    /// Buffers that are posted at a time.
    fn buffers(&self) -> u16 {
        u16::try_from((BUFFERS / self.buffer).min(usize::from(SIZE))).expect("the ring is small")
    }

    fn post(&mut self, ring: usize, index: u16, address: usize, length: usize, flags: u16, available: u16) {
        let mut descriptor = [0; 16];
        descriptor[..8].copy_from_slice(&(address as u64).to_le_bytes());
        descriptor[8..12].copy_from_slice(&u32::try_from(length).expect("buffers are small").to_le_bytes());
        descriptor[12..14].copy_from_slice(&flags.to_le_bytes());
        let base = 4 * ring * PAGE;
        self.adapter.ram.write(base + 16 * usize::from(index), &descriptor);
        self.adapter.ram.write(base + PAGE + 4 + 2 * usize::from(available % SIZE), &index.to_le_bytes());
        self.adapter.ram.write(base + PAGE + 2, &available.wrapping_add(1).to_le_bytes());
    }

    /// Sends a frame; what arrives of it.
    fn send(&mut self, header: &[u8; HEADER], frame: &[u8]) -> Vec<Arrived> {
        let bytes = [header, frame].concat();
        self.adapter.ram.write(FRAME_AT, &bytes);
        self.post(1, 0, FRAME_AT, bytes.len(), 0, 0);
        let mut arrived = Vec::new();
        loop {
            while self.posted.wrapping_sub(self.seen) < self.buffers() {
                let index = self.posted % self.buffers();
                let address = BUFFERS_AT + usize::from(index) * self.buffer;
                self.post(0, index, address, self.buffer, WRITE, self.posted);
                self.posted = self.posted.wrapping_add(1);
            }
            self.adapter.fetch();
            self.adapter.loop_back();
            self.adapter.end_round();
            let before = arrived.len();
            self.receive(&mut arrived);
            let memory = self.adapter.ram.snapshot();
            let sent = u16::from_le_bytes([memory[6 * PAGE + 2], memory[6 * PAGE + 3]]);
            if sent == 1 {
                return arrived;
            }
            assert!(arrived.len() > before, "a frame waits though there is room");
        }
    }

    fn receive(&mut self, arrived: &mut Vec<Arrived>) {
        let memory = self.adapter.ram.snapshot();
        let used = &memory[2 * PAGE..];
        let end = u16::from_le_bytes([used[2], used[3]]);
        while self.seen != end {
            let mut bytes = self.take(&memory);
            if bytes.is_empty() {
                continue;
            }
            let header: [u8; HEADER] =
                bytes.drain(..HEADER).as_slice().try_into().expect("it has that length");
            let buffers = u16::from_le_bytes([header[10], header[11]]);
            assert!(buffers >= 1 && buffers - 1 <= end.wrapping_sub(self.seen), "{buffers} buffers");
            for _ in 1..buffers {
                bytes.extend(self.take(&memory));
            }
            arrived.push((header, bytes));
        }
    }

    /// What is in the next buffer that came back.
    fn take(&mut self, memory: &[u8]) -> Vec<u8> {
        let entry = 2 * PAGE + 4 + 8 * usize::from(self.seen % SIZE);
        self.seen = self.seen.wrapping_add(1);
        let number = |at: usize| {
            let bytes = memory[at..].first_chunk().expect("the ring lies in memory");
            u32::from_le_bytes(*bytes) as usize
        };
        let (index, length) = (number(entry), number(entry + 4));
        assert!(length <= self.buffer, "{length} bytes in a buffer of {}", self.buffer);
        memory[BUFFERS_AT + index * self.buffer..][..length].to_vec()
    }
}

/// Does what the device left to the driver.
fn complete((header, frame): &mut Arrived) {
    if header[0] & NEEDS_CSUM != 0 {
        let [start, offset] = [6, 8].map(|at| usize::from(u16::from_le_bytes([header[at], header[at + 1]])));
        let check = frames::nonzero(!frames::sum(&frame[start..]));
        frame[start + offset..start + offset + 2].copy_from_slice(&check.to_be_bytes());
    }
}

/// `VIRTIO_NET_HDR_GSO_*`, and what the device and the driver need for it.
fn gso(packet: &Packet) -> Option<(u8, Features, Features)> {
    Some(match (packet.transport, packet.v6) {
        (Transport::Tcp, false) => (1, Features::HOST_TSO4, Features::GUEST_TSO4),
        (Transport::Tcp, true) => (4, Features::HOST_TSO6, Features::GUEST_TSO6),
        (Transport::Udp, false) => (5, Features::HOST_USO, Features::GUEST_USO4),
        (Transport::Udp, true) => (5, Features::HOST_USO, Features::GUEST_USO6),
        (Transport::Sctp, _) => return None,
    })
}

fn packet(guest: &mut Guest, packet: Packet, tag: Option<u16>, mss: u16, header_len: u16, cut: bool) {
    let mut built = packet.build(LONGEST);
    let payload = built.bytes[built.header..].to_vec();
    let shift = if tag.is_some() { 4 } else { 0 };
    let (l3, l4, headers) = (built.l3 + shift, built.l4 + shift, built.header + shift);
    let mss = 200 + mss % 2000;
    let kind =
        gso(&packet).filter(|(_, host, _)| cut && !payload.is_empty() && guest.features.contains(*host));
    let mut header = [0; HEADER];
    if packet.transport != Transport::Sctp && guest.features.contains(Features::CSUM) {
        let Checksum::Partial { offset, .. } = built.leave_checksum(packet.transport) else { return };
        header[0] = NEEDS_CSUM;
        header[6..8].copy_from_slice(&u16::try_from(l4).expect("headers are short").to_le_bytes());
        header[8..10].copy_from_slice(&offset.to_le_bytes());
    }
    if let Some((kind, ..)) = kind {
        header[1] = kind;
        header[2..4].copy_from_slice(&header_len.to_le_bytes());
        header[4..6].copy_from_slice(&mss.to_le_bytes());
    }
    let frame = tag.map_or_else(|| built.bytes.clone(), |tag| frames::tagged(&built.bytes, tag));
    let arrived = guest.send(&header, &frame);
    assert_eq!(guest.adapter.malformed, 0, "the frame makes sense");
    let mut found = Vec::new();
    let count = arrived.len();
    for mut arrived in arrived {
        let whole = arrived.0[1] != 0;
        let agreed =
            kind.is_some_and(|(kind, _, wanted)| kind == arrived.0[1] && guest.features.contains(wanted));
        assert!(!whole || agreed, "segmentation was left to a driver that does none");
        let left = arrived.0[0] & NEEDS_CSUM != 0;
        assert!(
            !left || guest.features.contains(Features::GUEST_CSUM),
            "a checksum was left to a driver that makes none"
        );
        complete(&mut arrived);
        let end = frames::check(&arrived.1, l3, l4, packet.transport);
        assert!(whole || kind.is_none() || end - headers <= usize::from(mss), "a segment is too long");
        assert_eq!(arrived.1[..12], frame[..12], "addresses");
        found.extend_from_slice(&arrived.1[headers..end]);
    }
    assert!(kind.is_some() || count == 1, "{count} frames of one");
    assert_eq!(found, payload);
}

fn bytes(guest: &mut Guest, bytes: &[u8], fields: [u8; 10]) {
    let frame = &bytes[..bytes.len().min(LONGEST)];
    let mut header = [0; HEADER];
    header[..10].copy_from_slice(&fields);
    let mut arrived = guest.send(&header, frame);
    assert!(guest.adapter.malformed == 0 || arrived.is_empty(), "malformed and delivered");
    // A header says nothing where no offload was agreed on.
    let offloads = Features::CSUM | Features::HOST_TSO4 | Features::HOST_TSO6 | Features::HOST_USO;
    let asks = guest.features.intersects(offloads);
    let (sums, cuts) = (
        asks && fields[0] & NEEDS_CSUM != 0 && guest.features.contains(Features::CSUM),
        asks && fields[1] != 0,
    );
    if cuts || frames::untagged(frame).is_some() {
        return;
    }
    let mut expected = frame.to_vec();
    if sums {
        let [start, offset] = [6, 8].map(|at| usize::from(u16::from_le_bytes([fields[at], fields[at + 1]])));
        let field = start + offset;
        if start < 14 || field + 2 > frame.len() || field + 2 > 512 {
            assert_eq!((arrived.len(), guest.adapter.malformed), (0, 1));
            return;
        }
        let check = frames::nonzero(!frames::sum(&frame[start..]));
        expected[field..field + 2].copy_from_slice(&check.to_be_bytes());
    }
    if frame.len() < 14 {
        assert_eq!((arrived.len(), guest.adapter.malformed), (0, 1));
        return;
    }
    expected.resize(expected.len().max(60), 0);
    assert_eq!(arrived.len(), 1);
    complete(&mut arrived[0]);
    assert_eq!(arrived[0].1, expected);
}

fuzz_target!(|input: Input| {
    let mut guest = Guest::new(input.features, input.buffer);
    match input.content {
        Content::Packet { packet: one, tag, mss, header_len, cut } => {
            packet(&mut guest, one, tag, mss, header_len, cut);
        }
        Content::Bytes { bytes: all, header } => bytes(&mut guest, &all, header),
    }
});
