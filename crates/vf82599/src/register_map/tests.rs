use super::{Access, REGISTERS, register_at};
use crate::registers::REGISTER_BYTES;

#[test]
fn every_register_is_found_at_its_offset_and_nothing_between() {
    let mut found = 0;
    for offset in (0..u32::try_from(REGISTER_BYTES).unwrap()).step_by(4) {
        let Some(register) = register_at(offset) else { continue };
        let distance = offset - register.offset;
        assert_eq!(distance % register.stride, 0);
        assert!(distance / register.stride < register.count);
        found += 1;
    }
    assert_eq!(found, REGISTERS.iter().map(|register| register.count).sum::<u32>());
    assert!(register_at(u32::MAX).is_none());
}

#[test]
fn reset_values_lie_within_masks() {
    for register in REGISTERS {
        assert_eq!(register.reset & !register.mask, 0, "{register:x?}");
        assert!(register.access != Access::ReadOnly || register.reset != u32::MAX, "{register:x?}");
    }
}
