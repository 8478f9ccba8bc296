//! Any legal message at any time.

use proptest::prelude::*;
use proptest::sample::select;

use super::support::*;
use crate::protocol::{RequestCode as R, features, protocol_features};

fn number() -> impl Strategy<Value = Vec<u8>> {
    (0_u64..4).prop_map(|ring| longs(&[ring]))
}

/// A message, and what goes with it: nothing, a file (1) or an eventfd (2).
fn any_message() -> impl Strategy<Value = (R, Vec<u8>, u8)> {
    let regions = vec![REGION, [0, SIZE, USER, 0], [0, SIZE, 0, 0], [GUEST, SIZE / 2, USER, 0]];
    let sets = vec![SPLIT, PACKED, SPLIT | features::LOG_ALL, PACKED | features::LOG_ALL, 1 << 32, 0];
    let event = select(vec![R::SetVringKick, R::SetVringCall, R::SetVringErr]);
    prop_oneof![
        1 => Just((R::GetFeatures, vec![], 0)),
        1 => Just((R::SetOwner, vec![], 0)),
        1 => Just((R::ResetOwner, vec![], 0)),
        1 => Just((R::ResetDevice, vec![], 0)),
        1 => Just((R::SetStatus, longs(&[0]), 0)),
        1 => Just((R::SetStatus, longs(&[15]), 0)),
        4 => select(sets).prop_map(|set| (R::SetFeatures, longs(&[set]), 0)),
        3 => select(regions.clone()).prop_map(|region| (R::SetMemTable, table(&[region]), 1)),
        2 => select(regions.clone()).prop_map(|region| (R::AddMemReg, single(region), 1)),
        2 => select(regions).prop_map(|region| (R::RemMemReg, single(region), 0)),
        2 => select(vec![LOG_SIZE, LOG_SIZE / 2, 1 << 20])
            .prop_map(|size| (R::SetLogBase, longs(&[size, 0]), 1)),
        5 => (0_u32..4, select(vec![1, 64, 100, 256, 1024])).prop_map(|(ring, size)| (R::SetVringNum, words(&[ring, size]), 0)),
        5 => (0_u32..4, 0_u32..4, 0_u32..2).prop_map(|(ring, at, log)| {
            (R::SetVringAddr, addresses(ring, log, places(at), GUEST), 0)
        }),
        3 => (0_u32..4, select(vec![0, 7, 0x8000, 0xffff])).prop_map(|(ring, base)| (R::SetVringBase, words(&[ring, base]), 0)),
        2 => (0_u32..4).prop_map(|ring| (R::GetVringBase, words(&[ring, 0]), 0)),
        3 => (0_u32..4, 0_u32..2).prop_map(|(ring, on)| (R::SetVringEnable, words(&[ring, on]), 0)),
        8 => (event.clone(), number()).prop_map(|(code, payload)| (code, payload, 2)),
        2 => (event, 0_u64..4).prop_map(|(code, ring)| (code, longs(&[ring | 0x100]), 0)),
    ]
}

fn has_own_reply(code: R) -> bool {
    matches!(code, R::GetFeatures | R::GetVringBase | R::SetLogBase)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The test device asserts its side of the contract after each call and each message. Whatever has happened, a
    /// front end that stops all rings and sets them up again is served.
    #[test]
    fn v26_any_order_keeps_the_contract_and_the_stream(
        begun in any::<bool>(),
        messages in prop::collection::vec((any_message(), any::<bool>(), 0_u8..20), 1..80),
    ) {
        let mut bench = if begun { Bench::running(SPLIT) } else { Bench::new() };
        for ((code, payload, fds), acknowledge, failure) in messages {
            let fds = match fds {
                0 => vec![],
                1 => vec![memfd(SIZE)],
                _ => vec![eventfd()],
            };
            bench.device.fail = (failure == 0).then_some(crate::Errno::NOMEM);
            bench.device.progress = failure.into();
            let message = if acknowledge { acked(code, &payload) } else { message(code, &payload) };
            let replies = bench.send(&message, fds);
            prop_assert_eq!(replies.len(), usize::from(acknowledge || has_own_reply(code)));
            prop_assert_eq!(bench.session.running_rings(), bench.device.rings.len());
        }
        bench.device.fail = None;
        for index in 0..4 {
            bench.ask(&message(R::GetVringBase, &words(&[index, 0])), vec![]);
        }
        prop_assert!(bench.device.rings.is_empty());
        bench.done(&message(R::SetFeatures, &longs(&[SPLIT])), vec![]);
        bench.done(&message(R::SetMemTable, &table(&[REGION])), vec![memfd(SIZE)]);
        for index in 0..4 {
            for (message, fds) in ring(index, 0) {
                bench.done(&message, fds);
            }
        }
        prop_assert_eq!(bench.device.rings.len(), 4);
        bench.session.close(&mut bench.device);
        prop_assert!(bench.device.rings.is_empty() && bench.device.memory.is_empty());
        prop_assert!(bench.device.log.is_none());
    }

    /// Whatever order a front end sets a ring up in, the ring runs in the end, with the same values.
    #[test]
    fn v26_any_order_of_setting_a_ring_up_works(order in Just((0..8).collect::<Vec<_>>()).prop_shuffle()) {
        let mut bench = Bench::fresh();
        let protocol = longs(&[protocol_features::OFFERED]);
        bench.done(&message(R::SetProtocolFeatures, &protocol), vec![]);
        for step in order {
            let (message, fds) = match step {
                0 => (message(R::SetFeatures, &longs(&[SPLIT])), vec![]),
                1 => (message(R::SetMemTable, &table(&[REGION])), vec![memfd(SIZE)]),
                2 => (message(R::SetVringEnable, &words(&[1, 1])), vec![]),
                step => ring(1, 0).remove(step - 3),
            };
            // The position is the only thing that may be left out, so it comes too late for a ring that runs.
            if step == 4 && bench.session.running_rings() == 1 {
                continue;
            }
            bench.done(&message, fds);
        }
        let ring = &bench.device.rings[&1];
        prop_assert!(ring.enabled && ring.kick.is_some() && ring.call.is_some());
        prop_assert_eq!((ring.size, ring.descriptors), (256, GUEST + 0x1_0000));
    }
}
