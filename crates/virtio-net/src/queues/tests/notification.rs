//! Kicks and calls.

use std::sync::Arc;

use port::{Burst, Port, Put};
use proptest::prelude::*;

use crate::testing::frames::plain;
use crate::testing::{Receiver, Sender, Vm, forward, put};
use crate::{Features, Notify, Profile, Queues};

fn look(queues: &mut Queues, now: u64) -> usize {
    let mut burst = Burst::new();
    queues.fetch(&mut burst, now);
    let frames = burst.len();
    if frames > 0 {
        queues.complete(&burst, port::Consumed { frames, pieces: 0 }, now);
    }
    drop(burst);
    queues.flush(now);
    frames
}

const KINDS: [Features; 4] = [
    Features::empty(),
    Features::EVENT_IDX,
    Features::RING_PACKED,
    Features::RING_PACKED.union(Features::EVENT_IDX),
];

#[test]
fn kicks_are_wanted_only_while_the_worker_may_sleep() {
    for features in KINDS {
        let mut a = Vm::new(features);
        let mut sender = Sender::new(a.ring(1, 16));
        assert!(a.queues.has_work(), "a new ring is to be looked at");
        assert_eq!(look(&mut a.queues, 0), 0);
        assert!(!a.queues.has_work());
        for _ in 0..40 {
            // Asleep: the first frame comes with a kick.
            let old = sender.ring.available;
            assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
            assert!(sender.ring.must_kick(&a.view(), old), "{features:?}");
            assert!(a.queues.has_work());
            let mut burst = Burst::new();
            a.queues.fetch(&mut burst, 0);
            a.queues.ask_for_doorbells(false);
            a.queues.complete(&burst, port::Consumed { frames: 1, pieces: 0 }, 0);
            drop(burst);
            a.queues.flush(0);
            // Awake: those after it do not.
            for _ in 0..3 {
                let old = sender.ring.available;
                assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
                assert!(!sender.ring.must_kick(&a.view(), old), "{features:?}");
                assert!(a.queues.has_work());
                assert_eq!(look(&mut a.queues, 0), 1);
                sender.ring.take(&a.view());
            }
            assert!(!a.queues.has_work());
            a.queues.ask_for_doorbells(true);
        }
        // What comes before the worker sleeps is seen by its last look.
        a.queues.ask_for_doorbells(false);
        assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
        a.queues.ask_for_doorbells(true);
        assert!(a.queues.has_work());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// R21: with calls asked for at random, the driver that waits for one is never left waiting, and one that wants
    /// none gets none, round and round the ring.
    #[test]
    fn r21_no_call_is_lost_or_without_end(
        kind in 0..4_usize,
        size in 3..9_u16,
        steps in prop::collection::vec((1..4_u32, any::<bool>()), 1..60),
    ) {
        let features = KINDS[kind];
        let mut a = Vm::new(features);
        let size = if features.contains(Features::RING_PACKED) { size } else { 8 };
        let mut sender = Sender::new(a.ring(1, size));
        // The first call is unconditional: the device cannot know what the driver waits for.
        sender.ring.want_call(&a.view(), true);
        prop_assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
        look(&mut a.queues, 0);
        sender.ring.take(&a.view());
        for (count, wanted) in steps {
            sender.ring.want_call(&a.view(), wanted);
            let before = a.notify.calls(1);
            for _ in 0..count {
                let _ = sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]);
            }
            look(&mut a.queues, 0);
            look(&mut a.queues, 0);
            prop_assert_eq!(a.notify.calls(1) - before, u32::from(wanted));
            sender.ring.take(&a.view());
        }
    }

    #[test]
    fn r21_garbage_in_the_event_fields_does_no_harm(kind in 0..4_usize, garbage in any::<[u32; 8]>()) {
        let mut a = Vm::new(KINDS[kind]);
        let mut sender = Sender::new(a.ring(1, 8));
        for word in garbage {
            let at = if sender.ring.kind.packed { 0 } else { 4 + 2 * 8 };
            a.view().write_bytes(sender.ring.parts[1] + at, &word.to_le_bytes()).unwrap();
            let before = a.notify.calls(1);
            prop_assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
            prop_assert_eq!(look(&mut a.queues, 0), 1);
            prop_assert!(a.notify.calls(1) - before <= 1);
            prop_assert_eq!(sender.ring.take(&a.view()).len(), 1);
        }
    }
}

#[test]
fn q08_calls_keep_their_interval() {
    let mut a = Vm::new(Features::empty());
    a.profile = Profile { call_interval: 1000 };
    a.reattach();
    let mut sender = Sender::new(a.ring(1, 16));
    let mut called = vec![];
    for now in 0..5000 {
        if now % 10 == 0 {
            assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
        }
        let before = a.notify.calls(1);
        look(&mut a.queues, now);
        if a.notify.calls(1) > before {
            called.push(now);
        }
        sender.ring.take(&a.view());
    }
    assert_eq!(called, [0, 1000, 2000, 3000, 4000]);
    assert_eq!(a.queues.deadline(), Some(5000), "what came since is not forgotten");
    a.queues.flush(5000);
    assert_eq!((a.notify.calls(1), a.queues.deadline()), (6, None));
}

/// One round of a worker that moves one frame; how it ended.
fn move_one(a: &mut Vm, b: &mut Vm) -> Option<Put> {
    let mut burst = Burst::new();
    a.queues.fetch(&mut burst, 0);
    let end = (!burst.is_empty()).then(|| b.queues.put(&burst.frame(0), None, 0));
    let done = usize::from(end == Some(Put::Done));
    a.queues.complete(&burst, port::Consumed { frames: done, pieces: 0 }, 0);
    drop(burst);
    b.queues.flush(0);
    a.queues.flush(0);
    end
}

#[test]
fn q03_a_receiver_without_room_is_asked_to_kick() {
    for features in KINDS {
        for awake in [false, true] {
            let features = features | Features::MRG_RXBUF;
            let (mut a, mut b) = (Vm::new(Features::empty()), Vm::new(features));
            let mut sender = Sender::new(a.ring(1, 16));
            let mut receiver = Receiver::new(b.ring(0, 16), &[100], features | Features::VERSION_1);
            for n in 0..8 {
                assert!(sender.send(&a.view(), &[0; 12], &plain(n, 200), &[]));
            }
            receiver.fill(&b.view(), 3);
            // Takes the first frame; of the second there is no room for all.
            assert_eq!(move_one(&mut a, &mut b), Some(Put::Done));
            receiver.fill(&b.view(), 2);
            if awake {
                b.queues.ask_for_doorbells(false);
            }
            assert_eq!(move_one(&mut a, &mut b), Some(Put::Full { next: 0 }));
            if awake {
                b.queues.ask_for_doorbells(true);
            }
            assert!(!b.queues.has_work(), "{features:?}: what is there is not enough");
            assert_eq!(b.queues.deadline(), None);
            let old = receiver.ring.available;
            receiver.fill(&b.view(), 1);
            assert!(receiver.ring.must_kick(&b.view(), old), "{features:?}");
            assert!(b.queues.has_work(), "the sender is to be looked at");
            let mut burst = Burst::new();
            b.queues.fetch(&mut burst, 5);
            b.queues.flush(5);
            assert_eq!(b.queues.deadline(), Some(5));
            assert!(!b.queues.has_work(), "said once");
            assert_eq!(move_one(&mut a, &mut b), Some(Put::Done));
        }
    }
}

#[test]
fn a_closed_ring_needs_no_look() {
    let a = Vm::new(Features::empty());
    assert!(!a.queues.has_work());
    let mut b = Vm::new(Features::empty());
    assert_eq!(put(&mut b, &plain(1, 64), &port::Spec::default()), crate::testing::NOT_READY);
    let mut receiver = Receiver::new(b.ring(0, 16), &[1600], Features::VERSION_1);
    receiver.fill(&b.view(), 2);
    b.state.set_link_up(false);
    assert_eq!(put(&mut b, &plain(1, 64), &port::Spec::default()), crate::testing::NOT_READY);
    b.state.set_link_up(true);
    assert_eq!(put(&mut b, &plain(1, 64), &port::Spec::default()), Put::Done);
}

/// A worker that is told by kicks alone, and never says whether it sleeps.
#[test]
fn kicks_go_on_if_nobody_says_otherwise() {
    for features in KINDS {
        let mut a = Vm::new(features);
        let mut sender = Sender::new(a.ring(1, 16));
        for _ in 0..40 {
            look(&mut a.queues, 3);
            let old = sender.ring.available;
            assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
            assert!(sender.ring.must_kick(&a.view(), old), "{features:?}");
            sender.ring.take(&a.view());
        }
        let mut burst = Burst::new();
        a.queues.fetch(&mut burst, 3);
        a.queues.complete(&burst, port::Consumed { frames: 1, pieces: 0 }, 3);
        // Between the look and the flush there may be no kick.
        assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
        a.queues.flush(3);
        assert_eq!(a.queues.deadline(), Some(3), "{features:?}");
    }
}

#[test]
fn calls_come_from_both_ends() {
    let (mut a, mut b) = (Vm::new(Features::empty()), Vm::new(Features::empty()));
    let mut sender = Sender::new(a.ring(1, 16));
    let mut receiver = Receiver::new(b.ring(0, 16), &[1600], Features::VERSION_1);
    receiver.fill(&b.view(), 8);
    for n in 0..3 {
        assert!(sender.send(&a.view(), &[0; 12], &plain(n, 64), &[]));
    }
    forward(&mut a.queues, &mut b.queues);
    assert_eq!((a.notify.calls(1), b.notify.calls(0)), (1, 1), "one per burst");
    let notify: Arc<dyn Notify> = Arc::<crate::testing::Counts>::clone(&a.notify);
    notify.error(1);
    assert_eq!(a.notify.errors(1), 1);
}
