use crate::testing::{Lab, SECOND, mac};
use crate::{AclAction, AclRule, Direction, DropReason};
use ethernet::MacAddr;

#[test]
fn what_a_decision_charged_can_be_taken_back() {
    let mut lab = Lab::new();
    let sender = lab.vm_with(1, |policy| {
        policy.storm_limit = 100;
        policy.bandwidth.maximum = Some(8_000_000);
        policy.acl.rules.push(AclRule::any(Direction::Outbound, AclAction::Meter));
    });
    lab.vm_with(2, |policy| policy.acl.rules.push(AclRule::any(Direction::Inbound, AclAction::Meter)));
    lab.send(sender, mac(2), mac(1)).unwrap();
    lab.state.settle();
    let counted =
        |lab: &Lab| lab.state.meters().iter().map(|meter| (meter.frames, meter.octets)).collect::<Vec<_>>();
    assert_eq!(counted(&lab), [(1, 60), (1, 60)]);
    // Each of these would use a limit up, if it were not taken back.
    for _ in 0..10_000 {
        let mark = lab.state.mark();
        lab.send(sender, MacAddr::BROADCAST, mac(1)).unwrap();
        lab.send(sender, mac(2), mac(1)).unwrap();
        lab.state.take_back(mark);
    }
    assert_eq!(counted(&lab), [(1, 60), (1, 60)]);
    // What is settled stands: 1/10 s of the storm limit, and one frame.
    let broadcasts = (0..100).take_while(|_| lab.send(sender, MacAddr::BROADCAST, mac(1)).is_ok()).count();
    assert_eq!(broadcasts, 11);
    lab.state.settle();
    lab.state.take_back(0);
    assert_eq!(lab.send(sender, MacAddr::BROADCAST, mac(1)), Err(DropReason::StormLimit));
    lab.now += SECOND;
    assert!(lab.send(sender, MacAddr::BROADCAST, mac(1)).is_ok());
}

#[test]
fn a_charge_of_a_path_that_is_gone_is_not_taken_back() {
    let mut lab = Lab::new();
    let meter = |policy: &mut crate::PortPolicy| {
        policy.acl.rules.push(AclRule::any(Direction::Outbound, AclAction::Meter));
    };
    let (sender, other) = (lab.vm_with(1, meter), lab.vm_with(2, meter));
    lab.send(sender, mac(2), mac(1)).unwrap();
    let mark = lab.state.mark();
    assert_eq!(mark, 1);
    lab.vm(3);
    lab.send(other, mac(3), mac(2)).unwrap();
    lab.state.take_back(0);
    let frames: Vec<_> = lab.state.meters().iter().map(|meter| meter.frames).collect();
    assert_eq!(frames, [1, 0]);
}
