//! Frames, built field by field, and checked by the definitions of lengths and checksums alone.

use arbitrary::Arbitrary;
use ethernet::{Gso, GsoKind};
use port::{Checksum, Segmentation};

const TAG: usize = 4;
const TPID: [u8; 2] = [0x81, 0];

/// What an IP packet carries.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the protocols")]
pub enum Transport {
    Tcp,
    Udp,
    Sctp,
}

impl Transport {
    /// Its number in an IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// Where its header has the checksum.
    #[must_use]
    pub fn checksum_at(self) -> usize {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
            Self::Sctp => 8,
        }
    }
}

/// A packet to be built.
#[derive(Arbitrary, Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields of the headers")]
pub struct Packet {
    pub v6: bool,
    pub transport: Transport,
    pub ip_options: u8,
    pub tcp_options: u8,
    pub tcp_flags: u8,
    pub identification: u16,
    pub sequence: u32,
    /// Bytes of payload, cut to what [`Packet::build`] allows.
    pub payload: u16,
}

/// A packet in a frame.
#[derive(Clone, Debug)]
pub struct Built {
    /// The frame.
    pub bytes: Vec<u8>,
    /// Where the IP header starts.
    pub l3: usize,
    /// Where the transport header starts.
    pub l4: usize,
    /// Bytes of all headers.
    pub header: usize,
}

impl Packet {
    /// The frame with right lengths and checksums and at most `longest` bytes of payload; lengths that the IP header
    /// cannot say are 0, as segmentation offload has them.
    #[must_use]
    pub fn build(&self, longest: usize) -> Built {
        let payload = usize::from(self.payload) % (longest + 1);
        let (l3, mut bytes) = (14, vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        let tcp_options = 4 * usize::from(self.tcp_options % 11);
        let l4_header = match self.transport {
            Transport::Tcp => 20 + tcp_options,
            Transport::Udp => 8,
            Transport::Sctp => 12,
        };
        let l4_len = l4_header + payload;
        let number = self.transport.number();
        if self.v6 {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend(length(l4_len));
            bytes.extend([number, 64]);
            bytes.extend((0..32).map(|n| n * 7));
        } else {
            let options = self.ip_options % 11;
            let header = 20 + 4 * usize::from(options);
            bytes.extend([8, 0, 0x45 + options, 0]);
            bytes.extend(length(header + l4_len));
            bytes.extend(self.identification.to_be_bytes());
            bytes.extend([0x40, 0, 64, number, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            bytes.resize(l3 + header, 1);
            let check = (!sum(&bytes[l3..])).to_be_bytes();
            bytes[l3 + 10..l3 + 12].copy_from_slice(&check);
        }
        let l4 = bytes.len();
        bytes.extend([0x30, 0x39, 0, 80]);
        match self.transport {
            Transport::Tcp => {
                bytes.extend(self.sequence.to_be_bytes());
                bytes.extend([0, 0, 0, 9, 0x50 + 16 * (self.tcp_options % 11), self.tcp_flags]);
                bytes.extend([1, 0, 0, 0, 0, 0]);
                bytes.resize(l4 + l4_header, 1);
            }
            Transport::Udp => {
                bytes.extend(length(l4_len));
                bytes.extend([0, 0]);
            }
            Transport::Sctp => bytes.extend([0, 0, 0, 7, 0, 0, 0, 0]),
        }
        let header = bytes.len();
        bytes.extend((0..payload).map(|n| n.wrapping_mul(31).to_le_bytes()[0] ^ n.to_le_bytes()[1]));
        let mut built = Built { bytes, l3, l4, header };
        built.fill_checksum(self.transport, built.bytes.len());
        built
    }

    /// What asks a device to cut the frame.
    #[must_use]
    pub fn segmentation(&self, built: &Built, mss: u16) -> Option<Segmentation> {
        let kind = match (self.transport, self.v6) {
            (Transport::Tcp, false) => GsoKind::TcpV4,
            (Transport::Tcp, true) => GsoKind::TcpV6,
            (Transport::Udp, false) => GsoKind::UdpV4,
            (Transport::Udp, true) => GsoKind::UdpV6,
            (Transport::Sctp, _) => return None,
        };
        let [header_len, l3_offset, l4_offset] = [built.header, built.l3, built.l4].map(offset);
        Some(Segmentation { gso: Gso { kind, mss, header_len }, l3_offset, l4_offset })
    }
}

impl Built {
    /// Writes the right checksum of the transport header.
    fn fill_checksum(&mut self, transport: Transport, end: usize) {
        let at = self.l4 + transport.checksum_at();
        if transport == Transport::Sctp {
            let check = crc32c(&self.bytes[self.l4..end]);
            self.bytes[at..at + 4].copy_from_slice(&check.to_le_bytes());
            return;
        }
        let pseudo = pseudo_header(&self.bytes, self.l3, transport.number(), end - self.l4);
        let check = nonzero(!sum(&[&pseudo, &self.bytes[self.l4..end]].concat()));
        self.bytes[at..at + 2].copy_from_slice(&check.to_be_bytes());
    }

    /// Leaves the checksum of the transport header to the device, as drivers do; what says so.
    pub fn leave_checksum(&mut self, transport: Transport) -> Checksum {
        let at = self.l4 + transport.checksum_at();
        let (start, field) = (offset(self.l4), offset(transport.checksum_at()));
        if transport == Transport::Sctp {
            self.bytes[at..at + 4].fill(0);
            return Checksum::PartialCrc32c { start, offset: field };
        }
        let pseudo = pseudo_header(&self.bytes, self.l3, transport.number(), self.bytes.len() - self.l4);
        self.bytes[at..at + 2].copy_from_slice(&sum(&pseudo).to_be_bytes());
        Checksum::Partial { start, offset: field }
    }
}

/// The frame with a tag behind its addresses.
#[must_use]
pub fn tagged(frame: &[u8], tci: u16) -> Vec<u8> {
    [&frame[..12], &TPID, &tci.to_be_bytes(), &frame[12..]].concat()
}

/// The frame without its outer tag, and the tag, if it has one and all of an Ethernet header behind it.
#[must_use]
pub fn untagged(frame: &[u8]) -> Option<(Vec<u8>, u16)> {
    if frame.len() < 14 + TAG || frame[12..14] != TPID {
        return None;
    }
    Some(([&frame[..12], &frame[12 + TAG..]].concat(), u16::from_be_bytes([frame[14], frame[15]])))
}

/// Checks lengths and checksums of the packet whose IP header is at `l3` and TCP or UDP header at `l4`; what stands
/// behind the packet must be zeros. Where the packet ends.
///
/// # Panics
/// If any of that is wrong.
pub fn check(frame: &[u8], l3: usize, l4: usize, transport: Transport) -> usize {
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let end = if frame[l3] >> 4 == 4 {
        assert_eq!(sum(&frame[l3..l4]), 0xffff, "checksum of the IPv4 header");
        l3 + usize::from(word(l3 + 2))
    } else {
        l3 + 40 + usize::from(word(l3 + 4))
    };
    assert!(end <= frame.len(), "the packet ends at {end} of {}", frame.len());
    assert!(frame[end..].iter().all(|byte| *byte == 0), "padding is zeros");
    if transport == Transport::Sctp {
        let mut packet = frame[l4..end].to_vec();
        packet[8..12].fill(0);
        assert_eq!(crc32c(&packet).to_le_bytes(), frame[l4 + 8..l4 + 12], "checksum of SCTP");
        return end;
    }
    let pseudo = pseudo_header(frame, l3, transport.number(), end - l4);
    assert_eq!(sum(&[&pseudo, &frame[l4..end]].concat()), 0xffff, "checksum of {transport:?}");
    if transport == Transport::Udp {
        assert_eq!(usize::from(word(l4 + 4)), end - l4, "length of UDP");
        assert_ne!(word(l4 + 6), 0, "0 means that there is no checksum");
    }
    end
}

/// The ones'-complement sum of 16-bit words by its definition (RFC 1071).
#[must_use]
pub fn sum(bytes: &[u8]) -> u16 {
    let (words, last) = bytes.as_chunks();
    let mut sum: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    sum += last.first().map_or(0, |byte| u64::from(*byte) << 8);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("it was folded")
}

/// A checksum as it is sent: 0 in its other form.
#[must_use]
pub fn nonzero(check: u16) -> u16 {
    if check == 0 { u16::MAX } else { check }
}

/// CRC32c bit by bit (RFC 9260 appendix A).
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
}

fn pseudo_header(frame: &[u8], l3: usize, number: u8, len: usize) -> Vec<u8> {
    let addresses = if frame[l3] >> 4 == 4 { l3 + 12..l3 + 20 } else { l3 + 8..l3 + 40 };
    let len = u32::try_from(len).expect("a packet is short");
    [&frame[addresses], &[0, number], &len.to_be_bytes()].concat()
}

/// A length field.
fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(0).to_be_bytes()
}

/// A place in the headers that [`Packet::build`] makes.
fn offset(at: usize) -> u16 {
    u16::try_from(at).expect("headers are short")
}
