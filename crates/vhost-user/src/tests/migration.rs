//! Dirty logging: begun, moved, ended, and never forgotten while rings run.

use super::support::*;
use crate::protocol::{RequestCode as R, features};
use crate::{Errno, Reason};

const LOGGED: u64 = SPLIT | features::LOG_ALL;

fn set_log(bench: &mut Bench, size: u64, offset: u64) -> bool {
    let payload = longs(&[size, offset]);
    let reply = bench.ask(&message(R::SetLogBase, &payload), vec![memfd(size.min(1 << 30))]);
    assert!(reply.payload.is_empty() || reply.payload == payload);
    !reply.payload.is_empty()
}

fn set_features(bench: &mut Bench, features: u64) {
    bench.done(&message(R::SetFeatures, &longs(&[features])), vec![]);
}

#[test]
fn migration_begins_and_ends_while_rings_run() {
    let mut bench = Bench::running(SPLIT);
    assert!(set_log(&mut bench, LOG_SIZE, 0x1000));
    assert_eq!(bench.device.take_calls(), [], "a log alone starts nothing");
    set_features(&mut bench, LOGGED);
    let used = places(0)[2] - USER + GUEST;
    bench.done(&message(R::SetVringAddr, &addresses(0, 1, places(0), used)), vec![]);
    assert!(set_log(&mut bench, LOG_SIZE * 2, 0));
    bench.done(&message(R::SetVringAddr, &addresses(0, 0, places(0), used)), vec![]);
    set_features(&mut bench, SPLIT);
    let wanted = [
        Call::Log(Some((0x1000, LOG_SIZE))),
        Call::DeviceLog(0, Some(used)),
        Call::Log(Some((0, LOG_SIZE * 2))),
        Call::DeviceLog(0, None),
        Call::Log(None),
    ];
    assert_eq!(bench.device.take_calls(), wanted);
    assert_eq!(bench.session.running_rings(), 2, "the guest notices nothing");
}

#[test]
fn rings_wait_for_the_log_that_they_should_write() {
    // QEMU starts a device in the middle of a migration with LOG_ALL first and the log last.
    let mut bench = Bench::with_memory(LOGGED);
    for (message, fds) in ring(0, 0) {
        bench.done(&message, fds);
    }
    assert_eq!(bench.session.running_rings(), 0);
    assert!(set_log(&mut bench, LOG_SIZE, 0));
    assert_eq!(bench.session.running_rings(), 1);
    assert_eq!(bench.device.log, Some(LOG_SIZE));
}

#[test]
fn running_rings_pause_while_there_is_no_log() {
    let mut bench = Bench::running(SPLIT);
    bench.device.progress = 3;
    set_features(&mut bench, LOGGED);
    assert_eq!(bench.device.take_calls(), [Call::Stop(0), Call::Stop(1)]);
    assert!(set_log(&mut bench, LOG_SIZE, 0));
    assert_eq!(bench.session.running_rings(), 2);
    assert_eq!(bench.device.rings[&0].position.to_wire(), 3, "they go on where they stood");
    assert_eq!(
        bench.device.take_calls()[0],
        Call::Log(Some((0, LOG_SIZE))),
        "logged from the first write on"
    );
}

#[test]
fn l07_log_that_does_not_cover_the_memory_is_refused() {
    let mut bench = Bench::running(SPLIT);
    assert!(!set_log(&mut bench, LOG_SIZE - 1, 0));
    assert_eq!(bench.counted(), [(Reason::LogSize, 1)]);
    for (size, offset) in [(0, 0), (LOG_SIZE, 1), (LOG_SIZE, 0x800), (u64::MAX, 0x1000), (1 << 63, 1 << 63)] {
        let payload = longs(&[size, offset]);
        bench.refused(R::SetLogBase, &payload, vec![memfd(LOG_SIZE)], Reason::LogRange);
    }
    bench.refused(R::SetLogBase, &longs(&[LOG_SIZE]), vec![memfd(LOG_SIZE)], Reason::PayloadSize);
    bench.refused(R::SetLogBase, &longs(&[LOG_SIZE, 0]), vec![], Reason::FdCount);
}

#[test]
fn l07_log_that_is_refused_while_logging_pauses_the_rings() {
    for too_small in [true, false] {
        let mut bench = Bench::running(SPLIT);
        assert!(set_log(&mut bench, LOG_SIZE, 0));
        set_features(&mut bench, LOGGED);
        // The front end reads the new log only, so writes into the old one would be lost.
        if too_small {
            assert!(!set_log(&mut bench, LOG_SIZE / 2, 0));
        } else {
            bench.device.fail = Some(Errno::INVAL);
            assert!(!set_log(&mut bench, LOG_SIZE, 0));
        }
        assert_eq!((bench.session.running_rings(), bench.device.log), (0, None));
        assert!(set_log(&mut bench, LOG_SIZE, 0));
        assert_eq!((bench.session.running_rings(), bench.device.log), (2, Some(LOG_SIZE)));
        set_features(&mut bench, SPLIT);
        assert_eq!((bench.session.running_rings(), bench.device.log), (2, None));
    }
}

#[test]
fn l07_log_must_cover_the_used_ring_of_a_ring_that_logs_it() {
    let mut bench = Bench::running(SPLIT);
    assert!(set_log(&mut bench, LOG_SIZE, 0));
    set_features(&mut bench, LOGGED);
    let beyond = LOG_SIZE * 8 * 4096;
    // 256 entries of 8 bytes and 4 more: the last byte is the first that the log does not cover.
    for log in [beyond - 2052 + 1, beyond, u64::MAX] {
        let payload = addresses(0, 1, places(0), log);
        bench.refused(R::SetVringAddr, &payload, vec![], Reason::LogSize);
    }
    bench.done(&message(R::SetVringAddr, &addresses(0, 1, places(0), beyond - 2052)), vec![]);
    assert_eq!(bench.session.running_rings(), 2);
}

#[test]
fn memory_beyond_the_log_pauses_the_rings_until_the_log_has_grown() {
    let high = [GUEST + SIZE, SIZE, USER + SIZE, 0];
    let mut bench = Bench::running(SPLIT);
    assert!(set_log(&mut bench, LOG_SIZE, 0));
    set_features(&mut bench, LOGGED);
    bench.send(&message(R::AddMemReg, &single(high)), vec![memfd(SIZE)]);
    assert_eq!(bench.session.running_rings(), 0);
    assert_eq!(bench.counted(), [(Reason::LogSize, 2)]);
    assert!(set_log(&mut bench, LOG_SIZE + SIZE / 32768, 0));
    assert_eq!(bench.session.running_rings(), 2);
}

#[test]
fn log_that_the_device_cannot_take_fails_the_switch() {
    let mut bench = Bench::running(SPLIT);
    assert!(set_log(&mut bench, LOG_SIZE, 0));
    bench.device.fail = Some(Errno::ACCESS);
    assert!(!bench.try_ask(R::SetFeatures, &longs(&[LOGGED]), vec![]));
    assert_eq!(bench.session.features(), Some(SPLIT));
    assert_eq!(bench.session.running_rings(), 2);
    assert_eq!(bench.counted(), [(Reason::Backend, 1)]);
}

#[test]
fn log_files_are_closed_when_they_are_done_with() {
    let mut bench = Bench::running(SPLIT);
    let (canary, pipe) = Canary::new();
    bench.ask(&message(R::SetLogBase, &longs(&[LOG_SIZE, 0])), vec![pipe]);
    set_features(&mut bench, LOGGED);
    assert!(!canary.is_closed());
    set_features(&mut bench, SPLIT);
    assert!(canary.is_closed());
}

#[test]
fn log_eventfd_is_taken_and_closed() {
    let mut bench = Bench::new();
    assert!(bench.try_ask(R::SetLogFd, &[], vec![eventfd()]));
    let (canary, pipe) = Canary::new();
    bench.refused(R::SetLogFd, &[], vec![pipe], Reason::NotAnEventFd);
    assert!(canary.is_closed());
}
