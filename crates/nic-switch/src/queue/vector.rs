//! Which MSI-X vector a queue gets: each vector interrupts one CPU, as far as there are enough (`spec/ndis.md` B.7).

use super::{QueueId, VmQueues};
use crate::ProcessorAffinity;

impl VmQueues {
    /// The vector for a queue that `affinity` serves: that of another queue of this CPU, else the lowest that nobody
    /// has, else the one that the fewest share. Vector 0 is the default queue's.
    pub(super) fn vector_for(&self, queue: QueueId, affinity: ProcessorAffinity) -> u32 {
        let others = || self.queues().filter(|other| other.id != queue && other.id != QueueId::DEFAULT);
        if let Some(neighbour) = others().find(|other| other.affinity == Some(affinity)) {
            return neighbour.msix_table_entry;
        }
        let users = |vector: u32| others().filter(|other| other.msix_table_entry == vector).count();
        (1..=self.capabilities.vectors()).min_by_key(|&vector| users(vector)).unwrap_or(0)
    }
}
