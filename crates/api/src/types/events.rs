//! What happened.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PathView;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its number. The next event has the next one; they start at 1 with each start of the daemon.
    #[schema(example = 17)]
    pub sequence: u64,
    /// When, in milliseconds since 1970 UTC.
    pub time_ms: u64,
    /// What it is about.
    pub kind: EventKind,
    /// The virtual machine that it is about.
    pub vm: Option<String>,
    /// The adapter of it.
    pub adapter: Option<String>,
    /// What happened, as a sentence.
    #[schema(example = "alpha/net0 moved to VF 2: its driver is up")]
    pub text: String,
    /// Of a change of path: what it cost.
    pub failover: Option<FailoverView>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// What is wanted was changed.
    Desired,
    /// A VM monitor came, went or reported something.
    Vmm,
    /// A VF changed its state.
    Vf,
    /// An adapter changed its path.
    Failover,
    /// The daemon itself.
    Daemon,
}

/// A change of path and what it cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailoverView {
    /// Why, as a word: `driver_up`, `unplug`, `socket_closed` ...
    #[schema(example = "driver_up")]
    pub cause: String,
    /// The path until then.
    pub from: PathView,
    /// The path from then on.
    pub to: PathView,
    /// From the cause until the new path was in use, in microseconds.
    pub duration_us: u64,
    /// How long frames for the guest were held, in microseconds.
    pub gap_us: u64,
    /// The gap was longer than frames may be held.
    pub expired: bool,
    /// What became of the frames of the gap; none if the data path did not say in time.
    pub frames: Option<GapFramesView>,
}

/// What became of the frames of a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GapFramesView {
    /// Frames that were held and then delivered.
    pub held: u64,
    /// Frames that were lost.
    pub lost: u64,
    /// Frames that the guest got twice.
    pub duplicated: u64,
    /// Frames that overtook others.
    pub reordered: u64,
}

/// Events of the past.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The events, the oldest first.
    pub events: Vec<EventView>,
    /// Number of the oldest event that is kept; that of the next event if there is none yet.
    pub oldest: u64,
    /// Number of the latest event, 0 if there is none yet.
    pub latest: u64,
}
