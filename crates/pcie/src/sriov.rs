//! The SR-IOV extended capability of a physical function (PCIe 9.3.3).

use crate::bar::{self, Bar};
use crate::layout::{LayoutError, Register};
use crate::registers::{bar::ATTRIBUTES, sriov};
use crate::rid::VfRouting;

/// The most VFs that a physical function has.
pub const MAX_VFS: u16 = 256;

/// Smallest system page, and with it the smallest VF BAR, in bytes.
const PAGE: u64 = 4096;

/// What the capability says that software cannot change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SriovParameters {
    /// TotalVFs, and InitialVFs, which equals it without VF migration; 1..=256.
    pub total_vfs: u16,
    /// First VF Offset and VF Stride.
    pub routing: VfRouting,
    /// VF Device ID; the vendor is the PF's.
    pub vf_device_id: u16,
    /// VF BARs: the range of one VF each.
    pub vf_bars: Vec<Bar>,
    /// Function Dependency Link: the PF's own function number if it depends on no other function.
    pub function_dependency_link: u8,
}

impl SriovParameters {
    /// What becomes of writing `new` over `old` into `word`; `read` reads another word.
    pub(crate) fn ruled(&self, word: usize, old: u32, new: u32, read: impl Fn(usize) -> u32) -> u32 {
        let enabled = |control| control & sriov::VF_ENABLE != 0;
        match word {
            sriov::CONTROL_WORD => {
                let num_vfs = read(sriov::NUM_VFS_WORD) & sriov::NUM_VFS;
                let mut new = new;
                if !enabled(old) && !(1..=u32::from(self.total_vfs)).contains(&num_vfs) {
                    new &= !sriov::VF_ENABLE;
                }
                // VFs are at the routing ids of the hierarchy in which they were enabled.
                let frozen = if enabled(old) { sriov::ARI_CAPABLE_HIERARCHY } else { 0 };
                new & !frozen | old & frozen
            }
            sriov::NUM_VFS_WORD if enabled(read(sriov::CONTROL_WORD)) => old,
            sriov::SYSTEM_PAGE_SIZE_WORD => {
                let valid = new.is_power_of_two() && new & sriov::SUPPORTED_PAGE_SIZES != 0;
                if valid && !enabled(read(sriov::CONTROL_WORD)) { new } else { old }
            }
            _ => match word.checked_sub(sriov::VF_BAR0_WORD).filter(|index| *index < 6) {
                Some(index) if self.holds_low_address(index) => {
                    new & (page_mask(read(sriov::SYSTEM_PAGE_SIZE_WORD)) | ATTRIBUTES)
                }
                _ => new,
            },
        }
    }

    /// The VF BAR in register `bar`.
    pub(crate) fn vf_bar(&self, bar: u8) -> Option<&Bar> {
        self.vf_bars.iter().find(|b| b.index == bar)
    }

    fn holds_low_address(&self, index: usize) -> bool {
        self.vf_bars.iter().any(|bar| usize::from(bar.index) == index)
    }
}

/// Address bits above the system page: bit `n` of the register stands for pages of `2^(n + 12)` bytes.
pub(crate) fn page_mask(page_size: u32) -> u32 {
    (page_size << 12).wrapping_neg()
}

/// The registers after the extended capability header.
pub(crate) fn registers(parameters: &SriovParameters) -> Result<[Register; 15], LayoutError> {
    let &SriovParameters { total_vfs, routing, vf_device_id, ref vf_bars, function_dependency_link } =
        parameters;
    if !(1..=MAX_VFS).contains(&total_vfs) {
        return Err(LayoutError::TotalVfs(total_vfs));
    }
    let VfRouting { first_offset, stride } = routing;
    if first_offset == 0 || stride == 0 {
        return Err(LayoutError::VfRouting { first_offset, stride });
    }
    let halves = |low: u16, high: u16| Register::new(u32::from(high) << 16 | u32::from(low));
    let head = [
        // SR-IOV Capabilities: no VF migration; the ids of VFs do not depend on the ARI hierarchy.
        Register::new(0),
        Register::new(0).writable(sriov::VF_ENABLE | sriov::VF_MSE | sriov::ARI_CAPABLE_HIERARCHY),
        halves(total_vfs, total_vfs),
        halves(0, u16::from(function_dependency_link)).writable(sriov::NUM_VFS),
        halves(first_offset, stride),
        halves(0, vf_device_id),
        Register::new(sriov::SUPPORTED_PAGE_SIZES),
        Register::new(1).writable(sriov::SUPPORTED_PAGE_SIZES),
    ];
    let bars = bar::registers(vf_bars, PAGE)?;
    let mut all = [Register::default(); 15];
    all[..8].copy_from_slice(&head);
    all[8..14].copy_from_slice(&bars);
    Ok(all)
}

/// Bytes that one VF takes of `bar` while the System Page Size register is `page_size`.
pub(crate) fn vf_bar_size(bar: &Bar, page_size: u32) -> u64 {
    bar.size.max(u64::from(page_size) * PAGE)
}
