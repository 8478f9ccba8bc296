//! What happened, to be shown: every change of state and every switch of path.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AdapterId, Cause, Generation, Path, Time, VfState};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// 1 for the first, then one more for each.
    pub sequence: u64,
    /// When.
    pub at: Time,
    /// To whom.
    pub adapter: AdapterId,
    /// Its VM and name.
    pub name: String,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum What {
    /// The life of its VF went on.
    Transition(Transition),
    /// Its guest went from one path to the other, or back to the same.
    Failover(Failover),
    /// The NIC refused a request for it.
    OidRefused {
        /// What was asked for, and why it was refused.
        cause: Cause,
    },
}

/// The life of a VF went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    /// The assignment.
    pub generation: Generation,
    /// The number of the VF, once it is known.
    pub vf: Option<u16>,
    /// From here.
    pub from: VfState,
    /// To here.
    pub to: VfState,
    /// For this reason.
    pub because: Cause,
}

/// A switch of path, from the moment in which the guest no longer heard on its path, or in which the switch was
/// decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failover {
    /// Why.
    pub because: Cause,
    /// The path before.
    pub from: Path,
    /// The path now. The same as before if the guest's driver began anew.
    pub to: Path,
    /// When it began: when the guest was asked to leave its VF, or else with the gap.
    pub start: Time,
    /// From then until the guest was served again.
    #[schema(value_type = u64)]
    #[serde(with = "nanoseconds", rename = "duration_ns")]
    pub duration: Duration,
    /// How long the guest heard on neither path, for as long as frames may be held: the gap.
    #[schema(value_type = u64)]
    #[serde(with = "nanoseconds", rename = "held_for_ns")]
    pub held_for: Duration,
    /// The gap was longer than frames may be held.
    pub expired: bool,
    /// What became of the frames of the gap; none if the data path did not say in time.
    pub frames: Option<GapFrames>,
}

/// What became of the frames that were held, as the data path has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GapFrames {
    /// Held and delivered.
    pub held: u64,
    /// Lost.
    pub lost: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Delivered after a later one of the same sender.
    pub reordered: u64,
}

mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

/// The last records.
#[derive(Debug, Default)]
pub(crate) struct History {
    records: VecDeque<Record>,
    last: u64,
}

impl History {
    /// How many records are kept.
    pub(crate) const LENGTH: usize = 1024;

    pub(crate) fn push(&mut self, at: Time, adapter: AdapterId, name: String, what: What) -> Record {
        self.last += 1;
        let record = Record { sequence: self.last, at, adapter, name, what };
        if self.records.len() == Self::LENGTH {
            self.records.pop_front();
        }
        self.records.push_back(record.clone());
        record
    }

    /// The records with a greater sequence number, as far as they are kept.
    pub(crate) fn since(&self, sequence: u64) -> impl Iterator<Item = &Record> {
        let first = self.records.partition_point(|record| record.sequence <= sequence);
        self.records.range(first..)
    }

    pub(crate) const fn last(&self) -> u64 {
        self.last
    }
}
