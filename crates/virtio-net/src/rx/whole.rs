//! A frame delivered as it is, for guests that make checksums and cut frames themselves.
//!
//! [`Pieces`] completes what it writes. So the pieces are written where they belong in the whole frame, from the last to
//! the first, each over the headers of the one behind it; the frame's own headers come last.

use arrayvec::ArrayVec;
use ethernet::checksum::{pseudo_header_v4, pseudo_header_v6};
use ethernet::{Gso, GsoKind, Inc, Segmenter, VlanTag, push_vlan};
use guest_memory::GuestSlice;
use port::{Frame, HEADER_MAX, Pieces, Refusal, Segmentation};

use super::Scratch;
use crate::ring::MAX_BUFFERS;

/// TCP and UDP, as IP names them.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Makes the headers of the whole frame, with `tag` in them; their length, or `None` if it cannot be one packet.
pub(super) fn headers(frame: &Frame<'_>, tag: Option<VlanTag>, to: &mut Scratch) -> Option<usize> {
    let mut length = frame.header().len();
    match frame.meta().gso {
        Some(cut) => segmented(frame, cut, to)?,
        None => to[..length].copy_from_slice(frame.header()),
    }
    if let Some(tag) = tag {
        push_vlan(to, &mut length, tag).then_some(())?;
    }
    Some(length)
}

/// The headers of a frame to be cut: lengths of the whole packet, which senders leave to the device, and the sum of the
/// pseudo header in place of the checksum.
fn segmented(frame: &Frame<'_>, cut: Segmentation, to: &mut Scratch) -> Option<()> {
    let Segmentation { gso, l3_offset, l4_offset } = cut;
    let payload = u16::try_from(frame.len() - frame.header().len()).ok()?;
    let one = Gso { mss: payload, ..gso };
    let whole =
        Segmenter::new(frame.header(), l3_offset, l4_offset, one, u32::from(payload), Inc::Fixed).ok()?;
    let plan = whole.segment(0, &mut to[..HEADER_MAX]);
    let (l3, l4) = (usize::from(l3_offset), usize::from(l4_offset));
    let l4_length = u16::try_from(frame.len() - l4).ok()?;
    let protocol = if matches!(gso.kind, GsoKind::TcpV4 | GsoKind::TcpV6) { TCP } else { UDP };
    let pseudo = if matches!(gso.kind, GsoKind::TcpV4 | GsoKind::UdpV4) {
        let source = *to.get(l3 + 12..)?.first_chunk()?;
        pseudo_header_v4(source, *to.get(l3 + 16..)?.first_chunk()?, protocol, l4_length)
    } else {
        let source = *to.get(l3 + 8..)?.first_chunk()?;
        pseudo_header_v6(source, *to.get(l3 + 24..)?.first_chunk()?, protocol, u32::from(l4_length))
    };
    let field = l4 + usize::from(plan.checksum.offset);
    to.get_mut(field..field + 2)?.copy_from_slice(&pseudo.fold().to_be_bytes());
    Some(())
}

/// Bytes between the bodies of two pieces.
fn stride(frame: &Frame<'_>) -> usize {
    frame.meta().gso.map_or(0, |cut| usize::from(cut.gso.mss))
}

/// Whether no piece reaches past the end of the frame, as a short last one does that is padded.
pub(super) fn fits(frame: &Frame<'_>, pieces: &Pieces<'_>, scratch: &mut Scratch) -> bool {
    let last = pieces.count() - 1;
    last as usize * stride(frame) + pieces.get(last, None, scratch).len() <= frame.len()
}

/// Writes the frame into `slices`, with `headers` in place of its own.
pub(super) fn write(
    frame: &Frame<'_>,
    pieces: &Pieces<'_>,
    headers: &[u8],
    slices: &[GuestSlice<'_>],
    scratch: &mut Scratch,
) -> Result<(), Refusal> {
    let tag = headers.len() - frame.header().len();
    for index in (0..pieces.count()).rev() {
        let start = tag + index as usize * stride(frame);
        pieces.get(index, None, scratch).write(&behind(slices, start))?;
    }
    let mut left = headers;
    for slice in slices {
        let (now, later) = left.split_at(left.len().min(slice.len()));
        slice.write(0, now).map_err(|_| Refusal::DmaFault)?;
        left = later;
        if left.is_empty() {
            break;
        }
    }
    Ok(())
}

/// `slices` without their first `skip` bytes.
fn behind<'m>(slices: &[GuestSlice<'m>], mut skip: usize) -> ArrayVec<GuestSlice<'m>, MAX_BUFFERS> {
    let mut rest = ArrayVec::new();
    for slice in slices {
        let cut = skip.min(slice.len());
        skip -= cut;
        if let Some(part) = slice.sub(cut, slice.len() - cut)
            && !part.is_empty()
        {
            // There are no more than in `slices`, which has as many at most.
            let _ = rest.try_push(part);
        }
    }
    rest
}
