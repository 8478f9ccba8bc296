//! What a change of what is wanted comes to, before it is made or instead of it.

use std::cmp::Reverse;

use api::types::{DesiredState, PlanView, PlannedChange, PlannedKind};
use serde_json::{Map, Value};
use virt_stack::desired::{AdapterSpec, Name, VmSpec};
use virt_stack::{AdapterId, NoVf, Path};

use super::desired::Plan;
use super::error::DaemonError;
use super::limits::{self, Share};
use super::members::{Member, filter_test, is_remade};
use super::{Changing, Core};

impl Core {
    /// Has `desired` be all that is wanted, or only says what that would change.
    pub(super) fn apply(&self, desired: &DesiredState, dry_run: bool) -> Result<PlanView, DaemonError> {
        let mut changing = self.lock();
        let wanted = desired.vms.clone();
        let lose_vf = self.losers(&changing, &wanted);
        let changes = if dry_run {
            self.config.check_vms(&wanted).map_err(DaemonError::Conflict)?;
            Share::new(limits::demand(&self.config, &wanted), self.fds)?;
            let plan = Plan::new(&changing, &wanted);
            self.refuse_in_use(&changing, &[&plan.removed[..], &plan.remade].concat())?;
            changes(&changing.vms, &wanted)
        } else {
            self.commit(&mut changing, wanted)?
        };
        Ok(PlanView { applied: !dry_run, changes, lose_vf })
    }

    /// The adapters that have a VF and would lose it, as far as that can be foretold: who gets a VF also depends on
    /// what guests and VMMs do meanwhile.
    fn losers(&self, changing: &Changing, wanted: &[VmSpec]) -> Vec<String> {
        let mut lose = Vec::new();
        // Those who compete: weight, whether it has a VF, and since when it is there.
        let mut rivals = Vec::new();
        for (id, member) in &changing.members {
            let Some(life) = changing.stack.adapter(*id) else { continue };
            let holds = life.vf.is_some();
            let waits = matches!(
                life.no_vf,
                Some(NoVf::AllTaken { .. } | NoVf::NotYet { .. } | NoVf::Next | NoVf::WeightZero)
            );
            match self.keeps_vf(member, wanted) {
                Some(weight) if holds || (waits && life.path == Path::Synthetic) => {
                    rivals.push((Reverse(weight), !holds, *id));
                }
                None if holds => lose.push(*id),
                _ => {}
            }
        }
        rivals.sort_unstable();
        let beaten = rivals.iter().skip(usize::from(changing.stack.num_vfs()));
        lose.extend(beaten.filter(|(_, waits, _)| !waits).map(|(.., id)| *id));
        lose.sort_unstable();
        let name = |id: &AdapterId| changing.members.get(id).map(Member::full_name);
        lose.iter().filter_map(name).collect()
    }

    /// The weight with which an adapter can keep its VF; none if it cannot.
    fn keeps_vf(&self, member: &Member, wanted: &[VmSpec]) -> Option<u8> {
        let vm = wanted.iter().find(|vm| vm.name == member.vm)?;
        let (_, after) = vm.named_adapters().find(|(name, _)| *name == member.name)?;
        let before = &member.spec;
        let of_vf = |spec: &AdapterSpec| {
            let test = filter_test(spec.mac.0, &spec.policy());
            (test, spec.iov_queue_pairs, spec.iov_interrupt_moderation)
        };
        let same = !is_remade(before, after)
            && of_vf(before) == of_vf(after)
            && member.has_qmp == vm.qmp.is_some()
            && self.config.is_above_adapter(after);
        let forbidden = self.parts.switchboard.with(|board| {
            let switch = self.config.switch_of(after).and_then(|number| board.switches.get(number));
            switch.is_some_and(|switch| switch.policy_forbids_vf(&after.policy()).is_some())
        });
        Some(after.iov_weight.0).filter(|weight| *weight > 0 && same && !forbidden)
    }
}

/// What differs between `before` and `wanted`: what goes, what comes, what changes.
pub(super) fn changes(before: &[VmSpec], wanted: &[VmSpec]) -> Vec<PlannedChange> {
    let mut changes = Vec::new();
    let find = |vms: &[VmSpec], name: &Name| vms.iter().find(|vm| vm.name == *name).cloned();
    for vm in before {
        let Some(after) = find(wanted, &vm.name) else {
            changes.push(change(PlannedKind::Removed, vm, None, Vec::new()));
            continue;
        };
        for (name, _) in vm.named_adapters().filter(|(name, _)| adapter(&after, name).is_none()) {
            changes.push(change(PlannedKind::Removed, vm, Some(&name), Vec::new()));
        }
    }
    for vm in wanted {
        let Some(before) = find(before, &vm.name) else {
            changes.push(change(PlannedKind::Added, vm, None, Vec::new()));
            for (name, spec) in vm.named_adapters() {
                changes.push(change(
                    PlannedKind::Added,
                    vm,
                    Some(&name),
                    vec![format!("mac is {}", spec.mac.0)],
                ));
            }
            continue;
        };
        if before.qmp != vm.qmp {
            let of = |vm: &VmSpec| {
                vm.qmp.as_ref().map_or_else(|| "none".into(), |path| path.display().to_string())
            };
            let detail = format!("qmp is {}, was {}", of(vm), of(&before));
            changes.push(change(PlannedKind::Changed, vm, None, vec![detail]));
        }
        for (name, spec) in vm.named_adapters() {
            match adapter(&before, &name) {
                None => {
                    let details = vec![format!("mac is {}", spec.mac.0)];
                    changes.push(change(PlannedKind::Added, vm, Some(&name), details));
                }
                Some(old) => {
                    let details = differences(old, spec);
                    if !details.is_empty() {
                        changes.push(change(PlannedKind::Changed, vm, Some(&name), details));
                    }
                }
            }
        }
    }
    changes
}

fn change(kind: PlannedKind, vm: &VmSpec, adapter: Option<&Name>, details: Vec<String>) -> PlannedChange {
    PlannedChange { kind, vm: vm.name.to_string(), adapter: adapter.map(Name::to_string), details }
}

fn adapter<'a>(vm: &'a VmSpec, name: &Name) -> Option<&'a AdapterSpec> {
    vm.named_adapters().find_map(|(known, spec)| (known == *name).then_some(spec))
}

/// What differs, each as a sentence.
fn differences(before: &AdapterSpec, after: &AdapterSpec) -> Vec<String> {
    let [before, after] = [before, after].map(|spec| {
        let mut members = Map::new();
        flatten("", serde_json::to_value(spec).unwrap_or_default(), &mut members);
        members
    });
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let sentence = |key: &String| {
        let (old, new) = (before.get(key), after.get(key));
        (old != new).then(|| format!("{key} is {}, was {}", text(new), text(old)))
    };
    // By its name it is known here, whether that is written or comes from its place.
    keys.into_iter().filter(|key| *key != "name").filter_map(sentence).collect()
}

/// The members of `value`, those of objects in it with their paths.
fn flatten(path: &str, value: Value, members: &mut Map<String, Value>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(&path, value, members);
            }
        }
        value => {
            members.insert(path.to_owned(), value);
        }
    }
}
