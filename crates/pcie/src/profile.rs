//! The functions of the adapter: Intel X550 physical function, X550 and 82599 virtual functions.

use crate::bar::{Bar, BarWidth};
use crate::builder::{AcsServices, ConfigSpaceBuilder, Identity, MsixParameters, PcieParameters};
use crate::layout::{ConfigLayout, LayoutError};
use crate::rid::{Rid, VfRouting};
use crate::sriov::SriovParameters;

const INTEL: u16 = 0x8086;
const ETHERNET_CONTROLLER: u32 = 0x02_00_00;
/// Device Capabilities of the family: 512-byte payloads, role-based errors, function level reset.
const DEVICE_CAPABILITIES: u32 = 0x1000_8cc2;
/// Completion time-out ranges A to D, completion time-out disable.
const DEVICE_CAPABILITIES2: u32 = 0x0000_001f;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Size in bytes of the register BAR and of the MSI-X BAR of a VF.
const VF_BAR_SIZE: u64 = 16 * KIB;

/// A virtual function as its guest sees it: a function of its own, with ids and BARs like any other.
///
/// The functions behind a real SR-IOV capability show neither; the VMM of a guest makes up both. Here the VF itself
/// shows them, because its VMM passes config space through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VfProfile {
    /// Device ID, which chooses the guest's driver and its ways; the vendor is Intel.
    pub device: u16,
    /// MSI-X vectors: one per queue pair in use and one for everything else.
    pub vectors: u16,
}

impl VfProfile {
    /// X550 VF: receive side scaling with a key and table of the guest's own.
    pub const X550: Self = Self { device: 0x1565, vectors: 3 };
    /// 82599 VF.
    pub const I82599: Self = Self { device: 0x10ed, vectors: 3 };
    /// BAR of the registers.
    pub const REGISTER_BAR: u8 = 0;
    /// BAR of the MSI-X table.
    pub const MSIX_BAR: u8 = 3;

    /// Config space of the VF.
    ///
    /// # Errors
    /// [`LayoutError::MsixVectors`] or [`LayoutError::MsixPlacement`] if the number of vectors does not fit.
    pub fn layout(&self) -> Result<ConfigLayout, LayoutError> {
        ConfigSpaceBuilder::type0(identity(self.device))
            .bar64(Self::REGISTER_BAR, VF_BAR_SIZE, false)
            .bar64(Self::MSIX_BAR, VF_BAR_SIZE, false)
            .msix(MsixParameters {
                vectors: self.vectors,
                bar: Self::MSIX_BAR,
                table_offset: 0,
                pba_offset: 0x2000,
            })
            // 5 GT/s, 8 lanes.
            .pcie_endpoint(PcieParameters {
                device_capabilities: DEVICE_CAPABILITIES,
                link_capabilities: 0x0002_7482,
                link_status: 0x1081,
                device_capabilities2: DEVICE_CAPABILITIES2,
                link_capabilities2: 0x06,
            })
            .aer()
            .ari(0)
            .build()
    }

    fn bars() -> Vec<Bar> {
        [Self::REGISTER_BAR, Self::MSIX_BAR]
            .map(|index| Bar { index, size: VF_BAR_SIZE, width: BarWidth::Bits64, prefetchable: false })
            .into()
    }
}

/// The physical function and what its VFs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PfProfile {
    /// Device ID; the vendor is Intel.
    pub device: u16,
    /// TotalVFs, 1..=256.
    pub total_vfs: u16,
    /// First VF Offset and VF Stride.
    pub routing: VfRouting,
    /// The VFs, all of one kind.
    pub vf: VfProfile,
}

impl PfProfile {
    /// X550 with `total_vfs` VFs. As on the real part, VFs are every other function from
    /// device 16 of the PF's bus on.
    #[must_use]
    pub const fn x550(total_vfs: u16, vf: VfProfile) -> Self {
        Self { device: 0x1563, total_vfs, routing: VfRouting { first_offset: 0x80, stride: 2 }, vf }
    }

    /// Config space of the PF at `rid`.
    ///
    /// # Errors
    /// [`LayoutError`] if the number or the routing of VFs is out of range.
    pub fn layout(&self, rid: Rid) -> Result<ConfigLayout, LayoutError> {
        ConfigSpaceBuilder::type0(identity(self.device))
            .bar64(0, 4 * MIB, true)
            .bar64(4, 16 * KIB, true)
            .power_management()
            .msix(MsixParameters { vectors: 64, bar: 4, table_offset: 0, pba_offset: 0x2000 })
            // 8 GT/s, 4 lanes.
            .pcie_endpoint(PcieParameters {
                device_capabilities: DEVICE_CAPABILITIES,
                link_capabilities: 0x0002_7443,
                link_status: 0x1043,
                device_capabilities2: DEVICE_CAPABILITIES2,
                link_capabilities2: 0x0e,
            })
            .aer()
            .ari(0)
            .sriov(SriovParameters {
                total_vfs: self.total_vfs,
                routing: self.routing,
                vf_device_id: self.vf.device,
                vf_bars: VfProfile::bars(),
                function_dependency_link: rid.ari_function(),
            })
            .acs(AcsServices::empty())
            .build()
    }
}

const fn identity(device: u16) -> Identity {
    Identity {
        vendor: INTEL,
        device,
        revision: 1,
        class: ETHERNET_CONTROLLER,
        subsystem_vendor: INTEL,
        subsystem: 0,
    }
}
