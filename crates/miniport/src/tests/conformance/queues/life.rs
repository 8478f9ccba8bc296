//! C.9: the table, cell by cell, as requests and reports meet it; and what happens in which order.

use ethernet::MacAddr;
use nic_switch::{
    Deliveries, Egress, FilterId, Ingress, ProcessorAffinity, QueueChanges, QueueEvent, QueueId, QueueState,
    Source, VPortId,
};

use super::{ONE, Rules, bench_in, by_the_table, complete, state_of_one};
use crate::tests::support::{Bench, OTHER, STACK, function, mac, queue_on, test, vmq};
use crate::{
    Action, Adapter, Indication, Mode, NdisStatus, OidRequest, OidResponse, Payload, Refusal,
    StatusIndication,
};

/// How an event came out.
#[derive(Debug)]
enum Outcome {
    Answered(OidResponse),
    Reported(Result<Vec<Action>, Refusal>),
    /// Whether the frame went into the queue.
    Received(bool),
}

fn meet(bench: &mut Bench, event: QueueEvent) -> Outcome {
    let generation =
        bench.adapter.queues().iter().find(|info| info.queue == ONE).map_or(0, |info| info.generation);
    let filter = bench
        .adapter
        .queues()
        .iter()
        .find(|info| info.queue == ONE)
        .and_then(|info| info.filters.first().copied());
    let filter = filter.map_or(FilterId(1), |info| info.filter);
    let request = match event {
        QueueEvent::Allocate => OidRequest::AllocateQueue(queue_on(1)),
        QueueEvent::Parameters => OidRequest::QueueParameters(ONE),
        QueueEvent::SetFilter => OidRequest::SetQueueFilter { queue: ONE, test: test(9) },
        QueueEvent::ClearLastFilter | QueueEvent::ClearFilter => {
            OidRequest::ClearQueueFilter { queue: ONE, filter }
        }
        QueueEvent::EnumFilters => OidRequest::EnumQueueFilters(ONE),
        QueueEvent::FilterParameters => OidRequest::FilterParameters(filter),
        QueueEvent::AllocationComplete => OidRequest::CompleteQueueAllocation(vec![ONE]),
        QueueEvent::Free => OidRequest::FreeQueue(ONE),
        QueueEvent::ReceivePacket => {
            return Outcome::Received(receiver(&bench.adapter, 1) == Egress::VPort(VPortId(1)));
        }
        QueueEvent::DmaStopped => return Outcome::Reported(bench.adapter.queue_dma_stopped(ONE, generation)),
        QueueEvent::Returned => return Outcome::Reported(bench.adapter.queue_returned(ONE, generation)),
    };
    Outcome::Answered(bench.ask(request))
}

/// Who gets a frame of the wire for the `n`-th station.
fn receiver(adapter: &Adapter, n: u8) -> Egress {
    let (destination, source) = (mac(n), MacAddr([2, 9, 9, 9, 9, 9]));
    let frame = Ingress { from: Source::Wire, destination, source, tag: None, ethertype: 0x0800 };
    let mut out = Deliveries::default();
    adapter.forwarding().unwrap().decide(&frame, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    out[0].to
}

/// A.3: what is to be cleared and is not there is FILE_NOT_FOUND; the rest is INVALID_PARAMETER.
fn refused_with(event: QueueEvent) -> NdisStatus {
    match event {
        QueueEvent::ClearLastFilter | QueueEvent::ClearFilter => NdisStatus::FileNotFound,
        _ => NdisStatus::InvalidParameter,
    }
}

fn check_cell(from: QueueState, event: QueueEvent) {
    let filters = if event == QueueEvent::ClearFilter { 2 } else { 1 };
    let mut bench = bench_in(from, filters);
    let before = bench.state();
    let outcome = meet(&mut bench, event);
    match (by_the_table(from, event), outcome) {
        (Some(to), Outcome::Answered(response)) => {
            let pending = event == QueueEvent::Free;
            let expected = if pending { NdisStatus::Pending } else { NdisStatus::Success };
            assert_eq!(response.status, expected, "{:?}", response.refusal);
            if let Payload::QueueAllocations(allocations) = response.payload {
                assert!(allocations.iter().all(|allocation| allocation.status == NdisStatus::Success));
            }
            assert_eq!(state_of_one(&bench), to);
        }
        (Some(to), Outcome::Reported(reported)) => {
            reported.unwrap();
            assert_eq!(state_of_one(&bench), to);
        }
        (legal, Outcome::Received(received)) => assert_eq!(received, legal.is_some()),
        // Another request to allocate is another queue.
        (None, Outcome::Answered(response)) if event == QueueEvent::Allocate => {
            let Payload::Queue(info) = response.payload else { panic!() };
            assert_ne!(info.queue, ONE);
            assert_eq!(state_of_one(&bench), from);
        }
        (None, Outcome::Answered(response)) => {
            match response.payload {
                Payload::QueueAllocations(allocations) => {
                    assert_eq!(allocations[0].status, NdisStatus::InvalidParameter);
                    assert!(allocations[0].refusal.is_some());
                }
                _ => assert_eq!(response.status, refused_with(event), "{:?}", response.refusal),
            }
            assert_eq!(bench.state(), before);
        }
        (None, Outcome::Reported(reported)) => {
            reported.unwrap_err();
            assert_eq!(bench.state(), before);
        }
    }
}

pub(super) fn rules(rules: &mut Rules) {
    for state in QueueState::ALL {
        for event in QueueEvent::ALL {
            let verdict = by_the_table(state, event)
                .map_or_else(|| "is illegal".to_owned(), |to| format!("leads to {to}"));
            rules.rule(format!("C.9 {event:?} in {state} {verdict}"), move || check_cell(state, event));
        }
    }
    allocation(rules);
    freeing(rules);
    starts_and_stops(rules);
}

fn allocation(rules: &mut Rules) {
    rules.rule("C.9 ALLOCATE_QUEUE attaches the queue, and nothing is published", || {
        let mut bench = Bench::of(vmq());
        bench.allocate_queue();
        let generation = bench.queue_generation(ONE);
        let affinity = Some(ProcessorAffinity { group: 0, mask: 2 });
        let (msix_table_entry, interrupt_coalescing_domain) = (1, 1);
        let expected = Action::AttachQueue {
            queue: ONE,
            generation,
            affinity,
            msix_table_entry,
            interrupt_coalescing_domain,
        };
        assert_eq!(bench.actions, [expected]);
    });
    rules.rule("C.9 frames flow when the allocation of a queue with filters is complete, not before", || {
        let mut bench = bench_in(QueueState::Set, 1);
        assert_eq!(receiver(&bench.adapter, 1), Egress::VPort(VPortId::DEFAULT));
        complete(&mut bench, ONE);
        assert_eq!(bench.actions, [Action::PublishForwarding]);
        assert_eq!(receiver(&bench.adapter, 1), Egress::VPort(VPortId(1)));
    });
    rules.rule("C.9 a batch is completed queue by queue, each with its own status", || {
        let mut bench = bench_in(QueueState::Running, 1);
        let (two, three) = (bench.allocate_queue(), bench.allocate_queue());
        bench.set_queue_filter(two, test(5));
        let request = OidRequest::CompleteQueueAllocation(vec![two, ONE, three]);
        let Payload::QueueAllocations(allocations) = bench.done(request) else { panic!() };
        let statuses: Vec<_> =
            allocations.iter().map(|allocation| (allocation.queue, allocation.status)).collect();
        let (done, refused) = (NdisStatus::Success, NdisStatus::InvalidParameter);
        assert_eq!(statuses, [(two, done), (ONE, refused), (three, done)]);
        let states: Vec<_> = bench.adapter.queues().iter().map(|info| info.state).collect();
        assert_eq!(
            states,
            [QueueState::Running, QueueState::Running, QueueState::Running, QueueState::Paused]
        );
    });
    rules.rule(
        "C.9 a batch that names an unknown queue, one twice, the default one or another's changes nothing",
        || {
            let mut bench = bench_in(QueueState::Set, 1);
            let Payload::Queue(others) = bench.ask_as(OTHER, OidRequest::AllocateQueue(queue_on(2))).payload
            else {
                panic!()
            };
            let before = bench.state();
            for bad in [QueueId(7), ONE, others.queue] {
                let request = OidRequest::CompleteQueueAllocation(vec![ONE, bad]);
                assert_eq!(bench.status(request), NdisStatus::InvalidParameter);
                assert_eq!(bench.state(), before);
            }
            let Payload::QueueAllocations(allocations) =
                bench.done(OidRequest::CompleteQueueAllocation(vec![QueueId::DEFAULT]))
            else {
                panic!()
            };
            assert_eq!(allocations[0].status, NdisStatus::InvalidParameter);
            assert_eq!(bench.state(), before);
        },
    );
    rules.rule("C.9 setting and clearing filters publishes", || {
        let mut bench = bench_in(QueueState::Running, 1);
        let filter = bench.set_queue_filter(ONE, test(2));
        assert_eq!(bench.actions, [Action::PublishForwarding]);
        bench.done(OidRequest::ClearQueueFilter { queue: ONE, filter });
        assert_eq!(bench.actions, [Action::PublishForwarding]);
    });
    rules.rule("B.7 another affinity is told the data path, with the vector that goes with it", || {
        let mut bench = bench_in(QueueState::Running, 1);
        let changes = |changes| OidRequest::SetQueueParameters { queue: ONE, changes };
        let affinity = ProcessorAffinity { group: 0, mask: 8 };
        bench.done(changes(QueueChanges { affinity: Some(affinity), ..QueueChanges::default() }));
        let generation = bench.queue_generation(ONE);
        let expected = Action::ConfigureQueue {
            queue: ONE,
            generation,
            affinity: Some(affinity),
            msix_table_entry: 1,
            interrupt_coalescing_domain: 1,
        };
        assert_eq!(bench.actions, [expected]);
        bench.done(changes(QueueChanges { suggested_receive_buffers: Some(1), ..QueueChanges::default() }));
        assert_eq!(bench.actions, []);
    });
}

fn freeing(rules: &mut Rules) {
    rules.rule("H.12 C.9 stop, indicate DmaStopped, wait, free, complete: in this order", || {
        let mut bench = bench_in(QueueState::Paused, 0);
        let generation = bench.queue_generation(ONE);
        let response = bench.ask(OidRequest::FreeQueue(ONE));
        assert_eq!((response.status, response.refusal), (NdisStatus::Pending, None));
        assert_eq!(bench.actions, [Action::StopQueue { queue: ONE, generation }]);
        let stopped = bench.adapter.queue_dma_stopped(ONE, generation).unwrap();
        let indication = StatusIndication::QueueDmaStopped { queue: ONE };
        assert_eq!(stopped, [Action::Indicate(indication)]);
        assert_eq!(indication.indication(), Indication::ReceiveQueueState);
        let done = bench.adapter.queue_returned(ONE, generation).unwrap();
        assert_eq!(
            done,
            [
                Action::DetachQueue { queue: ONE, generation },
                Action::CompleteFreeQueue { client: Some(STACK), queue: ONE, status: NdisStatus::Success },
            ]
        );
        assert_eq!(state_of_one(&bench), QueueState::Undefined);
    });
    rules.rule("H.12 C.9 the last CLEAR_FILTER indicates nothing", || {
        let mut bench = bench_in(QueueState::Running, 1);
        bench.done(OidRequest::ClearQueueFilter { queue: ONE, filter: FilterId(1) });
        assert_eq!(bench.actions, [Action::PublishForwarding]);
    });
    rules.rule(
        "C.9 an id is used again only after all others, and reports of an earlier queue are refused",
        || {
            let mut bench = bench_in(QueueState::Freeing, 0);
            let first = bench.queue_generation(ONE);
            bench.adapter.queue_returned(ONE, first).unwrap();
            for id in (2..=7).chain([1]) {
                assert_eq!(bench.allocate_queue(), QueueId(id));
            }
            assert_eq!(bench.status(OidRequest::AllocateQueue(queue_on(1))), NdisStatus::Failure);
            bench.free_queue(ONE);
            let current = bench.queue_generation(ONE);
            let stale = Err(Refusal::StaleQueue { queue: ONE, found: first, current });
            assert_eq!(bench.adapter.queue_dma_stopped(ONE, first), stale);
            assert_eq!(bench.adapter.queue_returned(ONE, first), stale);
            assert_eq!(state_of_one(&bench), QueueState::StopDma);
        },
    );
    rules.rule("the default queue neither goes nor stops", || {
        let mut bench = Bench::of(vmq());
        assert_eq!(bench.free_queue(QueueId::DEFAULT), NdisStatus::InvalidParameter);
        let generation = bench.queue_generation(QueueId::DEFAULT);
        bench.adapter.queue_dma_stopped(QueueId::DEFAULT, generation).unwrap_err();
        bench.adapter.queue_returned(QueueId::DEFAULT, generation).unwrap_err();
    });
    rules.rule(
        "a client that is gone leaves no queue: filters are cleared, queues freed, and nobody is told",
        || {
            let mut bench = bench_in(QueueState::Running, 2);
            let two = bench.allocate_queue();
            bench.free_queue(two);
            let Payload::Queue(kept) = bench.ask_as(OTHER, OidRequest::AllocateQueue(queue_on(2))).payload
            else {
                panic!()
            };
            let generation = bench.queue_generation(ONE);
            let publish = Action::PublishForwarding;
            let stop = Action::StopQueue { queue: ONE, generation };
            assert_eq!(bench.adapter.close(STACK), [publish.clone(), publish, stop]);
            for queue in [ONE, two] {
                let generation = bench.queue_generation(queue);
                bench.adapter.queue_dma_stopped(queue, generation).unwrap();
                let detach = Action::DetachQueue { queue, generation };
                assert_eq!(bench.adapter.queue_returned(queue, generation), Ok(vec![detach]));
            }
            let left: Vec<_> = bench.adapter.queues().iter().map(|info| info.queue).collect();
            assert_eq!(left, [QueueId::DEFAULT, kept.queue]);
        },
    );
}

fn starts_and_stops(rules: &mut Rules) {
    rules.rule("C.9 an adapter with VM queues starts with the default queue, and without a switch", || {
        let (adapter, actions) = Adapter::initialize(vmq(), function()).unwrap();
        assert_eq!((adapter.mode(), actions), (Mode::Vmq, vec![Action::PublishForwarding]));
        assert!(adapter.switch().is_none());
        assert_eq!(adapter.function().num_vfs(), 0);
        assert_eq!(adapter.queues().len(), 1);
        assert_eq!(receiver(&adapter, 1), Egress::VPort(VPortId::DEFAULT));
    });
    rules.rule("A.3 halting takes the queues away and aborts a pending FREE_QUEUE", || {
        let mut bench = bench_in(QueueState::Running, 1);
        let two = bench.allocate_queue();
        bench.free_queue(two);
        let detach = |queue| Action::DetachQueue { queue, generation: bench.queue_generation(queue) };
        let expected = [
            Action::PublishForwarding,
            detach(ONE),
            detach(two),
            Action::CompleteFreeQueue { client: Some(STACK), queue: two, status: NdisStatus::RequestAborted },
        ];
        let generation = bench.queue_generation(two);
        assert_eq!(bench.adapter.halt(), expected);
        assert!(bench.adapter.forwarding().is_none() && bench.adapter.queues().is_empty());
        assert_eq!(bench.adapter.queue_dma_stopped(two, generation), Err(Refusal::Halted));
    });
    rules.rule("a halted adapter starts again without queues, and with other generations", || {
        let mut bench = bench_in(QueueState::Running, 1);
        let first = bench.queue_generation(ONE);
        bench.adapter.halt();
        assert_eq!(bench.adapter.start(), Ok(vec![Action::PublishForwarding]));
        assert_eq!(bench.adapter.queues().len(), 1);
        while bench.allocate_queue() != ONE {}
        assert!(bench.queue_generation(ONE) > first);
    });
}
