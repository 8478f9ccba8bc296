//! The life of a NIC: NIC_CREATE, NIC_CONNECT, NIC_UPDATED, NIC_DISCONNECT, NIC_DELETE, references (`spec/ndis.md` E.4).

use ethernet::MacAddr;

use super::{VSwitch, check_name};
use crate::extension::Event;
use crate::{
    Nic, NicChanges, NicParameters, NicState, NicType, PortId, PortPolicy, Security, Suspension, SwitchError,
    SwitchPort, SwitchType, VfPath,
};

impl VSwitch {
    /// `OID_SWITCH_NIC_CREATE`: from now on the NIC may send, but is no destination.
    ///
    /// # Errors
    /// The port does not exist, is torn down, has a NIC, takes no such NIC or is for validation only; an address that is
    /// none or another's, a name that is too long, or an extension's veto.
    pub fn create_nic(&mut self, port: PortId, parameters: NicParameters) -> Result<(), SwitchError> {
        check_name(&parameters.name)?;
        check_name(&parameters.partition)?;
        let found = self.existing(port)?;
        found.check_created("NIC_CREATE")?;
        if found.parameters.validation {
            return Err(SwitchError::ValidationPort { port });
        }
        if found.nic.is_some() {
            return Err(SwitchError::NicExists { port });
        }
        let (kind, nic) = (found.parameters.kind, parameters.kind);
        let of_host_on_private = nic == NicType::Internal && self.parameters.kind == SwitchType::Private;
        if !kind.takes(nic) || of_host_on_private {
            return Err(SwitchError::NicTypeOfPort { port, kind, nic });
        }
        self.check_addresses(port, &parameters, &found.policy)?;
        self.ask(|extension| extension.may_create_nic(port, &parameters))?;
        self.existing_mut(port)?.nic = Some(Nic {
            parameters,
            state: NicState::Created,
            suspension: None,
            references: 0,
            vf_removal_told: false,
        });
        self.changed(port, Event::NicCreated);
        Ok(())
    }

    /// `OID_SWITCH_NIC_CONNECT`: the NIC may be a destination.
    ///
    /// # Errors
    /// There is no NIC in the state Created.
    pub fn connect_nic(&mut self, port: PortId) -> Result<(), SwitchError> {
        self.nic_in(port, NicState::Created, "NIC_CONNECT")?.state = NicState::Connected;
        self.changed(port, Event::NicConnected);
        Ok(())
    }

    /// `OID_SWITCH_NIC_UPDATED`.
    ///
    /// # Errors
    /// There is no connected NIC, or an address is none or another's.
    pub fn update_nic(&mut self, port: PortId, changes: NicChanges) -> Result<(), SwitchError> {
        let nic = self.nic_in(port, NicState::Connected, "NIC_UPDATED")?;
        let mut parameters = nic.parameters.clone();
        let NicChanges { vm_mac, team_mac, mtu, vf } = changes;
        parameters.vm_mac = set_or_cleared(vm_mac, parameters.vm_mac);
        parameters.team_mac = set_or_cleared(team_mac, parameters.team_mac);
        parameters.mtu = mtu.unwrap_or(parameters.mtu);
        parameters.vf = vf.unwrap_or(parameters.vf);
        self.check_addresses(port, &parameters, &self.existing(port)?.policy)?;
        let nic = self.nic_in(port, NicState::Connected, "NIC_UPDATED")?;
        nic.vf_removal_told &= parameters.vf != VfPath::None;
        nic.parameters = parameters;
        self.changed(port, Event::NicUpdated);
        Ok(())
    }

    /// `OID_SWITCH_NIC_SUSPEND`, or `OID_SWITCH_NIC_SUSPENDED_LM_SOURCE_STARTED`: the NIC neither sends nor receives.
    ///
    /// # Errors
    /// There is no connected NIC.
    pub fn suspend_nic(&mut self, port: PortId, suspension: Suspension) -> Result<(), SwitchError> {
        self.nic_in(port, NicState::Connected, "NIC_SUSPEND")?.suspension = Some(suspension);
        self.changed(port, Event::NicSuspended);
        Ok(())
    }

    /// `OID_SWITCH_NIC_RESUME`, or `OID_SWITCH_NIC_SUSPENDED_LM_SOURCE_FINISHED` when the VM stays here.
    ///
    /// # Errors
    /// There is no connected NIC.
    pub fn resume_nic(&mut self, port: PortId) -> Result<(), SwitchError> {
        self.nic_in(port, NicState::Connected, "NIC_RESUME")?.suspension = None;
        self.changed(port, Event::NicResumed);
        Ok(())
    }

    /// `OID_SWITCH_NIC_DISCONNECT`: it neither sends nor receives; its address may be that of another.
    ///
    /// # Errors
    /// There is no connected NIC.
    pub fn disconnect_nic(&mut self, port: PortId) -> Result<(), SwitchError> {
        let nic = self.nic_in(port, NicState::Connected, "NIC_DISCONNECT")?;
        nic.state = NicState::Disconnected;
        nic.suspension = None;
        self.saves.remove(&port);
        self.changed(port, Event::NicDisconnected);
        Ok(())
    }

    /// `OID_SWITCH_NIC_DELETE`.
    ///
    /// # Errors
    /// There is no disconnected NIC, or references are held on it.
    pub fn delete_nic(&mut self, port: PortId) -> Result<(), SwitchError> {
        let count = self.nic_in(port, NicState::Disconnected, "NIC_DELETE")?.references;
        if count > 0 {
            return Err(SwitchError::Referenced { port, what: "the NIC", count });
        }
        let found = self.existing_mut(port)?;
        found.nic = None;
        found.restoring = false;
        self.changed(port, Event::NicDeleted);
        Ok(())
    }

    /// `ReferenceSwitchNic`: the NIC stays until the reference is given back. Who holds one may originate frames to it.
    ///
    /// # Errors
    /// There is no connected NIC.
    pub fn reference_nic(&mut self, port: PortId) -> Result<(), SwitchError> {
        let nic = self.nic_in(port, NicState::Connected, "ReferenceSwitchNic")?;
        nic.references =
            nic.references.checked_add(1).ok_or(SwitchError::ReferenceCount { port, what: "taken" })?;
        Ok(())
    }

    /// `DereferenceSwitchNic`.
    ///
    /// # Errors
    /// There is no NIC, or no reference is held.
    pub fn dereference_nic(&mut self, port: PortId) -> Result<(), SwitchError> {
        let nic = self.existing_mut(port)?.nic.as_mut().ok_or(SwitchError::NicNotFound { port })?;
        nic.references =
            nic.references.checked_sub(1).ok_or(SwitchError::ReferenceCount { port, what: "given back" })?;
        Ok(())
    }

    /// The NIC, if it is in the state that the request needs.
    pub(super) fn nic_in(
        &mut self,
        port: PortId,
        wanted: NicState,
        request: &'static str,
    ) -> Result<&mut Nic, SwitchError> {
        let nic = self.existing_mut(port)?.nic.as_mut().ok_or(SwitchError::NicNotFound { port })?;
        if nic.state == wanted {
            Ok(nic)
        } else {
            Err(SwitchError::NicInState { port, state: nic.state, request })
        }
    }

    /// Whether a NIC may be there with these addresses and this policy of its port.
    pub(super) fn check_addresses(
        &self,
        port: PortId,
        parameters: &NicParameters,
        policy: &PortPolicy,
    ) -> Result<(), SwitchError> {
        if parameters.kind == NicType::External {
            return Ok(());
        }
        let set = [Some(parameters.permanent_mac), parameters.vm_mac, parameters.team_mac];
        if let Some(mac) = set.into_iter().flatten().find(|mac| !mac.is_unicast()) {
            return Err(SwitchError::MacInvalid { mac });
        }
        let mac = parameters.current_mac(&policy.security);
        let same_address = |other: &&SwitchPort| other.id != port && other.current_mac() == Some(mac);
        if let Some(other) = self.ports().find(same_address)
            && !other.is_team_mate(parameters, &policy.security)
        {
            return Err(SwitchError::MacInUse { mac, port: other.id });
        }
        match self.static_addresses.iter().find(|((_, fixed), at)| *fixed == mac && **at != port) {
            Some((_, &port)) => Err(SwitchError::MacInUse { mac, port }),
            None => Ok(()),
        }
    }
}

/// The address wanted, if one is; zero stands for none.
fn set_or_cleared(wanted: Option<MacAddr>, present: Option<MacAddr>) -> Option<MacAddr> {
    wanted.map_or(present, |mac| (!mac.is_zero()).then_some(mac))
}

impl SwitchPort {
    /// The address of its NIC, unless that is disconnected: its VM may be on another host by now.
    pub(super) fn current_mac(&self) -> Option<MacAddr> {
        let nic = self.nic().filter(|nic| nic.state != NicState::Disconnected)?;
        Some(nic.parameters.current_mac(&self.policy.security))
    }

    fn is_team_mate(&self, of: &NicParameters, security: &Security) -> bool {
        let same = |nic: &Nic| !of.partition.is_empty() && nic.parameters.partition == of.partition;
        security.allow_teaming && self.policy.security.allow_teaming && self.nic().is_some_and(same)
    }
}
