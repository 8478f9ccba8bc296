//! VMs that commands make, change and remove.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::daemon::{Daemon, Host, vms};
use crate::common::driver::Guest;

const TWO_VFS: &str = "[adapter]\ntotal_vfs = 2\n";

/// What is wanted, without what comes and goes by itself.
fn wanted(daemon: &Daemon) -> Value {
    let mut vms = daemon.json(&["show"])["vms"].clone();
    for vm in vms.as_array_mut().unwrap() {
        let adapters = vm["adapters"].as_array().unwrap().iter();
        let adapters: Vec<Value> =
            adapters.map(|adapter| json!({"name": adapter["name"], "desired": adapter["desired"]})).collect();
        *vm = json!({"name": vm["name"], "qmp": vm["vmm"]["qmp"], "adapters": adapters});
    }
    vms
}

fn done(daemon: &Daemon, arguments: &[&str]) {
    let output = daemon.host.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn vms_made_by_commands_are_there_after_a_restart() {
    let daemon = Daemon::start(Host::new(), TWO_VFS);
    done(
        &daemon,
        &["vm", "add", "alpha", "--adapter", "mac=02:00:00:00:01:01,trunk=5,100-200,iov-weight=50"],
    );
    let alpha = daemon.json(&["vm", "set", "alpha", "mtu=9000", "max_tx_rate=10", "trust=on"]);
    assert_eq!(alpha["desired"]["port"]["bandwidth"]["maximum"], 10_000_000);
    done(&daemon, &["vm", "add", "beta", "--qmp", "/nowhere/beta.qmp"]);
    let added = daemon.json(&["vm", "adapter", "add", "beta", "mac=02:00:00:00:02:01"]);
    assert_eq!(added["name"], "net0");
    done(&daemon, &["vm", "adapter", "add", "beta", "mac=02:00:00:00:02:02", "name=lan", "vlan=7"]);
    done(&daemon, &["vm", "adapter", "add", "beta", "mac=02:00:00:00:02:03"]);
    // The others keep their names.
    done(&daemon, &["vm", "del", "beta/net0"]);
    let before = wanted(&daemon);
    assert_eq!(before[0]["adapters"][0]["desired"]["trunk"], json!([5, "100-200"]));
    let names: Vec<&Value> =
        before[1]["adapters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["lan", "net1"]);
    let daemon = daemon.restart(TWO_VFS);
    assert_eq!(wanted(&daemon), before);
    assert!(daemon.host.runtime_dir().join("beta-lan.net").exists());
    done(&daemon, &["vm", "set", "beta", "qmp=none"]);
    done(&daemon, &["vm", "del", "alpha"]);
    done(&daemon, &["vm", "del", "beta"]);
    assert_eq!(daemon.host.sockets(), ["control.sock"]);
    let daemon = daemon.restart(TWO_VFS);
    assert_eq!(wanted(&daemon), json!([]));
}

#[test]
fn vms_of_the_file_follow_the_file_and_those_of_commands_stay() {
    let named = |daemon: &Daemon| -> Vec<String> {
        let vms = wanted(daemon);
        vms.as_array().unwrap().iter().map(|vm| vm["name"].as_str().unwrap().to_owned()).collect()
    };
    let weight = |daemon: &Daemon| wanted(daemon)[1]["adapters"][0]["desired"]["iov_weight"].clone();
    let file = |count| vms(count, "total_vfs = 2", "iov_weight = 60");
    let daemon = Daemon::start(Host::new(), &file(2));
    done(&daemon, &["vm", "add", "own", "--adapter", "mac=02:00:00:00:01:01"]);
    // In force until the file is read again.
    done(&daemon, &["vm", "set", "vm1", "iov-weight=7"]);
    assert_eq!((named(&daemon), weight(&daemon)), (vec!["vm0".into(), "vm1".into(), "own".into()], json!(7)));
    let daemon = daemon.restart(&file(1));
    assert_eq!(named(&daemon), ["vm0", "own"]);
    assert!(!daemon.socket(1).exists());
    let daemon = daemon.restart(&file(2));
    assert_eq!(
        (named(&daemon), weight(&daemon)),
        (vec!["vm0".into(), "vm1".into(), "own".into()], json!(60))
    );
    // One that a command made and that the file names later is the file's from then on.
    let with_own = file(1) + "[[vm]]\nname = \"own\"\n";
    let daemon = daemon.restart(&with_own);
    assert_eq!(wanted(&daemon)[1], json!({"name": "own", "qmp": null, "adapters": []}));
    let daemon = daemon.restart(&file(1));
    assert_eq!(named(&daemon), ["vm0"]);
}

#[test]
fn what_cannot_be_wanted_is_refused_and_changes_nothing() {
    let daemon = Daemon::start(Host::new(), &vms(2, "total_vfs = 2", ""));
    let before = wanted(&daemon);
    let mac = before[0]["adapters"][0]["desired"]["mac"].as_str().unwrap();
    let taken = format!("mac={mac}");
    let cases: [(&[&str], i32, &[&str]); 17] = [
        (&["vm", "add", "x", "--adapter", &taken], 1, &[mac, "vm0/net0", "x/net0", "must differ"]),
        (&["vm", "set", "vm1", &taken], 1, &[mac, "vm0/net0", "vm1/net0"]),
        (
            &["vm", "add", "x", "--adapter", "mac=01:00:00:00:00:01"],
            2,
            &["01:00:00:00:00:01", "must be even"],
        ),
        (&["vm", "add", "x", "--adapter", "vlan=5"], 2, &["mac=02:00:00:00:00:01"]),
        (&["vm", "add", "a b"], 2, &["\"a b\" cannot be a name", "letters"]),
        (&["vm", "add", "vm0"], 1, &["there is a VM vm0 already"]),
        (&["vm", "set", "vm0", "vlan=4095"], 2, &["\"4095\"", "1 to 4094"]),
        (&["vm", "set", "vm0", "iov-weight=101"], 2, &["101", "0 (none) to 100"]),
        (&["vm", "set", "vm0", "speed=9"], 2, &["speed=9", "iov-weight", "max-tx-rate: megabits"]),
        (&["vm", "set", "vm0", "vlan=5", "trunk=all"], 2, &["vlan=5", "trunk=all", "cannot both be"]),
        (&["vm", "set", "vm0", "switch=lab"], 1, &["lab", "default"]),
        (&["vm", "set", "nobody", "vlan=5"], 1, &["\"nobody\"", "vm0, vm1"]),
        (&["vm", "del", "nobody"], 1, &["\"nobody\"", "vm0, vm1"]),
        (&["vm", "del", "vm0/net7"], 1, &["\"net7\"", "net0"]),
        (&["vm", "explain", "vm0/net7"], 1, &["\"net7\"", "net0"]),
        (&["vm", "failover", "vm0", "--to", "moon"], 2, &["moon", "synthetic, vf and auto"]),
        (&["vm", "adapter", "add", "vm0", "mac=02:00:00:00:09:01", "name=net0"], 1, &["vm0/net0 already"]),
    ];
    for (arguments, code, told) in cases {
        let refusal = daemon.host.failure(arguments, code);
        assert!(told.iter().all(|part| refusal.contains(part)), "{arguments:?}: {refusal}");
        assert_eq!(wanted(&daemon), before, "{arguments:?}");
    }
    // What the command line lets pass, the daemon does not.
    for body in
        [r#"{"iov_weight":101}"#, r#"{"vlan":4095}"#, r#"{"mac":"01:00:00:00:00:01"}"#, r#"{"speed":9}"#]
    {
        let (status, answer) = patch(&daemon, "/v1/vms/vm0/adapters/net0", body);
        assert_eq!((status, &answer["code"]), (422, &json!("invalid")), "{body}: {answer}");
        assert_eq!(wanted(&daemon), before, "{body}");
    }
}

/// PATCH, as `curl` does it.
fn patch(daemon: &Daemon, path: &str, body: &str) -> (u16, Value) {
    use std::io::{Read, Write};
    let socket = daemon.host.runtime_dir().join("control.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/merge-patch+json\r\nconnection: close\r\n"
    );
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn what_a_vmm_uses_is_not_removed() {
    let daemon = Daemon::with_vms(2, "total_vfs = 2", "");
    let mut guest = Guest::boot(&daemon.socket(0));
    let before = wanted(&daemon);
    for arguments in
        [&["vm", "del", "vm0"][..], &["vm", "del", "vm0/net0"], &["vm", "set", "vm0", "mtu=9000"]]
    {
        let refusal = daemon.host.refusal(arguments);
        assert!(refusal.contains("vm0/net0 is in use") && refusal.contains("stop its VM"), "{refusal}");
        assert_eq!(wanted(&daemon), before);
    }
    // It is served as before.
    guest.get(0x0008).unwrap();
    done(&daemon, &["vm", "del", "vm1"]);
    assert!(!daemon.socket(1).exists());
}

#[test]
fn a_file_says_which_vms_there_are_to_be() {
    let daemon = Daemon::start(Host::new(), &vms(2, "total_vfs = 2", ""));
    let before = wanted(&daemon);
    let mac = before[0]["adapters"][0]["desired"]["mac"].as_str().unwrap().to_owned();
    let file = daemon.host.path("wanted.toml");
    let text = format!(
        "[[vm]]\nname = \"vm0\"\n[[vm.adapter]]\nmac = \"{mac}\"\niov_weight = 0\n[[vm]]\nname = \"new\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let plan = daemon.json(&["apply", "-f", file, "--dry-run"]);
    let changes: Vec<_> =
        plan["changes"].as_array().unwrap().iter().map(|one| (&one["kind"], &one["vm"])).collect();
    let expected = [("removed", "vm1"), ("changed", "vm0"), ("added", "new")];
    assert_eq!(changes, expected.map(|(kind, vm)| (json!(kind), json!(vm))).each_ref().map(|(a, b)| (a, b)));
    assert_eq!(plan["changes"][1]["details"], json!(["iov_weight is 0, was 100"]));
    assert_eq!((&plan["applied"], &plan["lose_vf"]), (&json!(false), &json!(["vm0/net0", "vm1/net0"])));
    assert_eq!(wanted(&daemon), before, "a dry run changes nothing");
    let done = daemon.json(&["apply", "-f", file]);
    assert_eq!((&done["applied"], &done["changes"]), (&json!(true), &plan["changes"]));
    assert_eq!(daemon.json(&["apply", "-f", file])["changes"], json!([]));
    assert_eq!(wanted(&daemon)[1]["name"], "new");
    // JSON by the standard input.
    let mut command = daemon.host.command(&["apply", "-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), br#"{"vm": [{"name": "other"}]}"#).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(wanted(&daemon), json!([{"name": "other", "qmp": null, "adapters": []}]));
    std::fs::write(file, "[[vm]]\nname = \"x\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\nvlan = 4095\n")
        .unwrap();
    let refusal = daemon.host.refusal(&["apply", "-f", file]);
    assert!(refusal.contains("4095") && refusal.contains("line 5"), "{refusal}");
    assert!(daemon.host.refusal(&["apply", "-f", "/nowhere/x"]).contains("/nowhere/x"));
}

#[test]
fn shells_and_man_are_told_of_all_commands() {
    let host = Host::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(host.cli(&["completions", shell]).stdout).unwrap();
        assert!(["failover", "qemu-args", "dry-run"].iter().all(|word| script.contains(word)), "{shell}");
    }
    let check = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn();
    if let Ok(mut check) = check {
        let script = host.cli(&["completions", "bash"]).stdout;
        std::io::Write::write_all(&mut check.stdin.take().unwrap(), &script).unwrap();
        assert!(check.wait().unwrap().success());
    }
    let folder = host.path("man");
    std::fs::create_dir(&folder).unwrap();
    assert!(host.cli(&["man", folder.to_str().unwrap()]).status.success());
    for page in ["softiov.1", "softiov-vm-failover.1", "softiov-capture.1", "softiov-vm-adapter-add.1"] {
        assert!(std::fs::read_to_string(folder.join(page)).unwrap().contains(".TH"), "{page}");
    }
    assert!(host.refusal(&["man", "/nowhere"]).contains("/nowhere"));
}
