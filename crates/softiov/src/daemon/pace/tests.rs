use std::time::{Duration, Instant};

use super::{Pace, SHARE};

#[test]
fn the_first_snapshot_does_not_wait() {
    assert_eq!(Pace::default().wait(Instant::now()), Duration::ZERO);
}

#[test]
fn q05_snapshots_take_no_more_than_their_share_of_the_time_however_often_they_are_asked_for() {
    let cost = Duration::from_micros(300);
    let mut pace = Pace::default();
    let start = Instant::now();
    let mut now = start;
    let mut busy = Duration::ZERO;
    while now < start + Duration::from_secs(1) {
        // A request every microsecond.
        if pace.wait(now).is_zero() {
            pace.spent(now, now + cost);
            now += cost;
            busy += cost;
        } else {
            now += Duration::from_micros(1);
        }
    }
    let share = (now - start) / SHARE;
    assert!(busy <= share + cost && busy >= share - cost, "{busy:?} of {:?}", now - start);
}
