use super::*;

#[test]
fn layouts_are_those_of_the_specification() {
    assert_eq!(layout(256, 0), [(4096, 16), (516, 2), (2052, 4)]);
    assert_eq!(layout(256, features::EVENT_IDX), [(4096, 16), (518, 2), (2054, 4)]);
    assert_eq!(layout(32_768, 0), [(524_288, 16), (65_540, 2), (262_148, 4)]);
    assert_eq!(layout(100, features::RING_PACKED), [(1600, 16), (4, 4), (4, 4)]);
}

#[test]
fn parts_may_touch_and_may_not_wrap() {
    let addresses = |driver, device| Addresses { descriptors: 0x1000, driver, device, log: None };
    let layout = layout(256, 0);
    assert_eq!(check_addresses(&addresses(0x2000, 0x2204), layout), Ok(()));
    assert_eq!(check_addresses(&addresses(0x2000, 0x2200), layout), Err(Reason::VringOverlap));
    assert_eq!(check_addresses(&addresses(0x1ffe, 0x3000), layout), Err(Reason::VringOverlap));
    assert_eq!(check_addresses(&addresses(u64::MAX - 1, 0x3000), layout), Err(Reason::VringAddress));
}

#[test]
fn packed_positions_have_both_halves_on_the_wire() {
    assert_eq!(RingPosition::Split(0xffff).to_wire(), 0xffff);
    assert_eq!(RingPosition::Packed { index: 5, wrap: false }.to_wire(), 0x0005_0005);
    assert_eq!(RingPosition::Packed { index: 5, wrap: true }.to_wire(), 0x8005_8005);
    assert_eq!(RingPosition::Packed { index: 0x7fff, wrap: true }.to_wire(), u32::MAX);
}
