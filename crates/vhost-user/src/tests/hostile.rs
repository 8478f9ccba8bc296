//! Hostile front ends: form, descriptors, memory. Rows are named after their id in the catalogue of hostile inputs.

use std::os::fd::{AsFd, OwnedFd};

use super::support::*;
use crate::protocol::{MAX_PAYLOAD_SIZE, RequestCode as R, features, protocol_features};
use crate::{BadHeader, Closed, Decoder, Errno, Reason};

/// Every request with a payload of the right form, and how many descriptors go with it.
fn requests() -> Vec<(R, Vec<u8>, usize)> {
    let number = longs(&[0]);
    let state = words(&[0, 1]);
    let inflight = [longs(&[1 << 20, 0]), words(&[1 | 256 << 16, 0])].concat();
    vec![
        (R::GetFeatures, vec![], 0),
        (R::SetFeatures, number.clone(), 0),
        (R::SetOwner, vec![], 0),
        (R::ResetOwner, vec![], 0),
        (R::SetMemTable, table(&[REGION]), 1),
        (R::SetLogBase, longs(&[LOG_SIZE, 0]), 1),
        (R::SetLogFd, vec![], 1),
        (R::SetVringNum, words(&[0, 256]), 0),
        (R::SetVringAddr, addresses(0, 0, places(0), 0), 0),
        (R::SetVringBase, state.clone(), 0),
        (R::GetVringBase, state.clone(), 0),
        (R::SetVringKick, number.clone(), 1),
        (R::SetVringCall, number.clone(), 1),
        (R::SetVringErr, number.clone(), 1),
        (R::GetProtocolFeatures, vec![], 0),
        (R::SetProtocolFeatures, longs(&[protocol_features::OFFERED]), 0),
        (R::GetQueueNum, vec![], 0),
        (R::SetVringEnable, state, 0),
        (R::SendRarp, longs(&[0x5254]), 0),
        (R::NetSetMtu, longs(&[1500]), 0),
        (R::GetInflightFd, inflight.clone(), 0),
        (R::SetInflightFd, inflight, 1),
        (R::ResetDevice, vec![], 0),
        (R::GetMaxMemSlots, vec![], 0),
        (R::AddMemReg, single(REGION), 1),
        (R::RemMemReg, single(REGION), 0),
        (R::SetStatus, number, 0),
        (R::GetStatus, vec![], 0),
    ]
}

fn unsupported() -> Vec<u32> {
    vec![21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 33, 35, 41, 42, 43, 44]
}

fn canaries(count: usize) -> (Vec<Canary>, Vec<OwnedFd>) {
    (0..count).map(|_| Canary::new()).unzip()
}

#[test]
fn v01_header_that_is_cut_ends_the_session_and_leaks_nothing() {
    for cut in 1..12 {
        for count in 0..9 {
            let mut wire = Wire::fresh();
            let (canaries, fds) = canaries(count);
            wire.send(&message(R::SetMemTable, &table(&[REGION]))[..cut], &borrowed(&fds));
            drop(fds);
            wire.serve().unwrap();
            assert!(wire.server.is_mid_message());
            wire.peer.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(matches!(wire.serve(), Err(Closed::MidMessage)));
            wire.server.close(&mut wire.device);
            assert!(canaries.iter().all(Canary::is_closed));
        }
    }
}

#[test]
fn v02_size_beyond_every_payload_ends_the_session() {
    for size in [MAX_PAYLOAD_SIZE as u32 + 1, 0x1_0000, u32::MAX] {
        let mut wire = Wire::fresh();
        wire.send(&words(&[1, 1, size]), &[]);
        let closed = wire.serve().unwrap_err();
        assert!(matches!(closed, Closed::BadHeader(BadHeader::Size { size: found }) if found == size));
        assert_eq!(wire.server.session().counters().get(Reason::HeaderSize), 1);
        assert!(wire.is_quiet());
    }
}

#[test]
fn v02_size_that_lies_is_refused_either_way() {
    for (code, payload, count) in requests() {
        for change in [-1_isize, 1, 4, 8] {
            let padded_inflight = matches!(code, R::GetInflightFd | R::SetInflightFd) && change == -4;
            let length = payload.len().checked_add_signed(change);
            let Some(length) = length.filter(|_| !padded_inflight) else { continue };
            let mut bench = Bench::new();
            let mut lie = payload.clone();
            lie.resize(length, 0);
            let fds = (0..count).map(|_| eventfd()).collect();
            bench.refused(code, &lie, fds, Reason::PayloadSize);
        }
    }
}

#[test]
fn v03_slow_message_costs_its_own_session_only() {
    let slow = message(R::SetMemTable, &table(&[REGION]));
    let mut sessions: Vec<_> = (0..50).map(|_| Wire::fresh()).collect();
    for byte in &slow[..slow.len() - 1] {
        for wire in &mut sessions {
            wire.send(&[*byte], &[]);
            wire.serve().unwrap();
        }
    }
    assert!(sessions.iter().all(|wire| wire.server.is_mid_message() && wire.device.calls.is_empty()));
}

#[test]
fn v04_surplus_descriptors_are_refused_and_closed() {
    for (code, payload, count) in requests() {
        for surplus in [1, 2, 8 - count, 9 - count] {
            let mut bench = Bench::new();
            let spare = code == R::RemMemReg && surplus == 1;
            if spare {
                continue;
            }
            let (canaries, fds) = canaries(count + surplus);
            let reason = match code {
                R::SetVringKick | R::SetVringCall | R::SetVringErr if count + surplus <= 8 => Reason::VringFd,
                _ => Reason::FdCount,
            };
            bench.refused(code, &payload, fds, reason);
            assert!(canaries.iter().all(Canary::is_closed), "{code:?}");
        }
    }
}

#[test]
fn v04_descriptors_that_the_kernel_drops_end_the_session() {
    for count in [24, 64, 253] {
        let mut wire = Wire::fresh();
        let (canary, pipe) = Canary::new();
        let fds: Vec<_> = (0..count).map(|_| pipe.as_fd()).collect();
        wire.send(&message(R::GetFeatures, &[]), &fds);
        drop(pipe);
        assert!(matches!(wire.serve(), Err(Closed::LostFds)));
        drop(wire);
        assert!(canary.is_closed());
    }
}

#[test]
fn v04_descriptors_sent_byte_by_byte_are_bounded() {
    let mut wire = Wire::fresh();
    let (canary, pipe) = Canary::new();
    for byte in message(R::SetMemTable, &table(&[REGION])) {
        wire.send(&[byte], &[pipe.as_fd()]);
    }
    drop(pipe);
    wire.serve().unwrap();
    assert_eq!(wire.server.session().counters().get(Reason::FdCount), 1);
    assert!(canary.is_closed());
}

#[test]
fn v16_table_of_no_regions_or_too_many_is_refused() {
    let mut bench = Bench::new();
    for count in [0, 9, 33, u32::MAX] {
        let payload = [words(&[count, 0]), longs(&REGION)].concat();
        bench.refused(R::SetMemTable, &payload, vec![memfd(SIZE)], Reason::RegionCount);
    }
    let regions: Vec<_> = (0..9).map(|n| [n * SIZE, SIZE, n * SIZE, 0]).collect();
    let fds = (0..8).map(|_| memfd(SIZE)).collect();
    bench.refused(R::SetMemTable, &table(&regions), fds, Reason::RegionCount);
}

#[test]
fn v17_table_with_too_few_or_too_many_files_is_refused() {
    let regions: Vec<_> = (0..8).map(|n| [n * SIZE, SIZE, n * SIZE, 0]).collect();
    for count in [0, 7, 9] {
        let mut bench = Bench::new();
        let (canaries, fds) = canaries(count);
        bench.refused(R::SetMemTable, &table(&regions), fds, Reason::FdCount);
        assert!(canaries.iter().all(Canary::is_closed));
    }
    let mut bench = Bench::new();
    let (_canaries, fds) = canaries(8);
    assert!(bench.try_ask(R::SetMemTable, &table(&regions), fds));
    assert_eq!(bench.device.memory.len(), 8);
}

#[test]
fn v19_regions_that_cannot_be_are_refused() {
    let mut bench = Bench::new();
    let rows = [
        ([0, 0, 0, 0], Reason::RegionRange),
        ([u64::MAX - 0xfff, 0x2000, 0, 0], Reason::RegionRange),
        ([0, 0x2000, u64::MAX - 0xfff, 0], Reason::RegionRange),
        ([0, 0x2000, 0, u64::MAX - 0xfff], Reason::RegionRange),
        ([0x800, 0x1000, 0, 0], Reason::RegionAlignment),
        ([0, 0x1800, 0, 0], Reason::RegionAlignment),
        ([0, 0x1000, 0x10, 0], Reason::RegionAlignment),
        ([0, 0x1000, 0, 0x200], Reason::RegionAlignment),
    ];
    for (region, reason) in rows {
        bench.refused(R::SetMemTable, &table(&[region]), vec![memfd(SIZE)], reason);
        bench.refused(R::AddMemReg, &single(region), vec![memfd(SIZE)], reason);
    }
}

#[test]
fn v19_regions_that_overlap_are_refused() {
    let mut bench = Bench::with_memory(SPLIT);
    let rows = [
        REGION,
        [GUEST + SIZE - 0x1000, 0x2000, 0, 0],
        [0, 0x1000, USER + SIZE - 0x1000, 0],
        [GUEST - 0x1000, SIZE + 0x2000, 0, 0],
        [GUEST + 0x1000, 0x1000, 0, 0],
    ];
    for region in rows {
        let (canary, pipe) = Canary::new();
        bench.refused(R::AddMemReg, &single(region), vec![pipe], Reason::RegionOverlap);
        assert!(canary.is_closed());
        let payload = table(&[REGION, region]);
        bench.refused(R::SetMemTable, &payload, vec![memfd(SIZE), memfd(SIZE)], Reason::RegionOverlap);
    }
    assert_eq!(bench.device.memory.len(), 1);
}

#[test]
fn v19_regions_beyond_the_slots_are_refused() {
    let mut bench = Bench::new();
    let region = |n| single([n * SIZE, SIZE, n * SIZE, 0]);
    for n in 0..12 {
        assert!(bench.try_ask(R::AddMemReg, &region(n), vec![memfd(SIZE)]));
    }
    bench.refused(R::AddMemReg, &region(12), vec![memfd(SIZE)], Reason::RegionCount);
}

#[test]
fn v19_only_whole_known_regions_are_removed() {
    let mut bench = Bench::with_memory(SPLIT);
    let rows = [[GUEST, SIZE / 2, USER, 0], [GUEST, SIZE, 0, 0], [0, SIZE, USER, 0], [0, SIZE, 0, 0]];
    for region in rows {
        bench.refused(R::RemMemReg, &single(region), vec![], Reason::RegionUnknown);
    }
    assert!(bench.try_ask(R::RemMemReg, &single(REGION), vec![]));
    bench.refused(R::RemMemReg, &single(REGION), vec![], Reason::RegionUnknown);
}

#[test]
fn v20_file_that_the_device_refuses_is_closed() {
    let mut bench = Bench::with_memory(SPLIT);
    let other = [0, SIZE, 0, 0];
    let (canary, pipe) = Canary::new();
    bench.device.fail = Some(Errno::ACCESS);
    assert!(!bench.try_ask(R::AddMemReg, &single(other), vec![pipe]));
    assert!(canary.is_closed());
    assert_eq!(bench.device.memory.len(), 1);
    let (canary, pipe) = Canary::new();
    bench.device.fail = Some(Errno::ACCESS);
    assert!(!bench.try_ask(R::SetMemTable, &table(&[other]), vec![pipe]));
    assert!(canary.is_closed());
    assert_eq!(bench.device.memory, [], "the front end has taken the old memory back");
    assert_eq!(bench.counted(), [(Reason::Backend, 2)]);
}

#[test]
fn v20_v21_what_is_no_memory_is_refused_by_a_device_that_maps_it() {
    let mut bench = Bench::new();
    bench.device.domain = Some(guest_memory::DmaDomain::new(guest_memory::Limits::default()));
    let open = |path: &str| OwnedFd::from(std::fs::File::open(path).unwrap());
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let files = [
        open("/dev/null"),
        open("/proc/self/mem"),
        open("/"),
        open("/proc/self/exe"),
        eventfd(),
        Canary::new().1,
        socket.into(),
        memfd(SIZE - 0x1000),
    ];
    let count = files.len() as u64;
    for file in files {
        let copy = file.try_clone().unwrap();
        assert!(!bench.try_ask(R::AddMemReg, &single(REGION), vec![copy]));
        assert!(!bench.try_ask(R::SetMemTable, &table(&[REGION]), vec![file]));
    }
    assert_eq!(bench.counted(), [(Reason::Backend, 2 * count)]);
    assert!(bench.try_ask(R::SetMemTable, &table(&[REGION]), vec![memfd(SIZE)]));
    assert_eq!(bench.device.domain.as_ref().unwrap().mapped_bytes(), SIZE);
}

#[test]
fn v24_v29_v31_v32_what_is_not_offered_is_refused_and_its_files_are_closed() {
    let zero_body = [24, 26, 28, 41, 44];
    for request in unsupported() {
        for length in [0, 8, 40, 268, MAX_PAYLOAD_SIZE] {
            let mut bench = Bench::new();
            let (canary, pipe) = Canary::new();
            let reply = bench.ask(&raw(request, 9, &vec![0xff; length]), vec![pipe]);
            assert_eq!(reply.payload.is_empty(), zero_body.contains(&request), "request {request}");
            assert!(canary.is_closed());
            assert_eq!(bench.counted(), [(Reason::UnsupportedRequest, 1)]);
            assert_eq!(bench.device.take_calls(), []);
        }
    }
}

#[test]
fn v29_socket_for_requests_of_the_back_end_is_never_kept() {
    let mut bench = Bench::new();
    let (canary, pipe) = Canary::new();
    for _ in 0..1000 {
        bench.send(&message(R::SetBackendReqFd, &[]), vec![pipe.try_clone().unwrap()]);
    }
    drop(pipe);
    assert!(canary.is_closed());
    assert_eq!(bench.counted(), [(Reason::UnsupportedRequest, 1000)]);
}

#[test]
fn v30_unknown_requests_are_acknowledged_as_failed() {
    for request in [0, 45, 46, 255, 0x1_0001, u32::MAX] {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(&raw(request, 9, &[1, 2, 3]), vec![]).number(), 1);
        assert_eq!(bench.counted(), [(Reason::UnknownRequest, 1)]);
        assert_eq!(bench.send(&raw(request, 1, &[1, 2, 3]), vec![]).len(), 0);
    }
}

#[test]
fn v30_replies_are_counted_and_not_answered() {
    let mut bench = Bench::new();
    for (code, payload, _) in requests() {
        for flags in [5, 13] {
            assert_eq!(bench.send(&raw(code as u32, flags, &payload), vec![]).len(), 0);
        }
    }
    assert_eq!(bench.counted(), [(Reason::HeaderFlags, 2 * requests().len() as u64)]);
}

#[test]
fn v30_flags_without_a_meaning_are_refused() {
    let mut bench = Bench::new();
    for bit in 4..32 {
        let reply = bench.ask(&raw(R::GetFeatures as u32, 1 | 1 << bit, &[]), vec![]);
        assert!(reply.payload.is_empty());
    }
    assert_eq!(bench.counted(), [(Reason::HeaderFlags, 28)]);
}

#[test]
fn v30_other_versions_end_the_session() {
    for version in [0, 2, 3] {
        let mut decoder = Decoder::default();
        decoder.push(&raw(1, version, &[]));
        assert_eq!(decoder.message().unwrap_err(), BadHeader::Version { found: version });
    }
}

#[test]
fn v31_what_was_not_negotiated_is_refused() {
    let mut refused = 0;
    for (code, payload, count) in requests() {
        // Nothing but the acknowledgement itself is negotiated.
        let mut bench = Bench::fresh();
        let own = longs(&[protocol_features::REPLY_ACK]);
        bench.done(&message(R::SetProtocolFeatures, &own), vec![]);
        let (canaries, fds) = canaries(count);
        bench.send(&acked(code, &payload), fds);
        if bench.session.counters().get(Reason::NotNegotiated) == 1 {
            refused += 1;
            assert_eq!(bench.device.take_calls(), []);
            assert!(canaries.iter().all(Canary::is_closed));
        }
    }
    assert_eq!(refused, 12);
}

#[test]
fn v25_features_that_were_not_offered_are_refused() {
    let mut bench = Bench::new();
    for bit in [0, 27, features::ACCESS_PLATFORM.trailing_zeros(), 63] {
        bench.refused(R::SetFeatures, &longs(&[1 << bit]), vec![], Reason::FeatureNotOffered);
    }
    for bit in [5, 6, 7, 8, 9, 10, 11, 14, 17, 63] {
        let payload = longs(&[protocol_features::REPLY_ACK | 1 << bit]);
        bench.refused(R::SetProtocolFeatures, &payload, vec![], Reason::FeatureNotOffered);
    }
    assert_eq!(bench.session.features(), None);
}

#[test]
fn v25_features_are_locked_while_rings_run() {
    let mut bench = Bench::running(SPLIT);
    for features in [SPLIT | 1 << 15, PACKED, 1 << 32, 0] {
        bench.refused(R::SetFeatures, &longs(&[features]), vec![], Reason::FeaturesLocked);
    }
    let fewer = longs(&[protocol_features::OFFERED & !protocol_features::MTU]);
    bench.refused(R::SetProtocolFeatures, &fewer, vec![], Reason::FeaturesLocked);
    // QEMU sends the same ones again for each queue pair.
    bench.done(&message(R::SetFeatures, &longs(&[SPLIT])), vec![]);
    bench.done(&message(R::SetProtocolFeatures, &longs(&[protocol_features::OFFERED])), vec![]);
    assert_eq!(bench.device.take_calls(), []);
}

#[test]
fn v07_v08_inflight_areas_of_an_impossible_shape_are_refused() {
    let mut bench = Bench::new();
    for (queues, size) in [(0, 256), (5, 256), (0xffff, 256), (1, 0), (1, 1025), (1, 0xffff)] {
        let payload = [longs(&[1 << 30, 0]), words(&[queues | size << 16, 0])].concat();
        bench.refused(R::GetInflightFd, &payload, vec![], Reason::InflightShape);
        bench.refused(R::SetInflightFd, &payload, vec![memfd(SIZE)], Reason::InflightShape);
    }
    let (canaries, fds) = canaries(8);
    let payload = [longs(&[1 << 30, 0]), words(&[1 | 256 << 16, 0])].concat();
    bench.refused(R::SetInflightFd, &payload, fds, Reason::FdCount);
    assert!(canaries.iter().all(Canary::is_closed));
}

#[test]
fn v09_inflight_area_that_is_too_small_is_refused() {
    let mut bench = Bench::new();
    let needed = 2 * 4160;
    for (size, offset) in [(needed - 1, 0), (0, 0), (needed, 8), (u64::MAX, 0x1000)] {
        let payload = [longs(&[size, offset]), words(&[2 | 256 << 16, 0])].concat();
        bench.refused(R::SetInflightFd, &payload, vec![memfd(SIZE)], Reason::InflightRange);
    }
}

#[test]
fn mtu_mac_and_status_out_of_range_are_refused() {
    let mut bench = Bench::new();
    for mtu in [0, 67, 0x1_0000, u64::MAX] {
        bench.refused(R::NetSetMtu, &longs(&[mtu]), vec![], Reason::Mtu);
    }
    for mac in [[0; 8], [1, 0, 0, 0, 0, 0, 0, 0], [0xff; 8], [0, 0, 0, 0, 0, 0, 1, 1]] {
        bench.refused(R::SendRarp, &mac, vec![], Reason::Mac);
    }
    for status in [0x100, u64::MAX] {
        bench.refused(R::SetStatus, &longs(&[status]), vec![], Reason::Status);
    }
}
