use proptest::prelude::*;

use super::*;

proptest! {
    /// The event lies among the positions that were passed, counted one by one.
    #[test]
    fn need_event_is_what_it_says(old in any::<u16>(), steps in 0..1000_u16, event in any::<u16>()) {
        let new = old.wrapping_add(steps);
        let passed = (0..steps).any(|n| old.wrapping_add(n) == event);
        prop_assert_eq!(need_event(event, new, old), passed);
    }
}

#[test]
fn reasons_have_names_and_numbers() {
    for (n, reason) in RingError::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, n);
        assert!(reason.as_str().starts_with("ring_"));
    }
}
