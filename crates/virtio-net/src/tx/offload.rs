//! What the header of a frame asks the device to do with it.

use ethernet::{Gso, GsoKind, L3, L4};
use port::{Checksum, HEADER_MAX, Malformed, Segmentation, Spec};

use crate::features::Features;
use crate::header::{GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Header, NEEDS_CSUM};

/// Shortest frame on a wire, without frame check sequence: shorter ones are padded.
const SHORTEST_ON_WIRE: usize = 60;
/// Longest frame that is not segmented, in bytes: the largest jumbo frame that VFs know, and a tag.
const LONGEST: usize = 9728 - 4 + ethernet::VLAN_TAG_LEN;
/// Longest frame to be segmented: an IP packet of 64 KiB behind an Ethernet header and two tags.
const LONGEST_SEGMENTED: usize = u16::MAX as usize + 14 + 2 * ethernet::VLAN_TAG_LEN;

/// How a frame of `length` bytes is to be made, and how many packets it makes on the wire. `peek` copies the frame's
/// first bytes, as many as there are; they are copied again when the frame is made, and checked then.
pub(super) fn spec(
    asked: Header,
    features: Features,
    length: usize,
    peek: impl FnOnce(&mut [u8]) -> Result<usize, Malformed>,
) -> Result<(Spec, u32), Malformed> {
    let mut spec = Spec { pad_to: SHORTEST_ON_WIRE, ..Spec::default() };
    if asked.gso_type != GSO_NONE {
        if length > LONGEST_SEGMENTED {
            return Err(Malformed::TooLong);
        }
        check_kind(asked.gso_type, features)?;
        let mut header = [0; HEADER_MAX];
        let known = peek(&mut header)?;
        let cut = segmentation(asked, &header[..known])?;
        spec.meta.gso = Some(cut);
        let payload = length.saturating_sub(usize::from(cut.gso.header_len));
        let packets = payload.div_ceil(usize::from(cut.gso.mss)).max(1);
        return Ok((spec, u32::try_from(packets).unwrap_or(u32::MAX)));
    }
    if length > LONGEST {
        return Err(Malformed::TooLong);
    }
    if asked.flags & NEEDS_CSUM != 0 && features.contains(Features::CSUM) {
        spec.meta.checksum = Checksum::Partial { start: asked.checksum_start, offset: asked.checksum_offset };
    }
    Ok((spec, 1))
}

/// Whether the driver may ask for this.
fn check_kind(kind: u8, features: Features) -> Result<(), Malformed> {
    let feature = match kind & !GSO_ECN {
        GSO_TCPV4 => Features::HOST_TSO4,
        GSO_TCPV6 => Features::HOST_TSO6,
        GSO_UDP_L4 => Features::HOST_USO,
        _ => return Err(Malformed::Unsupported),
    };
    let ecn = kind & GSO_ECN != 0;
    if !features.contains(feature) || (ecn && !features.contains(Features::HOST_ECN)) {
        return Err(Malformed::Unsupported);
    }
    Ok(())
}

/// Where to cut. The driver's own offsets are not used: the headers say where they end.
fn segmentation(asked: Header, header: &[u8]) -> Result<Segmentation, Malformed> {
    let layout = ethernet::parse(header);
    let ipv4 = matches!(layout.l3, L3::Ipv4 { .. });
    let (kind, l4) = match asked.gso_type & !GSO_ECN {
        GSO_TCPV4 if ipv4 => (GsoKind::TcpV4, L4::Tcp),
        GSO_TCPV6 if !ipv4 => (GsoKind::TcpV6, L4::Tcp),
        GSO_UDP_L4 if ipv4 => (GsoKind::UdpV4, L4::Udp),
        GSO_UDP_L4 => (GsoKind::UdpV6, L4::Udp),
        _ => return Err(Malformed::BadSegmentation),
    };
    if layout.l4 != l4 || layout.fragment || layout.payload_offset == 0 || asked.gso_size == 0 {
        return Err(Malformed::BadSegmentation);
    }
    let gso = Gso { kind, mss: asked.gso_size, header_len: layout.payload_offset };
    Ok(Segmentation { gso, l3_offset: layout.l3_offset, l4_offset: layout.l4_offset })
}
