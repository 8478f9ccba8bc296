//! Hostile front ends: rings. Rows are named after their id in the catalogue of hostile inputs.

use super::support::*;
use crate::protocol::{RequestCode as R, features};
use crate::{Errno, Reason};

#[test]
fn v05_ring_sizes_set_again_and_again_cost_nothing() {
    let mut bench = Bench::with_memory(SPLIT);
    for _ in 0..10_000 {
        bench.done(&message(R::SetVringNum, &words(&[0, 256])), vec![]);
    }
    assert_eq!(bench.device.take_calls().len(), 2, "features and memory");
}

#[test]
fn v11_ring_numbers_are_not_truncated() {
    let mut bench = Bench::with_memory(SPLIT);
    for index in [4, 0xff, 0x1_0000, 0x1_0001, u32::MAX] {
        bench.refused(R::SetVringNum, &words(&[index, 256]), vec![], Reason::VringIndex);
        bench.refused(R::SetVringBase, &words(&[index, 0]), vec![], Reason::VringIndex);
        bench.refused(R::GetVringBase, &words(&[index, 0]), vec![], Reason::VringIndex);
        bench.refused(R::SetVringEnable, &words(&[index, 1]), vec![], Reason::VringIndex);
        let payload = addresses(index, 0, places(0), 0);
        bench.refused(R::SetVringAddr, &payload, vec![], Reason::VringIndex);
    }
}

#[test]
fn v12_event_flags_and_descriptors_have_to_agree() {
    let mut bench = Bench::running(SPLIT);
    for code in [R::SetVringKick, R::SetVringCall, R::SetVringErr] {
        let (canary, pipe) = Canary::new();
        bench.refused(code, &longs(&[0x100]), vec![pipe], Reason::VringFd);
        assert!(canary.is_closed());
        bench.refused(code, &longs(&[0]), vec![], Reason::VringFd);
        bench.refused(code, &longs(&[4]), vec![eventfd()], Reason::VringIndex);
        bench.refused(code, &longs(&[0x1ff]), vec![], Reason::VringIndex);
        for bit in 9..64 {
            bench.refused(code, &longs(&[1 << bit]), vec![eventfd()], Reason::VringFlags);
        }
    }
}

#[test]
fn v13_ring_sizes_out_of_range_are_refused() {
    let mut bench = Bench::with_memory(SPLIT);
    for size in [0, 3, 100, 1000, 2048, 32_768, 32_769, 65_536, 0x1_0100, u32::MAX] {
        bench.refused(R::SetVringNum, &words(&[0, size]), vec![], Reason::VringSize);
    }
    bench.done(&message(R::SetVringNum, &words(&[0, 1])), vec![]);
    let mut bench = Bench::with_memory(PACKED);
    for size in [0, 1025, 32_769, 65_536, u32::MAX] {
        bench.refused(R::SetVringNum, &words(&[0, size]), vec![], Reason::VringSize);
    }
    bench.done(&message(R::SetVringNum, &words(&[0, 1000])), vec![]);
}

#[test]
fn v13_size_told_before_the_features_is_judged_when_the_ring_starts() {
    for (features, works) in [(SPLIT, false), (PACKED, true)] {
        let mut bench = Bench::new();
        bench.done(&message(R::SetVringNum, &words(&[0, 100])), vec![]);
        bench.done(&message(R::SetFeatures, &longs(&[features])), vec![]);
        bench.done(&message(R::SetMemTable, &table(&[REGION])), vec![memfd(SIZE)]);
        bench.done(&message(R::SetVringAddr, &addresses(0, 0, places(0), 0)), vec![]);
        assert_eq!(bench.try_ask(R::SetVringKick, &longs(&[0]), vec![eventfd()]), works);
        assert_eq!(bench.session.counters().get(Reason::VringSize), u64::from(!works));
    }
}

#[test]
fn v14_ring_parts_that_cannot_be_are_refused() {
    let end = USER + SIZE;
    let [desc, driver, device] = places(0);
    let rows = [
        ([desc + 8, driver, device], Reason::VringAddress),
        ([desc, driver + 1, device], Reason::VringAddress),
        ([desc, driver, device + 2], Reason::VringAddress),
        ([0, driver, device], Reason::VringUnmapped),
        ([desc, end, device], Reason::VringUnmapped),
        ([desc, driver, USER - 4], Reason::VringUnmapped),
    ];
    let mut bench = Bench::with_memory(SPLIT);
    for (parts, reason) in rows {
        bench.refused(R::SetVringAddr, &addresses(0, 0, parts, 0), vec![], reason);
    }
    bench.refused(R::SetVringAddr, &addresses(0, 2, places(0), 0), vec![], Reason::VringFlags);
    bench.refused(R::SetVringAddr, &addresses(0, u32::MAX, places(0), 0), vec![], Reason::VringFlags);
}

#[test]
fn v14_ring_whose_parts_do_not_fit_does_not_start() {
    let end = USER + SIZE;
    let [desc, driver, device] = places(0);
    let rows = [
        // 256 entries: 4,096, 518 and 2,054 bytes with event indices.
        ([end - 4096 + 16, driver, device], Reason::VringUnmapped),
        ([desc, end - 516, device], Reason::VringUnmapped),
        ([desc, driver, end - 2052], Reason::VringUnmapped),
        ([desc, desc + 4094, device], Reason::VringOverlap),
        ([desc, driver, driver], Reason::VringOverlap),
        ([desc, device + 2052, device], Reason::VringOverlap),
        ([desc, driver, desc], Reason::VringOverlap),
    ];
    for (parts, reason) in rows {
        let mut bench = Bench::with_memory(SPLIT | features::EVENT_IDX);
        bench.done(&message(R::SetVringNum, &words(&[0, 256])), vec![]);
        bench.done(&message(R::SetVringAddr, &addresses(0, 0, parts, 0)), vec![]);
        bench.refused(R::SetVringKick, &longs(&[0]), vec![eventfd()], reason);
        // The front end may still do better.
        bench.done(&message(R::SetVringAddr, &addresses(0, 0, places(0), 0)), vec![]);
        bench.done(&message(R::SetVringKick, &longs(&[0])), vec![eventfd()]);
        assert_eq!(bench.session.running_rings(), 1);
    }
}

#[test]
fn v14_ring_part_across_two_regions_does_not_start() {
    let mut bench = Bench::new();
    bench.done(&message(R::SetFeatures, &longs(&[SPLIT])), vec![]);
    let regions = [[0, 0x1000, USER, 0], [0x1000, 0x10_0000, USER + 0x1000, 0x1000]];
    bench.done(&message(R::SetMemTable, &table(&regions)), vec![memfd(SIZE), memfd(SIZE)]);
    bench.done(&message(R::SetVringNum, &words(&[0, 256])), vec![]);
    let parts = [USER + 0x800, USER + 0x8000, USER + 0x9000];
    bench.done(&message(R::SetVringAddr, &addresses(0, 0, parts, 0)), vec![]);
    bench.refused(R::SetVringKick, &longs(&[0]), vec![eventfd()], Reason::VringUnmapped);
}

#[test]
fn v15_running_ring_cannot_be_changed() {
    let mut bench = Bench::running(SPLIT);
    bench.refused(R::SetVringNum, &words(&[0, 128]), vec![], Reason::VringRunning);
    bench.refused(R::SetVringBase, &words(&[0, 5]), vec![], Reason::VringRunning);
    bench.refused(R::SetVringAddr, &addresses(0, 0, places(2), 0), vec![], Reason::VringRunning);
    bench.done(&message(R::SetVringAddr, &addresses(0, 0, places(0), 0)), vec![]);
    assert_eq!(bench.device.take_calls(), []);
}

#[test]
fn ring_positions_beyond_the_ring_are_refused() {
    for (features, base) in [(SPLIT, 0x1_0000), (SPLIT, u32::MAX), (PACKED, 256), (PACKED, 0xffff)] {
        let mut bench = Bench::with_memory(features);
        for (message, fds) in ring(0, base).into_iter().take(3) {
            bench.done(&message, fds);
        }
        bench.refused(R::SetVringKick, &longs(&[0]), vec![eventfd()], Reason::VringBase);
    }
}

#[test]
fn v22_memory_is_exchanged_under_running_rings() {
    let mut bench = Bench::running(SPLIT);
    bench.device.progress = 1;
    let moved = [0, SIZE, USER, 0x1000];
    let mut before: Option<Canary> = None;
    for round in 1..=200 {
        let (canary, pipe) = Canary::new();
        let region = if round % 3 == 0 { moved } else { REGION };
        bench.done(&message(R::SetMemTable, &table(&[region])), vec![pipe]);
        assert_eq!(bench.session.running_rings(), 2);
        let ring = &bench.device.rings[&0];
        assert_eq!((ring.position.to_wire(), ring.descriptors), (round, region[0]));
        assert!(before.is_none_or(|before| before.is_closed()), "the file of memory that is gone");
        before = Some(canary);
    }
}

#[test]
fn v22_table_without_the_running_rings_pauses_them() {
    let mut bench = Bench::running(SPLIT);
    let elsewhere = table(&[[0, SIZE, 0, 0]]);
    assert!(bench.try_ask(R::SetMemTable, &elsewhere, vec![memfd(SIZE)]), "memory comes first");
    assert_eq!(bench.session.running_rings(), 0);
    assert_eq!(bench.counted(), [(Reason::VringUnmapped, 2)]);
    bench.done(&message(R::SetMemTable, &table(&[REGION])), vec![memfd(SIZE)]);
    assert_eq!(bench.session.running_rings(), 2);
}

#[test]
fn v22_table_that_the_device_refuses_leaves_no_ring_running() {
    let mut bench = Bench::running(SPLIT);
    bench.device.fail = Some(Errno::NOMEM);
    assert!(!bench.try_ask(R::SetMemTable, &table(&[REGION]), vec![memfd(SIZE)]));
    assert_eq!(bench.session.running_rings(), 0);
    assert!(bench.try_ask(R::SetMemTable, &table(&[REGION]), vec![memfd(SIZE)]));
    assert_eq!(bench.session.running_rings(), 2);
}

#[test]
fn v23_region_of_a_running_ring_is_removed_after_the_ring_has_paused() {
    let mut bench = Bench::running(SPLIT);
    bench.send(&message(R::RemMemReg, &single(REGION)), vec![]);
    let calls = bench.device.take_calls();
    assert_eq!(calls[..2], [Call::Stop(0), Call::Stop(1)]);
    assert!(matches!(calls[2..], [Call::Remove(_)]));
    assert!(bench.try_ask(R::AddMemReg, &single(REGION), vec![memfd(SIZE)]));
    assert_eq!(bench.session.running_rings(), 2);
    bench.device.fail = Some(Errno::BUSY);
    assert!(!bench.try_ask(R::RemMemReg, &single(REGION), vec![]));
    assert_eq!(bench.session.running_rings(), 2, "the region is still there");
}

#[test]
fn v27_events_that_are_no_eventfds_are_refused() {
    let mut bench = Bench::running(SPLIT);
    for code in [R::SetVringKick, R::SetVringCall, R::SetVringErr] {
        let (canary, pipe) = Canary::new();
        bench.refused(code, &longs(&[0]), vec![pipe], Reason::NotAnEventFd);
        assert!(canary.is_closed());
        bench.refused(code, &longs(&[0]), vec![memfd(8)], Reason::NotAnEventFd);
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        bench.refused(code, &longs(&[0]), vec![socket.into()], Reason::NotAnEventFd);
    }
}

#[test]
fn v27_full_eventfd_does_not_block_the_one_who_signals_it() {
    let mut bench = Bench::running(SPLIT);
    let full = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&full, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    bench.done(&message(R::SetVringCall, &longs(&[0])), vec![full]);
    bench.device.rings[&0].call.as_ref().unwrap().signal();
}

#[test]
fn enable_takes_a_switch_only() {
    let mut bench = Bench::running(SPLIT);
    for switch in [2, 0x100, u32::MAX] {
        bench.refused(R::SetVringEnable, &words(&[0, switch]), vec![], Reason::VringEnable);
    }
}

#[test]
fn ring_that_the_device_refuses_can_be_tried_again() {
    let mut bench = Bench::with_memory(SPLIT);
    for (message, fds) in ring(0, 0).into_iter().take(3) {
        bench.done(&message, fds);
    }
    bench.device.fail = Some(Errno::NOMEM);
    assert!(!bench.try_ask(R::SetVringKick, &longs(&[0]), vec![eventfd()]));
    assert_eq!(bench.session.running_rings(), 0);
    assert!(bench.try_ask(R::SetVringKick, &longs(&[0]), vec![eventfd()]));
    assert_eq!(bench.session.running_rings(), 1);
}

#[test]
fn v36_front_end_that_reconnects_finds_a_fresh_session() {
    let mut wire = Wire::fresh();
    for pattern in 0..16_u32 {
        let [all, protocol] = [longs(&[SPLIT]), longs(&[0x1_b01f])];
        wire.send(&message(R::SetProtocolFeatures, &protocol), &[]);
        wire.send(&message(R::SetFeatures, &all), &[]);
        let file = [memfd(SIZE)];
        wire.send(&message(R::SetMemTable, &table(&[REGION])), &borrowed(&file));
        for index in 0..4 {
            wire.send(&message(R::SetVringEnable, &words(&[index, pattern >> index & 1])), &[]);
            for (message, fds) in ring(index, index * 100) {
                wire.send(&message, &borrowed(&fds));
            }
        }
        wire.serve().unwrap();
        for (&index, ring) in &wire.device.rings {
            assert_eq!(ring.enabled, pattern >> index & 1 == 1);
            assert_eq!(ring.position.to_wire(), u32::from(index) * 100);
        }
        assert_eq!(wire.device.rings.len(), 4);
        assert_eq!(wire.server.session().counters().total(), 0);
        let next = Wire::fresh();
        wire.server.close(&mut wire.device);
        assert!(wire.device.rings.is_empty() && wire.device.memory.is_empty());
        wire = Wire { device: wire.device, ..next };
    }
}
