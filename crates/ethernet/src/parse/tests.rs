use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::test_frames::{Frame, Ip, Transport, any_ip, any_transport, ethernet};

/// An IPv4 frame with bytes behind its Ethernet header replaced and 40 zero bytes of payload.
fn ipv4_with(transport: Transport, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = Frame::new(Ip::v4(), transport, vec![0; 40]).build();
    for &(offset, value) in changes {
        bytes[14 + offset] = value;
    }
    bytes
}

fn ipv6_with(extensions: Vec<(u8, Vec<u8>)>) -> Vec<u8> {
    Frame::new(Ip::v6(extensions), Transport::udp(), vec![0; 40]).build()
}

/// An extension header of `len` bytes, of which the first after "next header" says `hdr_ext_len`.
fn extension(kind: u8, hdr_ext_len: u8, len: usize) -> (u8, Vec<u8>) {
    let mut body = vec![0; len - 1];
    body[0] = hdr_ext_len;
    (kind, body)
}

fn fragment_header(offset_and_more: u16) -> (u8, Vec<u8>) {
    let [high, low] = offset_and_more.to_be_bytes();
    (44, vec![0, high, low, 0, 0, 0, 1])
}

fn fixed_len(l4: L4) -> usize {
    match l4 {
        L4::Tcp => 20,
        L4::Udp | L4::Icmp | L4::Icmpv6 => 8,
        L4::Sctp => 12,
        L4::Other | L4::None => 0,
    }
}

/// What holds of every layout whatever was parsed.
fn check_invariants(bytes: &[u8], layout: &Layout) {
    let [l3, l4, payload] = [layout.l3_offset, layout.l4_offset, layout.payload_offset].map(usize::from);
    assert!(layout.vlan_depth <= MAX_VLAN_DEPTH);
    assert_eq!(layout.l3 == L3::None, l3 == 0);
    assert_eq!(layout.l4 == L4::None, l4 == 0);
    let l3_len = match layout.l3 {
        L3::Ipv4 { .. } => 20,
        L3::Ipv6 { .. } => 40,
        L3::None | L3::Arp | L3::Other => {
            assert_eq!((layout.l4, layout.fragment), (L4::None, false));
            0
        }
    };
    assert!(l3 + l3_len <= bytes.len());
    if layout.l4 != L4::None {
        assert!(l3 + l3_len <= l4 && l4 + fixed_len(layout.l4) <= bytes.len());
    }
    if payload != 0 {
        assert!(l4 + fixed_len(layout.l4) <= payload && payload <= bytes.len());
    }
}

proptest! {
    #[test]
    fn frames_are_laid_out_as_they_were_built(
        ip in any_ip(),
        transport in any_transport(),
        payload in vec(any::<u8>(), 0..50),
        tags in vec(any::<bool>(), 0..=2),
    ) {
        let tags: Vec<_> = tags.iter().map(|&service| (if service { 0x88a8 } else { 0x8100 }, 5)).collect();
        let l3 = match &ip {
            Ip::V4 { options, .. } => L3::Ipv4 { options: !options.is_empty() },
            Ip::V6 { extensions, .. } => L3::Ipv6 { extensions: !extensions.is_empty() },
        };
        let mut frame = Frame::new(ip, transport, payload);
        let ethertype = u16::from_be_bytes([frame.front[12], frame.front[13]]);
        frame.front = ethernet(&tags, ethertype);
        let expected = Layout {
            l3,
            l3_offset: frame.l3_offset(),
            l4: if matches!(frame.transport, Transport::Tcp { .. }) { L4::Tcp } else { L4::Udp },
            l4_offset: frame.l4_offset(),
            payload_offset: frame.header_len(),
            fragment: false,
            vlan_depth: u8::try_from(tags.len()).unwrap(),
        };
        let bytes = frame.build();
        prop_assert_eq!(parse(&bytes), expected);

        // Every truncation tells a part of the same, never anything else.
        for cut in 0..bytes.len() {
            let layout = parse(&bytes[..cut]);
            check_invariants(&bytes[..cut], &layout);
            prop_assert!(layout.l3 == L3::None || layout.l3 == expected.l3);
            let l4 = (layout.l4, layout.l4_offset);
            prop_assert!(l4 == (L4::None, 0) || l4 == (expected.l4, expected.l4_offset));
            prop_assert!(layout.payload_offset == 0 || layout.payload_offset == expected.payload_offset);
            prop_assert!(!layout.fragment);
        }
    }

    #[test]
    fn n04_arbitrary_bytes_give_a_layout_within_them(
        mut bytes in vec(any::<u8>(), 0..200),
        ethertype in prop::sample::select(vec![0x0800u16, 0x86dd, 0x8100, 0x0806]),
        version in 4..=6u8,
    ) {
        if bytes.len() > 14 {
            bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
            bytes[14] = version << 4 | bytes[14] & 0xf;
        }
        check_invariants(&bytes, &parse(&bytes));
    }

    /// Frames that are whole but for a few bytes get further into the parser.
    #[test]
    fn n04_corrupted_frames_give_a_layout_within_them(
        ip in any_ip(),
        transport in any_transport(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = Frame::new(ip, transport, vec![0; 20]).build();
        for (at, value) in changes {
            *at.get_mut(&mut bytes) = value;
        }
        check_invariants(&bytes, &parse(&bytes));
    }
}

#[test]
fn protocols_above_ip() {
    for (ip, protocol, l4, payload) in [
        (Ip::v4(), 1, L4::Icmp, 8),
        (Ip::v4(), 132, L4::Sctp, 12),
        (Ip::v4(), 58, L4::Other, 0),
        (Ip::v4(), 47, L4::Other, 0),
        (Ip::v6(vec![]), 58, L4::Icmpv6, 8),
        (Ip::v6(vec![]), 132, L4::Sctp, 12),
        (Ip::v6(vec![]), 1, L4::Other, 0),
        (Ip::v6(vec![]), 50, L4::Other, 0),
        (Ip::v6(vec![]), 59, L4::None, 0),
    ] {
        let (at, l4_offset) = if matches!(ip, Ip::V4 { .. }) { (23, 34) } else { (20, 54) };
        let mut bytes = Frame::new(ip, Transport::udp(), vec![0; 40]).build();
        bytes[at] = protocol;
        let layout = parse(&bytes);
        let expected_offset = if l4 == L4::None { 0 } else { l4_offset };
        let expected_payload = if payload == 0 { 0 } else { l4_offset + payload };
        assert_eq!(
            (layout.l4, layout.l4_offset, layout.payload_offset),
            (l4, expected_offset, expected_payload),
            "protocol {protocol}"
        );
    }
}

#[test]
fn ethertypes_that_are_not_ip() {
    for (ethertype, l3) in [
        (0x0806, L3::Arp),
        (0x88cc, L3::Other),
        (0x8808, L3::Other),
        (0x05dc, L3::Other),
        (0x0000, L3::Other),
    ] {
        let layout = parse(&ethernet(&[(0x8100, 5)], ethertype));
        assert_eq!(layout, Layout { l3, l3_offset: 18, vlan_depth: 1, ..Layout::default() });
    }
}

#[test]
fn ipv4_fragments() {
    for (flags_and_offset, fragment, l4) in [
        (0x4000u16, false, L4::Udp),
        (0x8000, false, L4::Udp),
        (0x2000, true, L4::Udp),
        (0x2001, true, L4::None),
        (0x0001, true, L4::None),
        (0x1fff, true, L4::None),
    ] {
        let [high, low] = flags_and_offset.to_be_bytes();
        let layout = parse(&ipv4_with(Transport::udp(), &[(6, high), (7, low)]));
        assert_eq!((layout.fragment, layout.l4), (fragment, l4), "{flags_and_offset:#06x}");
        assert_eq!(layout.l3, L3::Ipv4 { options: false });
    }
}

#[test]
fn ipv6_fragments() {
    for (offset_and_more, fragment, l4) in [
        (0x0000, false, L4::Udp),
        (0x0001, true, L4::Udp),
        (0x0008, true, L4::None),
        (0xfff9, true, L4::None),
    ] {
        let layout = parse(&ipv6_with(vec![extension(0, 0, 8), fragment_header(offset_and_more)]));
        assert_eq!((layout.fragment, layout.l4), (fragment, l4), "{offset_and_more:#06x}");
        assert_eq!(layout.l3, L3::Ipv6 { extensions: true });
    }
}

#[test]
fn ipv6_extension_headers_are_walked_by_their_own_lengths() {
    for (name, extensions, l4_offset) in [
        ("hop-by-hop of 24 bytes", vec![extension(0, 2, 24)], 78),
        ("authentication counts in words of 4 bytes", vec![extension(51, 4, 24)], 78),
        ("fragment header has no length", vec![(44, vec![0xff, 0, 0, 0, 0, 0, 0])], 62),
        ("eight headers", vec![extension(60, 0, 8); 8], 118),
    ] {
        let layout = parse(&ipv6_with(extensions));
        assert_eq!(
            (layout.l4, layout.l4_offset, layout.payload_offset),
            (L4::Udp, l4_offset, l4_offset + 8),
            "{name}"
        );
    }
}

#[test]
fn n04_ipv6_extension_headers_that_lie_or_do_not_end_hide_layer_4() {
    for (name, extensions) in [
        ("nine headers", vec![extension(60, 0, 8); 9]),
        ("a thousand headers", vec![extension(0, 0, 8); 1000]),
        ("longer than the packet", vec![extension(0, 0xff, 8)]),
        ("authentication longer than the packet", vec![extension(51, 0xff, 8)]),
    ] {
        let layout = parse(&ipv6_with(extensions));
        assert_eq!((layout.l3, layout.l4), (L3::Ipv6 { extensions: true }, L4::None), "{name}");
    }
}

#[test]
fn n04_lying_ip_headers_are_believed_as_far_as_is_certain() {
    let ipv4 = L3::Ipv4 { options: false };
    for (name, changes, l3, l4) in [
        ("version 6 under the EtherType of IPv4", vec![(0, 0x65)], L3::None, L4::None),
        ("header of 16 bytes", vec![(0, 0x44)], L3::None, L4::None),
        ("header of 0 bytes", vec![(0, 0x40)], L3::None, L4::None),
        ("total length of 0, as in segmentation offload", vec![(2, 0), (3, 0)], ipv4, L4::Udp),
        ("total length within the IP header", vec![(2, 0), (3, 12)], ipv4, L4::None),
        ("total length within the UDP header", vec![(2, 0), (3, 27)], ipv4, L4::None),
        ("total length at the end of the UDP header", vec![(2, 0), (3, 28)], ipv4, L4::Udp),
        ("total length beyond the frame", vec![(2, 0xff), (3, 0xff)], ipv4, L4::Udp),
    ] {
        let layout = parse(&ipv4_with(Transport::udp(), &changes));
        assert_eq!((layout.l3, layout.l4), (l3, l4), "{name}");
    }
    let mut version_4 = ipv6_with(vec![]);
    version_4[14] = 0x45;
    assert_eq!(parse(&version_4).l3, L3::None);
    let mut bounded = ipv6_with(vec![]);
    for (payload_length, l4) in [(0, L4::Udp), (7, L4::None), (8, L4::Udp), (0xff, L4::Udp)] {
        bounded[19] = payload_length;
        assert_eq!(parse(&bounded).l4, l4, "payload length {payload_length}");
    }
}

#[test]
fn n04_lying_tcp_data_offset_leaves_the_payload_unknown() {
    for (data_offset, payload_offset) in [(0x00, 0), (0x40, 0), (0x50, 54), (0xf0, 94)] {
        let layout = parse(&ipv4_with(Transport::tcp(), &[(32, data_offset)]));
        assert_eq!((layout.l4, layout.l4_offset, layout.payload_offset), (L4::Tcp, 34, payload_offset));
    }
    let frame = ipv4_with(Transport::tcp(), &[(32, 0xf0)]);
    let layout = parse(&frame[..93]);
    assert_eq!((layout.l4, layout.payload_offset), (L4::Tcp, 0));
}

/// N04: offsets that would not fit their type.
#[test]
fn n04_offsets_beyond_65535_are_unknown() {
    let frame = ipv6_with(vec![extension(60, 0xff, 2048); 8]);
    assert!(usize::from(parse(&frame).l4_offset) == 14 + 40 + 8 * 2048);
    let mut long = ipv4_with(Transport::udp(), &[]);
    long.resize(200_000, 0);
    check_invariants(&long, &parse(&long));
    assert_eq!(parse(&long).l4_offset, 34);
}

/// N14: a guest may cut its buffers anywhere, so that the first copy holds only a part of the headers.
#[test]
fn n14_header_cut_anywhere_keeps_what_stands_before_the_cut() {
    let frame = Frame::new(Ip::v4(), Transport::tcp(), vec![]).build();
    for cut in 0..=frame.len() {
        let layout = parse(&frame[..cut]);
        assert_eq!(layout.l3 != L3::None, cut >= 34, "cut at {cut}");
        assert_eq!(layout.l4 != L4::None, cut >= 54, "cut at {cut}");
    }
}

#[test]
fn s02_service_and_customer_tag_are_skipped() {
    let layout = parse(&ethernet(&[(0x88a8, 5), (0x8100, 6)], ethertype::ARP));
    assert_eq!((layout.vlan_depth, layout.l3, layout.l3_offset), (2, L3::Arp, 22));
}
