use crate::testing::packets::{ethernet, icmp, ipv4, ipv6, tcp, udp};
use crate::testing::{Lab, SECOND, mac};
use crate::{Acl, AclAction, AclRule, Destinations, Direction, DropReason, Packet, PortId, PortRange, Step};

const IN: Direction = Direction::Inbound;
const OUT: Direction = Direction::Outbound;

fn rule(direction: Direction, action: AclAction) -> AclRule {
    AclRule::any(direction, action)
}

/// Ports 1 and 2 with stations 1 and 2, of which the first has the rules.
fn lab(rules: &[AclRule]) -> Lab {
    let mut lab = Lab::new();
    lab.vm_with(1, |policy| policy.acl.rules = rules.to_vec());
    lab.vm(2);
    lab
}

fn send(lab: &mut Lab, from: u8, packet: &[u8]) -> Result<(), DropReason> {
    let kind = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    let bytes = ethernet(mac(3 - from), mac(from), kind, packet);
    lab.send_bytes(PortId(from.into()), &bytes, None).map(|_| ())
}

#[test]
fn e5_each_member_of_a_rule_must_match() {
    let base = || AclRule { protocol: Some(6), ..rule(OUT, AclAction::Deny) };
    let range = |first, last| Some(PortRange { first, last });
    let packet = ipv4(1, 2, 6, 0, &tcp(1000, 80));
    for (rule, denied) in [
        (base(), true),
        (AclRule { protocol: Some(17), ..base() }, false),
        (AclRule { local_mac: Some(mac(1)), remote_mac: Some(mac(2)), ..base() }, true),
        (AclRule { local_mac: Some(mac(2)), ..base() }, false),
        (AclRule { remote_mac: Some(mac(1)), ..base() }, false),
        (AclRule { local_ip: "10.0.0.1/32".parse().ok(), ..base() }, true),
        (AclRule { remote_ip: "10.0.0.0/24".parse().ok(), ..base() }, true),
        (AclRule { remote_ip: "10.0.0.1/32".parse().ok(), ..base() }, false),
        (AclRule { remote_ip: "::/0".parse().ok(), ..base() }, false),
        (AclRule { local_ports: range(1000, 1000), remote_ports: range(1, 80), ..base() }, true),
        (AclRule { local_ports: range(80, 80), ..base() }, false),
        (AclRule { remote_ports: range(81, 65535), ..base() }, false),
        (AclRule { direction: IN, ..base() }, false),
    ] {
        let expected = if denied { Err(DropReason::IngressAcl) } else { Ok(()) };
        assert_eq!(send(&mut lab(std::slice::from_ref(&rule)), 1, &packet), expected, "{rule:?}");
    }
}

#[test]
fn e5_inbound_rules_are_asked_at_the_receiver() {
    let deny = AclRule { remote_ip: "10.0.0.2/32".parse().ok(), ..rule(IN, AclAction::Deny) };
    let mut lab = lab(&[deny]);
    assert_eq!(send(&mut lab, 2, &ipv4(2, 1, 17, 0, &udp(1, 2))), Err(DropReason::EgressAcl));
    assert_eq!(send(&mut lab, 2, &ipv4(3, 1, 17, 0, &udp(1, 2))), Ok(()));
    assert_eq!(send(&mut lab, 1, &ipv4(1, 2, 17, 0, &udp(1, 2))), Ok(()));
    // Of a flood it loses its copy; the others get theirs.
    let third = lab.vm(3);
    let broadcast = ethernet(ethernet::MacAddr::BROADCAST, mac(2), 0x0800, &ipv4(2, 255, 17, 0, &udp(1, 2)));
    let reached = lab.send_bytes(PortId(2), &broadcast, None).unwrap();
    assert_eq!(reached.into_keys().collect::<Vec<_>>(), [third]);
    let [excluded] = lab.out.excluded() else { panic!("{:?}", lab.out) };
    assert_eq!((excluded.port, excluded.reason), (PortId(1), DropReason::EgressAcl));
}

#[test]
fn e5_the_greater_weight_is_asked_first() {
    let deny = AclRule { weight: 1, ..rule(OUT, AclAction::Deny) };
    let allow = AclRule { weight: 2, protocol: Some(6), ..rule(OUT, AclAction::Allow) };
    let mut lab = lab(&[deny, allow]);
    assert_eq!(send(&mut lab, 1, &ipv4(1, 2, 6, 0, &tcp(1, 2))), Ok(()));
    assert_eq!(send(&mut lab, 1, &ipv4(1, 2, 17, 0, &udp(1, 2))), Err(DropReason::IngressAcl));
}

#[test]
fn e5_a_meter_counts_and_asks_on() {
    let meter = AclRule { weight: 1, protocol: Some(17), ..rule(OUT, AclAction::Meter) };
    let mut lab = lab(&[rule(OUT, AclAction::Deny), meter]);
    let packet = ipv4(1, 2, 17, 0, &udp(1, 2));
    for _ in 0..3 {
        assert_eq!(send(&mut lab, 1, &packet), Err(DropReason::IngressAcl));
    }
    assert_eq!(send(&mut lab, 1, &ipv4(1, 2, 6, 0, &tcp(1, 2))), Err(DropReason::IngressAcl));
    let view = lab.switch.acl_view(PortId(1), lab.state.meters());
    assert_eq!((view[0].frames, view[1].frames, view[1].octets), (None, Some(3), Some(3 * 42)));
    // The count survives what concerns others, and not another ACL.
    lab.vm(3);
    assert_eq!(send(&mut lab, 1, &packet), Err(DropReason::IngressAcl));
    assert_eq!(lab.state.meters()[0].frames, 4);
    lab.policy(PortId(1), |policy| policy.acl.rules.swap(0, 1));
    assert_eq!(send(&mut lab, 1, &packet), Err(DropReason::IngressAcl));
    assert_eq!(lab.state.meters()[0].frames, 1);
}

#[test]
fn e5_fragments_neither_slip_through_nor_break_flows() {
    let web = AclRule {
        weight: 1,
        protocol: Some(6),
        remote_ports: Some(PortRange { first: 80, last: 80 }),
        ..rule(OUT, AclAction::Allow)
    };
    let mut allow = lab(&[web, rule(OUT, AclAction::Deny)]);
    assert_eq!(send(&mut allow, 1, &ipv4(1, 2, 6, 0x2000, &tcp(1, 80))), Ok(()));
    assert_eq!(send(&mut allow, 1, &ipv4(1, 2, 6, 3, &[0; 8])), Ok(()));
    assert_eq!(send(&mut allow, 1, &ipv4(1, 2, 6, 0x2000, &tcp(1, 81))), Err(DropReason::IngressAcl));
    assert_eq!(send(&mut allow, 1, &ipv4(1, 2, 17, 3, &[0; 8])), Err(DropReason::IngressAcl));
    let hidden = Err(DropReason::IngressUnreadable);
    assert_eq!(send(&mut allow, 1, &ipv4(1, 2, 6, 0x2000, &tcp(1, 80)[..8])), hidden);
    assert_eq!(send(&mut allow, 1, &ipv4(1, 2, 6, 1, &[0; 16])), hidden, "RFC 1858");
    let mut inbound = lab(&[rule(IN, AclAction::Allow)]);
    assert_eq!(send(&mut inbound, 2, &ipv4(2, 1, 6, 1, &[0; 16])), Err(DropReason::EgressUnreadable));
}

/// Port 1 may open TCP connections; nothing else comes to it.
fn stateful() -> Lab {
    let open = AclRule { protocol: Some(6), stateful: true, ..rule(OUT, AclAction::Allow) };
    lab(&[open, rule(IN, AclAction::Deny)])
}

#[test]
fn e5_answers_to_an_allowed_connection_are_allowed() {
    let mut lab = stateful();
    let answer = ipv6(2, 1, 6, &tcp(80, 1000));
    assert_eq!(send(&mut lab, 2, &answer), Err(DropReason::EgressAcl));
    assert_eq!(send(&mut lab, 1, &ipv6(1, 2, 6, &tcp(1000, 80))), Ok(()));
    assert_eq!(send(&mut lab, 2, &answer), Ok(()));
    for other in [tcp(81, 1000), tcp(80, 1001), icmp(128)] {
        assert_eq!(
            send(&mut lab, 2, &ipv6(2, 1, 6, &other)),
            Err(match other.len() {
                20 => DropReason::EgressAcl,
                _ => DropReason::EgressUnreadable,
            })
        );
    }
    // Used or not, the time runs from the last frame.
    lab.now += u64::from(Acl::DEFAULT_IDLE_SECONDS) * SECOND;
    assert_eq!(send(&mut lab, 2, &answer), Ok(()));
    lab.now += u64::from(Acl::DEFAULT_IDLE_SECONDS) * SECOND + 1;
    assert_eq!(send(&mut lab, 2, &answer), Err(DropReason::EgressAcl));
}

#[test]
fn e5_connections_are_known_to_all_workers_and_survive_changes() {
    let mut lab = stateful();
    assert_eq!(send(&mut lab, 1, &ipv4(1, 2, 6, 0, &tcp(1000, 80))), Ok(()));
    lab.vm(3);
    lab.policy(PortId(1), |policy| policy.acl.idle_seconds = 10);
    let path = lab.switch.snapshot();
    let mut other = crate::State::new(SECOND, 1);
    let bytes = ethernet(mac(1), mac(2), 0x0800, &ipv4(2, 1, 6, 0, &tcp(80, 1000)));
    let packet = Packet::described(PortId(2), &bytes, None);
    assert_eq!(path.decide(&mut other, &packet, lab.now, &mut Destinations::new()), Ok(()));
    let late = lab.now + 10 * SECOND + 1;
    let decided = path.decide(&mut other, &packet, late, &mut Destinations::new());
    assert_eq!(decided, Err(DropReason::EgressAcl));
}

#[test]
fn a_trace_opens_no_connection() {
    let mut lab = stateful();
    let bytes = ethernet(mac(2), mac(1), 0x0800, &ipv4(1, 2, 6, 0, &tcp(1000, 80)));
    lab.path = lab.switch.snapshot();
    let trace = lab.path.trace(&lab.state, &Packet::described(PortId(1), &bytes, None), lab.now);
    let allowed = Step::AclAllowed { port: PortId(1), direction: OUT, rule: Some(0) };
    assert!(trace.steps.contains(&allowed), "{trace}");
    let answer = send(&mut lab, 2, &ipv4(2, 1, 6, 0, &tcp(80, 1000)));
    assert_eq!(answer, Err(DropReason::EgressAcl));
}
