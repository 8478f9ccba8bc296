//! Changes of what is wanted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use virt_stack::desired::VmSpec;

/// All that is wanted. What is not named is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredState {
    /// The virtual machines. `vms` may be written as well.
    #[serde(rename = "vm", alias = "vms")]
    pub vms: Vec<VmSpec>,
}

/// What applying a desired state changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// It was done; false for a dry run.
    pub applied: bool,
    /// Each change, in the order in which they are done.
    pub changes: Vec<PlannedChange>,
    /// Adapters that lose the VF that they have, as `VM/ADAPTER`.
    pub lose_vf: Vec<String>,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedChange {
    /// What happens.
    pub kind: PlannedKind,
    /// The virtual machine.
    pub vm: String,
    /// The adapter; the virtual machine itself if absent.
    pub adapter: Option<String>,
    /// What differs, each as a sentence.
    #[schema(example = json!(["iov_weight is 20, was 100"]))]
    pub details: Vec<String>,
}

/// What happens to a virtual machine or an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlannedKind {
    /// It is new.
    Added,
    /// It stays, and something of it changes.
    Changed,
    /// It goes.
    Removed,
}

/// A change of the SR-IOV adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdapterChange {
    /// NumVFs: VFs that are enabled. Those in use are not disturbed.
    #[schema(example = 8)]
    pub num_vfs: u16,
}
