//! What the descriptors of a frame ask the device to do with it.

use ethernet::{Gso, GsoKind, VlanTag};
use port::{Burst, Checksum, FrameMeta, Malformed, Segmentation, Spec};

use super::descriptor::{Context, Data, L4Type};
use super::tx::WireSize;

/// Shortest frame on a wire, without frame check sequence: shorter ones are padded.
const SHORTEST_ON_WIRE: usize = 60;
/// Longest frame that is not segmented, in bytes: 9,728 with the frame check sequence, and a tag in its bytes on top.
const LONGEST: usize = 9728 - 4 + ethernet::VLAN_TAG_LEN;
/// Longest frame to be segmented: the payload length field has 18 bits.
const LONGEST_SEGMENTED: usize = 0x3_ffff;

/// Ends the frame in `burst` as its first descriptor and its context say.
pub(super) fn finish(burst: &mut Burst, first: Data, contexts: &[Context; 2]) -> Result<WireSize, Malformed> {
    if first.encrypts() {
        return Err(Malformed::Unsupported);
    }
    let context = contexts[first.context()];
    let length = burst.gathered();
    let mut spec = Spec { pad_to: SHORTEST_ON_WIRE, ..Spec::default() };
    if first.inserts_vlan() {
        spec.meta.tag = Some(VlanTag(context.vlan()));
    }
    let longest = if first.segments() { LONGEST_SEGMENTED } else { LONGEST };
    if length > longest {
        return Err(Malformed::TooLong);
    }
    let size = if first.segments() {
        let cut = segmentation(context)?;
        spec.meta.gso = Some(cut);
        segmented_size(length, cut.gso)
    } else {
        checksums(first, context, &mut spec)?;
        WireSize { packets: 1, octets: count(length) }
    };
    burst.commit(&spec)?;
    Ok(size)
}

/// TSO, and UDP segmentation likewise.
fn segmentation(context: Context) -> Result<Segmentation, Malformed> {
    let kind = match (context.l4_type(), context.is_ipv4()) {
        (L4Type::Tcp, true) => GsoKind::TcpV4,
        (L4Type::Tcp, false) => GsoKind::TcpV6,
        (L4Type::Udp, true) => GsoKind::UdpV4,
        (L4Type::Udp, false) => GsoKind::UdpV6,
        (L4Type::Sctp | L4Type::Reserved, _) => return Err(Malformed::Unsupported),
    };
    if context.mss() == 0 {
        return Err(Malformed::BadSegmentation);
    }
    let l3_offset = context.mac_length();
    let l4_offset = l3_offset + context.ip_length();
    let gso = Gso { kind, mss: context.mss(), header_len: l4_offset + context.l4_length() };
    Ok(Segmentation { gso, l3_offset, l4_offset })
}

fn segmented_size(length: usize, gso: Gso) -> WireSize {
    let header = usize::from(gso.header_len);
    let payload = length.saturating_sub(header);
    let packets = payload.div_ceil(usize::from(gso.mss)).max(1);
    WireSize { packets: count(packets), octets: count(length + (packets - 1) * header) }
}

fn checksums(first: Data, context: Context, spec: &mut Spec) -> Result<(), Malformed> {
    let FrameMeta { checksum, .. } = &mut spec.meta;
    let l3 = context.mac_length();
    let start = l3 + context.ip_length();
    if first.fills_ip_checksum() && context.is_ipv4() {
        spec.ipv4_checksum_at = Some(l3);
    }
    if first.fills_l4_checksum() {
        *checksum = match context.l4_type() {
            L4Type::Tcp => Checksum::Partial { start, offset: 16 },
            L4Type::Udp => Checksum::Partial { start, offset: 6 },
            L4Type::Sctp => Checksum::PartialCrc32c { start, offset: 8 },
            L4Type::Reserved => return Err(Malformed::Unsupported),
        };
    }
    Ok(())
}

/// Lengths of frames fit.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
