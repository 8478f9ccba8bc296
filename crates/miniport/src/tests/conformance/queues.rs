//! A.3, A.4, B.6, B.7, B.10, C.9, D.8: VM queues.

mod life;
mod requests;
mod structures;

use nic_switch::{QueueEvent, QueueId, QueueState};

use super::Rules;
use crate::tests::support::{Bench, test, vmq};
use crate::{NdisStatus, OidRequest};

const DEFAULT: QueueId = QueueId::DEFAULT;
const ONE: QueueId = QueueId(1);

pub(super) fn rules() -> Rules {
    let mut rules = Rules::default();
    life::rules(&mut rules);
    requests::rules(&mut rules);
    structures::rules(&mut rules);
    rules
}

fn complete(bench: &mut Bench, queue: QueueId) {
    bench.done(OidRequest::CompleteQueueAllocation(vec![queue]));
}

/// Queue 1 in `state`, reached by requests and reports; with `filters` filters, 1 and up, if it may have any.
fn bench_in(state: QueueState, filters: u8) -> Bench {
    let mut bench = Bench::of(vmq());
    if state == QueueState::Undefined {
        return bench;
    }
    assert_eq!(bench.allocate_queue(), ONE);
    if matches!(state, QueueState::Set | QueueState::Running) {
        for n in 1..=filters {
            bench.set_queue_filter(ONE, test(n));
        }
    }
    if matches!(state, QueueState::Running | QueueState::Paused) {
        complete(&mut bench, ONE);
    }
    if matches!(state, QueueState::StopDma | QueueState::Freeing) {
        assert_eq!(bench.free_queue(ONE), NdisStatus::Pending);
    }
    if state == QueueState::Freeing {
        let generation = bench.queue_generation(ONE);
        bench.adapter.queue_dma_stopped(ONE, generation).unwrap();
    }
    assert_eq!(state_of_one(&bench), state);
    bench
}

fn state_of_one(bench: &Bench) -> QueueState {
    let queue = bench.adapter.queues().into_iter().find(|info| info.queue == ONE);
    queue.map_or(QueueState::Undefined, |info| info.state)
}

/// The state to which an event leads, as the table of C.9 has it.
fn by_the_table(state: QueueState, event: QueueEvent) -> Option<QueueState> {
    use QueueState::{Allocated, Freeing, Paused, Running, Set, StopDma, Undefined};
    let row = match event {
        QueueEvent::Allocate => [Some(Allocated), None, None, None, None, None, None],
        QueueEvent::Parameters | QueueEvent::EnumFilters => {
            [None, Some(Allocated), Some(Set), Some(Running), Some(Paused), None, None]
        }
        QueueEvent::SetFilter => [None, Some(Set), Some(Set), Some(Running), Some(Running), None, None],
        QueueEvent::ClearLastFilter => [None, None, Some(Allocated), Some(Paused), None, None, None],
        QueueEvent::ClearFilter | QueueEvent::FilterParameters => {
            [None, None, Some(Set), Some(Running), None, None, None]
        }
        QueueEvent::AllocationComplete => [None, Some(Paused), Some(Running), None, None, None, None],
        QueueEvent::ReceivePacket => [None, None, None, Some(Running), None, None, None],
        QueueEvent::Free => [None, Some(StopDma), None, None, Some(StopDma), None, None],
        QueueEvent::DmaStopped => [None, None, None, None, None, Some(Freeing), None],
        QueueEvent::Returned => [None, None, None, None, None, None, Some(Undefined)],
    };
    let column = QueueState::ALL.iter().position(|column| *column == state).unwrap();
    row[column]
}
