use super::*;

fn set(vlans: &[u16]) -> VlanSet {
    VlanSet::of(vlans.iter().copied()).unwrap()
}

#[test]
fn e5_pruned_vlans_win_over_allowed_ones() {
    let trunk = VlanPolicy::Trunk { native: 5, allowed: set(&[0, 1, 2, 3]), pruned: set(&[2, 9]) };
    assert_eq!(trunk.tagged(), set(&[1, 3]));
}

#[test]
fn ip_prefixes_read_back_and_match() {
    for (text, inside, outside) in [
        ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("192.0.2.1/32", "192.0.2.1", "192.0.2.0"),
        ("fd00::/8", "fdff::1", "fe00::"),
        ("::/0", "ffff::", "1.2.3.4"),
        ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
    ] {
        let prefix: IpPrefix = text.parse().unwrap();
        assert_eq!(prefix.to_string(), text);
        assert!(prefix.contains(inside.parse().unwrap()), "{text}");
        assert!(!prefix.contains(outside.parse().unwrap()), "{text}");
    }
    for text in ["10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/-1"] {
        assert!(text.parse::<IpPrefix>().is_err(), "{text}");
    }
}

#[test]
fn e5_impossible_policies_are_refused() {
    let refused = |change: &dyn Fn(&mut PortPolicy)| {
        let mut policy = PortPolicy::default();
        change(&mut policy);
        policy.validate().unwrap_err()
    };
    let vlan = |vlan| refused(&|policy| policy.vlan = VlanPolicy::clone(&vlan));
    assert!(matches!(vlan(VlanPolicy::Access(0)), InvalidPolicy::Vlan { vlan: 0, .. }));
    assert!(matches!(vlan(VlanPolicy::Access(4095)), InvalidPolicy::Vlan { vlan: 4095, .. }));
    let trunk = VlanPolicy::Trunk { native: 4095, allowed: set(&[]), pruned: set(&[]) };
    assert!(matches!(vlan(trunk), InvalidPolicy::Vlan { vlan: 4095, .. }));
    let private = |primary, role| vlan(VlanPolicy::Private { primary, role });
    assert!(matches!(private(0, PrivateRole::Isolated(2)), InvalidPolicy::Vlan { .. }));
    assert_eq!(private(2, PrivateRole::Community(2)), InvalidPolicy::SecondaryIsPrimary { vlan: 2 });
    assert!(matches!(private(2, PrivateRole::Promiscuous(set(&[0]))), InvalidPolicy::Vlan { .. }));

    assert_eq!(refused(&|policy| policy.bandwidth.weight = 101), InvalidPolicy::Weight { weight: 101 });
    assert_eq!(
        refused(&|policy| policy.bandwidth.maximum = Some(99_999)),
        InvalidPolicy::MaximumTooSmall { maximum: 99_999 }
    );
    let bandwidth = Bandwidth { maximum: Some(200_000), minimum: Some(200_001), weight: 0 };
    assert!(matches!(
        refused(&|policy| policy.bandwidth = bandwidth.clone()),
        InvalidPolicy::MinimumAboveMaximum { .. }
    ));
    assert_eq!(refused(&|policy| policy.acl.idle_seconds = 0), InvalidPolicy::IdleTime { seconds: 0 });
    let custom = |policy: &mut PortPolicy| drop(policy.custom.insert(Guid(1), vec![0; MAX_CUSTOM_BYTES + 1]));
    assert!(matches!(refused(&custom), InvalidPolicy::CustomTooLong { .. }));
    let many = |policy: &mut PortPolicy| policy.custom = (0..17).map(|id| (Guid(id), vec![])).collect();
    assert_eq!(refused(&many), InvalidPolicy::TooManyCustom { count: 17 });
}

#[test]
fn e5_rules_without_sense_are_refused() {
    let any = || AclRule::any(Direction::Inbound, AclAction::Allow);
    let ports = Some(PortRange { first: 2, last: 1 });
    for rule in [
        AclRule { protocol: Some(6), local_ports: ports, ..any() },
        AclRule { remote_ports: Some(PortRange { first: 1, last: 2 }), ..any() },
        AclRule { stateful: true, ..any() },
        AclRule { stateful: true, protocol: Some(6), action: AclAction::Deny, ..any() },
        AclRule { local_ip: "10.0.0.0/8".parse().ok(), remote_ip: "fd00::/8".parse().ok(), ..any() },
    ] {
        let acl = Acl { rules: vec![any(), rule], ..Acl::default() };
        assert!(matches!(acl.validate(), Err(InvalidPolicy::Rule { index: 1, .. })), "{acl:?}");
    }
    let acl = Acl { rules: vec![any(); MAX_ACL_RULES + 1], ..Acl::default() };
    assert_eq!(acl.validate(), Err(InvalidPolicy::TooManyRules { count: MAX_ACL_RULES + 1 }));
}

#[test]
fn a_policy_reads_back_as_written() {
    let policy = PortPolicy {
        vlan: VlanPolicy::Private { primary: 7, role: PrivateRole::Promiscuous(set(&[8, 9])) },
        acl: Acl { rules: vec![AclRule::any(Direction::Outbound, AclAction::Meter)], idle_seconds: 9 },
        custom: BTreeMap::from([(Guid(5), vec![1, 2])]),
        ..PortPolicy::default()
    };
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<PortPolicy>(&json).unwrap(), policy);
    assert!(serde_json::from_str::<PortPolicy>(r#"{"dhcp_gard": true}"#).is_err());
}
