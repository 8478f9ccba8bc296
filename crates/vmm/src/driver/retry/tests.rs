use std::time::Duration;

use super::Retry;

const MS: Duration = Duration::from_millis(1);

#[test]
fn delays_double_up_to_the_longest() {
    let mut retry = Retry::new(100 * MS, 5000 * MS);
    let delays: Vec<u128> = (0..8).map(|_| retry.delay().as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    retry.lasted(4999 * MS);
    assert_eq!(retry.delay(), 5000 * MS);
    retry.lasted(5000 * MS);
    assert_eq!(retry.delay(), 100 * MS);
}
