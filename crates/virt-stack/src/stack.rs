//! All adapters, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapter::{Adapter, Context, Output};
use crate::assignment::{Circumstances, Plan};
use crate::{
    Action, AdapterId, AdapterSpec, AdapterView, Budgets, Event, FailoverTo, Record, Settings, Time, VmId,
    VmmEvent,
};

/// The virtualization stack: it knows what everybody wants, decides who gets a VF, and says what has to be done.
///
/// It does nothing by itself. After each [`handle`](Self::handle), carry out what
/// [`next_action`](Self::next_action) gives until there is nothing, and see that it is called again at the
/// [`deadline`](Self::deadline).
#[derive(Debug)]
pub struct Stack {
    settings: Settings,
    budgets: Budgets,
    num_vfs: u16,
    adapters: BTreeMap<AdapterId, Adapter>,
    /// VMs whose QMP can be used.
    vmms: BTreeSet<VmId>,
    /// When the assignment changes although nothing happens.
    again: Option<Time>,
    arrivals: u64,
    now: Time,
    out: Output,
}

/// The number of VFs cannot be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumVfsError {
    /// VFs in use are never taken away for it.
    #[error(
        "{asked} VFs are fewer than the {in_use} in use: detach VFs, or lower the iov_weight of their \
         holders to 0, first"
    )]
    InUse {
        /// What was asked for.
        asked: u16,
        /// VFs in use, or in quarantine.
        in_use: u16,
    },
    /// NumVFs of a NIC can only change while VF Enable is clear.
    #[error(
        "{asked} VFs are more than the {enabled} with which the NIC was started: NumVFs can grow only while \
         VF Enable is clear, so store the number and restart the daemon"
    )]
    NotEnabled {
        /// What was asked for.
        asked: u16,
        /// What can be given.
        enabled: u16,
    },
}

impl Stack {
    /// A stack without adapters, for a NIC of which nothing is in use.
    ///
    /// `last_generation` is a number that no earlier stack of this host has reached, so that devices that VMMs
    /// still have from its time are not mistaken for new ones: a wall clock in nanoseconds will do.
    #[must_use]
    pub fn new(settings: Settings, budgets: Budgets, last_generation: u64) -> Self {
        Self {
            settings,
            num_vfs: budgets.enabled_vfs,
            budgets,
            adapters: BTreeMap::new(),
            vmms: BTreeSet::new(),
            again: None,
            arrivals: 0,
            now: Time::default(),
            out: Output::new(last_generation),
        }
    }

    /// Something happened. An event costs time in proportion to the number of adapters.
    pub fn handle(&mut self, now: Time, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::AdapterSet(id, spec) => self.set_adapter(id, *spec),
            Event::AdapterRemoved(id) => self.with(id, |adapter, _| adapter.removed = true),
            Event::FrontEnd { adapter, connected } => {
                self.with(adapter, |adapter, _| adapter.front_end = connected);
            }
            Event::Policy { adapter, forbids } => self.with(adapter, |adapter, _| adapter.forbids = forbids),
            Event::SyntheticVPort { adapter, vport } => {
                self.with(adapter, |adapter, _| adapter.synthetic_vport = vport);
            }
            Event::Budgets(budgets) => self.budgets = budgets,
            Event::OidDone { request, result } => {
                if let Some(id) = self.out.requests.remove(&request) {
                    self.with(id, |adapter, cx| adapter.answered(result, cx));
                }
            }
            Event::Vmm(vm, event) => self.vmm_event(vm, event),
            Event::Vf(id, generation, event) => {
                self.with(id, |adapter, cx| adapter.vf_event(generation, event, cx));
            }
            Event::GapReport { adapter, release, frames } => {
                self.with(adapter, |adapter, cx| adapter.gap_reported(release, frames, cx));
            }
            Event::Failover { adapter, to } => self.with(adapter, |adapter, _| {
                adapter.kept_synthetic = to == FailoverTo::Synthetic;
                if to == FailoverTo::Vf {
                    adapter.forgive();
                }
            }),
            Event::DetachVf(vf) => self.with_holder(vf, |adapter| adapter.kept_synthetic = true),
            Event::ResetVf(vf) => self.with_holder(vf, Adapter::reset),
            Event::Tick => {
                let all: Vec<_> = self.adapters.keys().copied().collect();
                all.into_iter().for_each(|id| self.with(id, |_, _| ()));
            }
        }
        self.assign();
        self.adapters.retain(|id, adapter| {
            if adapter.is_gone() {
                self.out.actions.push_back(Action::Removed(*id));
            }
            !adapter.is_gone()
        });
    }

    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }

    /// When [`Event::Tick`] is due, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let of_adapters = self.adapters.values().filter_map(|adapter| {
            adapter.deadline(self.now, &self.settings, self.vmms.contains(&adapter.spec.vm))
        });
        of_adapters.chain(self.again).min()
    }

    /// Changes how many VFs may be given, within those that the NIC was started with.
    ///
    /// PCIe lets NumVFs change only while VF Enable is clear, which ends all VFs. As VFs in use are never
    /// disturbed, what changes here is how many of the enabled ones are given away; the number for the next start
    /// is stored elsewhere (OID_NIC_SWITCH_PARAMETERS).
    ///
    /// # Errors
    /// Fewer than are in use, or more than are enabled; nothing has changed then.
    pub fn set_num_vfs(&mut self, now: Time, asked: u16) -> Result<(), NumVfsError> {
        let in_use = self.adapters.values().filter(|adapter| adapter.state().has_vf()).count();
        let (in_use, enabled) = (u16::try_from(in_use).unwrap_or(u16::MAX), self.budgets.enabled_vfs);
        if asked > enabled {
            return Err(NumVfsError::NotEnabled { asked, enabled });
        }
        if asked < in_use {
            return Err(NumVfsError::InUse { asked, in_use });
        }
        self.num_vfs = asked;
        self.handle(now, Event::Tick);
        Ok(())
    }

    /// How many VFs may be given.
    #[must_use]
    pub const fn num_vfs(&self) -> u16 {
        self.num_vfs
    }

    /// An adapter, to look at.
    #[must_use]
    pub fn adapter(&self, id: AdapterId) -> Option<AdapterView> {
        self.adapters.get(&id).map(|adapter| AdapterView::of(adapter, self.now))
    }

    /// All adapters, by number.
    pub fn adapters(&self) -> impl Iterator<Item = AdapterView> {
        self.adapters.values().map(|adapter| AdapterView::of(adapter, self.now))
    }

    /// The records after the one with this sequence number, of the last 1024.
    pub fn records_since(&self, sequence: u64) -> impl Iterator<Item = &Record> {
        self.out.history.since(sequence)
    }

    /// The sequence number of the last record; 0 if there is none.
    #[must_use]
    pub const fn last_record(&self) -> u64 {
        self.out.history.last()
    }

    /// Lets something happen to an adapter, and the adapter do what it can do then.
    fn with(&mut self, id: AdapterId, event: impl FnOnce(&mut Adapter, &mut Context<'_>)) {
        let Self { adapters, settings, vmms, now, out, .. } = self;
        let Some(adapter) = adapters.get_mut(&id) else { return };
        let mut cx = Context { now: *now, settings, vmm: vmms.contains(&adapter.spec.vm), out };
        event(adapter, &mut cx);
        adapter.advance(&mut cx);
    }

    fn with_holder(&mut self, vf: nic_switch::VfId, order: impl FnOnce(&mut Adapter)) {
        let holder =
            self.adapters.values().find(|adapter| adapter.vf() == Some(vf)).map(|adapter| adapter.id);
        if let Some(id) = holder {
            self.with(id, |adapter, _| order(adapter));
        }
    }

    fn set_adapter(&mut self, id: AdapterId, spec: AdapterSpec) {
        if !self.adapters.contains_key(&id) {
            self.arrivals += 1;
            let adapter = Adapter::new(id, spec.clone(), self.arrivals, self.now, &self.settings);
            self.adapters.insert(id, adapter);
        }
        self.with(id, |adapter, _| {
            adapter.spec = spec;
            adapter.removed = false;
        });
    }

    fn vmm_event(&mut self, vm: VmId, event: VmmEvent) {
        match event {
            VmmEvent::Connected { devices } => {
                self.vmms.insert(vm);
                self.with_vm(vm, |adapter, cx| {
                    let id = adapter.id;
                    let own = devices.iter().filter(|(of, _)| *of == id);
                    adapter.devices_listed(own.map(|(_, generation)| *generation), cx);
                });
            }
            VmmEvent::Lost => {
                self.vmms.remove(&vm);
                self.with_vm(vm, |_, _| ());
            }
            VmmEvent::Plugged(id, generation) => {
                self.with(id, |adapter, cx| adapter.plug_answered(generation, None, cx));
            }
            VmmEvent::PlugFailed(id, generation, error) => {
                self.with(id, |adapter, cx| adapter.plug_answered(generation, Some(error), cx));
            }
            VmmEvent::Deleted(id, generation) => {
                self.with(id, |adapter, _| adapter.device_deleted(generation));
            }
            VmmEvent::UnplugRefused(id, generation) => {
                self.with(id, |adapter, _| adapter.unplug_refused(generation));
            }
        }
    }

    fn with_vm(&mut self, vm: VmId, mut event: impl FnMut(&mut Adapter, &mut Context<'_>)) {
        let of_vm = |adapter: &&Adapter| adapter.spec.vm == vm;
        let ids: Vec<_> = self.adapters.values().filter(of_vm).map(|adapter| adapter.id).collect();
        for id in ids {
            self.with(id, &mut event);
        }
    }

    /// Carries out plans until nothing more follows: a VF that goes at once may be given at once.
    fn assign(&mut self) {
        loop {
            let Plan { leave, takers, assign, wait, again } = self.plan();
            self.again = again;
            let done = leave.is_empty() && assign.is_empty();
            for (id, reason) in wait {
                if let Some(adapter) = self.adapters.get_mut(&id) {
                    adapter.verdict = Some(reason);
                }
            }
            for id in takers {
                let (now, settings) = (self.now, &self.settings);
                self.adapters.entry(id).and_modify(|adapter| adapter.count_turn(now, settings));
            }
            for (id, cause) in leave {
                self.with(id, |adapter, cx| {
                    if matches!(cause, crate::Cause::Outweighed { .. }) {
                        adapter.count_turn(cx.now, cx.settings);
                    }
                    adapter.leave(cause, cx);
                });
            }
            for id in assign {
                self.with(id, Adapter::assign);
            }
            if done {
                return;
            }
        }
    }

    fn plan(&self) -> Plan {
        let has_vmm = |adapter: &Adapter| self.vmms.contains(&adapter.spec.vm);
        let circumstances = Circumstances {
            now: self.now,
            num_vfs: self.num_vfs,
            budgets: &self.budgets,
            settings: &self.settings,
            has_vmm: &has_vmm,
        };
        circumstances.plan(&self.adapters)
    }
}
