//! A frame as it is written for the kernel: behind a [`VnetHeader`], with what the kernel can do left to it.

#[cfg(test)]
mod tests;

use ethernet::{GsoKind, L3, L4, VLAN_TAG_LEN, VlanTag};
use guest_memory::{Access, MemoryView};
use port::{Checksum, Frame, HEADER_MAX, Piece, Pieces, Refusal, Whole};

use crate::vnet::{TCP_CHECK, UDP_CHECK, VNET_HEADER, VnetHeader};

/// Whether what is left to do of a frame can be left to the kernel: a packet that is not encapsulated in another (its
/// headers lie where the kernel finds them), a checksum of TCP or UDP where the kernel expects it. What a guest claims
/// is not passed on unless the frame's headers bear it out.
pub(crate) fn passes_whole(frame: &Frame<'_>) -> bool {
    let layout = frame.layout();
    if let Some(cut) = &frame.meta().gso {
        let plain = matches!(
            (cut.gso.kind, layout.l3, layout.l4),
            (GsoKind::TcpV4, L3::Ipv4 { .. }, L4::Tcp)
                | (GsoKind::TcpV6, L3::Ipv6 { extensions: false }, L4::Tcp)
                | (GsoKind::UdpV4, L3::Ipv4 { .. }, L4::Udp)
                | (GsoKind::UdpV6, L3::Ipv6 { extensions: false }, L4::Udp)
        );
        return plain && (layout.l3_offset, layout.l4_offset) == (cut.l3_offset, cut.l4_offset);
    }
    let expected = match layout.l4 {
        L4::Tcp => Some(TCP_CHECK),
        L4::Udp => Some(UDP_CHECK),
        _ => None,
    };
    match frame.meta().checksum {
        Checksum::Unverified | Checksum::Complete => true,
        Checksum::Partial { start, offset } => start == layout.l4_offset && Some(offset) == expected,
        Checksum::PartialCrc32c { .. } => false,
    }
}

/// Writes a frame uncut at `at`; the number of bytes, the vnet header's included.
pub(crate) fn write_whole(view: &MemoryView, at: u64, whole: &Whole<'_>) -> Result<usize, Refusal> {
    let header = match (&whole.gso, whole.checksum) {
        (Some(cut), _) => VnetHeader::super_frame(cut),
        (None, Some(left)) => VnetHeader::unfinished(left.start, left.offset),
        (None, None) => VnetHeader::default(),
    };
    write(view, at, header, whole.piece())
}

/// Writes piece number `index` of a frame at `at`, complete in itself; the number of bytes, the vnet header's included.
pub(crate) fn write_piece(
    view: &MemoryView,
    at: u64,
    pieces: &Pieces<'_>,
    index: u32,
    tag: Option<VlanTag>,
) -> Result<usize, Refusal> {
    let mut scratch = [0; HEADER_MAX + VLAN_TAG_LEN];
    write(view, at, VnetHeader::default(), &pieces.get(index, tag, &mut scratch))
}

fn write(view: &MemoryView, at: u64, header: VnetHeader, piece: &Piece<'_>) -> Result<usize, Refusal> {
    view.write_bytes(at, &header.bytes()).map_err(fault)?;
    let into = view.slice(at + VNET_HEADER as u64, piece.len(), Access::Write).map_err(fault)?;
    piece.write(&[into])?;
    Ok(VNET_HEADER + piece.len())
}

/// The pool is laid out by this crate, so that only what a mistake in it brings about fails here.
fn fault<E>(_: E) -> Refusal {
    Refusal::DmaFault
}
