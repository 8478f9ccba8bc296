//! How a frame is shown to the guest.

use ethernet::{GsoKind, VlanTag};
use port::{Checksum, Frame, Segmentation};

use crate::features::Features;
use crate::header::{DATA_VALID, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Header, NEEDS_CSUM};

/// Congestion window reduced, a flag of TCP.
const CWR: u8 = 0x80;

/// The header for a frame, and whether the frame may be left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Header of the whole frame, if it may be left as it is: nothing is to be done to it, or the guest does it.
    pub(super) whole: Option<Header>,
    /// Header of each piece, if it is cut and completed instead.
    pub(super) cut_header: Header,
}

impl Shape {
    /// For a guest with `offloads` switched on, which gets `tag` in the frame's bytes.
    pub(super) fn of(frame: &Frame<'_>, tag: Option<VlanTag>, offloads: Features) -> Self {
        let shift = if tag.is_some() { 4 } else { 0 };
        let checksum = frame.meta().checksum;
        let finished =
            frame.meta().gso.is_none() && matches!(checksum, Checksum::Unverified | Checksum::Complete);
        let mut shape = Self { whole: finished.then(Header::default), cut_header: Header::default() };
        if !offloads.contains(Features::GUEST_CSUM) {
            return shape;
        }
        if frame.meta().gso.is_some() || checksum != Checksum::Unverified {
            // What was said to be right is, and what had to be made was made by the device.
            shape.cut_header.flags = DATA_VALID;
        }
        if finished {
            shape.whole = Some(shape.cut_header);
        }
        let partial = |start: u16, offset| Header {
            flags: NEEDS_CSUM,
            gso_type: GSO_NONE,
            checksum_start: start + shift,
            checksum_offset: offset,
            ..Header::default()
        };
        if let Some(cut) = frame.meta().gso {
            let Some(kind) = takes(frame, cut, offloads) else { return shape };
            let offset = if matches!(cut.gso.kind, GsoKind::TcpV4 | GsoKind::TcpV6) { 16 } else { 6 };
            shape.whole = Some(Header {
                gso_type: kind,
                header_length: cut.gso.header_len + shift,
                gso_size: cut.gso.mss,
                ..partial(cut.l4_offset, offset)
            });
        } else if let Checksum::Partial { start, offset } = checksum {
            shape.whole = Some(partial(start, offset));
        }
        shape
    }
}

/// The `gso_type` of a frame that the guest takes uncut.
fn takes(frame: &Frame<'_>, cut: Segmentation, offloads: Features) -> Option<u8> {
    // The guest looks for the headers where the frame has its outermost ones.
    let layout = frame.layout();
    if (cut.l3_offset, cut.l4_offset) != (layout.l3_offset, layout.l4_offset) {
        return None;
    }
    let (feature, kind) = match cut.gso.kind {
        GsoKind::TcpV4 => (Features::GUEST_TSO4, GSO_TCPV4),
        GsoKind::TcpV6 => (Features::GUEST_TSO6, GSO_TCPV6),
        GsoKind::UdpV4 => (Features::GUEST_USO4, GSO_UDP_L4),
        GsoKind::UdpV6 => (Features::GUEST_USO6, GSO_UDP_L4),
    };
    let flags = frame.header().get(usize::from(cut.l4_offset) + 13);
    let ecn = kind != GSO_UDP_L4 && flags.is_some_and(|flags| flags & CWR != 0);
    if !offloads.contains(feature) || (ecn && !offloads.contains(Features::GUEST_ECN)) {
        return None;
    }
    Some(if ecn { kind | GSO_ECN } else { kind })
}
