use proptest::prelude::*;

use super::*;

const X550: VfRouting = VfRouting { first_offset: 0x80, stride: 2 };

fn rid(bus: u8, device: u8, function: u8) -> Rid {
    Rid::new(bus, device, function).unwrap()
}

#[test]
fn parts_and_text() {
    let rid = rid(0x3b, 0x1f, 7);
    assert_eq!(rid.to_bits(), 0x3bff);
    assert_eq!((rid.bus(), rid.device(), rid.function(), rid.ari_function()), (0x3b, 0x1f, 7, 0xff));
    assert_eq!(rid.to_string(), "3b:1f.7");
    assert_eq!(Rid::from_ari(0x3b, 0xff), rid);
    assert_eq!(Rid::new(0, 32, 0), None);
    assert_eq!(Rid::new(0, 0, 8), None);
}

#[test]
fn vf_rids_of_256_vfs_cross_buses() {
    // VF number of the specification (from 1), first VF offset, stride, expected id, PF at 01:00.0.
    let table = [
        (1, 0x80, 2, "01:10.0"),
        (2, 0x80, 2, "01:10.2"),
        (5, 0x80, 2, "01:11.0"),
        (64, 0x80, 2, "01:1f.6"),
        (65, 0x80, 2, "02:00.0"),
        (192, 0x80, 2, "02:1f.6"),
        (193, 0x80, 2, "03:00.0"),
        (256, 0x80, 2, "03:0f.6"),
        (1, 1, 1, "01:00.1"),
        (7, 1, 1, "01:00.7"),
        (8, 1, 1, "01:01.0"),
        (255, 1, 1, "01:1f.7"),
        (256, 1, 1, "02:00.0"),
    ];
    for (number, first_offset, stride, expected) in table {
        let vf = VfRouting { first_offset, stride }.rid(rid(1, 0, 0), number - 1).unwrap();
        assert_eq!(vf.to_string(), expected, "VF {number} at {first_offset} + n * {stride}");
    }
}

#[test]
fn vf_beyond_the_last_bus_is_refused() {
    assert_eq!(X550.rid(rid(0xff, 0, 0), 63).unwrap().to_string(), "ff:1f.6");
    let error = X550.rid(rid(0xff, 0, 0), 64).unwrap_err();
    assert_eq!(error.distance, 256);
    assert!(error.to_string().contains("ff:00.0"), "{error}");
    let widest = VfRouting { first_offset: u16::MAX, stride: u16::MAX };
    assert!(widest.rid(Rid::from_bits(u16::MAX), u16::MAX).is_err());
}

proptest! {
    #[test]
    fn index_of_inverts_rid(pf: u16, first_offset in 1_u16.., stride in 1_u16.., index: u16) {
        let routing = VfRouting { first_offset, stride };
        if let Ok(vf) = routing.rid(Rid::from_bits(pf), index) {
            prop_assert_eq!(routing.index_of(Rid::from_bits(pf), vf), Some(index));
        }
    }

    #[test]
    fn no_index_without_a_vf(pf: u16, first_offset: u16, stride: u16, at: u16) {
        let routing = VfRouting { first_offset, stride };
        if let Some(index) = routing.index_of(Rid::from_bits(pf), Rid::from_bits(at)) {
            prop_assert_eq!(routing.rid(Rid::from_bits(pf), index), Ok(Rid::from_bits(at)));
        }
    }
}
