use nic_switch::VlanSet;
use virt_stack::desired::{AdapterMac, AdapterSpec};
use vswitch::{Mirroring, PrivateRole, VlanPolicy};

use super::{About, contradiction};

fn apply(spec: &mut AdapterSpec, setting: &str) -> Result<(), String> {
    super::apply(spec, setting, About::Port)
}

fn adapter() -> AdapterSpec {
    AdapterSpec::new(AdapterMac("02:00:00:00:00:01".parse().unwrap()))
}

#[test]
fn each_setting_sets_what_it_says() {
    let mut spec = adapter();
    for setting in ["storm-limit=100", "max-bandwidth=10M", "min-bandwidth=500k", "weight=7", "dhcp-guard=on"]
    {
        apply(&mut spec, setting).unwrap();
    }
    for setting in ["router-guard=on", "mirroring=source", "priority-tags=on", "teaming=on", "acl-idle=60"] {
        apply(&mut spec, setting).unwrap();
    }
    let policy = spec.policy();
    assert_eq!((policy.storm_limit, policy.bandwidth.weight, policy.acl.idle_seconds), (100, 7, 60));
    assert_eq!((policy.bandwidth.maximum, policy.bandwidth.minimum), (Some(10_000_000), Some(500_000)));
    assert!(policy.dhcp_guard && policy.router_guard);
    assert!(policy.security.allow_ieee_priority_tag && policy.security.allow_teaming);
    assert_eq!(policy.mirroring, Mirroring::Source);
    apply(&mut spec, "max-bandwidth=none").unwrap();
    assert_eq!(spec.policy().bandwidth.maximum, None);
}

#[test]
fn a_port_is_in_vlans_in_the_way_that_was_set_last() {
    let vlans = |vlans: &[u16]| VlanSet::of(vlans.iter().copied()).unwrap();
    let trunk = |allowed| VlanPolicy::Trunk { native: 0, allowed, pruned: VlanSet::EMPTY };
    let private = |role| VlanPolicy::Private { primary: 100, role };
    let mut spec = adapter();
    for (setting, vlan) in [
        ("vlan=10", VlanPolicy::Access(10)),
        ("trunk=none", VlanPolicy::Access(10)),
        ("private-vlan=none", VlanPolicy::Access(10)),
        ("trunk=5,7-9", trunk(vlans(&[5, 7, 8, 9]))),
        ("vlan=none", trunk(vlans(&[5, 7, 8, 9]))),
        ("trunk=all", trunk(VlanSet::all())),
        ("trunk=none", VlanPolicy::Untagged),
        ("private-vlan=100:isolated:101", private(PrivateRole::Isolated(101))),
        ("private-vlan=100:community:102", private(PrivateRole::Community(102))),
        ("private-vlan=100:promiscuous:101-102", private(PrivateRole::Promiscuous(vlans(&[101, 102])))),
        ("private-vlan=none", VlanPolicy::Untagged),
        ("vlan=4094", VlanPolicy::Access(4094)),
        ("vlan=none", VlanPolicy::Untagged),
        ("access_vlan=7", VlanPolicy::Access(7)),
        ("vlan=0", VlanPolicy::Untagged),
    ] {
        apply(&mut spec, setting).unwrap();
        assert_eq!(spec.policy().vlan, vlan, "{setting}");
    }
}

#[test]
fn ways_of_being_in_vlans_exclude_each_other() {
    let found = |list: &[&str]| {
        let list: Vec<_> = list.iter().map(|&setting| setting.to_owned()).collect();
        contradiction(&list).map(|(one, other)| (one.to_owned(), other.to_owned()))
    };
    assert_eq!(found(&["vlan=5", "weight=3", "trunk=all"]), Some(("vlan=5".into(), "trunk=all".into())));
    assert!(found(&["private-vlan=1:isolated:2", "vlan=5"]).is_some());
    assert!(found(&["vlan=5", "vlan=6"]).is_some());
    assert_eq!(found(&["vlan=none", "trunk=all", "weight=3", "private-vlan=none"]), None);
    assert_eq!(found(&["vlan", "trunk=all"]), None, "no setting at all, which is told elsewhere");
}

#[test]
fn what_cannot_be_set_is_told_with_what_can() {
    let cases = [
        ("dhcp-guard", "key=value"),
        ("dhcp-gard=on", "dhcp-guard"),
        ("dhcp-guard=yes", "on nor off"),
        ("storm-limit=-1", "frames a second"),
        ("storm-limit=5000000000", "frames a second"),
        ("weight=101", "0 to 100"),
        ("max-bandwidth=10T", "10M"),
        ("max-bandwidth=99999999999G", "10M"),
        ("max-bandwidth=M", "10M"),
        ("mirroring=both", "source or destination"),
        ("vlan=-1", "\"-1\" is not a VLAN id"),
        ("iov-weight=3", "there is no key \"iov-weight\""),
        ("vlan=4095", "1 to 4094"),
        ("trunk=", "5,100-200"),
        ("trunk=5,4095", "4095"),
        ("trunk=9-5", "9-5"),
        ("private-vlan=100", "PRIMARY:isolated:VLAN"),
        ("private-vlan=100:leader:5", "\"leader\" is no role"),
        ("private-vlan=0:isolated:5", "\"0\" is not a VLAN id"),
        ("private-vlan=100:isolated:5-6", "\"5-6\" is not a VLAN id"),
        ("private-vlan=100:promiscuous:x", "\"x\" is not a VLAN id or range"),
    ];
    for (setting, told) in cases {
        let mut spec = adapter();
        let reason = apply(&mut spec, setting).unwrap_err();
        assert!(reason.contains(told), "{setting}: {reason}");
        assert_eq!(spec, adapter(), "{setting}");
    }
}

#[test]
fn the_words_of_ip_link_and_of_the_cmdlet_mean_the_same() {
    let set = |settings: &[&str]| {
        let mut spec = adapter();
        for setting in settings {
            super::apply(&mut spec, setting, About::Adapter).unwrap();
        }
        spec
    };
    for [one, other] in [
        ["trust=on", "mac-address-spoofing=on"],
        ["spoofchk=off", "trusted=on"],
        ["max_tx_rate=10", "maximum-bandwidth=10M"],
        ["min_tx_rate=0", "min-bandwidth=none"],
        ["vlan=5", "access-vlan=5"],
        ["port-mirroring=source", "mirroring=source"],
        ["iov-queue-pairs=4", "iov-queue-pairs-requested=4"],
        ["mac=02:00:00:00:00:09", "static_mac_address=02:00:00:00:00:09"],
        ["minimum-bandwidth-weight=3", "weight=3"],
    ] {
        assert_eq!(set(&[one]), set(&[other]), "{one}");
    }
    assert_eq!(set(&["trust=on", "spoofchk=on", "mtu=9000", "mtu=none", "bus=rp1", "bus=none"]), adapter());
    let spec = set(&["iov-weight=20", "iov-interrupt-moderation=low", "vhost-user=client", "switch=lab"]);
    assert_eq!(spec.iov_weight.0, 20);
    assert_eq!(serde_json::to_value(&spec).unwrap()["iov_interrupt_moderation"], "low");
    assert_eq!(spec.switch.unwrap().as_str(), "lab");
}

#[test]
fn a_value_that_an_adapter_cannot_have_is_told_with_what_it_can() {
    for (setting, told) in [
        ("mac=01:00:00:00:00:01", "not the address of one adapter"),
        ("mac=alpha", "alpha"),
        ("iov-weight=101", "0 (none) to 100"),
        ("iov-weight=heavy", "\"heavy\" is no number"),
        ("iov-queue-pairs=3", "1, 2, 4 or 8"),
        ("queue-pairs=17", "1 to 16"),
        ("mtu=67", "68 to 65535"),
        ("iov-interrupt-moderation=fast", "adaptive"),
        ("vhost-user=both", "server or client"),
        ("max-tx-rate=10M", "megabits"),
        ("speed=1", "max-tx-rate: megabits a second"),
    ] {
        let mut spec = adapter();
        let reason = super::apply(&mut spec, setting, About::Adapter).unwrap_err();
        assert!(reason.contains(told), "{setting}: {reason}");
        assert_eq!(spec, adapter(), "{setting}");
    }
}
