//! A frame as it is written for the kernel: behind a [`VnetHeader`], with what the kernel can do left to it.

#[cfg(test)]
mod tests;

use ethernet::checksum::{Sum, pseudo_header_v4, pseudo_header_v6};
use ethernet::{GsoKind, L3, L4, VLAN_TAG_LEN, VlanTag, push_vlan};
use guest_memory::{Access, MemoryView};
use port::{Checksum, Frame, HEADER_MAX, Pieces, Refusal, Segmentation};

use crate::vnet::{TCP_CHECK, UDP_CHECK, VNET_HEADER, VnetHeader};

/// Bytes at the start of a pool for what is not needed of segments, headers and padding: see [`write_super_frame`].
pub(crate) const SPARE: usize = 2 * HEADER_MAX;

const IPV6_HEADER: usize = 40;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// The frame's segmentation, if the kernel can be told of it: a packet that is not encapsulated in another (its headers
/// lie where the kernel finds them), short enough for the length field of IP.
pub(crate) fn passes_whole<'f>(frame: &Frame<'f>) -> Option<&'f Segmentation> {
    let cut = frame.meta().gso.as_ref()?;
    let layout = frame.layout();
    let plain = matches!(
        (cut.gso.kind, layout.l3, layout.l4),
        (GsoKind::TcpV4, L3::Ipv4 { .. }, L4::Tcp)
            | (GsoKind::TcpV6, L3::Ipv6 { extensions: false }, L4::Tcp)
            | (GsoKind::UdpV4, L3::Ipv4 { .. }, L4::Udp)
            | (GsoKind::UdpV6, L3::Ipv6 { extensions: false }, L4::Udp)
    );
    let in_place = (layout.l3_offset, layout.l4_offset) == (cut.l3_offset, cut.l4_offset);
    let packet = frame.len().saturating_sub(usize::from(cut.l3_offset));
    (plain && in_place && packet <= usize::from(u16::MAX)).then_some(cut)
}

/// Writes piece number `index` of a frame at `at`; the number of bytes, the vnet header's included.
///
/// The copy fills in the checksum. If it is that of TCP or UDP where the kernel expects it, the kernel is told that it
/// is still missing, so that a receiver on this host need not verify what nobody can have changed.
pub(crate) fn write_piece(
    view: &MemoryView,
    at: u64,
    frame: &Frame<'_>,
    pieces: &Pieces<'_>,
    index: u32,
    tag: Option<VlanTag>,
) -> Result<usize, Refusal> {
    let mut scratch = [0; HEADER_MAX + VLAN_TAG_LEN];
    let piece = pieces.get(index, tag, &mut scratch);
    let length = piece.len();
    let start = at + VNET_HEADER as u64;
    piece.write(&[view.slice(start, length, Access::Write).map_err(fault)?])?;
    let mut header = VnetHeader::default();
    if let Some((l4, offset)) = plain_checksum(frame) {
        let field = usize::from(l4) + usize::from(offset);
        if let Some(seed) = frame.header().get(field..field + 2) {
            let shift = if length > frame.len() { VLAN_TAG_LEN } else { 0 };
            view.write_bytes(start + (field + shift) as u64, seed).map_err(fault)?;
            let shifted = l4 + u16::try_from(shift).unwrap_or(0);
            header = VnetHeader::unfinished(shifted, offset);
        }
    }
    view.write_bytes(at, &header.bytes()).map_err(fault)?;
    Ok(VNET_HEADER + length)
}

/// Place of the TCP or UDP checksum that is to be filled in, if it is one: what a guest claims is not passed on
/// unless the frame's headers bear it out.
fn plain_checksum(frame: &Frame<'_>) -> Option<(u16, u16)> {
    let Checksum::Partial { start, offset } = frame.meta().checksum else { return None };
    let layout = frame.layout();
    let expected = match layout.l4 {
        L4::Tcp => TCP_CHECK,
        L4::Udp => UDP_CHECK,
        _ => return None,
    };
    let known = frame.meta().gso.is_none() && start == layout.l4_offset && offset == expected;
    known.then_some((start, offset))
}

/// Writes a frame that [`passes_whole`] at `at`, uncut; the number of bytes, the vnet header's included. At `spare`
/// there are [`SPARE`] bytes that are written over.
///
/// The frame's payload is to be had as that of its segments only: each is written with its header to `spare` and its
/// payload to its place.
pub(crate) fn write_super_frame(
    view: &MemoryView,
    at: u64,
    spare: u64,
    frame: &Frame<'_>,
    pieces: &Pieces<'_>,
    cut: &Segmentation,
    tag: Option<VlanTag>,
) -> Result<usize, Refusal> {
    let mut header = [0; HEADER_MAX + VLAN_TAG_LEN];
    let mut header_len = usize::from(cut.gso.header_len);
    let original = frame.header().get(..header_len).ok_or(Refusal::BadSegmentation)?;
    header[..header_len].copy_from_slice(original);
    let payload_len = frame.len() - header_len;
    finish_headers(&mut header[..header_len], cut, payload_len).ok_or(Refusal::BadSegmentation)?;
    let mut described = *cut;
    if let Some(tag) = tag
        && push_vlan(&mut header, &mut header_len, tag)
    {
        let by = u16::try_from(VLAN_TAG_LEN).unwrap_or(0);
        for offset in [&mut described.gso.header_len, &mut described.l3_offset, &mut described.l4_offset] {
            *offset += by;
        }
    }
    view.write_bytes(at, &VnetHeader::super_frame(&described).bytes()).map_err(fault)?;
    let start = at + VNET_HEADER as u64;
    view.write_bytes(start, &header[..header_len]).map_err(fault)?;

    let spare = view.slice(spare, SPARE, Access::Write).map_err(fault)?;
    let in_segment = usize::from(cut.gso.header_len);
    let mss = usize::from(cut.gso.mss);
    let (before, behind) = spare
        .sub(0, in_segment)
        .zip(spare.sub(in_segment, SPARE - in_segment))
        .ok_or(Refusal::BadSegmentation)?;
    let payload = view.slice(start + header_len as u64, payload_len, Access::Write).map_err(fault)?;
    let mut done = 0;
    for index in 0..pieces.count() {
        let mut scratch = [0; HEADER_MAX + VLAN_TAG_LEN];
        let part = mss.min(payload_len - done);
        let place = payload.sub(done, part).ok_or(Refusal::BadSegmentation)?;
        // A segment may be padded: `behind` takes that.
        pieces.get(index, None, &mut scratch).write(&[before, place, behind])?;
        done += part;
    }
    Ok(VNET_HEADER + header_len + payload_len)
}

/// Sets lengths and checksums of a super-frame's headers as the kernel wants them: senders leave some of them to the
/// adapter. The layer 4 checksum becomes the sum of the pseudo header.
fn finish_headers(header: &mut [u8], cut: &Segmentation, payload_len: usize) -> Option<()> {
    let (l3, l4) = (usize::from(cut.l3_offset), usize::from(cut.l4_offset));
    let l4_len = u16::try_from(header.len().checked_sub(l4)? + payload_len).ok()?;
    let packet_len = u16::try_from(header.len().checked_sub(l3)? + payload_len).ok()?;
    let (protocol, field) = match cut.gso.kind {
        GsoKind::TcpV4 | GsoKind::TcpV6 => (PROTOCOL_TCP, l4 + usize::from(TCP_CHECK)),
        GsoKind::UdpV4 | GsoKind::UdpV6 => (PROTOCOL_UDP, l4 + usize::from(UDP_CHECK)),
    };
    let pseudo = match cut.gso.kind {
        GsoKind::TcpV4 | GsoKind::UdpV4 => {
            let ip = header.get_mut(l3..l4)?;
            ip.get_mut(2..4)?.copy_from_slice(&packet_len.to_be_bytes());
            ip.get_mut(10..12)?.fill(0);
            let mut sum = Sum::new();
            sum.add_bytes(ip);
            ip.get_mut(10..12)?.copy_from_slice(&sum.finish().to_be_bytes());
            pseudo_header_v4(*ip.get(12..)?.first_chunk()?, *ip.get(16..)?.first_chunk()?, protocol, l4_len)
        }
        GsoKind::TcpV6 | GsoKind::UdpV6 => {
            let ip = header.get_mut(l3..l4)?;
            let behind = usize::from(packet_len).checked_sub(IPV6_HEADER)?;
            ip.get_mut(4..6)?.copy_from_slice(&u16::try_from(behind).ok()?.to_be_bytes());
            let (source, destination) = (*ip.get(8..)?.first_chunk()?, *ip.get(24..)?.first_chunk()?);
            pseudo_header_v6(source, destination, protocol, u32::from(l4_len))
        }
    };
    if protocol == PROTOCOL_UDP {
        header.get_mut(l4 + 4..l4 + 6)?.copy_from_slice(&l4_len.to_be_bytes());
    }
    header.get_mut(field..field + 2)?.copy_from_slice(&pseudo.fold().to_be_bytes());
    Some(())
}

/// The pool is laid out by this crate, so that only what a mistake in it brings about fails here.
fn fault<E>(_: E) -> Refusal {
    Refusal::DmaFault
}
