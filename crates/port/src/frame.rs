//! A frame on its way through the switch.

use std::ops::Range;

use ethernet::{Gso, GsoError, Inc, Layout, MacAddr, Segmenter, VlanTag};
use guest_memory::{Gather, GuestSlice};

use crate::piece::Piece;
use crate::reason::Refusal;

/// Longest private copy of headers in bytes: more than any stack of real headers; a TSO header may be this long.
pub const HEADER_MAX: usize = 512;

/// What is known of the layer 4 checksum of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: the receiver has to verify it.
    #[default]
    Unverified,
    /// The bytes hold a checksum that is known to be right.
    Complete,
    /// To be filled in: the Internet checksum of all from `start` to the end, whose field at `start + offset` holds
    /// the sum of the pseudo header.
    Partial {
        /// First byte summed.
        start: u16,
        /// The field, counted from `start`.
        offset: u16,
    },
    /// To be filled in: the CRC32c of all from `start` to the end (SCTP), at `start + offset`.
    PartialCrc32c {
        /// First byte covered.
        start: u16,
        /// The field, counted from `start`.
        offset: u16,
    },
}

/// How a frame is to be cut, as its sender described it: the innermost headers of an encapsulated frame lie where only
/// the sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Protocols, segment size, length of the headers.
    pub gso: Gso,
    /// Where the IP header starts whose packet is cut.
    pub l3_offset: u16,
    /// Where the TCP or UDP header starts.
    pub l4_offset: u16,
}

/// What travels with a frame besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameMeta {
    /// The outer 802.1Q tag; it is never in the bytes.
    pub tag: Option<VlanTag>,
    /// State of the layer 4 checksum.
    pub checksum: Checksum,
    /// Set when the frame is to be cut into segments before it is sent on a wire. Its checksums are then made anew.
    pub gso: Option<Segmentation>,
}

/// What a frame is besides its bytes: with a copy of these it can be made again ([`crate::Burst::restore`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    pub(crate) meta: FrameMeta,
    pub(crate) header_len: usize,
    pub(crate) shortest: usize,
}

/// A frame in a [`crate::Burst`], without the memory its scatter list lies in.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) header: [u8; HEADER_MAX],
    pub(crate) header_len: usize,
    /// The whole frame's slices in the burst's gather list.
    pub(crate) slices: Range<usize>,
    /// Where the body starts in them: what stands before was copied into `header`.
    pub(crate) body_start: usize,
    pub(crate) body_len: usize,
    /// Shorter segments are padded to this length.
    pub(crate) shortest: usize,
    pub(crate) meta: FrameMeta,
    pub(crate) layout: Layout,
}

impl Slot {
    pub(crate) fn empty() -> Self {
        Self {
            header: [0; HEADER_MAX],
            header_len: 0,
            slices: 0..0,
            body_start: 0,
            body_len: 0,
            shortest: 0,
            meta: FrameMeta::default(),
            layout: Layout::default(),
        }
    }

    /// What cuts the frame, if it is to be cut.
    pub(crate) fn segmenter(&self) -> Result<Option<Segmenter<'_>>, GsoError> {
        let Some(Segmentation { gso, l3_offset, l4_offset }) = self.meta.gso else { return Ok(None) };
        let payload = u32::try_from(self.body_len).unwrap_or(u32::MAX);
        let header = &self.header[..self.header_len];
        Segmenter::new(header, l3_offset, l4_offset, gso, payload, Inc::PerSegment).map(Some)
    }
}

/// A frame that a port fetched: a private copy of its headers, and its body in the sender's memory.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) gather: &'a Gather,
}

impl<'a> Frame<'a> {
    /// The first bytes of the frame, at least the Ethernet header: all that decisions are made on.
    #[must_use]
    pub fn header(&self) -> &'a [u8] {
        &self.slot.header[..self.slot.header_len]
    }

    /// What travels with the bytes.
    #[must_use]
    pub fn meta(&self) -> &'a FrameMeta {
        &self.slot.meta
    }

    /// Length in bytes, without VLAN tag and frame check sequence.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slot.header_len + self.slot.body_len
    }

    /// Never: a frame has at least an Ethernet header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the bytes from number `from` on into private memory, as many as `to` has room for: for whoever looks on. A
    /// receiver takes them by [`crate::Pieces`].
    ///
    /// # Errors
    /// The frame ends before, or the sender's memory is not what it was; part of `to` may be written.
    pub fn read(&self, from: usize, to: &mut [u8]) -> Result<(), Refusal> {
        let header = self.header().get(from..).unwrap_or_default();
        let (first, rest) = to.split_at_mut(header.len().min(to.len()));
        first.copy_from_slice(&header[..first.len()]);
        if rest.is_empty() {
            return Ok(());
        }
        // The slices begin with the headers as they were before they were copied.
        let behind = self.slot.body_start + from.saturating_sub(self.slot.header_len);
        self.gather.read_range(self.slot.slices.clone(), behind, rest).map_err(|_| Refusal::DmaFault)
    }

    /// Copies the frame as it is, all [`Frame::len`] bytes of it, into `buffers`, one after the other, for a time
    /// when its sender has forgotten it; the rest of it is what this returns.
    ///
    /// # Errors
    /// The buffers do not hold it or are not to be written, or the sender's memory is not what it was; part of them may
    /// be written.
    pub fn keep(&self, buffers: &[GuestSlice<'_>]) -> Result<Kept, Refusal> {
        Piece::as_it_is(self, self.header()).write(buffers)?;
        let Slot { meta, header_len, shortest, .. } = *self.slot;
        Ok(Kept { meta, header_len, shortest })
    }

    /// Destination address.
    #[must_use]
    pub fn destination(&self) -> MacAddr {
        ethernet::header::destination(self.header()).unwrap_or_default()
    }

    /// Source address.
    #[must_use]
    pub fn source(&self) -> MacAddr {
        ethernet::header::source(self.header()).unwrap_or_default()
    }

    /// EtherType behind the VLAN tag.
    #[must_use]
    pub fn ethertype(&self) -> u16 {
        ethernet::header::ethertype(self.header()).unwrap_or_default()
    }

    /// Where the headers lie.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.slot.layout
    }
}
