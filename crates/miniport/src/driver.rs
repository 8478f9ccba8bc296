//! The PF miniport driver: carries out what the NDIS layer has validated, on the NIC switch and on the functions.
//!
//! It trusts nothing that was validated above it: each of its own parts refuses what it cannot do, wholly, and the
//! refusal carries the status of a miniport. What the data path has to do is added to `actions`.

mod functions;
mod guest;
mod link;
mod queues;

use std::collections::BTreeMap;

use ethernet::MacAddr;
use nic_switch::{
    Capabilities, Filter, FilterId, FilterTest, FunctionId, NicSwitch, PortSecurity, ReceiveMode,
    SwitchParameters, VPort, VPortChanges, VPortId, VPortParameters, Vf, VfId, VfParameters, VmQueues,
};
use pcie::{PhysicalFunction, ResetKind, Rid};

use crate::action::Action;
use crate::adapter::SwitchCreation;
use crate::config_block::{ConfigBlocks, Invalidation};
use crate::refusal::Refusal;

use guest::Guest;

/// What the PF keeps of an allocated VF, beside the switch.
#[derive(Debug, Default)]
struct VfState {
    blocks: ConfigBlocks,
    invalidation: Invalidation,
    serial_number: Option<u32>,
    guest: Guest,
}

/// The PF miniport driver.
#[derive(Debug)]
pub(crate) struct PfDriver {
    function: PhysicalFunction,
    capabilities: Capabilities,
    creation: SwitchCreation,
    /// The physical port's link.
    link_up: bool,
    /// Switches, or starts with VM queues, that there were: generations of one differ from those of another.
    epoch: u32,
    /// The switch that `MiniportInitializeEx` made, unusable until NDIS has issued CREATE_SWITCH.
    prepared: Option<(SwitchParameters, NicSwitch)>,
    switch: Option<NicSwitch>,
    /// Never there together with a switch.
    queues: Option<VmQueues>,
    vfs: BTreeMap<VfId, VfState>,
}

impl PfDriver {
    pub(crate) fn new(
        function: PhysicalFunction,
        capabilities: Capabilities,
        creation: SwitchCreation,
    ) -> Self {
        Self {
            function,
            capabilities,
            creation,
            link_up: false,
            epoch: 0,
            prepared: None,
            switch: None,
            queues: None,
            vfs: BTreeMap::new(),
        }
    }

    /// `MiniportInitializeEx`: a statically creating driver makes its switch here.
    pub(crate) fn initialize(
        &mut self,
        parameters: &SwitchParameters,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if self.creation == SwitchCreation::Static {
            let switch = NicSwitch::create(self.capabilities.clone(), parameters.clone())?;
            self.enable_virtualization(parameters.num_vfs, actions)?;
            self.prepared = Some((parameters.clone(), switch));
        }
        Ok(())
    }

    /// `MiniportHaltEx`: nothing stands any more.
    pub(crate) fn halt(&mut self, actions: &mut Vec<Action>) {
        self.prepared = None;
        self.disable_queues(actions);
        self.disable_virtualization(actions);
    }

    /// The switch, if there is one.
    pub(crate) fn switch(&self) -> Option<&NicSwitch> {
        self.switch.as_ref()
    }

    fn standing(&self) -> Result<&NicSwitch, Refusal> {
        self.switch.as_ref().ok_or(Refusal::NoSwitch)
    }

    fn standing_mut(&mut self) -> Result<&mut NicSwitch, Refusal> {
        self.switch.as_mut().ok_or(Refusal::NoSwitch)
    }

    /// OID_NIC_SWITCH_CREATE_SWITCH.
    pub(crate) fn create_switch(
        &mut self,
        parameters: &SwitchParameters,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if self.switch.is_some() {
            return Err(Refusal::SwitchExists);
        }
        let switch = match &self.prepared {
            Some((used, _)) if used != parameters => return Err(Refusal::SwitchDiffers),
            Some((_, switch)) => switch.clone(),
            None => {
                let switch = NicSwitch::create(self.capabilities.clone(), parameters.clone())?;
                self.enable_virtualization(parameters.num_vfs, actions)?;
                switch
            }
        };
        self.switch = Some(switch);
        self.epoch += 1;
        actions.push(Action::PublishForwarding);
        Ok(())
    }

    /// OID_NIC_SWITCH_DELETE_SWITCH: a statically creating driver keeps the functions until it is halted.
    pub(crate) fn delete_switch(&mut self, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        self.standing()?.check_deletable()?;
        self.switch = None;
        actions.push(Action::PublishForwarding);
        if self.creation == SwitchCreation::Dynamic {
            self.disable_virtualization(actions);
        }
        Ok(())
    }

    pub(crate) fn rename_switch(&mut self, name: String) -> Result<(), Refusal> {
        Ok(self.standing_mut()?.set_name(name)?)
    }

    /// `NdisMEnableVirtualization`. Without VFs there is nothing to enable.
    fn enable_virtualization(&mut self, num_vfs: u16, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        if num_vfs == 0 {
            return Ok(());
        }
        self.function
            .enable_virtualization(num_vfs)
            .map_err(|error| Refusal::Virtualization { reason: error.to_string() })?;
        actions.push(Action::VirtualizationEnabled { num_vfs });
        Ok(())
    }

    fn disable_virtualization(&mut self, actions: &mut Vec<Action>) {
        if self.function.num_vfs() > 0 {
            self.function.disable_virtualization();
            actions.push(Action::VirtualizationDisabled);
        }
    }

    /// OID_NIC_SWITCH_ALLOCATE_VF. The function starts from power-on: nothing of an earlier holder is left in it.
    pub(crate) fn allocate_vf(
        &mut self,
        parameters: VfParameters,
        actions: &mut Vec<Action>,
    ) -> Result<VfId, Refusal> {
        let vf = self.standing_mut()?.allocate_vf(parameters)?;
        let rid = match self.function.virtual_function(vf.0) {
            Ok(function) => {
                function.config().reset(ResetKind::Conventional);
                function.rid()
            }
            Err(error) => {
                self.standing_mut()?.free_vf(vf)?;
                return Err(Refusal::Virtualization { reason: error.to_string() });
            }
        };
        self.vfs.insert(vf, VfState::default());
        let generation = self.generation(vf)?;
        actions.push(Action::ExposeVf { vf, generation, rid });
        Ok(vf)
    }

    /// OID_NIC_SWITCH_FREE_VF.
    pub(crate) fn free_vf(&mut self, vf: VfId, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let generation = self.generation(vf)?;
        self.standing_mut()?.free_vf(vf)?;
        self.vfs.remove(&vf);
        actions.push(Action::WithdrawVf { vf, generation });
        Ok(())
    }

    /// Which allocation of the VF this is, over all switches that there were.
    pub(crate) fn generation(&self, vf: VfId) -> Result<u64, Refusal> {
        Ok(u64::from(self.epoch) << 32 | self.allocated(vf)?.generation())
    }

    fn allocated(&self, vf: VfId) -> Result<&Vf, Refusal> {
        self.standing()?.vf(vf).ok_or(Refusal::UnknownVf { vf })
    }

    fn state_mut(&mut self, vf: VfId) -> Result<&mut VfState, Refusal> {
        self.vfs.get_mut(&vf).ok_or(Refusal::UnknownVf { vf })
    }

    /// The address that the stack assigned to the VF; zero if none.
    fn assigned_mac(vf: &Vf) -> MacAddr {
        let VfParameters { current_mac, permanent_mac, .. } = *vf.parameters();
        if current_mac.is_zero() { permanent_mac } else { current_mac }
    }

    /// OID_NIC_SWITCH_CREATE_VPORT.
    pub(crate) fn create_vport(
        &mut self,
        parameters: VPortParameters,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let (id, function) = (parameters.id, parameters.function);
        let rid = match function {
            FunctionId::Vf(vf) => Some((vf, self.rid(vf)?)),
            FunctionId::Pf => None,
        };
        self.standing_mut()?.create_vport(parameters)?;
        let vport = self.vport(id)?;
        let (queue_pairs, interrupt_moderation) = (vport.queue_pairs(), vport.interrupt_moderation());
        actions.push(match rid {
            Some((vf, rid)) => Action::AttachVf {
                vf,
                generation: self.generation(vf)?,
                vport: id,
                rid,
                mac: Self::assigned_mac(self.allocated(vf)?),
                queue_pairs,
                interrupt_moderation,
                link_up: self.link_of(vport),
            },
            None => {
                Action::OpenVPort { vport: id, queue_pairs, affinity: vport.affinity(), interrupt_moderation }
            }
        });
        actions.push(Action::PublishForwarding);
        Ok(())
    }

    pub(crate) fn rid(&self, vf: VfId) -> Result<Rid, Refusal> {
        let function = self.function.virtual_function(vf.0);
        function.map(pcie::VirtualFunction::rid).map_err(|_| Refusal::UnknownVf { vf })
    }

    fn vport(&self, vport: VPortId) -> Result<&VPort, Refusal> {
        self.standing()?.vport(vport).ok_or(Refusal::UnknownVPort { vport })
    }

    /// OID_NIC_SWITCH_VPORT_PARAMETERS, set.
    pub(crate) fn update_vport(
        &mut self,
        id: VPortId,
        changes: VPortChanges,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let configures = changes.affinity.is_some() || changes.interrupt_moderation.is_some();
        let activates = changes.state.is_some();
        self.standing_mut()?.update_vport(id, changes)?;
        let vport = self.vport(id)?;
        if configures {
            actions.push(Action::ConfigureVPort {
                vport: id,
                affinity: vport.affinity(),
                interrupt_moderation: vport.interrupt_moderation(),
            });
        }
        if activates {
            actions.push(Action::PublishForwarding);
        }
        Ok(())
    }

    /// OID_NIC_SWITCH_DELETE_VPORT: no frame goes there any more before its queue pairs go.
    pub(crate) fn delete_vport(&mut self, id: VPortId, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let vport = self.standing_mut()?.delete_vport(id)?;
        actions.push(Action::PublishForwarding);
        actions.push(match vport.function() {
            FunctionId::Pf => Action::CloseVPort { vport: id },
            FunctionId::Vf(vf) => {
                let state = self.state_mut(vf)?;
                state.guest = Guest::default();
                state.invalidation.forget();
                Action::DetachVf { vf, generation: self.generation(vf)?, vport: id }
            }
        });
        Ok(())
    }

    /// OID_RECEIVE_FILTER_SET_FILTER.
    pub(crate) fn set_filter(
        &mut self,
        id: FilterId,
        vport: VPortId,
        test: FilterTest,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        self.standing_mut()?.set_filter(id, vport, test)?;
        actions.push(Action::PublishForwarding);
        Ok(())
    }

    /// OID_RECEIVE_FILTER_CLEAR_FILTER.
    pub(crate) fn clear_filter(
        &mut self,
        id: FilterId,
        actions: &mut Vec<Action>,
    ) -> Result<Filter, Refusal> {
        let filter = self.standing_mut()?.clear_filter(id)?;
        actions.push(Action::PublishForwarding);
        Ok(filter)
    }

    /// OID_RECEIVE_FILTER_MOVE_FILTER: one snapshot has the filter on the one VPort, the next on the other.
    pub(crate) fn move_filter(
        &mut self,
        id: FilterId,
        from: VPortId,
        to: VPortId,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        self.standing_mut()?.move_filter(id, from, to)?;
        actions.push(Action::PublishForwarding);
        Ok(())
    }

    /// OID_SOFTIOV_VPORT_PORT_SECURITY, set.
    pub(crate) fn set_port_security(
        &mut self,
        id: VPortId,
        security: PortSecurity,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let before = self.link_of(self.vport(id)?);
        self.standing_mut()?.set_port_security(id, security)?;
        actions.push(Action::PublishForwarding);
        self.report_link(id, before, actions)
    }

    /// OID_SOFTIOV_VPORT_RECEIVE_MODE, set.
    pub(crate) fn set_receive_mode(
        &mut self,
        id: VPortId,
        mode: ReceiveMode,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        self.standing_mut()?.set_receive_mode(id, mode)?;
        actions.push(Action::PublishForwarding);
        Ok(())
    }
}
