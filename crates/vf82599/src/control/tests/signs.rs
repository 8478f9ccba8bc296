//! What the guest shows of its driver, and the end of a transmit queue.

use proptest::prelude::*;

use crate::GuestSign::{
    BusMasterOff, DriverReset, FunctionReset, MailboxReset, PoweredDown, ReceiveClosed, ReceiveOpen,
};
use crate::registers::{CONTROL, ENABLE, HEAD, TAIL, VFCTRL, rx, tx};
use crate::rig::{CYCLES_PER_MICROSECOND, Call, Rig, identity};
use crate::{Identity, Profile, ResetKind};

/// An X550 VF with two queue pairs.
fn two_pairs() -> Rig {
    Rig::new(Profile::X550, Identity { queue_pairs: 2, ..identity() })
}

fn receive(rig: &mut Rig, queue: u32, on: bool) {
    rig.write(rx(queue, CONTROL), if on { ENABLE } else { 0 });
}

#[test]
fn the_first_queue_opens_and_the_last_one_closes() {
    let mut rig = two_pairs();
    receive(&mut rig, 1, true);
    assert_eq!(rig.host.take_signs(), [ReceiveOpen]);
    receive(&mut rig, 0, true);
    receive(&mut rig, 0, true);
    receive(&mut rig, 1, false);
    rig.write(tx(0, CONTROL), ENABLE);
    rig.write(tx(0, CONTROL), 0);
    assert_eq!(rig.host.take_signs(), []);
    receive(&mut rig, 0, false);
    assert_eq!(rig.host.take_signs(), [ReceiveClosed]);
    receive(&mut rig, 7, true);
    assert_eq!(rig.host.take_signs(), [], "the VF has no such queue");
}

#[test]
fn a_ring_closed_and_opened_again_gives_both_signs() {
    let mut rig = two_pairs();
    for on in [true, false, true] {
        receive(&mut rig, 0, on);
    }
    assert_eq!(rig.host.take_signs(), [ReceiveOpen, ReceiveClosed, ReceiveOpen]);
}

#[test]
fn what_closes_the_queues_comes_before_that_they_are_closed() {
    type Way = fn(&mut Rig);
    let ways: [(Way, &[_]); 8] = [
        (|rig| rig.set_command(2), &[BusMasterOff, ReceiveClosed]),
        // PMCSR stands nowhere in a VF: the physical function powers it down.
        (
            |rig| {
                let effects = rig.control.config().set_power_state(pcie::PowerState::D3Hot);
                rig.control.config_changed(&effects, &mut rig.host);
            },
            &[PoweredDown, ReceiveClosed],
        ),
        (|rig| rig.write(VFCTRL, 1 << 26), &[DriverReset, ReceiveClosed]),
        (|rig| assert_ne!(rig.message(&[1])[0], 0), &[MailboxReset]),
        (|rig| rig.control.reset(ResetKind::FunctionLevel, &mut rig.host), &[FunctionReset, ReceiveClosed]),
        (|rig| rig.control.reset(ResetKind::Device, &mut rig.host), &[FunctionReset, ReceiveClosed]),
        (|rig| rig.control.reset(ResetKind::Disconnected, &mut rig.host), &[FunctionReset, ReceiveClosed]),
        (|rig| rig.control.unplug(&mut rig.host), &[ReceiveClosed]),
    ];
    for (number, (way, expected)) in ways.into_iter().enumerate() {
        let mut rig = two_pairs();
        rig.enable_queue(0);
        rig.host.take_signs();
        way(&mut rig);
        assert_eq!(rig.host.take_signs(), expected, "way {number}");
    }
}

#[test]
fn queues_that_stayed_open_are_heard_again_with_bus_mastering() {
    let mut rig = two_pairs();
    rig.enable_queue(0);
    rig.set_command(2);
    rig.set_command(6);
    assert_eq!(rig.host.take_signs(), [ReceiveOpen, BusMasterOff, ReceiveClosed, ReceiveOpen]);
}

#[test]
fn the_next_data_path_is_told_how_it_is() {
    for (open, sign) in [(true, ReceiveOpen), (false, ReceiveClosed)] {
        let mut rig = two_pairs();
        receive(&mut rig, 0, open);
        let mut rig = rig.restart(Profile::X550, Identity { queue_pairs: 2, ..identity() });
        assert_eq!(rig.host.take_signs(), [sign]);
    }
}

#[test]
fn rings_that_the_guest_has_mapped_are_looked_at_when_asked_for() {
    let mut rig = two_pairs();
    rig.state.set_register(rx(0, CONTROL), ENABLE);
    assert_eq!(rig.host.take_signs(), []);
    for expected in [&[ReceiveOpen][..], &[]] {
        rig.control.look_for_sign(&mut rig.host);
        assert_eq!(rig.host.take_signs(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A collector of signs always knows whether the guest is receiving.
    #[test]
    fn signs_alternate_and_tell_the_last_state(
        moves in prop::collection::vec((0..6_u8, 0..3_u32, any::<bool>()), 0..40)
    ) {
        let mut rig = two_pairs();
        for (kind, queue, on) in moves {
            match kind {
                0..3 => receive(&mut rig, queue, on),
                3 => rig.set_command(if on { 6 } else { 2 }),
                4 => rig.write(VFCTRL, 1 << 26),
                _ => rig.control.reset(ResetKind::FunctionLevel, &mut rig.host),
            }
        }
        let mut receiving = false;
        for sign in rig.host.take_signs() {
            match sign {
                ReceiveOpen | ReceiveClosed => {
                    prop_assert_eq!(receiving, sign == ReceiveClosed);
                    receiving = !receiving;
                }
                _ => {}
            }
        }
        prop_assert_eq!(receiving, rig.control.is_receiving());
    }
}

/// A driver that has shown `shown` descriptors in transmit queue 0.
fn sending(shown: u32) -> Rig {
    let mut rig = two_pairs();
    rig.enable_queue(0);
    rig.write(tx(0, TAIL), shown);
    rig.host.calls.clear();
    rig
}

#[test]
fn what_was_shown_before_a_transmit_queue_is_closed_is_sent() {
    let mut rig = sending(50);
    rig.host.sends = 7;
    rig.write(tx(0, CONTROL), 1 << 26);
    assert_eq!(rig.state.register(tx(0, HEAD)), 50);
    let calls = rig.host.take_calls();
    let Some(Call::Quiesce(last)) = calls.last() else { panic!("{calls:?}") };
    assert_eq!(last.enabled & 1 << 8, 0, "closed, then quiesced");
    assert_eq!(calls.len(), 2 * 8 + 1);
}

#[test]
fn a_transmit_queue_that_does_not_get_on_is_waited_for_once_in_a_while() {
    let mut rig = sending(50);
    rig.host.round = 10 * CYCLES_PER_MICROSECOND;
    let close = |rig: &mut Rig| {
        let before = rig.host.now;
        rig.write(tx(0, CONTROL), 0);
        assert_eq!(rig.state.register(tx(0, HEAD)), 0);
        rig.write(tx(0, CONTROL), ENABLE);
        (rig.host.now - before) / CYCLES_PER_MICROSECOND
    };
    assert_eq!(close(&mut rig), 1010);
    (0..1000).for_each(|_| assert_eq!(close(&mut rig), 10, "as long as one round"));
    rig.host.now += 100_000 * CYCLES_PER_MICROSECOND;
    assert_eq!(close(&mut rig), 1010);
}

#[test]
fn a_clock_that_stands_still_keeps_nobody_waiting() {
    let mut rig = sending(50);
    rig.write(tx(0, CONTROL), 0);
    assert_eq!(rig.state.register(tx(0, CONTROL)), 0);
}

#[test]
fn a_function_that_reaches_no_memory_has_nothing_to_send() {
    let mut rig = sending(50);
    rig.host.round = CYCLES_PER_MICROSECOND;
    rig.set_command(2);
    rig.host.calls.clear();
    rig.write(tx(0, CONTROL), 0);
    assert_eq!(rig.host.take_quiesced().len(), 1);
}
