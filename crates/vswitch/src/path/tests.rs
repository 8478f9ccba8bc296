mod chain;
mod conformance;
mod hostile;
mod model;
mod vf;

use super::*;
use crate::testing::{Lab, mac};

#[test]
fn a_memo_does_not_outlive_what_it_rests_on() {
    let mut lab = Lab::new();
    let (one, two) = (lab.vm(1), lab.vm(2));
    for _ in 0..3 {
        assert_eq!(lab.send(one, mac(2), mac(1)), Ok(vec![two]));
    }
    assert_eq!(lab.state.memos.len(), 1);
    // Another source, tag or port is another frame.
    assert_eq!(lab.send(one, mac(2), mac(3)), Err(DropReason::MacSpoofed));
    assert_eq!(lab.send_tagged(one, mac(2), mac(1), crate::testing::tag(5)), Err(DropReason::VlanNotAllowed));
    assert_eq!(lab.send(two, mac(2), mac(1)), Err(DropReason::MacSpoofed));
    assert_eq!(lab.send(one, mac(2), mac(1)), Ok(vec![two]));
    lab.switch.disconnect_nic(two).unwrap();
    assert_eq!(lab.send(one, mac(2), mac(1)), Err(DropReason::NoDestination));
}

#[test]
fn a_memo_is_kept_only_if_nothing_has_to_look_again() {
    for change in [
        (|policy| policy.bandwidth.maximum = Some(1_000_000)) as fn(&mut crate::PortPolicy),
        |policy| policy.dhcp_guard = true,
        |policy| policy.security.allow_mac_spoofing = true,
    ] {
        let mut lab = Lab::new();
        let one = lab.vm_with(1, change);
        let two = lab.vm(2);
        assert_eq!(lab.send(one, mac(2), mac(1)), Ok(vec![two]));
        assert_eq!(lab.state.memos.len(), 0);
        assert_eq!(lab.send(two, mac(1), mac(2)), Ok(vec![one]));
    }
}

#[test]
fn every_drop_reason_has_its_own_counter_name_that_begins_with_the_stage() {
    let names: std::collections::BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), DropReason::ALL.len());
    for (index, reason) in DropReason::ALL.iter().enumerate() {
        assert_eq!(reason.index(), index);
        assert!(["ingress", "forwarding", "egress"].contains(&reason.stage()), "{reason}");
    }
}
