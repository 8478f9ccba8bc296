//! Policies beside each other, and what they mean for VFs (`spec/ndis.md` E.5).

use nic_switch::BumPath;

use crate::testing::{Lab, SECOND, mac, parameters, trunk, vlans};
use crate::{
    AclAction, AclRule, Bandwidth, Direction, ErrorKind, InvalidPolicy, Mirroring, NicEnforces, PortId,
    PortParameters, PortPolicy, PrivateRole, RemovalReason, SwitchError, SwitchParameters, SwitchType,
    VSwitch, VfPath, VfRemoval, VlanPolicy,
};

fn private(primary: u16, role: PrivateRole) -> PortPolicy {
    PortPolicy { vlan: VlanPolicy::Private { primary, role }, ..PortPolicy::default() }
}

#[test]
fn e5_a_secondary_vlan_has_one_primary_and_one_kind() {
    let mut lab = Lab::new();
    let ports = [1, 2, 3].map(|n| lab.vm(n));
    lab.switch.set_policy(ports[0], private(100, PrivateRole::Promiscuous(vlans(&[101, 102])))).unwrap();
    lab.switch.set_policy(ports[1], private(100, PrivateRole::Isolated(101))).unwrap();
    for (role, primary, fits) in [
        (PrivateRole::Isolated(101), 100, true),
        (PrivateRole::Community(102), 100, true),
        (PrivateRole::Community(101), 100, false),
        (PrivateRole::Isolated(101), 200, false),
        (PrivateRole::Promiscuous(vlans(&[102])), 200, false),
        (PrivateRole::Isolated(100), 200, false),
        (PrivateRole::Isolated(300), 101, false),
    ] {
        let text = format!("{role:?} of {primary}");
        let set = lab.switch.set_policy(ports[2], private(primary, role));
        assert_eq!(set.is_ok(), fits, "{text}: {set:?}");
        if let Err(error) = set {
            assert!(matches!(error, SwitchError::Policy(InvalidPolicy::VlanConflict { .. })), "{text}");
        }
    }
}

#[test]
fn e5_the_external_port_takes_no_policy_for_vms() {
    let mut lab = Lab::new();
    let external = lab.external();
    let mut set = |change: fn(&mut PortPolicy)| {
        let mut policy = PortPolicy::default();
        change(&mut policy);
        lab.switch.set_policy(external, policy).map_err(|error| error.kind())
    };
    let refused = Err(ErrorKind::InvalidParameter);
    assert_eq!(set(|policy| policy.vlan = VlanPolicy::Access(5)), refused);
    assert_eq!(set(|policy| policy.security.allow_mac_spoofing = true), refused);
    assert_eq!(set(|policy| policy.router_guard = true), refused);
    assert_eq!(set(|policy| policy.mirroring = Mirroring::Destination), refused);
    assert_eq!(set(|policy| policy.storm_limit = 10_000), Ok(()));
}

fn minimum(bits: u64) -> PortPolicy {
    let bandwidth = Bandwidth { minimum: Some(bits), ..Bandwidth::default() };
    PortPolicy { bandwidth, ..PortPolicy::default() }
}

#[test]
fn c8_a_validation_port_checks_and_reserves_nothing() {
    let total = Some(1_000_000_000);
    let parameters = SwitchParameters { bandwidth: total, ..parameters(SwitchType::External) };
    let mut switch = VSwitch::create(parameters, SECOND, 0).unwrap();
    let validation = PortParameters { validation: true, ..PortParameters::default() };
    let probe = switch.create_port(validation).unwrap();
    switch.set_policy(probe, minimum(900_000_000)).unwrap();
    assert!(switch.set_policy(probe, private(5, PrivateRole::Isolated(5))).is_err(), "syntax and range");
    let nic = crate::NicParameters { permanent_mac: mac(1), ..crate::NicParameters::default() };
    assert_eq!(switch.create_nic(probe, nic), Err(SwitchError::ValidationPort { port: probe }));
    // What it asked for is still free.
    let ports = [0, 1].map(|_| switch.create_port(PortParameters::default()).unwrap());
    switch.set_policy(ports[0], minimum(900_000_000)).unwrap();
    let refused = switch.set_policy(ports[1], minimum(100_000_001)).unwrap_err();
    assert_eq!(refused, SwitchError::Bandwidth { asked: 100_000_001, free: 100_000_000 });
    assert_eq!(refused.kind(), ErrorKind::Resources);
    switch.set_policy(ports[0], minimum(800_000_000)).unwrap();
    switch.set_policy(ports[1], minimum(200_000_000)).unwrap();
    switch.delete_port(probe).unwrap();
}

fn no_vf(change: impl FnOnce(&mut PortPolicy), nic_enforces: NicEnforces) -> Option<RemovalReason> {
    let parameters = SwitchParameters { nic_enforces, ..parameters(SwitchType::External) };
    let mut switch = VSwitch::create(parameters, SECOND, 0).unwrap();
    let port = switch.create_port(PortParameters::default()).unwrap();
    let mut policy = PortPolicy::default();
    change(&mut policy);
    switch.set_policy(port, policy).unwrap();
    switch.policy_needs_removal_of_vf(port)
}

#[test]
fn e5_what_the_nic_cannot_enforce_forbids_a_vf() {
    let poor = NicEnforces::default();
    let rich = NicEnforces { trunk_vlan: true, maximum_bandwidth: true, storm_limit: true };
    let deny = || vec![AclRule::any(Direction::Inbound, AclAction::Deny)];
    let isolated = VlanPolicy::Private { primary: 5, role: PrivateRole::Isolated(6) };
    for nic in [poor, rich] {
        assert_eq!(no_vf(|_| (), nic), None);
        assert_eq!(no_vf(|policy| policy.vlan = VlanPolicy::Access(5), nic), None);
        assert_eq!(no_vf(|policy| policy.security.allow_mac_spoofing = true, nic), None);
        assert_eq!(no_vf(|policy| policy.acl.rules = deny(), nic), Some(RemovalReason::Acl));
        assert_eq!(no_vf(|policy| policy.dhcp_guard = true, nic), Some(RemovalReason::DhcpGuard));
        assert_eq!(no_vf(|policy| policy.router_guard = true, nic), Some(RemovalReason::RouterGuard));
        for role in [Mirroring::Source, Mirroring::Destination] {
            assert_eq!(no_vf(|policy| policy.mirroring = role, nic), Some(RemovalReason::Mirroring));
        }
        let vlan = isolated.clone();
        assert_eq!(no_vf(|policy| policy.vlan = vlan, nic), Some(RemovalReason::PrivateVlan));
        assert_eq!(no_vf(|policy| policy.vlan = trunk(5, &[6]), nic), Some(RemovalReason::TrunkVlan));
    }
    let maximum = |policy: &mut PortPolicy| policy.bandwidth.maximum = Some(1_000_000);
    assert_eq!(no_vf(maximum, poor), Some(RemovalReason::MaximumBandwidth));
    assert_eq!(no_vf(maximum, rich), None);
    let storm = |policy: &mut PortPolicy| policy.storm_limit = 1;
    assert_eq!((no_vf(storm, poor), no_vf(storm, rich)), (Some(RemovalReason::StormLimit), None));
    let vlan = |policy: &mut PortPolicy| policy.vlan = trunk(0, &[6]);
    assert_eq!((no_vf(vlan, poor), no_vf(vlan, rich)), (Some(RemovalReason::TrunkVlan), None));
    assert_eq!(Lab::new().switch.policy_needs_removal_of_vf(PortId(1)), None);
}

#[test]
fn e5_the_removal_of_a_vf_is_asked_for_once_and_of_connected_nics() {
    let mut lab = Lab::new();
    let port = lab.vm_with(1, |policy| policy.dhcp_guard = true);
    assert_eq!(lab.switch.take_vf_removals(), [], "no VF, nothing to remove");
    lab.vf(port, VfPath::Assigned);
    let asked = [VfRemoval { port, reason: RemovalReason::DhcpGuard }];
    assert_eq!(lab.switch.take_vf_removals(), asked);
    lab.vf(port, VfPath::Active(BumPath::Vf));
    assert_eq!(lab.switch.take_vf_removals(), [], "said already of this VF");
    lab.vf(port, VfPath::None);
    lab.vf(port, VfPath::Assigned);
    assert_eq!(lab.switch.take_vf_removals(), asked, "another VF");
    lab.policy(port, |policy| policy.dhcp_guard = false);
    lab.vf(port, VfPath::None);
    lab.vf(port, VfPath::Assigned);
    assert_eq!(lab.switch.take_vf_removals(), []);
    lab.policy(port, |policy| policy.dhcp_guard = true);
    lab.switch.disconnect_nic(port).unwrap();
    assert_eq!(lab.switch.take_vf_removals(), [], "not after NIC_DISCONNECT");
}
