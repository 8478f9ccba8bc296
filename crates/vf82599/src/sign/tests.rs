use super::{GuestSign, GuestSigns};
use GuestSign::{BusMasterOff, DriverReset, ReceiveClosed, ReceiveOpen};

#[test]
fn signs_come_in_order_and_only_the_last_of_a_kind() {
    for (noted, taken) in [
        (&[][..], &[][..]),
        (&[ReceiveClosed, ReceiveOpen], &[ReceiveClosed, ReceiveOpen]),
        (&[ReceiveOpen, ReceiveClosed, ReceiveOpen], &[ReceiveClosed, ReceiveOpen]),
        (&[ReceiveClosed, DriverReset, ReceiveOpen, DriverReset], &[ReceiveClosed, ReceiveOpen, DriverReset]),
        (&[BusMasterOff, ReceiveClosed, BusMasterOff], &[ReceiveClosed, BusMasterOff]),
    ] {
        let mut signs = GuestSigns::default();
        noted.iter().for_each(|sign| signs.note(*sign));
        assert_eq!(signs.is_empty(), taken.is_empty());
        assert_eq!(signs.take().collect::<Vec<_>>(), taken, "{noted:?}");
        assert!(signs.is_empty());
    }
}

#[test]
fn a_ring_that_is_toggled_without_end_leaves_two_signs() {
    let mut signs = GuestSigns::default();
    for _ in 0..100_000 {
        signs.note(ReceiveOpen);
        signs.note(ReceiveClosed);
    }
    assert_eq!(signs.take().collect::<Vec<_>>(), [ReceiveOpen, ReceiveClosed]);
}
