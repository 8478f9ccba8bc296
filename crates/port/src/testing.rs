//! What the tests of several modules share: guest memory, frames built slowly, a checker that knows none of the code
//! under test.

use std::os::fd::AsFd;

use ethernet::{Gso, GsoKind};
use guest_memory::{Access, DmaDomain, Limits, MapRequest, MemoryView};
use proptest::prelude::*;
use rustix::fs::MemfdFlags;

use crate::{Burst, Segmentation};

pub(crate) const PAGE: u64 = 4096;
/// Guest memory of the tests: two adjacent regions, a hole of one page, a region that may only be read.
pub(crate) const FIRST: u64 = 0x10_0000;
pub(crate) const SECOND: u64 = FIRST + 64 * PAGE;
pub(crate) const HOLE: u64 = SECOND + 64 * PAGE;
pub(crate) const READ_ONLY: u64 = HOLE + PAGE;

pub(crate) fn memory() -> DmaDomain {
    let domain = DmaDomain::new(Limits::default());
    for (iova, pages, writable) in [(FIRST, 64, true), (SECOND, 64, true), (READ_ONLY, 1, false)] {
        let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, pages * PAGE).unwrap();
        let request =
            MapRequest { iova, size: pages * PAGE, offset: 0, writable, readable: true, fd: fd.as_fd() };
        domain.map(request).unwrap();
    }
    domain
}

/// Writes `bytes` in pieces of the lengths `cuts`, over and over, with gaps between them from `address` on, and gathers
/// them.
pub(crate) fn scatter(view: &MemoryView, burst: &mut Burst, mut address: u64, bytes: &[u8], cuts: &[usize]) {
    let mut cuts = cuts.iter().copied().cycle();
    let mut left = bytes;
    while !left.is_empty() {
        let n = cuts.next().unwrap().clamp(1, left.len());
        view.write_bytes(address, &left[..n]).unwrap();
        burst.gather(address, n).unwrap();
        address += n as u64 + 3;
        left = &left[n..];
    }
}

/// Reads `length` bytes back.
pub(crate) fn read(view: &MemoryView, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    view.read_bytes(address, &mut bytes).unwrap();
    bytes
}

/// Slices of `length` bytes at `address`, cut at `cuts`.
pub(crate) fn buffers<'v>(
    view: &'v MemoryView,
    address: u64,
    length: usize,
    cuts: &[usize],
) -> Vec<guest_memory::GuestSlice<'v>> {
    let mut cuts = cuts.iter().copied().cycle();
    let (mut at, mut slices) = (0, vec![]);
    while at < length {
        let wanted = cuts.next().unwrap().clamp(1, length - at);
        let slice = view.first_slice(address + at as u64, wanted, Access::Write).unwrap();
        at += slice.len();
        slices.push(slice);
    }
    slices
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proto {
    Tcp,
    Udp,
    Sctp,
}

/// A frame to build.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// TCIs, outer first.
    pub(crate) tags: Vec<u16>,
    pub(crate) v6: bool,
    /// 32-bit words of IPv4 options.
    pub(crate) ip_options: usize,
    pub(crate) proto: Proto,
    /// 32-bit words of TCP options.
    pub(crate) tcp_options: usize,
    pub(crate) tcp_flags: u8,
    pub(crate) payload: Vec<u8>,
}

/// What the field of the layer 4 checksum holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Right,
    /// The sum of the pseudo header, as for an offload.
    PseudoHeader,
}

impl Sample {
    pub(crate) fn l3(&self) -> usize {
        14 + 4 * self.tags.len()
    }

    pub(crate) fn l4(&self) -> usize {
        self.l3() + if self.v6 { 40 } else { 20 + 4 * self.ip_options }
    }

    pub(crate) fn header(&self) -> usize {
        self.l4()
            + match self.proto {
                Proto::Tcp => 20 + 4 * self.tcp_options,
                Proto::Udp => 8,
                Proto::Sctp => 12,
            }
    }

    /// Place of the checksum in the layer 4 header.
    pub(crate) fn field(&self) -> usize {
        match self.proto {
            Proto::Tcp => 16,
            Proto::Udp => 6,
            Proto::Sctp => 8,
        }
    }

    pub(crate) fn segmentation(&self, mss: u16) -> Segmentation {
        let kind = match (self.proto, self.v6) {
            (Proto::Tcp, false) => GsoKind::TcpV4,
            (Proto::Tcp, true) => GsoKind::TcpV6,
            (_, false) => GsoKind::UdpV4,
            (_, true) => GsoKind::UdpV6,
        };
        let to_u16 = |n: usize| u16::try_from(n).unwrap();
        let gso = Gso { kind, mss, header_len: to_u16(self.header()) };
        Segmentation { gso, l3_offset: to_u16(self.l3()), l4_offset: to_u16(self.l4()) }
    }

    pub(crate) fn build(&self, field: Field) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for tag in &self.tags {
            frame.extend([0x81, 0]);
            frame.extend(tag.to_be_bytes());
        }
        let (number, l4_len) = (self.number(), self.header() - self.l4() + self.payload.len());
        // Segmentation offload leaves lengths beyond 64 KiB to the device.
        let length = |n: usize| u16::try_from(n).unwrap_or(0).to_be_bytes();
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length(l4_len));
            frame.extend([number, 64]);
            frame.extend((0..32).map(|n| n * 7));
        } else {
            let header_len = 20 + 4 * self.ip_options;
            frame.extend([0x08, 0, 0x40 | u8::try_from(header_len / 4).unwrap(), 0]);
            frame.extend(length(header_len + l4_len));
            frame.extend([0x12, 0x34, 0x40, 0, 64, number, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            frame.extend(vec![1; 4 * self.ip_options]);
            let check = (!sum(&frame[self.l3()..])).to_be_bytes();
            frame[self.l3() + 10..self.l3() + 12].copy_from_slice(&check);
        }
        frame.extend([0x30, 0x39, 0, 80]);
        match self.proto {
            Proto::Tcp => {
                frame.extend([0xff, 0xff, 0xf0, 0, 0, 0, 0, 9]);
                frame.extend([
                    u8::try_from(5 + self.tcp_options).unwrap() << 4,
                    self.tcp_flags,
                    1,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]);
                frame.extend(vec![1; 4 * self.tcp_options]);
            }
            Proto::Udp => {
                frame.extend(length(l4_len));
                frame.extend([0, 0]);
            }
            Proto::Sctp => frame.extend([0, 0, 0, 7, 0, 0, 0, 0]),
        }
        frame.extend(&self.payload);
        let at = self.l4() + self.field();
        let pseudo = pseudo_header(&frame, self.l3(), number, l4_len);
        match (self.proto, field) {
            (Proto::Sctp, Field::Right) => {
                let crc = crc(&frame[self.l4()..]);
                frame[at..at + 4].copy_from_slice(&crc.to_le_bytes());
            }
            (Proto::Sctp, Field::PseudoHeader) => {}
            (_, Field::Right) => {
                let check = match !sum(&[pseudo, frame[self.l4()..].to_vec()].concat()) {
                    0 => 0xffff,
                    check => check,
                };
                frame[at..at + 2].copy_from_slice(&check.to_be_bytes());
            }
            (_, Field::PseudoHeader) => frame[at..at + 2].copy_from_slice(&sum(&pseudo).to_be_bytes()),
        }
        frame
    }

    fn number(&self) -> u8 {
        match self.proto {
            Proto::Tcp => 6,
            Proto::Udp => 17,
            Proto::Sctp => 132,
        }
    }
}

/// A frame of up to `payload` bytes behind its headers.
pub(crate) fn sample(payload: usize) -> impl Strategy<Value = Sample> {
    let proto = prop_oneof![Just(Proto::Tcp), Just(Proto::Udp), Just(Proto::Sctp)];
    let tags = prop::collection::vec(any::<u16>(), 0..3);
    (tags, any::<bool>(), 0..=10usize, proto, 0..=10usize, any::<u8>(), 0..=payload, any::<u8>()).prop_map(
        |(tags, v6, ip_options, proto, tcp_options, tcp_flags, length, seed)| {
            let payload = (0..length).map(|n| (n * 31).to_le_bytes()[0] ^ seed).collect();
            Sample { tags, v6, ip_options, proto, tcp_options, tcp_flags, payload }
        },
    )
}

/// Lengths of pieces; not so small on average that a frame has more of them than a burst.
pub(crate) fn cuts(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..8usize, 1..most], 0..5).prop_map(|mut cuts| {
        cuts.push(50);
        cuts
    })
}

/// What the checker found in a frame all of whose checksums and lengths are right.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) tag: Option<u16>,
    pub(crate) ip_id: u16,
    pub(crate) sequence: u32,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
    /// Bytes behind the IP packet.
    pub(crate) padding: usize,
}

/// Takes a frame apart; panics where a checksum or length is wrong.
pub(crate) fn check(frame: &[u8]) -> Checked {
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let (mut l3, mut tag) = (14, None);
    while word(l3 - 2) == 0x8100 {
        tag = tag.or_else(|| Some(word(l3)));
        l3 += 4;
    }
    let (number, l4, end, ip_id) = if word(l3 - 2) == 0x0800 {
        let l4 = l3 + usize::from(frame[l3] & 0xf) * 4;
        assert_eq!(sum(&frame[l3..l4]), 0xffff, "IPv4 header checksum");
        (frame[l3 + 9], l4, l3 + usize::from(word(l3 + 2)), word(l3 + 4))
    } else {
        (frame[l3 + 6], l3 + 40, l3 + 40 + usize::from(word(l3 + 4)), 0)
    };
    assert!(end <= frame.len(), "the packet of {} ends in the frame of {}", end, frame.len());
    let pseudo = pseudo_header(frame, l3, number, end - l4);
    let summed = sum(&[pseudo, frame[l4..end].to_vec()].concat());
    let (header, sequence, flags) = match number {
        6 => {
            assert_eq!(summed, 0xffff, "TCP checksum");
            let sequence = u32::from(word(l4 + 4)) << 16 | u32::from(word(l4 + 6));
            (usize::from(frame[l4 + 12] >> 4) * 4, sequence, frame[l4 + 13])
        }
        17 => {
            assert_eq!(summed, 0xffff, "UDP checksum");
            assert_eq!(usize::from(word(l4 + 4)), end - l4, "UDP length");
            (8, 0, 0)
        }
        _ => {
            let mut packet = frame[l4..end].to_vec();
            packet[8..12].fill(0);
            assert_eq!(crc(&packet).to_le_bytes(), frame[l4 + 8..l4 + 12], "SCTP checksum");
            (12, 0, 0)
        }
    };
    assert!(frame[end..].iter().all(|byte| *byte == 0), "padding is zeros");
    let payload = frame[l4 + header..end].to_vec();
    Checked { tag, ip_id, sequence, flags, payload, padding: frame.len() - end }
}

fn pseudo_header(frame: &[u8], l3: usize, number: u8, length: usize) -> Vec<u8> {
    let addresses = if frame[l3] >> 4 == 4 { l3 + 12..l3 + 20 } else { l3 + 8..l3 + 40 };
    let mut pseudo = frame[addresses].to_vec();
    pseudo.extend([0, number]);
    pseudo.extend(u32::try_from(length).unwrap().to_be_bytes());
    pseudo
}

/// The ones'-complement sum by its definition.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u64 =
        bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// CRC32c bit by bit.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}
