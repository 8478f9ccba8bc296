use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Sleeper;

#[test]
fn a_sleeper_that_has_something_to_do_stays_awake() {
    let sleeper = Sleeper::new().unwrap();
    sleeper.sleep(None, || true);
    assert!(!sleeper.is_asleep());
    sleeper.sleep(Some(Duration::ZERO), || {
        assert!(sleeper.is_asleep(), "it counts as asleep when it is asked");
        false
    });
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
            sleeper.sleep(None, || work.load(Ordering::SeqCst) != seen);
            seen = work.load(Ordering::SeqCst);
        }
    });
}
