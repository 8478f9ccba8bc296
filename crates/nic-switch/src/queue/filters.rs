//! Receive filters on queues.

use super::{QueueError, QueueEvent, QueueId, VmQueues};
use crate::filter_table::FilterBudget;
use crate::{Filter, FilterId, FilterTest, SwitchError};

impl VmQueues {
    /// OID_RECEIVE_FILTER_SET_FILTER on a queue, under an id that the caller (the NDIS layer) chose.
    ///
    /// A queue may have several filters for one address: unlike a VPort it does not send, so no frame needs the VLAN of
    /// an address.
    ///
    /// # Errors
    /// An id that is reserved or taken; no such queue, or one that is going; a test that is invalid, or that a filter
    /// has already; filters or addresses used up.
    pub fn set_filter(&mut self, id: FilterId, queue: QueueId, test: FilterTest) -> Result<(), QueueError> {
        self.check(queue, QueueEvent::SetFilter)?;
        let budget = FilterBudget {
            max_filters: self.capabilities.max_filters,
            max_mac_addresses: self.capabilities.max_mac_addresses,
            vlan_supported: self.capabilities.vlan_filtering,
        };
        self.filters.check_new(id, test, budget, std::iter::empty())?;
        self.pass(queue, QueueEvent::SetFilter)?;
        self.filters.insert(Filter { id, vport: queue.vport(), test });
        Ok(())
    }

    /// OID_RECEIVE_FILTER_CLEAR_FILTER: clears a filter and returns what it was. When the last is cleared, no frame
    /// goes into the queue.
    ///
    /// # Errors
    /// No such filter.
    pub fn clear_filter(&mut self, id: FilterId) -> Result<Filter, QueueError> {
        let queue = self.filter(id).ok_or(SwitchError::FilterNotFound { filter: id })?.queue();
        let event = match self.filters_on(queue).count() {
            1 => QueueEvent::ClearLastFilter,
            _ => QueueEvent::ClearFilter,
        };
        self.pass(queue, event)?;
        Ok(self.filters.remove(id)?)
    }

    /// The filter, if it exists.
    #[must_use]
    pub fn filter(&self, id: FilterId) -> Option<&Filter> {
        self.filters.get(id)
    }

    /// All filters, by ascending id.
    pub fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters.iter()
    }

    /// The filters of a queue, by ascending id.
    pub fn filters_on(&self, queue: QueueId) -> impl Iterator<Item = &Filter> {
        self.filters().filter(move |filter| filter.queue() == queue)
    }
}
