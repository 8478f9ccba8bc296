//! The control side, while frames flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::port::{Guest, wait};
use super::{Rig, attachment, place, switch};
use crate::{Attachment, Config, Dataplane, Doorbell, PollMode, StartError};

/// Keeps the guest on VPort 1 sending to VPort 2 while `work` runs; the number of frames sent.
fn under_traffic(rig: &Rig, work: impl FnOnce()) -> u32 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                rig.send(1, Rig::frames(1, 2, sent..sent + 10));
                sent += 10;
                wait("frames to be sent", || rig.guests[1].outbox.lock().unwrap().len() < 20);
            }
            sent
        });
        work();
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    })
}

#[test]
fn u06_nothing_is_accessed_after_quiesce_has_returned() {
    for poll in [PollMode::Adaptive, PollMode::Busy, PollMode::Interrupt] {
        let rig = Rig::new(poll, &[0, usize::MAX]);
        let handle = rig.dataplane.handle();
        let receiver = &rig.guests[2];
        under_traffic(&rig, || {
            for _ in 0..500 {
                receiver.stopped.store(true, Ordering::Release);
                handle.quiesce();
                receiver.forbidden.store(true, Ordering::SeqCst);
                // Longer than an access takes.
                (0..400).for_each(|_| std::hint::spin_loop());
                receiver.forbidden.store(false, Ordering::SeqCst);
                receiver.stopped.store(false, Ordering::Release);
                let before = rig.statistics(2).received.frames;
                wait("frames to flow again", || rig.statistics(2).received.frames > before);
            }
        });
        assert_eq!(receiver.violations.load(Ordering::SeqCst), 0, "{poll:?}");
    }
}

#[test]
fn l08_ports_come_and_go_under_traffic() {
    let rig = Rig::new(PollMode::Adaptive, &[0, usize::MAX]);
    let handle = rig.dataplane.handle();
    let sent = under_traffic(&rig, || {
        for _ in 0..300 {
            handle.detach(place(2));
            assert!(rig.guests[2].dropped.swap(false, Ordering::SeqCst), "dropped when detach returns");
            rig.guests[2].forbidden.store(true, Ordering::SeqCst);
            std::thread::yield_now();
            rig.guests[2].forbidden.store(false, Ordering::SeqCst);
            rig.attach(2);
        }
    });
    rig.wait_sent(1);
    assert_eq!(rig.guests[2].violations.load(Ordering::SeqCst), 0);
    let lost: u64 = rig.statistics(1).drops.iter().map(|(_, n)| n).sum();
    let received = rig.guests[2].received().len() as u64;
    assert_eq!((received, received + lost), (rig.statistics(2).received.frames, u64::from(sent)));
}

#[test]
fn attaching_in_place_of_a_port_drops_it() {
    let rig = Rig::new(PollMode::Adaptive, &[0, 10]);
    let second = Guest::with_room(10);
    rig.dataplane.handle().attach(place(2), attachment(&second));
    assert!(rig.guests[2].dropped.load(Ordering::SeqCst));
    rig.send(1, Rig::frames(1, 2, 0..3));
    rig.wait_sent(1);
    assert_eq!((rig.guests[2].received().len(), second.received().len()), (0, 3));
}

#[test]
fn s11_each_frame_is_decided_by_one_state_of_the_switch() {
    let rig = Rig::new(PollMode::Adaptive, &[0, usize::MAX]);
    let handle = rig.dataplane.handle();
    let sent = under_traffic(&rig, || {
        for n in 0..500 {
            handle.publish_nic_switch(switch::forwarding(1 + n % 2));
        }
        handle.publish_nic_switch(switch::forwarding(2));
        handle.quiesce();
        rig.guests[2].inbox.lock().unwrap().clear();
    });
    rig.wait_sent(1);
    let received = rig.statistics(2).received.frames;
    assert_eq!(received + rig.statistics(1).drops.iter().map(|(_, n)| n).sum::<u64>(), u64::from(sent));
    let after = rig.guests[2].received();
    assert!(after.is_sorted_by_key(|frame| frame[14..18].to_vec()), "in order");
}

#[test]
fn l09_a_worker_that_panicked_hangs_nobody() {
    let rig = Rig::new(PollMode::Interrupt, &[0, 10]);
    let handle = rig.dataplane.handle();
    rig.guests[1].panics.store(true, Ordering::SeqCst);
    handle.kick(place(1)).kick();
    handle.detach(place(2));
    handle.quiesce();
    wait("the ports to be dropped", || rig.guests[1].dropped.load(Ordering::SeqCst));
    let late = Guest::with_room(1);
    handle.attach(place(3), attachment(&late));
    assert!(late.dropped.load(Ordering::SeqCst), "nobody would drop it later");
    handle.quiesce();
    drop(rig);
    handle.quiesce();
}

#[test]
fn a_port_that_is_taken_goes_on_at_another_worker() {
    let (one, two) = (Rig::new(PollMode::Adaptive, &[0, 10]), Rig::new(PollMode::Adaptive, &[0, 10]));
    let port = one.dataplane.handle().take(place(1)).unwrap();
    assert!(!one.guests[1].dropped.load(Ordering::SeqCst));
    assert!(one.dataplane.handle().take(place(1)).is_none());
    let attachment = Attachment { port, counters: Arc::default(), doorbell: Doorbell::Kick };
    two.dataplane.handle().attach(place(1), attachment);
    one.guests[1].outbox.lock().unwrap().extend(Rig::frames(1, 2, 0..3));
    two.dataplane.handle().kick(place(1)).kick();
    wait("the frames to arrive", || two.guests[2].received().len() == 3);
}

#[test]
fn a_frame_is_sent_in_a_ports_name() {
    let rig = Rig::new(PollMode::Adaptive, &[0, 10, 10]);
    let frame = Rig::frames(1, 2, 7..8).remove(0);
    rig.dataplane.handle().send_as(place(1), frame.clone());
    rig.dataplane.handle().send_as(place(1), vec![1; 13]);
    rig.dataplane.handle().send_as(place(5), frame.clone());
    assert_eq!((rig.guests[2].received(), rig.guests[3].received()), (vec![frame], vec![]));
    assert_eq!(rig.statistics(1).sent.frames, 1);
}

#[test]
fn a_paused_worker_fetches_only_when_all_ports_are_there() {
    let config = Config { paused: true, ..Config::default() };
    let dataplane = Dataplane::start(&config, &switch::capabilities(), switch::snapshot(2)).unwrap();
    let handle = dataplane.handle();
    let (sender, receiver) = (Guest::with_room(0), Guest::with_room(10));
    sender.outbox.lock().unwrap().extend(Rig::frames(1, 2, 0..3));
    handle.attach(place(1), attachment(&sender));
    handle.kick(place(1)).kick();
    handle.quiesce();
    handle.attach(place(2), attachment(&receiver));
    assert_eq!(sender.outbox.lock().unwrap().len(), 3);
    handle.start_fetching();
    wait("the frames to arrive", || receiver.received().len() == 3);
}

#[test]
fn a_dropped_data_plane_drops_its_ports() {
    let rig = Rig::new(PollMode::Busy, &[0]);
    let (guest, handle) = (Arc::clone(&rig.guests[1]), rig.dataplane.handle());
    drop(rig);
    assert!(guest.dropped.load(Ordering::SeqCst));
    handle.kick(place(1)).kick();
    handle.detach(place(1));
}

#[test]
fn a_cpu_that_is_not_there_is_refused() {
    for cpu in [1023, 1024, usize::MAX] {
        let config = Config { cpu: Some(cpu), poll: PollMode::Interrupt, ..Config::default() };
        let started = Dataplane::start(&config, &switch::capabilities(), switch::snapshot(1));
        assert!(matches!(started, Err(StartError::Cpu { cpu: named }) if named == cpu));
    }
    let config = Config { cpu: Some(0), poll: PollMode::Interrupt, ..Config::default() };
    assert!(Dataplane::start(&config, &switch::capabilities(), switch::snapshot(1)).is_ok());
}

#[test]
#[should_panic(expected = "VPort 16 of 16")]
fn a_vport_that_the_adapter_does_not_have_cannot_be_attached() {
    let rig = Rig::new(PollMode::Interrupt, &[]);
    rig.dataplane.handle().attach(place(16), attachment(&Guest::with_room(0)));
}
