use proptest::prelude::*;

use super::*;
use crate::{PfProfile, Rid, VfProfile};

mod hostile;
mod model;

fn vf() -> ConfigSpace {
    let layout = Arc::new(VfProfile::X550.layout().unwrap());
    ConfigSpace::create(layout, Words::heap(ConfigSpace::WORDS)).unwrap()
}

fn pf() -> ConfigSpace {
    let profile = PfProfile::x550(256, VfProfile::X550);
    let layout = Arc::new(profile.layout(Rid::from_ari(1, 0)).unwrap());
    ConfigSpace::create(layout, Words::heap(ConfigSpace::WORDS)).unwrap()
}

fn bytes(space: &ConfigSpace) -> Vec<u8> {
    let mut bytes = vec![0; CONFIG_SPACE_SIZE];
    space.read_bytes(0, &mut bytes).unwrap();
    bytes
}

fn write(space: &ConfigSpace, offset: u16, data: &[u8]) -> Vec<ConfigEffect> {
    space.write(offset, data).unwrap().to_vec()
}

#[test]
fn other_widths_and_ranges_are_refused() {
    let space = vf();
    for width in [0, 3, 5, 8, 16, 4096] {
        assert_eq!(space.read(0, width), Err(AccessError::Width(width)));
        assert_eq!(space.write(0, &vec![0xff; width]), Err(AccessError::Width(width)));
    }
    for (offset, length) in [(4093, 4), (4095, 2), (4096, 1), (u16::MAX, 4)] {
        assert_eq!(space.read(offset, length), Err(AccessError::Range { offset, length }));
        assert_eq!(space.write(offset, &vec![0; length]), Err(AccessError::Range { offset, length }));
    }
    assert_eq!(space.read_bytes(1, &mut [0; 4096]), Err(AccessError::Range { offset: 1, length: 4096 }));
    assert_eq!(space.read(4092, 4), Ok(0));
}

#[test]
fn accesses_need_not_be_aligned() {
    let space = vf();
    assert_eq!(space.read(1, 4), Ok(0x0015_6580));
    assert_eq!(space.read(3, 2), Ok(0x0015));
    // The last byte of BAR 0 and the first three of BAR 1.
    write(&space, 0x13, &[0xfe, 0x01, 0x02, 0x03]);
    assert_eq!(space.read(0x10, 4), Ok(0xfe00_0004));
    assert_eq!(space.read(0x14, 4), Ok(0x0003_0201));
}

#[test]
fn bar_sizing() {
    let space = vf();
    assert_eq!(write(&space, 0x10, &[0xff; 4]), [ConfigEffect::BarsChanged]);
    assert_eq!(write(&space, 0x14, &[0xff; 4]), [ConfigEffect::BarsChanged]);
    assert_eq!(space.read(0x10, 4), Ok(0xffff_c004));
    assert_eq!(space.read(0x14, 4), Ok(0xffff_ffff));
    assert_eq!(write(&space, 0x10, &0xfe60_0000_u32.to_le_bytes()), [ConfigEffect::BarsChanged]);
    assert_eq!(space.read(0x10, 4), Ok(0xfe60_0004));
    // Absent BARs and the expansion ROM.
    for offset in [0x18, 0x24, 0x30] {
        assert_eq!(write(&space, offset, &[0xff; 4]), []);
        assert_eq!(space.read(offset, 4), Ok(0), "{offset:#x}");
    }
}

#[test]
fn command_effects_come_only_with_changes() {
    let space = vf();
    let command = |memory, bus_master, intx| ConfigEffect::CommandChanged { memory, bus_master, intx };
    assert_eq!(write(&space, 0x04, &[0x02, 0x00]), [command(true, false, true)]);
    assert!(space.decodes_memory() && !space.is_bus_master());
    assert_eq!(write(&space, 0x04, &[0x02, 0x00]), []);
    assert_eq!(write(&space, 0x04, &[0x07, 0x01]), [command(true, true, true)]);
    assert_eq!(space.read(4, 2), Ok(0x0106), "I/O space cannot be enabled without I/O BARs");
    assert!(space.is_bus_master());
    assert_eq!(write(&space, 0x05, &[0x04]), [command(true, true, false)]);
    assert_eq!(write(&space, 0x05, &[0x00]), [command(true, true, true)]);
    assert_eq!(write(&space, 0x0c, &[0x10]), []);
    assert_eq!(write(&space, 0x3c, &[0x0b]), []);
}

#[test]
fn msix_control_as_linux_writes_it() {
    let space = vf();
    let control = |enable, mask_all| ConfigEffect::MsixControlChanged(MsixControl { enable, mask_all });
    assert_eq!(write(&space, 0x72, &[0x02, 0xc0]), [control(true, true)]);
    assert_eq!(write(&space, 0x72, &[0x02, 0x80]), [control(true, false)]);
    assert_eq!(write(&space, 0x72, &[0x02, 0x00]), [control(false, false)]);
    assert_eq!(space.read(0x72, 2), Ok(2));
}

#[test]
fn hidden_capabilities_show_no_list_and_come_back() {
    let space = vf();
    let shown = bytes(&space);
    space.set_capabilities_hidden(true);
    let hidden = bytes(&space);
    let changed: Vec<_> = (0..CONFIG_SPACE_SIZE).filter(|&at| shown[at] != hidden[at]).collect();
    assert_eq!(changed, [0x06, 0x34]);
    assert_eq!((hidden[0x06] & 0x10, hidden[0x34]), (0, 0));
    assert_eq!(space.read(0x34, 4), Ok(0));
    assert_eq!(space.read(0x06, 2), Ok(0));

    // A reset by the host in between must not show them early, and a new process must know.
    space.reset(ResetKind::FunctionLevel);
    let attached = ConfigSpace::attach(Arc::clone(space.layout()), space.words.clone()).unwrap();
    assert!(attached.capabilities_hidden());
    attached.set_capabilities_hidden(false);
    assert_eq!(bytes(&space), shown);
}

#[test]
fn flr_resets_all_but_sticky_bits() {
    let space = vf();
    let power_on = bytes(&space);
    write(&space, 0x04, &[0x06, 0x05]);
    write(&space, 0x10, &0xfe60_0000_u32.to_le_bytes());
    write(&space, 0x3c, &[0x0b]);
    write(&space, 0x72, &[0x02, 0x80]);
    write(&space, 0xa8, &[0x5f, 0x50]);
    write(&space, 0x108, &[0x10]);
    space.record_master_abort();
    let effects = write(&space, 0xa8, &[0x5f, 0xd0]);
    assert_eq!(
        effects,
        [
            ConfigEffect::FunctionLevelReset,
            ConfigEffect::CommandChanged { memory: false, bus_master: false, intx: true },
            ConfigEffect::MsixControlChanged(MsixControl { enable: false, mask_all: false }),
            ConfigEffect::BarsChanged,
        ]
    );
    let mut expected = power_on.clone();
    expected[0xa8] = 0x50;
    expected[0x108] = 0x10;
    assert_eq!(bytes(&space), expected, "payload size and error masks stay");
    space.reset(ResetKind::Conventional);
    assert_eq!(bytes(&space), power_on);
}

#[test]
fn flr_needs_the_capability() {
    let pcie = crate::PcieParameters {
        device_capabilities: 0,
        link_capabilities: 0,
        link_status: 0,
        device_capabilities2: 0,
        link_capabilities2: 0,
    };
    let identity =
        crate::Identity { vendor: 1, device: 2, revision: 3, class: 4, subsystem_vendor: 5, subsystem: 6 };
    let layout = crate::ConfigSpaceBuilder::type0(identity).pcie_endpoint(pcie).build().unwrap();
    let space = ConfigSpace::create(Arc::new(layout), Words::heap(ConfigSpace::WORDS)).unwrap();
    write(&space, 0x04, &[0x04]);
    assert_eq!(write(&space, 0xa9, &[0xff]), []);
    assert_eq!(space.read(0xa8, 2), Ok(0x7810));
    assert!(space.is_bus_master());
}

#[test]
fn power_state_of_a_function_without_the_capability() {
    let space = vf();
    write(&space, 0x04, &[0x06]);
    assert_eq!(
        space.set_power_state(PowerState::D3Hot).as_slice(),
        [ConfigEffect::PowerState(PowerState::D3Hot)]
    );
    assert!(!space.is_bus_master() && !space.decodes_memory());
    assert_eq!(space.read(0x04, 2), Ok(0x0006), "config space answers in D3hot");
    assert!(space.set_power_state(PowerState::D3Hot).is_empty());
    assert_eq!(space.set_power_state(PowerState::D0).as_slice(), [ConfigEffect::PowerState(PowerState::D0)]);
    assert!(space.is_bus_master());
    space.set_power_state(PowerState::D3Hot);
    space.reset(ResetKind::FunctionLevel);
    assert_eq!(space.power_state(), PowerState::D0);
}

#[test]
fn status_bits_are_cleared_by_ones() {
    let space = vf();
    space.record_master_abort();
    assert_eq!(space.read(0x06, 2), Ok(0x2010));
    write(&space, 0x06, &[0, 0]);
    assert_eq!(space.read(0x06, 2), Ok(0x2010));
    write(&space, 0x04, &[0x06, 0x00]);
    assert_eq!(space.read(0x04, 4), Ok(0x2010_0006), "a write of the Command register leaves Status alone");
    write(&space, 0x06, &[0xff, 0xff]);
    assert_eq!(space.read(0x04, 4), Ok(0x0010_0006));
}

#[test]
fn attach_goes_on_and_knows_foreign_memory() {
    let space = vf();
    write(&space, 0x04, &[0x06]);
    write(&space, 0x72, &[0x02, 0x80]);
    let before = bytes(&space);
    let again = ConfigSpace::attach(Arc::clone(space.layout()), space.words.clone()).unwrap();
    assert_eq!(bytes(&again), before);
    assert!(again.is_bus_master());

    let other = Arc::new(VfProfile::I82599.layout().unwrap());
    assert_eq!(
        ConfigSpace::attach(Arc::clone(&other), space.words.clone()).unwrap_err(),
        StorageError::Foreign { offset: 0, found: 0x1565_8086, expected: 0x10ed_8086 }
    );
    let short = Words::heap(ConfigSpace::WORDS - 1);
    let error = StorageError::TooSmall { needed: 1025, found: 1024 };
    assert_eq!(ConfigSpace::attach(Arc::clone(&other), short.clone()).unwrap_err(), error);
    assert_eq!(ConfigSpace::create(other, short).unwrap_err(), error);
}
