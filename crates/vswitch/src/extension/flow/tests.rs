use std::net::IpAddr;

use super::*;
use crate::PortId;
use crate::testing::mac;
use crate::testing::packets::{ethernet, icmp, ipv4, ipv6, tcp, udp};

fn read(kind: u16, body: &[u8]) -> Flow {
    let bytes = ethernet(mac(1), mac(2), kind, body);
    Flow::read(&Packet::described(PortId(1), &bytes, None))
}

fn v4(body: &[u8]) -> Flow {
    read(0x0800, body)
}

fn v6(body: &[u8]) -> Flow {
    read(0x86dd, body)
}

/// A fragment header in front of `body`.
fn fragment(next: u8, offset_and_more: u16, body: &[u8]) -> Vec<u8> {
    let [high, low] = offset_and_more.to_be_bytes();
    [&[next, 0, high, low, 0, 0, 0, 9], body].concat()
}

#[test]
fn ports_addresses_and_types_are_read() {
    let flow = v4(&ipv4(1, 2, 17, 0, &udp(67, 68)));
    assert_eq!(flow.upper, Upper::Ports { source: 67, destination: 68 });
    assert_eq!(flow.addresses, Some((IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]))));
    assert_eq!(flow.protocol, Some(17));
    assert_eq!(v4(&ipv4(1, 2, 1, 0, &icmp(5))).upper, Upper::Icmp { kind: 5 });
    let flow = v6(&ipv6(1, 2, 58, &icmp(134)));
    assert_eq!((flow.upper, flow.protocol), (Upper::Icmp { kind: 134 }, Some(58)));
    assert_eq!(v6(&ipv6(1, 2, 47, &[0; 8])).protocol, Some(47));
    assert_eq!(read(0x0806, &[0; 28]), Flow::NOT_IP);
}

#[test]
fn a_chain_of_extensions_is_followed() {
    let options = |next: u8, body: &[u8]| [&[next, 0, 1, 4, 0, 0, 0, 0], body].concat();
    let packet = options(60, &options(58, &icmp(137)));
    assert_eq!(v6(&ipv6(1, 2, 0, &packet)).upper, Upper::Icmp { kind: 137 });
    let mut long = icmp(134);
    for _ in 0..9 {
        long = options(60, &long);
    }
    long[(8 * 8)..].fill(58);
    assert_eq!(v6(&ipv6(1, 2, 60, &long)).upper, Upper::Unreadable, "more than are followed");
}

#[test]
fn fragments_behind_the_first_are_known_as_such() {
    assert_eq!(v4(&ipv4(1, 2, 17, 8, &[0; 8])).upper, Upper::LaterFragment);
    let later = v6(&ipv6(1, 2, 44, &fragment(58, 8 << 3, &[134; 8])));
    assert_eq!((later.upper, later.protocol), (Upper::LaterFragment, Some(58)));
    let first = v6(&ipv6(1, 2, 44, &fragment(58, 1, &icmp(134))));
    assert_eq!(first.upper, Upper::Icmp { kind: 134 });
}

#[test]
fn what_a_receiver_may_read_otherwise_is_unreadable() {
    let cut_chain = fragment(60, 1, &[58, 3, 0, 0, 0, 0, 0, 0]);
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd], &*ipv6(1, 2, 58, &icmp(134))].concat();
    let tags = [0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 0x86, 0xdd];
    for (what, flow) in [
        ("no whole IPv4 header", v4(&[0x45, 0, 0])),
        ("IPv4 of version 6", v4(&ipv6(1, 2, 58, &icmp(134)))),
        ("a first fragment with half a TCP header", v4(&ipv4(1, 2, 6, 0x2000, &tcp(1, 2)[..8]))),
        ("a fragment over TCP flags", v4(&ipv4(1, 2, 6, 1, &[0; 16]))),
        ("a chain that goes on in the next fragment", v6(&ipv6(1, 2, 44, &cut_chain))),
        ("IPv6 in SNAP", read(u16::try_from(snap.len()).unwrap(), &snap)),
        ("a third tag", read(0x8100, &tags)),
    ] {
        assert_eq!(flow.upper, Upper::Unreadable, "{what}");
    }
}

#[test]
fn every_cut_of_a_packet_is_read_without_harm() {
    let whole = ethernet(mac(1), mac(2), 0x86dd, &ipv6(1, 2, 44, &fragment(6, 0, &tcp(1, 2))));
    for end in 0..=whole.len() {
        let flow = Flow::read(&Packet::described(PortId(1), &whole[..end], None));
        assert_eq!(flow.upper == Upper::Unreadable, end < whole.len(), "{end}");
    }
}
