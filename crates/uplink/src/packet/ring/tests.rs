use super::Slot;

const WHOLE: Slot = Slot {
    status: libc::TP_STATUS_USER,
    at: 4096,
    slot_len: 2048,
    mac: 82,
    length: 1514,
    captured: 1514,
    vlan_tci: 7,
    vlan_tpid: 0x88a8,
};

#[test]
fn frames_that_are_not_all_there_are_not_taken_for_whole() {
    assert_eq!((WHOLE.whole_length(), WHOLE.frame_at()), (Some(1514), 4178));
    for slot in [
        Slot { captured: 1513, ..WHOLE },
        Slot { length: 3000, ..WHOLE },
        // Lies of the kernel would be our reads beyond the slot.
        Slot { length: 3000, captured: 3000, ..WHOLE },
        Slot { mac: 2047, ..WHOLE },
        Slot { mac: 9, ..WHOLE },
    ] {
        assert_eq!(slot.whole_length(), None, "{slot:?}");
    }
    let full = Slot { length: 2048 - 82, captured: 2048 - 82, ..WHOLE };
    assert_eq!(full.whole_length(), Some(1966));
}

#[test]
fn tags_are_there_when_the_status_says_so() {
    assert_eq!(WHOLE.tag(), None);
    let tagged = Slot { status: libc::TP_STATUS_VLAN_VALID, ..WHOLE };
    assert_eq!(tagged.tag(), Some((0x8100, 7)));
    let status = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
    assert_eq!(Slot { status, ..WHOLE }.tag(), Some((0x88a8, 7)));
}

#[test]
fn a_frame_kept_apart_is_known_as_such() {
    assert!(!WHOLE.is_apart());
    assert!(Slot { status: libc::TP_STATUS_USER | libc::TP_STATUS_COPY, ..WHOLE }.is_apart());
}
