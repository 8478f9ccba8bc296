//! What becomes of frames, and where it is counted.

use std::sync::atomic::Ordering;

use ethernet::MacAddr;

use super::port::{frame, wait};
use super::{Rig, place, switch};
use crate::{PollMode, Traffic};

#[test]
fn a_frame_goes_to_the_vport_of_its_address() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 100, 100]);
    rig.send(1, Rig::frames(1, 2, 0..50));
    rig.wait_sent(1);
    assert_eq!(rig.guests[2].received(), Rig::frames(1, 2, 0..50));
    assert_eq!(rig.guests[3].received().len(), 0);
    let all = Traffic { frames: 50, octets: 50 * 64, multicast: 0, broadcast: 0 };
    assert_eq!((rig.statistics(1).sent, rig.statistics(2).received), (all, all));
    assert_eq!((rig.statistics(1).drops, rig.statistics(2).drops), (vec![], vec![]));
    assert_eq!(rig.dataplane.handle().statistics().frames, 50);
}

#[test]
fn a_broadcast_goes_to_all_others_and_waits_for_none() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 100, 3, 100]);
    let frames: Vec<_> = (0..10).map(|n| frame(switch::mac(1), MacAddr::BROADCAST, n)).collect();
    rig.send(1, frames.clone());
    rig.wait_sent(1);
    assert_eq!(rig.guests[1].received().len(), 0, "never its own frame back");
    assert_eq!((rig.guests[2].received(), rig.guests[4].received()), (frames.clone(), frames.clone()));
    assert_eq!(rig.guests[3].received(), frames[..3]);
    assert_eq!(rig.statistics(3).drops, [("rx_no_buffers", 7)]);
    assert_eq!((rig.statistics(1).sent.broadcast, rig.statistics(2).received.broadcast), (10, 10));
    assert_eq!(rig.statistics(1).drops, []);
}

#[test]
fn each_drop_has_a_name() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 100]);
    let (me, you) = (switch::mac(1), switch::mac(2));
    let nobody = MacAddr([2, 0, 0, 0, 9, 9]);
    let mut pause = frame(me, MacAddr([1, 0x80, 0xc2, 0, 0, 1]), 0);
    pause[12..14].copy_from_slice(&[0x88, 0x08]);
    rig.send(1, [frame(you, you, 0), frame(you, MacAddr::BROADCAST, 0)]);
    rig.send(1, [frame(MacAddr::BROADCAST, you, 0), frame(MacAddr::ZERO, you, 0), pause]);
    rig.send(1, [frame(me, MacAddr([1, 0x80, 0xc2, 0, 0, 0xe]), 0), frame(me, me, 0), vec![1; 13]]);
    rig.send(1, [frame(me, nobody, 0), frame(me, nobody, 1), frame(me, you, 7)]);
    rig.wait_sent(1);
    let mut drops = rig.statistics(1).drops;
    drops.sort_unstable();
    let expected = [
        ("hairpin", 1),
        ("link_local_control", 1),
        // There is no port on the default VPort, to which what nobody knows goes.
        ("no_destination", 2),
        ("pause_frame", 1),
        ("source_mac_invalid", 2),
        ("source_mac_spoofed", 2),
        ("tx_too_short", 1),
    ];
    assert_eq!(drops, expected);
    assert_eq!(rig.guests[2].received(), [frame(me, you, 7)]);
}

#[test]
fn a_full_receiver_holds_its_sender_and_gets_each_frame_once_in_order() {
    let rig = Rig::new(PollMode::Adaptive, &[0, 0]);
    rig.send(1, Rig::frames(1, 2, 0..500));
    // A machine that stands still for longer than the allowance makes frames be lost, but never their order.
    let lost = || !rig.statistics(2).drops.is_empty();
    for taken in (0..500).step_by(20) {
        wait("the sender to be held", || rig.statistics(1).held > 0);
        rig.guests[2].room.store(20, Ordering::SeqCst);
        rig.dataplane.handle().kick(place(2)).kick();
        wait("the receiver to be filled", || rig.guests[2].received().len() >= taken + 20 || lost());
    }
    rig.wait_sent(1);
    let received = rig.guests[2].received();
    assert!(received.is_sorted_by_key(|frame| frame[14..18].to_vec()), "in order");
    assert_eq!(received.len() as u64 + rig.statistics(2).drops.iter().map(|(_, n)| n).sum::<u64>(), 500);
    assert!(rig.statistics(1).held <= 60, "a wait counts once: {}", rig.statistics(1).held);
}

#[test]
fn q03_a_receiver_without_buffers_costs_frames_not_the_sender() {
    let rig = Rig::new(PollMode::Adaptive, &[0, 0, usize::MAX]);
    rig.send(1, Rig::frames(1, 2, 0..100));
    rig.send(1, Rig::frames(1, 3, 0..100));
    rig.wait_sent(1);
    assert_eq!(rig.guests[3].received(), Rig::frames(1, 3, 0..100));
    assert_eq!(rig.statistics(2).drops, [("rx_no_buffers", 100)]);
}

#[test]
fn q03_many_receivers_without_buffers_cost_a_sender_no_more_than_one() {
    let rig = Rig::new(PollMode::Adaptive, &[0, 0, 0, 0, 0, 0, 0, usize::MAX]);
    for n in 0..40 {
        for to in 2..8 {
            rig.send(1, Rig::frames(1, to, n..n + 1));
        }
        rig.send(1, Rig::frames(1, 8, n..n + 1));
    }
    rig.wait_sent(1);
    assert_eq!(rig.guests[8].received(), Rig::frames(1, 8, 0..40));
}

#[test]
fn a_vport_without_a_port_is_no_destination() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 100]);
    rig.dataplane.handle().detach(place(2));
    rig.send(1, Rig::frames(1, 2, 0..5));
    rig.send(1, [frame(switch::mac(1), MacAddr::BROADCAST, 0)]);
    rig.wait_sent(1);
    assert_eq!(rig.statistics(1).drops, [("no_destination", 6)]);
}
