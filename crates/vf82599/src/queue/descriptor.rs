//! Descriptor formats (82599 datasheet sections 7.1.6 and 7.2.3): 16 bytes, little-endian, here as two 64-bit words.

/// Bytes of a descriptor.
pub(super) const BYTES: usize = 16;

/// A descriptor that the driver wrote for transmission.
#[derive(Clone, Copy, Debug)]
pub(super) enum Transmit {
    Context(Context),
    Data(Data),
    /// A kind that the device does not take, a legacy descriptor or an unknown type: it has the end of its frame and
    /// the wish for a report where a data descriptor has them.
    Unknown(Data),
}

impl Transmit {
    pub(super) fn decode(words: [u64; 2]) -> Self {
        let command = low(words[1]);
        let data = Data { address: words[0], command, options: high(words[1]) };
        match (command & Data::DEXT != 0, command >> 20 & 0xf) {
            (true, 2) => Self::Context(Context(words)),
            (true, 3) => Self::Data(data),
            _ => Self::Unknown(data),
        }
    }
}

fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
fn low(word: u64) -> u32 {
    word as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the fields of a word are cut out of it")]
fn bits(word: u64, shift: u32, width: u32) -> u16 {
    (word >> shift & ((1 << width) - 1)) as u16
}

/// Layer 4 protocol that a context names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum L4Type {
    Udp,
    Tcp,
    Sctp,
    Reserved,
}

/// A context descriptor: where the headers end and what they are. The queue keeps two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Context(pub(super) [u64; 2]);

impl Context {
    pub(super) fn ip_length(self) -> u16 {
        bits(self.0[0], 0, 9)
    }

    pub(super) fn mac_length(self) -> u16 {
        bits(self.0[0], 9, 7)
    }

    pub(super) fn vlan(self) -> u16 {
        bits(self.0[0], 16, 16)
    }

    pub(super) fn is_ipv4(self) -> bool {
        bits(self.0[1], 10, 1) == 1
    }

    pub(super) fn l4_type(self) -> L4Type {
        match bits(self.0[1], 11, 2) {
            0 => L4Type::Udp,
            1 => L4Type::Tcp,
            2 => L4Type::Sctp,
            _ => L4Type::Reserved,
        }
    }

    /// Which of the two contexts this one replaces.
    pub(super) fn slot(self) -> usize {
        usize::from(bits(self.0[1], 36, 1))
    }

    pub(super) fn l4_length(self) -> u16 {
        bits(self.0[1], 40, 8)
    }

    pub(super) fn mss(self) -> u16 {
        bits(self.0[1], 48, 16)
    }
}

/// A data descriptor: one buffer of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) address: u64,
    command: u32,
    options: u32,
}

impl Data {
    const EOP: u32 = 1 << 24;
    const RS: u32 = 1 << 27;
    const DEXT: u32 = 1 << 29;
    const VLE: u32 = 1 << 30;
    const TSE: u32 = 1 << 31;
    const IXSM: u32 = 1 << 8;
    const TXSM: u32 = 1 << 9;
    const IPSEC: u32 = 1 << 10;

    pub(super) fn length(self) -> usize {
        (self.command & 0xffff) as usize
    }

    /// Last buffer of its frame.
    pub(super) fn ends_frame(self) -> bool {
        self.command & Self::EOP != 0
    }

    /// The driver wants to be told when this descriptor is done.
    pub(super) fn reports(self) -> bool {
        self.command & Self::RS != 0
    }

    pub(super) fn inserts_vlan(self) -> bool {
        self.command & Self::VLE != 0
    }

    pub(super) fn segments(self) -> bool {
        self.command & Self::TSE != 0
    }

    pub(super) fn fills_ip_checksum(self) -> bool {
        self.options & Self::IXSM != 0
    }

    pub(super) fn fills_l4_checksum(self) -> bool {
        self.options & Self::TXSM != 0
    }

    pub(super) fn encrypts(self) -> bool {
        self.options & Self::IPSEC != 0
    }

    /// Which of the two contexts the frame uses.
    pub(super) fn context(self) -> usize {
        (self.options >> 4 & 1) as usize
    }
}

/// Descriptor done, written to the last word of a transmit descriptor that reports.
pub(super) const TRANSMIT_DONE: u32 = 1;

/// What the device writes over a receive descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WriteBack {
    pub(super) rss_type: u8,
    pub(super) packet_type: u16,
    pub(super) hash: u32,
    pub(super) status: u32,
    pub(super) length: u16,
    pub(super) vlan: u16,
}

impl WriteBack {
    pub(super) const DD: u32 = 1;
    pub(super) const EOP: u32 = 1 << 1;
    /// The tag was stripped and stands in the descriptor.
    pub(super) const VP: u32 = 1 << 3;
    pub(super) const UDPCS: u32 = 1 << 4;
    /// The layer 4 checksum was verified or made by the device.
    pub(super) const L4CS: u32 = 1 << 5;

    pub(super) const IPV4: u16 = 1;
    pub(super) const IPV4_OPTIONS: u16 = 1 << 1;
    pub(super) const IPV6: u16 = 1 << 2;
    pub(super) const IPV6_EXTENSIONS: u16 = 1 << 3;
    pub(super) const TCP: u16 = 1 << 4;
    pub(super) const UDP: u16 = 1 << 5;
    pub(super) const SCTP: u16 = 1 << 6;

    /// The two words. The second holds status and length, by either of which drivers know that the descriptor is
    /// done: it must be stored last.
    pub(super) fn encode(self) -> [u64; 2] {
        let first =
            u64::from(self.rss_type & 0xf) | u64::from(self.packet_type) << 4 | u64::from(self.hash) << 32;
        let second = u64::from(self.status) | u64::from(self.length) << 32 | u64::from(self.vlan) << 48;
        [first, second]
    }
}

#[cfg(test)]
mod tests;
