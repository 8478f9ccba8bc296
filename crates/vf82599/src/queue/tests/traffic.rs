//! Random traffic through two VFs against a plain model: each frame arrives once, in the order of its queue, as it was
//! sent.

use std::collections::VecDeque;

use port::{Port, Put};
use proptest::prelude::*;

use super::driver::{self, EOP, RS};
use super::frames::plain;
use super::rig::{TX_BUFFERS, Vf, forward};
use crate::state::word;

#[derive(Clone, Debug)]
enum Step {
    /// A frame of this many bytes on this queue, in two buffers if `cut`.
    Send {
        queue: u32,
        length: usize,
        cut: bool,
    },
    Forward,
    /// The driver takes what has arrived and gives back some buffers.
    Receive {
        refill: u32,
    },
    Reattach,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let send = (0..2u32, prop_oneof![18..100usize, 18..9000usize], any::<bool>())
        .prop_map(|(queue, length, cut)| Step::Send { queue, length, cut });
    let receive = (0..40u32).prop_map(|refill| Step::Receive { refill });
    prop::collection::vec(
        prop_oneof![5 => send, 4 => Just(Step::Forward), 3 => receive, 1 => Just(Step::Reattach)],
        1..200,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn each_frame_arrives_once_and_in_order(steps in steps(), kib in 1..4u32) {
        let (mut from, mut to) = (Vf::new(), Vf::new());
        to.state.private.store(word::MAX_FRAME, 9728);
        let mut sent = [from.tx(0, 32), from.tx(1, 32)];
        let mut received = to.rx(0, 32, kib, 0);
        let mut expected = [VecDeque::new(), VecDeque::new()];
        let (mut number, mut arrived, mut wanted) = (0, 0, 0);
        for step in steps.into_iter().chain(drain()) {
            match step {
                Step::Send { queue, length, cut } => {
                    let ring = &mut sent[queue as usize];
                    let free = (from.tx_head(queue) + 31 - ring.tail) % 32;
                    if free < 2 {
                        continue;
                    }
                    let mut bytes = plain(number, length);
                    bytes[13] = if queue == 0 { 0xb5 } else { 0xb6 };
                    let view = from.view();
                    // A place of its own for each frame that can wait.
                    let address = TX_BUFFERS + u64::from(queue * 32 + ring.tail) * 0x2800;
                    view.write_bytes(address, &bytes).unwrap();
                    let first = if cut { length / 2 } else { 0 };
                    if cut {
                        ring.post(&view, driver::data(address, first, 0, 0));
                    }
                    ring.post(&view, driver::data(address + first as u64, length - first, EOP | RS, 0));
                    ring.ring_doorbell(&mut from.state);
                    bytes.resize(length.max(60), 0);
                    expected[queue as usize].push_back(bytes);
                    (number, wanted) = (number + 1, wanted + 1);
                }
                Step::Forward => {
                    let put = forward(&mut from.queues, &mut to.queues);
                    prop_assert!(!matches!(put, Put::Refused(_)), "{:?}", put);
                }
                Step::Receive { refill } => {
                    let view = to.view();
                    while let Some(frame) = received.receive(&view) {
                        let queue = usize::from(frame.bytes[13] == 0xb6);
                        let next = expected[queue].pop_front();
                        prop_assert!(next.as_ref() == Some(&frame.bytes));
                        arrived += 1;
                    }
                    let free = (received.next + 31 - received.tail) % 32;
                    received.refill(&view, refill.min(free));
                    received.ring_doorbell(&mut to.state);
                }
                Step::Reattach => {
                    from.reattach();
                    to.reattach();
                }
            }
        }
        prop_assert_eq!(arrived, wanted);
        prop_assert!(!from.queues.has_work());
        prop_assert_eq!(from.malformed(), vec![]);
    }
}

/// Enough for all that can be in the rings.
fn drain() -> impl Iterator<Item = Step> {
    (0..100).flat_map(|_| [Step::Forward, Step::Forward, Step::Receive { refill: 40 }])
}
