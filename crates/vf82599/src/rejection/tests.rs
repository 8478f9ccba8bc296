use std::collections::HashSet;

use super::{Rejection, Rejections};

#[test]
fn every_reason_has_a_counter_and_a_name_of_its_own() {
    let rejections = Rejections::new();
    for (position, reason) in Rejection::ALL.iter().enumerate() {
        assert_eq!(reason.index(), position);
        (0..=position).for_each(|_| rejections.count(*reason));
    }
    for (position, (_, count)) in rejections.iter().enumerate() {
        assert_eq!(count, position as u64 + 1);
    }
    let names: HashSet<_> = Rejection::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Rejection::ALL.len());
}
