//! What a well-behaved front end says, and what comes of it.

use super::support::*;
use crate::protocol::{RequestCode as R, features, protocol_features};
use crate::{InflightShape, MemoryRegion, Reason, RingEvent, RingPosition};

fn region() -> MemoryRegion {
    let [guest, size, user, offset] = REGION;
    MemoryRegion::new(guest, size, user, offset).unwrap()
}

#[test]
fn features_are_those_of_the_device_and_of_the_protocol() {
    let mut bench = Bench::fresh();
    let offered = bench.ask(&message(R::GetFeatures, &[]), vec![]).number();
    assert_eq!(offered, DEVICE | features::LOG_ALL | features::PROTOCOL_FEATURES);
    let offered = bench.ask(&message(R::GetProtocolFeatures, &[]), vec![]).number();
    assert_eq!(offered, 0x1_b01f);
    bench.done(&message(R::SetFeatures, &longs(&[SPLIT | features::LOG_ALL])), vec![]);
    assert_eq!(bench.device.take_calls(), [Call::Features(1 << 32)]);
    assert_eq!(bench.session.features(), Some(SPLIT | features::LOG_ALL));
}

#[test]
fn counts_are_told() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&message(R::GetQueueNum, &[]), vec![]).number(), 2, "pairs, not rings");
    assert_eq!(bench.ask(&message(R::GetMaxMemSlots, &[]), vec![]).number(), 12);
}

#[test]
fn qemu_session_enables_before_features_and_runs() {
    let mut bench = Bench::fresh();
    bench.ask(&message(R::GetFeatures, &[]), vec![]);
    bench.ask(&message(R::GetProtocolFeatures, &[]), vec![]);
    bench.done(&message(R::SetProtocolFeatures, &longs(&[protocol_features::OFFERED])), vec![]);
    bench.ask(&message(R::GetQueueNum, &[]), vec![]);
    bench.ask(&message(R::GetMaxMemSlots, &[]), vec![]);
    bench.done(&message(R::SetOwner, &[]), vec![]);
    bench.ask(&message(R::GetFeatures, &[]), vec![]);
    for ring in 0..2_u64 {
        bench.done(&message(R::SetVringCall, &longs(&[ring])), vec![eventfd()]);
        bench.done(&message(R::SetVringErr, &longs(&[ring])), vec![eventfd()]);
    }
    // At realize, before the driver of the guest has said what it takes.
    assert!(bench.try_ask(R::SetVringEnable, &words(&[0, 1]), vec![]));
    assert!(bench.try_ask(R::SetVringEnable, &words(&[1, 1]), vec![]));
    assert!(bench.try_ask(R::NetSetMtu, &longs(&[9000]), vec![]));
    assert_eq!(bench.device.take_calls(), [Call::Mtu(9000)]);
    // The driver is ready.
    assert!(bench.try_ask(R::SetFeatures, &longs(&[SPLIT]), vec![]));
    for (bit, seen) in [(1, 1), (2, 3), (8, 11)] {
        let status = bench.ask(&message(R::GetStatus, &[]), vec![]).number() | bit;
        bench.done(&message(R::SetStatus, &longs(&[status])), vec![]);
        assert_eq!(bench.ask(&message(R::GetStatus, &[]), vec![]).number(), seen);
    }
    assert!(bench.try_ask(R::AddMemReg, &single(REGION), vec![memfd(SIZE)]));
    for index in 0..2 {
        for (message, fds) in ring(index, 0) {
            bench.done(&message, fds);
        }
    }
    bench.done(&message(R::SetStatus, &longs(&[15])), vec![]);
    let calls = bench.device.take_calls();
    let wanted = [
        Call::Features(1 << 32),
        Call::Status(1),
        Call::Status(3),
        Call::Status(11),
        Call::Add(region()),
        Call::Start(0, RingPosition::Split(0)),
        Call::Event(0, RingEvent::Call, true),
        Call::Start(1, RingPosition::Split(0)),
        Call::Event(1, RingEvent::Call, true),
        Call::Status(15),
    ];
    assert_eq!(calls, wanted);
    let first = &bench.device.rings[&0];
    assert!(first.enabled && first.kick.is_some() && first.call.is_some() && first.err.is_some());
    assert_eq!([first.descriptors, first.driver, first.device], [GUEST, GUEST + 0x4000, GUEST + 0x8000]);
    assert_eq!(first.size, 256);
    assert_eq!(bench.session.counters().total(), 0);
}

#[test]
fn dpdk_session_enables_last_and_leaves_the_used_half_of_a_position_out() {
    let mut bench = Bench::fresh();
    bench.done(&message(R::SetOwner, &[]), vec![]);
    bench.ask(&message(R::GetFeatures, &[]), vec![]);
    bench.ask(&message(R::GetProtocolFeatures, &[]), vec![]);
    let own = protocol_features::MQ | protocol_features::REPLY_ACK | protocol_features::STATUS;
    bench.done(&message(R::SetProtocolFeatures, &longs(&[own])), vec![]);
    for ring in 0..2_u64 {
        bench.done(&message(R::SetVringCall, &longs(&[ring])), vec![eventfd()]);
    }
    assert!(bench.try_ask(R::SetFeatures, &longs(&[PACKED]), vec![]));
    // The memory of a process: guest addresses are its own.
    assert!(bench.try_ask(R::SetMemTable, &table(&[[USER, SIZE, USER, 0]]), vec![memfd(SIZE)]));
    for index in 0..2 {
        for (message, fds) in ring(index, 0x8000).into_iter().take(4) {
            bench.done(&message, fds);
        }
    }
    for ring in 0..2 {
        assert!(bench.try_ask(R::SetVringEnable, &words(&[ring, 1]), vec![]));
    }
    assert_eq!(bench.session.running_rings(), 2);
    for (&index, ring) in &bench.device.rings {
        assert!(ring.enabled && ring.call.is_some());
        assert_eq!(ring.position, RingPosition::Packed { index: 0, wrap: true });
        assert_eq!(ring.descriptors, places(index.into())[0]);
    }
    assert_eq!(bench.session.counters().total(), 0);
}

#[test]
fn ring_says_where_it_stands_and_goes_on_there() {
    for (features, base, wanted) in [(SPLIT, 65_530, 4), (PACKED, 0x8000 | 250, 0x0004_0004)] {
        let mut bench = Bench::with_memory(features);
        for (message, fds) in ring(0, base) {
            bench.done(&message, fds);
        }
        bench.device.progress = 10;
        let reply = bench.ask(&message(R::GetVringBase, &words(&[0, 0])), vec![]);
        assert_eq!(reply.payload, words(&[0, wanted]));
        assert_eq!(bench.device.take_calls().last(), Some(&Call::Stop(0)));
        let again = bench.ask(&message(R::GetVringBase, &words(&[0, 0])), vec![]);
        assert_eq!(again.payload, reply.payload, "stopping twice changes nothing");
        assert_eq!(bench.device.take_calls(), []);
        bench.done(&message(R::SetVringKick, &longs(&[0x100])), vec![]);
        let position = bench.device.rings[&0].position;
        assert_eq!(position.to_wire(), wanted);
        assert!(bench.device.rings[&0].kick.is_none(), "a ring without a kick is polled");
    }
}

#[test]
fn ring_that_never_ran_stands_at_its_beginning() {
    for (features, wanted) in [(SPLIT, 0), (PACKED, 0x8000_8000)] {
        let mut bench = Bench::with_memory(features);
        let reply = bench.ask(&message(R::GetVringBase, &words(&[3, 0])), vec![]);
        assert_eq!(reply.payload, words(&[3, wanted]));
    }
}

#[test]
fn used_half_of_a_packed_position_is_not_needed() {
    let mut bench = Bench::with_memory(PACKED);
    for (message, fds) in ring(0, 0x8005) {
        bench.done(&message, fds);
    }
    assert_eq!(bench.device.rings[&0].position, RingPosition::Packed { index: 5, wrap: true });
}

#[test]
fn rings_of_a_front_end_without_protocol_features_are_enabled() {
    let mut bench = Bench::fresh();
    bench.done(&message(R::SetFeatures, &longs(&[1 << 32])), vec![]);
    bench.done(&message(R::SetMemTable, &table(&[REGION])), vec![memfd(SIZE)]);
    for (message, fds) in ring(0, 0) {
        bench.done(&message, fds);
    }
    assert!(bench.device.rings[&0].enabled);
    let mut bench = Bench::with_memory(SPLIT);
    for (message, fds) in ring(0, 0) {
        bench.done(&message, fds);
    }
    assert!(!bench.device.rings[&0].enabled);
    bench.done(&message(R::SetVringEnable, &words(&[0, 1])), vec![]);
    bench.done(&message(R::SetVringEnable, &words(&[0, 1])), vec![]);
    bench.done(&message(R::ResetOwner, &[]), vec![]);
    let switched: Vec<_> =
        bench.device.take_calls().into_iter().filter(|call| matches!(call, Call::Enabled(..))).collect();
    assert_eq!(switched, [Call::Enabled(0, true), Call::Enabled(0, false)]);
}

#[test]
fn events_of_a_running_ring_are_exchanged() {
    let mut bench = Bench::running(SPLIT);
    bench.done(&message(R::SetVringCall, &longs(&[1])), vec![eventfd()]);
    bench.done(&message(R::SetVringCall, &longs(&[0x101])), vec![]);
    bench.done(&message(R::SetVringErr, &longs(&[1])), vec![eventfd()]);
    bench.done(&message(R::SetVringKick, &longs(&[0x101])), vec![]);
    let wanted = [
        Call::Event(1, RingEvent::Call, true),
        Call::Event(1, RingEvent::Call, false),
        Call::Event(1, RingEvent::Err, true),
        Call::Event(1, RingEvent::Kick, false),
    ];
    assert_eq!(bench.device.take_calls(), wanted);
}

#[test]
fn acknowledgements_come_only_when_negotiated_and_wanted() {
    let mut bench = Bench::fresh();
    bench.done(&acked(R::SetOwner, &[]), vec![]);
    let own = acked(R::SetProtocolFeatures, &longs(&[protocol_features::OFFERED]));
    assert_eq!(bench.ask(&own, vec![]).number(), 0, "the request that negotiates it is acknowledged");
    bench.done(&message(R::SetOwner, &[]), vec![]);
    assert!(bench.try_ask(R::SetOwner, &[], vec![]));
    let offered = bench.ask(&acked(R::GetFeatures, &[]), vec![]);
    assert_ne!(offered.number(), 0, "a request with a reply of its own has no second one");
}

#[test]
fn memory_regions_come_and_go_one_by_one() {
    let mut bench = Bench::running(SPLIT);
    let other = [0, 0x10_0000, 0x1000_0000, 0x20_0000];
    assert!(bench.try_ask(R::AddMemReg, &single(other), vec![memfd(0x30_0000)]));
    let [guest, size, user, offset] = other;
    let other_region = MemoryRegion::new(guest, size, user, offset).unwrap();
    assert!(bench.try_ask(R::RemMemReg, &single([guest, size, user, 0]), vec![]));
    assert_eq!(bench.device.take_calls(), [Call::Add(other_region), Call::Remove(other_region)]);
    assert_eq!(bench.session.running_rings(), 2, "rings elsewhere go on");
    // A file that comes with it is closed.
    let (canary, pipe) = Canary::new();
    assert!(bench.try_ask(R::RemMemReg, &single(REGION), vec![pipe]));
    assert!(canary.is_closed());
}

#[test]
fn reset_leaves_memory_and_nothing_else() {
    let mut bench = Bench::running(SPLIT);
    assert!(bench.try_ask(R::ResetDevice, &[], vec![]));
    assert_eq!(bench.device.take_calls(), [Call::Stop(0), Call::Stop(1), Call::Reset]);
    assert_eq!(bench.device.memory, [region()]);
    assert_eq!(bench.session.features(), None);
    assert_eq!(bench.ask(&message(R::GetStatus, &[]), vec![]).number(), 0);
    bench.done(&message(R::SetFeatures, &longs(&[SPLIT])), vec![]);
    for (message, fds) in ring(0, 7) {
        bench.done(&message, fds);
    }
    assert!(!bench.device.rings[&0].enabled && bench.device.rings[&0].err.is_none());
}

#[test]
fn status_zero_stops_the_rings_until_they_are_kicked() {
    let mut bench = Bench::running(SPLIT);
    bench.done(&message(R::SetStatus, &longs(&[0])), vec![]);
    assert_eq!(bench.device.take_calls(), [Call::Stop(0), Call::Stop(1), Call::Status(0)]);
    bench.done(&message(R::SetVringKick, &longs(&[0])), vec![eventfd()]);
    assert_eq!(bench.session.running_rings(), 1);
}

#[test]
fn features_ok_does_not_stay_without_features() {
    let mut bench = Bench::new();
    bench.refused(R::SetFeatures, &longs(&[1 << 40]), vec![], Reason::FeatureNotOffered);
    bench.done(&message(R::SetStatus, &longs(&[11])), vec![]);
    assert_eq!(bench.ask(&message(R::GetStatus, &[]), vec![]).number(), 3);
}

#[test]
fn guest_is_announced() {
    let mut bench = Bench::new();
    bench.done(&message(R::SendRarp, &[0x52, 0x54, 0, 1, 2, 3, 0xff, 0xff]), vec![]);
    assert_eq!(bench.device.take_calls(), [Call::Announce([0x52, 0x54, 0, 1, 2, 3])]);
}

#[test]
fn inflight_area_makes_its_round_trip() {
    for (features, bytes) in [(SPLIT, 2 * 4160), (PACKED, 2 * 8256)] {
        let mut bench = Bench::new();
        bench.done(&message(R::SetFeatures, &longs(&[features])), vec![]);
        for padding in [0, 4] {
            let ask = [longs(&[0, 0]), words(&[2 | 256 << 16]), vec![0; padding]].concat();
            let reply = bench.ask(&message(R::GetInflightFd, &ask), vec![]);
            let wanted = [longs(&[bytes, 0]), words(&[2 | 256 << 16]), vec![0; padding]].concat();
            assert_eq!(reply.payload, wanted);
            let file = reply.fd.unwrap();
            assert!(std::fs::File::from(file.try_clone().unwrap()).metadata().unwrap().len() >= bytes);
            assert!(bench.try_ask(R::SetInflightFd, &reply.payload, vec![file]));
            let shape =
                InflightShape { queues: 2, queue_size: 256, packed: features & features::RING_PACKED != 0 };
            let calls = bench.device.take_calls();
            assert!(calls.ends_with(&[Call::CreateInflight(shape), Call::SetInflight(shape)]), "{calls:?}");
        }
    }
}

#[test]
fn close_takes_everything_back() {
    let mut bench = Bench::running(SPLIT);
    bench.session.close(&mut bench.device);
    let wanted = [Call::Stop(0), Call::Stop(1), Call::Reset, Call::Replace(vec![])];
    assert_eq!(bench.device.take_calls(), wanted);
}
