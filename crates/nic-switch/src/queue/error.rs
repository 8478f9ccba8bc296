//! Why a request that concerns a VM queue was refused. A refused request changes nothing.

use crate::{ErrorKind, QueueEvent, QueueId, QueueState, SwitchError};

/// A request that the VM queues refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the values named in the messages")]
pub enum QueueError {
    /// No such queue.
    #[error("{queue} does not exist")]
    QueueNotFound { queue: QueueId },
    /// The id is the default queue's or too large.
    #[error("{queue} cannot be allocated: ids of VM queues go from 1 to {max}")]
    QueueIdOutOfRange { queue: QueueId, max: u32 },
    /// The id is taken.
    #[error("{queue} exists already")]
    QueueExists { queue: QueueId },
    /// The queues are used up.
    #[error("all {max} VM queues are in use")]
    NoFreeQueue { max: u32 },
    /// The table of C.9 has no such cell.
    #[error("{queue} cannot {event}: it is in the state {state}")]
    WrongState { queue: QueueId, state: QueueState, event: QueueEvent },
    /// The default queue is always there and always runs.
    #[error("the default queue always runs: it cannot {event}")]
    DefaultQueue { event: QueueEvent },
    /// A queue is served by one CPU.
    #[error("{queue} needs exactly one CPU in its affinity mask, not {cpus}")]
    AffinityNotOneCpu { queue: QueueId, cpus: u32 },
    /// What queues and the NIC switch check alike: names and filters.
    #[error(transparent)]
    Common(#[from] SwitchError),
}

impl QueueError {
    /// What kind of refusal this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::QueueNotFound { .. } => ErrorKind::NotFound,
            Self::NoFreeQueue { .. } => ErrorKind::Exhausted,
            Self::Common(error) => error.kind(),
            _ => ErrorKind::InvalidParameter,
        }
    }
}
