use std::time::{Duration, Instant};

use super::{BURST, PERIOD, RateLimit};

#[test]
fn q06_a_second_has_its_burst_and_the_next_one_tells_what_was_left_out() {
    let limit = RateLimit::new();
    let start = Instant::now();
    let flood = |at: Instant| (0..1000).filter_map(|_| limit.allow_at(at)).collect::<Vec<_>>();
    assert_eq!(flood(start), vec![0; BURST as usize]);
    assert!(flood(start + PERIOD - Duration::from_nanos(1)).is_empty());
    let second = flood(start + PERIOD);
    assert_eq!(second.len(), BURST as usize);
    assert_eq!(second[0], 2000 - u64::from(BURST));
    assert!(second[1..].iter().all(|left_out| *left_out == 0));
}
