use proptest::prelude::*;

use super::*;

const SECOND: Cycles = 3_000_000_000;

#[test]
fn an_idle_port_may_send_a_burst_and_then_its_rate() {
    let rate = Rate::new(1000, SECOND, SECOND / 10);
    let mut bucket = Bucket::default();
    let now = 77 * SECOND;
    let burst = (0..1000).filter(|_| bucket.admit(rate, 1, now)).count();
    assert_eq!(burst, 101, "a tenth of a second's, and the one that fills it");
    let next = bucket.wait(rate, now).unwrap();
    assert!(!bucket.admit(rate, 1, now + next - 1));
    assert!(bucket.admit(rate, 1, now + next));
}

#[test]
fn a_clock_that_jumps_or_runs_backwards_does_no_harm() {
    let rate = Rate::new(1, 1, u64::MAX);
    let mut bucket = Bucket::default();
    assert!(bucket.admit(rate, u64::MAX, u64::MAX));
    assert_eq!(bucket.wait(rate, 0), None);
    let rate = Rate::new(0, u64::MAX, 0);
    assert!(Bucket::default().admit(rate, u64::MAX, 5));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the arrivals, what is admitted in any stretch of time is at most the rate, the burst and one frame.
    #[test]
    fn no_stretch_of_time_has_more_than_the_rate(
        arrivals in prop::collection::vec((0..SECOND / 50, 60..65_000u64), 1..200),
        units in 10_000..100_000_000u64,
    ) {
        let rate = Rate::new(units, SECOND, SECOND / 100);
        let mut bucket = Bucket::default();
        let (mut now, mut admitted) = (SECOND, vec![]);
        for (gap, octets) in arrivals {
            now += gap;
            if bucket.admit(rate, octets, now) {
                admitted.push((now, octets));
            }
        }
        for first in 0..admitted.len() {
            let mut sum = 0;
            for &(at, octets) in &admitted[first..] {
                sum += octets;
                let time = u128::from(at - admitted[first].0 + SECOND / 100);
                let allowed = u128::from(units) * time / u128::from(SECOND);
                // The last one may exceed what is left; costs are cut to whole cycles.
                prop_assert!(u128::from(sum - octets) <= allowed + 2 + admitted.len() as u128);
            }
        }
    }
}
