//! Rules of `spec/ndis.md`, named after its sections.

use ethernet::{Gso, GsoKind, MacAddr, VlanTag};

use crate::testing::packets::{ethernet, ipv4, tcp};
use crate::testing::{Lab, SECOND, mac, tag, trunk, vlans};
use crate::{
    DropReason, Mirroring, NicParameters, Packet, PortParameters, PrivateRole, Suspension, VlanPolicy,
};

const BROADCAST: MacAddr = MacAddr::BROADCAST;

#[test]
fn e2_only_connected_nics_are_destinations() {
    let mut lab = Lab::new();
    let sender = lab.vm(1);
    let port = lab.switch.create_port(PortParameters::default()).unwrap();
    assert_eq!(lab.send(sender, BROADCAST, mac(1)), Err(DropReason::NoDestination));
    assert_eq!(lab.send(port, mac(1), mac(2)), Err(DropReason::PortInactive));
    let nic = NicParameters { permanent_mac: mac(2), ..NicParameters::default() };
    lab.switch.create_nic(port, nic).unwrap();
    assert_eq!(lab.send(sender, mac(2), mac(1)), Err(DropReason::NotConnected));
    assert_eq!(lab.send(port, mac(1), mac(2)), Ok(vec![sender]), "created: it sends already");
    lab.switch.connect_nic(port).unwrap();
    assert_eq!(lab.send(sender, mac(2), mac(1)), Ok(vec![port]));
    for suspension in [Suspension::Suspended, Suspension::LiveMigration] {
        lab.switch.suspend_nic(port, suspension).unwrap();
        assert_eq!(lab.send(sender, mac(2), mac(1)), Err(DropReason::NotConnected));
        assert_eq!(lab.send(sender, BROADCAST, mac(1)), Err(DropReason::NoDestination));
        assert_eq!(lab.send(port, mac(1), mac(2)), Err(DropReason::PortInactive));
        lab.switch.resume_nic(port).unwrap();
    }
    // Once disconnected, its VM may be on another host.
    lab.switch.disconnect_nic(port).unwrap();
    assert_eq!(lab.send(port, mac(1), mac(2)), Err(DropReason::PortInactive));
    let external = lab.external();
    assert_eq!(lab.send(sender, mac(2), mac(1)), Ok(vec![external]));
}

#[test]
fn e3_the_delivery_says_what_the_receiver_sees() {
    let mut lab = Lab::new();
    let external = lab.external();
    let access = lab.vm_in(1, VlanPolicy::Access(10));
    let trunk_port = lab.vm_in(2, trunk(10, &[20]));
    let priority = lab.vm_with(3, |policy| {
        policy.vlan = VlanPolicy::Access(10);
        policy.security.allow_ieee_priority_tag = true;
    });
    let reached = lab.send_tagged(access, BROADCAST, mac(1), Some(VlanTag::new(0, 5, true))).unwrap();
    assert_eq!(reached, [(external, tag(10)), (trunk_port, None), (priority, None)].into());
    let external_copy = lab.out.iter().find(|to| to.port == external).unwrap();
    assert!(external_copy.preserve_vlan && external_copy.preserve_priority);
    let reached = lab.send_tagged(priority, BROADCAST, mac(3), Some(VlanTag::new(0, 5, true))).unwrap();
    assert_eq!(reached[&external], Some(VlanTag::new(10, 5, true)));
    assert_eq!((reached[&access], reached[&trunk_port]), (None, None), "not asked for, not shown");
    let tagged = Some(VlanTag::new(10, 3, false));
    let reached = lab.send_tagged(external, BROADCAST, mac(9), tagged).unwrap();
    assert_eq!(reached[&priority], Some(VlanTag::new(0, 3, false)));
    assert_eq!(reached[&access], None);
    let in_20 = lab.send_tagged(external, BROADCAST, mac(9), Some(VlanTag::new(20, 3, false))).unwrap();
    assert_eq!(in_20, [(trunk_port, tag(20))].into());
}

#[test]
fn e5_access_ports_take_untagged_frames_only() {
    let mut lab = Lab::new();
    let access = lab.vm_in(1, VlanPolicy::Access(10));
    let peer = lab.vm_in(2, VlanPolicy::Access(10));
    let other = lab.vm_in(3, VlanPolicy::Access(11));
    assert_eq!(lab.send(access, mac(2), mac(1)), Ok(vec![peer]));
    assert_eq!(lab.send(access, mac(3), mac(1)), Err(DropReason::NoDestination));
    for vlan in [10, 11] {
        let sent = lab.send_tagged(access, mac(2), mac(1), tag(vlan));
        assert_eq!(sent, Err(DropReason::VlanNotAllowed));
    }
    assert_eq!(lab.send(other, BROADCAST, mac(3)), Err(DropReason::NoDestination));
}

#[test]
fn e5_private_vlans_keep_their_members_apart() {
    let private = |role| VlanPolicy::Private { primary: 100, role };
    let mut lab = Lab::new();
    let external = lab.external();
    let isolated = [1, 2].map(|n| lab.vm_in(n, private(PrivateRole::Isolated(101))));
    let community = [3, 4].map(|n| lab.vm_in(n, private(PrivateRole::Community(102))));
    let gate = lab.vm_in(5, private(PrivateRole::Promiscuous(vlans(&[101, 102]))));
    let half = lab.vm_in(6, private(PrivateRole::Promiscuous(vlans(&[101]))));
    let reached = |lab: &mut Lab, from, n| lab.send(from, BROADCAST, mac(n)).unwrap();
    assert_eq!(reached(&mut lab, isolated[0], 1), [external, gate, half]);
    assert_eq!(reached(&mut lab, community[0], 3), [external, community[1], gate]);
    assert_eq!(
        reached(&mut lab, gate, 5),
        [external, isolated[0], isolated[1], community[0], community[1], half]
    );
    assert_eq!(reached(&mut lab, half, 6), [external, isolated[0], isolated[1], gate]);
    // A known address is no way around.
    assert_eq!(lab.send(isolated[0], mac(2), mac(1)), Err(DropReason::EgressVlan));
    assert_eq!(lab.send(half, mac(3), mac(6)), Err(DropReason::EgressVlan));
    assert_eq!(lab.send(isolated[0], mac(5), mac(1)), Ok(vec![gate]));
    // The wire sees the secondary VLAN of hosts, the primary one of promiscuous ports.
    let sent = lab.send_tagged(isolated[0], BROADCAST, mac(1), None).unwrap();
    assert_eq!(sent[&external], tag(101));
    let sent = lab.send_tagged(gate, BROADCAST, mac(5), None).unwrap();
    assert_eq!(sent[&external], tag(100));
    let from_wire = lab.send_tagged(external, BROADCAST, mac(9), tag(101)).unwrap();
    assert_eq!(from_wire.into_keys().collect::<Vec<_>>(), [gate, half]);
}

#[test]
fn e5_mac_spoofing_is_forbidden_unless_allowed() {
    let mut lab = Lab::new();
    let external = lab.external();
    let honest = lab.vm(1);
    let free = lab.bridge(2);
    assert_eq!(lab.send(honest, mac(2), mac(9)), Err(DropReason::MacSpoofed));
    assert_eq!(lab.send(free, mac(1), mac(9)), Ok(vec![honest]));
    assert_eq!(lab.send(honest, mac(9), mac(1)), Ok(vec![free]), "learned");
    // Not even then with another's own address.
    assert_eq!(lab.send(free, mac(9), mac(1)), Err(DropReason::SourceMacElsewhere));
    assert_eq!(lab.send(honest, mac(8), mac(1)), Ok(vec![external, free]), "unknown: to where it may be");
}

#[test]
fn e5_a_team_shares_its_addresses() {
    let mut lab = Lab::new();
    let ports = [1, 2, 3].map(|n| {
        let port = lab.switch.create_port(PortParameters::default()).unwrap();
        lab.policy(port, |policy| policy.security.allow_teaming = n != 3);
        let nic = NicParameters { permanent_mac: mac(n), partition: "vm".into(), ..NicParameters::default() };
        lab.switch.create_nic(port, nic).unwrap();
        lab.switch.connect_nic(port).unwrap();
        port
    });
    let peer = lab.vm(4);
    assert_eq!(lab.send(ports[0], mac(4), mac(2)), Ok(vec![peer]));
    assert_eq!(lab.send(ports[0], mac(4), mac(3)), Err(DropReason::MacSpoofed));
    assert_eq!(lab.send(ports[2], mac(4), mac(1)), Err(DropReason::MacSpoofed));
    // The first takes the second's address over.
    assert_eq!(lab.send(peer, mac(2), mac(4)), Ok(vec![ports[1]]));
    let taken = crate::NicChanges { team_mac: Some(mac(2)), ..crate::NicChanges::default() };
    lab.switch.update_nic(ports[0], taken).unwrap();
    assert_eq!(lab.send(peer, mac(2), mac(4)), Ok(vec![ports[0]]));
}

#[test]
fn e5_mirrored_frames_reach_who_watches_once() {
    let mut lab = Lab::new();
    let watched = lab.vm_with(1, |policy| {
        policy.mirroring = Mirroring::Source;
        policy.vlan = VlanPolicy::Access(7);
    });
    let peer = lab.vm_in(2, VlanPolicy::Access(7));
    let third = lab.vm_in(3, VlanPolicy::Access(7));
    let monitor = lab.vm_with(4, |policy| policy.mirroring = Mirroring::Destination);
    let sent = lab.send_tagged(watched, mac(2), mac(1), None).unwrap();
    assert_eq!(sent, [(peer, None), (monitor, tag(7))].into(), "what it sends, with the VLAN");
    assert!(lab.out.iter().all(|to| to.mirror == (to.port == monitor)));
    assert_eq!(lab.send(peer, mac(1), mac(2)), Ok(vec![watched, monitor]), "what it receives");
    assert_eq!(lab.send(peer, mac(3), mac(2)), Ok(vec![third]), "not what others do");
    lab.policy(monitor, |policy| policy.vlan = VlanPolicy::Access(7));
    assert_eq!(lab.send(watched, BROADCAST, mac(1)), Ok(vec![peer, third, monitor]));
    assert!(lab.out.iter().all(|to| !to.mirror), "a receiver anyway");
    assert_eq!(lab.send(monitor, mac(1), mac(4)), Ok(vec![watched]), "not its own back");
}

#[test]
fn e5_the_maximum_bandwidth_is_kept() {
    let mut lab = Lab::new();
    let limited = lab.vm_with(1, |policy| {
        policy.bandwidth.maximum = Some(8_000_000);
        policy.bandwidth.weight = 40;
    });
    let peer = lab.vm(2);
    let mut octets = 0;
    let start = lab.now;
    while lab.now < start + SECOND {
        match lab.send(limited, mac(2), mac(1)) {
            Ok(reached) => {
                assert_eq!(reached, [peer]);
                octets += 60;
            }
            Err(reason) => {
                assert_eq!(reason, DropReason::Bandwidth);
                let wait = lab.path.bandwidth_wait(&lab.state, limited, lab.now).unwrap();
                assert!(wait > 0);
                lab.now += wait;
                assert_eq!(lab.path.bandwidth_wait(&lab.state, limited, lab.now), None);
            }
        }
    }
    // A million octets, a burst of a twentieth of that, and a frame.
    assert!((1_000_000..=1_050_120).contains(&octets), "{octets}");
    assert_eq!((lab.path.weight(limited), lab.path.weight(peer)), (40, 0));
    assert_eq!(lab.path.bandwidth_wait(&lab.state, peer, lab.now), None);
}

#[test]
fn e5_a_frame_that_is_cut_uses_as_much_bandwidth_as_its_segments() {
    // One octet takes one cycle.
    let limited = |policy: &mut crate::PortPolicy| policy.bandwidth.maximum = Some(8_000_000);
    let bytes = ethernet(mac(2), mac(1), 0x0800, &ipv4(1, 2, 6, 0, &tcp(1, 2)));
    let sent = |packets: &[(usize, Option<Gso>)]| {
        let mut lab = Lab::new();
        let (port, _) = (lab.vm_with(1, limited), lab.vm(2));
        for &(length, cut) in packets {
            lab.decide(&Packet { length, cut, ..Packet::described(port, &bytes, None) }).unwrap();
        }
        // What it may still send until it has to wait.
        let frames = (0..).take_while(|_| lab.send(port, mac(2), mac(1)).is_ok()).count();
        (frames, lab.path.bandwidth_wait(&lab.state, port, lab.now))
    };
    let cut = |mss| Some(Gso { kind: GsoKind::TcpV4, mss, header_len: 54 });
    let segments = [&[(54 + 1448, None); 20][..], &[(54 + 1000, None)]].concat();
    assert_eq!(sent(&[(54 + 20 * 1448 + 1000, cut(1448))]), sent(&segments));
    assert_eq!(sent(&[(54 + 100, cut(1))]), sent(&[(54 + 1, None); 100]));
    assert_eq!(sent(&[(54 + 100, cut(100))]), sent(&[(54 + 100, None)]));
}

#[test]
fn d2_hosts_and_vms_talk_through_the_switch() {
    let mut lab = Lab::new();
    let external = lab.external();
    let host = lab.internal(1);
    let vm = lab.vm(2);
    assert_eq!(lab.send(vm, mac(1), mac(2)), Ok(vec![host]));
    assert_eq!(lab.send(host, mac(2), mac(1)), Ok(vec![vm]));
    assert_eq!(lab.send(vm, mac(9), mac(2)), Ok(vec![external]));
    assert_eq!(lab.send(external, mac(2), mac(9)), Ok(vec![vm]));
    assert_eq!(lab.send(external, mac(8), mac(9)), Err(DropReason::NoDestination));
    assert_eq!(lab.send(external, BROADCAST, mac(9)), Ok(vec![host, vm]));
    assert_eq!(lab.send(vm, BROADCAST, mac(2)), Ok(vec![external, host]));
}

#[test]
fn a_static_address_is_known_without_learning() {
    let mut lab = Lab::new();
    let (one, two) = (lab.vm_in(1, VlanPolicy::Access(5)), lab.vm_in(2, VlanPolicy::Access(5)));
    lab.switch.set_static_address(5, mac(9), two).unwrap();
    assert_eq!(lab.send(one, mac(9), mac(1)), Ok(vec![two]));
    lab.policy(one, |policy| policy.security.allow_mac_spoofing = true);
    assert_eq!(lab.send(one, mac(2), mac(9)), Err(DropReason::SourceMacElsewhere));
    lab.switch.remove_static_address(5, mac(9)).unwrap();
    assert_eq!(lab.send(one, mac(2), mac(9)), Ok(vec![two]));
}

#[test]
fn workers_tell_each_other_what_they_learned() {
    let mut lab = Lab::new();
    let (bridge, peer, other) = (lab.bridge(1), lab.bridge(2), lab.vm(3));
    assert_eq!(lab.send(bridge, mac(3), mac(9)), Ok(vec![other]));
    let news: Vec<_> = lab.state.learning_mut().take_news().collect();
    let mut second = crate::State::new(SECOND, 3);
    std::mem::swap(&mut lab.state, &mut second);
    assert_eq!(lab.send(other, mac(9), mac(3)), Ok(vec![bridge, peer]), "unknown to the second");
    for learned in news {
        lab.state.hear(&lab.path, learned, lab.now);
        // What another says is held to the same rules.
        lab.state.hear(&lab.path, crate::Learned { port: other, mac: mac(10), vlan: 0 }, lab.now);
        lab.state.hear(&lab.path, crate::Learned { port: peer, mac: mac(3), vlan: 0 }, lab.now);
    }
    assert_eq!(lab.send(other, mac(9), mac(3)), Ok(vec![bridge]));
    assert_eq!(lab.state.learning().len(), 1);
}
