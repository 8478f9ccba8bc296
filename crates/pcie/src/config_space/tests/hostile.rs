//! Rows of the catalogue of hostile inputs that concern one function's config space.

use super::*;

/// What no write may change: ids, classes, both capability lists, the read-only registers of the capabilities.
fn assert_invariants(space: &ConfigSpace, power_on: &[u8], what: &str) {
    let now = bytes(space);
    let same = |range: std::ops::Range<usize>| {
        assert_eq!(now[range.clone()], power_on[range.clone()], "{what} changed {range:#x?}");
    };
    for range in [0x00..0x04, 0x08..0x0c, 0x0d..0x10, 0x28..0x3c, 0x3d..0x40] {
        same(range);
    }
    assert_eq!(now[0x06] & 0x10, 0x10, "{what} changed the capabilities list bit");
    let (mut at, mut steps) = (usize::from(now[0x34]), 0);
    while at != 0 {
        same(at..at + 2);
        at = usize::from(now[at + 1]);
        steps += 1;
        assert!(steps < 48, "{what}: the list has no end");
    }
    let mut at = 0x100;
    while at != 0 {
        same(at..at + 4);
        at = usize::from(u16::from_le_bytes([now[at + 2], now[at + 3]]) >> 4);
        steps += 1;
        assert!(steps < 1000, "{what}: the extended list has no end");
    }
    // Number of vectors, places of the MSI-X structures, what PCI Express says about device and link.
    for range in [0x72..0x73, 0x74..0x7c, 0xa2..0xa8, 0xac..0xb0, 0xb2..0xc8, 0xcc..0xd0] {
        same(range);
    }
}

fn assert_sriov_invariants(space: &ConfigSpace, what: &str) {
    assert_eq!(space.read(0x164, 4), Ok(0), "{what} changed the SR-IOV capabilities");
    assert_eq!(space.read(0x168, 4).unwrap() & !0x19, 0, "{what} set reserved control or status bits");
    assert_eq!(space.read(0x16c, 4), Ok(256 << 16 | 256), "{what} changed InitialVFs or TotalVFs");
    assert_eq!(space.read(0x172, 2), Ok(0), "{what} changed the dependency link");
    assert_eq!(space.read(0x174, 4), Ok(2 << 16 | 0x80), "{what} changed offset or stride");
    assert_eq!(space.read(0x178, 4), Ok(0x1565_0000), "{what} changed the VF device id");
    assert_eq!(space.read(0x17c, 4), Ok(0x553), "{what} changed the supported page sizes");
    let page = space.read(0x180, 4).unwrap();
    assert!(page.is_power_of_two() && page & 0x553 != 0, "{what} made the system page size {page:#x}");
    let (control, num_vfs) = (space.read(0x168, 2).unwrap(), space.read(0x170, 2).unwrap());
    assert!(control & 1 == 0 || (1..=256).contains(&num_vfs), "{what} enabled {num_vfs} VFs");
}

#[test]
fn c01_every_value_to_every_byte_in_every_width() {
    for (kind, space, is_pf) in [("VF", vf(), false), ("PF", pf(), true)] {
        let power_on = bytes(&space);
        for offset in 0..4096_u16 {
            for value in 0..=255_u8 {
                for width in [1, 2, 3, 4, 8, 16] {
                    let fits = usize::from(offset) + width <= CONFIG_SPACE_SIZE;
                    let legal = matches!(width, 1 | 2 | 4) && fits;
                    assert_eq!(space.write(offset, &[value; 16][..width]).is_ok(), legal);
                }
            }
            let what = format!("{kind}: writing at {offset:#x}");
            assert_invariants(&space, &power_on, &what);
            if is_pf {
                assert_sriov_invariants(&space, &what);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn c01_random_sequences(writes in prop::collection::vec((0_u16..4096, any::<u32>(), 0_u32..3), 1..200)) {
        let (vf, pf) = (vf(), pf());
        let (vf_power_on, pf_power_on) = (bytes(&vf), bytes(&pf));
        for (offset, value, width) in writes {
            let data = &value.to_le_bytes()[..1 << width];
            // Half of the writes go where registers are.
            let offset = if value & 1 == 0 { offset % 0x1c0 } else { offset };
            let fits = usize::from(offset) + data.len() <= CONFIG_SPACE_SIZE;
            prop_assert_eq!(vf.write(offset, data).is_ok(), fits);
            prop_assert_eq!(pf.write(offset, data).is_ok(), fits);
        }
        assert_invariants(&vf, &vf_power_on, "VF");
        assert_invariants(&pf, &pf_power_on, "PF");
        assert_sriov_invariants(&pf, "PF");
        // Nothing that was done outlives power-on.
        pf.reset(ResetKind::Conventional);
        prop_assert_eq!(bytes(&pf), pf_power_on);
    }
}

#[test]
fn c12_flr_twice_and_reads_in_between() {
    let space = vf();
    for _ in 0..2 {
        assert_eq!(write(&space, 0xa9, &[0x80])[0], ConfigEffect::FunctionLevelReset);
        assert_eq!(space.read(0xa8, 2), Ok(0x2810), "the bit reads 0 and the register is reset");
        assert_eq!(space.read(0x00, 4), Ok(0x1565_8086));
    }
    // Wherever in the access the bit is.
    for (offset, data) in [(0xa7, [0, 0, 0x80, 0]), (0xa8, [0, 0x80, 0, 0]), (0xa9, [0x80, 0, 0, 0])] {
        assert_eq!(write(&space, offset, &data)[0], ConfigEffect::FunctionLevelReset, "{offset:#x}");
    }
}

#[test]
fn c12_flr_in_d3hot_returns_to_d0() {
    let space = pf();
    assert_eq!(write(&space, 0x44, &[3]), [ConfigEffect::PowerState(PowerState::D3Hot)]);
    let effects = write(&space, 0xa9, &[0x80]);
    assert_eq!(effects, [ConfigEffect::FunctionLevelReset, ConfigEffect::PowerState(PowerState::D0)]);
}

#[test]
fn u16_power_state_writes_of_every_kind() {
    let space = pf();
    write(&space, 0x04, &[0x06]);
    for unsupported in [1, 2] {
        assert_eq!(write(&space, 0x44, &[unsupported]), [], "D{unsupported} is discarded");
        assert_eq!(space.power_state(), PowerState::D0);
    }
    assert_eq!(write(&space, 0x44, &[0xff; 4]), [ConfigEffect::PowerState(PowerState::D3Hot)]);
    assert!(!space.is_bus_master(), "no DMA in D3hot");
    assert_eq!(space.read(0x44, 4), Ok(0x0000_000b));
    assert_eq!(write(&space, 0x44, &[1]), [], "nor is there a way from D3hot to D1");
    assert_eq!(space.power_state(), PowerState::D3Hot);
    assert_eq!(write(&space, 0x44, &[0]), [ConfigEffect::PowerState(PowerState::D0)]);
    assert!(space.is_bus_master(), "No_Soft_Reset: the function is as it was");
}
