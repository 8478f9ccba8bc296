use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::parse::parse;
use crate::test_frames::{Frame, Ip, Transport};

/// The key of the Microsoft RSS verification suite.
const KEY: [u8; RSS_KEY_LEN] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

fn ports(source: u16, destination: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (source.to_be_bytes(), destination.to_be_bytes());
    [a, b, c, d]
}

fn hash(enabled: RssTypes, header: &[u8]) -> Option<(u32, RssType)> {
    rss_hash(&Toeplitz::new(&KEY), enabled, header, &parse(header))
}

fn v4_frame(transport: Transport) -> Frame {
    Frame::new(Ip::v4(), transport, vec![])
}

/// (destination, port), (source, port), hash of the addresses, hash with the ports.
#[test]
fn microsoft_verification_suite_ipv4() {
    for (destination, source, addresses_hash, ports_hash) in [
        (("161.142.100.80", 1766), ("66.9.149.187", 2794), 0x323e_8fc2, 0x51cc_c178),
        (("65.69.140.83", 4739), ("199.92.111.2", 14230), 0xd718_262a, 0xc626_b0ea),
        (("12.22.207.184", 38024), ("24.19.198.95", 12898), 0xd2d0_a5de, 0x5c2b_394a),
        (("209.142.163.6", 2217), ("38.27.205.30", 48228), 0x8298_9176, 0xafc7_327f),
        (("202.188.127.2", 1303), ("153.39.163.191", 44251), 0x5d18_09c5, 0x10e8_28a2),
    ] {
        let octets = |address: &str| address.parse::<Ipv4Addr>().unwrap().octets();
        let ip = Ip::V4 {
            source: octets(source.0),
            destination: octets(destination.0),
            id: 1,
            options: vec![1; 4],
        };
        let ports = ports(source.1, destination.1);
        let tcp = Transport::Tcp { ports, sequence: 0, flags: 0, options: vec![] };
        let tcp = Frame::new(ip.clone(), tcp, vec![]).build();
        assert_eq!(hash(RssTypes::IPV4, &tcp), Some((addresses_hash, RssType::Ipv4)));
        assert_eq!(hash(RssTypes::IPV4 | RssTypes::TCP4, &tcp), Some((ports_hash, RssType::Tcp4)));
        let udp = Frame::new(ip, Transport::Udp { ports }, vec![]).build();
        assert_eq!(hash(RssTypes::all(), &udp), Some((ports_hash, RssType::Udp4)));
    }
}

#[test]
fn microsoft_verification_suite_ipv6() {
    for (destination, source, addresses_hash, ports_hash) in [
        (("3ffe:2501:200:3::1", 1766), ("3ffe:2501:200:1fff::7", 2794), 0x2cc1_8cd5, 0x4020_7d3d),
        (("ff02::1", 4739), ("3ffe:501:8::260:97ff:fe40:efab", 14230), 0x0f0c_461c, 0xdde5_1bbf),
        (
            ("fe80::200:f8ff:fe21:67cf", 38024),
            ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251),
            0x4b61_e985,
            0x02d1_feef,
        ),
    ] {
        let octets = |address: &str| address.parse::<Ipv6Addr>().unwrap().octets();
        let ip = Ip::V6 { source: octets(source.0), destination: octets(destination.0), extensions: vec![] };
        let ports = ports(source.1, destination.1);
        let tcp = Transport::Tcp { ports, sequence: 0, flags: 0, options: vec![] };
        let tcp = Frame::new(ip.clone(), tcp, vec![]).build();
        assert_eq!(hash(RssTypes::IPV6, &tcp), Some((addresses_hash, RssType::Ipv6)));
        assert_eq!(hash(RssTypes::IPV6 | RssTypes::TCP6, &tcp), Some((ports_hash, RssType::Tcp6)));
        let udp = Frame::new(ip, Transport::Udp { ports }, vec![]).build();
        assert_eq!(hash(RssTypes::all(), &udp), Some((ports_hash, RssType::Udp6)));
    }
}

proptest! {
    #[test]
    fn tables_are_the_key_shifted_bit_by_bit(
        key: [u8; 40],
        input in prop::collection::vec(any::<u8>(), 0..=40),
    ) {
        let key_bit = |n: usize| u32::from(key[n / 8] >> (7 - n % 8) & 1);
        let mut slow = 0;
        for n in 0..input.len().min(RSS_INPUT_LEN) * 8 {
            if input[n / 8] >> (7 - n % 8) & 1 == 1 {
                slow ^= (n..n + 32).fold(0, |window, bit| window << 1 | key_bit(bit));
            }
        }
        prop_assert_eq!(Toeplitz::new(&key).hash(&input), slow);
    }

    /// The layout may be one of another frame: nothing more than a wrong hash or none may come of it.
    #[test]
    fn any_bytes_with_any_layout_are_hashed_or_not(
        bytes in prop::collection::vec(any::<u8>(), 0..120), offsets: [u16; 2], v6: bool, tcp: bool,
    ) {
        let layout = Layout {
            l3: if v6 { L3::Ipv6 { extensions: true } } else { L3::Ipv4 { options: false } },
            l3_offset: offsets[0] % 100,
            l4: if tcp { L4::Tcp } else { L4::Udp },
            l4_offset: offsets[1] % 130,
            ..Layout::default()
        };
        let hashed = rss_hash(&Toeplitz::new(&KEY), RssTypes::all(), &bytes, &layout);
        if let Some((_, rss_type)) = hashed {
            prop_assert!(rss_type.has_ports());
            prop_assert!(usize::from(layout.l4_offset) + 4 <= bytes.len());
        }
    }
}

#[test]
fn type_falls_back_from_ports_to_addresses_to_none() {
    let tcp = v4_frame(Transport::tcp()).build();
    let udp = v4_frame(Transport::udp()).build();
    let kind = |enabled, frame: &[u8]| hash(enabled, frame).map(|(_, rss_type)| rss_type);
    assert_eq!(kind(RssTypes::all(), &tcp), Some(RssType::Tcp4));
    assert_eq!(kind(RssTypes::all() - RssTypes::TCP4, &tcp), Some(RssType::Ipv4));
    assert_eq!(kind(RssTypes::all() - RssTypes::UDP4, &udp), Some(RssType::Ipv4));
    assert_eq!(kind(RssTypes::UDP4 | RssTypes::TCP6 | RssTypes::IPV6, &tcp), None);
    assert_eq!(kind(RssTypes::empty(), &tcp), None);
    let arp = crate::test_frames::ethernet(&[], crate::ethertype::ARP);
    assert_eq!(kind(RssTypes::all(), &arp), None);
}

#[test]
fn fragments_are_hashed_by_addresses_first_and_later_alike() {
    let whole = v4_frame(Transport::udp()).build();
    let expected = hash(RssTypes::IPV4, &whole);
    for flags_and_offset in [0x2000u16, 0x2010, 0x0010] {
        let mut fragment = whole.clone();
        fragment[20..22].copy_from_slice(&flags_and_offset.to_be_bytes());
        assert_eq!(hash(RssTypes::all(), &fragment), expected);
    }
}

#[test]
fn ex_types_take_the_home_addresses() {
    let (home_source, home_destination) = ([0xaa; 16], [0xbb; 16]);
    let routing = [&[2, 2, 1, 0, 0, 0, 0][..], &home_destination].concat();
    // Options: PadN of 2 bytes, Pad1, the home address, PadN to the end.
    let options = [&[2, 1, 0, 0, 0xc9, 16][..], &home_source, &[0]].concat();
    assert_eq!((routing.len(), options.len()), (23, 23));
    let mobile = Frame::new(Ip::v6(vec![(43, routing), (60, options)]), Transport::tcp(), vec![]).build();
    let plain = Frame::new(
        Ip::V6 { source: home_source, destination: home_destination, extensions: vec![] },
        Transport::tcp(),
        vec![],
    )
    .build();
    let unmoved = Frame::new(Ip::v6(vec![]), Transport::tcp(), vec![]).build();
    let value = |enabled, frame: &[u8]| hash(enabled, frame).map(|(value, _)| value);

    assert_eq!(hash(RssTypes::all(), &mobile), hash(RssTypes::TCP6_EX, &mobile));
    assert_eq!(value(RssTypes::TCP6_EX, &mobile), value(RssTypes::TCP6, &plain));
    assert_eq!(value(RssTypes::IPV6_EX, &mobile), value(RssTypes::IPV6, &plain));
    // Without the _EX types the addresses of the IP header count.
    assert_eq!(hash(RssTypes::TCP6, &mobile), hash(RssTypes::TCP6, &unmoved));
    // Without extension headers the _EX types hash as the plain ones do.
    assert_eq!(hash(RssTypes::all(), &unmoved).map(|(_, rss_type)| rss_type), Some(RssType::Tcp6));
    assert_eq!(value(RssTypes::TCP6_EX, &unmoved), value(RssTypes::TCP6, &unmoved));
}

#[test]
fn n04_lying_home_address_options_are_not_followed() {
    for options in [
        [1, 0xc9, 17, 0, 0, 0, 0],
        [0, 0xc9, 16, 0, 0, 0, 0],
        [0, 1, 0xff, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ] {
        let frame = Frame::new(Ip::v6(vec![(60, options.to_vec())]), Transport::udp(), vec![0; 40]).build();
        let unmoved = Frame::new(Ip::v6(vec![]), Transport::udp(), vec![]).build();
        let expected = hash(RssTypes::IPV6, &unmoved).map(|(value, _)| value);
        assert_eq!(hash(RssTypes::IPV6_EX, &frame).map(|(value, _)| value), expected);
    }
}
