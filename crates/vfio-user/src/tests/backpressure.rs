//! Clients that flood, and clients that do not read.

use std::os::fd::AsFd;

use super::support::*;
use crate::protocol::Command;
use crate::{DmaWriteError, OUTPUT_BOUND, Progress, Reason};

/// Sends as much of `message`, again and again, as the socket takes; returns how many whole ones went.
fn flood(wire: &Wire, message: &[u8]) -> usize {
    use rustix::net::{SendFlags, send};
    let batch = message.repeat(64);
    let mut sent = 0;
    while let Ok(count) = send(&wire.client, &batch[sent % message.len()..], SendFlags::DONTWAIT) {
        sent += count;
    }
    sent / message.len()
}

#[test]
fn q05_one_call_does_a_bounded_amount_of_work() {
    let mut wire = Wire::new();
    let message = posted(Command::RegionWrite, &access(BAR0, 0, 4, &[1; 4]));
    wire.send(&message.repeat(1000), &[]);
    for _ in 0..1000 / 64 {
        assert_eq!(wire.server.on_readable(&mut wire.device).unwrap(), Progress::More);
        assert_eq!(wire.device.take_calls().len(), 64);
    }
    assert_eq!(wire.server.on_readable(&mut wire.device).unwrap(), Progress::Idle);
    assert_eq!(wire.device.take_calls().len(), 1000 % 64);
}

#[test]
fn q05_bytes_that_come_one_by_one_are_bounded_too() {
    let mut wire = Wire::new();
    let fd = eventfd();
    let message = region_read(BAR0, 0, 4);
    for byte in message.repeat(5) {
        wire.send(&[byte], &[fd.as_fd()]);
    }
    assert_eq!(wire.server.on_readable(&mut wire.device).unwrap(), Progress::More);
    assert_eq!(wire.server.on_readable(&mut wire.device).unwrap(), Progress::Idle);
    assert_eq!(wire.server.session().counters().get(Reason::FdCount), 5);
}

#[test]
fn q05_long_messages_are_bounded_by_their_bytes() {
    let mut wire = Wire::new();
    let message = region_write(BAR0, 0, &[0; 0x4000]);
    wire.send(&message.repeat(6), &[]);
    assert_eq!(wire.server.on_readable(&mut wire.device).unwrap(), Progress::More);
    assert!(wire.device.take_calls().len() < 6);
}

#[test]
fn posted_flood_of_a_client_that_never_reads_is_served_without_output() {
    let mut wire = Wire::new();
    let good = posted(Command::RegionWrite, &access(BAR0, 0, 4, &[1; 4]));
    let bad = posted(Command::RegionWrite, &access(BAR0, u64::MAX, 4, &[1; 4]));
    for message in [good, bad] {
        for _ in 0..4 {
            assert!(flood(&wire, &message) > 0);
            wire.serve().unwrap();
            assert!(!wire.server.wants_write());
        }
    }
    assert!(wire.server.session().counters().get(Reason::RegionBounds) > 0);
    assert!(wire.is_quiet());
}

#[test]
fn requests_of_a_client_that_does_not_read_are_left_in_its_socket() {
    let mut wire = Wire::new();
    let request = region_read(BAR0, 0, 0x1000);
    let mut asked = 0;
    // Until neither side can put anything more into the socket.
    loop {
        asked += flood(&wire, &request);
        let calls = wire.device.calls.len();
        match wire.server.on_readable(&mut wire.device).unwrap() {
            Progress::Blocked if wire.device.calls.len() == calls => break,
            _ => {}
        }
        let pending = wire.server.session().output().pending();
        assert!(pending < OUTPUT_BOUND + 32 + 0x1000, "{pending} bytes wait");
    }
    assert!(wire.server.wants_write() && !wire.server.wants_read());
    assert!(matches!(wire.server.dma_write(0xfee0_0000, &[0; 4]), Err(DmaWriteError::Full { .. })));
    let served = wire.device.calls.len();
    assert!(served < asked, "the rest waits in the socket");

    // It reads again: every whole request is answered, in order, once.
    for reply in 0..asked {
        assert_eq!(wire.receive().payload.len(), 16 + 0x1000, "reply {reply}");
        wire.server.on_writable().unwrap();
        wire.serve().unwrap();
    }
    assert!(wire.server.wants_read() && !wire.server.wants_write());
    assert!(wire.is_quiet());
    assert_eq!(wire.device.calls.len(), asked);
}

#[test]
fn q08_interrupts_for_a_client_that_does_not_read_are_refused_not_stored() {
    let mut wire = Wire::new();
    let mut sent = 0_usize;
    while wire.server.dma_write(0xfee0_1000, &[0x25, 0, 0, 0]).is_ok() {
        sent += 1;
    }
    assert!(wire.server.session().output().pending() < OUTPUT_BOUND + 36);
    for _ in 0..sent {
        let message = wire.receive();
        assert_eq!((message.header.command.get(), message.payload.len()), (12, 20));
        wire.server.on_writable().unwrap();
    }
    assert!(wire.is_quiet());
    wire.server.dma_write(0xfee0_1000, &[0x25, 0, 0, 0]).unwrap();
    assert_eq!(wire.receive().payload.len(), 20);
}
