use api::types::{
    AclRuleView, DeliveryView, FilterView, LossView, QueueView, StageView, TopologyView, TraceView,
};
use vswitch::{AclAction, AclRule, Direction, PortRange};

use super::filter_table;
use super::network::{acl_table, queue_table, switch_text};
use super::paths::paths;
use super::trace::trace_text;
use super::tree::topology_text;

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let filter = |id, vlan: &str| FilterView {
        filter_id: id,
        vport_id: 1,
        mac: "02:00:00:00:00:0a".parse().unwrap(),
        vlan: vlan.to_owned(),
    };
    insta::assert_snapshot!(filter_table(&[filter(1, "untagged"), filter(1000, "10")]), @r"
    FilterID  VPortID  MacAddress         Vlan
    1         1        02:00:00:00:00:0a  untagged
    1000      1        02:00:00:00:00:0a  10
    ");
}

#[test]
fn the_tree_shows_each_adapter_with_its_vf_or_why_it_has_none() {
    let view = topology();
    insta::assert_snapshot!(topology_text(&view));
}

fn topology() -> TopologyView {
    serde_json::from_str(include_str!("topology.json")).unwrap()
}

#[test]
fn the_drawing_keeps_its_shape_with_long_numbers() {
    let mut view = topology();
    view.default_vport.received.frames = 123_456_789_012;
    view.uplink.interface = None;
    insta::assert_snapshot!(paths(&view));
}

#[test]
fn a_switch_is_shown_with_its_ports_and_what_they_lost() {
    insta::assert_snapshot!(switch_text(&topology().switches[0]));
}

#[test]
fn rules_are_shown_in_the_words_in_which_they_are_typed() {
    let mut rule = AclRule::any(Direction::Inbound, AclAction::Allow);
    rule.protocol = Some(6);
    rule.remote_ip = Some("10.0.0.0/8".parse().unwrap());
    rule.local_ports = Some(PortRange { first: 80, last: 90 });
    rule.stateful = true;
    let other = AclRule::any(Direction::Outbound, AclAction::Meter);
    let view = |index, rule, frames| AclRuleView { index, rule, frames, octets: frames };
    insta::assert_snapshot!(acl_table(&[view(0, rule, None), view(1, other, Some(7))]), @r"
    Index  Direction  Action  Weight  Match                                                            Frames  Octets
    0      in         allow   0       remote-ip 10.0.0.0/8, protocol tcp, local-ports 80-90, stateful  -       -
    1      out        meter   0       everything                                                       7       7
    ");
    assert_eq!(acl_table(&[]), "no rules: everything passes\n");
}

#[test]
fn queues_have_the_columns_of_the_cmdlet() {
    let filter = FilterView {
        filter_id: 1,
        vport_id: 0,
        mac: "02:00:00:00:00:0a".parse().unwrap(),
        vlan: "10".into(),
    };
    let queue = |queue_id, vm: &str, filters| QueueView {
        queue_id,
        state: "Running".to_owned(),
        affinity: (queue_id > 0).then(|| "0:0x1".to_owned()),
        vm: vm.to_owned(),
        queue_name: String::new(),
        filters,
    };
    insta::assert_snapshot!(queue_table(&[queue(0, "", vec![]), queue(1, "alpha", vec![filter])]), @r"
    QueueID  State    NumFilters  Affinity  VmFriendlyName  QueueName  Filters
    0        Running  0           -         -               -          -
    1        Running  1           0:0x1     alpha           -          02:00:00:00:00:0a 10
    ");
}

#[test]
fn a_trace_ends_with_who_gets_the_frame_or_why_nobody_does() {
    let stage = StageView {
        title: "switch default, from alpha/net0".into(),
        steps: vec!["admitted, in no VLAN".into()],
    };
    let to = DeliveryView { to: "beta/net0".into(), tag: "untagged".into(), by: "VF 1".into() };
    let mut view =
        TraceView { frame: "a frame".into(), stages: vec![stage], deliveries: vec![to], loss: None };
    insta::assert_snapshot!(trace_text(&view), @r"
    a frame
    switch default, from alpha/net0
      admitted, in no VLAN
    Delivered to  Sees it   By
    beta/net0     untagged  VF 1
    ");
    view.loss = Some(LossView { reason: "egress:acl".into(), remedy: "look at its ACL".into() });
    insta::assert_snapshot!(trace_text(&view), @r"
    a frame
    switch default, from alpha/net0
      admitted, in no VLAN
    lost: egress:acl
      look at its ACL
    ");
}
