//! Policies of ports that an operator changes while softiov runs.
//!
//! Those of VMs are part of what is wanted, and last. One that a VF or a VM queue could not enforce, since their frames
//! pass the extensible switch by, takes it away; when it is gone, the adapter may have it again.

use api::types::{AclRuleView, AddressChange, AddressView, PolicyChange};
use miniport::{OidRequest, Payload};
use nic_switch::{FilterTest, VPortId};
use virt_stack::AdapterId;
use virt_stack::desired::AdapterSpec;
use vswitch::{Address, AddressOrigin, SwitchError};

use super::error::{DaemonError, StackError};
use super::lookup::{self, LookupError};
use super::members::filter_test;
use super::{Changing, Core};
use crate::settings::{self, About};

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
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

impl Core {
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
        let nic =
            board.with(|board| Ok::<_, LookupError>(board.nics[&lookup::nic(board, adapter)?].clone()))?;
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

    /// Changes the policies of an adapter's port; what it loses by that.
    pub(crate) fn change_policy(
        &self,
        adapter: &str,
        change: &PolicyChange,
    ) -> Result<Vec<String>, DaemonError> {
        let mut changing = self.lock();
        if changing.data_path.is_none() {
            return Err(DaemonError::NoDataPath);
        }
        let number = self.parts.switchboard.with(|board| lookup::nic(board, adapter))?;
        let id = AdapterId(number);
        if !changing.members.contains_key(&id) {
            return self.change_host(&mut changing, number, adapter, change).map(|()| Vec::new());
        }
        let before = self.bypasses(&changing, id);
        let mut vms = changing.vms.clone();
        let member = &changing.members[&id];
        let vm = vms.iter_mut().find(|vm| vm.name == member.vm);
        let position =
            vm.as_ref().and_then(|vm| vm.named_adapters().position(|(name, _)| name == member.name));
        if let (Some(vm), Some(position)) = (vm, position) {
            apply(adapter, &mut vm.adapters[position], change)?;
        }
        self.commit(&mut changing, vms)?;
        Ok(self.lost(&changing, id, before))
    }

    /// Whether an adapter has a VF and a VM queue, which pass the extensible switch by.
    fn bypasses(&self, changing: &Changing, id: AdapterId) -> (bool, bool) {
        let has_vf = changing.stack.adapter(id).is_some_and(|adapter| adapter.vf.is_some());
        (has_vf, changing.members.get(&id).is_some_and(|member| member.queue.is_ok()))
    }

    fn lost(&self, changing: &Changing, id: AdapterId, (had_vf, had_queue): (bool, bool)) -> Vec<String> {
        let forbids = self.parts.switchboard.with(|board| board.forbids_vf(id.0));
        let vf = forbids.filter(|_| had_vf).map(|reason| format!("it loses its VF: {reason}"));
        let queue =
            changing.members.get(&id).filter(|_| had_queue).and_then(|member| member.queue.as_ref().err());
        vf.into_iter().chain(queue.map(|reason| format!("it lost its VM queue: {reason}"))).collect()
    }

    /// Changes the policies of the port of a host adapter, until the daemon ends.
    fn change_host(
        &self,
        changing: &mut Changing,
        number: u32,
        name: &str,
        change: &PolicyChange,
    ) -> Result<(), DaemonError> {
        let Some(before) = changing.hosts.get(&number).cloned() else { return Ok(()) };
        let mut after = before.clone();
        apply(name, &mut after, change)?;
        let board = &self.parts.switchboard;
        board.change(|board| board.set_policy(number, after.policy())).map_err(PolicyError::Switch)?;
        let tests = [&before, &after].map(|spec| filter_test(spec.mac.0, &spec.policy()));
        if let Err(error) = self.exchange_host_filter(changing, tests) {
            // What was possible before is possible again.
            board.change(|board| board.set_policy(number, before.policy())).map_err(PolicyError::Switch)?;
            return Err(error);
        }
        changing.hosts.insert(number, after);
        self.tell_policies(changing);
        Ok(())
    }

    /// CLEAR_FILTER and SET_FILTER on the default VPort, if it has the first of them.
    fn exchange_host_filter(
        &self,
        changing: &Changing,
        [old, new]: [FilterTest; 2],
    ) -> Result<(), DaemonError> {
        let Payload::Filters { filters, .. } =
            self.request(changing, OidRequest::EnumFilters(VPortId::DEFAULT))?
        else {
            return Err(StackError::Silent("ENUM_FILTERS").into());
        };
        let Some(standing) = filters.iter().find(|filter| filter.test == old && old != new) else {
            return Ok(());
        };
        self.request(changing, OidRequest::ClearFilter(standing.filter))?;
        let set = OidRequest::SetFilter { vport: VPortId::DEFAULT, test: new };
        if let Err(error) = self.request(changing, set) {
            self.request(changing, OidRequest::SetFilter { vport: VPortId::DEFAULT, test: old })?;
            return Err(error);
        }
        Ok(())
    }
}

/// Makes a change to what is wanted of an adapter.
fn apply(adapter: &str, spec: &mut AdapterSpec, change: &PolicyChange) -> Result<(), PolicyError> {
    match change {
        PolicyChange::AddRule(rule) => spec.port.acl.push((**rule).clone()),
        PolicyChange::RemoveRule(index) => {
            let count = spec.port.acl.len();
            if *index >= count {
                return Err(PolicyError::NoSuchRule { adapter: adapter.to_owned(), index: *index, count });
            }
            spec.port.acl.remove(*index);
        }
        PolicyChange::Set(list) => {
            if let Some((setting, other)) = settings::contradiction(list) {
                return Err(PolicyError::Contradiction {
                    setting: setting.to_owned(),
                    other: other.to_owned(),
                });
            }
            for setting in list {
                settings::apply(spec, setting, About::Port)
                    .map_err(|reason| PolicyError::Setting { setting: setting.clone(), reason })?;
            }
        }
    }
    Ok(())
}
