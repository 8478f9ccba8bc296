//! Who gets a VF.
//!
//! All adapters that may have a VF stand in a line: holders that are safe for now, then the heavier before the
//! lighter; of equal ones those that have a VF, and then the older. From its head on, each gets a VF for as long as
//! there are VFs, VPorts and queue pairs; one for which something is short is passed over. A holder for which
//! nothing is left gives its VF back, if a heavier adapter waits for it; one that waits gets its VF as soon as what
//! it needs is really free.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::adapter::Adapter;
use crate::no_vf::Budget;
use crate::{AdapterId, AdapterSpec, Budgets, Cause, NoVf, Settings, Time, VfState, Vmm};

/// What VFs need of the NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needs {
    vfs: u32,
    vports: u32,
    queue_pairs: u32,
}

impl Needs {
    const fn of(queue_pairs: u32) -> Self {
        Self { vfs: 1, vports: 1, queue_pairs }
    }

    /// What is left, if it is enough.
    fn without(self, other: Self) -> Option<Self> {
        Some(Self {
            vfs: self.vfs.checked_sub(other.vfs)?,
            vports: self.vports.checked_sub(other.vports)?,
            queue_pairs: self.queue_pairs.checked_sub(other.queue_pairs)?,
        })
    }

    /// What is left, or nothing where more is in use than there is.
    const fn less(self, other: Self) -> Self {
        Self {
            vfs: self.vfs.saturating_sub(other.vfs),
            vports: self.vports.saturating_sub(other.vports),
            queue_pairs: self.queue_pairs.saturating_sub(other.queue_pairs),
        }
    }
}

/// An adapter in the line.
#[derive(Clone, Debug)]
struct Claim {
    adapter: AdapterId,
    name: String,
    weight: u8,
    age: u64,
    needs: Needs,
    /// When it got the VF that it has.
    holds: Option<Time>,
    safe_until: Option<Time>,
}

impl Claim {
    fn is_safe(&self, now: Time) -> bool {
        self.safe_until.is_some_and(|until| now < until)
    }
}

/// What the line comes to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Holders that are to give their VFs back, and for whom.
    pub(crate) leave: Vec<(AdapterId, Cause)>,
    /// Who takes the VFs of others.
    pub(crate) takers: Vec<AdapterId>,
    /// Adapters that get a VF now.
    pub(crate) assign: Vec<AdapterId>,
    /// Why each of the others waits.
    pub(crate) wait: Vec<(AdapterId, NoVf)>,
    /// When the line changes although nothing happens.
    pub(crate) again: Option<Time>,
}

/// The NIC, the time, and which VMs can be asked.
pub(crate) struct Circumstances<'a> {
    pub(crate) now: Time,
    pub(crate) num_vfs: u16,
    pub(crate) budgets: &'a Budgets,
    pub(crate) settings: &'a Settings,
    pub(crate) has_vmm: &'a dyn Fn(&Adapter) -> bool,
}

impl Circumstances<'_> {
    /// Makes a plan for `adapters`.
    pub(crate) fn plan(&self, adapters: &BTreeMap<AdapterId, Adapter>) -> Plan {
        let mut plan = Plan::default();
        let all = Needs {
            vfs: u32::from(self.num_vfs),
            vports: self.budgets.vports(),
            queue_pairs: self.budgets.queue_pairs(),
        };
        // What nobody gets for an unknown time, and what is in use at all.
        let (mut in_line, mut free) = (all, all);
        let mut line: Vec<Claim> = Vec::new();
        for adapter in adapters.values() {
            let needs =
                Needs::of(adapter.assigned().map_or(adapter.spec.queue_pairs, |(_, spec)| spec.queue_pairs));
            if adapter.state().has_vf() {
                free = free.less(needs);
            }
            if adapter.state() == VfState::Quarantined {
                in_line = in_line.less(needs);
            }
            if adapter.leaving().is_some() {
                continue;
            }
            if adapter.state().has_vf() {
                match self.ends(adapter) {
                    Some(cause) => plan.leave.push((adapter.id, cause)),
                    None => line.push(self.claim(adapter, needs)),
                }
            } else {
                let blocked = self.forbids(adapter).map(|(reason, _)| reason);
                match blocked.or_else(|| self.cannot_begin(adapter)) {
                    Some(reason) => plan.wait.push((adapter.id, reason)),
                    None => line.push(self.claim(adapter, needs)),
                }
            }
        }
        let now = self.now;
        line.sort_by_key(|claim| {
            let heavier = Reverse((claim.is_safe(now), claim.weight, claim.holds.is_some()));
            (heavier, claim.holds, claim.age)
        });
        let uniform = self.uniform_queue_pairs(adapters);
        self.walk(&line, in_line, free, uniform, &mut plan);
        plan
    }

    fn claim(&self, adapter: &Adapter, needs: Needs) -> Claim {
        Claim {
            adapter: adapter.id,
            name: adapter.name(),
            weight: adapter.spec.weight,
            age: adapter.age,
            needs,
            holds: adapter.assigned().map(|(since, _)| since),
            safe_until: adapter.safe_until(self.now, self.settings),
        }
    }

    fn walk(
        &self,
        line: &[Claim],
        mut left: Needs,
        mut free: Needs,
        mut uniform: Option<u32>,
        plan: &mut Plan,
    ) {
        let mut holders: Vec<&Claim> = Vec::new();
        let mut crowded_out: Vec<&Claim> = Vec::new();
        let mut waiting: Vec<&Claim> = Vec::new();
        for claim in line {
            let asked = claim.needs.queue_pairs;
            if let Some(others) = uniform.filter(|others| *others != asked && claim.holds.is_none()) {
                plan.wait.push((claim.adapter, NoVf::Asymmetric { asked, others }));
                continue;
            }
            match (left.without(claim.needs), claim.holds) {
                (Some(rest), Some(_)) => {
                    left = rest;
                    holders.push(claim);
                }
                (Some(rest), None) => {
                    left = rest;
                    if let Some(rest) = free.without(claim.needs) {
                        free = rest;
                        holders.push(claim);
                        plan.assign.push(claim.adapter);
                        if !self.budgets.capabilities.asymmetric_queue_pairs {
                            uniform = Some(asked);
                        }
                    } else {
                        waiting.push(claim);
                        plan.wait.push((claim.adapter, NoVf::Next));
                    }
                }
                (None, Some(_)) => crowded_out.push(claim),
                (None, None) => {
                    let reason = self.passed_over(claim, left, &holders, plan);
                    plan.wait.push((claim.adapter, reason));
                }
            }
        }
        // The line is sorted, so the first one that waits is the heaviest. A VF in use is taken for a heavier one
        // only.
        let Some(heaviest) = waiting.first() else { return };
        for claim in crowded_out.into_iter().filter(|claim| claim.weight < heaviest.weight) {
            let (by, name, weight) = (heaviest.adapter, heaviest.name.clone(), heaviest.weight);
            plan.leave.push((claim.adapter, Cause::Outweighed { by, name, weight }));
            plan.takers.push(heaviest.adapter);
        }
    }

    /// Why there is no VF for `claim`.
    fn passed_over(&self, claim: &Claim, left: Needs, holders: &[&Claim], plan: &mut Plan) -> NoVf {
        let lighter = |holder: &&&Claim| holder.weight < claim.weight;
        let soon = holders
            .iter()
            .filter(lighter)
            .filter_map(|holder| Some((holder.safe_until?, holder)))
            .min_by_key(|(until, _)| *until);
        if let Some((until, holder)) = soon {
            plan.again = Some(plan.again.map_or(until, |again| again.min(until)));
            let (name, weight) = (holder.name.clone(), holder.weight);
            return NoVf::NotYet { holder: holder.adapter, name, weight, until };
        }
        let num_vfs = self.num_vfs;
        if left.vfs > 0 {
            let (budget, needs, left) = match left.vports {
                0 => (Budget::VPorts, claim.needs.vports, 0),
                _ => (Budget::QueuePairs, claim.needs.queue_pairs, left.queue_pairs),
            };
            return NoVf::BudgetExhausted { budget, needs, left };
        }
        match holders.iter().min_by_key(|holder| (holder.weight, Reverse(holder.age))) {
            Some(lightest) => NoVf::AllTaken {
                num_vfs,
                lightest: lightest.adapter,
                name: lightest.name.clone(),
                weight: lightest.weight,
            },
            None if num_vfs == 0 => NoVf::NoVfs,
            None => NoVf::Next,
        }
    }

    /// The queue pairs of all nondefault VPorts, on a NIC whose VPorts cannot differ.
    fn uniform_queue_pairs(&self, adapters: &BTreeMap<AdapterId, Adapter>) -> Option<u32> {
        if self.budgets.capabilities.asymmetric_queue_pairs {
            return None;
        }
        let of_vfs = adapters.values().find_map(|adapter| Some(adapter.assigned()?.1.queue_pairs));
        self.budgets.pf_vport_queue_pairs.or(of_vfs)
    }

    /// Why the VF of `adapter` is to go.
    fn ends(&self, adapter: &Adapter) -> Option<Cause> {
        let changed = |(_, made_for): (Time, &AdapterSpec)| adapter.spec.needs_another_vf(made_for);
        let forbidden = self.forbids(adapter).map(|(_, cause)| cause);
        forbidden.or_else(|| adapter.assigned().is_some_and(changed).then_some(Cause::AdapterChanged))
    }

    /// Why `adapter` must not have a VF, and the same as the cause for which it loses the one that it has.
    fn forbids(&self, adapter: &Adapter) -> Option<(NoVf, Cause)> {
        let spec = &adapter.spec;
        let vmm = (self.has_vmm)(adapter);
        if adapter.removed {
            return Some((NoVf::Removed, Cause::AdapterRemoved));
        }
        if !spec.above_nic {
            return Some((NoVf::NotAboveNic, Cause::NotAboveNic));
        }
        if spec.weight == 0 {
            return Some((NoVf::WeightZero, Cause::WeightZero));
        }
        if !adapter.is_running(vmm) {
            return Some((NoVf::VmNotRunning, Cause::VmStopped));
        }
        if let Some(forbids) = &adapter.forbids {
            let (forbids, reason) = (forbids.clone(), forbids.clone());
            return Some((NoVf::Policy { forbids }, Cause::Policy { reason }));
        }
        if adapter.kept_synthetic {
            return Some((NoVf::Operator, Cause::Operator));
        }
        if adapter.devices.keeps_other(adapter.current_device(), self.now) {
            return Some((NoVf::DeviceKept, Cause::DeviceKept));
        }
        None
    }

    /// Why `adapter` cannot be given a VF, though it could keep one.
    fn cannot_begin(&self, adapter: &Adapter) -> Option<NoVf> {
        let spec = &adapter.spec;
        if spec.vmm == Vmm::Qmp && !(self.has_vmm)(adapter) {
            return Some(NoVf::VmmUnreachable);
        }
        if let Some((cause, until)) = adapter.cooling(self.now) {
            return Some(NoVf::CoolingDown { cause: cause.clone(), until });
        }
        if !adapter.has_its_filter() {
            let refused = adapter.refused().map(|retry| retry.error.clone());
            return Some(NoVf::NoFilter { error: refused.unwrap_or_else(|| "it is being set".into()) });
        }
        let capabilities = &self.budgets.capabilities;
        let max = capabilities.max_queue_pairs_per_nondefault_vport;
        if !(1..=max).contains(&spec.queue_pairs) {
            return Some(NoVf::QueuePairs { asked: spec.queue_pairs, max });
        }
        None
    }
}
