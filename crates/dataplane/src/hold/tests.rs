use super::{ALLOWANCE, Allowance, SHARE};

#[test]
fn a_receiver_that_makes_room_is_waited_for() {
    let mut allowance = Allowance::new(1, 0);
    for round in 0..1000 {
        let now = round * 100;
        assert!(allowance.may_hold(now), "round {round}");
        assert!(allowance.may_hold(now + 10), "round {round}");
        allowance.took();
    }
}

#[test]
fn q03_a_receiver_that_never_makes_room_costs_its_allowance_once_and_its_share_after() {
    let mut allowance = Allowance::new(1, 0);
    let (mut held, end) = (0, 10 * ALLOWANCE);
    for now in 0..end {
        if allowance.may_hold(now) {
            held += 1;
        }
    }
    assert!(held >= ALLOWANCE, "held {held}");
    assert!(held <= ALLOWANCE * 2 + end / SHARE, "held {held} of {end}");
}
