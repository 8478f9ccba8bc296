//! Frames for the tests, and a plain look at what arrived.
#![expect(clippy::cast_possible_truncation, reason = "numbers of the tests are small, or meant to be cut")]

/// A frame of `length` bytes that says which one it is.
pub(crate) fn plain(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..length).map(|n| (n * 13 + number as usize).to_le_bytes()[0]));
    frame.truncate(length);
    frame
}

/// As the wire has it: at least 60 bytes.
pub(crate) fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.len() < 60 {
        frame.resize(60, 0);
    }
    frame
}

/// An IP packet with TCP or UDP in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) v6: bool,
    pub(crate) tcp: bool,
    /// 32-bit words of TCP options.
    pub(crate) options: usize,
    pub(crate) flags: u8,
    pub(crate) payload: usize,
    pub(crate) vlan: Option<u16>,
}

pub(crate) const TCP: Packet =
    Packet { v6: false, tcp: true, options: 0, flags: 0x18, payload: 3000, vlan: None };

impl Packet {
    pub(crate) fn l3(&self) -> usize {
        14 + if self.vlan.is_some() { 4 } else { 0 }
    }

    pub(crate) fn l4(&self) -> usize {
        self.l3() + if self.v6 { 40 } else { 20 }
    }

    pub(crate) fn header(&self) -> usize {
        self.l4() + if self.tcp { 20 + 4 * self.options } else { 8 }
    }

    /// Offset of the checksum in the layer 4 header.
    pub(crate) fn field(&self) -> usize {
        if self.tcp { 16 } else { 6 }
    }

    /// `gso_type` of it.
    pub(crate) fn gso(&self) -> u8 {
        match (self.tcp, self.v6) {
            (true, false) => 1,
            (true, true) => 4,
            (false, _) => 5,
        }
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        (0..self.payload).map(|n| (n * 7 + n / 256).to_le_bytes()[0]).collect()
    }

    /// The frame with the sum of the pseudo header in place of the checksum, as for an offload.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        if let Some(tci) = self.vlan {
            frame.extend([0x81, 0]);
            frame.extend(tci.to_be_bytes());
        }
        let l4_length = self.header() - self.l4() + self.payload;
        let length = |n: usize| u16::try_from(n).unwrap_or(0).to_be_bytes();
        let protocol = if self.tcp { 6 } else { 17 };
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length(l4_length));
            frame.extend([protocol, 64]);
            frame.extend((0..32).map(|n| n * 7));
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend(length(20 + l4_length));
            frame.extend([0, 9, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            let l3 = self.l3();
            let check = (!sum(&frame[l3..])).to_be_bytes();
            frame[l3 + 10..l3 + 12].copy_from_slice(&check);
        }
        frame.extend([0x30, 0x39, 0, 80]);
        if self.tcp {
            frame.extend([
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                9,
                (5 + self.options as u8) << 4,
                self.flags,
                1,
                0,
                0,
                0,
                0,
                0,
            ]);
            frame.extend(vec![1; 4 * self.options]);
        } else {
            frame.extend(length(l4_length));
            frame.extend([0, 0]);
        }
        let pseudo = sum(&pseudo(&frame, self.l3(), protocol, l4_length)).to_be_bytes();
        let at = self.l4() + self.field();
        frame[at..at + 2].copy_from_slice(&pseudo);
        frame.extend(self.payload());
        frame
    }

    /// The `virtio_net_hdr` of it, to be cut into pieces of `mss` bytes.
    pub(crate) fn gso_header(&self, mss: u16) -> Vec<u8> {
        let ecn = if self.tcp && self.flags & 0x80 != 0 { 0x80 } else { 0 };
        let mut header = vec![1, self.gso() | ecn];
        for value in [self.header() as u16, mss, self.l4() as u16, self.field() as u16, 0] {
            header.extend(value.to_le_bytes());
        }
        header
    }

    /// The `virtio_net_hdr` that asks for a checksum only.
    pub(crate) fn checksum_header(&self) -> Vec<u8> {
        let mut header = self.gso_header(0);
        header[1] = 0;
        header[2..4].fill(0);
        header
    }
}

/// Completes the checksum of a frame as its header asks, the way a guest's stack would.
pub(crate) fn complete(header: &[u8], frame: &mut [u8]) {
    let word = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    if header[0] & 1 != 0 {
        let (start, field) = (word(6), word(6) + word(8));
        let check = match !sum(&frame[start..]) {
            0 => 0xffff,
            check => check,
        };
        frame[field..field + 2].copy_from_slice(&check.to_be_bytes());
    }
}

/// Sequence number and payload of a frame whose lengths and checksums are right; panics where they are not.
pub(crate) fn check(frame: &[u8]) -> (usize, Vec<u8>) {
    let word = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let l3 = if word(12) == 0x8100 { 18 } else { 14 };
    let (protocol, l4, end) = if word(l3 - 2) == 0x0800 {
        assert_eq!(sum(&frame[l3..l3 + 20]), 0xffff, "IPv4 checksum");
        (frame[l3 + 9], l3 + 20, l3 + word(l3 + 2))
    } else {
        (frame[l3 + 6], l3 + 40, l3 + 40 + word(l3 + 4))
    };
    assert!(end <= frame.len() && frame[end..].iter().all(|byte| *byte == 0), "padding is zeros");
    let pseudo = pseudo(frame, l3, protocol, end - l4);
    assert_eq!(sum(&[&pseudo[..], &frame[l4..end]].concat()), 0xffff, "layer 4 checksum");
    if protocol == 17 {
        assert_eq!(word(l4 + 4), end - l4, "UDP length");
        return (0, frame[l4 + 8..end].to_vec());
    }
    let header = usize::from(frame[l4 + 12] >> 4) * 4;
    (word(l4 + 4) << 16 | word(l4 + 6), frame[l4 + header..end].to_vec())
}

fn pseudo(frame: &[u8], l3: usize, protocol: u8, length: usize) -> Vec<u8> {
    let addresses = if frame[l3] >> 4 == 4 { l3 + 12..l3 + 20 } else { l3 + 8..l3 + 40 };
    let mut pseudo = frame[addresses].to_vec();
    pseudo.extend([0, protocol]);
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
