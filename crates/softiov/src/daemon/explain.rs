//! Why adapters are on the paths that they are on, and orders to change that.

use std::time::Duration;

use api::types::{ExplainView, FailoverTarget, HolderView, PathView, TextView};
use nic_switch::VfId;
use virt_stack::{AdapterId, AdapterView, Event, FailoverTo};

use super::error::DaemonError;
use super::members::Member;
use super::topology::{life_view, no_vf_view, path_view};
use super::{Changing, Core};

/// Events about an adapter that are told with an explanation.
const HISTORY: usize = 20;

impl Core {
    /// Why an adapter is on its path.
    pub(super) fn explain_path(&self, vm: &str, name: &str) -> Result<ExplainView, DaemonError> {
        let changing = self.lock();
        let (id, member) = changing.known(vm, name)?;
        let life = changing.stack.adapter(id);
        let path = path_view(life.as_ref(), member);
        let no_vf = no_vf_view(life.as_ref());
        let because = match (path, &life, &no_vf) {
            (PathView::Vf(vf), Some(life), _) => {
                let since = changing.now().since(life.since);
                format!("It has VF {vf} by its iov_weight of {}, for {}.", life.weight, rounded(since))
            }
            (_, _, Some(no_vf)) => no_vf.reason.clone(),
            _ => "It is between two states: ask again.".to_owned(),
        };
        let mut history = self.chronicle.log().since(0, usize::MAX).events;
        history.retain(|event| {
            event.vm.as_deref() == Some(vm) && event.adapter.as_deref().is_none_or(|adapter| adapter == name)
        });
        history.drain(..history.len().saturating_sub(HISTORY));
        Ok(ExplainView {
            vm: vm.to_owned(),
            adapter: name.to_owned(),
            path,
            because,
            vf_life: life.as_ref().and_then(|life| life_view(&changing, life)),
            no_vf,
            holders: holders(&changing),
            history,
        })
    }

    /// Orders an adapter to a path.
    pub(super) fn order_path(
        &self,
        vm: &str,
        name: &str,
        to: FailoverTarget,
    ) -> Result<TextView, DaemonError> {
        let mut changing = self.lock();
        let (adapter, _) = changing.known(vm, name)?;
        if changing.stack.adapter(adapter).is_none() {
            return Err(DaemonError::NoSriov);
        }
        let (to, text) = match to {
            FailoverTarget::Synthetic => {
                (FailoverTo::Synthetic, "goes to its synthetic adapter, and stays there until another order")
            }
            FailoverTarget::Vf => (FailoverTo::Vf, "goes to a VF, as soon as its iov_weight gives it one"),
            FailoverTarget::Auto => (FailoverTo::Auto, "is where its iov_weight has it"),
        };
        changing.tell(Event::Failover { adapter, to });
        self.drive(&mut changing);
        self.parts.notices.nudge();
        let mut text = format!("{vm}/{name} {text}");
        let life = changing.stack.adapter(adapter);
        let reason = life.as_ref().and_then(|life| life.explanation.as_ref());
        if let Some(reason) = reason.filter(|_| to != FailoverTo::Synthetic) {
            text = format!("{text}. Now: {reason}");
        }
        Ok(TextView { text })
    }

    /// Takes a VF from its holder, which stays without.
    pub(super) fn detach_vf(&self, vf: u16) -> Result<TextView, DaemonError> {
        let holder = self.order_of_vf(vf, Event::DetachVf(VfId(vf)))?;
        let text = format!(
            "VF {vf} is being taken from {holder}, which stays without one until `softiov vm failover {holder} --to auto`"
        );
        Ok(TextView { text })
    }

    /// Resets a VF that is in use.
    pub(super) fn reset_vf(&self, vf: u16) -> Result<TextView, DaemonError> {
        let holder = self.order_of_vf(vf, Event::ResetVf(VfId(vf)))?;
        Ok(TextView { text: format!("VF {vf} of {holder} is being reset") })
    }

    /// An order about a VF that an adapter has; who that is.
    fn order_of_vf(&self, vf: u16, order: Event) -> Result<String, DaemonError> {
        let mut changing = self.lock();
        if !self.config.adapter.sriov {
            return Err(DaemonError::NoSriov);
        }
        let num_vfs = self.parts.adapter.with(|adapter| adapter.function().num_vfs());
        if vf >= num_vfs {
            return Err(DaemonError::NoSuchVf { number: vf, num_vfs });
        }
        let holders = holders(&changing);
        let Some(holder) = holders.iter().find(|holder| holder.vf == vf) else {
            let known: Vec<_> =
                holders.iter().map(|holder| format!("{} has VF {}", holder.adapter, holder.vf)).collect();
            let holders = if known.is_empty() { "no VF is in use".to_owned() } else { known.join(", ") };
            return Err(DaemonError::FreeVf { number: vf, holders });
        };
        changing.tell(order);
        self.drive(&mut changing);
        self.parts.notices.nudge();
        Ok(holder.adapter.clone())
    }

    /// Changes how many VFs may be given.
    pub(super) fn set_num_vfs(&self, num_vfs: u16) -> Result<(), DaemonError> {
        let mut changing = self.lock();
        if !self.config.adapter.sriov {
            return Err(DaemonError::NoSriov);
        }
        let now = changing.now();
        let before = changing.stack.num_vfs();
        changing.stack.set_num_vfs(now, num_vfs)?;
        self.drive(&mut changing);
        self.parts.notices.nudge();
        if before != num_vfs {
            self.chronicle.tell_daemon(format!("{num_vfs} VFs may be given, before {before}"));
        }
        Ok(())
    }
}

impl Changing {
    /// The adapter `name` of the VM `vm`, which may be unknown.
    fn known(&self, vm: &str, name: &str) -> Result<(AdapterId, &Member), DaemonError> {
        self.member(vm, name).ok_or_else(|| match self.vms.iter().find(|known| known.name.as_str() == vm) {
            None => DaemonError::NoSuchVm {
                name: vm.to_owned(),
                known: self.vms.iter().map(|vm| vm.name.to_string()).collect(),
            },
            Some(spec) => DaemonError::NoSuchAdapter {
                vm: vm.to_owned(),
                name: name.to_owned(),
                known: spec.named_adapters().map(|(name, _)| name.to_string()).collect(),
            },
        })
    }
}

/// Who has the VFs, the lightest last.
fn holders(changing: &Changing) -> Vec<HolderView> {
    let holder = |life: AdapterView| {
        Some(HolderView {
            vf: life.vf?,
            adapter: format!("{}/{}", life.vm, life.name),
            iov_weight: life.weight,
        })
    };
    let mut holders: Vec<HolderView> = changing.stack.adapters().filter_map(holder).collect();
    holders.sort_by_key(|holder| (std::cmp::Reverse(holder.iov_weight), holder.vf));
    holders
}

/// A time as people say it.
fn rounded(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
