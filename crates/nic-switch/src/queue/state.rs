//! The life of a VM queue (`spec/ndis.md` C.9): which event is legal when, and to what it leads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a queue is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// There is no such queue.
    Undefined,
    /// It has its resources and is empty.
    Allocated,
    /// It has filters too, and waits for the end of the allocation.
    Set,
    /// It receives.
    Running,
    /// Its allocation is complete, and it has no filters.
    Paused,
    /// It was freed; frames may still be on their way into it.
    StopDma,
    /// No frame goes there any more; those that went have not all come back.
    Freeing,
}

/// What can befall a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueEvent {
    /// ALLOCATE_QUEUE.
    Allocate,
    /// QUEUE_PARAMETERS, query or set.
    Parameters,
    /// SET_FILTER.
    SetFilter,
    /// CLEAR_FILTER of the only filter.
    ClearLastFilter,
    /// CLEAR_FILTER of one of several.
    ClearFilter,
    /// ENUM_FILTERS.
    EnumFilters,
    /// A query of the parameters of one of its filters.
    FilterParameters,
    /// QUEUE_ALLOCATION_COMPLETE.
    AllocationComplete,
    /// A frame that one of its filters matches.
    ReceivePacket,
    /// FREE_QUEUE.
    Free,
    /// No frame goes there any more, which is indicated.
    DmaStopped,
    /// All frames have come back, and its memory is freed.
    Returned,
}

impl QueueState {
    /// Every state, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Undefined,
        Self::Allocated,
        Self::Set,
        Self::Running,
        Self::Paused,
        Self::StopDma,
        Self::Freeing,
    ];

    /// The state to which `event` leads from this one; `None` if it is illegal.
    #[must_use]
    pub const fn on(self, event: QueueEvent) -> Option<Self> {
        use QueueEvent as Event;
        Some(match (self, event) {
            (Self::Undefined, Event::Allocate) | (Self::Set, Event::ClearLastFilter) => Self::Allocated,
            (Self::Allocated | Self::Set, Event::SetFilter) | (Self::Set, Event::ClearFilter) => Self::Set,
            (Self::Running | Self::Paused, Event::SetFilter)
            | (Self::Running, Event::ClearFilter | Event::ReceivePacket)
            | (Self::Set, Event::AllocationComplete) => Self::Running,
            (Self::Allocated, Event::AllocationComplete) | (Self::Running, Event::ClearLastFilter) => {
                Self::Paused
            }
            (Self::Allocated | Self::Paused, Event::Free) => Self::StopDma,
            (Self::StopDma, Event::DmaStopped) => Self::Freeing,
            (Self::Freeing, Event::Returned) => Self::Undefined,
            (
                Self::Allocated | Self::Set | Self::Running | Self::Paused,
                Event::Parameters | Event::EnumFilters,
            )
            | (Self::Set | Self::Running, Event::FilterParameters) => self,
            _ => return None,
        })
    }

    /// Whether frames go into a queue in this state.
    #[must_use]
    pub const fn receives(self) -> bool {
        self.on(QueueEvent::ReceivePacket).is_some()
    }
}

impl QueueEvent {
    /// Every event, in the order of the table.
    pub const ALL: [Self; 12] = [
        Self::Allocate,
        Self::Parameters,
        Self::SetFilter,
        Self::ClearLastFilter,
        Self::ClearFilter,
        Self::EnumFilters,
        Self::FilterParameters,
        Self::AllocationComplete,
        Self::ReceivePacket,
        Self::Free,
        Self::DmaStopped,
        Self::Returned,
    ];

    /// Whether this can befall the default queue, which always runs.
    pub(super) const fn befalls_default_queue(self) -> bool {
        !matches!(
            self,
            Self::Allocate | Self::AllocationComplete | Self::Free | Self::DmaStopped | Self::Returned
        )
    }
}

impl fmt::Display for QueueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undefined => "Undefined",
            Self::Allocated => "Allocated",
            Self::Set => "Set",
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::StopDma => "StopDMA",
            Self::Freeing => "Freeing",
        })
    }
}

impl fmt::Display for QueueEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allocate => "be allocated",
            Self::Parameters => "be asked for or given parameters",
            Self::SetFilter => "take a filter",
            Self::ClearLastFilter | Self::ClearFilter => "lose a filter",
            Self::EnumFilters => "list its filters",
            Self::FilterParameters => "tell the parameters of a filter",
            Self::AllocationComplete => "complete its allocation",
            Self::ReceivePacket => "receive",
            Self::Free => "be freed",
            Self::DmaStopped => "stop its DMA",
            Self::Returned => "get its last frames back",
        })
    }
}
