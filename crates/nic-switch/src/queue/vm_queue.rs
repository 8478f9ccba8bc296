//! A VM queue and its parameters, `NDIS_RECEIVE_QUEUE_PARAMETERS` (`spec/ndis.md` B.7).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ProcessorAffinity, QueueState, VPortId};

/// Identifies a receive queue, `NDIS_RECEIVE_QUEUE_ID`.
///
/// 0 is the default queue; the caller (the NDIS layer) chooses 1 and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueId(pub u32);

impl QueueId {
    /// `NDIS_DEFAULT_RECEIVE_QUEUE_ID`: always there, always running.
    pub const DEFAULT: Self = Self(0);

    /// The number as filters and forwarding decisions have it.
    #[must_use]
    pub const fn vport(self) -> VPortId {
        VPortId(self.0)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue {}", self.0)
    }
}

/// What is asked for when a queue is allocated.
///
/// Lookahead split, queue groups and scheduler queues have no members: NDIS 6.30 ended the first, the others are not
/// there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueParameters {
    /// `ProcessorAffinity`: the CPU that serves it, exactly one.
    pub affinity: ProcessorAffinity,
    /// `NumSuggestedReceiveBuffers`: a hint.
    pub suggested_receive_buffers: u32,
    /// `VmName`, opaque; at most [`crate::MAX_NAME_UNITS`] UTF-16 units.
    pub vm_name: String,
    /// `QueueName`, the same.
    pub queue_name: String,
    /// `PortId`: the port of the extensible switch behind which the VM is; opaque.
    pub port_id: u32,
}

/// What of a queue is to change; `None` leaves as it is. The other members are fixed at its allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueChanges {
    /// `AFFINITY_CHANGED`: another CPU, and with it perhaps another MSI-X vector.
    pub affinity: Option<ProcessorAffinity>,
    /// `SUGGESTED_RECV_BUFFER_NUMBERS_CHANGED`.
    pub suggested_receive_buffers: Option<u32>,
    /// `NAME_CHANGED`.
    pub queue_name: Option<String>,
}

/// A receive queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmQueue {
    pub(super) id: QueueId,
    pub(super) generation: u64,
    pub(super) state: QueueState,
    pub(super) affinity: Option<ProcessorAffinity>,
    pub(super) msix_table_entry: u32,
    pub(super) suggested_receive_buffers: u32,
    pub(super) vm_name: String,
    pub(super) queue_name: String,
    pub(super) port_id: u32,
}

impl VmQueue {
    pub(super) const fn default_queue() -> Self {
        Self {
            id: QueueId::DEFAULT,
            generation: 0,
            state: QueueState::Running,
            affinity: None,
            msix_table_entry: 0,
            suggested_receive_buffers: 0,
            vm_name: String::new(),
            queue_name: String::new(),
            port_id: 0,
        }
    }

    pub(super) fn allocated(
        id: QueueId,
        generation: u64,
        msix_table_entry: u32,
        parameters: QueueParameters,
    ) -> Self {
        let QueueParameters { affinity, suggested_receive_buffers, vm_name, queue_name, port_id } =
            parameters;
        Self {
            id,
            generation,
            state: QueueState::Allocated,
            affinity: Some(affinity),
            msix_table_entry,
            suggested_receive_buffers,
            vm_name,
            queue_name,
            port_id,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> QueueId {
        self.id
    }

    /// Which allocation this is, never used twice by an adapter: what was meant for an earlier queue of the same
    /// [`QueueId`] can be told apart and thrown away.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn state(&self) -> QueueState {
        self.state
    }

    /// The CPU that serves it; the default queue has none of its own.
    #[must_use]
    pub const fn affinity(&self) -> Option<ProcessorAffinity> {
        self.affinity
    }

    /// The MSI-X vector that interrupts its CPU, chosen by the adapter.
    #[must_use]
    pub const fn msix_table_entry(&self) -> u32 {
        self.msix_table_entry
    }

    /// The domain in which its interrupts are coalesced: queues that share a vector are interrupted together.
    #[must_use]
    pub const fn interrupt_coalescing_domain(&self) -> u32 {
        self.msix_table_entry
    }

    /// The hint how many receive buffers it should have.
    #[must_use]
    pub const fn suggested_receive_buffers(&self) -> u32 {
        self.suggested_receive_buffers
    }

    /// The opaque name of its VM.
    #[must_use]
    pub fn vm_name(&self) -> &str {
        &self.vm_name
    }

    /// Its opaque name.
    #[must_use]
    pub fn queue_name(&self) -> &str {
        &self.queue_name
    }

    /// The opaque port of the extensible switch.
    #[must_use]
    pub const fn port_id(&self) -> u32 {
        self.port_id
    }
}
