//! Describes a type 0 function and its capabilities, and lays them out as a [`ConfigLayout`].

use bitflags::bitflags;

use crate::bar::{self, Bar, BarWidth};
use crate::config_space::STATE_WORD;
use crate::layout::{ConfigLayout, Draft, LayoutError, Register};
use crate::registers::{aer, command, express, extended, header, msix, power};
use crate::sriov::{self, SriovParameters};

/// Who a function says it is (PCIe 7.5.1.1, 7.5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Revision ID.
    pub revision: u8,
    /// Class code: base class in 23:16, sub-class in 15:8, programming interface in 7:0.
    pub class: u32,
    /// Subsystem Vendor ID.
    pub subsystem_vendor: u16,
    /// Subsystem ID.
    pub subsystem: u16,
}

/// MSI-X capability of a function; table and pending bits lie in the same BAR (PCIe 7.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixParameters {
    /// Number of vectors, 1..=2048.
    pub vectors: u16,
    /// BAR that holds table and pending bits.
    pub bar: u8,
    /// Offset of the table in bytes, a multiple of 8.
    pub table_offset: u32,
    /// Offset of the pending bit array in bytes, a multiple of 8.
    pub pba_offset: u32,
}

impl MsixParameters {
    /// Bytes of the table: 16 for each vector.
    #[must_use]
    pub const fn table_size(&self) -> u32 {
        self.vectors as u32 * 16
    }

    /// Bytes of the pending bit array: 8 for every 64 vectors.
    #[must_use]
    pub const fn pba_size(&self) -> u32 {
        (self.vectors as u32).div_ceil(64) * 8
    }

    fn check(&self, bars: &[Bar]) -> Result<(), LayoutError> {
        if !(1..=msix::MAX_VECTORS).contains(&self.vectors) {
            return Err(LayoutError::MsixVectors(self.vectors));
        }
        let size = bars.iter().find(|b| b.index == self.bar).map_or(0, |b| b.size);
        let table = u64::from(self.table_offset)..u64::from(self.table_offset) + u64::from(self.table_size());
        let pba = u64::from(self.pba_offset)..u64::from(self.pba_offset) + u64::from(self.pba_size());
        let aligned = (self.table_offset | self.pba_offset).is_multiple_of(8);
        let apart = table.end <= pba.start || pba.end <= table.start;
        if aligned && apart && table.end <= size && pba.end <= size {
            return Ok(());
        }
        let Self { bar, table_offset, pba_offset, .. } = *self;
        Err(LayoutError::MsixPlacement { bar, table_offset, pba_offset })
    }
}

/// The read-only registers of the PCI Express capability of an endpoint (PCIe 7.5.3).
///
/// Bit 28 of the device capabilities (Function Level Reset) decides whether the function accepts one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcieParameters {
    /// Device Capabilities.
    pub device_capabilities: u32,
    /// Link Capabilities.
    pub link_capabilities: u32,
    /// Link Status.
    pub link_status: u16,
    /// Device Capabilities 2.
    pub device_capabilities2: u32,
    /// Link Capabilities 2.
    pub link_capabilities2: u32,
}

bitflags! {
    /// Access control services of an endpoint (PCIe 7.7.11.2).
    ///
    /// A function that never sends to another function directly has none of them, and says so with an ACS capability
    /// without services: everything it sends goes through the IOMMU.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AcsServices: u16 {
        /// P2P Request Redirect.
        const REQUEST_REDIRECT = 1 << 2;
        /// P2P Completion Redirect.
        const COMPLETION_REDIRECT = 1 << 3;
        /// Direct Translated P2P.
        const DIRECT_TRANSLATED = 1 << 6;
    }
}

/// Builds a [`ConfigLayout`]; every capability stands where the Intel 82599 family has it.
#[derive(Clone, Debug)]
pub struct ConfigSpaceBuilder {
    identity: Identity,
    bars: Vec<Bar>,
    msix: Option<MsixParameters>,
    pcie: Option<PcieParameters>,
    power_management: bool,
    aer: bool,
    ari_next: Option<u8>,
    acs: Option<AcsServices>,
    sriov: Option<SriovParameters>,
}

impl ConfigSpaceBuilder {
    /// A function with a type 0 header and nothing else. It has no INTx, no I/O BARs and no expansion ROM.
    #[must_use]
    pub const fn type0(identity: Identity) -> Self {
        Self {
            identity,
            bars: Vec::new(),
            msix: None,
            pcie: None,
            power_management: false,
            aer: false,
            ari_next: None,
            acs: None,
            sriov: None,
        }
    }

    /// Adds a 32-bit memory BAR of `size` bytes in register `index`.
    #[must_use]
    pub fn bar32(mut self, index: u8, size: u64, prefetchable: bool) -> Self {
        self.bars.push(Bar { index, size, width: BarWidth::Bits32, prefetchable });
        self
    }

    /// Adds a 64-bit memory BAR of `size` bytes in registers `index` and `index + 1`.
    #[must_use]
    pub fn bar64(mut self, index: u8, size: u64, prefetchable: bool) -> Self {
        self.bars.push(Bar { index, size, width: BarWidth::Bits64, prefetchable });
        self
    }

    /// Adds power management with D0 and D3hot, keeping its state on the way back (`No_Soft_Reset`).
    #[must_use]
    pub const fn power_management(mut self) -> Self {
        self.power_management = true;
        self
    }

    /// Adds MSI-X.
    #[must_use]
    pub const fn msix(mut self, parameters: MsixParameters) -> Self {
        self.msix = Some(parameters);
        self
    }

    /// Adds the PCI Express capability of an endpoint.
    #[must_use]
    pub const fn pcie_endpoint(mut self, parameters: PcieParameters) -> Self {
        self.pcie = Some(parameters);
        self
    }

    /// Adds Advanced Error Reporting.
    #[must_use]
    pub const fn aer(mut self) -> Self {
        self.aer = true;
        self
    }

    /// Adds Alternative Routing-ID Interpretation; `next_function` is 0 for the last function of the device.
    #[must_use]
    pub const fn ari(mut self, next_function: u8) -> Self {
        self.ari_next = Some(next_function);
        self
    }

    /// Adds Access Control Services.
    #[must_use]
    pub const fn acs(mut self, services: AcsServices) -> Self {
        self.acs = Some(services);
        self
    }

    /// Adds SR-IOV, which makes the function a physical function.
    #[must_use]
    pub fn sriov(mut self, parameters: SriovParameters) -> Self {
        self.sriov = Some(parameters);
        self
    }

    /// Lays the function out.
    ///
    /// # Errors
    /// [`LayoutError`] names the part of the description that no function can have.
    pub fn build(self) -> Result<ConfigLayout, LayoutError> {
        let mut draft = Draft::new();
        header(&mut draft, &self.identity);
        for (index, register) in bar::registers(&self.bars, 16)?.into_iter().enumerate() {
            draft.set(header::BAR0 + index, register);
        }
        if self.power_management {
            power_management(&mut draft);
        }
        if let Some(parameters) = &self.msix {
            parameters.check(&self.bars)?;
            msix(&mut draft, parameters);
        }
        if let Some(parameters) = &self.pcie {
            pcie_endpoint(&mut draft, parameters);
        }
        self.extended_capabilities(&mut draft)?;
        let power_word = if self.power_management { power::CONTROL_WORD } else { STATE_WORD };
        let flr = self.pcie.is_some_and(|p| p.device_capabilities & express::FLR_CAPABLE != 0);
        Ok(draft.finish(power_word, self.msix, flr, self.sriov))
    }

    fn extended_capabilities(&self, draft: &mut Draft) -> Result<(), LayoutError> {
        let any = self.aer || self.ari_next.is_some() || self.acs.is_some() || self.sriov.is_some();
        if any && self.pcie.is_none() {
            return Err(LayoutError::ExtendedWithoutExpress);
        }
        if self.aer {
            aer(draft);
        }
        if let Some(next) = self.ari_next {
            draft.extended_capability(extended::ARI, &[Register::new(u32::from(next) << 8)]);
        }
        if let Some(parameters) = &self.sriov {
            draft.extended_capability(extended::SRIOV, &sriov::registers(parameters)?);
        }
        if let Some(services) = self.acs {
            let services = u32::from(services.bits());
            draft.extended_capability(extended::ACS, &[Register::new(services).writable(services << 16)]);
        }
        Ok(())
    }
}

fn halves(low: u16, high: u16) -> Register {
    Register::new(u32::from(high) << 16 | u32::from(low))
}

fn header(draft: &mut Draft, identity: &Identity) {
    draft.set(header::IDS, halves(identity.vendor, identity.device));
    let command = command::MEMORY_SPACE
        | command::BUS_MASTER
        | command::PARITY_ERROR_RESPONSE
        | command::SERR_ENABLE
        | command::INTERRUPT_DISABLE;
    draft.set(command::WORD, Register::new(0).writable(command).write_one_to_clear(command::ERROR_BITS));
    draft.set(header::CLASS_REVISION, Register::new(identity.class << 8 | u32::from(identity.revision)));
    draft.set(header::CACHE_LINE, Register::new(0).writable(0xff));
    draft.set(header::SUBSYSTEM, halves(identity.subsystem_vendor, identity.subsystem));
    draft.set(header::INTERRUPT, Register::new(0).writable(0xff));
}

fn power_management(draft: &mut Draft) {
    let control = Register::new(power::NO_SOFT_RESET).writable(power::STATE);
    draft.capability(power::ID, power::OFFSET, &[halves(0, power::CAPABILITIES), control]);
}

fn msix(draft: &mut Draft, parameters: &MsixParameters) {
    let control = halves(0, parameters.vectors - 1).writable(msix::FUNCTION_MASK | msix::ENABLE);
    let bar = u32::from(parameters.bar);
    let table = Register::new(parameters.table_offset | bar);
    let pba = Register::new(parameters.pba_offset | bar);
    draft.capability(msix::ID, msix::OFFSET, &[control, table, pba]);
}

fn pcie_endpoint(draft: &mut Draft, parameters: &PcieParameters) {
    let device_control = Register::new(express::DEVICE_CONTROL_RESET)
        .writable(express::DEVICE_CONTROL_WRITABLE)
        .write_one_to_clear(express::DEVICE_STATUS_ERRORS)
        .sticky(express::MAX_PAYLOAD_SIZE);
    let link_control = halves(0, parameters.link_status)
        .writable(express::LINK_CONTROL_WRITABLE)
        .sticky(express::LINK_CONTROL_WRITABLE);
    let absent = Register::new(0);
    let body = [
        halves(0, express::CAPABILITIES),
        Register::new(parameters.device_capabilities),
        device_control,
        Register::new(parameters.link_capabilities),
        link_control,
        // Slot and root registers, which an endpoint has not.
        absent,
        absent,
        absent,
        absent,
        Register::new(parameters.device_capabilities2),
        Register::new(0).writable(express::DEVICE_CONTROL2_WRITABLE),
        Register::new(parameters.link_capabilities2),
    ];
    draft.capability(express::ID, express::OFFSET, &body);
}

fn aer(draft: &mut Draft) {
    let status = |errors| Register::new(0).write_one_to_clear(errors).sticky(errors);
    let mask = |reset, errors| Register::new(reset).writable(errors).sticky(errors);
    let body = [
        status(aer::UNCORRECTABLE),
        mask(0, aer::UNCORRECTABLE),
        mask(aer::SEVERITY_RESET, aer::UNCORRECTABLE),
        status(aer::CORRECTABLE),
        mask(aer::CORRECTABLE_MASK_RESET, aer::CORRECTABLE),
    ];
    draft.extended_capability(extended::AER, &body);
}

#[cfg(test)]
mod tests;
