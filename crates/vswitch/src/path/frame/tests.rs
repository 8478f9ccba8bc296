use ethernet::gso::MAX_HEADER_LEN;
use ethernet::{GsoKind, Inc, Segmenter};
use proptest::prelude::*;

use super::*;
use crate::testing::mac;
use crate::testing::packets::{ethernet, ipv4, ipv6, tcp, udp};

/// The bytes of all segments, each of which is really made.
fn slowly(header: &[u8], l4_offset: u16, gso: Gso, payload: u32) -> usize {
    let segmenter = Segmenter::new(header, 14, l4_offset, gso, payload, Inc::PerSegment).unwrap();
    let mut out = [0; MAX_HEADER_LEN];
    let segments = (0..segmenter.segments()).map(|number| segmenter.segment(number, &mut out));
    segments.map(|segment| segment.header_len + segment.payload_len as usize).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_is_on_a_wire_what_its_segments_are(
        is_tcp: bool,
        is_ipv4: bool,
        mss in 1..9000_u16,
        segments in 0..40_u32,
        rest in 0..9000_u32,
    ) {
        let payload = (segments * u32::from(mss) + rest % u32::from(mss)).min(65_000);
        let (protocol, upper) = if is_tcp { (6, tcp(1, 2)) } else { (17, udp(1, 2)) };
        let (header, l4_offset, kind) = match (is_ipv4, is_tcp) {
            (true, true) => (ethernet(mac(2), mac(1), 0x0800, &ipv4(1, 2, protocol, 0, &upper)), 34, GsoKind::TcpV4),
            (true, false) => (ethernet(mac(2), mac(1), 0x0800, &ipv4(1, 2, protocol, 0, &upper)), 34, GsoKind::UdpV4),
            (false, true) => (ethernet(mac(2), mac(1), 0x86dd, &ipv6(1, 2, protocol, &upper)), 54, GsoKind::TcpV6),
            (false, false) => (ethernet(mac(2), mac(1), 0x86dd, &ipv6(1, 2, protocol, &upper)), 54, GsoKind::UdpV6),
        };
        let gso = Gso { kind, mss, header_len: u16::try_from(header.len()).unwrap() };
        let length = header.len() + payload as usize;
        let packet = Packet { length, cut: Some(gso), ..Packet::described(PortId(1), &header, None) };
        prop_assert_eq!(packet.wire_length(), slowly(&header, l4_offset, gso, payload));
        prop_assert_eq!(Packet { cut: None, ..packet }.wire_length(), length);
    }
}
