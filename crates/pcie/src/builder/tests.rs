use std::sync::Arc;

use sys::Words;

use super::*;
use crate::config_space::ConfigSpace;
use crate::rid::VfRouting;
use crate::{PfProfile, Rid, VfProfile};

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x1565,
    revision: 1,
    class: 0x02_0000,
    subsystem_vendor: 1,
    subsystem: 2,
};
const MSIX: MsixParameters = MsixParameters { vectors: 3, bar: 3, table_offset: 0, pba_offset: 0x2000 };
const PCIE: PcieParameters = PcieParameters {
    device_capabilities: 0,
    link_capabilities: 0,
    link_status: 0,
    device_capabilities2: 0,
    link_capabilities2: 0,
};

fn bare() -> ConfigSpaceBuilder {
    ConfigSpaceBuilder::type0(IDENTITY)
}

fn sriov() -> SriovParameters {
    SriovParameters {
        total_vfs: 8,
        routing: VfRouting { first_offset: 1, stride: 1 },
        vf_device_id: 0x1565,
        vf_bars: vec![Bar { index: 0, size: 4096, width: BarWidth::Bits32, prefetchable: false }],
        function_dependency_link: 0,
    }
}

fn space(layout: ConfigLayout) -> ConfigSpace {
    ConfigSpace::create(Arc::new(layout), Words::heap(ConfigSpace::WORDS)).unwrap()
}

/// Ids and offsets of the capability list.
fn capabilities(space: &ConfigSpace) -> Vec<(u32, u16)> {
    let mut found = Vec::new();
    if space.read(0x06, 2).unwrap() & 0x10 == 0 {
        return found;
    }
    let mut at = space.read(0x34, 1).unwrap();
    while at != 0 {
        assert!(found.len() < 48, "the list has no end");
        let offset = u16::try_from(at).unwrap();
        found.push((space.read(offset, 1).unwrap(), offset));
        at = space.read(offset + 1, 1).unwrap();
    }
    found
}

/// Ids and offsets of the extended capability list.
fn extended_capabilities(space: &ConfigSpace) -> Vec<(u32, u16)> {
    let (mut found, mut offset) = (Vec::new(), 0x100);
    while offset != 0 {
        assert!(found.len() < 960, "the list has no end");
        let header = space.read(offset, 4).unwrap();
        if header != 0 {
            found.push((header & 0xffff, offset));
        }
        offset = u16::try_from(header >> 20).unwrap();
    }
    found
}

#[test]
fn vf_has_the_capabilities_of_an_82599_vf() {
    let vf = space(VfProfile::X550.layout().unwrap());
    assert_eq!(capabilities(&vf), [(0x11, 0x70), (0x10, 0xa0)]);
    assert_eq!(extended_capabilities(&vf), [(0x0001, 0x100), (0x000e, 0x150)]);
    // Offset, width, value: vf-device.md section 1.
    for (offset, width, value) in [
        (0x00, 4, 0x1565_8086),
        (0x06, 2, 0x0010),
        (0x08, 4, 0x0200_0001),
        (0x0e, 1, 0x00),
        (0x10, 4, 0x0000_0004),
        (0x1c, 4, 0x0000_0004),
        (0x30, 4, 0),
        (0x3d, 1, 0),
        (0x72, 2, 0x0002),
        (0x74, 4, 0x0000_0003),
        (0x78, 4, 0x0000_2003),
        (0xa2, 2, 0x0002),
        (0xa4, 4, 0x1000_8cc2),
        (0xac, 4, 0x0002_7482),
        (0xb2, 2, 0x1081),
    ] {
        assert_eq!(vf.read(offset, width).unwrap(), value, "register {offset:#x}");
    }
    assert_eq!(space(VfProfile::I82599.layout().unwrap()).read(2, 2), Ok(0x10ed));
}

#[test]
fn pf_has_sriov_and_acs() {
    let profile = PfProfile::x550(256, VfProfile::X550);
    let pf = space(profile.layout(Rid::from_ari(1, 3)).unwrap());
    assert_eq!(capabilities(&pf), [(0x01, 0x40), (0x11, 0x70), (0x10, 0xa0)]);
    assert_eq!(
        extended_capabilities(&pf),
        [(0x0001, 0x100), (0x000e, 0x150), (0x0010, 0x160), (0x000d, 0x1b0)]
    );
    for (offset, width, value) in [
        (0x00, 4, 0x1563_8086),
        (0x16c, 2, 256),
        (0x16e, 2, 256),
        (0x170, 2, 0),
        (0x172, 1, 3),
        (0x174, 2, 0x80),
        (0x176, 2, 2),
        (0x17a, 2, 0x1565),
        (0x17c, 4, 0x553),
        (0x180, 4, 1),
        (0x184, 4, 4),
        (0x190, 4, 4),
        (0x19c, 4, 0),
    ] {
        assert_eq!(pf.read(offset, width).unwrap(), value, "register {offset:#x}");
    }
}

#[test]
fn bare_function_has_no_lists() {
    let bare = space(bare().build().unwrap());
    assert_eq!(bare.read(0x06, 2), Ok(0));
    assert_eq!(bare.read(0x34, 1), Ok(0));
    assert_eq!(bare.read(0x100, 4), Ok(0));
    assert_eq!(bare.read(0x2c, 4), Ok(0x0002_0001));
}

#[test]
fn extended_list_without_aer_begins_with_a_null_capability() {
    let function = space(bare().pcie_endpoint(PCIE).ari(5).acs(AcsServices::all()).build().unwrap());
    assert_eq!(function.read(0x100, 4), Ok(0x1500_0000));
    assert_eq!(extended_capabilities(&function)[1..], [(0x000e, 0x150), (0x000d, 0x1b0)]);
    assert_eq!(function.read(0x154, 4), Ok(0x0500));
    // A control bit exists for each service that exists.
    function.write(0x1b6, &[0xff, 0xff]).unwrap();
    assert_eq!(function.read(0x1b4, 4), Ok(0x004c_004c));
}

#[test]
fn bars_tell_their_size_and_kind() {
    let function =
        space(bare().bar32(0, 4096, false).bar64(1, 1 << 36, true).bar32(5, 1 << 31, true).build().unwrap());
    let expected = [0xffff_f000, 0x0000_000c, 0xffff_fff0, 0, 0, 0x8000_0008];
    for (offset, expected) in (0x10..).step_by(4).zip(expected) {
        function.write(offset, &[0xff; 4]).unwrap();
        assert_eq!(function.read(offset, 4), Ok(expected), "BAR at {offset:#x}");
    }
}

#[test]
fn impossible_bars_are_refused() {
    let size = |size| LayoutError::BarSize { index: 0, size, smallest: 16, largest: 1 << 31 };
    assert_eq!(bare().bar32(0, 0, false).build().unwrap_err(), size(0));
    assert_eq!(bare().bar32(0, 8, false).build().unwrap_err(), size(8));
    assert_eq!(bare().bar32(0, 4095, false).build().unwrap_err(), size(4095));
    assert_eq!(bare().bar32(0, 1 << 32, false).build().unwrap_err(), size(1 << 32));
    assert_eq!(bare().bar32(6, 4096, false).build().unwrap_err(), LayoutError::BarIndex { index: 6 });
    assert_eq!(bare().bar64(5, 4096, false).build().unwrap_err(), LayoutError::BarIndex { index: 6 });
    let twice = bare().bar64(0, 4096, false).bar32(1, 4096, false);
    assert_eq!(twice.build().unwrap_err(), LayoutError::BarTaken { index: 1 });
}

#[test]
fn impossible_msix_is_refused() {
    let with = |msix| bare().bar64(3, 0x4000, false).msix(msix).build();
    assert!(with(MSIX).is_ok());
    for vectors in [0, 2049, u16::MAX] {
        assert_eq!(with(MsixParameters { vectors, ..MSIX }).unwrap_err(), LayoutError::MsixVectors(vectors));
    }
    let misplaced = [
        MsixParameters { bar: 0, ..MSIX },
        MsixParameters { table_offset: 4, ..MSIX },
        MsixParameters { pba_offset: 0x2004, ..MSIX },
        MsixParameters { pba_offset: 0x28, ..MSIX },
        MsixParameters { pba_offset: 0x4000, ..MSIX },
        MsixParameters { table_offset: 0xffff_fff8, ..MSIX },
        MsixParameters { vectors: 2048, ..MSIX },
    ];
    for msix in misplaced {
        assert!(matches!(with(msix), Err(LayoutError::MsixPlacement { .. })), "{msix:?}");
    }
}

#[test]
fn impossible_sriov_is_refused() {
    let with = |sriov| bare().pcie_endpoint(PCIE).sriov(sriov).build();
    assert!(with(sriov()).is_ok());
    for total_vfs in [0, 257, u16::MAX] {
        let error = with(SriovParameters { total_vfs, ..sriov() }).unwrap_err();
        assert_eq!(error, LayoutError::TotalVfs(total_vfs));
    }
    for (first_offset, stride) in [(0, 1), (1, 0)] {
        let routing = VfRouting { first_offset, stride };
        let error = with(SriovParameters { routing, ..sriov() }).unwrap_err();
        assert_eq!(error, LayoutError::VfRouting { first_offset, stride });
    }
    let mut small = sriov();
    small.vf_bars[0].size = 2048;
    assert!(matches!(with(small), Err(LayoutError::BarSize { smallest: 4096, .. })));
}

#[test]
fn extended_capabilities_need_pci_express() {
    for builder in [bare().aer(), bare().ari(0), bare().acs(AcsServices::empty()), bare().sriov(sriov())] {
        assert_eq!(builder.build().unwrap_err(), LayoutError::ExtendedWithoutExpress);
    }
}
