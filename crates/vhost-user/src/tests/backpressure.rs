//! Front ends that flood, and front ends that do not read.

use rustix::net::SendFlags;

use super::support::*;
use crate::protocol::{RequestCode as R, protocol_features};
use crate::{OUTPUT_BOUND, Progress};

/// Sends `message`, again and again, as far as the socket takes it; returns how many whole ones went.
fn flood(wire: &Wire, message: &[u8], sent: &mut usize) {
    let batch = message.repeat(64);
    while let Ok(count) = rustix::net::send(&wire.peer, &batch[*sent % message.len()..], SendFlags::DONTWAIT)
    {
        *sent += count;
    }
}

#[test]
fn q05_one_call_does_a_bounded_amount_of_work() {
    let mut wire = Wire::fresh();
    let enable = |on| message(R::SetStatus, &longs(&[on]));
    wire.send(&message(R::SetProtocolFeatures, &longs(&[protocol_features::STATUS])), &[]);
    wire.serve().unwrap();
    wire.send(&enable(1).repeat(1000), &[]);
    for _ in 0..1000 / 32 {
        assert_eq!(wire.server.on_readable(&mut wire.device).unwrap(), Progress::More);
        assert_eq!(wire.device.take_calls().len(), 32);
    }
    assert_eq!(wire.server.on_readable(&mut wire.device).unwrap(), Progress::Idle);
    assert_eq!(wire.device.take_calls().len(), 1000 % 32);
}

#[test]
fn v30_requests_of_a_front_end_that_does_not_read_are_left_in_its_socket() {
    let mut wire = Wire::fresh();
    wire.send(&message(R::SetProtocolFeatures, &longs(&[protocol_features::OFFERED])), &[]);
    let request = acked(R::SetStatus, &longs(&[3]));
    let (mut sent, mut handled) = (0, 0);
    // Until neither side can put anything more into the socket.
    loop {
        flood(&wire, &request, &mut sent);
        let progress = wire.server.on_readable(&mut wire.device).unwrap();
        let now = wire.device.take_calls().len();
        assert!(wire.server.session().output().pending() <= OUTPUT_BOUND);
        handled += now;
        if progress == Progress::Blocked && now == 0 {
            break;
        }
    }
    assert!(wire.server.wants_write() && !wire.server.wants_read());
    let asked = sent / request.len();
    assert!(handled < asked, "the rest waits in the socket");
    // It reads again: every whole request is answered once.
    for _ in 0..asked {
        assert_eq!(wire.receive().number(), 0);
        wire.server.on_writable().unwrap();
        while wire.server.on_readable(&mut wire.device).unwrap() == Progress::More {}
    }
    assert!(wire.server.wants_read() && !wire.server.wants_write());
    assert!(wire.is_quiet());
}

#[test]
fn v07_files_for_a_front_end_that_does_not_read_are_bounded() {
    let mut bench = Bench::new();
    let ask = [longs(&[0, 0]), words(&[1 | 256 << 16])].concat();
    let mut decoder = crate::Decoder::default();
    let mut rest = &message(R::GetInflightFd, &ask)[..];
    while !rest.is_empty() {
        rest = &rest[decoder.push(rest)..];
        if let Some(message) = decoder.message().unwrap() {
            bench.session.handle(message, &mut bench.device);
        }
    }
    assert!(bench.session.output().is_full(), "one file at a time");
    let length = bench.session.output().front().unwrap().0.len();
    bench.session.output_mut().sent(length);
    assert!(!bench.session.output().is_full());
}
