//! Which path an adapter is on, why, and orders to change that; and what is told of it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::common::daemon::Daemon;
use crate::common::driver::Guest;
use crate::common::wait_until;

fn explain(daemon: &Daemon, n: usize) -> Value {
    daemon.json(&["vm", "explain", &format!("vm{n}/net0")])[0].clone()
}

fn text(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.host.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn wait_for_path(daemon: &Daemon, n: usize, path: &Value) {
    wait_until("the path", || explain(daemon, n)["path"] == *path);
}

#[test]
fn explain_says_who_has_the_vfs_and_what_would_change_that() {
    let daemon = Daemon::with_vms(3, "total_vfs = 2\npf_vports = 0", "");
    let _guest = Guest::boot(&daemon.socket(0));
    wait_for_path(&daemon, 0, &json!({"vf": 0}));
    let held = explain(&daemon, 0);
    assert_eq!((&held["vf_life"]["state"], &held["no_vf"]), (&json!("active"), &Value::Null));
    assert!(held["because"].as_str().unwrap().contains("It has VF 0 by its iov_weight of 100"), "{held}");
    let offered = explain(&daemon, 1);
    assert_eq!((&offered["path"], &offered["no_vf"]["code"]), (&json!("switch"), &json!("plug_by_hand")));
    let without = explain(&daemon, 2);
    assert_eq!((&without["path"], &without["no_vf"]["code"]), (&json!("switch"), &json!("all_taken")));
    assert!(without["no_vf"]["remedy"].as_str().unwrap().contains("iov_weight above 100"), "{without}");
    let holders: Vec<&Value> =
        without["holders"].as_array().unwrap().iter().map(|one| &one["adapter"]).collect();
    assert_eq!(holders, ["vm0/net0", "vm1/net0"]);
    let shown = text(&daemon, &["vm", "explain", "vm2"]);
    assert!(
        shown.contains("All 2 VFs are taken") && shown.contains("vm1/net0 (VF 1, iov_weight 100)"),
        "{shown}"
    );
    let listed = text(&daemon, &["vm"]);
    assert!(listed.lines().any(|line| line.starts_with("vm0") && line.contains("VF 0")), "{listed}");
}

#[test]
fn an_operator_orders_adapters_and_vfs() {
    let daemon = Daemon::with_vms(2, "total_vfs = 2\npf_vports = 0", "");
    let order = text(&daemon, &["vm", "failover", "vm0", "--to", "synthetic"]);
    assert!(order.contains("vm0/net0 goes to its synthetic adapter"), "{order}");
    assert_eq!(explain(&daemon, 0)["no_vf"]["code"], "operator");
    assert!(!daemon.socket(0).exists());
    text(&daemon, &["vm", "failover", "vm0/net0", "--to", "auto"]);
    assert_eq!(explain(&daemon, 0)["no_vf"]["code"], "plug_by_hand");
    let detached = text(&daemon, &["vf", "detach", "0"]);
    assert!(detached.contains("VF 0 is being taken from vm0/net0"), "{detached}");
    assert_eq!(explain(&daemon, 0)["no_vf"]["code"], "operator");
    let refusal = daemon.host.refusal(&["vf", "detach", "0"]);
    assert!(refusal.contains("nobody has VF 0: vm1/net0 has VF 1"), "{refusal}");
    assert!(daemon.host.refusal(&["vf", "reset", "9"]).contains("there are 2"));
    // Fewer VFs do not disturb those in use.
    assert_eq!(daemon.json(&["adapter", "set", "num-vfs=1"])["num_vfs"], 1);
    let refusal = daemon.host.refusal(&["adapter", "set", "num-vfs=0"]);
    assert!(refusal.contains("0 VFs are fewer than the 1 in use"), "{refusal}");
    assert!(daemon.host.refusal(&["adapter", "set", "num-vfs=3"]).contains("the 2 with which"));
    text(&daemon, &["vm", "failover", "vm0", "--to", "vf"]);
    assert_eq!(explain(&daemon, 0)["no_vf"]["code"], "all_taken");
    assert_eq!(explain(&daemon, 1)["no_vf"]["code"], "plug_by_hand");
}

#[test]
fn events_tell_what_happened_with_what_it_cost() {
    let daemon = Daemon::with_vms(1, "total_vfs = 2", "");
    let mut command = daemon.host.command(&["events", "--follow", "-o", "json"]);
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let _guest = Guest::boot(&daemon.socket(0));
    let event = lines
        .by_ref()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|event| event["kind"] == "failover")
        .unwrap();
    assert_eq!((&event["vm"], &event["adapter"]), (&json!("vm0"), &json!("net0")));
    let failover = &event["failover"];
    assert_eq!((&failover["cause"], &failover["to"]), (&json!("driver_up"), &json!({"vf": 0})));
    assert_eq!(failover["frames"]["lost"], 0, "{event}");
    assert!(text(&daemon, &["vm", "add", "other"]).contains("VM other"));
    let added = serde_json::from_str::<Value>(
        &lines.map(Result::unwrap).find(|line| line.contains("desired")).unwrap(),
    )
    .unwrap();
    assert_eq!(added["text"], "VM other is added");
    follower.kill().unwrap();
    follower.wait().unwrap();
    let all = daemon.json(&["events"]);
    let numbers: Vec<u64> =
        all["events"].as_array().unwrap().iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=all["latest"].as_u64().unwrap()).collect::<Vec<_>>());
    let last = added["sequence"].as_u64().unwrap();
    let since = daemon.json(&["events", "--since", &(last - 1).to_string()]);
    assert_eq!(since["events"][0], added);
    assert!(text(&daemon, &["events"]).contains("gap"));
}

#[test]
fn metrics_count_frames_vfs_and_failovers() {
    let daemon = Daemon::with_vms(2, "total_vfs = 2", "");
    let mut guests = [Guest::boot(&daemon.socket(0)), Guest::boot(&daemon.socket(1))];
    wait_for_path(&daemon, 0, &json!({"vf": 0}));
    wait_for_path(&daemon, 1, &json!({"vf": 1}));
    let frame = crate::common::frames::numbered(guests[1].mac, guests[0].mac, 1, 100);
    guests[0].send(&frame);
    assert_eq!(guests[1].receive(), frame);
    let value = |series: &str| {
        let metrics = text(&daemon, &["metrics"]);
        let line = metrics.lines().find_map(|line| line.strip_prefix(series).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{series}: {metrics}")).trim().parse::<f64>().unwrap()
    };
    assert_eq!(value(r#"softiov_adapter_sent_frames_total{vm="vm0",adapter="net0",path="vf"}"#), 1.0);
    assert_eq!(value(r#"softiov_adapter_received_frames_total{vm="vm1",adapter="net0",path="vf"}"#), 1.0);
    assert_eq!(value(r#"softiov_failovers_total{cause="driver_up"}"#), 2.0);
}

#[test]
fn top_prints_lines_where_there_is_no_terminal() {
    let daemon = Daemon::with_vms(2, "", "");
    let shown = text(&daemon, &["top", "-n", "2", "-i", "0.1"]);
    assert_eq!(shown.matches("vm1/net0").count(), 2, "{shown}");
    assert!(shown.contains("worker") && shown.contains("Sent Mpps"), "{shown}");
    let output = daemon.host.cli(&["top", "-n", "2", "-i", "0.1", "-o", "json"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let loads: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(loads.len(), 2);
    assert_eq!(loads[1]["adapters"][1]["vm"], "vm1");
    assert!(daemon.host.failure(&["top", "-i", "0"], 2).contains("0.1 to 3600"));
}
