use std::io::{Read, Write};
use std::thread;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// An agent whose guest answers with the given bytes, whatever it is asked.
fn guest_that_says(text: &'static str) -> Agent {
    let (host, mut guest) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        guest.write_all(text.as_bytes()).unwrap();
        let mut sink = Vec::new();
        let _ = guest.read_to_end(&mut sink);
    });
    Agent::new(host).unwrap()
}

#[test]
fn output_and_status_are_told_apart() {
    let mut agent = guest_that_says("READY\nBEGIN 1\none\r\ntwo\n\nEND 1 3\n");
    agent.await_ready(soon()).unwrap();
    assert_eq!(agent.run("x", soon()).unwrap(), Output { status: 3, text: "one\ntwo".to_owned() });
}

#[test]
fn output_that_looks_like_a_frame_of_another_command_is_output() {
    let mut agent = guest_that_says("BEGIN 1\nEND 2 0\nBEGIN 1\n\nEND 1 0\n");
    assert_eq!(agent.run("x", soon()).unwrap().text, "END 2 0\nBEGIN 1");
}

#[test]
fn late_output_of_an_earlier_command_is_passed_over() {
    let mut agent = guest_that_says("BEGIN 1\nhalf");
    assert!(agent.run("x", Instant::now() + Duration::from_millis(50)).is_err());
    let mut agent = guest_that_says("rest\n\nEND 0 0\nBEGIN 1\nmine\n\nEND 1 0\n");
    assert_eq!(agent.run("y", soon()).unwrap().text, "mine");
}

#[test]
fn a_guest_that_restarts_is_noticed() {
    let error = guest_that_says("BEGIN 1\nREADY\n").run("x", soon()).unwrap_err();
    assert!(error.to_string().contains("restarted"), "{error}");
}

#[test]
fn commands_of_several_lines_or_too_long_are_refused() {
    let mut agent = guest_that_says("");
    assert!(agent.run("a\nb", soon()).is_err());
    assert!(agent.run(&"a".repeat(LONGEST_COMMAND + 1), soon()).is_err());
}

#[test]
fn a_guest_that_hangs_up_is_noticed() {
    let (host, guest) = UnixStream::pair().unwrap();
    drop(guest);
    assert!(Agent::new(host).unwrap().await_ready(soon()).is_err());
}
