//! The life of a port: PORT_CREATE, PORT_TEARDOWN, PORT_DELETE, references (`spec/ndis.md` E.4).

use super::{SwitchType, VSwitch, check_name};
use crate::extension::Event;
use crate::{MAX_PORTS, PortId, PortParameters, PortPolicy, PortState, PortType, SwitchError, SwitchPort};

impl VSwitch {
    /// `OID_SWITCH_PORT_CREATE`: the port gets the lowest free number.
    ///
    /// # Errors
    /// A port that the switch's type does not have, no free number, a name that is too long, or an extension's veto.
    pub fn create_port(&mut self, parameters: PortParameters) -> Result<PortId, SwitchError> {
        check_name(&parameters.name)?;
        self.check_port_type(&parameters)?;
        let id = (1..=MAX_PORTS)
            .map(PortId)
            .find(|id| !self.ports.contains_key(id))
            .ok_or(SwitchError::NoFreePort)?;
        self.ask(|extension| extension.may_create_port(id, &parameters))?;
        self.last_stamp += 1;
        let port = SwitchPort {
            id,
            stamp: self.last_stamp,
            parameters,
            state: PortState::Created,
            restoring: false,
            references: 0,
            policy: PortPolicy::default(),
            acl_revision: 0,
            connections: None,
            nic: None,
        };
        self.ports.insert(id, port);
        self.changed(id, Event::PortCreated);
        Ok(id)
    }

    /// `OID_SWITCH_PORT_TEARDOWN`: no further reference is given; PORT_DELETE will follow.
    ///
    /// # Errors
    /// The port does not exist, is torn down already, or has a NIC.
    pub fn tear_down_port(&mut self, port: PortId) -> Result<(), SwitchError> {
        let found = self.existing_mut(port)?;
        found.check_created("PORT_TEARDOWN")?;
        if found.nic.is_some() {
            return Err(SwitchError::NicExists { port });
        }
        found.state = PortState::Teardown;
        self.changed(port, Event::PortTeardown);
        Ok(())
    }

    /// `OID_SWITCH_PORT_DELETE`. A validation port needs no teardown.
    ///
    /// # Errors
    /// The port does not exist, is not torn down, or references are held on it.
    pub fn delete_port(&mut self, port: PortId) -> Result<(), SwitchError> {
        let found = self.existing(port)?;
        if found.state != PortState::Teardown && !found.parameters.validation {
            return Err(SwitchError::PortInState { port, state: found.state, request: "PORT_DELETE" });
        }
        if found.references > 0 {
            return Err(SwitchError::Referenced { port, what: "the port", count: found.references });
        }
        self.ports.remove(&port);
        self.static_addresses.retain(|_, at| *at != port);
        self.captures.retain(|_, filter| filter.port != Some(port));
        self.changed(port, Event::PortDeleted);
        Ok(())
    }

    /// `ReferenceSwitchPort`: the port stays until the reference is given back.
    ///
    /// # Errors
    /// The port does not exist or is torn down.
    pub fn reference_port(&mut self, port: PortId) -> Result<(), SwitchError> {
        let found = self.existing_mut(port)?;
        found.check_created("ReferenceSwitchPort")?;
        found.references =
            found.references.checked_add(1).ok_or(SwitchError::ReferenceCount { port, what: "taken" })?;
        Ok(())
    }

    /// `DereferenceSwitchPort`.
    ///
    /// # Errors
    /// The port does not exist or no reference is held.
    pub fn dereference_port(&mut self, port: PortId) -> Result<(), SwitchError> {
        let found = self.existing_mut(port)?;
        found.references = found
            .references
            .checked_sub(1)
            .ok_or(SwitchError::ReferenceCount { port, what: "given back" })?;
        Ok(())
    }

    fn check_port_type(&self, parameters: &PortParameters) -> Result<(), SwitchError> {
        let (switch, kind) = (self.parameters.kind, parameters.kind);
        let fits = match kind {
            PortType::External => switch == SwitchType::External,
            PortType::Internal => switch != SwitchType::Private,
            PortType::Generic | PortType::Synthetic | PortType::Emulated => true,
        };
        if !fits {
            return Err(SwitchError::PortTypeOfSwitch { switch, kind });
        }
        let external = |port: &&SwitchPort| port.parameters.kind == PortType::External;
        match self.ports().find(external) {
            Some(port) if kind == PortType::External => {
                Err(SwitchError::SecondExternalPort { port: port.id })
            }
            _ => Ok(()),
        }
    }
}

impl SwitchPort {
    /// Refuses what only a port in the state Created takes.
    pub(super) fn check_created(&self, request: &'static str) -> Result<(), SwitchError> {
        match self.state {
            PortState::Created => Ok(()),
            state @ PortState::Teardown => Err(SwitchError::PortInState { port: self.id, state, request }),
        }
    }
}
