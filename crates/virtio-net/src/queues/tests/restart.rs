//! Another data half over the same state goes on where the last one was dropped.

use port::{Burst, Consumed, Port, Put};
use proptest::prelude::*;

use crate::Features;
use crate::testing::frames::{TCP, check, plain};
use crate::testing::{Receiver, Sender, Vm, forward};

const KINDS: [Features; 4] = [
    Features::empty(),
    Features::EVENT_IDX.union(Features::INDIRECT_DESC),
    Features::RING_PACKED,
    Features::RING_PACKED.union(Features::IN_ORDER),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn frames_are_neither_lost_nor_repeated(
        kinds in (0..4_usize, 0..4_usize),
        restarts in prop::collection::vec((any::<bool>(), any::<bool>(), 1..9_u32), 1..30),
    ) {
        let (mut a, mut b) = (Vm::new(KINDS[kinds.0]), Vm::new(KINDS[kinds.1]));
        let mut sender = Sender::new(a.ring(1, 16));
        let features = KINDS[kinds.1] | Features::VERSION_1;
        let mut receiver = Receiver::new(b.ring(0, 16), &[1600], features);
        let (mut sent, mut got) = (0, vec![]);
        for (first, second, count) in restarts {
            for _ in 0..count {
                sent += u32::from(sender.send(&a.view(), &[0; 12], &plain(sent, 100), &[60]));
            }
            receiver.fill(&b.view(), 5);
            forward(&mut a.queues, &mut b.queues);
            if first {
                a.reattach();
            }
            if second {
                b.reattach();
            }
            sender.ring.take(&a.view());
            got.extend(receiver.receive(&b.view()));
        }
        while got.len() < sent as usize {
            receiver.fill(&b.view(), 5);
            forward(&mut a.queues, &mut b.queues);
            got.extend(receiver.receive(&b.view()));
        }
        for (n, (_, frame)) in got.iter().enumerate() {
            prop_assert_eq!(frame, &plain(u32::try_from(n).unwrap(), 100));
        }
    }
}

#[test]
fn a_frame_delivered_in_part_goes_on_after_a_restart() {
    let features = Features::MRG_RXBUF | Features::VERSION_1;
    let (mut a, mut b) = (Vm::new(Features::CSUM | Features::HOST_TSO4), Vm::new(features));
    let mut sender = Sender::new(a.ring(1, 16));
    let mut receiver = Receiver::new(b.ring(0, 16), &[1500], features);
    receiver.fill(&b.view(), 2);
    assert!(sender.send(&a.view(), &TCP.gso_header(500), &TCP.build(), &[]));
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Full { next: 2 });
    a.reattach();
    b.reattach();
    receiver.fill(&b.view(), 16);
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
    let payload: Vec<u8> = receiver.receive(&b.view()).iter().flat_map(|(_, f)| check(f).1).collect();
    assert_eq!(payload, TCP.payload());
}

/// L02: the process ends after it fetched, and delivered, but before it said so: the frames are fetched again.
#[test]
fn l02_a_round_that_was_not_flushed_is_done_again() {
    for kind in KINDS {
        let mut a = Vm::new(kind);
        let mut sender = Sender::new(a.ring(1, 16));
        for n in 0..3 {
            assert!(sender.send(&a.view(), &[0; 12], &plain(n, 100), &[]));
        }
        let mut burst = Burst::new();
        a.queues.fetch(&mut burst, 0);
        a.queues.complete(&burst, Consumed { frames: 2, pieces: 0 }, 0);
        drop(burst);
        a.reattach();
        assert_eq!(a.take().len(), 3);
        assert_eq!(sender.ring.take(&a.view()).len(), 3);
    }
}

/// L12: the front end hands a position over that is not what the driver was last shown: the driver's view counts.
#[test]
fn l12_a_split_ring_goes_on_from_the_used_index() {
    let mut a = Vm::new(Features::empty());
    let mut sender = Sender::new(a.ring(1, 16));
    for n in 0..5 {
        assert!(sender.send(&a.view(), &[0; 12], &plain(n, 100), &[]));
    }
    assert_eq!(a.take().len(), 5);
    assert_eq!(a.state.position(1).map(|at| at.available), Some(5));
    for claimed in [3, 7] {
        a.state.stop_ring(1);
        a.start(1, &sender.ring, claimed);
        assert_eq!(a.take().len(), 0);
        assert_eq!(a.state.broken(1), None);
        assert!(sender.send(&a.view(), &[0; 12], &plain(9, 100), &[]));
        assert_eq!(a.take().len(), 1);
    }
    assert_eq!(sender.ring.take(&a.view()).len(), 7);
}

#[test]
fn a_packed_ring_moves_to_another_device() {
    let features = Features::RING_PACKED;
    let mut a = Vm::new(features);
    let mut sender = Sender::new(a.ring(1, 5));
    for n in 0..33 {
        assert!(sender.send(&a.view(), &[0; 12], &plain(n, 100), &[70]));
        assert_eq!(a.take().len(), 1);
        sender.ring.take(&a.view());
        // As a front end does that stops the ring, asks for the position, and starts it elsewhere.
        a.state.stop_ring(1);
        assert_eq!(a.take().len(), 0);
        let position = a.state.position(1).unwrap();
        a.start(1, &sender.ring, position.available);
    }
}
