//! Policies of ports that an operator changes while softiov runs. They last until it ends.
//!
//! A policy is in force when the request is answered. One that a VF or a VM queue could not enforce, since their frames
//! pass the extensible switch by, takes it away: its receive filter moves to the default VPort, and the reason is kept.

mod settings;
#[cfg(test)]
mod tests;
mod vlan;

use ethernet::MacAddr;
use miniport::{FilterInfo, OidRequest, Payload};
use nic_switch::VPortId;
use vswitch::{Address, AddressOrigin, PortPolicy, SwitchError, VfPath};

use super::adapter::STACK;
use super::error::DaemonError;
use super::lookup::{self, LookupError};
use super::stack::{self, StackError};
use super::{Changing, Daemon};
use crate::view::{AclRuleView, AddressChange, AddressView, PolicyChange};

/// A change that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("{setting:?} cannot be set: {reason}")]
    Setting { setting: String, reason: String },
    #[error(
        "{setting:?} and {other:?} cannot both be: a port is in VLANs by one of vlan, trunk and private-vlan"
    )]
    Contradiction { setting: String, other: String },
    #[error("the ACL of {adapter} has no rule {index}: it has {count} rules, numbered from 0")]
    NoSuchRule { adapter: String, index: usize, count: usize },
    #[error("{adapter} is on VM queue {queue}: {reason}. Give it vmq_weight = 0 in the configuration")]
    VmQueue { adapter: String, queue: u32, reason: &'static str },
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

impl Daemon {
    /// The stations that the switch `name` knows: its NICs', static ones, learned ones.
    pub(crate) fn fdb(&self, name: &str) -> Result<Vec<AddressView>, DaemonError> {
        let number = self.parts.switchboard.with(|board| lookup::switch(board, name))?;
        let worker = self.lock().data_path.as_ref().map(|path| path.worker.handle());
        let mut learned = worker.map(|worker| worker.report(number).stations).unwrap_or_default();
        learned.sort_by_key(|station| (station.port, station.vlan, station.mac));
        Ok(self.parts.switchboard.with(|board| {
            let switch = &board.switches[number];
            let all = switch.addresses().chain(learned.into_iter().map(Address::from));
            let view = |address: Address| AddressView {
                switch: name.to_owned(),
                mac: address.mac,
                vlan: address.vlan,
                port: address.port.0,
                port_name: switch
                    .port(address.port)
                    .map_or_else(String::new, |port| port.parameters().name.clone()),
                origin: match address.origin {
                    AddressOrigin::Own => "own",
                    AddressOrigin::Static => "static",
                    AddressOrigin::Learned => "learned",
                }
                .to_owned(),
            };
            all.map(view).collect()
        }))
    }

    /// Sets or removes a static address of the switch `name`.
    pub(crate) fn change_fdb(&self, name: &str, change: &AddressChange) -> Result<(), DaemonError> {
        let AddressChange { mac, vlan, port } = change;
        self.parts.switchboard.change(|board| {
            let number = lookup::switch(board, name)?;
            let port = port.as_ref().map(|port| lookup::port(board, number, port)).transpose()?;
            let switch = &mut board.switches[number];
            let changed = match port {
                Some(port) => switch.set_static_address(*vlan, *mac, port),
                None => switch.remove_static_address(*vlan, *mac),
            };
            Ok(changed.map_err(PolicyError::Switch)?)
        })
    }

    /// The rules of an adapter's ACL, with what they have counted.
    pub(crate) fn acl(&self, adapter: &str) -> Result<Vec<AclRuleView>, DaemonError> {
        let board = &self.parts.switchboard;
        let nic = board
            .with(|board| Ok::<_, LookupError>(board.nics[lookup::nic(board, adapter)? as usize].clone()))?;
        let worker = self.lock().data_path.as_ref().map(|path| path.worker.handle());
        let meters = worker.map(|worker| worker.report(nic.switch).meters).unwrap_or_default();
        let rules = board.with(|board| board.switches[nic.switch].acl_view(nic.port, &meters));
        let view = |rule: vswitch::AclRuleView| AclRuleView {
            index: rule.index,
            rule: rule.rule,
            frames: rule.frames,
            octets: rule.octets,
        };
        Ok(rules.into_iter().map(view).collect())
    }

    /// Changes the policies of an adapter's port; what it lost by that.
    pub(crate) fn change_policy(
        &self,
        adapter: &str,
        change: &PolicyChange,
    ) -> Result<Vec<String>, DaemonError> {
        let mut changing = self.lock();
        if changing.data_path.is_none() {
            return Err(DaemonError::NoDataPath);
        }
        let board = &self.parts.switchboard;
        let (number, before, policy) = board.with(|board| {
            let number = lookup::nic(board, adapter)?;
            let before = board.policy(number);
            let policy = changed(adapter, before.clone(), change)?;
            Ok::<_, DaemonError>((number, before, policy))
        })?;
        let bypassed = stack::needs_switch(&policy);
        let queue = changing.placement(number).and_then(|placement| placement.queue.as_ref().ok().copied());
        let has_vports = self.parts.adapter.with(|adapter| adapter.switch().is_some());
        if let (Some(reason), Some(VPortId(queue)), false) = (bypassed, queue, has_vports) {
            return Err(PolicyError::VmQueue { adapter: adapter.to_owned(), queue, reason }.into());
        }
        let vlans = [before.vlan.clone(), policy.vlan.clone()];
        board.change(|board| board.set_policy(number, policy)).map_err(PolicyError::Switch)?;
        if let Err(error) = self.follow_vlans(&mut changing, number, &vlans) {
            // What was possible before is possible again.
            board.change(|board| board.set_policy(number, before)).map_err(PolicyError::Switch)?;
            return Err(error);
        }
        let mut lost = Vec::new();
        for (nic, reason) in board.change(|board| board.take_vf_removals(number)) {
            let reason = reason.to_string();
            self.take_vf(&mut changing, nic, &reason)?;
            lost.push(format!("it lost its VF: {reason}"));
        }
        if let (Some(reason), Some(vport)) = (bypassed, queue) {
            self.take_queue(&mut changing, number, vport, reason)?;
            lost.push(format!("it lost its VM queue: {reason}"));
        }
        Ok(lost)
    }

    /// Takes the VF of NIC number `nic` away, in the order of ndis.md C.3: MOVE_FILTER, DELETE_VPORT, FREE_VF.
    fn take_vf(&self, changing: &mut Changing, nic: u32, reason: &str) -> Result<(), DaemonError> {
        let Some(placement) = changing.placements.iter_mut().find(|placement| placement.nic == nic) else {
            return Ok(());
        };
        let Ok(spec) = std::mem::replace(&mut placement.vf, Err(reason.to_owned())) else { return Ok(()) };
        placement.queue = Err("it had a VF when the VM queues were given".to_owned());
        let mac = placement.config.mac.0;
        self.parts.switchboard.change(|board| board.set_vf(nic, VfPath::None)).map_err(StackError::from)?;
        self.move_filter(changing, mac, spec.vport)?;
        self.stack_request(changing, OidRequest::DeleteVPort(spec.vport))?;
        self.stack_request(changing, OidRequest::FreeVf(spec.vf))?;
        // While it had a VF its guest was there; now its front end says so.
        let present = match &changing.data_path {
            Some(path) => path.netvsp.inspect()?.get(&nic).is_some_and(|device| device.connected),
            None => false,
        };
        if !present {
            self.parts.switchboard.set_connected(nic, false);
        }
        Ok(())
    }

    /// Takes a VM queue, a VPort of the PF, away from NIC number `nic`.
    fn take_queue(
        &self,
        changing: &mut Changing,
        nic: u32,
        vport: VPortId,
        reason: &str,
    ) -> Result<(), DaemonError> {
        let Some(placement) = changing.placements.iter_mut().find(|placement| placement.nic == nic) else {
            return Ok(());
        };
        placement.queue = Err(reason.to_owned());
        let mac = placement.config.mac.0;
        self.move_filter(changing, mac, vport)?;
        self.parts.switchboard.change(|board| board.stop_leading(vport));
        self.stack_request(changing, OidRequest::DeleteVPort(vport)).map(drop)
    }

    /// MOVE_FILTER: what is for `mac` goes from `vport` to the default VPort.
    fn move_filter(&self, changing: &mut Changing, mac: MacAddr, from: VPortId) -> Result<(), DaemonError> {
        let Payload::Filters { filters, .. } = self.stack_request(changing, OidRequest::EnumFilters(from))?
        else {
            return Err(StackError::Silent("ENUM_FILTERS").into());
        };
        for FilterInfo { filter, test, .. } in filters {
            let request = match test.mac == mac {
                true => OidRequest::MoveFilter { filter, from, to: VPortId::DEFAULT },
                false => OidRequest::ClearFilter(filter),
            };
            self.stack_request(changing, request)?;
        }
        Ok(())
    }

    /// Has a request of the stack answered, and does what it asks for.
    fn stack_request(&self, changing: &mut Changing, request: OidRequest) -> Result<Payload, DaemonError> {
        let (payload, actions) = self.parts.adapter.request(STACK, request).map_err(StackError::from)?;
        actions.iter().try_for_each(|action| changing.execute(action))?;
        Ok(payload)
    }
}

/// A policy with a change.
fn changed(adapter: &str, mut policy: PortPolicy, change: &PolicyChange) -> Result<PortPolicy, PolicyError> {
    match change {
        PolicyChange::AddRule(rule) => policy.acl.rules.push((**rule).clone()),
        PolicyChange::RemoveRule(index) => {
            let count = policy.acl.rules.len();
            if *index >= count {
                return Err(PolicyError::NoSuchRule { adapter: adapter.to_owned(), index: *index, count });
            }
            policy.acl.rules.remove(*index);
        }
        PolicyChange::Set(list) => {
            if let Some((setting, other)) = settings::contradiction(list) {
                return Err(PolicyError::Contradiction {
                    setting: setting.to_owned(),
                    other: other.to_owned(),
                });
            }
            for setting in list {
                settings::apply(&mut policy, setting)
                    .map_err(|reason| PolicyError::Setting { setting: setting.clone(), reason })?;
            }
        }
    }
    Ok(policy)
}
