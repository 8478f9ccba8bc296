//! What goes into a decision and what comes out.

#[cfg(test)]
mod tests;

use std::ops::Deref;

use ethernet::{Gso, Layout, MacAddr, VlanTag};
use port::Frame;

use crate::extension::capture::CapturePoint;
use crate::{DropReason, MAX_PORTS, PortId};

/// What of a frame decides: a private copy of its headers, with the outer 802.1Q tag taken out.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// The port from which it enters.
    pub from: PortId,
    /// The first bytes, without outer tag.
    pub header: &'a [u8],
    /// Where the headers lie in them.
    pub layout: Layout,
    /// The outer tag of TPID 0x8100, if there is one.
    pub tag: Option<VlanTag>,
    /// Length of the whole frame in bytes, without outer tag and frame check sequence.
    pub length: usize,
    /// How the frame is to be cut into segments before it is sent on a wire, if it is.
    pub cut: Option<Gso>,
}

impl<'a> Packet<'a> {
    /// `frame`, as it enters from the port `from`.
    #[must_use]
    pub fn of(from: PortId, frame: &Frame<'a>) -> Self {
        Self {
            from,
            header: frame.header(),
            layout: frame.layout(),
            tag: frame.meta().tag,
            length: frame.len(),
            cut: frame.meta().gso.map(|segmentation| segmentation.gso),
        }
    }

    /// A frame of which only the bytes `header` are known, for tests and traces.
    #[must_use]
    pub fn described(from: PortId, header: &'a [u8], tag: Option<VlanTag>) -> Self {
        Self { from, header, layout: ethernet::parse(header), tag, length: header.len(), cut: None }
    }

    /// Bytes of all that the frame becomes on a wire, each segment with headers of its own; counted as
    /// [`length`](Self::length) is.
    #[must_use]
    pub fn wire_length(&self) -> usize {
        let Some(Gso { mss, header_len, .. }) = self.cut else { return self.length };
        let headers = usize::from(header_len);
        let segments = self.length.saturating_sub(headers).div_ceil(usize::from(mss.max(1)));
        self.length.saturating_add(segments.saturating_sub(1).saturating_mul(headers))
    }

    /// Source and destination address, or `None` if the header is too short to have them.
    #[must_use]
    pub fn addresses(&self) -> Option<(MacAddr, MacAddr)> {
        Some((ethernet::source(self.header)?, ethernet::destination(self.header)?))
    }
}

/// One copy of the frame, `NDIS_SWITCH_PORT_DESTINATION` (`spec/ndis.md` E.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Who gets it.
    pub port: PortId,
    /// The 802.1Q tag that the receiver is to see, out of band.
    pub tag: Option<VlanTag>,
    /// `PreserveVLAN`: the receiver sees the VLAN.
    pub preserve_vlan: bool,
    /// `PreservePriority`: the receiver sees the priority.
    pub preserve_priority: bool,
    /// It is the copy of a mirror.
    pub mirror: bool,
}

/// A destination that a policy or an extension took away, `IsExcluded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excluded {
    /// Who does not get it.
    pub port: PortId,
    /// Why.
    pub reason: DropReason,
}

/// The destinations of one frame: a list that a worker makes once and uses again and again.
#[derive(Debug, Clone)]
pub struct Destinations {
    list: Vec<Destination>,
    excluded: Vec<Excluded>,
    captures: Vec<CapturePoint>,
    /// Ports in `list`, one bit each.
    members: [u64; MAX_PORTS as usize / 64 + 1],
}

/// What is recorded of excluded destinations and of captures of one frame; what is beyond is not recorded.
const MAX_RECORDS: usize = 256;

impl Default for Destinations {
    fn default() -> Self {
        Self::new()
    }
}

impl Destinations {
    /// A list with room for every port: it does not grow.
    #[must_use]
    pub fn new() -> Self {
        Self {
            list: Vec::with_capacity(MAX_PORTS as usize),
            excluded: Vec::with_capacity(MAX_RECORDS),
            captures: Vec::with_capacity(MAX_RECORDS),
            members: [0; MAX_PORTS as usize / 64 + 1],
        }
    }

    /// Destinations that were taken away, each a drop to be counted at its port. At most 256 are recorded.
    #[must_use]
    pub fn excluded(&self) -> &[Excluded] {
        &self.excluded
    }

    /// To which captures the frame is to be shown, even if it is dropped. At most 256 are recorded.
    #[must_use]
    pub fn captures(&self) -> &[CapturePoint] {
        &self.captures
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        for destination in &self.list {
            self.members[destination.port.index() / 64] = 0;
        }
        self.list.clear();
        self.excluded.clear();
        self.captures.clear();
    }

    pub(crate) fn contains(&self, port: PortId) -> bool {
        self.members[port.index() / 64] >> (port.index() % 64) & 1 != 0
    }

    #[inline]
    pub(crate) fn push(&mut self, destination: Destination) {
        let index = destination.port.index();
        self.members[index / 64] |= 1 << (index % 64);
        self.list.push(destination);
    }

    pub(crate) fn exclude(&mut self, port: PortId, reason: DropReason) {
        if self.excluded.len() < MAX_RECORDS {
            self.excluded.push(Excluded { port, reason });
        }
    }

    pub(crate) fn capture(&mut self, point: CapturePoint) {
        if self.captures.len() < MAX_RECORDS {
            self.captures.push(point);
        }
    }
}

impl Deref for Destinations {
    type Target = [Destination];

    fn deref(&self) -> &[Destination] {
        &self.list
    }
}
