//! VM queues: what the driver has instead of a NIC switch while SR-IOV is off (ndis.md C.9).

use nic_switch::{
    Filter, FilterId, FilterTest, QueueCapabilities, QueueChanges, QueueId, QueueParameters, QueueState,
    VmQueue, VmQueues,
};

use super::PfDriver;
use crate::action::Action;
use crate::indication::StatusIndication;
use crate::refusal::Refusal;

impl PfDriver {
    /// `MiniportInitializeEx` with VM queues: the default queue is there from now on.
    pub(crate) fn enable_queues(&mut self, capabilities: QueueCapabilities, actions: &mut Vec<Action>) {
        self.queues = Some(VmQueues::create(capabilities));
        self.epoch += 1;
        actions.push(Action::PublishForwarding);
    }

    /// `MiniportHaltEx` with VM queues: no frame goes anywhere, and then the queues go.
    pub(super) fn disable_queues(&mut self, actions: &mut Vec<Action>) {
        let Some(queues) = self.queues.take() else { return };
        actions.push(Action::PublishForwarding);
        let attached = queues.queues().filter(|queue| queue.id() != QueueId::DEFAULT);
        actions.extend(attached.map(|queue| Action::DetachQueue {
            queue: queue.id(),
            generation: self.generation_of_queue(queue),
        }));
    }

    /// The queues, while the adapter runs with such.
    pub(crate) fn queues(&self) -> Option<&VmQueues> {
        self.queues.as_ref()
    }

    /// The queue, if it exists.
    pub(crate) fn queue(&self, id: QueueId) -> Result<&VmQueue, Refusal> {
        self.enabled_queues()?.queue(id).ok_or(Refusal::UnknownQueue { queue: id })
    }

    pub(crate) fn enabled_queues(&self) -> Result<&VmQueues, Refusal> {
        self.queues.as_ref().ok_or(Refusal::Halted)
    }

    fn queues_mut(&mut self) -> Result<&mut VmQueues, Refusal> {
        self.queues.as_mut().ok_or(Refusal::Halted)
    }

    /// Which allocation of the queue this is, over all starts of the adapter.
    pub(crate) fn generation_of_queue(&self, queue: &VmQueue) -> u64 {
        u64::from(self.epoch) << 32 | queue.generation()
    }

    /// OID_RECEIVE_FILTER_ALLOCATE_QUEUE.
    pub(crate) fn allocate_queue(
        &mut self,
        id: QueueId,
        parameters: QueueParameters,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        self.queues_mut()?.allocate(id, parameters)?;
        let queue = self.queue(id)?;
        actions.push(Action::AttachQueue {
            queue: id,
            generation: self.generation_of_queue(queue),
            affinity: queue.affinity(),
            msix_table_entry: queue.msix_table_entry(),
            interrupt_coalescing_domain: queue.interrupt_coalescing_domain(),
        });
        Ok(())
    }

    /// OID_RECEIVE_FILTER_QUEUE_PARAMETERS, set.
    pub(crate) fn update_queue(
        &mut self,
        id: QueueId,
        changes: QueueChanges,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let moves = changes.affinity.is_some();
        self.queues_mut()?.update(id, changes)?;
        if moves {
            let queue = self.queue(id)?;
            actions.push(Action::ConfigureQueue {
                queue: id,
                generation: self.generation_of_queue(queue),
                affinity: queue.affinity(),
                msix_table_entry: queue.msix_table_entry(),
                interrupt_coalescing_domain: queue.interrupt_coalescing_domain(),
            });
        }
        Ok(())
    }

    /// OID_RECEIVE_FILTER_QUEUE_ALLOCATION_COMPLETE, for one queue of the batch.
    pub(crate) fn complete_queue_allocation(
        &mut self,
        id: QueueId,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        self.queues_mut()?.complete_allocation(id)?;
        if self.queue(id)?.state() == QueueState::Running {
            actions.push(Action::PublishForwarding);
        }
        Ok(())
    }

    /// OID_RECEIVE_FILTER_FREE_QUEUE: begins it. No filter leads to the queue any more; what is on its way there is for
    /// the data path to say.
    pub(crate) fn free_queue(&mut self, id: QueueId, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        self.queues_mut()?.free(id)?;
        let generation = self.generation_of_queue(self.queue(id)?);
        actions.push(Action::StopQueue { queue: id, generation });
        Ok(())
    }

    /// The data path stopped the queue's DMA, which is indicated now and never before.
    pub(crate) fn queue_dma_stopped(
        &mut self,
        id: QueueId,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        self.queues_mut()?.dma_stopped(id)?;
        actions.push(Action::Indicate(StatusIndication::QueueDmaStopped { queue: id }));
        Ok(())
    }

    /// All frames of the queue came back: it is no more.
    pub(crate) fn queue_returned(&mut self, id: QueueId, actions: &mut Vec<Action>) -> Result<(), Refusal> {
        let queue = self.queues_mut()?.returned(id)?;
        let generation = self.generation_of_queue(&queue);
        actions.push(Action::DetachQueue { queue: id, generation });
        Ok(())
    }

    /// OID_RECEIVE_FILTER_SET_FILTER on a queue.
    pub(crate) fn set_queue_filter(
        &mut self,
        id: FilterId,
        queue: QueueId,
        test: FilterTest,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        self.queues_mut()?.set_filter(id, queue, test)?;
        actions.push(Action::PublishForwarding);
        Ok(())
    }

    /// OID_RECEIVE_FILTER_CLEAR_FILTER of a queue.
    pub(crate) fn clear_queue_filter(
        &mut self,
        id: FilterId,
        actions: &mut Vec<Action>,
    ) -> Result<Filter, Refusal> {
        let filter = self.queues_mut()?.clear_filter(id)?;
        actions.push(Action::PublishForwarding);
        Ok(filter)
    }
}
