//! Sleeping, waking, timers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sys::{EventFd, clock};

use super::port::wait;
use super::{Rig, place};
use crate::{Doorbell, PollMode};

#[test]
fn no_wake_up_is_lost() {
    for poll in [PollMode::Interrupt, PollMode::Adaptive] {
        let rig = Rig::new(poll, &[0, usize::MAX]);
        for n in 0..3000 {
            rig.send(1, Rig::frames(1, 2, n..n + 1));
            // Now and then long enough for the worker to be on its way to sleep.
            for _ in 0..n % 64 * 50 {
                std::hint::spin_loop();
            }
            if n % 3 == 0 {
                wait("the frame", || rig.guests[2].received().len() > n as usize);
            }
        }
        rig.wait_sent(1);
        assert_eq!(rig.guests[2].received(), Rig::frames(1, 2, 0..3000));
    }
}

#[test]
fn kicks_from_many_threads_are_all_heard() {
    let rig = Rig::new(PollMode::Interrupt, &[0, usize::MAX, 0, 0]);
    std::thread::scope(|scope| {
        for from in [1, 3, 4] {
            let rig = &rig;
            scope.spawn(move || {
                for n in 0..1000 {
                    rig.send(from, Rig::frames(from, 2, n..n + 1));
                    if n % 7 == 0 {
                        rig.wait_sent(from);
                    }
                }
                rig.wait_sent(from);
            });
        }
    });
    assert_eq!(rig.guests[2].received().len(), 3000);
}

#[test]
fn an_idle_worker_sleeps_until_it_is_kicked() {
    for poll in [PollMode::Adaptive, PollMode::Interrupt] {
        let rig = Rig::new(poll, &[0, usize::MAX]);
        let shared = rig.dataplane.handle();
        let sleeps = || shared.statistics().sleeps;
        rig.send(1, Rig::frames(1, 2, 0..10));
        rig.wait_sent(1);
        wait("the worker to sleep", || shared.is_asleep() && sleeps() > 0);
        let before = (shared.epoch(), sleeps(), rig.guests[1].visits.load(Ordering::SeqCst));
        for _ in 0..1000 {
            std::thread::yield_now();
        }
        let after = (shared.epoch(), sleeps(), rig.guests[1].visits.load(Ordering::SeqCst));
        assert_eq!(before, after, "{poll:?}: no round is made while there is nothing to do");
    }
}

#[test]
fn a_busy_worker_never_sleeps() {
    let rig = Rig::new(PollMode::Busy, &[0, usize::MAX]);
    rig.send(1, Rig::frames(1, 2, 0..10));
    rig.wait_sent(1);
    let handle = rig.dataplane.handle();
    for _ in 0..100 {
        handle.quiesce();
    }
    assert_eq!(handle.statistics().sleeps, 0);
}

#[test]
fn a_polled_port_is_looked_at_without_a_kick() {
    let rig = Rig::new(PollMode::Interrupt, &[0, usize::MAX]);
    let handle = rig.dataplane.handle();
    rig.attach_with(1, Doorbell::Memory);
    for n in 0..20 {
        wait("the worker to sleep", || handle.is_asleep());
        rig.guests[1].outbox.lock().unwrap().extend(Rig::frames(1, 2, n..n + 1));
        wait("the frame", || rig.guests[2].received().len() > n as usize);
    }
    handle.detach(place(1));
    wait("the worker to sleep", || handle.is_asleep());
    let visits = rig.guests[1].visits.load(Ordering::SeqCst);
    handle.kick(place(1)).kick();
    handle.quiesce();
    assert_eq!(rig.guests[1].visits.load(Ordering::SeqCst), visits);
}

/// A guest that rings only when it was asked to, as a driver of virtio does.
#[test]
fn no_doorbell_is_missed() {
    let rig = Rig::new(PollMode::Adaptive, &[0, usize::MAX]);
    let (handle, guest, doorbell) =
        (rig.dataplane.handle(), Arc::clone(&rig.guests[1]), EventFd::new().unwrap());
    rig.attach_with(1, Doorbell::Readable);
    handle.listen(place(1), &doorbell).unwrap();
    for n in 0..3000 {
        guest.outbox.lock().unwrap().extend(Rig::frames(1, 2, n..n + 1));
        if !guest.silent.load(Ordering::SeqCst) {
            doorbell.signal();
        }
        match n % 100 {
            0 => wait("the worker to sleep", || handle.is_asleep()),
            n => (0..n * 50).for_each(|_| std::hint::spin_loop()),
        }
    }
    rig.wait_sent(1);
    assert_eq!(rig.guests[2].received(), Rig::frames(1, 2, 0..3000));
}

#[test]
fn no_doorbell_is_needed_while_the_worker_is_awake() {
    let rig = Rig::new(PollMode::Busy, &[0, usize::MAX]);
    rig.attach_with(1, Doorbell::Readable);
    rig.send(1, Rig::frames(1, 2, 0..1));
    wait("the guest to be told that it need not ring", || rig.guests[1].silent.load(Ordering::SeqCst));
    rig.guests[1].outbox.lock().unwrap().extend(Rig::frames(1, 2, 1..100));
    rig.wait_sent(1);
    assert_eq!(rig.guests[2].received(), Rig::frames(1, 2, 0..100));
}

#[test]
fn q08_a_moderated_interrupt_comes_when_it_is_due_though_no_frame_does() {
    for poll in [PollMode::Adaptive, PollMode::Busy, PollMode::Interrupt] {
        let rig = Rig::new(poll, &[0, usize::MAX]);
        for n in 0..20 {
            let due = clock::tsc() + 300 * clock::cycles_per_microsecond();
            rig.guests[2].deadline.store(due, Ordering::SeqCst);
            rig.send(1, Rig::frames(1, 2, n..n + 1));
            wait("the release", || rig.guests[2].released.load(Ordering::SeqCst) > u64::from(n));
            assert!(clock::tsc() >= due, "not before it is due");
        }
    }
}
