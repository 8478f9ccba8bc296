mod extensions;
mod life_cycle;
mod migration;
mod policies;

use super::*;
use crate::testing::{Lab, SECOND, mac, parameters};
use crate::{AclAction, AclRule, Direction, ErrorKind, PortParameters, SwitchType};

#[test]
fn static_addresses_are_checked_and_bounded() {
    let mut lab = Lab::new();
    let (one, two) = (lab.vm(1), lab.vm(2));
    let mut set =
        |vlan, mac, port| lab.switch.set_static_address(vlan, mac, port).map_err(|error| error.kind());
    assert_eq!(set(0, mac(9), PortId(77)), Err(ErrorKind::NotFound));
    assert_eq!(set(4095, mac(9), one), Err(ErrorKind::InvalidParameter));
    assert_eq!(set(0, MacAddr::BROADCAST, one), Err(ErrorKind::InvalidParameter));
    assert_eq!(set(0, mac(2), one), Err(ErrorKind::InvalidParameter), "another NIC's");
    assert_eq!(set(0, mac(9), one), Ok(()));
    assert_eq!(set(0, mac(9), two), Ok(()), "it moves");
    for n in 1..MAX_STATIC_ADDRESSES {
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        assert_eq!(set(7, MacAddr([2, 7, 0, 0, high, low]), one), Ok(()));
    }
    assert_eq!(set(8, mac(9), one), Err(ErrorKind::Resources));
    assert_eq!(set(0, mac(9), one), Ok(()), "no further one");
    let remove = |lab: &mut Lab, vlan| lab.switch.remove_static_address(vlan, mac(9));
    assert_eq!(remove(&mut lab, 0), Ok(()));
    assert_eq!(remove(&mut lab, 0).map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    // They go with their port.
    lab.switch.disconnect_nic(one).unwrap();
    lab.switch.delete_nic(one).unwrap();
    lab.switch.tear_down_port(one).unwrap();
    lab.switch.delete_port(one).unwrap();
    assert_eq!(lab.switch.addresses().filter(|address| address.origin == AddressOrigin::Static).count(), 0);
}

#[test]
fn views_are_whole_and_serialise() {
    let mut lab = Lab::new();
    lab.external();
    let vm = lab.vm_with(1, |policy| {
        policy.acl.rules = vec![AclRule::any(Direction::Inbound, AclAction::Deny)];
        policy.vlan = crate::VlanPolicy::Access(9);
    });
    lab.bridge(2);
    lab.switch.set_static_address(9, mac(8), vm).unwrap();
    let view = serde_json::to_value(lab.switch.view()).unwrap();
    assert_eq!(view["kind"], "external");
    assert_eq!(view["ports"][1]["nic"]["current_mac"], "02:00:00:00:00:01");
    assert_eq!(view["ports"][1]["nic"]["state"], "connected");
    assert_eq!(view["ports"][1]["policy"]["vlan"]["access"], 9);
    assert_eq!(view["ports"][1]["no_vf"], "acl");
    assert_eq!(view["ports"][2]["policy"]["security"]["allow_mac_spoofing"], true);
    let rules = lab.switch.acl_view(vm, &[]);
    assert_eq!((rules.len(), rules[0].rule.action, rules[0].frames), (1, AclAction::Deny, None));
    assert!(lab.switch.acl_view(PortId(99), &[]).is_empty());
    let addresses: Vec<_> = lab.switch.addresses().collect();
    let address =
        |n, vlan, port, origin| Address { mac: mac(n), vlan: Some(vlan), port: PortId(port), origin };
    let expected = [
        address(1, 9, 2, AddressOrigin::Own),
        address(2, 0, 3, AddressOrigin::Own),
        address(8, 9, 2, AddressOrigin::Static),
    ];
    assert_eq!(addresses, expected);
}

#[test]
fn names_are_bounded_in_utf16_units() {
    let long = "\u{1f600}".repeat(MAX_NAME_UNITS / 2) + "x";
    let refused = SwitchError::NameTooLong { units: MAX_NAME_UNITS + 1 };
    let named = SwitchParameters { name: long.clone(), ..parameters(SwitchType::Private) };
    assert_eq!(VSwitch::create(named, SECOND, 0).unwrap_err(), refused);
    let mut lab = Lab::new();
    let port = PortParameters { name: long.clone(), ..PortParameters::default() };
    assert_eq!(lab.switch.create_port(port).unwrap_err(), refused);
    let port = lab.switch.create_port(PortParameters::default()).unwrap();
    for nic in [
        crate::NicParameters { name: long.clone(), ..crate::NicParameters::default() },
        crate::NicParameters { partition: long, ..crate::NicParameters::default() },
    ] {
        assert_eq!(lab.switch.create_nic(port, nic).unwrap_err(), refused);
    }
}
