use proptest::prelude::*;

use super::*;
use crate::{CONFIG_SPACE_SIZE, MsixControl, VfProfile};

/// Registers of the SR-IOV capability.
const CONTROL: u16 = 0x168;
const NUM_VFS: u16 = 0x170;
const PAGE_SIZE: u16 = 0x180;
const VF_BAR0: u16 = 0x184;
const VF_BAR3: u16 = 0x190;

const VFE: u8 = 0x01;
const MSE: u8 = 0x08;

fn profile() -> PfProfile {
    PfProfile::x550(256, VfProfile::X550)
}

fn rid() -> Rid {
    Rid::new(1, 0, 0).unwrap()
}

fn pf() -> PhysicalFunction {
    PhysicalFunction::create(rid(), &profile(), PfStorage::heap(256)).unwrap()
}

fn write(pf: &mut PhysicalFunction, offset: u16, data: &[u8]) -> Vec<ConfigEffect> {
    let (function, effects) = pf.config_write(rid(), offset, data).unwrap().unwrap();
    assert_eq!(function, Function::Physical);
    effects.to_vec()
}

fn write_vf(pf: &mut PhysicalFunction, index: u16, offset: u16, data: &[u8]) -> Vec<ConfigEffect> {
    let rid = pf.vf_rid(index).unwrap();
    let (function, effects) = pf.config_write(rid, offset, data).unwrap().unwrap();
    assert_eq!(function, Function::Virtual(index));
    effects.to_vec()
}

fn read(pf: &PhysicalFunction, offset: u16, length: usize) -> u32 {
    pf.config_read(rid(), offset, length).unwrap()
}

fn bytes(pf: &PhysicalFunction, rid: Rid) -> Vec<u8> {
    let mut bytes = vec![0; CONFIG_SPACE_SIZE];
    pf.config_read_bytes(rid, 0, &mut bytes).unwrap();
    bytes
}

/// Everything that can be seen of an adapter: the config space of every function that it can have.
fn visible(pf: &PhysicalFunction) -> Vec<Vec<u8>> {
    let vfs = (0..pf.sriov().total_vfs).map(|index| bytes(pf, pf.vf_rid(index).unwrap()));
    std::iter::once(bytes(pf, rid())).chain(vfs).collect()
}

fn changed(enabled: bool, num_vfs: u16) -> ConfigEffect {
    ConfigEffect::VfEnableChanged { enabled, num_vfs }
}

#[test]
fn vfs_appear_and_vanish_with_vf_enable() {
    let mut pf = pf();
    assert_eq!(write(&mut pf, NUM_VFS, &[4, 0]), []);
    assert_eq!(pf.num_vfs(), 0);
    assert_eq!(write(&mut pf, CONTROL, &[VFE | MSE, 0]), [changed(true, 4), ConfigEffect::VfMse(true)]);
    assert_eq!(pf.num_vfs(), 4);
    for index in 0..4 {
        let vf = pf.virtual_function(index).unwrap();
        assert_eq!((vf.index(), vf.rid()), (index, pf.vf_rid(index).unwrap()));
        assert_eq!(pf.function_at(vf.rid()), Some(Function::Virtual(index)));
        assert_eq!(pf.config_read(vf.rid(), 0, 4), Ok(0x1565_8086));
    }
    assert_eq!(pf.virtual_function(4).unwrap_err(), NoSuchVf { index: 4, num_vfs: 4 });
    assert_eq!(write(&mut pf, CONTROL, &[0, 0]), [changed(false, 4), ConfigEffect::VfMse(false)]);
    assert_eq!(pf.virtual_functions().len(), 0);
    assert_eq!(pf.function_at(pf.vf_rid(0).unwrap()), None);
    assert_eq!(read(&pf, NUM_VFS, 2), 4, "NumVFs stays until a reset");
}

#[test]
fn software_enables_and_disables() {
    let mut pf = pf();
    let number = |requested| VirtualizationError::NumVfs { requested, total_vfs: 256 };
    assert_eq!(pf.enable_virtualization(0), Err(number(0)));
    assert_eq!(pf.enable_virtualization(257), Err(number(257)));
    let effects = pf.enable_virtualization(256).unwrap();
    assert_eq!(effects.as_slice(), [changed(true, 256), ConfigEffect::VfMse(true)]);
    assert_eq!((read(&pf, CONTROL, 2), read(&pf, NUM_VFS, 2)), (0x09, 256));
    assert_eq!(pf.enable_virtualization(8), Err(VirtualizationError::AlreadyEnabled { num_vfs: 256 }));
    assert_eq!(pf.disable_virtualization().as_slice(), [changed(false, 256), ConfigEffect::VfMse(false)]);
    assert_eq!((read(&pf, CONTROL, 2), read(&pf, NUM_VFS, 2)), (0, 0));
    assert!(pf.disable_virtualization().is_empty());
    assert_eq!(pf.enable_virtualization(1).unwrap()[0], changed(true, 1));
}

#[test]
fn c02_more_vfs_than_total_are_never_enabled() {
    for num_vfs in [257_u16, 0x0fff, 0x8000, u16::MAX] {
        let mut pf = pf();
        write(&mut pf, NUM_VFS, &num_vfs.to_le_bytes());
        assert_eq!(write(&mut pf, CONTROL, &[VFE | MSE]), [ConfigEffect::VfMse(true)]);
        assert_eq!((pf.num_vfs(), read(&pf, CONTROL, 2)), (0, u32::from(MSE)));
        // A number that fits works afterwards.
        write(&mut pf, NUM_VFS, &[0, 1]);
        assert_eq!(write(&mut pf, CONTROL, &[VFE | MSE]), [changed(true, 256)]);
    }
}

#[test]
fn c03_num_vfs_is_fixed_while_enabled_and_zero_is_not_enabled() {
    let mut pf = pf();
    assert_eq!(write(&mut pf, CONTROL, &[VFE]), [], "VF Enable with NumVFs 0");
    assert_eq!(read(&pf, CONTROL, 2), 0);
    pf.enable_virtualization(7).unwrap();
    let before = visible(&pf);
    for data in [[0, 0], [8, 0], [0xff, 0xff]] {
        assert_eq!(write(&mut pf, NUM_VFS, &data), []);
        assert_eq!(write(&mut pf, NUM_VFS, &data[..1]), []);
        assert_eq!(write(&mut pf, NUM_VFS - 1, &[0, data[0], data[1], 0]), []);
    }
    assert_eq!(visible(&pf), before);
}

#[test]
fn c03_resets_clear_num_vfs_and_take_the_vfs_away() {
    type Reset = fn(&mut PhysicalFunction) -> Vec<ConfigEffect>;
    let resets: [(Reset, bool); 3] = [
        (|pf| write(pf, 0xa9, &[0x80]), true),
        (|pf| pf.reset(ResetKind::FunctionLevel).to_vec(), true),
        (|pf| pf.reset(ResetKind::Conventional).to_vec(), false),
    ];
    for (reset, is_flr) in resets {
        let mut pf = pf();
        pf.enable_virtualization(5).unwrap();
        let vf = pf.virtual_function(4).unwrap().clone();
        let effects = reset(&mut pf);
        assert_eq!(effects.contains(&ConfigEffect::FunctionLevelReset), is_flr);
        assert!(effects.contains(&changed(false, 5)), "{effects:?}");
        assert_eq!((pf.num_vfs(), read(&pf, NUM_VFS, 2), read(&pf, CONTROL, 2)), (0, 0, 0));
        assert_eq!(vf.config().read(0, 4), Ok(u32::MAX));
    }
}

#[test]
fn c05_vf_enable_toggled_gives_fresh_functions() {
    let mut pf = pf();
    write(&mut pf, NUM_VFS, &[3, 0]);
    for _ in 0..1000 {
        assert_eq!(write(&mut pf, CONTROL, &[VFE]), [changed(true, 3)]);
        let vf = pf.virtual_function(2).unwrap().clone();
        assert_eq!(vf.config().read(4, 2), Ok(0), "nothing is left of the function before");
        write_vf(&mut pf, 2, 0x04, &[0x06]);
        assert!(vf.config().is_bus_master());
        assert_eq!(write(&mut pf, CONTROL, &[0]), [changed(false, 3)]);
        assert!(!vf.config().is_bus_master(), "a worker that asks sends nothing");
    }
}

#[test]
fn c05_clearing_bus_master_and_vf_mse_is_told() {
    let mut pf = pf();
    pf.enable_virtualization(2).unwrap();
    write_vf(&mut pf, 1, 0x04, &[0x06]);
    assert_eq!(
        write_vf(&mut pf, 1, 0x04, &[0x02]),
        [ConfigEffect::CommandChanged { memory: true, bus_master: false, intx: true }]
    );
    assert_eq!(write(&mut pf, CONTROL, &[VFE]), [ConfigEffect::VfMse(false)]);
    assert_eq!(pf.num_vfs(), 2);
}

#[test]
fn c12_flr_of_a_vf_touches_that_vf_only() {
    let mut pf = pf();
    pf.enable_virtualization(3).unwrap();
    for index in 0..3 {
        write_vf(&mut pf, index, 0x04, &[0x06]);
        write_vf(&mut pf, index, 0x72, &[0x02, 0x80]);
    }
    let before = visible(&pf);
    let expected = [
        ConfigEffect::FunctionLevelReset,
        ConfigEffect::CommandChanged { memory: false, bus_master: false, intx: true },
        ConfigEffect::MsixControlChanged(MsixControl { enable: false, mask_all: false }),
    ];
    assert_eq!(write_vf(&mut pf, 1, 0xa9, &[0x80]), expected);
    let after = visible(&pf);
    for (function, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_eq!(before == after, function != 2, "function {function}");
    }
    assert_eq!(pf.reset_vf(0).unwrap().as_slice(), expected);
    assert_eq!(pf.reset_vf(1).unwrap().as_slice(), &expected[..1]);
    assert_eq!(pf.reset_vf(3).unwrap_err(), NoSuchVf { index: 3, num_vfs: 3 });
}

#[test]
fn c12_d3hot_of_a_vf_ends_its_dma_only() {
    let mut pf = pf();
    pf.enable_virtualization(2).unwrap();
    for index in 0..2 {
        write_vf(&mut pf, index, 0x04, &[0x06]);
    }
    let effects = pf.set_vf_power_state(0, PowerState::D3Hot).unwrap();
    assert_eq!(effects.as_slice(), [ConfigEffect::PowerState(PowerState::D3Hot)]);
    let masters: Vec<_> = pf.virtual_functions().iter().map(|vf| vf.config().is_bus_master()).collect();
    assert_eq!(masters, [false, true]);
    assert!(pf.set_vf_power_state(2, PowerState::D0).is_err());
}

#[test]
fn c14_absent_functions_read_all_ones_and_ignore_writes() {
    let mut pf = pf();
    pf.enable_virtualization(2).unwrap();
    let handle = pf.virtual_function(1).unwrap().clone();
    pf.disable_virtualization();
    let before = visible(&pf);
    let nowhere =
        [pf.vf_rid(0).unwrap(), pf.vf_rid(255).unwrap(), Rid::from_ari(1, 0x81), Rid::from_ari(0, 0)];
    for absent in nowhere {
        assert_eq!(pf.config_read(absent, 0, 1), Ok(0xff));
        assert_eq!(pf.config_read(absent, 0, 2), Ok(0xffff));
        assert_eq!(pf.config_read(absent, 0x100, 4), Ok(0xffff_ffff));
        assert_eq!(pf.config_read(absent, 0, 3), Err(AccessError::Width(3)));
        assert!(bytes(&pf, absent).iter().all(|byte| *byte == 0xff));
        assert_eq!(pf.config_write(absent, 4, &[0xff; 2]), Ok(None));
        assert_eq!(
            pf.config_write(absent, 4095, &[0; 2]),
            Err(AccessError::Range { offset: 4095, length: 2 })
        );
    }
    assert_eq!(handle.config().read(4, 2), Ok(0xffff));
    assert!(handle.config().write(4, &[6]).unwrap().is_empty());
    assert!(handle.config().reset(ResetKind::FunctionLevel).is_empty());
    assert!(!handle.config().decodes_memory());
    assert_eq!(visible(&pf), before);
    pf.enable_virtualization(2).unwrap();
    assert_eq!(handle.config().read(4, 2), Ok(0), "the write while absent left nothing");
}

#[derive(Clone, Debug)]
enum Step {
    Pf(u16, Vec<u8>),
    Vf(u16, u16, Vec<u8>),
    Enable(u16),
    Disable,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let data = || prop_oneof![any::<[u8; 1]>().prop_map(Vec::from), any::<[u8; 4]>().prop_map(Vec::from)];
    prop_oneof![
        6 => (0x160_u16..0x1a0, data()).prop_map(|(offset, data)| Step::Pf(offset, data)),
        3 => (NUM_VFS..NUM_VFS + 1, any::<u8>()).prop_map(|(offset, low)| Step::Pf(offset, vec![low % 12])),
        3 => Just(Step::Pf(CONTROL, vec![VFE | MSE])),
        1 => (0_u16..0xe0, data()).prop_map(|(offset, data)| Step::Pf(offset, data)),
        6 => (0_u16..12, 0_u16..0x120, data()).prop_map(|(vf, offset, data)| Step::Vf(vf, offset, data)),
        1 => (0_u16..12).prop_map(Step::Enable),
        1 => Just(Step::Disable),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A process that ends at any point leaves an adapter that the next one shows and runs exactly the same.
    #[test]
    fn c15_attach_between_any_two_steps(steps in prop::collection::vec(step(), 1..40), cut in 0_usize..40) {
        let profile = PfProfile::x550(8, VfProfile::X550);
        let storage = PfStorage::heap(8);
        let mut whole = PhysicalFunction::create(rid(), &profile, PfStorage::heap(8)).unwrap();
        let mut cut_up = PhysicalFunction::create(rid(), &profile, storage.clone()).unwrap();
        for (number, step) in steps.into_iter().enumerate() {
            if number == cut {
                cut_up = PhysicalFunction::attach(rid(), &profile, storage.clone()).unwrap();
            }
            let run = |pf: &mut PhysicalFunction| match &step {
                Step::Pf(offset, data) => pf.config_write(rid(), *offset, data).ok().flatten(),
                Step::Vf(vf, offset, data) => pf.config_write(pf.vf_rid(*vf).unwrap(), *offset, data).ok().flatten(),
                Step::Enable(number) => pf.enable_virtualization(*number).ok().map(|e| (Function::Physical, e)),
                Step::Disable => Some((Function::Physical, pf.disable_virtualization())),
                Step::Reset => Some((Function::Physical, pf.reset(ResetKind::FunctionLevel))),
            };
            prop_assert_eq!(run(&mut whole), run(&mut cut_up));
            prop_assert_eq!(whole.num_vfs(), cut_up.num_vfs());
            prop_assert!(whole.num_vfs() <= 8);
        }
        prop_assert_eq!(visible(&whole), visible(&cut_up));
    }
}

#[test]
fn c15_attach_finishes_what_a_crash_cut_off() {
    let storage = PfStorage::heap(256);
    let mut pf = PhysicalFunction::create(rid(), &profile(), storage.clone()).unwrap();
    pf.enable_virtualization(2).unwrap();
    // The process ended after VF Enable was set, before VF 1 was born; and before VF 2 of an earlier life was gone.
    pf.virtual_function(1).unwrap().config().vanish();
    pf.vfs[2].config.power_on();
    let pf = PhysicalFunction::attach(rid(), &profile(), storage).unwrap();
    assert_eq!(pf.virtual_functions().len(), 2);
    assert_eq!(pf.config_read(pf.vf_rid(1).unwrap(), 0, 4), Ok(0x1565_8086));
    assert_eq!(pf.vfs[2].config().read(0, 4), Ok(u32::MAX));
}

#[test]
fn attach_refuses_memory_of_another_adapter() {
    let storage = PfStorage::heap(256);
    let mut pf = PhysicalFunction::create(rid(), &profile(), storage.clone()).unwrap();
    pf.enable_virtualization(9).unwrap();
    let attach = |profile: &PfProfile, storage: PfStorage| {
        PhysicalFunction::attach(rid(), profile, storage).unwrap_err()
    };
    // Another kind of VF shows in the PF; another number of VFs too.
    let other = PfProfile::x550(256, VfProfile::I82599);
    assert!(matches!(attach(&other, storage.clone()), PfError::Storage(StorageError::Foreign { .. })));
    let mut short = storage.clone();
    short.virtuals.pop();
    assert_eq!(attach(&profile(), short), PfError::VfStorage { total_vfs: 256, found: 255 });
    // A PF page with impossible SR-IOV state.
    storage.physical.store(sriov::NUM_VFS_WORD, 257);
    assert_eq!(attach(&profile(), storage.clone()), PfError::NumVfs { total_vfs: 256, num_vfs: 257 });
    // A VF page that holds something else.
    storage.physical.store(sriov::NUM_VFS_WORD, 9);
    storage.virtuals[8].store(0, 0x1234_5678);
    assert!(matches!(attach(&profile(), storage), PfError::Storage(StorageError::Foreign { offset: 0, .. })));
}

#[test]
fn vfs_must_fit_behind_the_pf() {
    let create = |bus| {
        let rid = Rid::new(bus, 0, 0).unwrap();
        PhysicalFunction::create(rid, &profile(), PfStorage::heap(256))
    };
    assert!(create(0xfd).is_ok());
    assert!(matches!(create(0xfe), Err(PfError::Rid(RidOverflow { .. }))));
}

#[test]
fn vf_bars_tell_their_size_and_lie_behind_each_other() {
    let mut pf = pf();
    let probed = [0xffff_c004, 0xffff_ffff, 0, 0xffff_c004, 0xffff_ffff, 0];
    assert_eq!(pf.probed_vf_bars(), probed);
    for (offset, expected) in (VF_BAR0..).step_by(4).zip(probed) {
        let effects = write(&mut pf, offset, &[0xff; 4]);
        assert_eq!(effects.contains(&ConfigEffect::VfBarsChanged), expected != 0);
        assert_eq!(read(&pf, offset, 4), expected);
    }
    write(&mut pf, VF_BAR0, &0xfe00_0000_u32.to_le_bytes());
    write(&mut pf, VF_BAR0 + 4, &0x12_u32.to_le_bytes());
    assert_eq!(pf.vf_bar(0, 0), None, "no VF, no range");
    pf.enable_virtualization(4).unwrap();
    assert_eq!(pf.vf_bar(0, 0), Some(VfBarRange { address: 0x12_fe00_0000, size: 0x4000 }));
    assert_eq!(pf.vf_bar(3, 0), Some(VfBarRange { address: 0x12_fe00_c000, size: 0x4000 }));
    assert_eq!(pf.vf_bar(3, 1), None);
    assert_eq!(pf.vf_bar(1, 3), None, "the range would wrap past the end of the address space");
}

#[test]
fn system_page_size_widens_vf_bars_and_is_fixed_while_enabled() {
    let mut pf = pf();
    write(&mut pf, VF_BAR0, &0xfe01_4000_u32.to_le_bytes());
    for refused in [0_u32, 0x3, 0x4, 0x800, u32::MAX] {
        write(&mut pf, PAGE_SIZE, &refused.to_le_bytes());
        assert_eq!(read(&pf, PAGE_SIZE, 4), 1, "{refused:#x}");
    }
    // 64 KiB pages.
    assert_eq!(write(&mut pf, PAGE_SIZE, &[0x10, 0, 0, 0]), [ConfigEffect::VfBarsChanged]);
    assert_eq!(read(&pf, VF_BAR0, 4), 0xfe01_0004);
    assert_eq!(pf.probed_vf_bars()[..2], [0xffff_0004, 0xffff_ffff]);
    write(&mut pf, VF_BAR3, &[0xff; 4]);
    assert_eq!(read(&pf, VF_BAR3, 4), 0xffff_0004);
    pf.enable_virtualization(2).unwrap();
    assert_eq!(pf.vf_bar(1, 0), Some(VfBarRange { address: 0xfe02_0000, size: 0x1_0000 }));
    assert_eq!(write(&mut pf, PAGE_SIZE, &[1, 0, 0, 0]), []);
    assert_eq!(read(&pf, PAGE_SIZE, 4), 0x10);
}

#[test]
fn ari_hierarchy_is_fixed_while_enabled() {
    let mut pf = pf();
    write(&mut pf, CONTROL, &[0x10]);
    assert_eq!(read(&pf, CONTROL, 2), 0x10);
    write(&mut pf, NUM_VFS, &[1]);
    write(&mut pf, CONTROL, &[VFE]);
    assert_eq!(read(&pf, CONTROL, 2), 0x01, "both bits change while VFs are off");
    write(&mut pf, CONTROL, &[VFE | 0x10]);
    assert_eq!(read(&pf, CONTROL, 2), 0x01);
}
