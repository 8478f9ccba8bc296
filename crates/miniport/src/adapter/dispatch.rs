//! The way of a request: may it be issued, what does it say, is it valid, who carries it out, what is the answer.

use nic_switch::{FilterId, FunctionId, SwitchError, VPortChanges, VPortId, VPortParameters, VfId};

use super::{Adapter, Issuer};
use crate::action::Action;
use crate::keywords::Mode;
use crate::oid::{Feature, Handler, Oid, RequestType};
use crate::payload::Payload;
use crate::refusal::Refusal;
use crate::request::{NewVPort, OidRequest, OidResponse, RawRequest, Request, SwitchChanges};
use crate::wire;

impl Adapter {
    pub(super) fn respond(&mut self, issuer: Issuer, request: Request) -> (OidResponse, Vec<Action>) {
        let mut actions = Vec::new();
        let response = match request {
            Request::Typed(request) => {
                let (oid, _) = request.oid();
                match self.execute(issuer, request, &mut actions) {
                    Ok(payload) => OidResponse::accepted(oid, payload),
                    Err(refusal) => OidResponse::refused(refusal.ndis_status(oid), refusal),
                }
            }
            Request::Raw(raw) => self.respond_raw(issuer, &raw, &mut actions),
        };
        (response, actions)
    }

    fn respond_raw(&mut self, issuer: Issuer, raw: &RawRequest, actions: &mut Vec<Action>) -> OidResponse {
        let Some(oid) = Oid::from_number(raw.oid) else {
            let refusal = Refusal::UnknownOid { number: raw.oid };
            return OidResponse::refused(refusal.miniport_status(), refusal);
        };
        match self.execute_raw(issuer, oid, raw, actions) {
            Ok(output) => raw_accepted(oid, raw, output),
            Err(refusal) => OidResponse::refused(refusal.ndis_status(oid), refusal),
        }
    }

    /// Whether the request may be issued comes before what it says: an adapter without SR-IOV does not look into buffers.
    fn execute_raw(
        &mut self,
        issuer: Issuer,
        oid: Oid,
        raw: &RawRequest,
        actions: &mut Vec<Action>,
    ) -> Result<Vec<u8>, Refusal> {
        self.admit(issuer, oid, raw.request_type)?;
        let request = wire::decode_request(oid, raw)?;
        wire::check_output(oid, raw)?;
        let payload = self.execute(issuer, request, actions)?;
        wire::encode_payload(oid, raw, &payload)
    }

    /// Whether a request of this kind is answered at all, now and to this issuer.
    fn admit(&self, issuer: Issuer, oid: Oid, request_type: RequestType) -> Result<(), Refusal> {
        if !self.running {
            return Err(Refusal::Halted);
        }
        match oid.handler(request_type) {
            None => return Err(Refusal::RequestType { oid, request_type }),
            Some(Handler::Ndis | Handler::Miniport) => (),
            Some(Handler::VfAdapter | Handler::VfMiniport | Handler::Nobody) => {
                return Err(Refusal::NotSupported { oid });
            }
        }
        if oid.only_ndis_issues() && issuer != Issuer::Ndis {
            return Err(Refusal::OnlyNdisIssues { oid });
        }
        if is_hardware_capability(oid) {
            return Ok(());
        }
        match (self.mode(), oid.feature()) {
            (Mode::SrIov, Feature::Sriov | Feature::ReceiveFilters) => (),
            (Mode::Vmq, Feature::VmQueues | Feature::ReceiveFilters) => return Ok(()),
            (_, Feature::Sriov) => return Err(Refusal::SriovDisabled { oid }),
            (_, Feature::VmQueues) => return Err(Refusal::VmqDisabled { oid }),
            (_, Feature::ReceiveFilters) => return Err(Refusal::ReceiveFiltersDisabled { oid }),
        }
        if self.driver.switch().is_none() && oid != Oid::NicSwitchCreateSwitch {
            return Err(Refusal::NoSwitch);
        }
        Ok(())
    }

    /// Carries a request out. Both forms of requests come here.
    pub(super) fn execute(
        &mut self,
        issuer: Issuer,
        request: OidRequest,
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        let (oid, request_type) = request.oid();
        self.admit(issuer, oid, request_type)?;
        if self.mode() == Mode::Vmq {
            return self.execute_with_queues(issuer, request, actions);
        }
        match request {
            OidRequest::CreateSwitch(parameters) => {
                self.driver.create_switch(&parameters, actions)?;
                Ok(Payload::Switch(parameters))
            }
            OidRequest::SetSwitchParameters(changes) => self.set_switch_parameters(changes),
            OidRequest::DeleteSwitch => done(self.driver.delete_switch(actions)),
            OidRequest::AllocateVf(parameters) => {
                let vf = self.driver.allocate_vf(parameters, actions)?;
                self.ownership.vfs.insert(vf, issuer);
                Ok(Payload::Vf(self.vf_info(vf)?))
            }
            OidRequest::FreeVf(vf) => self.free_vf(issuer, vf, actions),
            OidRequest::CreateVPort(vport) => self.create_vport(issuer, vport, actions),
            OidRequest::SetVPortParameters { vport, changes } => {
                self.set_vport_parameters(issuer, vport, changes, actions)
            }
            OidRequest::DeleteVPort(vport) => self.delete_vport(issuer, vport, actions),
            OidRequest::SetFilter { vport, test } => {
                self.check_vport(issuer, vport)?;
                let switch = self.switch().ok_or(Refusal::NoSwitch)?;
                let filter = self.ownership.next_filter(|id| switch.filter(id).is_some());
                self.driver.set_filter(filter, vport, test, actions)?;
                self.ownership.filter_set(issuer, filter);
                Ok(Payload::Filter(self.filter_info(filter)?))
            }
            OidRequest::ClearFilter(filter) => {
                self.check_filter(issuer, filter)?;
                self.driver.clear_filter(filter, actions)?;
                self.ownership.filters.remove(&filter);
                Ok(Payload::None)
            }
            OidRequest::MoveFilter { filter, from, to } => {
                self.check_filter(issuer, filter)?;
                self.check_exists(from)?;
                self.check_vport(issuer, to)?;
                done(self.driver.move_filter(filter, from, to, actions))
            }
            OidRequest::WriteVfConfigSpace { vf, offset, data } => {
                done(self.driver.write_config_space(vf, offset, &data, actions))
            }
            OidRequest::WriteVfConfigBlock { vf, block, data } => {
                done(self.driver.write_config_block(vf, block, &data))
            }
            OidRequest::ResetVf(vf) => done(self.driver.reset_vf(vf, actions)),
            OidRequest::SetVfPowerState { vf, state, wake_enable } => {
                done(self.driver.set_power_state(vf, state, wake_enable, actions))
            }
            OidRequest::SetPortSecurity { vport, security } => {
                self.check_vport(issuer, vport)?;
                done(self.driver.set_port_security(vport, *security, actions))
            }
            OidRequest::SetReceiveMode { vport, mode } => {
                self.check_vport(issuer, vport)?;
                done(self.driver.set_receive_mode(vport, *mode, actions))
            }
            OidRequest::SetVfSerialNumber { vf, serial_number } => {
                self.vf_info(vf)?;
                self.ownership.check_vf(issuer, vf)?;
                done(self.driver.set_serial_number(vf, serial_number))
            }
            OidRequest::SetQueueFilter { queue, .. }
            | OidRequest::ClearQueueFilter { queue, .. }
            | OidRequest::EnumQueueFilters(queue) => {
                Err(Refusal::member("QueueId", queue.0, "0: an adapter with SR-IOV on has no VM queues"))
            }
            query => self.query(&query),
        }
    }

    /// The name changes at once; another number of VFs is stored, which is what REINIT_REQUIRED says. Any other refusal
    /// leaves both as they were.
    fn set_switch_parameters(&mut self, changes: SwitchChanges) -> Result<Payload, Refusal> {
        let SwitchChanges { name, num_vfs } = changes;
        let max = self.config.capabilities.max_vfs;
        if num_vfs > max {
            return Err(SwitchError::TooManyVfs { asked: num_vfs, max }.into());
        }
        if let Some(name) = name {
            self.driver.rename_switch(name.clone())?;
            self.registry.name = name;
        }
        self.registry.num_vfs = num_vfs;
        match self.switch() {
            Some(switch) if switch.num_vfs() != num_vfs => Err(Refusal::ReinitRequired { num_vfs }),
            _ => Ok(Payload::None),
        }
    }

    /// NDIS finds out itself whether the VF can go (ndis.md 0.11).
    fn free_vf(&mut self, issuer: Issuer, vf: VfId, actions: &mut Vec<Action>) -> Result<Payload, Refusal> {
        self.vf_info(vf)?;
        self.ownership.check_vf(issuer, vf)?;
        self.driver.free_vf(vf, actions)?;
        self.ownership.vfs.remove(&vf);
        Ok(Payload::None)
    }

    fn create_vport(
        &mut self,
        issuer: Issuer,
        vport: NewVPort,
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        let NewVPort { function, queue_pairs, interrupt_moderation, affinity, name } = vport;
        if let FunctionId::Vf(vf) = function {
            self.vf_info(vf)?;
            self.ownership.check_vf(issuer, vf)?;
        }
        let id = self.ownership.next_vport(self.switch().ok_or(Refusal::NoSwitch)?)?;
        let parameters = VPortParameters { id, function, queue_pairs, interrupt_moderation, affinity, name };
        self.driver.create_vport(parameters, actions)?;
        self.ownership.vport_created(issuer, id);
        Ok(Payload::VPort(self.vport_info(id)?))
    }

    fn set_vport_parameters(
        &mut self,
        issuer: Issuer,
        vport: VPortId,
        changes: VPortChanges,
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        self.check_vport(issuer, vport)?;
        done(self.driver.update_vport(vport, changes, actions))
    }

    fn delete_vport(
        &mut self,
        issuer: Issuer,
        vport: VPortId,
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        self.check_vport(issuer, vport)?;
        self.driver.delete_vport(vport, actions)?;
        self.ownership.vports.remove(&vport);
        Ok(Payload::None)
    }

    fn check_exists(&self, vport: VPortId) -> Result<(), Refusal> {
        self.vport_info(vport).map(drop)
    }

    /// The VPort exists and is the issuer's, or the default one.
    fn check_vport(&self, issuer: Issuer, vport: VPortId) -> Result<(), Refusal> {
        self.check_exists(vport)?;
        self.ownership.check_vport(issuer, vport)
    }

    /// The filter exists and is the issuer's.
    fn check_filter(&self, issuer: Issuer, filter: FilterId) -> Result<(), Refusal> {
        self.filter_info(filter)?;
        self.ownership.check_filter(issuer, filter)
    }
}

/// A set request has no payload.
fn done(outcome: Result<(), Refusal>) -> Result<Payload, Refusal> {
    outcome.map(|()| Payload::None)
}

/// What the hardware could do can be asked for whatever is enabled.
const fn is_hardware_capability(oid: Oid) -> bool {
    matches!(
        oid,
        Oid::SriovHardwareCapabilities
            | Oid::NicSwitchHardwareCapabilities
            | Oid::ReceiveFilterHardwareCapabilities
    )
}

/// The answer to a raw request that was not refused, with the lengths that its type has.
fn raw_accepted(oid: Oid, raw: &RawRequest, output: Vec<u8>) -> OidResponse {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let bytes_read = match raw.request_type {
        RequestType::Query => 0,
        RequestType::Set | RequestType::Method => length(raw.input.len()),
    };
    let bytes_written = length(output.len());
    let payload = if output.is_empty() { Payload::None } else { Payload::Raw(output) };
    OidResponse { bytes_read, bytes_written, ..OidResponse::accepted(oid, payload) }
}
