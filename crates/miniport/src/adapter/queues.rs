//! Requests that concern VM queues, and receive filters while there are such (ndis.md A.4, C.9).

use nic_switch::{
    Filter, FilterId, FilterTest, QueueEvent, QueueId, QueueParameters, VPortId, VmQueue, VmQueues,
};

use super::{Adapter, Issuer};
use crate::action::Action;
use crate::payload::{FilterInfo, Payload, QueueAllocation, QueueInfo};
use crate::refusal::Refusal;
use crate::request::OidRequest;
use crate::status::NdisStatus;

impl Adapter {
    /// Carries out a request to an adapter that has VM queues.
    pub(super) fn execute_with_queues(
        &mut self,
        issuer: Issuer,
        request: OidRequest,
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        match request {
            OidRequest::AllocateQueue(parameters) => self.allocate_queue(issuer, parameters, actions),
            OidRequest::CompleteQueueAllocation(queues) => {
                self.complete_queue_allocation(issuer, &queues, actions)
            }
            OidRequest::SetQueueParameters { queue, changes } => {
                self.check_queue(issuer, queue)?;
                self.driver.update_queue(queue, changes, actions)?;
                Ok(Payload::None)
            }
            OidRequest::FreeQueue(queue) => {
                self.check_queue(issuer, queue)?;
                self.driver.free_queue(queue, actions)?;
                self.ownership.freeing.insert(queue, issuer);
                Ok(Payload::None)
            }
            OidRequest::SetFilter { vport, test } => {
                self.set_queue_filter(issuer, default_queue(vport)?, test, actions)
            }
            OidRequest::SetQueueFilter { queue, test } => self.set_queue_filter(issuer, queue, test, actions),
            OidRequest::ClearFilter(filter) => {
                self.clear_queue_filter(issuer, QueueId::DEFAULT, filter, actions)
            }
            OidRequest::ClearQueueFilter { queue, filter } => {
                self.clear_queue_filter(issuer, queue, filter, actions)
            }
            OidRequest::EnumQueues => Ok(Payload::Queues(self.queues())),
            OidRequest::QueueParameters(queue) => self.queue_parameters(queue),
            OidRequest::EnumFilters(vport) => self.enum_queue_filters(default_queue(vport)?),
            OidRequest::EnumQueueFilters(queue) => self.enum_queue_filters(queue),
            OidRequest::FilterParameters(filter) => self.queue_filter_parameters(filter),
            query => self.query(&query),
        }
    }

    /// The receive queues with their filters, the default queue first, as `Get-NetAdapterVmqQueue` shows them; none if
    /// the adapter has no VM queues.
    pub fn queues(&self) -> Vec<QueueInfo> {
        let Some(queues) = self.driver.queues() else { return Vec::new() };
        queues.queues().map(|queue| self.queue_info(queues, queue)).collect()
    }

    /// The data path says that no frame goes into the queue any more, as [`Action::StopQueue`] asked: every worker has
    /// passed a quiescent point since.
    ///
    /// Refused if the adapter is halted, if this is not the generation of a queue that there is, or if that was not freed
    /// or has heard of it already.
    pub fn queue_dma_stopped(&mut self, queue: QueueId, generation: u64) -> Result<Vec<Action>, Refusal> {
        self.check_queue_generation(queue, generation)?;
        let mut actions = Vec::new();
        self.driver.queue_dma_stopped(queue, &mut actions)?;
        Ok(actions)
    }

    /// The data path says, after [`queue_dma_stopped`](Self::queue_dma_stopped), that every frame which went into the
    /// queue has come back. That ends the queue and completes FREE_QUEUE.
    ///
    /// Refused if the adapter is halted, if this is not the generation of a queue that there is, or if its DMA has not
    /// stopped.
    pub fn queue_returned(&mut self, queue: QueueId, generation: u64) -> Result<Vec<Action>, Refusal> {
        self.check_queue_generation(queue, generation)?;
        let mut actions = Vec::new();
        self.driver.queue_returned(queue, &mut actions)?;
        self.ownership.queues.remove(&queue);
        self.complete_free(queue, NdisStatus::Success, &mut actions);
        Ok(actions)
    }

    /// The adapter was halted, and the driver has no queues any more: FREE_QUEUE requests that are pending are aborted.
    pub(super) fn forget_queues(&mut self, actions: &mut Vec<Action>) {
        let pending: Vec<_> = self.ownership.freeing.keys().copied().collect();
        for queue in pending {
            self.complete_free(queue, NdisStatus::RequestAborted, actions);
        }
        self.ownership.queues.clear();
        self.ownership.filters.clear();
    }

    /// Tells who waits for it, if anyone does, that the queue is gone.
    fn complete_free(&mut self, queue: QueueId, status: NdisStatus, actions: &mut Vec<Action>) {
        if let Some(issuer) = self.ownership.freeing.remove(&queue) {
            let client = match issuer {
                Issuer::Client(client) => Some(client),
                Issuer::Ndis => None,
            };
            actions.push(Action::CompleteFreeQueue { client, queue, status });
        }
    }

    /// Clears the filters, and begins to free the queues, that the chosen creators made and left.
    pub(super) fn remove_queues(&mut self, chosen: impl Fn(Issuer) -> bool, actions: &mut Vec<Action>) {
        let Some(queues) = self.driver.queues() else { return };
        let made = |creator: Option<&Issuer>| creator.copied().is_some_and(&chosen);
        let of_queue = |queue: QueueId| made(self.ownership.queues.get(&queue));
        let filters: Vec<_> = queues
            .filters()
            .filter(|filter| made(self.ownership.filters.get(&filter.id())) || of_queue(filter.queue()))
            .map(Filter::id)
            .collect();
        let ids: Vec<_> = queues.queues().map(VmQueue::id).filter(|queue| of_queue(*queue)).collect();
        self.ownership.freeing.retain(|_, issuer| !chosen(*issuer));
        for filter in filters {
            self.ownership.filters.remove(&filter);
            self.driver.clear_queue_filter(filter, actions).expect("the filter was listed");
        }
        for queue in ids {
            let queues = self.driver.queues().expect("the queue was listed");
            // One that is going already needs no help.
            if queues.check(queue, QueueEvent::Free).is_ok() {
                self.driver.free_queue(queue, actions).expect("the queue may be freed");
            }
        }
    }

    fn allocate_queue(
        &mut self,
        issuer: Issuer,
        parameters: QueueParameters,
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        let id = self.ownership.next_queue(self.driver.enabled_queues()?)?;
        self.driver.allocate_queue(id, parameters, actions)?;
        self.ownership.queue_allocated(issuer, id);
        Ok(Payload::Queue(self.info_of_queue(id)?))
    }

    /// A batch that names what is not the issuer's to complete is refused whole; how each queue fares is then its own
    /// `CompletionStatus`.
    fn complete_queue_allocation(
        &mut self,
        issuer: Issuer,
        queues: &[QueueId],
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        for (index, &queue) in queues.iter().enumerate() {
            self.check_queue(issuer, queue)?;
            if queues[..index].contains(&queue) {
                return Err(Refusal::RepeatedQueue { queue });
            }
        }
        let mut complete = |queue| {
            let refusal = self.driver.complete_queue_allocation(queue, actions).err();
            let status = refusal.as_ref().map_or(NdisStatus::Success, Refusal::miniport_status);
            QueueAllocation { queue, status, refusal }
        };
        Ok(Payload::QueueAllocations(queues.iter().map(|&queue| complete(queue)).collect()))
    }

    fn set_queue_filter(
        &mut self,
        issuer: Issuer,
        queue: QueueId,
        test: FilterTest,
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        self.check_queue(issuer, queue)?;
        let queues = self.driver.enabled_queues()?;
        let id = self.ownership.next_filter(|id| queues.filter(id).is_some());
        self.driver.set_queue_filter(id, queue, test, actions)?;
        self.ownership.filter_set(issuer, id);
        self.queue_filter_info(id).map(Payload::Filter)
    }

    fn clear_queue_filter(
        &mut self,
        issuer: Issuer,
        queue: QueueId,
        filter: FilterId,
        actions: &mut Vec<Action>,
    ) -> Result<Payload, Refusal> {
        let on = self.queue_filter_info(filter)?.queue;
        if on != queue {
            return Err(Refusal::FilterNotOnQueue { filter, on, queue });
        }
        self.ownership.check_filter(issuer, filter)?;
        self.driver.clear_queue_filter(filter, actions)?;
        self.ownership.filters.remove(&filter);
        Ok(Payload::None)
    }

    fn queue_parameters(&self, queue: QueueId) -> Result<Payload, Refusal> {
        self.driver.enabled_queues()?.check(queue, QueueEvent::Parameters)?;
        self.info_of_queue(queue).map(Payload::Queue)
    }

    fn enum_queue_filters(&self, queue: QueueId) -> Result<Payload, Refusal> {
        let queues = self.driver.enabled_queues()?;
        queues.check(queue, QueueEvent::EnumFilters)?;
        Ok(Payload::QueueFilters { queue, filters: filters_on(queues, queue) })
    }

    fn queue_filter_parameters(&self, filter: FilterId) -> Result<Payload, Refusal> {
        let info = self.queue_filter_info(filter)?;
        self.driver.enabled_queues()?.check(info.queue, QueueEvent::FilterParameters)?;
        Ok(Payload::Filter(info))
    }

    fn queue_filter_info(&self, filter: FilterId) -> Result<FilterInfo, Refusal> {
        let found = self.driver.enabled_queues()?.filter(filter).ok_or(Refusal::UnknownFilter { filter })?;
        Ok(filter_info(found))
    }

    fn info_of_queue(&self, id: QueueId) -> Result<QueueInfo, Refusal> {
        Ok(self.queue_info(self.driver.enabled_queues()?, self.driver.queue(id)?))
    }

    fn queue_info(&self, queues: &VmQueues, queue: &VmQueue) -> QueueInfo {
        QueueInfo {
            queue: queue.id(),
            generation: self.driver.generation_of_queue(queue),
            state: queue.state(),
            affinity: queue.affinity(),
            suggested_receive_buffers: queue.suggested_receive_buffers(),
            msix_table_entry: queue.msix_table_entry(),
            interrupt_coalescing_domain: queue.interrupt_coalescing_domain(),
            vm_name: queue.vm_name().to_owned(),
            queue_name: queue.queue_name().to_owned(),
            port_id: queue.port_id(),
            filters: filters_on(queues, queue.id()),
        }
    }

    /// The queue exists and is the issuer's, or the default one.
    fn check_queue(&self, issuer: Issuer, queue: QueueId) -> Result<(), Refusal> {
        self.driver.queue(queue)?;
        self.ownership.check_queue(issuer, queue)
    }

    fn check_queue_generation(&self, queue: QueueId, found: u64) -> Result<(), Refusal> {
        let current = self.driver.generation_of_queue(self.driver.queue(queue)?);
        if found != current {
            return Err(Refusal::StaleQueue { queue, found, current });
        }
        Ok(())
    }
}

/// Without SR-IOV the default VPort is the default queue, and there is no other.
fn default_queue(vport: VPortId) -> Result<QueueId, Refusal> {
    if vport == VPortId::DEFAULT {
        return Ok(QueueId::DEFAULT);
    }
    Err(Refusal::member("VPortId", vport.0, "0: an adapter with VM queues has no VPorts"))
}

fn filters_on(queues: &VmQueues, queue: QueueId) -> Vec<FilterInfo> {
    queues.filters_on(queue).map(filter_info).collect()
}

fn filter_info(filter: &Filter) -> FilterInfo {
    FilterInfo { filter: filter.id(), vport: VPortId::DEFAULT, queue: filter.queue(), test: filter.test() }
}
