//! The virtual functions: configuration space and blocks, reset, power, BARs.

use nic_switch::VfId;
use pcie::{CONFIG_SPACE_SIZE, ConfigEffect, ConfigEffects, ConfigSpace};

use super::PfDriver;
use crate::action::Action;
use crate::config_block::{Identity, VfStatistics};
use crate::refusal::Refusal;
use crate::request::PowerState;

impl PfDriver {
    /// Configuration space of an allocated VF.
    fn config_space(&self, vf: VfId) -> Result<&ConfigSpace, Refusal> {
        self.allocated(vf)?;
        let function = self.function.virtual_function(vf.0);
        function.map(pcie::VirtualFunction::config).map_err(|_| Refusal::UnknownVf { vf })
    }

    /// OID_SRIOV_READ_VF_CONFIG_SPACE.
    pub(crate) fn read_config_space(&self, vf: VfId, offset: u32, length: u32) -> Result<Vec<u8>, Refusal> {
        let space = self.config_space(vf)?;
        let (start, length) = config_range(offset, length)?;
        let mut bytes = vec![0; length];
        space.read_bytes(start, &mut bytes).expect("config_range is within configuration space");
        Ok(bytes)
    }

    /// OID_SRIOV_WRITE_VF_CONFIG_SPACE: carried out in the widths that a bus has, each aligned.
    pub(crate) fn write_config_space(
        &mut self,
        vf: VfId,
        offset: u32,
        data: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let generation = self.generation(vf)?;
        let space = self.config_space(vf)?.clone();
        let (mut offset, _) = config_range(offset, u32::try_from(data.len()).unwrap_or(u32::MAX))?;
        let mut rest = data;
        while !rest.is_empty() {
            let width = access_width(offset, rest.len());
            let (now, later) = rest.split_at(width);
            let effects = space.write(offset, now).expect("an aligned access within configuration space");
            if !effects.is_empty() {
                self.config_space_written(vf, generation, effects, actions)?;
            }
            offset += u16::try_from(width).expect("an access is at most 4 bytes wide");
            rest = later;
        }
        Ok(())
    }

    fn config_space_written(
        &mut self,
        vf: VfId,
        generation: u64,
        effects: ConfigEffects,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let reset = effects.contains(&ConfigEffect::FunctionLevelReset);
        actions.push(Action::VfConfigSpaceWritten { vf, generation, effects });
        if reset {
            self.after_reset(vf, generation, actions)?;
        }
        Ok(())
    }

    /// OID_SRIOV_READ_VF_CONFIG_BLOCK.
    pub(crate) fn read_config_block(&self, vf: VfId, block: u32, length: u32) -> Result<Vec<u8>, Refusal> {
        let identity = self.identity(vf)?;
        let state = self.vfs.get(&vf).ok_or(Refusal::UnknownVf { vf })?;
        state.blocks.read(block, length, identity)
    }

    fn identity(&self, vf: VfId) -> Result<Identity, Refusal> {
        let assigned = Self::assigned_mac(self.allocated(vf)?);
        let guest = self.vfs.get(&vf).map(|state| &state.guest).ok_or(Refusal::UnknownVf { vf })?;
        let vport = self.standing()?.vport_of_vf(vf);
        Ok(Identity {
            mac: guest.mac.unwrap_or(assigned),
            link_up: vport.is_some_and(|vport| self.link_of(vport)),
            max_frame: guest.max_frame,
        })
    }

    /// OID_SRIOV_WRITE_VF_CONFIG_BLOCK.
    pub(crate) fn write_config_block(&mut self, vf: VfId, block: u32, data: &[u8]) -> Result<(), Refusal> {
        self.allocated(vf)?;
        self.state_mut(vf)?.blocks.write(block, data)
    }

    /// Replaces the counters of block 1.
    pub(crate) fn set_statistics(&mut self, vf: VfId, statistics: VfStatistics) -> Result<(), Refusal> {
        self.state_mut(vf)?.blocks.statistics = statistics;
        Ok(())
    }

    /// `NdisMInvalidateConfigBlock`.
    pub(crate) fn invalidate(
        &mut self,
        vf: VfId,
        mask: u64,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let generation = self.generation(vf)?;
        if let Some(mask) = self.state_mut(vf)?.invalidation.invalidate(mask) {
            actions.push(Action::InvalidateConfigBlocks { vf, generation, mask });
        }
        Ok(())
    }

    /// The VF's driver posts its request to hear of stale blocks.
    pub(crate) fn post_invalidate(&mut self, vf: VfId, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let generation = self.generation(vf)?;
        if let Some(mask) = self.state_mut(vf)?.invalidation.post() {
            actions.push(Action::InvalidateConfigBlocks { vf, generation, mask });
        }
        Ok(())
    }

    /// OID_SRIOV_RESET_VF: function level reset of this VF and no other.
    pub(crate) fn reset_vf(&mut self, vf: VfId, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let generation = self.generation(vf)?;
        self.function.reset_vf(vf.0).map_err(|_| Refusal::UnknownVf { vf })?;
        self.after_reset(vf, generation, actions)
    }

    /// A function was reset: what its guest posted and was granted is gone.
    fn after_reset(&mut self, vf: VfId, generation: u64, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        actions.push(Action::ResetVf { vf, generation });
        self.state_mut(vf)?.invalidation.forget();
        self.forget_grants(vf, generation, actions)
    }

    /// OID_SRIOV_SET_VF_POWER_STATE.
    pub(crate) fn set_power_state(
        &mut self,
        vf: VfId,
        state: PowerState,
        wake_enable: bool,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let generation = self.generation(vf)?;
        let function_state = match state {
            PowerState::D0 if wake_enable => return Err(Refusal::WakeInD0),
            PowerState::D0 => pcie::PowerState::D0,
            PowerState::D3 => pcie::PowerState::D3Hot,
            PowerState::D1 | PowerState::D2 => return Err(Refusal::PowerState),
        };
        self.function.set_vf_power_state(vf.0, function_state).map_err(|_| Refusal::UnknownVf { vf })?;
        actions.push(Action::VfPowerState { vf, generation, state });
        Ok(())
    }

    /// OID_SRIOV_VF_VENDOR_DEVICE_ID: the ids that the VF's own configuration space shows.
    pub(crate) fn vendor_device_id(&self, vf: VfId) -> Result<(u16, u16), Refusal> {
        let space = self.config_space(vf)?;
        let id = |offset| {
            let value = space.read(offset, 2).expect("the ids are within configuration space");
            u16::try_from(value).expect("two bytes were read")
        };
        Ok((id(0), id(2)))
    }

    /// OID_SRIOV_PROBED_BARS.
    pub(crate) fn probed_bars(&self) -> [u32; 6] {
        self.function.probed_vf_bars()
    }

    /// OID_SRIOV_BAR_RESOURCES: address and length.
    pub(crate) fn bar_resources(&self, vf: VfId, bar: u16) -> Result<(u64, u32), Refusal> {
        self.allocated(vf)?;
        let range = u8::try_from(bar).ok().and_then(|bar| self.function.vf_bar(vf.0, bar));
        let range = range.ok_or(Refusal::UnknownBar { bar })?;
        let length = u32::try_from(range.size).map_err(|_| Refusal::UnknownBar { bar })?;
        Ok((range.address, length))
    }

    /// Assigns the serial number of a VF.
    pub(crate) fn set_serial_number(&mut self, vf: VfId, serial_number: u32) -> Result<(), Refusal> {
        self.state_mut(vf)?.serial_number = Some(serial_number);
        Ok(())
    }

    /// The serial number of a VF.
    pub(crate) fn serial_number(&self, vf: VfId) -> Result<u32, Refusal> {
        let state = self.vfs.get(&vf).ok_or(Refusal::UnknownVf { vf })?;
        state.serial_number.ok_or(Refusal::NoSerialNumber { vf })
    }

    /// The physical function and its virtual functions.
    pub(crate) fn function(&self) -> &pcie::PhysicalFunction {
        &self.function
    }
}

/// The first byte and the number of bytes of an access, if it is not empty and stays within configuration space.
fn config_range(offset: u32, length: u32) -> Result<(u16, usize), Refusal> {
    let refused = || Refusal::ConfigSpaceRange { offset, length };
    let start = u16::try_from(offset).map_err(|_| refused())?;
    let bytes = usize::try_from(length).map_err(|_| refused())?;
    if bytes == 0 || usize::from(start).checked_add(bytes).is_none_or(|end| end > CONFIG_SPACE_SIZE) {
        return Err(refused());
    }
    Ok((start, bytes))
}

/// The widest aligned access at `offset` with no more than `rest` bytes.
fn access_width(offset: u16, rest: usize) -> usize {
    match (offset % 4, rest) {
        (0, 4..) => 4,
        (0 | 2, 2..) => 2,
        _ => 1,
    }
}
