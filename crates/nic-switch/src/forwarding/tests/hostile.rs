//! Rows of `spec/hostile.md`, group S.

use ethernet::{MacAddr, McFilterType, VlanTag, ethertype, multicast_hash};

use super::{PHYSICAL, WIRE, broadcast, frame, group, multicast, on, three_vfs, to, vid};
use crate::testing::{Lab, mac, test};
use crate::{
    BumPath, Deliveries, DropReason, Egress, FilterId, Ingress, PortSecurity, VPortId, VlanSet, VlanTest,
};

/// Everything that the stack can allow a guest.
fn allow_everything(security: &mut PortSecurity) {
    *security = PortSecurity {
        mac_spoof_check: false,
        vlan_check: false,
        trusted: true,
        allowed_vlans: VlanSet::all(),
        accept_bum: true,
        ..PortSecurity::default()
    };
}

#[test]
fn s01_a_source_address_that_is_not_the_vports() {
    let mut lab = three_vfs();
    for stranger in [2, 3, 100] {
        assert_eq!(lab.decide(frame(on(1), stranger, 2)), Err(DropReason::SourceMacSpoofed));
        assert_eq!(lab.decide(broadcast(on(1), stranger)), Err(DropReason::SourceMacSpoofed));
    }
    lab.secure(1, allow_everything);
    for from in [on(0), on(1), WIRE] {
        for source in [MacAddr::ZERO, MacAddr::BROADCAST, multicast(1)] {
            let ingress = Ingress { source, ..frame(from, 0, 2) };
            assert_eq!(lab.decide(ingress), Err(DropReason::SourceMacInvalid), "{ingress:?}");
        }
    }
}

#[test]
fn s02_vlan_tags_of_an_untagged_vport() {
    let lab = three_vfs();
    let with = |tag: Option<VlanTag>, ethertype| Ingress { tag, ethertype, ..frame(on(1), 1, 2) };
    let cases = [
        (with(None, 0x0800), Ok(vec![(to(2), None)])),
        (with(vid(0), 0x0800), Ok(vec![(to(2), vid(0))])),
        (with(vid(5), 0x0800), Err(DropReason::VlanNotAllowed)),
        (with(vid(4095), 0x0800), Err(DropReason::ReservedVlan)),
        (with(vid(4095), 0x8100), Err(DropReason::ReservedVlan)),
        (with(vid(0), 0x8100), Err(DropReason::DoubleTagged)),
        (with(vid(5), 0x8100), Err(DropReason::DoubleTagged)),
        (with(vid(0), 0x88a8), Err(DropReason::DoubleTagged)),
        (with(None, 0x8100), Err(DropReason::DoubleTagged)),
        (with(None, 0x88a8), Err(DropReason::DoubleTagged)),
        (with(None, 0x9100), Err(DropReason::DoubleTagged)),
        (with(None, 0x9200), Err(DropReason::DoubleTagged)),
        (with(None, 0x9300), Err(DropReason::DoubleTagged)),
    ];
    for (ingress, expected) in cases {
        assert_eq!(lab.decide(ingress), expected, "{ingress:?}");
    }
}

#[test]
fn s02_a_second_tag_does_not_leave_an_access_vlan() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5))]);
    for tag in [None, vid(0), vid(5)] {
        for ethertype in [0x8100, 0x88a8, 0x9100] {
            let ingress = Ingress { tag, ethertype, ..frame(on(1), 1, 100) };
            assert_eq!(lab.decide(ingress), Err(DropReason::DoubleTagged), "{ingress:?}");
        }
    }
}

#[test]
fn s02_a_tag_that_the_switch_cannot_judge_does_not_pass_a_trunk() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Any)]);
    lab.vf(2, &[test(2, VlanTest::Any)]);
    lab.secure(1, |security| security.allowed_vlans = VlanSet::all());
    let with = |tag, ethertype| Ingress { tag, ethertype, ..frame(on(1), 1, 100) };
    for tag in [None, vid(0)] {
        assert_eq!(lab.decide(with(tag, 0x88a8)), Err(DropReason::VlanNotAllowed));
    }
    assert_eq!(lab.decide(with(vid(5), 0x8100)), Ok(vec![(to(0), vid(5)), (PHYSICAL, vid(5))]));
    assert_eq!(lab.decide(with(vid(4095), 0x0800)), Err(DropReason::ReservedVlan));

    // From the wire it reaches no guest, however much that guest is allowed.
    lab.secure(2, allow_everything);
    lab.receive(2, |mode| (mode.vlans, mode.promiscuous) = (VlanSet::all(), true));
    for ingress in [frame(WIRE, 100, 2), broadcast(WIRE, 100), frame(WIRE, 100, 101)] {
        let tagged = Ingress { ethertype: ethertype::SERVICE_VLAN, ..ingress };
        assert_eq!(lab.receivers(tagged), Ok(vec![to(0)]), "{tagged:?}");
    }
}

#[test]
fn s02_vlan_4095_is_dropped_from_everywhere() {
    let mut lab = three_vfs();
    lab.secure(1, allow_everything);
    for from in [on(0), on(1), WIRE] {
        assert_eq!(lab.decide(broadcast(from, 1).in_vlan(4095)), Err(DropReason::ReservedVlan));
    }
}

#[test]
fn s03_pause_and_pfc_are_dropped_whatever_is_allowed() {
    let mut lab = three_vfs();
    lab.secure(1, allow_everything);
    let pause = MacAddr([1, 0x80, 0xc2, 0, 0, 1]);
    for from in [on(1), on(2), on(0), WIRE] {
        for destination in [pause, mac(3), MacAddr::BROADCAST] {
            let source = if from == on(2) { 2 } else { 1 };
            let ingress = Ingress { ethertype: ethertype::MAC_CONTROL, ..group(from, source, destination) };
            assert_eq!(lab.decide(ingress), Err(DropReason::PauseFrame), "{ingress:?}");
            let tagged = ingress.in_vlan(5);
            assert_eq!(lab.decide(tagged), Err(DropReason::PauseFrame), "{tagged:?}");
        }
    }
    assert_eq!(
        lab.decide(group(on(1), 1, pause)),
        Err(DropReason::LinkLocalControl),
        "under another EtherType"
    );
}

#[test]
fn s04_stp_lacp_lldp_and_the_like_from_a_guest_are_dropped() {
    let mut lab = three_vfs();
    lab.secure(1, allow_everything);
    lab.pf_vport(4, &[test(4, VlanTest::Any)]);
    lab.activate(4);
    for last in 0..16 {
        let reserved = MacAddr([1, 0x80, 0xc2, 0, 0, last]);
        for (vport, ethertype) in
            [(1_u8, 0x0027), (1, ethertype::SLOW_PROTOCOLS), (2, ethertype::LLDP), (4, 0x888e)]
        {
            let ingress = Ingress { ethertype, ..group(on(vport.into()), vport, reserved) };
            assert_eq!(lab.decide(ingress), Err(DropReason::LinkLocalControl), "{ingress:?}");
        }
    }
    let ordinary = MacAddr([1, 0x80, 0xc2, 0, 0, 16]);
    assert!(lab.decide(group(on(1), 1, ordinary)).is_ok());
}

#[test]
fn s05_a_storm_costs_one_copy_per_receiver_and_no_memory() {
    let mut lab = three_vfs();
    for n in 1..4 {
        lab.receive(n, |mode| mode.all_multicast = true);
    }
    let forwarding = lab.switch.snapshot(true);
    let mut out = Deliveries::for_adapter(lab.switch.capabilities());
    let room = out.as_ptr();
    for n in 0..10_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let storm = match n % 3 {
            0 => broadcast(on(1), 1),
            1 => group(on(1), 1, MacAddr([1, 0, 0x5e, a, b, c])),
            _ => Ingress { destination: MacAddr([6, 0, 0, a, b, c]), ..frame(on(1), 1, 0) },
        };
        assert_eq!(forwarding.decide(&storm, &mut out), Ok(()));
        let expected = if n % 3 == 2 { vec![to(0), PHYSICAL] } else { vec![to(2), to(3), to(0), PHYSICAL] };
        assert!(out.iter().map(|delivery| delivery.to).eq(expected));
        assert_eq!(out.as_ptr(), room);
    }
}

#[test]
fn s06_random_source_addresses_teach_the_switch_nothing() {
    let lab = three_vfs();
    let forwarding = lab.switch.snapshot(true);
    let mut out = Deliveries::for_adapter(lab.switch.capabilities());
    for n in 0..100_000_u32 {
        let [a, b, c, d] = n.wrapping_mul(0x9e37_79b9).to_be_bytes();
        let stranger = MacAddr([6, 1, a, b, c, d]);
        let sent = Ingress { source: stranger, ..frame(on(1), 0, 2) };
        assert_eq!(forwarding.decide(&sent, &mut out), Err(DropReason::SourceMacSpoofed));
        let back = Ingress { destination: stranger, ..frame(on(2), 2, 0) };
        assert_eq!(forwarding.decide(&back, &mut out), Ok(()));
        assert!(out.iter().map(|delivery| delivery.to).eq([to(0), PHYSICAL]));
    }
    assert_eq!(forwarding.generation(), lab.switch.generation());
}

#[test]
fn s07_a_grant_for_another_vports_address_or_vlan_has_no_effect() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Any)]);
    lab.vf(2, &[test(2, VlanTest::Id(5))]);
    lab.secure(1, |security| security.allowed_vlans = VlanSet::of([7]).unwrap());
    lab.receive(1, |mode| mode.vlans = VlanSet::all());
    assert_eq!(lab.decide(frame(on(1), 1, 100).in_vlan(5)), Err(DropReason::VlanNotAllowed));
    for ingress in [frame(WIRE, 100, 1).in_vlan(5), broadcast(WIRE, 100).in_vlan(5)] {
        assert!(!lab.receivers(ingress).unwrap().contains(&to(1)), "{ingress:?}");
    }
    // What was granted while it was free does not outlive a filter that the stack sets elsewhere.
    lab.secure(1, allow_everything);
    lab.receive(1, |mode| mode.unicast = vec![mac(8)]);
    assert_eq!(lab.receivers(frame(WIRE, 100, 8)), Ok(vec![to(1)]));
    lab.filters(2, &[test(8, VlanTest::UntaggedOrZero)]);
    assert_eq!(lab.receivers(frame(WIRE, 100, 8)), Ok(vec![to(2)]));
}

#[test]
fn s10_a_guest_that_bridges_its_two_vports_makes_no_loop() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::UntaggedOrZero)]);
    lab.vf(2, &[test(2, VlanTest::UntaggedOrZero)]);
    assert_eq!(lab.receivers(broadcast(WIRE, 100)), Ok(vec![to(1), to(2), to(0)]));
    // The bridge sends on either VPort what it received on the other, and its own as well.
    for (vport, source) in [(1, 100), (2, 100), (1, 2), (2, 1)] {
        assert_eq!(lab.decide(broadcast(on(vport), source)), Err(DropReason::SourceMacSpoofed));
    }
    // Without the spoof check a frame still never returns to the VPort that sends it, nor to its source's.
    for vport in [1, 2] {
        lab.secure(vport, |security| security.mac_spoof_check = false);
    }
    assert_eq!(lab.receivers(broadcast(on(1), 2)), Ok(vec![to(0), PHYSICAL]));
    assert_eq!(lab.receivers(broadcast(on(2), 1)), Ok(vec![to(0), PHYSICAL]));
}

/// One adapter with station 1: its VF's VPort is 1, its synthetic adapter stands behind the default VPort.
fn one_guest(bum_path: BumPath) -> Lab {
    let mut lab = Lab::new();
    lab.vf(1, &[]);
    lab.vf(2, &[test(2, VlanTest::Id(5))]);
    lab.filters(0, &[test(1, VlanTest::Id(5))]);
    lab.secure(1, |security| security.bum_path = bum_path);
    lab
}

#[test]
fn s11_with_both_paths_up_a_guest_gets_one_copy_before_and_after_the_move() {
    let filter = FilterId(2);
    let arrivals = [frame(WIRE, 100, 1).in_vlan(5), frame(on(2), 2, 1), frame(on(0), 9, 1).in_vlan(5)];
    for bum_path in [BumPath::Vf, BumPath::Synthetic] {
        let mut lab = one_guest(bum_path);
        let copies = |lab: &Lab, ingress: Ingress| {
            let receivers = lab.receivers(ingress).unwrap_or_default();
            receivers.iter().filter(|egress| **egress == to(1)).count()
        };
        for (on_vf, from, destination) in [(true, 0, 1), (false, 1, 0), (true, 0, 1)] {
            lab.switch.move_filter(filter, VPortId(from), VPortId(destination)).unwrap();
            for ingress in arrivals {
                let by_synthetic = ingress.from != on(0);
                let expected = match (on_vf, by_synthetic) {
                    (true, _) => Ok(vec![to(1)]),
                    (false, true) => Ok(vec![to(0)]),
                    (false, false) => Err(DropReason::Hairpin),
                };
                assert_eq!(lab.receivers(ingress), expected, "{ingress:?}");
            }
            let flooded = usize::from(on_vf && bum_path == BumPath::Vf);
            assert_eq!(copies(&lab, broadcast(WIRE, 100).in_vlan(5)), flooded);
            assert_eq!(copies(&lab, broadcast(on(2), 2)), flooded);
        }
    }
}

#[test]
fn s11_a_guest_never_gets_its_own_frame_back_from_its_other_path_or_the_wire() {
    let mut lab = one_guest(BumPath::Vf);
    lab.secure(1, |security| security.trusted = true);
    lab.receive(1, |mode| (mode.all_multicast, mode.promiscuous) = (true, true));
    lab.switch.move_filter(FilterId(2), VPortId::DEFAULT, VPortId(1)).unwrap();
    let solicitation = group(on(0), 1, MacAddr([0x33, 0x33, 0xff, 0, 0, 1]));
    for from in [on(0), WIRE] {
        for ingress in [solicitation, broadcast(from, 1), frame(from, 1, 100), frame(from, 1, 1)] {
            let ingress = Ingress { from, ..ingress }.in_vlan(5);
            let receivers = lab.receivers(ingress).unwrap_or_default();
            assert!(!receivers.contains(&Egress::VPort(VPortId(1))), "{ingress:?}: {receivers:?}");
        }
    }
    assert_eq!(lab.receivers(broadcast(on(0), 1).in_vlan(5)), Ok(vec![to(2), PHYSICAL]), "others do get it");
}

#[test]
fn multicast_hashes_that_collide_are_accepted_together() {
    let mut lab = three_vfs();
    let (one, other) = (MacAddr([1, 0, 0x5e, 0, 0, 0x12]), MacAddr([1, 0, 0x5e, 9, 0, 0x12]));
    let hash = multicast_hash(one, McFilterType::Bits47To36);
    lab.receive(1, |mode| mode.multicast.insert(hash).unwrap());
    assert_eq!(lab.receivers(group(WIRE, 100, other)), Ok(vec![to(1), to(0)]));
}
