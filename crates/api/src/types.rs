//! What travels: the types of version 1 of the API.
//!
//! Plain data, the same for the daemon that gathers it, the JSON that travels and the text that a person reads. What is
//! wanted (`VmSpec`, `AdapterSpec`) comes from [`virt_stack::desired`]; these are what is, what is asked, and what is
//! answered.

mod capture;
mod events;
mod frame;
mod plan;
mod policy;
mod switch;
mod topology;
mod vf;
mod vm;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::capture::{CaptureDirection, CapturePoint, CaptureRequest, NoSuchWord, Stage};
pub use self::events::{EventKind, EventList, EventView, FailoverView, GapFramesView};
pub use self::frame::{DeliveryView, FrameContent, FrameRequest, LossView, StageView, TraceView};
pub use self::plan::{AdapterChange, DesiredState, PlanView, PlannedChange, PlannedKind};
pub use self::policy::{AclRuleView, PolicyChange};
pub use self::switch::{
    AddressChange, AddressView, CountersView, HostAdapterView, LinkView, PathView, PortView, QueueView,
    SwitchView, SyntheticDeviceView, SyntheticView, UplinkView,
};
pub use self::topology::{
    AdapterView, FilterView, OidView, ReasonCount, TopologyView, TrafficView, VPortView, WorkerView,
};
pub use self::vf::{VfDeviceView, VfLifeView, VfView};
pub use self::vm::{
    ExplainView, FailoverRequest, FailoverTarget, HolderView, NoVfView, VmAdapterView, VmView, VmmState,
    VmmView,
};

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// A sentence that names the bad value and what would be right.
    #[schema(example = "there is no VM \"alpha\": there are beta, gamma")]
    pub error: String,
    /// The same for programs: a word that does not change.
    #[schema(example = "no_such_vm")]
    pub code: String,
}

/// A text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextView {
    /// The text.
    pub text: String,
}

#[cfg(test)]
mod tests;
