//! Where adapters are in the life of a VF, in words.

use std::collections::BTreeMap;

use api::types::{NoVfView, PathView, VfLifeView, VmmState, VmmView};
use serde::Serialize;
use virt_stack::desired::VmSpec;
use virt_stack::{AdapterView, Path, VfState};

use crate::daemon::Changing;
use crate::daemon::members::Member;

/// Which way the frames of an adapter go.
pub(in crate::daemon) fn path_view(life: Option<&AdapterView>, member: &Member) -> PathView {
    let on_vf = life.filter(|life| life.path == Path::Vf).and_then(|life| life.vf);
    match (on_vf, &member.queue) {
        (Some(vf), _) => PathView::Vf(vf),
        (None, Ok(vport)) => PathView::Queue(vport.0),
        (None, Err(_)) => PathView::Switch,
    }
}

/// Where an adapter is in the life of a VF; none if it has none.
pub(in crate::daemon) fn life_view(changing: &Changing, life: &AdapterView) -> Option<VfLifeView> {
    let generation = life.generation?;
    let since = changing.now().since(life.since);
    Some(VfLifeView {
        state: word(&life.state, None),
        text: state_text(life.state).to_owned(),
        generation: generation.0,
        since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    })
}

/// The lives of the VFs, by their numbers.
pub(super) fn lives(changing: &Changing) -> BTreeMap<u16, VfLifeView> {
    let lives = changing.stack.adapters().filter_map(|life| Some((life.vf?, life_view(changing, &life)?)));
    lives.collect()
}

/// Why an adapter has no VF. One that the stack does not know is of a NIC without SR-IOV.
pub(in crate::daemon) fn no_vf_view(life: Option<&AdapterView>) -> Option<NoVfView> {
    let Some(life) = life else {
        return Some(NoVfView {
            code: "sriov_off".to_owned(),
            reason: "SR-IOV is off: the NIC has VM queues instead of VFs.".to_owned(),
            remedy: Some(
                "Set sriov = true in [adapter] of the configuration, and restart softiov.".to_owned(),
            ),
        });
    };
    let no_vf = life.no_vf.as_ref()?;
    Some(NoVfView {
        code: word(no_vf, Some("reason")),
        reason: no_vf.to_string(),
        remedy: Some(no_vf.remedy()),
    })
}

/// How it stands with the VMM of a VM.
pub(super) fn vmm_view(changing: &Changing, vm: &VmSpec) -> VmmView {
    let state = changing.vm_ids.get(&vm.name).and_then(|id| changing.vmms.state(*id));
    let (state, version, error) = match state {
        None => (VmmState::ByHand, None, None),
        Some(vmm::State::Up(greeting)) => {
            (VmmState::Connected, Some(format!("QEMU {}", greeting.version)), None)
        }
        Some(vmm::State::Down(reason)) => (VmmState::Connecting, None, Some(reason.to_string())),
    };
    VmmView { qmp: vm.qmp.clone(), state, version, error }
}

/// The word by which a state or a reason is known; `tag` is the member that has it if it is an object.
pub(in crate::daemon) fn word(value: &impl Serialize, tag: Option<&str>) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    let word = tag.map_or(Some(&json), |tag| json.get(tag));
    word.and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned()
}

/// A state as a sentence.
pub(in crate::daemon) const fn state_text(state: VfState) -> &'static str {
    match state {
        VfState::Synthetic => "It has no VF.",
        VfState::Allocating => "Its VF is being made.",
        VfState::Offered => "Its VF waits at its socket to be plugged in.",
        VfState::Plugging => "Its VMM is plugging the VF in.",
        VfState::AwaitingDriver => "The VF is plugged in, and the guest's driver is not up.",
        VfState::Activating => "The guest's driver is up, and its receive filter is on the way to the VF.",
        VfState::Active => "The guest's driver is up, and its frames go by the VF.",
        VfState::Held => "The guest's driver closed its receive ring, and its frames are held.",
        VfState::Leaving => "The guest was asked to let go of the VF.",
        VfState::Surprise => "The VF is being taken away without the guest's consent.",
        VfState::TearingDown => "What was made of the VF is being undone.",
        VfState::Quarantined => "The NIC refuses to undo what was made of the VF; it is tried again.",
    }
}
