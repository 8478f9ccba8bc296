use std::io::{BufRead, BufReader, Write};
use std::thread::{self, JoinHandle};

use super::*;

const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

/// A QEMU that sends the greeting, then one script of lines for each command; returns the commands that it saw.
fn qemu(scripts: &'static [&'static [&'static str]]) -> (Result<Qmp>, JoinHandle<Vec<String>>) {
    let (host, mut peer) = UnixStream::pair().unwrap();
    let qemu = thread::spawn(move || {
        writeln!(peer, "{GREETING}").unwrap();
        let mut seen = Vec::new();
        let mut lines = BufReader::new(peer.try_clone().unwrap()).lines();
        for script in scripts {
            seen.push(lines.next().unwrap().unwrap());
            for line in *script {
                writeln!(peer, "{line}").unwrap();
            }
        }
        seen
    });
    (Qmp::new(host, Deadline::after(Duration::from_secs(10))), qemu)
}

#[test]
fn events_before_an_answer_are_kept() {
    let (qmp, peer) = qemu(&[
        &[r#"{"return": {}}"#],
        &[
            r#"{"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/vf0/x"}}"#,
            r#"{"event": "DEVICE_DELETED", "data": {"device": "vf0", "path": "/machine/peripheral/vf0"}}"#,
            r#"{"return": {"status": "running"}}"#,
        ],
    ]);
    let mut qmp = qmp.unwrap();
    assert_eq!(qmp.execute("query-status", &json!({})).unwrap()["status"], "running");
    let event = qmp.await_event("DEVICE_DELETED", &json!({"device": "vf0"}), Duration::from_secs(1)).unwrap();
    assert_eq!(event["data"]["path"], "/machine/peripheral/vf0");
    assert!(peer.join().unwrap()[0].contains("qmp_capabilities"));
}

#[test]
fn a_refusal_is_an_error_that_names_the_command() {
    let (qmp, _peer) = qemu(&[
        &[r#"{"return": {}}"#],
        &[r#"{"error": {"class": "GenericError", "desc": "Bus 'rp9' not found"}}"#],
    ]);
    let error = qmp.unwrap().execute("device_add", &json!({"bus": "rp9"})).unwrap_err().to_string();
    assert!(error.contains("device_add") && error.contains("not found"), "{error}");
}

#[test]
fn a_peer_that_is_not_qemu_is_refused() {
    let (host, mut peer) = UnixStream::pair().unwrap();
    writeln!(peer, r#"{{"hello": 1}}"#).unwrap();
    assert!(Qmp::new(host, Deadline::after(Duration::from_secs(10))).is_err());
}
