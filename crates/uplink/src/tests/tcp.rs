//! TCP between the stacks of two hosts, by way of two uplinks: super-frames and unfinished checksums both ways, and
//! every byte arrives.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use port::{Burst, Consumed, Port, Put};

use super::host::{Namespace, ip, veth};
use super::packet::config;
use crate::{Backend, NewTap, Uplink, open};

/// Bytes that go each way.
const BYTES: usize = 8 << 20;

pub(super) fn tap(address: &str) -> Uplink {
    let backend = Backend::Tap { name: "vnic".into(), new: Some(NewTap::default()) };
    let uplink = open(&config(backend, 1, 1)).unwrap();
    ip(&format!("address add {address}/24 dev vnic"));
    uplink
}

/// Moves all frames of `from` to `to`; the number of those that came uncut.
pub(super) fn forward(burst: &mut Burst, from: &mut dyn Port, to: &mut dyn Port) -> usize {
    from.fetch(burst, 0);
    let mut uncut = 0;
    for index in 0..burst.len() {
        let frame = burst.frame(index);
        uncut += usize::from(frame.meta().gso.is_some());
        let mut next = 0;
        while let Put::Full { next: later } = to.put(&frame, frame.meta().tag, next) {
            next = later;
            to.flush(0);
        }
    }
    if !burst.is_empty() {
        from.complete(burst, Consumed { frames: burst.len(), pieces: 0 }, 0);
    }
    burst.clear();
    from.flush(0);
    to.flush(0);
    uncut
}

fn pattern(start: usize) -> Vec<u8> {
    (start..start + 65_536).map(|n| (n / 7).to_le_bytes()[0]).collect()
}

fn write_all(stream: &mut TcpStream) {
    (0..BYTES / 65_536).for_each(|n| stream.write_all(&pattern(n)).unwrap());
}

fn read_all(stream: &mut TcpStream) {
    let mut buffer = vec![0; 65_536];
    for n in 0..BYTES / 65_536 {
        stream.read_exact(&mut buffer).unwrap();
        assert!(buffer == pattern(n), "block {n} is not what was sent");
    }
}

/// TCP from a client in one namespace to 10.0.0.2 in another, with the switch between two ports; the number of
/// super-frames each way.
fn talk(client: &Namespace, server: &Namespace, left: &mut dyn Port, right: &mut dyn Port) -> (usize, usize) {
    let stop = AtomicBool::new(false);
    let listener = server.run(|| TcpListener::bind("10.0.0.2:7").unwrap());
    std::thread::scope(|scope| {
        let switch = scope.spawn(|| {
            let (mut burst, mut uncut) = (Burst::new(), (0, 0));
            while !stop.load(Ordering::Relaxed) {
                uncut.0 += forward(&mut burst, left, right);
                uncut.1 += forward(&mut burst, right, left);
                std::thread::yield_now();
            }
            uncut
        });
        let serve = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            read_all(&mut stream);
            write_all(&mut stream);
        });
        let call = scope.spawn(|| {
            let address = "10.0.0.2:7".parse().unwrap();
            let mut stream =
                client.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(20))).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            write_all(&mut stream);
            read_all(&mut stream);
        });
        let results = (call.join(), serve.join());
        stop.store(true, Ordering::Relaxed);
        let uncut = switch.join().unwrap();
        assert!(results.0.is_ok() && results.1.is_ok(), "{uncut:?} super-frames passed");
        uncut
    })
}

#[test]
fn tcp_passes_from_tap_to_tap_in_super_frames() {
    let (client, server) = (Namespace::new(), Namespace::new());
    let (mut left, mut right) = (client.run(|| tap("10.0.0.1")), server.run(|| tap("10.0.0.2")));
    let uncut = talk(&client, &server, &mut *left.ports[0].port, &mut *right.ports[0].port);
    assert!(uncut.0 > 50 && uncut.1 > 50, "{uncut:?} super-frames");
}

#[test]
fn tcp_passes_from_tap_to_packet_socket_in_super_frames() {
    let (client, server) = (Namespace::new(), Namespace::new());
    let mut left = client.run(|| tap("10.0.0.1"));
    let mut right = server.run(|| {
        veth();
        ip("address add 10.0.0.2/24 dev far");
        open(&config(Backend::Packet { name: "near".into() }, 1, 1)).unwrap()
    });
    let uncut = talk(&client, &server, &mut *left.ports[0].port, &mut *right.ports[0].port);
    assert!(uncut.0 > 50 && uncut.1 > 50, "{uncut:?} super-frames");
}
