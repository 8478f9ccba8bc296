//! Which VMs there are to be.
//!
//! Those that commands made stand in the store, and outlive the daemon. Those that the configuration file names stand
//! there and nowhere else: they are as the file has them whenever the daemon starts, and one that is taken out of it
//! is gone. A change is made whole or not at all.

use std::collections::BTreeSet;

use store::{Expect, Kind, Store};
use virt_stack::AdapterId;
use virt_stack::desired::{AdapterSpec, Name, VmSpec};
use vswitch::PortPolicy;

use super::error::DaemonError;
use super::limits::{self, Share};
use super::members::is_remade;
use super::{Changing, Core};
use crate::config::Config;

/// VMs in the store.
const VM: Kind = Kind::new("vm", 4096);

/// The VMs to begin with.
pub(super) fn at_start(config: &Config, store: &Store) -> Result<Vec<VmSpec>, DaemonError> {
    let stored = store.list::<VmSpec>(VM)?;
    for unreadable in &stored.unreadable {
        tracing::warn!("{unreadable}; it is left as it is");
    }
    let mut vms = config.vms.clone();
    let own: BTreeSet<Name> = vms.iter().map(|vm| vm.name.clone()).collect();
    vms.extend(stored.objects.into_iter().map(|vm| vm.value).filter(|vm| !own.contains(&vm.name)));
    config.check_vms(&vms).map_err(DaemonError::Conflict)?;
    Ok(vms)
}

/// What has to be done so that other VMs are there.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Adapters that are not wanted any longer.
    pub(super) removed: Vec<AdapterId>,
    /// Adapters that have to be made anew.
    pub(super) remade: Vec<AdapterId>,
    /// Adapters that change.
    pub(super) changed: Vec<(AdapterId, AdapterSpec)>,
    /// Adapters to be added, those made anew among them.
    added: Vec<(VmSpec, Name, AdapterSpec)>,
}

impl Plan {
    pub(super) fn new(changing: &Changing, wanted: &[VmSpec]) -> Self {
        let mut plan = Self::default();
        let mut kept = BTreeSet::new();
        for vm in wanted {
            for (name, spec) in vm.named_adapters() {
                match changing.member(vm.name.as_str(), name.as_str()) {
                    Some((id, member)) => {
                        kept.insert(id);
                        if is_remade(&member.spec, spec) {
                            plan.remade.push(id);
                            plan.added.push((vm.clone(), name, spec.clone()));
                        } else if member.spec != *spec || member.has_qmp != vm.qmp.is_some() {
                            plan.changed.push((id, spec.clone()));
                        }
                    }
                    None => plan.added.push((vm.clone(), name, spec.clone())),
                }
            }
        }
        plan.removed = changing.members.keys().filter(|id| !kept.contains(id)).copied().collect();
        plan
    }
}

/// What was done of a plan, in case that it has to be undone.
#[derive(Default)]
struct Done {
    added: Vec<AdapterId>,
    unmade: Vec<(VmSpec, Name, AdapterSpec)>,
    policies: Vec<(AdapterId, PortPolicy)>,
}

impl Core {
    /// Has `wanted` be all VMs that there are. If it fails nothing has changed.
    pub(super) fn want(&self, changing: &mut Changing, wanted: Vec<VmSpec>) -> Result<(), DaemonError> {
        self.config.check_vms(&wanted).map_err(DaemonError::Conflict)?;
        Share::new(limits::demand(&self.config, &wanted), self.fds)?;
        let plan = Plan::new(changing, &wanted);
        self.refuse_in_use(changing, &[&plan.removed[..], &plan.remade].concat())?;
        let mut done = Done::default();
        let made = self.make(changing, &plan, &mut done).and_then(|()| self.keep(&changing.vms, &wanted));
        if let Err(error) = made {
            self.undo(changing, done);
            return Err(error);
        }
        self.follow_monitors(changing, &wanted);
        for (id, spec) in plan.changed {
            if let Some(member) = changing.members.get_mut(&id) {
                member.spec = spec;
                let vm = wanted.iter().find(|vm| vm.name == member.vm);
                member.has_qmp = vm.is_some_and(|vm| vm.qmp.is_some());
            }
            self.describe(changing, id);
            if !self.config.adapter.sriov {
                self.set_filter_anew(changing, id);
            }
        }
        for id in plan.removed {
            self.remove_member(changing, id);
        }
        changing.vms = wanted;
        self.tell_policies(changing);
        self.assign_queues(changing);
        self.parts.notices.nudge();
        Ok(())
    }

    /// The steps that can fail.
    fn make(&self, changing: &mut Changing, plan: &Plan, done: &mut Done) -> Result<(), DaemonError> {
        for id in &plan.remade {
            let Some(member) = changing.members.get(id) else { continue };
            let old = changing.vms.iter().find(|vm| vm.name == member.vm).cloned();
            let (name, spec) = (member.name.clone(), member.spec.clone());
            self.remove_member(changing, *id);
            if let Some(member) = changing.members.get(id) {
                return Err(DaemonError::StillThere(member.full_name()));
            }
            done.unmade.extend(old.map(|vm| (vm, name, spec)));
        }
        for (vm, name, spec) in &plan.added {
            done.added.push(self.add_member(changing, vm, name.clone(), spec)?);
        }
        for (id, spec) in &plan.changed {
            let before = self.parts.switchboard.change(|board| {
                let before = board.policy(id.0);
                board.set_policy(id.0, spec.policy()).map(|()| before)
            });
            done.policies.push((*id, before.map_err(super::policy::PolicyError::Switch)?));
        }
        Ok(())
    }

    fn undo(&self, changing: &mut Changing, done: Done) {
        for id in done.added {
            self.remove_member(changing, id);
        }
        for (id, policy) in done.policies {
            if let Err(error) = self.parts.switchboard.change(|board| board.set_policy(id.0, policy)) {
                tracing::error!(%error, "a policy of before cannot be set again");
            }
        }
        for (vm, name, spec) in done.unmade {
            if let Err(error) = self.add_member(changing, &vm, name, &spec) {
                tracing::error!(%error, "an adapter of before cannot be made again");
            }
        }
        self.tell_policies(changing);
        self.assign_queues(changing);
    }

    /// Adapters that a VMM uses cannot be taken from it.
    pub(super) fn refuse_in_use(
        &self,
        changing: &Changing,
        adapters: &[AdapterId],
    ) -> Result<(), DaemonError> {
        let Some(data_path) = &changing.data_path else { return Ok(()) };
        if adapters.is_empty() {
            return Ok(());
        }
        let (synthetic, vfs) = (data_path.netvsp.inspect()?, data_path.bus.inspect()?);
        for id in adapters {
            let Some(member) = changing.members.get(id) else { continue };
            let has_front_end = synthetic.get(&id.0).is_some_and(|device| device.connected);
            let vf = member.vf.as_ref().and_then(|vf| vfs.get(&vf.spec.vf.0));
            if has_front_end || vf.is_some_and(|device| device.connected) {
                return Err(DaemonError::InUse(member.full_name()));
            }
        }
        Ok(())
    }

    /// Writes the difference into the store, which has no VM that the configuration file names.
    fn keep(&self, before: &[VmSpec], wanted: &[VmSpec]) -> Result<(), DaemonError> {
        let names = |vms: &[VmSpec], vm: &VmSpec| vms.iter().any(|other| other.name == vm.name);
        let of_file = &self.config.vms;
        self.store.change(|change| {
            let unwanted = before.iter().filter(|vm| !names(wanted, vm));
            for vm in unwanted.chain(of_file) {
                change.remove(VM, vm.name.as_str(), Expect::Any)?;
            }
            for vm in wanted.iter().filter(|vm| !before.contains(vm) && !names(of_file, vm)) {
                change.put(VM, vm.name.as_str(), Expect::Any, vm)?;
            }
            Ok(())
        })
    }

    /// Keeps connections to the monitors that are wanted, and to no others.
    fn follow_monitors(&self, changing: &mut Changing, wanted: &[VmSpec]) {
        let before = std::mem::take(&mut changing.vms);
        let monitor = |vms: &[VmSpec], name: &Name| {
            vms.iter().find(|vm| vm.name == *name).and_then(|vm| vm.qmp.clone())
        };
        let names: BTreeSet<Name> = before.iter().chain(wanted).map(|vm| vm.name.clone()).collect();
        for name in names {
            let (old, new) = (monitor(&before, &name), monitor(wanted, &name));
            if old == new {
                continue;
            }
            let vm = changing.vm_id(&name);
            changing.vmms.remove(vm);
            if let Some(path) = new {
                changing.vmms.add(vm, path);
            }
        }
    }
}
