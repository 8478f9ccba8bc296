//! Segmentation of super-frames: TCP segmentation offload (TSO) and UDP segmentation offload (USO).
//!
//! A [`Segmenter`] checks once that a super-frame's header is what its metadata says, and then gives for any
//! segment its header, the part of the payload that it carries, and the sum with which its checksum starts.
//! It keeps no position: delivery can stop after any segment and resume later, and segments can be made in
//! any order.
//!
//! ```
//! use ethernet::{Gso, GsoKind, Inc, Segmenter, Sum};
//! # let mut header = [0; 54];
//! # header[14] = 0x45;
//! # header[23] = 6;
//! # header[46] = 0x50;
//! # let payload = [0; 4000];
//! let gso = Gso { kind: GsoKind::TcpV4, mss: 1448, header_len: 54 };
//! let segmenter = Segmenter::new(&header, 14, 34, gso, 4000, Inc::PerSegment)?;
//! let mut out = [0; ethernet::gso::MAX_HEADER_LEN];
//! for i in 0..segmenter.segments() {
//!     let plan = segmenter.segment(i, &mut out);
//!     let mut sum = Sum::new();
//!     sum.add_bytes(&payload[plan.payload_offset as usize..][..plan.payload_len as usize]);
//!     plan.finish(&mut out, sum);
//!     // The segment is out[..plan.header_len] and that part of the payload.
//! }
//! # Ok::<(), ethernet::GsoError>(())
//! ```

mod error;
mod patch;
#[cfg(test)]
mod tests;
mod validate;

pub use error::GsoError;

use crate::checksum::Sum;
use crate::wire::protocol;

/// Segments of one super-frame at most. A 64 KiB frame makes 2,048 of 32 bytes; what asks for more is an
/// attempt to amplify.
pub const MAX_SEGMENTS: u32 = 2048;
/// Bytes of payload of one super-frame at most: what the length field of a gve TSO descriptor can say.
pub const MAX_PAYLOAD_LEN: u32 = 262_143;
/// Bytes of one header at most, so that a buffer of this size holds that of any segment.
pub const MAX_HEADER_LEN: usize = 512;

/// What a super-frame is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GsoKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP over IPv4: every segment is a datagram of its own.
    UdpV4,
    /// UDP over IPv6: every segment is a datagram of its own.
    UdpV6,
}

impl GsoKind {
    const fn is_ipv4(self) -> bool {
        matches!(self, Self::TcpV4 | Self::UdpV4)
    }

    const fn is_tcp(self) -> bool {
        matches!(self, Self::TcpV4 | Self::TcpV6)
    }

    const fn protocol(self) -> u8 {
        if self.is_tcp() { protocol::TCP } else { protocol::UDP }
    }
}

/// The segmentation that a super-frame's sender asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gso {
    /// Protocols of the innermost IP packet.
    pub kind: GsoKind,
    /// Bytes of payload in each segment but the last.
    pub mss: u16,
    /// Bytes of the headers that every segment repeats, from the start of the frame to the end of the L4
    /// header.
    pub header_len: u16,
}

/// What becomes of the IPv4 identification from segment to segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Inc {
    /// Segment i has that of the super-frame plus i, modulo 2^16.
    #[default]
    PerSegment,
    /// All segments have that of the super-frame; only for packets that are never fragmented (RFC 6864).
    Fixed,
}

/// One segment, as [`Segmenter::segment`] planned it.
#[derive(Debug, Clone, Copy)]
pub struct SegmentPlan {
    /// Bytes of the header.
    pub header_len: usize,
    /// Start of the segment's part of the payload, in bytes from the start of the payload.
    pub payload_offset: u32,
    /// Bytes of that part.
    pub payload_len: u32,
    /// The L4 checksum but for the payload.
    pub checksum: PartialChecksum,
}

/// An L4 checksum to which the payload is still to be added.
#[derive(Debug, Clone, Copy)]
pub struct PartialChecksum {
    /// Start of what the checksum covers: the L4 header, in bytes from the start of the frame.
    pub start: u16,
    /// Place of the checksum field, in bytes from `start`.
    pub offset: u16,
    /// Sum of the pseudo header and of the L4 header, its checksum field taken as 0.
    pub seed: Sum,
}

impl SegmentPlan {
    /// Writes the L4 checksum into the header in `out`, given the sum of the segment's part of the payload.
    ///
    /// A checksum of 0 is written as 0xffff, its other form in ones' complement: in UDP 0 means "none" (RFC
    /// 768), and TCP receivers cannot tell the two apart.
    ///
    /// # Panics
    /// If `out` is shorter than the header that [`Segmenter::segment`] wrote into it.
    pub fn finish(&self, out: &mut [u8], payload: Sum) {
        let PartialChecksum { start, offset, seed: mut sum } = self.checksum;
        // L4 headers are a multiple of 4 bytes long, so the payload starts at an even position.
        sum.add_sum_at(payload, false);
        let check = match sum.finish() {
            0 => 0xffff,
            check => check,
        };
        let field = usize::from(start) + usize::from(offset);
        out[field..field + 2].copy_from_slice(&check.to_be_bytes());
    }
}

/// Makes segments of one super-frame, whose header it has checked.
#[derive(Debug, Clone)]
pub struct Segmenter<'h> {
    /// Exactly the headers that every segment repeats.
    header: &'h [u8],
    l3_offset: u16,
    l4_offset: u16,
    kind: GsoKind,
    mss: u32,
    payload_len: u32,
    segments: u32,
    ip_id: Inc,
}

impl Segmenter<'_> {
    /// Number of segments; 1 for a frame without payload.
    #[must_use]
    pub const fn segments(&self) -> u32 {
        self.segments
    }

    /// Writes the header of segment `i` into `out` and plans the rest of it.
    ///
    /// The header is that of the super-frame with lengths, IPv4 identification and checksum, TCP sequence
    /// number and flags (CWR on the first segment only, FIN and PSH on the last only) set for the segment.
    /// What the super-frame has in its length and checksum fields is not used. The L4 checksum field is 0
    /// until [`SegmentPlan::finish`].
    ///
    /// # Panics
    /// If there is no segment `i`, or if `out` is shorter than the header; [`MAX_HEADER_LEN`] bytes always
    /// do, so that no header can bring this about.
    pub fn segment(&self, i: u32, out: &mut [u8]) -> SegmentPlan {
        assert!(i < self.segments, "segment {i} of {}", self.segments);
        let out = &mut out[..self.header.len()];
        out.copy_from_slice(self.header);
        let payload_offset = i * self.mss;
        let payload_len = self.mss.min(self.payload_len - payload_offset);

        let (front, l4) = out.split_at_mut(usize::from(self.l4_offset));
        let l3 = &mut front[usize::from(self.l3_offset)..];
        let l4_len = l4.len() + payload_len as usize;
        let id_increment = if self.ip_id == Inc::PerSegment { i } else { 0 };
        let mut seed = if self.kind.is_ipv4() {
            patch::ipv4(l3, self.kind, l4_len, id_increment)
        } else {
            patch::ipv6(l3, self.kind, l4_len)
        };
        let offset = if self.kind.is_tcp() {
            patch::tcp(l4, payload_offset, i == 0, i == self.segments - 1)
        } else {
            patch::udp(l4, l4_len)
        };
        seed.add_bytes(l4);
        SegmentPlan {
            header_len: self.header.len(),
            payload_offset,
            payload_len,
            checksum: PartialChecksum { start: self.l4_offset, offset, seed },
        }
    }
}
