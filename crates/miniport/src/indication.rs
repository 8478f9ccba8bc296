//! What an adapter tells the stack on its own account, with what it says (ndis.md A.2).

use nic_switch::{QueueId, QueueState};
use serde::{Deserialize, Serialize};

use crate::status::Indication;
use crate::wire;

/// `NDIS_RECEIVE_QUEUE_OPERATIONAL_STATE`, as others see a queue's state. It knows no queue that has yet to begin: such
/// a queue is paused (ndis.md 0.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueOperationalState {
    /// There is no such queue.
    Undefined,
    /// It receives.
    Running,
    /// It does not receive.
    Paused,
    /// It was freed, and no frame goes there any more.
    DmaStopped,
}

impl From<QueueState> for QueueOperationalState {
    fn from(state: QueueState) -> Self {
        match state {
            QueueState::Undefined => Self::Undefined,
            QueueState::Running => Self::Running,
            QueueState::Allocated | QueueState::Set | QueueState::Paused | QueueState::StopDma => {
                Self::Paused
            }
            QueueState::Freeing => Self::DmaStopped,
        }
    }
}

impl QueueOperationalState {
    /// Its number on the wire.
    pub const fn value(self) -> u32 {
        match self {
            Self::Undefined => 0,
            Self::Running => 1,
            Self::Paused => 2,
            Self::DmaStopped => 3,
        }
    }
}

/// `NDIS_STATUS_INDICATION`: an [`Indication`] and its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusIndication {
    /// `NDIS_STATUS_RECEIVE_QUEUE_STATE`: the DMA of a queue that was freed has stopped. No other state of a queue is
    /// indicated (ndis.md C.9).
    QueueDmaStopped {
        /// The queue.
        queue: QueueId,
    },
}

impl StatusIndication {
    /// Which indication it is, and thereby its number.
    pub const fn indication(self) -> Indication {
        match self {
            Self::QueueDmaStopped { .. } => Indication::ReceiveQueueState,
        }
    }

    /// The status buffer, here an `NDIS_RECEIVE_QUEUE_STATE`.
    pub fn buffer(self) -> Vec<u8> {
        match self {
            Self::QueueDmaStopped { queue } => wire::queue_state(queue, QueueOperationalState::DmaStopped),
        }
    }
}
