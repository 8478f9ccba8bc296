//! The file of the desired state: one daemon has it, and one that it cannot read stays as it is.

use std::path::PathBuf;

use redb::{Database, TableDefinition};

use crate::common::daemon::{Daemon, Host, STATE};

/// A host on which a daemon was, with a VM.
fn host_with_state() -> (Host, PathBuf) {
    let daemon = Daemon::start(Host::new(), "");
    let output = daemon.host.cli(&["vm", "add", "alpha", "--adapter", "mac=02:00:00:00:00:01"]);
    assert!(output.status.success());
    let state = daemon.host.runtime_dir().join(STATE);
    let (host, _) = daemon.end();
    (std::sync::Arc::into_inner(host).unwrap(), state)
}

fn refused(host: &Host, state: &PathBuf, told: &[&str]) {
    let before = std::fs::read(state).unwrap();
    let refusal = host.start_refused(&host.configure(""));
    assert!(told.iter().all(|part| refusal.contains(part)), "{refusal}");
    assert!(std::fs::read(state).unwrap() == before, "the file has changed");
    assert_eq!(host.sockets(), Vec::<String>::new());
}

#[test]
fn two_daemons_cannot_have_one_file() {
    let daemon = Daemon::start(Host::new(), "");
    let state = daemon.host.runtime_dir().join(STATE);
    let other = Host::new();
    std::fs::create_dir(other.runtime_dir()).unwrap();
    let refusal = other.start_refused(&other.configure(&format!("state = {state:?}\n")));
    assert!(refusal.contains("in use") && refusal.contains(STATE), "{refusal}");
    assert_eq!(other.sockets(), Vec::<String>::new());
    assert!(daemon.host.cli(&["vm", "add", "alpha"]).status.success(), "the first one has it still");
}

#[test]
fn a_file_that_is_damaged_is_refused_and_left_as_it_is() {
    let (host, state) = host_with_state();
    let good = std::fs::read(&state).unwrap();
    std::fs::write(&state, b"not a store").unwrap();
    refused(&host, &state, &["is not a store of softiov", "was not touched"]);
    let mut damaged = good.clone();
    for byte in &mut damaged[512..16384] {
        *byte ^= 0x55;
    }
    std::fs::write(&state, &damaged).unwrap();
    refused(&host, &state, &["damaged", "was not touched"]);
    std::fs::write(&state, &good[..good.len() / 2]).unwrap();
    refused(&host, &state, &["was not touched"]);
    // A copy put back is good again.
    std::fs::write(&state, &good).unwrap();
    let daemon = Daemon::start(host, "");
    assert_eq!(daemon.json(&["vm"])[0]["name"], "alpha");
}

#[test]
fn a_file_of_a_newer_program_is_refused_and_left_as_it_is() {
    let (host, state) = host_with_state();
    {
        let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("softiov.meta");
        let database = Database::open(&state).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(meta).unwrap().insert("schema", 1000).unwrap();
        transaction.commit().unwrap();
    }
    refused(&host, &state, &["1000", "newer"]);
}
