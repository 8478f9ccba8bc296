//! Adapters as they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::adapter::Adapter;
use crate::{AdapterId, Generation, NoVf, Path, Time, VfState, Vmm};

/// An adapter, its VF, and why it is not on one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdapterView {
    /// The adapter.
    pub adapter: AdapterId,
    /// Name of its VM.
    pub vm: String,
    /// Its name.
    pub name: String,
    /// Who plugs VFs into its VM.
    pub vmm: Vmm,
    /// IovWeight.
    pub weight: u8,
    /// Where it is in the life of a VF.
    pub state: VfState,
    /// Since when.
    pub since: Time,
    /// The path on which its guest is served, or was last.
    pub path: Path,
    /// Its frames are held.
    pub held: bool,
    /// Its guest hears on neither path, for so many nanoseconds.
    pub unserved_ns: Option<u64>,
    /// Its VF.
    pub vf: Option<u16>,
    /// The VPort of its VF.
    pub vport: Option<u32>,
    /// The assignment.
    pub generation: Option<Generation>,
    /// The VPort on which its receive filter stands.
    pub filter_on: Option<u32>,
    /// Why it is not on a VF; none if it is.
    pub no_vf: Option<NoVf>,
    /// The same as a sentence, and what would have to change.
    pub explanation: Option<String>,
}

impl AdapterView {
    pub(crate) fn of(adapter: &Adapter, now: Time) -> Self {
        let no_vf = no_vf(adapter);
        let unserved = adapter.unserved_for(now);
        Self {
            adapter: adapter.id,
            vm: adapter.spec.vm_name.clone(),
            name: adapter.spec.name.clone(),
            vmm: adapter.spec.vmm,
            weight: adapter.spec.weight,
            state: adapter.state(),
            since: adapter.state_since(),
            path: adapter.served_by(),
            held: adapter.gap.is_held(),
            unserved_ns: unserved.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            vf: adapter.vf().map(|vf| vf.0),
            vport: adapter.vport().map(|vport| vport.0),
            generation: adapter.generation(),
            filter_on: adapter.filter_on().map(|vport| vport.0),
            explanation: no_vf.as_ref().map(|reason| format!("{reason} {}", reason.remedy())),
            no_vf,
        }
    }
}

fn no_vf(adapter: &Adapter) -> Option<NoVf> {
    let leaving = adapter.leaving().cloned().map(|cause| NoVf::Leaving { cause });
    Some(match adapter.state() {
        VfState::Synthetic => adapter.verdict.clone().unwrap_or(NoVf::Next),
        VfState::Quarantined => {
            let refused = adapter.refused()?;
            NoVf::Quarantined { step: refused.step, error: refused.error.clone() }
        }
        _ if leaving.is_some() => return leaving,
        VfState::Allocating => NoVf::Allocating,
        VfState::Offered if adapter.spec.vmm == Vmm::ByHand => NoVf::PlugByHand,
        VfState::Offered => NoVf::Offered,
        VfState::Plugging => NoVf::Plugging,
        VfState::AwaitingDriver => NoVf::NoDriver,
        VfState::Activating => NoVf::Activating,
        VfState::Held => NoVf::RingClosed,
        VfState::Active | VfState::Leaving | VfState::Surprise | VfState::TearingDown => return None,
    })
}
