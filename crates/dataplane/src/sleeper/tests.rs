use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sys::EventFd;

use super::Sleeper;

#[test]
fn a_sleeper_that_has_something_to_do_stays_awake() {
    let sleeper = Sleeper::new().unwrap();
    sleeper.sleep(None, || true, |_| {});
    assert!(!sleeper.is_asleep());
    let stay = || {
        assert!(sleeper.is_asleep(), "it counts as asleep when it is asked");
        false
    };
    sleeper.sleep(Some(Duration::ZERO), stay, |_| {});
    assert!(!sleeper.is_asleep());
}

#[test]
fn whoever_stores_and_wakes_is_heard() {
    let (sleeper, work) = (Sleeper::new().unwrap(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=20_000 {
                work.store(n, Ordering::SeqCst);
                sleeper.wake();
            }
        });
        let mut seen = 0;
        while seen < 20_000 {
            sleeper.sleep(None, || work.load(Ordering::SeqCst) != seen, |_| {});
            seen = work.load(Ordering::SeqCst);
        }
    });
}

#[test]
fn a_doorbell_wakes_for_its_port_once_each_time_that_it_is_rung() {
    let sleeper = Sleeper::new().unwrap();
    let (one, two) = (EventFd::new().unwrap(), EventFd::new().unwrap());
    sleeper.listen(&one, 7).unwrap();
    sleeper.listen(&two, 70).unwrap();
    let rung = || {
        let mut rung = Vec::new();
        sleeper.sleep(Some(Duration::ZERO), || false, |port| rung.push(port));
        rung
    };
    assert_eq!(rung(), []);
    one.signal();
    assert_eq!(rung(), [7]);
    assert_eq!(rung(), [], "though nobody has read it");
    one.signal();
    two.signal();
    assert_eq!(BTreeSet::from_iter(rung()), BTreeSet::from([7, 70]));
    // Whoever else holds it keeps it open.
    let kept = two.as_fd().try_clone_to_owned().unwrap();
    sleeper.ignore(&two);
    drop(two);
    EventFd::from_peer(kept).unwrap().signal();
    assert_eq!(rung(), []);
}
