use std::time::{Duration, Instant};

use super::{BURST, RateLimit};

#[test]
fn q06_a_flood_of_events_logs_ten_lines_a_second() {
    let limit = RateLimit::new();
    let start = Instant::now();
    for second in 0..3 {
        let now = start + Duration::from_secs(second);
        let allowed = (0..1_000_000).filter(|_| limit.allow_at(now)).count();
        assert_eq!(allowed, BURST as usize);
    }
}
