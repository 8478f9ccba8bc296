//! Why a super-frame cannot be segmented.

use super::{GsoKind, MAX_HEADER_LEN, MAX_PAYLOAD_LEN, MAX_SEGMENTS};

/// Why a super-frame cannot be segmented: its metadata and its header do not agree, or it exceeds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GsoError {
    /// Segments without payload never end.
    #[error("the segment size is 0; it must be at least 1 byte")]
    ZeroMss,
    /// The payload is longer than any device can describe.
    #[error("the payload has {len} bytes; a super-frame has at most {MAX_PAYLOAD_LEN}")]
    PayloadTooLong {
        /// Bytes of payload.
        len: u32,
    },
    /// The segment size is so small that the frame would be amplified.
    #[error("the payload makes {segments} segments; a super-frame has at most {MAX_SEGMENTS}")]
    TooManySegments {
        /// Segments that it would make.
        segments: u32,
    },
    /// A segment would exceed the length field of IP.
    #[error("a segment has {len} bytes by its IP length field; the field holds at most 65535")]
    SegmentTooLong {
        /// Value that the length field would need.
        len: usize,
    },
    /// The header does not all stand in the bytes given.
    #[error("the header length is {header_len}, but only {available} bytes of header are there")]
    HeaderTruncated {
        /// Header length of the metadata.
        header_len: u16,
        /// Bytes of header given.
        available: usize,
    },
    /// The header is longer than any buffer for headers.
    #[error("the header length is {header_len}; it must be at most {MAX_HEADER_LEN}")]
    HeaderTooLong {
        /// Header length of the metadata.
        header_len: u16,
    },
    /// The parts of the header overlap or are empty.
    #[error(
        "the IP header at {l3_offset}, the L4 header at {l4_offset} and the header's end at {header_len} \
         do not follow each other behind an Ethernet header of 14 bytes"
    )]
    OffsetsOutOfOrder {
        /// Start of the IP header.
        l3_offset: u16,
        /// Start of the L4 header.
        l4_offset: u16,
        /// Header length of the metadata.
        header_len: u16,
    },
    /// The IP header is not of the version that the kind needs, or does not end where the L4 header starts.
    #[error("{kind:?} needs an IP header of its version in the {len} bytes in front of the L4 header")]
    IpHeader {
        /// Kind of the metadata.
        kind: GsoKind,
        /// Bytes between the start of the IP header and that of the L4 header.
        len: usize,
    },
    /// The IP header is followed by another protocol.
    #[error("{kind:?} does not fit a packet of IP protocol {protocol}")]
    Protocol {
        /// Kind of the metadata.
        kind: GsoKind,
        /// Protocol number that the IP header names.
        protocol: u8,
    },
    /// A fragment has no L4 segment of its own.
    #[error("the packet is an IP fragment; only whole packets can be segmented")]
    Fragment,
    /// An IPv6 extension header whose content would be wrong on each segment, or change its checksum.
    #[error("the packet has an IPv6 extension header of type {kind}, which segments cannot repeat")]
    Extension {
        /// Type of the extension header.
        kind: u8,
    },
    /// The L4 header does not end where the header ends.
    #[error("{kind:?} needs an L4 header that fills the {len} bytes at the end of the header")]
    L4Header {
        /// Kind of the metadata.
        kind: GsoKind,
        /// Bytes between the start of the L4 header and the end of the header.
        len: usize,
    },
}
