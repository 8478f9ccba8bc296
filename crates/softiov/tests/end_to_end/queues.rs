//! VM queues of an adapter without SR-IOV.

use crate::capture::{Packet, end, read, start};
use crate::common::daemon::{Daemon, Host, vms};
use crate::common::frames::mac;
use crate::common::front_end::SyntheticGuest;
use crate::common::wait_until;
use crate::common::wire::{Outside, PAYLOAD, UPLINK};

/// Three VMs, of which the first gets the one VM queue, and the machine outside.
fn daemon() -> (Daemon, Outside) {
    let outside = Outside::enter();
    let vms = vms(3, "sriov = false\nvm_queues = 1", "");
    let config = format!("cpu = 0\n[uplink]\ntype = \"tap\"\ninterface = \"{UPLINK}\"\n{vms}");
    let daemon = Daemon::start(Host::new(), &config);
    wait_until("the link of the uplink", || daemon.json(&["show"])["uplink"]["link"]["up"] == true);
    (daemon, outside)
}

fn address(n: usize) -> String {
    mac(n).map(|byte| format!("{byte:02x}")).join(":")
}

#[test]
fn queues_are_listed_with_their_state_their_cpu_and_their_filters() {
    let (daemon, _outside) = daemon();
    let output = daemon.host.cli(&["queue"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let header = ["QueueID", "State", "NumFilters", "Affinity", "VmFriendlyName", "QueueName", "Filters"];
    let [first, second, third] = [0, 1, 2].map(address);
    let rest = format!("{second} untagged, {third} untagged");
    let default: Vec<&str> =
        ["0", "Running", "2", "-", "-", "-"].into_iter().chain(rest.split(' ')).collect();
    let own = ["1", "Running", "1", "0:0x1", "vm0", "vm0-net0", &first, "untagged"];
    assert_eq!(lines, [&header[..], &default, &own], "{text}");

    let queues = daemon.json(&["queue"]);
    let own = &queues[1];
    for (name, value) in
        [("state", "Running"), ("affinity", "0:0x1"), ("vm", "vm0"), ("queue_name", "vm0-net0")]
    {
        assert_eq!(own[name], value, "{name}: {own}");
    }
    assert_eq!((&own["queue_id"], queues.as_array().unwrap().len()), (&1.into(), 2));
    let filters = own["filters"].as_array().unwrap();
    assert_eq!(
        (filters.len(), &filters[0]["mac"], &filters[0]["vlan"]),
        (1, &first.into(), &"untagged".into())
    );

    let adapter = |n: usize| daemon.json(&["show"])["vms"][n]["adapters"][0].clone();
    assert_eq!(adapter(0)["path"], serde_json::json!({ "queue": 1 }));
    assert!(adapter(0)["no_vf"]["reason"].as_str().unwrap().contains("SR-IOV is off"));
    assert_eq!(adapter(1)["path"], "switch");
    assert!(adapter(1)["no_queue"].as_str().unwrap().contains("all VM queues are taken"));
}

#[test]
fn a_capture_of_a_queue_shows_what_came_by_it_and_nothing_else() {
    let (daemon, outside) = daemon();
    let mut guests = [0, 1].map(|n| {
        let socket = daemon.host.runtime_dir().join(format!("vm{n}-net0.net"));
        SyntheticGuest::boot(&socket, mac(n))
    });
    let captures = [1, 0].map(|queue| {
        let file = daemon.host.path(&format!("{queue}.pcapng"));
        (start(&daemon, &["queue", &queue.to_string()], &file), file, queue)
    });
    let content = |n: u8, number: u8| [b"to", &[n, number][..], &[0x5a; 60]].concat();
    for number in 0..5 {
        for (n, guest) in (0..).zip(&mut guests) {
            outside.send(1 + n, guest.mac, &content(n, number));
            assert_eq!(guest.receive()[PAYLOAD..], content(n, number));
        }
    }
    // What a guest has received has been shown.
    for ((n, direct), (capture, file, queue)) in (0..).zip([5, 0]).zip(captures) {
        let adapter = daemon.json(&["show"])["vms"][usize::from(n)]["adapters"][0].clone();
        assert_eq!(adapter["synthetic"]["direct"], direct, "{adapter}");
        let said = end(capture);
        assert!(said.contains("5 frames captured, 0 missed"), "{said}");
        let (packets, completed) = read(&file);
        assert!(completed);
        let shown: Vec<_> = packets
            .into_iter()
            .map(|Packet { interface, flags, comment, bytes }| {
                (interface, flags, comment, bytes[PAYLOAD..].to_vec())
            })
            .collect();
        let expected = (0..5).map(|number| (format!("queue {queue}"), 1, None, content(n, number)));
        assert_eq!(shown, expected.collect::<Vec<_>>());
    }
}

#[test]
fn queues_and_vports_that_there_are_not_are_told() {
    let (daemon, _outside) = daemon();
    let file = daemon.host.path("none.pcapng");
    for (point, told) in [(["queue", "2"], "there are 0, 1"), (["vport", "1"], "there are none")] {
        let refusal = daemon.host.refusal(&["capture", point[0], point[1], "-w", file.to_str().unwrap()]);
        assert!(refusal.contains(told), "{point:?}: {refusal}");
    }
    assert!(!file.exists());
}
