//! Frames that guests made up: whatever they claim of offloads, no port falls over, and the next frame passes.

use ethernet::{Gso, GsoKind, VlanTag};
use port::{Checksum, Put, Segmentation, Spec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::host::{Namespace, Peer, number, numbered, until, veth};
use super::packet::config;
use super::switch::Switch;
use crate::{Backend, NewTap, Uplink, XdpMode, open};

/// A TCP or UDP frame of which some bytes were changed, or any bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let real = (any::<bool>(), 0..4000_usize, prop::collection::vec((0..80_usize, any::<u8>()), 0..4));
    let changed = real.prop_map(|(udp, payload, changes)| {
        let protocol = if udp { 17 } else { 6 };
        let mut frame = vec![2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 8, 0, 0x45, 0, 0, 0, 0, 1, 0, 0, 64];
        frame.extend([
            protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10,
        ]);
        frame.resize(54 + payload, 1);
        for (at, byte) in changes {
            let at = at % frame.len();
            frame[at] = byte;
        }
        frame
    });
    prop_oneof![3 => changed, 1 => prop::collection::vec(any::<u8>(), 14..2000)]
}

fn place() -> impl Strategy<Value = u16> {
    prop_oneof![Just(14_u16), Just(34), Just(16), Just(6), Just(54), Just(42), 0..600_u16, any::<u16>()]
}

fn spec() -> impl Strategy<Value = Spec> {
    let checksum = prop_oneof![
        Just(Checksum::Unverified),
        Just(Checksum::Complete),
        (place(), place()).prop_map(|(start, offset)| Checksum::Partial { start, offset }),
        (place(), place()).prop_map(|(start, offset)| Checksum::PartialCrc32c { start, offset }),
    ];
    let kind =
        prop_oneof![Just(GsoKind::TcpV4), Just(GsoKind::TcpV6), Just(GsoKind::UdpV4), Just(GsoKind::UdpV6)];
    let gso = (kind, prop_oneof![0..1600_u16, any::<u16>()], place(), place(), place()).prop_map(
        |(kind, mss, header_len, l3_offset, l4_offset)| Segmentation {
            gso: Gso { kind, mss, header_len },
            l3_offset,
            l4_offset,
        },
    );
    (checksum, prop::option::of(gso)).prop_map(|(checksum, gso)| {
        let mut spec = Spec { pad_to: 60, ..Spec::default() };
        (spec.meta.checksum, spec.meta.gso) = (checksum, gso);
        spec
    })
}

/// Puts whatever comes out of it into the port, then a frame that must reach `peer`.
fn survive(mut uplink: Uplink, peer: &Peer) {
    let port = &mut *uplink.ports[0].port;
    let mut switch = Switch::new();
    let mut taken = 0;
    let hostile = (bytes(), spec(), prop::option::of(any::<u16>().prop_map(VlanTag)));
    // Always the same frames, so that a failure comes again.
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        let (bytes, spec, tag) = hostile.new_tree(&mut runner).unwrap().current();
        taken += u32::from(switch.try_put(port, &bytes, &spec, tag) == Some(Put::Done));
        port.flush(0);
        while peer.look().is_some() {}
    }
    assert!(taken > 30, "of 500 frames {taken} were taken: too few to say anything");
    until("an honest frame", || {
        assert_eq!(switch.send(port, &numbered(77, 64)), Put::Done);
        peer.look().is_some_and(|frame| number(&frame) == 77)
    });
}

#[test]
fn n01_to_n06_a_tap_survives_made_up_offloads() {
    Namespace::new().run(|| {
        let backend = Backend::Tap { name: "vnic".into(), new: Some(NewTap::default()) };
        let uplink = open(&config(backend, 1, 1)).unwrap();
        survive(uplink, &Peer::on("vnic"));
    });
}

#[test]
fn n01_to_n06_a_packet_socket_survives_made_up_offloads() {
    Namespace::new().run(|| {
        veth();
        let uplink = open(&config(Backend::Packet { name: "near".into() }, 1, 1)).unwrap();
        survive(uplink, &Peer::on("far"));
    });
}

#[test]
fn n01_to_n06_an_xdp_socket_survives_made_up_offloads() {
    Namespace::new().run(|| {
        veth();
        let backend = Backend::Xdp { name: "near".into(), mode: XdpMode::Copy };
        let uplink = open(&config(backend, 1, 1)).unwrap();
        survive(uplink, &Peer::on("far"));
    });
}
