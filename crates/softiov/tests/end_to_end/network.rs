//! What a user sees of the switches, and changes on them.

use serde_json::Value;

use crate::common::daemon::{Daemon, Host, vms};
use crate::common::driver::Guest;
use crate::common::frames::{mac, numbered};
use crate::common::wait_until;

/// Two VMs with VFs, one with a VM queue, one on the extensible switch only.
fn daemon() -> Daemon {
    Daemon::start(Host::new(), &vms(4, "total_vfs = 2\npf_vports = 1", ""))
}

/// What a command prints that must succeed.
fn text(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.host.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn adapter(daemon: &Daemon, n: usize) -> Value {
    daemon.json(&["show"])["vms"][n]["adapters"][0].clone()
}

fn address(n: usize) -> String {
    mac(n).map(|byte| format!("{byte:02x}")).join(":")
}

#[test]
fn show_says_for_each_adapter_which_path_it_is_on_and_why_not_a_better_one() {
    let daemon = daemon();
    let _guests = [Guest::boot(&daemon.socket(0)), Guest::boot(&daemon.socket(1))];
    for n in 0..2 {
        wait_until("its frames go by its VF", || adapter(&daemon, n)["path"]["vf"] == n);
    }
    let paths: Vec<Value> = (0..4).map(|n| adapter(&daemon, n)["path"].clone()).collect();
    assert_eq!(paths[..2], [serde_json::json!({"vf": 0}), serde_json::json!({"vf": 1})]);
    assert!(paths[2]["queue"].is_u64(), "{paths:?}");
    assert_eq!(paths[3], "switch");
    assert!(adapter(&daemon, 2)["no_vf"]["reason"].as_str().unwrap().contains("All 2 VFs are taken"));
    assert!(adapter(&daemon, 3)["no_queue"].as_str().unwrap().contains("vmq_weight"));
    let shown = text(&daemon, &["show"]);
    for part in [
        "NIC switch",
        "extensible switch",
        "by VF 1",
        "by VM queue",
        "by the extensible switch",
        "vm3-net0.net",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn switches_ports_and_stations_are_listed() {
    let daemon = daemon();
    let ports = text(&daemon, &["port", "default"]);
    assert_eq!(ports.lines().count(), 1 + 5, "{ports}");
    assert!(ports.lines().next().unwrap().starts_with("Switch   Port  Name"));
    assert!(text(&daemon, &["switch"]).contains("external"));
    assert!(text(&daemon, &["switch", "default"]).contains("vm3/net0"));
    let stations = daemon.json(&["fdb"]);
    assert_eq!(stations.as_array().unwrap().len(), 4);
    text(&daemon, &["fdb", "add", "default", "02:00:00:00:99:99", "--vlan", "7", "--port", "vm3/net0"]);
    let stations = daemon.json(&["fdb", "default"]);
    let fixed = stations.as_array().unwrap().iter().find(|station| station["origin"] == "static").unwrap();
    assert_eq!((&fixed["vlan"], &fixed["port_name"]), (&7.into(), &"vm3/net0".into()));
    text(&daemon, &["fdb", "del", "default", "02:00:00:00:99:99", "--vlan", "7"]);
    assert_eq!(daemon.json(&["fdb"]).as_array().unwrap().len(), 4);
    assert!(text(&daemon, &["queue"]).contains("SR-IOV mode"));
}

#[test]
fn names_that_there_are_not_are_told_with_those_that_there_are() {
    let daemon = daemon();
    let cases: [(&[&str], &[&str]); 8] = [
        (&["port", "lab"], &["lab", "default"]),
        (&["switch", "lab"], &["lab", "default"]),
        (&["acl", "vm9/net0"], &["vm9/net0", "vm3/net0"]),
        (&["fdb", "add", "default", "02:00:00:00:99:99", "--port", "x"], &["\"x\"", "external", "vm0/net0"]),
        (&["port", "set", "vm0/net0", "speed=9"], &["speed", "max-bandwidth"]),
        (&["acl", "del", "vm0/net0", "0"], &["no rule 0", "0 rules"]),
        (&["trace", "--from", "vm0/net0", "--dst", "vm9/net0"], &["vm9/net0", "vm3/net0"]),
        (&["trace", "--from", "uplink", "--dst", "vm0/net0"], &["--src"]),
    ];
    for (arguments, told) in cases {
        let refusal = daemon.host.refusal(arguments);
        assert!(told.iter().all(|part| refusal.contains(part)), "{arguments:?}: {refusal}");
    }
}

#[test]
fn a_policy_that_a_vf_cannot_enforce_takes_it_away_and_says_so() {
    let daemon = daemon();
    let guest = Guest::boot(&daemon.socket(0));
    let answer =
        text(&daemon, &["acl", "add", "vm0/net0", "deny", "in", "--protocol", "tcp", "--local-ports", "80"]);
    assert!(answer.contains("loses its VF: the port ACL"), "{answer}");
    drop(guest);
    assert!(!daemon.socket(0).exists());
    let view = adapter(&daemon, 0);
    assert_eq!((&view["path"], &view["vf"]), (&"switch".into(), &Value::Null));
    assert!(view["no_vf"]["reason"].as_str().unwrap().contains("port ACL"));
    // Its address is behind the default VPort now.
    let filters = daemon.json(&["filter"]);
    let own = filters.as_array().unwrap().iter().find(|filter| filter["mac"] == address(0)).unwrap();
    assert_eq!(own["vport_id"], 0);
    let rules = daemon.json(&["acl", "vm0/net0"]);
    assert_eq!((&rules[0]["index"], &rules[0]["rule"]["protocol"]), (&0.into(), &6.into()));
    text(&daemon, &["acl", "del", "vm0/net0", "0"]);
    assert_eq!(daemon.json(&["acl", "vm0/net0"]), serde_json::json!([]));
    // The others keep theirs, also over a rebuild.
    text(&daemon, &["datapath", "rebuild"]);
    assert_eq!(adapter(&daemon, 1)["vf"], 1);
    assert_eq!(adapter(&daemon, 0)["no_vf"]["code"], "all_taken", "the next in line has it");
}

#[test]
fn a_policy_that_a_vm_queue_passes_by_takes_it_away() {
    let daemon = daemon();
    let answer = text(&daemon, &["port", "set", "vm2/net0", "mirroring=source", "storm-limit=100"]);
    assert!(answer.contains("lost its VM queue"), "{answer}");
    assert_eq!(adapter(&daemon, 2)["path"], "switch");
    assert!(adapter(&daemon, 3)["path"]["queue"].is_u64(), "the next in line has it");
    let ports = daemon.json(&["switch", "default"])["ports"].clone();
    let own = ports.as_array().unwrap().iter().find(|port| port["name"] == "vm2/net0").unwrap();
    assert_eq!((&own["policy"]["storm_limit"], &own["policy"]["mirroring"]), (&100.into(), &"source".into()));
}

#[test]
fn trace_explains_a_delivery_and_counts_nothing() {
    let daemon = daemon();
    let guests = [Guest::boot(&daemon.socket(0)), Guest::boot(&daemon.socket(1))];
    for guest in &guests {
        daemon.wait_until_on_vf(guest.mac);
    }
    let trace = text(&daemon, &["trace", "--from", "vm0/net0", "--dst", "vm1/net0", "--tcp", "1000,80"]);
    for part in ["NIC switch, from VPort 1, VF 0 of vm0/net0", "filter", "vm1/net0      untagged  VF 1"] {
        assert!(trace.contains(part), "{part}: {trace}");
    }
    let by_synthetic = ["trace", "--from", "vm0/net0", "--synthetic", "--dst", "vm1/net0"];
    let trace = text(&daemon, &by_synthetic);
    for part in
        ["switch default, from vm0/net0", "receives through its VF", "NIC switch, from the default VPort"]
    {
        assert!(trace.contains(part), "{part}: {trace}");
    }
    let vport = daemon.vport(0);
    assert_eq!((&vport["sent"]["frames"], &vport["drops"]), (&0.into(), &serde_json::json!([])));
}

#[test]
fn trace_explains_a_drop_and_what_would_change_it() {
    let daemon = daemon();
    let _guest = Guest::boot(&daemon.socket(0));
    let spoofed = ["trace", "--from", "vm0/net0", "--src", "vm1/net0", "--dst", "vm1/net0", "-o", "json"];
    let trace: Value = serde_json::from_str(&text(&daemon, &spoofed)).unwrap();
    assert_eq!(trace["loss"]["reason"], "source_mac_spoofed");
    assert!(trace["loss"]["remedy"].as_str().unwrap().contains("trusted"));
    assert_eq!(trace["deliveries"], serde_json::json!([]));
    let hex: String = numbered(mac(0), mac(0), 1, 60).iter().map(|byte| format!("{byte:02x}")).collect();
    let looped = text(&daemon, &["trace", "--from", "vm0/net0", "--hex", &hex]);
    assert!(looped.contains("lost: hairpin"), "{looped}");
}
