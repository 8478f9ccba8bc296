use vswitch::{Mirroring, PortPolicy};

use super::settings::apply;

#[test]
fn each_setting_sets_what_it_says() {
    let mut policy = PortPolicy::default();
    for setting in ["storm-limit=100", "max-bandwidth=10M", "min-bandwidth=500k", "weight=7", "dhcp-guard=on"]
    {
        apply(&mut policy, setting).unwrap();
    }
    for setting in ["router-guard=on", "mirroring=source", "priority-tags=on", "teaming=on", "acl-idle=60"] {
        apply(&mut policy, setting).unwrap();
    }
    assert_eq!((policy.storm_limit, policy.bandwidth.weight, policy.acl.idle_seconds), (100, 7, 60));
    assert_eq!((policy.bandwidth.maximum, policy.bandwidth.minimum), (Some(10_000_000), Some(500_000)));
    assert!(policy.dhcp_guard && policy.router_guard);
    assert!(policy.security.allow_ieee_priority_tag && policy.security.allow_teaming);
    assert_eq!(policy.mirroring, Mirroring::Source);
    apply(&mut policy, "max-bandwidth=none").unwrap();
    assert_eq!(policy.bandwidth.maximum, None);
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
    ];
    for (setting, told) in cases {
        let mut policy = PortPolicy::default();
        let reason = apply(&mut policy, setting).unwrap_err();
        assert!(reason.contains(told), "{setting}: {reason}");
        assert_eq!(policy, PortPolicy::default(), "{setting}");
    }
}
