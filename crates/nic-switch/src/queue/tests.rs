mod forwarding;
mod properties;
mod requests;
mod table;

use super::{QueueCapabilities, QueueId, QueueParameters, QueueState, VmQueues};
use crate::testing::test;
use crate::{FilterId, FilterTest, ProcessorAffinity, VlanTest};

/// 6 VM queues, 8 filters, 6 addresses.
const CAPABILITIES: QueueCapabilities =
    QueueCapabilities { max_queues: 6, max_filters: 8, max_mac_addresses: 6, vlan_filtering: true };

const fn cpu(cpu: u32) -> ProcessorAffinity {
    ProcessorAffinity { group: 0, mask: 1 << cpu }
}

fn parameters() -> QueueParameters {
    QueueParameters {
        affinity: cpu(0),
        suggested_receive_buffers: 512,
        vm_name: "vm".into(),
        queue_name: "queue".into(),
        port_id: 7,
    }
}

fn queues() -> VmQueues {
    VmQueues::create(CAPABILITIES)
}

impl VmQueues {
    /// Adds a running queue with these filters, whose ids begin at ten times the queue's.
    fn running(&mut self, queue: u32, tests: &[FilterTest]) {
        self.allocate(QueueId(queue), parameters()).unwrap();
        for (id, &test) in (10 * queue..).zip(tests) {
            self.set_filter(FilterId(id), QueueId(queue), test).unwrap();
        }
        self.complete_allocation(QueueId(queue)).unwrap();
    }
}

/// Queue 1 in `state`, with `filters` filters, 1 and up, if it may have any.
fn queue_in(state: QueueState, filters: u8) -> VmQueues {
    const ONE: QueueId = QueueId(1);
    let mut queues = queues();
    if state == QueueState::Undefined {
        return queues;
    }
    queues.allocate(ONE, parameters()).unwrap();
    if matches!(state, QueueState::Set | QueueState::Running) {
        for n in 1..=filters {
            queues.set_filter(FilterId(n.into()), ONE, test(n, VlanTest::UntaggedOrZero)).unwrap();
        }
    }
    if matches!(state, QueueState::Running | QueueState::Paused) {
        queues.complete_allocation(ONE).unwrap();
    }
    if matches!(state, QueueState::StopDma | QueueState::Freeing) {
        queues.free(ONE).unwrap();
    }
    if state == QueueState::Freeing {
        queues.dma_stopped(ONE).unwrap();
    }
    assert_eq!(queues.queue(ONE).unwrap().state(), state);
    queues
}
