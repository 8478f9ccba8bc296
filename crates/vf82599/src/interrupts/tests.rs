use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;

use super::{Interrupts, Signal};
use crate::registers::{VTEIAC, VTEIAM, VTEICR, VTEIMS, VTEITR};
use crate::rig::{CYCLES_PER_MICROSECOND, Messages, Sender};
use crate::state::{VfState, word};

struct Bench {
    state: VfState,
    interrupts: Interrupts,
    messages: Arc<Messages>,
}

fn bench() -> Bench {
    let state = VfState::create("test").unwrap();
    let messages = Arc::new(Messages::default());
    let sender = Box::new(Sender(Arc::clone(&messages)));
    let interrupts = Interrupts::new(state.clone(), CYCLES_PER_MICROSECOND, sender);
    Bench { state, interrupts, messages }
}

impl Bench {
    fn set(&self, register: u32, value: u32) {
        self.state.set_register(register, value);
    }

    /// Causes and enable bits.
    fn bits(&self) -> (u32, u32) {
        (self.state.register(VTEICR), self.state.register(VTEIMS))
    }
}

#[test]
fn a_cause_that_is_not_enabled_stays_pending_and_fires_when_it_is() {
    let b = bench();
    assert!(!b.interrupts.raise(0b11, 0));
    assert_eq!(b.messages.take(), [0; 3]);
    assert_eq!(b.bits(), (0b11, 0));
    assert!(!b.interrupts.unmask(0b10, 0));
    assert_eq!(b.messages.take(), [0, 1, 0]);
    assert_eq!(b.bits(), (0b11, 0b10), "without auto-clear and auto-mask nothing changes");
}

#[test]
fn auto_mask_and_auto_clear_concern_the_vector_that_was_sent() {
    let b = bench();
    b.set(VTEIAM, 0b001);
    b.set(VTEIAC, 0b010);
    b.interrupts.unmask(0b111, 0);
    b.interrupts.raise(0b111, 0);
    assert_eq!(b.messages.take(), [1, 1, 1]);
    assert_eq!(b.bits(), (0b101, 0b110));
}

/// What Linux relies on: its handler masks nothing, polls, and enables the vector when it is done.
#[test]
fn with_auto_mask_one_message_per_enabling() {
    let b = bench();
    b.set(VTEIAM, 7);
    b.set(VTEIAC, 7);
    b.interrupts.unmask(1, 0);
    for round in 0..3 {
        (0..5).for_each(|_| assert!(!b.interrupts.raise(1, round)));
        assert_eq!(b.messages.take(), [1, 0, 0], "round {round}");
        b.interrupts.unmask(1, round);
        assert_eq!(b.messages.take(), [1, 0, 0], "what came after the message is not lost");
        b.interrupts.unmask(1, round);
        assert_eq!(b.messages.take(), [0; 3], "nothing is pending");
    }
}

#[test]
fn causes_are_taken_and_cleared() {
    let b = bench();
    b.interrupts.raise(0b111, 0);
    b.interrupts.clear_causes(0b010);
    assert_eq!(b.interrupts.take_causes(), 0b101);
    assert_eq!(b.interrupts.take_causes(), 0);
    b.interrupts.unmask(0b111, 0);
    assert_eq!(b.messages.take(), [0; 3]);
    b.interrupts.mask(u32::MAX);
    assert_eq!(b.bits(), (0, 0));
}

#[test]
fn vectors_that_do_not_exist_have_no_bits() {
    let b = bench();
    assert!(!b.interrupts.raise(!7, 0));
    b.interrupts.unmask(!7, 0);
    assert_eq!(b.bits(), (0, 0));
}

#[test]
fn moderation_holds_a_message_until_its_interval_is_over() {
    let b = bench();
    // Linux: 20,000 interrupts a second are 0xc8, 50 us.
    b.set(VTEITR + 4, 0x8000_00c8);
    let interval = 50 * CYCLES_PER_MICROSECOND;
    b.interrupts.unmask(7, 0);
    let start = 1_000_000;
    assert!(!b.interrupts.raise(0b010, start), "the first is sent at once");
    assert_eq!(b.interrupts.deadline(), None);
    assert!(b.interrupts.raise(0b010, start + 1));
    assert!(b.interrupts.raise(0b010, start + 2));
    assert_eq!(b.messages.take(), [0, 1, 0]);
    assert_eq!(b.interrupts.deadline(), Some(start + interval));
    assert!(!b.interrupts.raise(0b101, start + 3), "each vector has its own");
    assert_eq!(b.messages.take(), [1, 0, 1]);
    assert!(b.interrupts.release(start + interval - 1), "too early");
    assert_eq!(b.messages.take(), [0; 3]);
    assert!(!b.interrupts.release(start + interval));
    assert_eq!(b.messages.take(), [0, 1, 0], "one for both");
    assert_eq!(b.interrupts.deadline(), None);
    assert!(!b.interrupts.release(start + 9 * interval));
    assert_eq!(b.messages.take(), [0; 3]);
}

#[test]
fn enabling_a_vector_does_not_go_round_its_moderation() {
    let b = bench();
    b.set(VTEIAM, 1);
    b.set(VTEITR, 0xff8);
    b.interrupts.unmask(1, 0);
    b.interrupts.raise(1, 0);
    b.interrupts.raise(1, 1);
    assert!(b.interrupts.unmask(1, 2));
    assert_eq!(b.messages.take(), [1, 0, 0]);
    let due = b.interrupts.deadline().unwrap();
    assert_eq!(due, 1022 * CYCLES_PER_MICROSECOND, "the longest interval");
    b.interrupts.release(due);
    assert_eq!(b.messages.take(), [1, 0, 0]);
}

#[test]
fn a_held_message_whose_cause_or_enable_bit_went_is_not_sent() {
    for taken in [true, false] {
        let b = bench();
        b.set(VTEITR, 0x28);
        b.interrupts.unmask(1, 0);
        b.interrupts.raise(1, 0);
        assert!(b.interrupts.raise(1, 1));
        b.messages.take();
        if taken {
            b.interrupts.take_causes();
        } else {
            b.interrupts.mask(1);
        }
        assert!(!b.interrupts.release(1 << 40));
        assert_eq!(b.messages.take(), [0; 3]);
        assert_eq!(b.interrupts.deadline(), None);
        b.interrupts.unmask(1, 1 << 40);
        assert_eq!(b.messages.take(), [u32::from(!taken), 0, 0], "a pending cause fires later");
    }
}

#[test]
fn reset_forgets_everything() {
    let b = bench();
    b.set(VTEIAM, 7);
    b.set(VTEIAC, 2);
    b.set(VTEITR, 0xff8);
    b.interrupts.unmask(7, 0);
    b.interrupts.raise(7, 5);
    b.interrupts.unmask(7, 5);
    b.interrupts.raise(7, 6);
    b.interrupts.reset();
    assert_eq!(b.interrupts.deadline(), None);
    assert_eq!(b.state.private.load(word::DEFERRED), 0);
    for register in [VTEICR, VTEIMS, VTEIAC, VTEIAM, VTEITR] {
        assert_eq!(b.state.register(register), 0);
    }
    b.messages.take();
    b.interrupts.unmask(1, 7);
    b.interrupts.raise(1, 7);
    assert_eq!(b.messages.take(), [1, 0, 0], "no interval of before");
}

#[test]
fn time_near_its_end_is_no_reason_to_panic() {
    let b = bench();
    b.set(VTEITR, 0xff8);
    b.interrupts.unmask(1, u64::MAX);
    b.interrupts.raise(1, u64::MAX);
    assert_eq!(b.messages.take(), [1, 0, 0]);
    // 0x0041_8937_4bc6_a7ef microseconds.
    assert_eq!(b.interrupts.microseconds(u64::MAX), 0x4bc6_a7ef);
}

/// A guest with one vector: each message makes it look for work, after which it enables the vector again.
#[derive(Debug, Default)]
struct Guest {
    /// Messages since the guest looked last.
    woken: AtomicU32,
    messages: AtomicU32,
}

#[derive(Debug)]
struct Wake(Arc<Guest>);

impl Signal for Wake {
    fn signal(&self, _vector: u32) {
        self.0.messages.fetch_add(1, Ordering::SeqCst);
        self.0.woken.fetch_add(1, Ordering::SeqCst);
    }
}

/// Several raisers, and a guest that sleeps until a message comes: no piece of work is left behind, and no message
/// comes but for an enable bit.
#[test]
fn no_wake_up_is_lost_between_concurrent_raisers_and_the_guest() {
    const RAISERS: u32 = 3;
    const EACH: u32 = 20_000;
    let state = VfState::create("test").unwrap();
    let guest = Arc::new(Guest::default());
    let interrupts = Interrupts::new(state.clone(), 1, Box::new(Wake(Arc::clone(&guest))));
    state.set_register(VTEIAM, 1);
    state.set_register(VTEIAC, 1);
    interrupts.unmask(1, 0);
    let (posted, finished) = (AtomicU32::new(0), AtomicBool::new(false));
    let (seen, enabled) = std::thread::scope(|scope| {
        let raisers: Vec<_> = (0..RAISERS)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        posted.fetch_add(1, Ordering::SeqCst);
                        interrupts.raise(1, 0);
                    }
                })
            })
            .collect();
        let driver = scope.spawn(|| {
            let (mut seen, mut enabled) = (0, 1);
            loop {
                let last = finished.load(Ordering::SeqCst);
                // Only a message makes the guest look.
                let woken = guest.woken.swap(0, Ordering::SeqCst) > 0;
                if woken {
                    seen = posted.load(Ordering::SeqCst);
                    enabled += 1;
                    interrupts.unmask(1, 0);
                }
                if last && (!woken || seen == RAISERS * EACH) {
                    return (seen, enabled);
                }
                std::thread::yield_now();
            }
        });
        raisers.into_iter().for_each(|raiser| raiser.join().unwrap());
        finished.store(true, Ordering::SeqCst);
        driver.join().unwrap()
    });
    assert_eq!(seen, RAISERS * EACH);
    assert!(guest.messages.load(Ordering::SeqCst) <= enabled);
}

/// The rules in plain words, for one thread.
#[derive(Debug, Default)]
struct Model {
    causes: u32,
    enabled: u32,
    auto_mask: u32,
    auto_clear: u32,
    sent: [u32; 3],
}

impl Model {
    fn fire(&mut self, vectors: u32) {
        for vector in 0..3 {
            let bit = 1 << vector;
            if vectors & self.causes & self.enabled & bit != 0 {
                self.sent[vector] += 1;
                self.enabled &= !(self.auto_mask & bit);
                self.causes &= !(self.auto_clear & bit);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_moderation_the_device_does_what_the_model_does(
        auto in any::<(u32, u32)>(),
        operations in prop::collection::vec((0..5_u8, any::<u32>()), 1..60),
    ) {
        let b = bench();
        let mut model = Model { auto_mask: auto.0 & 7, auto_clear: auto.1 & 7, ..Model::default() };
        b.set(VTEIAM, model.auto_mask);
        b.set(VTEIAC, model.auto_clear);
        for (operation, bits) in operations {
            match operation {
                0 => {
                    b.interrupts.raise(bits, 0);
                    model.causes |= bits & 7;
                    model.fire(bits);
                }
                1 => {
                    b.interrupts.unmask(bits, 0);
                    model.enabled |= bits & 7;
                    model.fire(bits);
                }
                2 => {
                    b.interrupts.mask(bits);
                    model.enabled &= !bits;
                }
                3 => {
                    prop_assert_eq!(b.interrupts.take_causes(), model.causes);
                    model.causes = 0;
                }
                _ => {
                    b.interrupts.clear_causes(bits);
                    model.causes &= !bits;
                }
            }
            prop_assert_eq!(b.bits(), (model.causes, model.enabled));
            prop_assert_eq!(b.messages.take(), std::mem::take(&mut model.sent));
        }
    }
}
