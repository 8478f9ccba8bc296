//! A frame for a receiver that makes checksums and cuts frames itself.

use ethernet::checksum::{Sum, pseudo_header_v4, pseudo_header_v6};
use ethernet::{GsoKind, VLAN_TAG_LEN, VlanTag, push_vlan};

use crate::frame::{Checksum, Frame, HEADER_MAX, Segmentation};
use crate::piece::Piece;

const IPV6_HEADER: usize = 40;
/// Bytes of a VLAN tag.
const TAG: u16 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Where TCP and UDP have their checksums.
const TCP_CHECK: u16 = 16;
const UDP_CHECK: u16 = 6;

/// A frame as it is, neither cut nor completed. What is left to its receiver stands beside it.
#[derive(Debug)]
pub struct Whole<'a> {
    piece: Piece<'a>,
    /// The checksum that is still to be made, of all from `start` on at `start + offset`: the field holds the sum of the
    /// pseudo header.
    pub checksum: Option<PartialChecksum>,
    /// How it is to be cut.
    pub gso: Option<Segmentation>,
}

/// An Internet checksum that is still to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialChecksum {
    /// First byte summed.
    pub start: u16,
    /// The field, counted from `start`.
    pub offset: u16,
}

impl<'a> Whole<'a> {
    /// `frame` with `tag` in its bytes if the receiver wants it there; all offsets count it. Headers that must be
    /// changed are written into `scratch`.
    ///
    /// `None` if it cannot be described that way: a frame with a checksum of another kind, or one to be cut that is
    /// encapsulated in another or longer than one packet can be. Then it goes in [`crate::Pieces`].
    #[must_use]
    pub fn new(
        frame: &'a Frame<'a>,
        tag: Option<VlanTag>,
        scratch: &'a mut [u8; HEADER_MAX + VLAN_TAG_LEN],
    ) -> Option<Self> {
        let mut gso = frame.meta().gso;
        let mut checksum = match (gso, frame.meta().checksum) {
            (Some(cut), _) => Some(PartialChecksum {
                start: cut.l4_offset,
                offset: if is_tcp(cut.gso.kind) { TCP_CHECK } else { UDP_CHECK },
            }),
            (None, Checksum::Partial { start, offset }) => Some(PartialChecksum { start, offset }),
            (None, Checksum::Unverified | Checksum::Complete) => None,
            (None, Checksum::PartialCrc32c { .. }) => return None,
        };
        if gso.is_none() && tag.is_none() {
            return Some(Self { piece: Piece::as_it_is(frame, frame.header()), checksum, gso });
        }
        let mut length = frame.header().len();
        scratch[..length].copy_from_slice(frame.header());
        if let Some(cut) = gso {
            let layout = frame.layout();
            if (cut.l3_offset, cut.l4_offset) != (layout.l3_offset, layout.l4_offset) {
                return None;
            }
            finish_headers(&mut scratch[..length], &cut, frame.len() - length)?;
        }
        if let Some(tag) = tag {
            if !push_vlan(scratch, &mut length, tag) {
                return None;
            }
            if let Some(checksum) = &mut checksum {
                checksum.start += TAG;
            }
            if let Some(cut) = &mut gso {
                for offset in [&mut cut.gso.header_len, &mut cut.l3_offset, &mut cut.l4_offset] {
                    *offset += TAG;
                }
            }
        }
        Some(Self { piece: Piece::as_it_is(frame, &scratch[..length]), checksum, gso })
    }

    /// Its bytes.
    #[must_use]
    pub fn piece(&self) -> &Piece<'a> {
        &self.piece
    }
}

fn is_tcp(kind: GsoKind) -> bool {
    matches!(kind, GsoKind::TcpV4 | GsoKind::TcpV6)
}

/// Sets lengths and checksums of the headers of a frame to be cut as if it were one packet: senders leave some of them to
/// the device. The layer 4 checksum becomes the sum of the pseudo header.
fn finish_headers(header: &mut [u8], cut: &Segmentation, payload: usize) -> Option<()> {
    let (l3, l4) = (usize::from(cut.l3_offset), usize::from(cut.l4_offset));
    let l4_len = u16::try_from(header.len().checked_sub(l4)? + payload).ok()?;
    let packet = u16::try_from(header.len().checked_sub(l3)? + payload).ok()?;
    let (protocol, check) = if is_tcp(cut.gso.kind) { (TCP, TCP_CHECK) } else { (UDP, UDP_CHECK) };
    let ip = header.get_mut(l3..l4)?;
    let pseudo = match cut.gso.kind {
        GsoKind::TcpV4 | GsoKind::UdpV4 => {
            ip.get_mut(2..4)?.copy_from_slice(&packet.to_be_bytes());
            ip.get_mut(10..12)?.fill(0);
            let mut sum = Sum::new();
            sum.add_bytes(ip);
            ip.get_mut(10..12)?.copy_from_slice(&sum.finish().to_be_bytes());
            pseudo_header_v4(*ip.get(12..)?.first_chunk()?, *ip.get(16..)?.first_chunk()?, protocol, l4_len)
        }
        GsoKind::TcpV6 | GsoKind::UdpV6 => {
            let behind = u16::try_from(usize::from(packet).checked_sub(IPV6_HEADER)?).ok()?;
            ip.get_mut(4..6)?.copy_from_slice(&behind.to_be_bytes());
            let (source, destination) = (*ip.get(8..)?.first_chunk()?, *ip.get(24..)?.first_chunk()?);
            pseudo_header_v6(source, destination, protocol, l4_len.into())
        }
    };
    if protocol == UDP {
        header.get_mut(l4 + 4..l4 + 6)?.copy_from_slice(&l4_len.to_be_bytes());
    }
    let field = l4 + usize::from(check);
    header.get_mut(field..field + 2)?.copy_from_slice(&pseudo.fold().to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests;
