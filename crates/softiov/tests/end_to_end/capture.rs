//! Captures: files that the format's own readers take, and nothing left behind.

use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::daemon::Daemon;
use crate::common::driver::Guest;
use crate::common::frames::{BROADCAST, mac, numbered};
use crate::common::wait_until;

/// A packet of a file: interface, direction of `epb_flags`, comment, bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) interface: String,
    pub(crate) flags: u32,
    pub(crate) comment: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The options at `at`: codes with values.
fn options(block: &[u8], mut at: usize) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    while at + 4 <= block.len() {
        let half = |at: usize| u16::from_le_bytes(block[at..at + 2].try_into().unwrap());
        let (code, length) = (half(at), usize::from(half(at + 2)));
        if code == 0 {
            break;
        }
        all.push((code, block[at + 4..at + 4 + length].to_vec()));
        at += 4 + length.next_multiple_of(4);
    }
    all
}

/// The packets of a file, which must be whole; and whether it was completed with statistics.
pub(crate) fn read(path: &Path) -> (Vec<Packet>, bool) {
    let file = std::fs::read(path).unwrap();
    let (mut rest, mut interfaces, mut packets, mut completed) = (&file[..], Vec::new(), Vec::new(), false);
    while !rest.is_empty() {
        let length = word(rest, 4) as usize;
        assert_eq!(word(rest, length - 4) as usize, length, "a block has its length at both ends");
        let block = &rest[8..length - 4];
        let text = |options: &[(u16, Vec<u8>)], code| {
            let found = options.iter().find(|(other, _)| *other == code);
            found.map(|(_, value)| String::from_utf8(value.clone()).unwrap())
        };
        match word(rest, 0) {
            1 => interfaces.push(text(&options(block, 8), 2).unwrap()),
            5 => completed = true,
            6 => {
                let captured = word(block, 12) as usize;
                let options = options(block, 20 + captured.next_multiple_of(4));
                let flags = options.iter().find(|(code, _)| *code == 2).unwrap();
                packets.push(Packet {
                    interface: interfaces[word(block, 0) as usize].clone(),
                    flags: word(&flags.1, 0),
                    comment: text(&options, 1),
                    bytes: block[20..20 + captured].to_vec(),
                });
            }
            other => assert_eq!(other, 0x0a0d_0d0a, "a kind of block"),
        }
        rest = &rest[length..];
    }
    (packets, completed)
}

/// A capture in the background, which has begun.
pub(crate) fn start(daemon: &Daemon, arguments: &[&str], file: &Path) -> Child {
    let arguments = [&["capture"], arguments, &["-w", file.to_str().unwrap()]].concat();
    let child = daemon.host.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the capture begins", || std::fs::metadata(file).is_ok_and(|file| file.len() > 0));
    child
}

/// Ends a capture as a user does, and what it said.
pub(crate) fn end(child: Child) -> String {
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn an_adapter_with_a_vf_is_captured_both_ways() {
    let daemon = Daemon::with_vms(2, "", "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::boot(&daemon.socket(n)));
    let file = daemon.host.path("both.pcapng");
    let capture = start(&daemon, &["vm0/net0"], &file);
    let (there, back) = (numbered(mac(1), mac(0), 1, 60), numbered(mac(0), mac(1), 2, 1514));
    a.send(&there);
    assert_eq!(b.receive(), there);
    b.send(&back);
    assert_eq!(a.receive(), back);
    let said = end(capture);
    assert!(said.contains("2 frames captured, 0 missed"), "{said}");
    let (packets, completed) = read(&file);
    assert!(completed);
    let packet = |flags, bytes: &Vec<u8>| Packet {
        interface: "vm0/net0 (VF 0)".to_owned(),
        flags,
        comment: None,
        bytes: bytes.clone(),
    };
    assert_eq!(packets, [packet(2, &there), packet(1, &back)]);
}

#[test]
fn drops_are_captured_with_their_reason() {
    let daemon = Daemon::with_vms(2, "", "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::boot(&daemon.socket(n)));
    let file = daemon.host.path("drops.pcapng");
    let capture = start(&daemon, &["--drops", "--snaplen", "32", "--count", "1"], &file);
    let spoofed = numbered(mac(1), mac(1), 1, 60);
    let good = numbered(mac(1), mac(0), 2, 60);
    a.send(&good);
    a.send(&spoofed);
    a.send(&good);
    assert_eq!((b.receive(), b.receive()), (good.clone(), good));
    // It ends by itself.
    assert!(capture.wait_with_output().unwrap().status.success());
    let (packets, completed) = read(&file);
    assert!(completed);
    let comment = Some("source_mac_spoofed".to_owned());
    let interface = "vm0/net0 (VF 0)".to_owned();
    assert_eq!(packets, [Packet { interface, flags: 2, comment, bytes: spoofed[..32].to_vec() }]);
}

#[test]
fn stages_of_a_switch_and_the_default_vport_are_captured() {
    let daemon = Daemon::with_vms(2, "", "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::boot(&daemon.socket(n)));
    let points: [&[&str]; 2] = [&["switch", "default"], &["vport", "0"]];
    let captures: Vec<_> = points
        .iter()
        .map(|point| {
            let file = daemon.host.path(point[0]);
            (start(&daemon, point, &file), file)
        })
        .collect();
    let frame = numbered(BROADCAST, mac(0), 5, 200);
    a.send(&frame);
    assert_eq!(b.receive(), frame);
    wait_until("the frame is counted", || daemon.vport(0)["sent"]["frames"] == 1);
    let names = ["default: external", "VPort 0"];
    // It comes out of the NIC switch, and into the extensible switch by its external port.
    for ((capture, file), (name, flags)) in captures.into_iter().zip(names.into_iter().zip([2, 1])) {
        end(capture);
        let packets = read(&file).0;
        assert_eq!(packets.len(), 1, "{packets:?}");
        assert_eq!((packets[0].interface.as_str(), packets[0].flags), (name, flags));
        assert_eq!(packets[0].bytes, frame);
    }
}

#[test]
fn one_way_only_can_be_captured() {
    let daemon = Daemon::with_vms(2, "", "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::boot(&daemon.socket(n)));
    let file = daemon.host.path("in.pcapng");
    let capture = start(&daemon, &["vport", "1", "--direction", "in"], &file);
    let (there, back) = (numbered(mac(1), mac(0), 1, 60), numbered(mac(0), mac(1), 2, 60));
    a.send(&there);
    b.send(&back);
    assert_eq!((b.receive(), a.receive()), (there, back.clone()));
    end(capture);
    let packets = read(&file).0;
    assert_eq!(packets.iter().map(|packet| packet.bytes.clone()).collect::<Vec<_>>(), [back]);
}

#[test]
fn a_capture_whose_client_dies_leaves_nothing_behind() {
    let daemon = Daemon::with_vms(1, "", "");
    let fds = daemon.fds();
    for round in 0..10 {
        let mut capture =
            start(&daemon, &["switch", "default"], &daemon.host.path(&format!("{round}.pcapng")));
        capture.kill().unwrap();
        capture.wait().unwrap();
        // There can be eight: those that are gone make room.
        wait_until("its connection is closed", || daemon.fds() == fds);
    }
}

#[test]
fn the_end_of_the_daemon_completes_the_file() {
    let daemon = Daemon::with_vms(1, "", "");
    let file = daemon.host.path("end.pcapng");
    let capture = start(&daemon, &["vm0/net0"], &file);
    let (_host, _log) = daemon.end();
    assert!(capture.wait_with_output().unwrap().status.success());
    assert!(read(&file).1, "with statistics");
}

#[test]
fn captures_that_cannot_be_are_refused_and_make_no_file() {
    let daemon = Daemon::with_vms(1, "", "");
    let file = daemon.host.path("none.pcapng");
    let cases: [(&[&str], &str); 6] = [
        (&["vm9/net0"], "vm0/net0"),
        (&["uplink"], "no uplink"),
        (&["vport", "7"], "there are 0, 1"),
        (&["queue", "1"], "there are none"),
        (&["switch", "lab"], "default"),
        (&["vm0/net0", "--snaplen", "13"], "14 to 262144"),
    ];
    for (arguments, told) in cases {
        let arguments = [&["capture"], arguments, &["-w", file.to_str().unwrap()]].concat();
        let refusal = daemon.host.refusal(&arguments);
        assert!(refusal.contains(told), "{arguments:?}: {refusal}");
    }
    assert!(!file.exists());
}
