//! The state/event table of `spec/ndis.md` C.9, every cell of it: by the state machine alone, and by the requests and
//! frames that are the events.

use super::{parameters, queue_in};
use crate::queue::{QueueError, QueueEvent, QueueId, QueueState};
use crate::testing::{mac, test};
use crate::{Deliveries, Egress, FilterId, Ingress, Source, VPortId, VlanTest, VmQueues};

use QueueState::{Allocated, Freeing, Paused, Running, Set, StopDma, Undefined};

type Row = (QueueEvent, [Option<QueueState>; 7]);

/// The columns are Undefined, Allocated, Set, Running, Paused, StopDMA, Freeing.
#[rustfmt::skip]
const TABLE: [Row; 12] = [
    (QueueEvent::Allocate,           [Some(Allocated), None, None, None, None, None, None]),
    (QueueEvent::Parameters,         [None, Some(Allocated), Some(Set), Some(Running), Some(Paused), None, None]),
    (QueueEvent::SetFilter,          [None, Some(Set), Some(Set), Some(Running), Some(Running), None, None]),
    (QueueEvent::ClearLastFilter,    [None, None, Some(Allocated), Some(Paused), None, None, None]),
    (QueueEvent::ClearFilter,        [None, None, Some(Set), Some(Running), None, None, None]),
    (QueueEvent::EnumFilters,        [None, Some(Allocated), Some(Set), Some(Running), Some(Paused), None, None]),
    (QueueEvent::FilterParameters,   [None, None, Some(Set), Some(Running), None, None, None]),
    (QueueEvent::AllocationComplete, [None, Some(Paused), Some(Running), None, None, None, None]),
    (QueueEvent::ReceivePacket,      [None, None, None, Some(Running), None, None, None]),
    (QueueEvent::Free,               [None, Some(StopDma), None, None, Some(StopDma), None, None]),
    (QueueEvent::DmaStopped,         [None, None, None, None, None, Some(Freeing), None]),
    (QueueEvent::Returned,           [None, None, None, None, None, None, Some(Undefined)]),
];

fn cells() -> impl Iterator<Item = (QueueState, QueueEvent, Option<QueueState>)> {
    TABLE.into_iter().flat_map(|(event, row)| {
        QueueState::ALL.into_iter().zip(row).map(move |(from, to)| (from, event, to))
    })
}

#[test]
fn c9_every_cell_of_the_table() {
    assert_eq!(cells().count(), 84);
    assert_eq!(TABLE.map(|(event, _)| event), QueueEvent::ALL);
    for (from, event, to) in cells() {
        assert_eq!(from.on(event), to, "{event:?} in {from}");
    }
}

const ONE: QueueId = QueueId(1);

/// Lets queue 1 meet `event`, as whoever causes it does; `None` if there is nothing to cause it with.
fn meet(queues: &mut VmQueues, event: QueueEvent) -> Option<Result<(), QueueError>> {
    Some(match event {
        QueueEvent::Allocate => queues.allocate(ONE, parameters()),
        QueueEvent::Parameters => queues.update(ONE, crate::QueueChanges::default()),
        QueueEvent::SetFilter => queues.set_filter(FilterId(9), ONE, test(9, VlanTest::Any)),
        QueueEvent::ClearLastFilter | QueueEvent::ClearFilter | QueueEvent::FilterParameters => {
            // A queue in any other state has no filter that could be named.
            let filter = queues.filters_on(ONE).next()?.id();
            if event == QueueEvent::FilterParameters {
                queues.check(ONE, event).map(drop)
            } else {
                queues.clear_filter(filter).map(drop)
            }
        }
        QueueEvent::EnumFilters => queues.check(ONE, event).map(drop),
        QueueEvent::AllocationComplete => queues.complete_allocation(ONE),
        QueueEvent::ReceivePacket => {
            let frame = Ingress {
                from: Source::Wire,
                destination: mac(1),
                source: mac(100),
                tag: None,
                ethertype: 0x0800,
            };
            let mut out = Deliveries::default();
            queues.snapshot(true).decide(&frame, &mut out).unwrap();
            assert_eq!(out.len(), 1);
            if out[0].to != Egress::VPort(ONE.vport()) {
                assert_eq!(out[0].to, Egress::VPort(VPortId::DEFAULT));
                return None;
            }
            Ok(())
        }
        QueueEvent::Free => queues.free(ONE),
        QueueEvent::DmaStopped => queues.dma_stopped(ONE),
        QueueEvent::Returned => queues.returned(ONE).map(drop),
    })
}

#[test]
fn c9_every_cell_by_its_request_and_a_refused_one_changes_nothing() {
    for (from, event, to) in cells() {
        let filters = if event == QueueEvent::ClearFilter { 2 } else { 1 };
        let mut queues = queue_in(from, filters);
        let before = queues.clone();
        let outcome = meet(&mut queues, event);
        let reached = queues.queue(ONE).map_or(Undefined, super::super::VmQueue::state);
        if let Some(to) = to {
            assert_eq!(outcome, Some(Ok(())), "{event:?} in {from}");
            assert_eq!(reached, to, "{event:?} in {from}");
            continue;
        }
        assert_eq!(queues, before, "{event:?} in {from}");
        let expected = match (from, event) {
            (Undefined, _) => QueueError::QueueNotFound { queue: ONE },
            (_, QueueEvent::Allocate) => QueueError::QueueExists { queue: ONE },
            _ => QueueError::WrongState { queue: ONE, state: from, event },
        };
        if let Some(outcome) = outcome {
            assert_eq!(outcome, Err(expected), "{event:?} in {from}");
        }
    }
}

#[test]
fn c9_the_default_queue_always_runs() {
    let mut queues = super::queues();
    let default = QueueId::DEFAULT;
    let out_of_range = QueueError::QueueIdOutOfRange { queue: default, max: 6 };
    assert_eq!(queues.allocate(default, parameters()), Err(out_of_range));
    let refused = |event| Err(QueueError::DefaultQueue { event });
    assert_eq!(queues.update(default, crate::QueueChanges::default()), refused(QueueEvent::Parameters));
    assert_eq!(queues.complete_allocation(default), refused(QueueEvent::AllocationComplete));
    assert_eq!(queues.free(default), refused(QueueEvent::Free));
    assert_eq!(queues.dma_stopped(default), refused(QueueEvent::DmaStopped));
    assert_eq!(queues.returned(default).map(drop), refused(QueueEvent::Returned));

    queues.set_filter(FilterId(1), default, test(1, VlanTest::Any)).unwrap();
    queues.clear_filter(FilterId(1)).unwrap();
    assert_eq!(queues.queue(default).unwrap().state(), Running);
}
