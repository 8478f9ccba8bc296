//! Config space of a VF is bytes with masks, whatever is written to it; and no sequence of writes to the PF brings
//! about a number of VFs that cannot be, or another set of VFs than the PF says.

#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pcie::{
    AccessError, CONFIG_SPACE_SIZE, ConfigLayout, ConfigSpace, Function, PfProfile, PfStorage,
    PhysicalFunction, ResetKind, Rid, VfProfile,
};
use sys::Words;

const TOTAL_VFS: u16 = 8;
const DEVICE_CONTROL: usize = 0xa8;
/// Behind it a VF has nothing.
const LAST_REGISTER: usize = 0x158;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    Command,
    Bar(u8),
    MsixControl,
    DeviceControl,
    SriovControl,
    NumVfs,
    PageSize,
    VfBar(u8),
    Anywhere(u16),
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Write(Place, [u8; 4], u8),
    WriteAny(u16, &'a [u8]),
    WritePf(Place, [u8; 4], u8),
    WriteVf(u8, Place, [u8; 4], u8),
    Reset(bool),
    ResetPf(bool),
    MasterAbort,
    Hide(bool),
    Attach,
}

impl Place {
    fn offset(self) -> u16 {
        match self {
            Self::Command => 4,
            Self::Bar(n) => 0x10 + u16::from(n % 24),
            Self::MsixControl => 0x72,
            Self::DeviceControl => 0xa8,
            Self::SriovControl => 0x168,
            Self::NumVfs => 0x170,
            Self::PageSize => 0x180,
            Self::VfBar(n) => 0x184 + u16::from(n % 24),
            Self::Anywhere(at) => at % 4200,
        }
    }
}

/// The bytes of a VF's config space.
struct Model {
    value: Vec<u8>,
    reset: Vec<u8>,
    writable: Vec<u8>,
    write_one_to_clear: Vec<u8>,
    sticky: Vec<u8>,
    hidden: bool,
}

fn filled(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut all = vec![0; CONFIG_SPACE_SIZE];
    for (offset, bytes) in parts {
        all[*offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    all
}

impl Model {
    /// X550 VF: type 0 header, MSI-X at 0x70, PCI Express at 0xa0, AER at 0x100, ARI at 0x150.
    fn vf() -> Self {
        let reset = filled(&[
            (0x00, b"\x86\x80\x65\x15\0\0\x10\0\x01\0\0\x02"),
            (0x10, b"\x04\0\0\0\0\0\0\0\0\0\0\0\x04"),
            (0x2c, b"\x86\x80"),
            (0x34, b"\x70"),
            (0x70, b"\x11\xa0\x02\0\x03\0\0\0\x03\x20"),
            (0xa0, b"\x10\0\x02\0\xc2\x8c\0\x10\x10\x28\0\0\x82\x74\x02\0\0\0\x81\x10"),
            (0xc4, b"\x1f\0\0\0\0\0\0\0\x06"),
            (0x100, b"\x01\0\x02\x15\0\0\0\0\0\0\0\0\x10\x20\x06\0\0\0\0\0\0\x20"),
            (0x150, b"\x0e\0\x01"),
        ]);
        let address = b"\xc0\xff\xff\xff\xff\xff\xff";
        let errors = b"\x10\xf0\x1f";
        let writable = filled(&[
            (0x04, b"\x46\x05"),
            (0x0c, b"\xff"),
            (0x11, address),
            (0x1d, address),
            (0x3c, b"\xff"),
            (0x72, b"\0\xc0"),
            (DEVICE_CONTROL, b"\xff\x78"),
            (0xb0, b"\xcb"),
            (0xc8, b"\x1f"),
            (0x108, errors),
            (0x10c, errors),
            (0x114, b"\xc1\x31"),
        ]);
        let write_one_to_clear =
            filled(&[(0x07, b"\xf9"), (0xaa, b"\x0f"), (0x104, errors), (0x110, b"\xc1\x31")]);
        let sticky = filled(&[(DEVICE_CONTROL, b"\xe0"), (0xb0, b"\xcb"), (0x104, &[0xff; 20])]);
        Self { value: reset.clone(), reset, writable, write_one_to_clear, sticky, hidden: false }
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        for (at, byte) in (offset..).zip(data) {
            let stored = self.value[at] & !self.writable[at] | byte & self.writable[at];
            self.value[at] = stored & !(byte & self.write_one_to_clear[at]);
        }
        // Initiate Function Level Reset.
        if (offset..).zip(data).any(|(at, byte)| at == DEVICE_CONTROL + 1 && byte & 0x80 != 0) {
            self.reset(ResetKind::FunctionLevel);
        }
    }

    fn reset(&mut self, kind: ResetKind) {
        for (at, value) in self.value.iter_mut().enumerate() {
            let kept = if kind == ResetKind::FunctionLevel { self.sticky[at] } else { 0 };
            *value = *value & kept | self.reset[at] & !kept;
        }
    }

    /// What an access sees.
    fn visible(&self, len: usize) -> Vec<u8> {
        let mut bytes = self.value[..len].to_vec();
        if self.hidden {
            bytes[6] &= !0x10;
            bytes[0x34] = 0;
        }
        bytes
    }
}

fn kind(function_level: bool) -> ResetKind {
    if function_level { ResetKind::FunctionLevel } else { ResetKind::Conventional }
}

/// `data` cut to a width that exists.
fn cut(data: &[u8; 4], width: u8) -> &[u8] {
    &data[..[1, 2, 4][usize::from(width % 3)]]
}

/// Compares the first `len` bytes.
fn check_bytes(space: &ConfigSpace, model: &Model, len: usize) {
    let mut bytes = vec![0; len];
    space.read_bytes(0, &mut bytes).expect("within config space");
    assert!(bytes == model.visible(len), "config space differs from the model");
}

/// What holds for a PF after each access.
fn check_pf(pf: &PhysicalFunction, before: (bool, u16)) -> (bool, u16) {
    let rid = pf.rid();
    let read = |offset, length| pf.config_read(rid, offset, length).expect("within config space");
    assert_eq!((read(0, 4), read(8, 4)), (0x1563_8086, 0x0200_0001), "ids");
    assert_eq!((read(0x34, 1), read(0x160, 4) & 0xffff), (0x40, 0x10), "capability lists");
    let num_vfs = u16::try_from(read(0x170, 2)).expect("16 bits");
    let enabled = read(0x168, 2) & 1 != 0;
    // C02, C03: as many VFs as there can be, and the number stands while they exist.
    assert!(!enabled || (1..=TOTAL_VFS).contains(&num_vfs), "{num_vfs} VFs are enabled");
    assert!(!(enabled && before.0) || num_vfs == before.1, "the number of VFs changed while they exist");
    assert_eq!(pf.num_vfs(), if enabled { num_vfs } else { 0 });
    assert_eq!(pf.virtual_functions().len(), usize::from(pf.num_vfs()));
    for index in 0..TOTAL_VFS {
        let vf = pf.vf_rid(index).expect("all VFs fit");
        let exists = index < pf.num_vfs();
        // C14: a VF that is not there reads all ones.
        let ids = pf.config_read(vf, 0, 4).expect("within config space");
        assert_eq!(ids, if exists { 0x1565_8086 } else { u32::MAX });
        assert_eq!(pf.function_at(vf), exists.then_some(Function::Virtual(index)));
    }
    (enabled, num_vfs)
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    static LAYOUT: LazyLock<Arc<ConfigLayout>> =
        LazyLock::new(|| Arc::new(VfProfile::X550.layout().expect("the profile has a layout")));
    let words = Words::heap(ConfigSpace::WORDS);
    let mut space = ConfigSpace::create(Arc::clone(&LAYOUT), words.clone()).expect("it fits");
    let mut model = Model::vf();
    let (rid, profile) = (Rid::from_ari(1, 0), PfProfile::x550(TOTAL_VFS, VfProfile::X550));
    let storage = PfStorage::heap(TOTAL_VFS);
    let mut pf = PhysicalFunction::create(rid, &profile, storage.clone()).expect("it fits");
    let mut virtualization = (false, 0);
    for step in steps.into_iter().take(200) {
        let of_pf = matches!(step, Step::WritePf(..) | Step::WriteVf(..) | Step::ResetPf(_) | Step::Attach);
        match step {
            Step::Write(place, data, width) => {
                let (offset, data) = (place.offset(), cut(&data, width));
                match space.write(offset, data) {
                    Ok(_) => model.write(offset.into(), data),
                    Err(error) => {
                        assert_eq!(error, AccessError::Range { offset, length: data.len() });
                        assert!(usize::from(offset) + data.len() > CONFIG_SPACE_SIZE);
                    }
                }
            }
            Step::WriteAny(offset, data) => {
                let fits =
                    matches!(data.len(), 1 | 2 | 4) && usize::from(offset) + data.len() <= CONFIG_SPACE_SIZE;
                assert_eq!(space.write(offset, data).is_ok(), fits);
                if fits {
                    model.write(offset.into(), data);
                }
            }
            Step::WritePf(place, data, width) => {
                drop(pf.config_write(rid, place.offset(), cut(&data, width)));
            }
            Step::WriteVf(index, place, data, width) => {
                let vf = pf.vf_rid(u16::from(index) % TOTAL_VFS).expect("all VFs fit");
                drop(pf.config_write(vf, place.offset(), cut(&data, width)));
            }
            Step::Reset(function_level) => {
                space.reset(kind(function_level));
                model.reset(kind(function_level));
            }
            Step::ResetPf(function_level) => {
                pf.reset(kind(function_level));
                virtualization = (false, 0);
                assert_eq!(pf.num_vfs(), 0, "a reset of the PF takes its VFs away");
            }
            Step::MasterAbort => {
                space.record_master_abort();
                model.value[7] |= 0x20;
            }
            Step::Hide(hidden) => {
                space.set_capabilities_hidden(hidden);
                model.hidden = hidden;
            }
            Step::Attach => {
                space = ConfigSpace::attach(Arc::clone(&LAYOUT), words.clone()).expect("its own state");
                pf = PhysicalFunction::attach(rid, &profile, storage.clone()).expect("its own state");
            }
        }
        check_bytes(&space, &model, LAST_REGISTER);
        assert_eq!(space.is_bus_master(), model.value[4] & 4 != 0);
        assert_eq!(space.decodes_memory(), model.value[4] & 2 != 0);
        if of_pf {
            virtualization = check_pf(&pf, virtualization);
        }
    }
    check_bytes(&space, &model, CONFIG_SPACE_SIZE);
});
