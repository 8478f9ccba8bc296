//! VPorts: creation, change, policy, deletion (`spec/ndis.md` A.4, B.4, D.8).

#[cfg(test)]
mod tests;

use super::{NicSwitch, check_name};
use crate::filter_table::check_test;
use crate::{
    FunctionId, InterruptModeration, PortSecurity, ProcessorAffinity, ReceiveMode, SwitchError, VPort,
    VPortChanges, VPortId, VPortParameters, VPortState, VfId,
};

impl NicSwitch {
    /// Creates a nondefault VPort, without filters: activated if it is a VF's, deactivated if it is the PF's.
    ///
    /// # Errors
    /// An id out of range or taken; a VF that is not allocated or has its VPort; a value out of range; no VPort or no
    /// queue pairs left.
    pub fn create_vport(&mut self, parameters: VPortParameters) -> Result<(), SwitchError> {
        let VPortParameters { id, function, queue_pairs, interrupt_moderation, affinity, name } = parameters;
        let max = self.capabilities.max_vports - 1;
        if !(1..=max).contains(&id.0) {
            return Err(SwitchError::VPortIdOutOfRange { vport: id, max });
        }
        // Before the id: when the pool is used up, there may be no free id to ask with.
        self.check_pool(function)?;
        if self.vports.contains_key(&id) {
            return Err(SwitchError::VPortExists { vport: id });
        }
        if let FunctionId::Vf(vf) = function {
            self.vf(vf).ok_or(SwitchError::VfNotFound { vf })?;
            if let Some(vport) = self.vport_of_vf(vf) {
                return Err(SwitchError::VfHasVPort { vf, vport: vport.id });
            }
        }
        check_name(&name)?;
        check_affinity(id, function, affinity)?;
        self.check_interrupt_moderation(interrupt_moderation)?;
        self.check_queue_pairs(id, queue_pairs)?;

        let state = match function {
            FunctionId::Pf => VPortState::Deactivated,
            FunctionId::Vf(_) => VPortState::Activated,
        };
        let (security, receive_mode) = (PortSecurity::default(), ReceiveMode::default());
        let vport = VPort {
            id,
            function,
            queue_pairs,
            interrupt_moderation,
            affinity,
            name,
            state,
            security,
            receive_mode,
        };
        self.vports.insert(id, vport);
        self.touch();
        Ok(())
    }

    /// Changes a VPort, the default one as well; all changes or none.
    ///
    /// # Errors
    /// No such VPort; a value out of range; an affinity for a VF's VPort; a deactivation.
    pub fn update_vport(&mut self, id: VPortId, changes: VPortChanges) -> Result<(), SwitchError> {
        let vport = self.vport(id).ok_or(SwitchError::VPortNotFound { vport: id })?;
        if let Some(name) = &changes.name {
            check_name(name)?;
        }
        if let Some(moderation) = changes.interrupt_moderation {
            self.check_interrupt_moderation(moderation)?;
        }
        if changes.affinity.is_some() {
            check_affinity(id, vport.function, changes.affinity)?;
        }
        if changes.state == Some(VPortState::Deactivated) && vport.state == VPortState::Activated {
            return Err(SwitchError::CannotDeactivate { vport: id });
        }

        let vport = self.vport_mut(id)?;
        vport.name = changes.name.unwrap_or_else(|| std::mem::take(&mut vport.name));
        vport.interrupt_moderation = changes.interrupt_moderation.unwrap_or(vport.interrupt_moderation);
        vport.affinity = changes.affinity.or(vport.affinity);
        vport.state = changes.state.unwrap_or(vport.state);
        self.touch();
        Ok(())
    }

    /// Deletes a nondefault VPort and returns what it was.
    ///
    /// # Errors
    /// The default VPort, no such VPort, or filters that stand on it.
    pub fn delete_vport(&mut self, id: VPortId) -> Result<VPort, SwitchError> {
        if id == VPortId::DEFAULT {
            return Err(SwitchError::DefaultVPort);
        }
        let filters = self.filters_on(id).count();
        if filters > 0 {
            return Err(SwitchError::VPortInUse { vport: id, filters });
        }
        let vport = self.vports.remove(&id).ok_or(SwitchError::VPortNotFound { vport: id })?;
        self.touch();
        Ok(vport)
    }

    /// Sets what the stack allows the guest behind a nondefault VPort.
    ///
    /// # Errors
    /// The default VPort (it belongs to the PF and is not policed), or no such VPort; a test to send as that no filter
    /// can have.
    pub fn set_port_security(&mut self, id: VPortId, security: PortSecurity) -> Result<(), SwitchError> {
        self.nondefault_vport_mut(id)?;
        if let Some(test) = security.sends_as {
            check_test(test, self.capabilities.vlan_supported)?;
        }
        self.nondefault_vport_mut(id)?.security = security;
        self.touch();
        Ok(())
    }

    /// Sets what the guest behind a nondefault VPort receives beyond its filters.
    ///
    /// # Errors
    /// The default VPort, or no such VPort; an extra address that is not unicast, or that another VPort has as a
    /// filter's or an extra one (S07: no guest takes an address by asking for it); too many addresses.
    pub fn set_receive_mode(&mut self, id: VPortId, mode: ReceiveMode) -> Result<(), SwitchError> {
        self.nondefault_vport_mut(id)?;
        self.check_extra_macs(id, &mode.unicast)?;
        self.nondefault_vport_mut(id)?.receive_mode = mode;
        self.touch();
        Ok(())
    }

    /// The VPort, if it exists.
    #[must_use]
    pub fn vport(&self, id: VPortId) -> Option<&VPort> {
        self.vports.get(&id)
    }

    /// The VPorts by ascending id, the default one first.
    pub fn vports(&self) -> impl Iterator<Item = &VPort> {
        self.vports.values()
    }

    /// The VPort of a VF, if it has one.
    #[must_use]
    pub fn vport_of_vf(&self, vf: VfId) -> Option<&VPort> {
        self.vports().find(|vport| vport.function == FunctionId::Vf(vf))
    }

    fn vport_mut(&mut self, id: VPortId) -> Result<&mut VPort, SwitchError> {
        self.vports.get_mut(&id).ok_or(SwitchError::VPortNotFound { vport: id })
    }

    fn nondefault_vport_mut(&mut self, id: VPortId) -> Result<&mut VPort, SwitchError> {
        if id == VPortId::DEFAULT {
            return Err(SwitchError::DefaultVPort);
        }
        self.vport_mut(id)
    }

    fn check_interrupt_moderation(&self, moderation: InterruptModeration) -> Result<(), SwitchError> {
        if moderation != InterruptModeration::Undefined && !self.capabilities.per_vport_interrupt_moderation {
            return Err(SwitchError::InterruptModerationNotSupported);
        }
        Ok(())
    }

    /// Limits of one nondefault VPort, equality unless asymmetric, and what is left of the adapter's.
    fn check_queue_pairs(&self, vport: VPortId, asked: u32) -> Result<(), SwitchError> {
        let max = self.capabilities.max_queue_pairs_per_nondefault_vport;
        if !(1..=max).contains(&asked) {
            return Err(SwitchError::QueuePairsOutOfRange { vport, asked, max });
        }
        let other = self.nondefault_vports().next().map(|other| other.queue_pairs);
        if let Some(others) =
            other.filter(|&others| others != asked && !self.capabilities.asymmetric_queue_pairs)
        {
            return Err(SwitchError::QueuePairsAsymmetric { asked, others });
        }
        let used: u32 = self.vports().map(|vport| vport.queue_pairs).sum();
        let free = self.capabilities.max_queue_pairs - used;
        if asked > free {
            return Err(SwitchError::NoFreeQueuePairs { asked, free });
        }
        Ok(())
    }

    /// Whether the pool has a VPort left for `function` (`spec/ndis.md` D.8).
    ///
    /// A VF can lack one only in a single pool: otherwise the VPorts of the PF leave `max_vfs` of them, and no VF has
    /// two.
    fn check_pool(&self, function: FunctionId) -> Result<(), SwitchError> {
        let count = |vports: usize| u32::try_from(vports).unwrap_or(u32::MAX);
        let of_pf = count(self.nondefault_vports().filter(|vport| vport.function == FunctionId::Pf).count());
        let max_of_pf = self.capabilities.max_nondefault_pf_vports();
        let (used, max) = if function == FunctionId::Pf && of_pf >= max_of_pf {
            (of_pf, max_of_pf)
        } else {
            (count(self.nondefault_vports().count()), self.capabilities.max_vports - 1)
        };
        if used >= max {
            return Err(SwitchError::NoFreeVPort { function, used, max });
        }
        Ok(())
    }
}

/// A VPort of the PF is served by one CPU (`spec/ndis.md` anomaly 0.7), that of a VF where the guest says.
fn check_affinity(
    vport: VPortId,
    function: FunctionId,
    affinity: Option<ProcessorAffinity>,
) -> Result<(), SwitchError> {
    match (function, affinity) {
        (FunctionId::Vf(_), None) => Ok(()),
        (FunctionId::Vf(_), Some(_)) => Err(SwitchError::AffinityOnVf { vport }),
        (FunctionId::Pf, affinity) => match affinity.map_or(0, |affinity| affinity.mask.count_ones()) {
            1 => Ok(()),
            cpus => Err(SwitchError::AffinityNotOneCpu { vport, cpus }),
        },
    }
}
