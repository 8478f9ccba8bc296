use crate::view::{FilterView, TopologyView};

use super::{filter_table, topology_text};

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
    let view: TopologyView = serde_json::from_str(include_str!("topology.json")).unwrap();
    insta::assert_snapshot!(topology_text(&view), @r#"
    adapter 01:00.0  mode SrIov  link up  switch "Default Switch"
    ├─ VFs     1 of 1 allocated, 8 in hardware
    ├─ VPorts  2 active of 10
    ├─ worker  100 frames in 10 bursts, 50 cycles a frame, slept 3 times
    ├─ VM alpha
    │  └─ net0  02:00:00:00:00:0a  untagged  weight 100
    │     VF 0  01:10.0  x550  VPort 1  guest driver up
    │       socket /run/softiov/alpha-net0.vf
    │       sent     60 frames, 6000 bytes (2 multicast, 1 broadcast)
    │       received 40 frames, 4000 bytes (0 multicast, 0 broadcast)
    │       dropped source_mac_spoofed 3
    └─ VM beta
       └─ net0  02:00:00:00:00:0b  access 10  weight 50
          no VF: all 1 VFs are taken by adapters of the same or a higher iov_weight
    "#);
}
