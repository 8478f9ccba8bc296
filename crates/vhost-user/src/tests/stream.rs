//! The stream may be cut anywhere: what comes out is the same.

use std::os::fd::AsFd;

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::support::*;
use crate::Decoder;
use crate::protocol::RequestCode as R;

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(request, flags, payload)| raw(request, flags & !3 | 1, &payload))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_messages(
        messages in prop::collection::vec(any_message(), 1..8),
        cuts in prop::collection::vec(1_usize..200, 1..32),
    ) {
        let stream = messages.concat();
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
        while at < stream.len() {
            let end = (at + cuts.next().unwrap()).min(stream.len());
            let mut chunk = &stream[at..end];
            while !chunk.is_empty() {
                let taken = decoder.push(chunk);
                prop_assert!(taken > 0);
                chunk = &chunk[taken..];
                if let Some(message) = decoder.message().unwrap() {
                    found.push([message.header.as_bytes(), message.payload].concat());
                }
                prop_assert!(decoder.message().unwrap().is_none(), "each message is given out once");
            }
            at = end;
        }
        prop_assert!(!decoder.is_mid_message());
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut bench = Bench::new();
        let mut decoder = Decoder::default();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)..];
            let Ok(message) = decoder.message() else { break };
            if let Some(message) = message {
                bench.session.handle(message, &mut bench.device);
            }
        }
    }

    #[test]
    fn any_payload_gets_one_reply_if_it_wants_one(
        request in 0_u32..48,
        payload in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..64),
        fds in 0_usize..3,
    ) {
        let mut bench = Bench::with_memory(SPLIT);
        // An arbitrary set of protocol features may lack the one that makes replies due.
        prop_assume!(request != R::SetProtocolFeatures as u32);
        let fds = (0..fds).map(|_| eventfd()).collect();
        prop_assert_eq!(bench.send(&raw(request, 9, &payload), fds).len(), 1);
    }
}

#[test]
fn fds_belong_to_the_message_that_they_were_sent_with() {
    let mut wire = Wire::fresh();
    // The kernel may return all of these bytes at once.
    wire.send(&message(R::SetFeatures, &longs(&[SPLIT])), &[]);
    wire.send(&message(R::SetMemTable, &table(&[REGION])), &[memfd(SIZE).as_fd()]);
    for (message, fds) in ring(0, 0) {
        wire.send(&message, &borrowed(&fds));
    }
    wire.send(&message(R::GetFeatures, &[]), &[]);
    wire.serve().unwrap();
    assert_eq!(wire.server.session().counters().total(), 0);
    assert_eq!(wire.device.rings.len(), 1);
    assert_eq!(wire.replies().len(), 1);
}

#[test]
fn refusals_leave_the_stream_in_step() {
    let mut wire = Wire::fresh();
    let stream = [raw(999, 1, &[1; 1000]), raw(24, 1, &[7; 268]), message(R::GetFeatures, &[])].concat();
    wire.send(&stream, &[]);
    wire.serve().unwrap();
    let replies = wire.replies();
    assert_eq!(replies.iter().map(|reply| reply.request).collect::<Vec<_>>(), [24, 1]);
    assert!(replies[0].payload.is_empty());
}
