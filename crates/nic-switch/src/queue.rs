//! VM queues: the receive queues of an adapter whose SR-IOV is off (`spec/ndis.md` A.4, B.7, C.9).
//!
//! Such an adapter has no NIC switch. A frame of the wire that a filter of a running queue matches goes straight to the
//! queue, thus to one VM; everything else of the wire goes to the default queue, behind which is the extensible switch.
//! Queues only receive: the extensible switch sends by the default queue's number, and its frames go to the wire, even
//! if a filter matches them.
//!
//! ```text
//!   ALLOCATE_QUEUE   SET_FILTER    ALLOCATION_COMPLETE      last CLEAR_FILTER
//!   ----> Allocated ----------> Set ----------> Running <-------------> Paused
//!             |                                          SET_FILTER       |
//!             +------------------- FREE_QUEUE ---> StopDma <--------------+
//!                                     DMA stopped     |
//!                                     <--- Freeing <--+
//!                            all frames returned
//! ```
//!
//! ([`QueueState::on`] has all of it.) Where VPorts and queues meet, in [`Filter::vport`] and in [`Egress`], the id of a
//! queue stands as a [`VPortId`] of the same number: an adapter has queues or VPorts, never both.
//!
//! [`Egress`]: crate::Egress

mod capabilities;
mod error;
mod filters;
mod state;
#[cfg(test)]
mod tests;
mod vector;
mod vm_queue;

use std::collections::BTreeMap;

use crate::filter_table::FilterTable;
use crate::switch::check_name;
use crate::{Forwarding, ProcessorAffinity};

pub use capabilities::QueueCapabilities;
pub use error::QueueError;
pub use state::{QueueEvent, QueueState};
pub use vm_queue::{QueueChanges, QueueId, QueueParameters, VmQueue};

#[cfg(doc)]
use crate::{Filter, VPortId};

/// The receive queues of an adapter and their filters.
///
/// Every request either takes place wholly or is refused with a [`QueueError`] and changes nothing. What the frames obey
/// is a [`Forwarding`] made by [`VmQueues::snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmQueues {
    capabilities: QueueCapabilities,
    generation: u64,
    allocations: u64,
    /// Always contains the default queue.
    queues: BTreeMap<QueueId, VmQueue>,
    filters: FilterTable,
}

impl VmQueues {
    /// The queues of an adapter that starts: the default one.
    #[must_use]
    pub fn create(capabilities: QueueCapabilities) -> Self {
        Self {
            capabilities,
            generation: 0,
            allocations: 0,
            queues: BTreeMap::from([(QueueId::DEFAULT, VmQueue::default_queue())]),
            filters: FilterTable::default(),
        }
    }

    /// What the adapter can do.
    #[must_use]
    pub const fn capabilities(&self) -> &QueueCapabilities {
        &self.capabilities
    }

    /// A number that grows with every change of what [`VmQueues::snapshot`] depends on.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// OID_RECEIVE_FILTER_ALLOCATE_QUEUE: allocates a queue under an id that the caller (the NDIS layer) chose.
    ///
    /// # Errors
    /// An id out of range or taken; a name too long; an affinity of not exactly one CPU; every queue in use.
    pub fn allocate(&mut self, id: QueueId, parameters: QueueParameters) -> Result<(), QueueError> {
        let max = self.capabilities.max_queues;
        // Before the id: when all are in use, there is no free id to ask with.
        if self.queues.len() > usize::try_from(max).unwrap_or(usize::MAX) {
            return Err(QueueError::NoFreeQueue { max });
        }
        if !(1..=max).contains(&id.0) {
            return Err(QueueError::QueueIdOutOfRange { queue: id, max });
        }
        if self.queues.contains_key(&id) {
            return Err(QueueError::QueueExists { queue: id });
        }
        check_name(&parameters.vm_name)?;
        check_name(&parameters.queue_name)?;
        check_affinity(id, parameters.affinity)?;

        let msix_table_entry = self.vector_for(id, parameters.affinity);
        self.allocations += 1;
        self.queues.insert(id, VmQueue::allocated(id, self.allocations, msix_table_entry, parameters));
        self.generation += 1;
        Ok(())
    }

    /// OID_RECEIVE_FILTER_QUEUE_PARAMETERS, set: changes a queue, all changes or none.
    ///
    /// # Errors
    /// The default queue; no such queue; a queue that is going; a name too long; an affinity of not exactly one CPU.
    pub fn update(&mut self, id: QueueId, changes: QueueChanges) -> Result<(), QueueError> {
        if id == QueueId::DEFAULT {
            return Err(QueueError::DefaultQueue { event: QueueEvent::Parameters });
        }
        self.check(id, QueueEvent::Parameters)?;
        if let Some(name) = &changes.queue_name {
            check_name(name)?;
        }
        let mut moved = None;
        if let Some(affinity) = changes.affinity {
            check_affinity(id, affinity)?;
            moved = Some((affinity, self.vector_for(id, affinity)));
        }

        let queue = self.queue_mut(id)?;
        if let Some((affinity, msix_table_entry)) = moved {
            queue.affinity = Some(affinity);
            queue.msix_table_entry = msix_table_entry;
        }
        queue.queue_name = changes.queue_name.unwrap_or_else(|| std::mem::take(&mut queue.queue_name));
        queue.suggested_receive_buffers =
            changes.suggested_receive_buffers.unwrap_or(queue.suggested_receive_buffers);
        Ok(())
    }

    /// OID_RECEIVE_FILTER_QUEUE_ALLOCATION_COMPLETE, for one of its queues: a queue with filters runs from now on.
    ///
    /// # Errors
    /// The default queue, no such queue, or one whose allocation is complete already.
    pub fn complete_allocation(&mut self, id: QueueId) -> Result<(), QueueError> {
        self.pass(id, QueueEvent::AllocationComplete)
    }

    /// OID_RECEIVE_FILTER_FREE_QUEUE: the queue waits until [`VmQueues::dma_stopped`] says that no frame goes there any
    /// more.
    ///
    /// # Errors
    /// The default queue, no such queue, or one that has filters or is going already.
    pub fn free(&mut self, id: QueueId) -> Result<(), QueueError> {
        self.pass(id, QueueEvent::Free)
    }

    /// No frame goes into the queue any more: it waits until [`VmQueues::returned`] says that all have come back.
    ///
    /// # Errors
    /// The default queue, no such queue, or one that was not freed or has heard of this already.
    pub fn dma_stopped(&mut self, id: QueueId) -> Result<(), QueueError> {
        self.pass(id, QueueEvent::DmaStopped)
    }

    /// All frames that were indicated on the queue have come back: it is no more. Returns what it was.
    ///
    /// # Errors
    /// The default queue, no such queue, or one whose DMA has not stopped.
    pub fn returned(&mut self, id: QueueId) -> Result<VmQueue, QueueError> {
        self.check(id, QueueEvent::Returned)?;
        self.generation += 1;
        self.queues.remove(&id).ok_or(QueueError::QueueNotFound { queue: id })
    }

    /// Whether `event` may befall the queue now; the state to which that leads it.
    ///
    /// The default queue always runs: it takes filters and frames, and tells its parameters.
    ///
    /// # Errors
    /// No such queue, or an event that is illegal in its state.
    pub fn check(&self, id: QueueId, event: QueueEvent) -> Result<QueueState, QueueError> {
        let state = self.queue(id).ok_or(QueueError::QueueNotFound { queue: id })?.state;
        if id == QueueId::DEFAULT {
            return if event.befalls_default_queue() {
                Ok(state)
            } else {
                Err(QueueError::DefaultQueue { event })
            };
        }
        state.on(event).ok_or(QueueError::WrongState { queue: id, state, event })
    }

    /// The queue, if it exists.
    #[must_use]
    pub fn queue(&self, id: QueueId) -> Option<&VmQueue> {
        self.queues.get(&id)
    }

    /// The queues by ascending id, the default one first.
    pub fn queues(&self) -> impl Iterator<Item = &VmQueue> {
        self.queues.values()
    }

    /// The forwarding state for the data path, to be replaced whole when [`VmQueues::generation`] has grown.
    ///
    /// `physical_port`: whether the adapter has one; without it, frames of the extensible switch go nowhere.
    #[must_use]
    pub fn snapshot(&self, physical_port: bool) -> Forwarding {
        Forwarding::compile_queues(self, physical_port)
    }

    fn queue_mut(&mut self, id: QueueId) -> Result<&mut VmQueue, QueueError> {
        self.queues.get_mut(&id).ok_or(QueueError::QueueNotFound { queue: id })
    }

    /// Lets `event` befall the queue.
    fn pass(&mut self, id: QueueId, event: QueueEvent) -> Result<(), QueueError> {
        let state = self.check(id, event)?;
        self.queue_mut(id)?.state = state;
        self.generation += 1;
        Ok(())
    }
}

/// Each queue is served by one CPU, as a VPort of the PF is.
const fn check_affinity(queue: QueueId, affinity: ProcessorAffinity) -> Result<(), QueueError> {
    match affinity.mask.count_ones() {
        1 => Ok(()),
        cpus => Err(QueueError::AffinityNotOneCpu { queue, cpus }),
    }
}
