//! The forwarding rules of `spec/ndis.md` D and H, each by its number.

use ethernet::{MacAddr, McFilterType, VlanTag, multicast_hash};

use super::{Outcome, PHYSICAL, WIRE, broadcast, frame, group, multicast, on, three_vfs, to, vid};
use crate::testing::{Lab, mac, test};
use crate::{
    BumPath, DropReason, Forwarding, FunctionId, LinkState, MulticastTable, VPortId, VlanSet, VlanTest,
};

#[test]
fn forwarding_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Forwarding>();
}

#[test]
fn every_drop_reason_has_its_own_name_and_place() {
    for (index, reason) in DropReason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), index);
        assert_eq!(reason.to_string(), reason.as_str());
        let namesakes = DropReason::ALL.iter().filter(|other| other.as_str() == reason.as_str());
        assert_eq!(namesakes.count(), 1, "{reason}");
    }
}

/// The matrix of D.2: S is station 9 with its filter on the default VPort, V are 1 and 2, X is 100, H is 200.
#[test]
fn d2_matrix() {
    let mut lab = three_vfs();
    lab.filters(0, &[test(9, VlanTest::UntaggedOrZero)]);
    let cases = [
        ("S to V", frame(on(0), 9, 1), vec![to(1)]),
        ("S to X", frame(on(0), 9, 100), vec![PHYSICAL]),
        ("V to S", frame(on(1), 1, 9), vec![to(0)]),
        ("V to V", frame(on(1), 1, 2), vec![to(2)]),
        ("V to X or H", frame(on(1), 1, 100), vec![to(0), PHYSICAL]),
        ("X to S", frame(WIRE, 100, 9), vec![to(0)]),
        ("X to V", frame(WIRE, 100, 2), vec![to(2)]),
        ("X to H", frame(WIRE, 100, 200), vec![to(0)]),
        ("H to V", frame(on(0), 200, 1), vec![to(1)]),
    ];
    for (name, ingress, expected) in cases {
        assert_eq!(lab.receivers(ingress), Ok(expected), "{name}");
    }
}

#[test]
fn d2_vfs_of_different_vlans_do_not_meet() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5))]);
    lab.vf(2, &[test(2, VlanTest::Id(7))]);
    lab.vf(3, &[test(3, VlanTest::Id(5))]);
    assert_eq!(lab.decide(frame(on(1), 1, 2)), Ok(vec![(to(0), vid(5)), (PHYSICAL, vid(5))]));
    assert_eq!(lab.decide(frame(on(1), 1, 3)), Ok(vec![(to(3), None)]));
    assert_eq!(lab.decide(broadcast(on(1), 1)), Ok(vec![(to(3), None), (to(0), vid(5)), (PHYSICAL, vid(5))]));
}

#[test]
fn d1_the_same_address_in_two_vlans_is_two_stations() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5))]);
    lab.vf(2, &[test(1, VlanTest::Id(7))]);
    assert_eq!(lab.decide(frame(WIRE, 100, 1).in_vlan(5)), Ok(vec![(to(1), None)]));
    assert_eq!(lab.decide(frame(WIRE, 100, 1).in_vlan(7)), Ok(vec![(to(2), None)]));
    assert_eq!(lab.decide(frame(WIRE, 100, 1)), Ok(vec![(to(0), None)]));
}

#[test]
fn d1_a_filter_for_one_vlan_comes_before_one_for_any() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5))]);
    lab.filters(0, &[test(1, VlanTest::Any)]);
    assert_eq!(lab.decide(frame(WIRE, 100, 1).in_vlan(5)), Ok(vec![(to(1), None)]));
    assert_eq!(lab.decide(frame(WIRE, 100, 1).in_vlan(7)), Ok(vec![(to(0), vid(7))]));
}

#[test]
fn d1_without_physical_port_the_rest_goes_to_the_default_vport_only() {
    let lab = three_vfs();
    assert_eq!(lab.decide_with(false, frame(on(1), 1, 100)), Ok(vec![(to(0), None)]));
    assert_eq!(lab.decide_with(false, frame(on(0), 100, 101)), Err(DropReason::NoDestination));
    assert_eq!(Lab::new().decide_with(false, broadcast(on(0), 100)), Err(DropReason::NoDestination));
}

#[test]
fn h07_unmatched_frames_go_to_the_default_vport() {
    let lab = three_vfs();
    assert_eq!(lab.receivers(frame(WIRE, 100, 101)), Ok(vec![to(0)]));
    assert_eq!(lab.receivers(frame(WIRE, 100, 1).in_vlan(5)), Ok(vec![to(0)]));
}

#[test]
fn h08_silence_before_the_first_filter_and_after_the_last() {
    let mut lab = Lab::new();
    lab.vf(1, &[]);
    lab.vf(2, &[test(2, VlanTest::UntaggedOrZero)]);
    lab.secure(1, |security| (security.trusted, security.mac_spoof_check) = (true, false));
    lab.receive(1, |mode| {
        mode.unicast = vec![mac(7)];
        (mode.promiscuous, mode.all_multicast) = (true, true);
    });
    let silent = |lab: &Lab| {
        for ingress in [frame(WIRE, 100, 7), frame(WIRE, 100, 101), broadcast(on(2), 2)] {
            assert!(!lab.receivers(ingress).unwrap().contains(&to(1)), "{ingress:?}");
        }
        assert_eq!(lab.decide(frame(on(1), 7, 100)), Err(DropReason::NoFilter));
    };
    silent(&lab);
    let filter = lab.filter(1, test(1, VlanTest::UntaggedOrZero)).unwrap();
    assert_eq!(lab.receivers(frame(WIRE, 100, 7)), Ok(vec![to(1)]));
    lab.switch.clear_filter(filter).unwrap();
    silent(&lab);
}

#[test]
fn while_its_filter_stands_elsewhere_a_vport_sends_as_its_adapter_and_receives_nothing() {
    let mut lab = Lab::new();
    lab.vf(1, &[]);
    lab.vf(2, &[test(2, VlanTest::Id(5))]);
    lab.secure(1, |security| security.sends_as = Some(test(1, VlanTest::Id(5))));
    assert_eq!(lab.receivers(frame(on(1), 1, 2)), Ok(vec![to(2)]));
    assert_eq!(lab.decide(frame(on(1), 7, 2)), Err(DropReason::SourceMacSpoofed));
    for ingress in [frame(on(2), 2, 1), broadcast(on(2), 2)] {
        assert!(!lab.receivers(ingress).unwrap().contains(&to(1)), "{ingress:?}");
    }
    lab.filter(1, test(1, VlanTest::Id(6))).unwrap();
    assert!(!lab.receivers(frame(on(1), 1, 2)).unwrap().contains(&to(2)), "its filter counts");
}

#[test]
fn h08_dead_ids_on_transmit_become_the_default_vport_for_the_pf_and_nothing_for_a_vf() {
    let mut lab = three_vfs();
    lab.pf_vport(4, &[]);
    lab.pf_vport(5, &[]);
    lab.activate(5);
    let forwarding = lab.switch.snapshot(true);
    for (wanted, taken) in [(0, 0), (1, 0), (4, 0), (5, 5), (6, 0), (u32::MAX, 0)] {
        assert_eq!(forwarding.pf_transmit_vport(VPortId(wanted)), VPortId(taken), "{wanted}");
    }
    for dead in [4, 6, 7, 8, u32::MAX] {
        assert_eq!(lab.decide(frame(on(dead), 1, 2)), Err(DropReason::VPortInactive));
    }
}

#[test]
fn h05_a_deactivated_vport_neither_sends_nor_receives() {
    let mut lab = three_vfs();
    lab.pf_vport(4, &[test(4, VlanTest::UntaggedOrZero)]);
    assert_eq!(lab.decide(frame(WIRE, 100, 4)), Err(DropReason::VPortInactive));
    assert_eq!(lab.decide(frame(on(4), 4, 1)), Err(DropReason::VPortInactive));
    lab.activate(4);
    assert_eq!(lab.receivers(frame(WIRE, 100, 4)), Ok(vec![to(4)]));
    assert_eq!(lab.receivers(frame(on(4), 4, 1)), Ok(vec![to(1)]));
}

#[test]
fn a_disabled_link_neither_sends_nor_receives() {
    let mut lab = three_vfs();
    for (link, up) in [(LinkState::Disable, false), (LinkState::Enable, true), (LinkState::Auto, true)] {
        lab.secure(1, |security| security.link = link);
        let outcome = |ingress| lab.receivers(ingress).map(drop);
        let expected = if up { Ok(()) } else { Err(DropReason::LinkDown) };
        assert_eq!(outcome(frame(WIRE, 100, 1)), expected);
        assert_eq!(outcome(frame(on(1), 1, 2)), expected);
        assert_eq!(lab.receivers(broadcast(WIRE, 100)).unwrap().contains(&to(1)), up);
    }
}

#[test]
fn d3_a_source_vport_is_never_a_destination() {
    let mut lab = three_vfs();
    lab.filters(1, &[test(4, VlanTest::UntaggedOrZero)]);
    assert_eq!(lab.decide(frame(on(1), 1, 4)), Err(DropReason::Hairpin));
    assert_eq!(lab.decide(frame(on(1), 1, 1)), Err(DropReason::Hairpin));
    lab.filters(0, &[test(9, VlanTest::Any)]);
    assert_eq!(lab.decide(frame(on(0), 8, 9)), Err(DropReason::Hairpin));
}

#[test]
fn d3_unknown_unicast_of_a_vf_never_goes_to_other_vfs() {
    let mut lab = three_vfs();
    lab.receive(2, |mode| (mode.promiscuous, mode.all_multicast) = (true, true));
    lab.secure(3, |security| security.accept_bum = true);
    assert_eq!(lab.receivers(frame(on(1), 1, 100)), Ok(vec![to(0), PHYSICAL]));
}

#[test]
fn h09_broadcast_reaches_each_receiver_once_and_never_the_sender() {
    let mut lab = three_vfs();
    lab.pf_vport(4, &[test(4, VlanTest::UntaggedOrZero)]);
    lab.activate(4);
    lab.receive(3, |mode| mode.broadcast = false);
    assert_eq!(lab.receivers(broadcast(on(1), 1)), Ok(vec![to(2), to(0), PHYSICAL]));
    assert_eq!(lab.receivers(broadcast(WIRE, 100)), Ok(vec![to(1), to(2), to(0)]));
    assert_eq!(lab.receivers(broadcast(on(0), 100)), Ok(vec![to(1), to(2), PHYSICAL]));
}

#[test]
fn h09_multicast_reaches_those_who_asked() {
    let mut lab = three_vfs();
    let wanted = multicast_hash(multicast(0x10), McFilterType::Bits47To36);
    lab.receive(1, |mode| mode.multicast = MulticastTable::of([wanted]).unwrap());
    lab.receive(2, |mode| mode.all_multicast = true);
    assert_eq!(lab.receivers(group(WIRE, 100, multicast(0x10))), Ok(vec![to(1), to(2), to(0)]));
    assert_eq!(lab.receivers(group(WIRE, 100, multicast(0x20))), Ok(vec![to(2), to(0)]));
    assert_eq!(lab.receivers(group(on(2), 2, multicast(0x20))), Ok(vec![to(0), PHYSICAL]));
    lab.secure(3, |security| security.accept_bum = true);
    assert_eq!(lab.receivers(group(WIRE, 100, multicast(0x20))), Ok(vec![to(2), to(3), to(0)]));
}

#[test]
fn h09_with_the_synthetic_path_a_vf_gets_unicast_only() {
    let mut lab = three_vfs();
    lab.secure(1, |security| {
        security.bum_path = BumPath::Synthetic;
        security.trusted = true;
    });
    lab.receive(1, |mode| (mode.all_multicast, mode.promiscuous) = (true, true));
    assert_eq!(lab.receivers(broadcast(WIRE, 100)), Ok(vec![to(2), to(3), to(0)]));
    assert_eq!(lab.receivers(group(WIRE, 100, multicast(1))), Ok(vec![to(0)]));
    assert_eq!(lab.receivers(frame(WIRE, 100, 101)), Ok(vec![to(0)]));
    assert_eq!(lab.receivers(frame(WIRE, 100, 1)), Ok(vec![to(1)]));
}

#[test]
fn d6_a_promiscuous_vf_sees_what_is_flooded_in_its_vlan_and_nothing_that_is_anothers() {
    let mut lab = three_vfs();
    lab.receive(1, |mode| mode.promiscuous = true);
    assert_eq!(lab.receivers(frame(WIRE, 100, 101)), Ok(vec![to(0)]), "granted, but not trusted");
    lab.secure(1, |security| security.trusted = true);
    assert_eq!(lab.receivers(frame(WIRE, 100, 101)), Ok(vec![to(1), to(0)]));
    assert_eq!(lab.receivers(frame(on(2), 2, 101)), Ok(vec![to(1), to(0), PHYSICAL]));
    assert_eq!(lab.receivers(group(WIRE, 100, multicast(1))), Ok(vec![to(1), to(0)]));
    assert_eq!(lab.receivers(frame(on(2), 2, 3)), Ok(vec![to(3)]));
    assert_eq!(lab.receivers(frame(WIRE, 100, 3)), Ok(vec![to(3)]));
    assert_eq!(lab.receivers(frame(WIRE, 100, 101).in_vlan(5)), Ok(vec![to(0)]));
}

#[test]
fn d5_a_trusted_vf_has_its_extra_addresses_in_its_first_filters_vlan() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5)), test(2, VlanTest::Id(7))]);
    lab.receive(1, |mode| mode.unicast = vec![mac(8), mac(8), mac(2)]);
    assert_eq!(lab.decide(frame(on(1), 8, 100)), Err(DropReason::SourceMacSpoofed));
    assert_eq!(lab.receivers(frame(WIRE, 100, 8).in_vlan(5)), Ok(vec![to(0)]));
    lab.secure(1, |security| security.trusted = true);
    assert_eq!(lab.decide(frame(on(1), 8, 100)), Ok(vec![(to(0), vid(5)), (PHYSICAL, vid(5))]));
    assert_eq!(lab.decide(frame(on(1), 2, 100)), Ok(vec![(to(0), vid(7)), (PHYSICAL, vid(7))]));
    assert_eq!(lab.decide(frame(WIRE, 100, 8).in_vlan(5)), Ok(vec![(to(1), None)]));
    assert_eq!(lab.receivers(frame(WIRE, 100, 8).in_vlan(7)), Ok(vec![to(0)]));
}

#[test]
fn d5_without_spoof_check_a_vf_sends_with_any_address_in_its_first_filters_vlan() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5))]);
    lab.secure(1, |security| security.mac_spoof_check = false);
    assert_eq!(lab.decide(frame(on(1), 77, 100)), Ok(vec![(to(0), vid(5)), (PHYSICAL, vid(5))]));
    assert_eq!(
        lab.receivers(frame(WIRE, 100, 77).in_vlan(5)),
        Ok(vec![to(0)]),
        "it receives no more for that"
    );
}

/// Who gets a frame of a VF to a station behind the physical port, as the wire sees it.
fn on_the_wire(outcome: Outcome) -> Result<Option<VlanTag>, DropReason> {
    outcome.map(|deliveries| deliveries.into_iter().find(|(to, _)| *to == PHYSICAL).expect("it goes out").1)
}

#[test]
fn h06_vlan_table_of_what_a_vf_may_send() {
    let sent = |vlan, tag: Option<VlanTag>| {
        let mut lab = Lab::new();
        lab.vf(1, &[test(1, vlan)]);
        lab.secure(1, |security| security.allowed_vlans = VlanSet::of([7]).unwrap());
        on_the_wire(lab.decide(super::Ingress { tag, ..frame(on(1), 1, 100) }))
    };
    let priority = Some(VlanTag::new(0, 6, true));
    let refused = Err(DropReason::VlanNotAllowed);

    assert_eq!(sent(VlanTest::Id(5), None), Ok(vid(5)));
    assert_eq!(sent(VlanTest::Id(5), priority), Ok(Some(VlanTag::new(5, 6, true))));
    assert_eq!(sent(VlanTest::Id(5), vid(5)), Ok(vid(5)));
    assert_eq!(sent(VlanTest::Id(5), vid(7)), refused);

    assert_eq!(sent(VlanTest::UntaggedOrZero, None), Ok(None));
    assert_eq!(sent(VlanTest::UntaggedOrZero, priority), Ok(priority));
    assert_eq!(sent(VlanTest::UntaggedOrZero, vid(7)), refused);

    assert_eq!(sent(VlanTest::Any, None), Ok(None));
    assert_eq!(sent(VlanTest::Any, priority), Ok(priority));
    assert_eq!(sent(VlanTest::Any, vid(7)), Ok(vid(7)));
    assert_eq!(sent(VlanTest::Any, vid(5)), refused);
}

#[test]
fn h06_vlan_table_of_what_a_vf_receives() {
    let received = |vlan, tag: Option<VlanTag>| {
        let mut lab = Lab::new();
        lab.vf(1, &[test(1, vlan)]);
        lab.secure(1, |security| security.allowed_vlans = VlanSet::of([7, 8]).unwrap());
        lab.receive(1, |mode| mode.vlans = VlanSet::of([5, 7]).unwrap());
        let mut copies = Vec::new();
        for ingress in [frame(WIRE, 100, 1), broadcast(WIRE, 100)] {
            let outcome = lab.decide(super::Ingress { tag, ..ingress }).unwrap();
            copies.push(outcome.into_iter().find(|(receiver, _)| *receiver == to(1)).map(|(_, tag)| tag));
        }
        assert_eq!(copies[0], copies[1], "a group is received in the VLANs of the station");
        copies[0]
    };
    let priority = Some(VlanTag::new(0, 6, false));

    for tag in [None, priority, vid(7)] {
        assert_eq!(received(VlanTest::Id(5), tag), None);
    }
    assert_eq!(received(VlanTest::Id(5), Some(VlanTag::new(5, 3, false))), Some(None));

    assert_eq!(received(VlanTest::UntaggedOrZero, None), Some(None));
    assert_eq!(received(VlanTest::UntaggedOrZero, priority), Some(priority));
    assert_eq!(received(VlanTest::UntaggedOrZero, vid(5)), None);

    assert_eq!(received(VlanTest::Any, None), Some(None));
    assert_eq!(received(VlanTest::Any, priority), Some(priority));
    assert_eq!(received(VlanTest::Any, vid(7)), Some(vid(7)));
    assert_eq!(received(VlanTest::Any, vid(5)), None, "asked for, but not allowed");
    assert_eq!(received(VlanTest::Any, vid(8)), None, "allowed, but not asked for");
}

#[test]
fn a_trunk_without_vlan_check_is_not_held_to_its_allowed_vlans() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Any)]);
    lab.receive(1, |mode| mode.vlans = VlanSet::of([9]).unwrap());
    lab.secure(1, |security| security.vlan_check = false);
    assert_eq!(on_the_wire(lab.decide(frame(on(1), 1, 100).in_vlan(9))), Ok(vid(9)));
    assert_eq!(lab.decide(frame(WIRE, 100, 1).in_vlan(9)), Ok(vec![(to(1), vid(9))]));
    assert_eq!(lab.receivers(frame(WIRE, 100, 1).in_vlan(8)), Ok(vec![to(0)]));
}

#[test]
fn a_trunk_that_cannot_ask_receives_every_allowed_vlan() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Any)]);
    lab.secure(1, |security| {
        security.accept_bum = true;
        security.allowed_vlans = VlanSet::of([5]).unwrap();
    });
    assert_eq!(lab.decide(frame(WIRE, 100, 1).in_vlan(5)), Ok(vec![(to(1), vid(5))]));
    assert_eq!(lab.receivers(frame(WIRE, 100, 1).in_vlan(7)), Ok(vec![to(0)]));
}

#[test]
fn a_vport_of_several_vlans_gets_a_group_once_in_each() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5)), test(2, VlanTest::UntaggedOrZero), test(3, VlanTest::Any)]);
    lab.secure(1, |security| security.allowed_vlans = VlanSet::of([5, 7]).unwrap());
    lab.receive(1, |mode| mode.vlans = VlanSet::of([5, 7]).unwrap());
    let copies = |vlan| lab.decide(broadcast(WIRE, 100).in_vlan(vlan)).unwrap();
    assert_eq!(copies(5), [(to(1), None), (to(0), vid(5))], "an access VLAN is hidden");
    assert_eq!(copies(7), [(to(1), vid(7)), (to(0), vid(7))]);
    assert_eq!(copies(0), [(to(1), vid(0)), (to(0), vid(0))]);
    assert_eq!(copies(9), [(to(0), vid(9))]);
}

#[test]
fn d4_the_default_vport_sees_every_tag() {
    let mut lab = Lab::new();
    lab.filters(0, &[test(1, VlanTest::Id(5)), test(2, VlanTest::Any)]);
    assert_eq!(lab.decide(frame(WIRE, 100, 1).in_vlan(5)), Ok(vec![(to(0), vid(5))]));
    assert_eq!(lab.decide(frame(WIRE, 100, 2).in_vlan(4094)), Ok(vec![(to(0), vid(4094))]));
    assert_eq!(lab.decide(frame(on(0), 1, 100).in_vlan(5)), Ok(vec![(PHYSICAL, vid(5))]));
}

#[test]
fn link_local_protocols_stay_between_the_wire_and_the_pf() {
    let lab = three_vfs();
    let lldp = MacAddr([1, 0x80, 0xc2, 0, 0, 0xe]);
    assert_eq!(lab.receivers(group(WIRE, 100, lldp)), Ok(vec![to(0)]));
    assert_eq!(lab.receivers(group(on(0), 100, lldp)), Ok(vec![PHYSICAL]));
    assert_eq!(lab.decide_with(false, group(on(0), 100, lldp)), Err(DropReason::NoDestination));
}

#[test]
fn a_nondefault_vport_of_the_pf_is_reached_by_its_filters_only() {
    let mut lab = three_vfs();
    lab.pf_vport(4, &[test(4, VlanTest::Id(5))]);
    lab.activate(4);
    assert_eq!(lab.switch.vport(VPortId(4)).unwrap().function(), FunctionId::Pf);
    assert_eq!(lab.decide(frame(WIRE, 100, 4).in_vlan(5)), Ok(vec![(to(4), None)]));
    assert_eq!(lab.receivers(broadcast(WIRE, 100).in_vlan(5)), Ok(vec![to(0)]));
    assert_eq!(lab.decide(frame(on(4), 1, 100)), Err(DropReason::SourceMacSpoofed));
}

/// Who sends: the wire, a VF, the default VPort. What: a match, broadcast, multicast, what nothing matches. The VPort has
/// been granted everything that a VF may be granted.
#[test]
fn c9_a_nondefault_vport_of_the_pf_in_the_role_of_a_vm_queue() {
    let mut lab = three_vfs();
    lab.pf_vport(4, &[test(4, VlanTest::UntaggedOrZero)]);
    lab.activate(4);
    lab.secure(4, |security| (security.trusted, security.accept_bum) = (true, true));
    lab.receive(4, |mode| (mode.promiscuous, mode.all_multicast, mode.broadcast) = (true, true, true));
    for (from, source) in [(WIRE, 100), (on(1), 1), (on(0), 100)] {
        assert_eq!(lab.receivers(frame(from, source, 4)), Ok(vec![to(4)]), "{from:?}");
        for flooded in [broadcast(from, source), group(from, source, multicast(1)), frame(from, source, 101)]
        {
            let receivers = lab.receivers(flooded).unwrap();
            assert!(!receivers.contains(&to(4)), "{flooded:?}: {receivers:?}");
            assert_eq!(receivers.contains(&to(0)), from != on(0), "{flooded:?}: {receivers:?}");
        }
    }
}
