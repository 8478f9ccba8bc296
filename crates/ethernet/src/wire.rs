//! Layouts of the headers behind the Ethernet header.
//!
//! Each is a view with its fields in network order; a view exists only over bytes that hold the whole header.

use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Numbers of the protocols above IP (IANA), extension headers included.
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const NO_NEXT_HEADER: u8 = 59;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
    pub(crate) const SCTP: u8 = 132;
}

/// IPv4 header without options, RFC 791 section 3.1.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Ipv4Header {
    pub(crate) version_ihl: u8,
    pub(crate) tos: u8,
    pub(crate) total_length: U16,
    pub(crate) identification: U16,
    pub(crate) flags_fragment_offset: U16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) checksum: U16,
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
}

impl Ipv4Header {
    /// Bytes of the whole header with options, if its version is 4 and it says at least its own 20.
    pub(crate) fn header_len(&self) -> Option<usize> {
        let words = self.version_ihl & 0xf;
        (self.version_ihl >> 4 == 4 && words >= 5).then_some(usize::from(words) * 4)
    }

    /// Whether the packet is one fragment of several: "more fragments" or an offset.
    pub(crate) fn is_fragment(&self) -> bool {
        self.flags_fragment_offset.get() & 0x3fff != 0
    }

    /// Whether the packet is a fragment other than the first, which has no L4 header.
    pub(crate) fn is_later_fragment(&self) -> bool {
        self.flags_fragment_offset.get() & 0x1fff != 0
    }
}

/// IPv6 header, RFC 8200 section 3.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Ipv6Header {
    pub(crate) version_class_flow: U32,
    pub(crate) payload_length: U16,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
}

impl Ipv6Header {
    /// Whether the version is 6.
    pub(crate) fn is_valid(&self) -> bool {
        self.version_class_flow.get() >> 28 == 6
    }
}

/// TCP header without options, RFC 9293 section 3.1.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct TcpHeader {
    pub(crate) source_port: U16,
    pub(crate) destination_port: U16,
    pub(crate) sequence: U32,
    pub(crate) acknowledgment: U32,
    pub(crate) data_offset: u8,
    pub(crate) flags: u8,
    pub(crate) window: U16,
    pub(crate) checksum: U16,
    pub(crate) urgent_pointer: U16,
}

impl TcpHeader {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const CWR: u8 = 0x80;

    /// Bytes of the whole header with options, if the header says at least its own 20.
    pub(crate) fn header_len(&self) -> Option<usize> {
        let words = self.data_offset >> 4;
        (words >= 5).then_some(usize::from(words) * 4)
    }
}

/// UDP header, RFC 768.
#[derive(Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct UdpHeader {
    pub(crate) source_port: U16,
    pub(crate) destination_port: U16,
    pub(crate) length: U16,
    pub(crate) checksum: U16,
}
