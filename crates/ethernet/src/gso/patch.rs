//! The fields that differ from segment to segment.
//!
//! Each function takes a header that `Segmenter::new` has checked, alone in its slice, and computes the
//! checksums from the patched bytes: what the super-frame had in its length and checksum fields may be
//! anything.

use zerocopy::FromBytes;

use super::GsoKind;
use crate::checksum::{Sum, pseudo_header_v4, pseudo_header_v6};
use crate::wire::{Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};

const CHECKED: &str = "Segmenter::new found this header whole";

/// Patches an IPv4 header with options and gives the sum of the pseudo header.
pub(super) fn ipv4(l3: &mut [u8], kind: GsoKind, l4_len: usize, id_increment: u32) -> Sum {
    let l3_len = l3.len();
    let (ip, _) = Ipv4Header::mut_from_prefix(l3).expect(CHECKED);
    ip.total_length.set(to_u16(l3_len + l4_len));
    ip.identification.set(ip.identification.get().wrapping_add(to_u16(id_increment)));
    ip.checksum.set(0);
    let pseudo = pseudo_header_v4(ip.source, ip.destination, kind.protocol(), to_u16(l4_len));
    let mut sum = Sum::new();
    sum.add_bytes(l3);
    let (ip, _) = Ipv4Header::mut_from_prefix(l3).expect(CHECKED);
    ip.checksum.set(sum.finish());
    pseudo
}

/// Patches an IPv6 header with extensions and gives the sum of the pseudo header.
pub(super) fn ipv6(l3: &mut [u8], kind: GsoKind, l4_len: usize) -> Sum {
    let (ip, extensions) = Ipv6Header::mut_from_prefix(l3).expect(CHECKED);
    ip.payload_length.set(to_u16(extensions.len() + l4_len));
    pseudo_header_v6(ip.source, ip.destination, kind.protocol(), u32::from(to_u16(l4_len)))
}

/// Patches a TCP header with options and gives the place of its checksum field.
pub(super) fn tcp(l4: &mut [u8], payload_offset: u32, is_first: bool, is_last: bool) -> u16 {
    let (tcp, _) = TcpHeader::mut_from_prefix(l4).expect(CHECKED);
    tcp.sequence.set(tcp.sequence.get().wrapping_add(payload_offset));
    if !is_first {
        tcp.flags &= !TcpHeader::CWR;
    }
    if !is_last {
        tcp.flags &= !(TcpHeader::FIN | TcpHeader::PSH);
    }
    tcp.checksum.set(0);
    16
}

/// Patches a UDP header and gives the place of its checksum field.
pub(super) fn udp(l4: &mut [u8], l4_len: usize) -> u16 {
    let (udp, _) = UdpHeader::mut_from_prefix(l4).expect(CHECKED);
    udp.length.set(to_u16(l4_len));
    udp.checksum.set(0);
    6
}

/// A length or index that fits, since `Segmenter::new` bounded the longest segment and the number of
/// segments.
fn to_u16(value: impl TryInto<u16>) -> u16 {
    value.try_into().ok().expect("Segmenter::new bounded it to 65535")
}
