//! Rows of the catalogue of hostile inputs, named after their ids.

use ethernet::MacAddr;
use proptest::prelude::*;

use crate::testing::packets::ethernet;
use crate::testing::{Lab, SECOND, mac, tag, trunk};
use crate::{AclAction, AclRule, Direction, DropReason, MAX_LEARNED, Packet, PortId, VlanPolicy};

const BROADCAST: MacAddr = MacAddr::BROADCAST;

#[test]
fn s01_source_addresses_that_no_station_has() {
    let mut lab = Lab::new();
    let (free, vm) = (lab.bridge(1), lab.vm(2));
    for source in [MacAddr::ZERO, BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        assert_eq!(lab.send(free, mac(2), source), Err(DropReason::SourceMacInvalid));
    }
    assert_eq!(lab.send(vm, mac(1), mac(9)), Err(DropReason::MacSpoofed));
}

#[test]
fn s02_tags_do_not_hop_between_vlans() {
    let mut lab = Lab::new();
    lab.external();
    let access = lab.vm_in(1, VlanPolicy::Access(10));
    let untagged = lab.vm(2);
    let trunk_port = lab.vm_in(3, trunk(10, &[20]));
    for (port, n) in [(access, 1), (untagged, 2), (trunk_port, 3)] {
        for tpid in [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300] {
            let inner = ethernet(BROADCAST, mac(n), tpid, &[0, 30, 0x08, 0]);
            for outer in [None, tag(0)] {
                assert_eq!(lab.send_bytes(port, &inner, outer), Err(DropReason::DoubleTagged));
            }
        }
        let reserved = lab.send_tagged(port, BROADCAST, mac(n), tag(4095));
        assert_eq!(reserved, Err(DropReason::ReservedVlan));
        assert_eq!(lab.send_tagged(port, BROADCAST, mac(n), tag(30)), Err(DropReason::VlanNotAllowed));
    }
    // Within its VLAN a trunk may carry tags of its own.
    let inner = ethernet(BROADCAST, mac(3), 0x8100, &[0, 30, 0x08, 0]);
    assert!(lab.send_bytes(trunk_port, &inner, tag(20)).is_ok());
}

#[test]
fn s02_frames_cut_anywhere_are_decided_without_harm() {
    let mut lab = Lab::new();
    let guarded = lab.vm_with(1, |policy| (policy.dhcp_guard, policy.router_guard) = (true, true));
    lab.vm(2);
    let tags: Vec<u8> = [0x81, 0, 0, 7].repeat(16);
    let bytes = [&mac(2).0[..], &mac(1).0, &tags, &[8, 0]].concat();
    for end in 0..=bytes.len() {
        let reason = lab.send_bytes(guarded, &bytes[..end], None).unwrap_err();
        let expected = if end < 14 { DropReason::TooShort } else { DropReason::DoubleTagged };
        assert_eq!(reason, expected, "{end}");
    }
}

#[test]
fn s03_pause_frames_are_dropped_whoever_sends_them() {
    let mut lab = Lab::new();
    let ports = [(lab.external(), 9), (lab.internal(1), 1), (lab.vm(2), 2)];
    for (port, n) in ports {
        for destination in [MacAddr([1, 0x80, 0xc2, 0, 0, 1]), mac(3 - n % 3), BROADCAST] {
            let pause = ethernet(destination, mac(n), 0x8808, &[0, 1, 0xff, 0xff]);
            assert_eq!(lab.send_bytes(port, &pause, None), Err(DropReason::PauseFrame));
        }
    }
}

#[test]
fn s04_link_control_passes_between_wire_and_host_only() {
    let mut lab = Lab::new();
    let (external, host, vm) = (lab.external(), lab.internal(1), lab.vm(2));
    let untrusted = lab
        .switch
        .create_port(crate::PortParameters {
            kind: crate::PortType::Internal,
            untrusted_internal: true,
            ..crate::PortParameters::default()
        })
        .unwrap();
    let nic = crate::NicParameters {
        kind: crate::NicType::Internal,
        permanent_mac: mac(3),
        ..crate::NicParameters::default()
    };
    lab.switch.create_nic(untrusted, nic).unwrap();
    lab.switch.connect_nic(untrusted).unwrap();
    for last in 0..16 {
        let group = MacAddr([1, 0x80, 0xc2, 0, 0, last]);
        assert_eq!(lab.send(external, group, mac(9)), Ok(vec![host]));
        assert_eq!(lab.send(host, group, mac(1)), Ok(vec![external]));
        assert_eq!(lab.send(vm, group, mac(2)), Err(DropReason::LinkLocalControl));
        assert_eq!(lab.send(untrusted, group, mac(3)), Err(DropReason::LinkLocalControl));
    }
}

#[test]
fn s05_a_storm_is_held_to_the_limit() {
    let mut lab = Lab::new();
    let external = lab.external();
    let stormy = lab.vm_with(1, |policy| {
        policy.storm_limit = 1000;
        policy.security.allow_mac_spoofing = true;
    });
    let (peer, bridge) = (lab.vm(2), lab.bridge(3));
    let start = lab.now;
    let mut passed = 0;
    while lab.now < start + SECOND {
        lab.now += 100;
        let destination = [BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1]), mac(77)][passed % 3];
        match lab.send(stormy, destination, mac(1)) {
            Ok(_) => passed += 1,
            Err(reason) => assert_eq!(reason, DropReason::StormLimit),
        }
    }
    assert!((1000..=1102).contains(&passed), "{passed}");
    // Who behaves is not held up, nor is unicast that is not flooded.
    assert_eq!(lab.send(stormy, mac(2), mac(1)), Ok(vec![peer]));
    assert_eq!(lab.send(peer, BROADCAST, mac(2)), Ok(vec![external, stormy, bridge]));
    lab.policy(bridge, |policy| policy.security.allow_mac_spoofing = false);
    assert_eq!(lab.send(stormy, mac(77), mac(1)), Ok(vec![external]), "one receiver is no flood");
}

#[test]
fn s06_random_source_addresses_use_up_nothing_of_others() {
    let mut lab = Lab::new();
    let external = lab.external();
    let attackers = [1, 2, 3].map(|n| lab.bridge(n));
    let (victim, vm) = (lab.bridge(4), lab.vm(5));
    let behind: Vec<MacAddr> = (0..100).map(|n| MacAddr([2, 0xbe, 0, 0, 0, n])).collect();
    for &station in &behind {
        lab.send(victim, mac(5), station).unwrap();
    }
    for n in 0..10_000u32 {
        let [_, a, b, c] = n.wrapping_mul(0x9e37_79b9).to_be_bytes();
        for (k, attacker) in (0..).zip(attackers) {
            lab.send(attacker, mac(5), MacAddr([6, k, a, b, c, 1])).unwrap();
        }
        lab.now += 10;
    }
    assert!(lab.state.learning().len() <= 3 * 256 + 100);
    assert!(lab.state.learning().len() <= MAX_LEARNED);
    for &station in &behind {
        assert_eq!(lab.send(vm, station, mac(5)), Ok(vec![victim]));
    }
    assert_eq!(lab.send(external, mac(5), mac(99)), Ok(vec![vm]));
    assert_eq!(lab.send(vm, mac(99), mac(5)), Ok(vec![external]), "the wire has its own share");
}

#[test]
fn s06_a_port_of_the_same_number_inherits_nothing() {
    let mut lab = Lab::new();
    let (vm, bridge) = (lab.vm(1), lab.bridge(2));
    lab.send(bridge, mac(1), mac(9)).unwrap();
    assert_eq!(lab.send(vm, mac(9), mac(1)), Ok(vec![bridge]));
    lab.switch.disconnect_nic(bridge).unwrap();
    lab.switch.delete_nic(bridge).unwrap();
    lab.switch.tear_down_port(bridge).unwrap();
    lab.switch.delete_port(bridge).unwrap();
    let again = lab.bridge(3);
    assert_eq!(again, bridge);
    let other = lab.bridge(4);
    assert_eq!(lab.send(vm, mac(9), mac(1)), Ok(vec![again, other]), "unknown again");
}

#[test]
fn s10_a_guest_that_bridges_its_ports_makes_no_loop() {
    let mut lab = Lab::new();
    let external = lab.external();
    let (left, right, vm) = (lab.bridge(1), lab.bridge(2), lab.vm(3));
    // What it got on one port it sends out of the other.
    assert_eq!(lab.send(vm, BROADCAST, mac(3)), Ok(vec![external, left, right]));
    for port in [left, right] {
        assert_eq!(lab.send(port, BROADCAST, mac(3)), Err(DropReason::SourceMacElsewhere));
    }
    assert_eq!(lab.send(external, BROADCAST, mac(9)), Ok(vec![left, right, vm]));
    for port in [left, right] {
        assert_eq!(lab.send(port, BROADCAST, mac(9)), Err(DropReason::MacMovedTooSoon));
    }
    // The wire is heard in any case.
    assert_eq!(lab.send(external, mac(3), mac(9)), Ok(vec![vm]));
}

#[test]
fn s07_a_vm_cannot_take_the_address_of_another() {
    let mut lab = Lab::new();
    let (vm, thief) = (lab.vm(1), lab.bridge(2));
    let changes = crate::NicChanges { vm_mac: Some(mac(1)), ..crate::NicChanges::default() };
    let refused = lab.switch.update_nic(thief, changes).unwrap_err();
    assert_eq!(refused, crate::SwitchError::MacInUse { mac: mac(1), port: vm });
    let third = lab.vm(3);
    assert_eq!(lab.send(third, mac(1), mac(3)), Ok(vec![vm]));
}

#[test]
fn ports_that_do_not_exist_send_nothing() {
    let mut lab = Lab::new();
    lab.vm(1);
    for port in [PortId::NONE, PortId(2), PortId(1024), PortId(1025), PortId(u32::MAX)] {
        assert_eq!(lab.send(port, mac(1), mac(2)), Err(DropReason::PortInactive));
        assert_eq!(lab.path.weight(port), 0);
        assert_eq!(lab.path.bandwidth_wait(&lab.state, port, 0), None);
        let news = crate::Learned { mac: mac(9), vlan: 0, port };
        lab.state.hear(&lab.path, news, 0);
    }
    assert!(lab.state.learning().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_headers_are_decided_without_harm(
        frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..160), 0..4usize), 1..8),
    ) {
        let mut lab = Lab::new();
        lab.external();
        let port = lab.vm_with(1, |policy| {
            policy.security.allow_mac_spoofing = true;
            (policy.dhcp_guard, policy.router_guard) = (true, true);
            let allow = AclRule::any(Direction::Outbound, AclAction::Allow);
            policy.acl.rules = vec![AclRule { protocol: Some(17), stateful: true, ..allow }];
        });
        for (mut bytes, kind) in frames {
            if let Some(field) = bytes.get_mut(12..14) {
                field.copy_from_slice(&[[8, 0], [0x86, 0xdd], [0x81, 0], [0, 9]][kind]);
            }
            let packet = Packet::described(port, &bytes, None);
            let decided = lab.decide(&packet);
            prop_assert_eq!(decided.is_ok(), !lab.out.is_empty());
            // Once more it is decided alike: what was learned or remembered does not turn against it.
            prop_assert_eq!(lab.decide(&packet), decided);
        }
    }
}
