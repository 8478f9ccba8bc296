use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;

use dataplane::Place;

use super::*;
use crate::daemon::tests::Bench;

const VERSION: u16 = 1;
const RESET: u16 = 13;
/// Version 0.1 without capabilities.
const VERSION_0_1: &[u8] = b"\0\0\x01\0{}\0";

/// Sends a message and waits for the reply, for which the bus does its turns; the reply's flags.
fn ask(bus: &mut EventLoop, mut client: &UnixStream, command: u16, payload: &[u8]) -> u32 {
    let size = u32::try_from(16 + payload.len()).unwrap().to_le_bytes();
    let message = [&[7, 0][..], &command.to_le_bytes(), &size, &[0; 8], payload].concat();
    client.write_all(&message).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut reply = [0; 256];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        match client.read(&mut reply) {
            Ok(length) => {
                assert!(length >= 16, "the bus has closed the connection");
                return u32::from_le_bytes(reply[8..12].try_into().unwrap());
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert_eq!(bus.turn(&mut events), None);
    }
}

#[test]
fn v35_a_handler_that_panics_costs_nobody_but_its_client() {
    const REPLY: u32 = 1;
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path(), "");
    let specs: Vec<_> = bench.daemon.lock().specs().cloned().collect();
    let (_orders, inbox) = channel();
    let mut bus = EventLoop::new(bench.around.clone(), inbox).unwrap();
    bus.take_over(&specs).unwrap();
    let connect = |n: u8| UnixStream::connect(folder.path().join(format!("vm{n}-net0.vf"))).unwrap();
    let (victim, other) = (connect(1), connect(2));
    for client in [&victim, &other] {
        assert_eq!(ask(&mut bus, client, VERSION, VERSION_0_1), REPLY);
    }

    bus.serve(0, |_| panic!("a bug"));

    assert_eq!((&victim).read(&mut [0; 1]).unwrap(), 0, "its connection is closed");
    assert_eq!(ask(&mut bus, &other, RESET, &[]), REPLY);
    let view = bus.stations[&0].view();
    assert!(!view.connected);
    assert!(
        view.rejections.contains(&("vfio_user_handler_panicked".to_owned(), 1).into()),
        "{:?}",
        view.rejections
    );
    assert!(bench.around.store.entries("vf/0/client").is_empty());
    // Its VF serves the next, and is the worker's again.
    let next = connect(1);
    assert_eq!(ask(&mut bus, &next, VERSION, VERSION_0_1), REPLY);
    assert_eq!(ask(&mut bus, &next, RESET, &[]), REPLY);
    assert!(bench.worker.handle().take(Place::VPort(specs[0].vport)).is_some());
}
