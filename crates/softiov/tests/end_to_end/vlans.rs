//! An operator moves adapters to other VLANs while their guests run.

use serde_json::{Value, json};

use crate::common::daemon::{Daemon, Host, vms};
use crate::common::driver::{Guest, message};
use crate::common::frames::{Mac, mac, number, numbered};
use crate::common::front_end::SyntheticGuest;

/// What `port set` prints, which must succeed.
fn set(daemon: &Daemon, n: usize, settings: &[&str]) -> String {
    let adapter = format!("vm{n}/net0");
    let output = daemon.host.cli(&[&["port", "set", &adapter], settings].concat());
    assert!(output.status.success(), "{settings:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(daemon: &Daemon, n: usize, settings: &[&str]) -> String {
    let adapter = format!("vm{n}/net0");
    daemon.host.refusal(&[&["port", "set", &adapter], settings].concat())
}

fn path(daemon: &Daemon, n: usize) -> Value {
    daemon.json(&["show"])["vms"][n]["adapters"][0]["path"].clone()
}

/// The VPort and the VLAN of the filter of VM number `n`.
fn filter(daemon: &Daemon, n: usize) -> (Value, Value) {
    let address = mac(n).map(|byte| format!("{byte:02x}")).join(":");
    let filters = daemon.json(&["filter"]);
    let mut own = filters.as_array().unwrap().iter().filter(|filter| filter["mac"] == address);
    let filter = own.next().unwrap();
    assert_eq!(own.next(), None, "one address, one filter");
    (filter["vport_id"].clone(), filter["vlan"].clone())
}

/// The VLAN policy of the port of VM number `n`.
fn policy(daemon: &Daemon, n: usize) -> Value {
    let ports = daemon.json(&["switch", "default"])["ports"].clone();
    let own = ports.as_array().unwrap().iter().find(|port| port["name"] == format!("vm{n}/net0"));
    own.unwrap()["policy"]["vlan"].clone()
}

/// A numbered frame with a tag in it.
fn tagged(to: Mac, from: Mac, vlan: u16, number: u64) -> Vec<u8> {
    let mut frame = numbered(to, from, number, 60);
    let [high, low] = vlan.to_be_bytes();
    frame.splice(12..12, [0x81, 0, high, low]);
    frame
}

#[test]
fn a_vf_moves_to_another_access_vlan_and_stays_a_vf() {
    let daemon = Daemon::with_vms(3, "", "vlan = 10");
    assert_eq!(set(&daemon, 2, &["vlan=20"]).matches("lost").count(), 0);
    let [mut a, mut b, mut c] = [0, 1, 2].map(|n| Guest::boot(&daemon.socket(n)));
    a.send(&numbered(c.mac, a.mac, 1, 60));
    a.send(&numbered(b.mac, a.mac, 2, 60));
    assert_eq!(number(&b.receive()), 2);
    assert_eq!(c.received(), None);

    let answer = set(&daemon, 0, &["vlan=20"]);
    assert!(!answer.contains("lost"), "{answer}");
    assert_eq!((path(&daemon, 0), filter(&daemon, 0).1), (json!({"vf": 0}), json!("20")));
    a.send(&numbered(b.mac, a.mac, 3, 60));
    a.send(&numbered(c.mac, a.mac, 4, 60));
    assert_eq!(number(&c.receive()), 4);
    c.send(&numbered(a.mac, c.mac, 5, 60));
    assert_eq!(number(&a.receive()), 5);
    assert_eq!(b.received(), None);

    // Untagged, it is with neither of them.
    set(&daemon, 0, &["vlan=none"]);
    assert_eq!((policy(&daemon, 0), filter(&daemon, 0).1), (json!("untagged"), json!("untagged")));
    for other in [&b, &c] {
        a.send(&numbered(other.mac, a.mac, 6, 60));
    }
    set(&daemon, 1, &["vlan=none"]);
    a.send(&numbered(b.mac, a.mac, 7, 60));
    assert_eq!(number(&b.receive()), 7);
    assert_eq!(c.received(), None);
}

#[test]
fn a_vf_gets_other_vlans_of_a_trunk_and_stays_a_vf() {
    const SET_VLAN: u32 = 0x04 | 1 << 16;
    let daemon = Daemon::with_vms(3, "", "");
    set(&daemon, 1, &["vlan=30"]);
    set(&daemon, 2, &["vlan=40"]);
    let [mut a, mut b, mut c] = [0, 1, 2].map(|n| Guest::boot(&daemon.socket(n)));
    let may_use = |a: &mut Guest, vlan| a.ask(&[SET_VLAN, vlan]).unwrap()[0] & message::SUCCESS != 0;
    assert!(!may_use(&mut a, 30), "no trunk");

    let answer = set(&daemon, 0, &["trunk=30"]);
    assert!(!answer.contains("lost"), "{answer}");
    assert_eq!((path(&daemon, 0), filter(&daemon, 0).1), (json!({"vf": 0}), json!("any")));
    assert_eq!([30, 40].map(|vlan| may_use(&mut a, vlan)), [true, false]);
    a.send(&tagged(c.mac, a.mac, 40, 1));
    a.send(&tagged(b.mac, a.mac, 30, 2));
    assert_eq!(number(&b.receive()), 2);
    b.send(&numbered(a.mac, b.mac, 3, 60));
    let (frame, tag) = crate::common::wait_for("a frame", || a.received_with_tag());
    assert_eq!((number(&frame), tag), (3, Some(30)));
    assert_eq!(c.received(), None);

    // What the guest was granted before counts no more.
    set(&daemon, 0, &["trunk=40-50"]);
    assert_eq!([30, 40].map(|vlan| may_use(&mut a, vlan)), [false, true]);
    b.send(&numbered(a.mac, b.mac, 4, 60));
    a.send(&tagged(b.mac, a.mac, 30, 5));
    a.send(&tagged(c.mac, a.mac, 40, 6));
    assert_eq!(number(&c.receive()), 6);
    c.send(&numbered(a.mac, c.mac, 7, 60));
    let (frame, tag) = crate::common::wait_for("a frame", || a.received_with_tag());
    assert_eq!((number(&frame), tag), (7, Some(40)));
    assert_eq!(b.received(), None);
    assert_eq!(path(&daemon, 0), json!({"vf": 0}));
}

#[test]
fn what_the_nic_switch_cannot_enforce_takes_the_vf_and_says_why() {
    let daemon = Daemon::with_vms(2, "", "");
    for (n, setting, reason) in [
        (0, "private-vlan=100:isolated:101", "the private VLAN cannot be enforced"),
        (1, "max-bandwidth=10M", "the maximum bandwidth cannot be enforced"),
    ] {
        let answer = set(&daemon, n, &[setting]);
        assert!(answer.contains("loses its VF") && answer.contains(reason), "{answer}");
        let adapter = daemon.json(&["show"])["vms"][n]["adapters"][0].clone();
        assert!(adapter["path"]["vf"].is_null(), "{adapter}");
        assert!(adapter["no_vf"]["reason"].as_str().unwrap().contains(reason), "{adapter}");
    }
    assert_eq!(filter(&daemon, 0), (json!(0), json!("any")));
    // The limit is that of what it sends: what it receives may pass the switch by.
    assert_eq!(filter(&daemon, 1), (path(&daemon, 1)["queue"].clone(), json!("untagged")));
}

#[test]
fn adapters_on_a_queue_and_on_the_switch_move_to_other_vlans() {
    let daemon = Daemon::start(Host::new(), &vms(3, "total_vfs = 1\npf_vports = 1", ""));
    let boot =
        |n: usize| SyntheticGuest::boot(&daemon.host.runtime_dir().join(format!("vm{n}-net0.net")), mac(n));
    let (mut vf, mut queue, mut switch) = (Guest::boot(&daemon.socket(0)), boot(1), boot(2));
    set(&daemon, 0, &["vlan=10"]);
    let answer = set(&daemon, 1, &["vlan=10"]);
    assert!(!answer.contains("lost"), "{answer}");
    assert!(path(&daemon, 1)["queue"].is_u64());
    vf.send(&numbered(switch.mac, vf.mac, 1, 60));
    vf.send(&numbered(queue.mac, vf.mac, 2, 60));
    assert_eq!(number(&queue.receive()), 2);
    queue.send(&numbered(vf.mac, queue.mac, 3, 60));
    assert_eq!(number(&vf.receive()), 3);
    // By the queue, not by the extensible switch.
    assert_eq!(daemon.json(&["show"])["vms"][1]["adapters"][0]["synthetic"]["direct"], 1);

    set(&daemon, 2, &["vlan=10"]);
    set(&daemon, 1, &["vlan=20"]);
    vf.send(&numbered(queue.mac, vf.mac, 4, 60));
    vf.send(&numbered(switch.mac, vf.mac, 5, 60));
    assert_eq!(number(&switch.receive()), 5);
    assert_eq!(queue.received(), None);

    // A queue does not know the VLANs of a trunk.
    let answer = set(&daemon, 1, &["trunk=10,20"]);
    assert!(answer.contains("lost its VM queue: it is a trunk"), "{answer}");
    assert_eq!((path(&daemon, 1), filter(&daemon, 1)), (json!("switch"), (json!(0), json!("any"))));
    vf.send(&numbered(queue.mac, vf.mac, 6, 60));
    assert_eq!(queue.receive(), tagged(queue.mac, vf.mac, 10, 6));
    queue.send(&tagged(switch.mac, queue.mac, 10, 7));
    assert_eq!(number(&switch.receive()), 7);
}

#[test]
fn without_sr_iov_adapters_on_vm_queues_move_to_other_vlans() {
    let daemon = Daemon::start(Host::new(), &vms(2, "sriov = false", ""));
    let boot =
        |n: usize| SyntheticGuest::boot(&daemon.host.runtime_dir().join(format!("vm{n}-net0.net")), mac(n));
    let (mut a, mut b) = (boot(0), boot(1));
    let vlans = |n: usize| {
        let queues = daemon.json(&["queue"]);
        let name = format!("vm{n}-net0");
        let own = queues.as_array().unwrap().iter().find(|queue| queue["queue_name"] == name).unwrap();
        own["filters"].as_array().unwrap().iter().map(|filter| filter["vlan"].clone()).collect::<Vec<_>>()
    };
    set(&daemon, 0, &["vlan=10"]);
    assert_eq!((vlans(0), vlans(1)), (vec![json!("10")], vec![json!("untagged")]));
    a.send(&numbered(b.mac, a.mac, 1, 60));
    set(&daemon, 1, &["vlan=10"]);
    a.send(&numbered(b.mac, a.mac, 2, 60));
    assert_eq!(number(&b.receive()), 2);
    let answer = set(&daemon, 0, &["trunk=all"]);
    assert!(answer.contains("lost its VM queue: it is a trunk"), "{answer}");
    assert_eq!(path(&daemon, 0), "switch");
    b.send(&numbered(a.mac, b.mac, 3, 60));
    assert_eq!(a.receive(), tagged(a.mac, b.mac, 10, 3));
}

#[test]
fn vlans_that_cannot_be_are_refused_and_change_nothing() {
    let daemon = Daemon::with_vms(2, "", "vlan = 10");
    let _guest = Guest::boot(&daemon.socket(0));
    crate::common::wait_until("it is served by its VF", || path(&daemon, 0) == json!({"vf": 0}));
    let private = ["private-vlan=100:isolated:101"];
    set(&daemon, 1, &private);
    let before = (policy(&daemon, 0), daemon.json(&["vport"])[1]["filters"].clone());
    assert_eq!(before.0, json!({"access": 10}));
    for (settings, parts) in [
        (&["vlan=4095"][..], &["vlan=4095", "1 to 4094"][..]),
        (&["trunk=5,0"], &["trunk=5,0", "\"0\""]),
        (&["vlan=5", "trunk=all"], &["vlan=5", "trunk=all", "cannot both be"]),
        (&["private-vlan=100:community:101"], &["101", "isolated VLAN of 100"]),
        (&["private-vlan=100:isolated:100"], &["100", "primary"]),
    ] {
        let refused = refusal(&daemon, 0, settings);
        assert!(parts.iter().all(|part| refused.contains(part)), "{settings:?}: {refused}");
        let now = (policy(&daemon, 0), daemon.json(&["vport"])[1]["filters"].clone());
        assert_eq!(now, before, "{settings:?}");
    }
    assert_eq!(path(&daemon, 0), json!({"vf": 0}));
}
