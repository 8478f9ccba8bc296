//! What queues may be, and how many of everything there can be (`spec/ndis.md` A.4, B.7).

use super::{CAPABILITIES, cpu, parameters, queue_in, queues};
use crate::queue::{QueueChanges, QueueError, QueueId, QueueParameters, QueueState, VmQueues};
use crate::testing::{capabilities, test};
use crate::{ErrorKind, FilterId, ProcessorAffinity, QueueCapabilities, SwitchError, VPortId, VlanTest};

const ONE: QueueId = QueueId(1);

#[test]
fn b7_a_queue_keeps_what_was_said_at_its_allocation() {
    let mut queues = queues();
    queues.allocate(QueueId(3), parameters()).unwrap();
    let queue = queues.queue(QueueId(3)).unwrap();
    assert_eq!((queue.id(), queue.state()), (QueueId(3), QueueState::Allocated));
    assert_eq!((queue.vm_name(), queue.queue_name(), queue.port_id()), ("vm", "queue", 7));
    assert_eq!((queue.affinity(), queue.suggested_receive_buffers()), (Some(cpu(0)), 512));
}

#[test]
fn the_number_of_queues_is_bounded_and_the_default_one_does_not_count() {
    let mut queues = queues();
    for id in 1..=6 {
        queues.allocate(QueueId(id), parameters()).unwrap();
    }
    let before = queues.clone();
    let none = QueueError::NoFreeQueue { max: 6 };
    assert_eq!(none.kind(), ErrorKind::Exhausted);
    assert_eq!(queues.allocate(QueueId(7), parameters()), Err(none));
    assert_eq!(queues, before);
    assert_eq!(queues.queues().count(), 7);
}

#[test]
fn ids_of_queues_are_those_of_vports() {
    let switch = capabilities();
    let capabilities = QueueCapabilities::from(&switch);
    assert_eq!(capabilities.max_queues, switch.max_vports - 1);
    let mut queues = VmQueues::create(capabilities);
    for id in [0, 8, u32::MAX] {
        let queue = QueueId(id);
        let refused = QueueError::QueueIdOutOfRange { queue, max: 7 };
        assert_eq!(queues.allocate(queue, parameters()), Err(refused));
    }
}

#[test]
fn b7_a_queue_is_served_by_exactly_one_cpu() {
    let mut queues = queues();
    for (mask, cpus) in [(0, 0), (3, 2), (u64::MAX, 64)] {
        let affinity = ProcessorAffinity { group: 0, mask };
        let refused = Err(QueueError::AffinityNotOneCpu { queue: ONE, cpus });
        assert_eq!(queues.allocate(ONE, QueueParameters { affinity, ..parameters() }), refused);
        let changes = QueueChanges { affinity: Some(affinity), ..QueueChanges::default() };
        assert_eq!(queue_in(QueueState::Running, 1).update(ONE, changes), refused);
    }
}

#[test]
fn names_are_bounded() {
    let long = || "x".repeat(257);
    let refused = Err(QueueError::Common(SwitchError::NameTooLong { units: 257 }));
    for parameters in [
        QueueParameters { vm_name: long(), ..parameters() },
        QueueParameters { queue_name: long(), ..parameters() },
    ] {
        assert_eq!(queues().allocate(ONE, parameters), refused);
    }
    let changes = QueueChanges { queue_name: Some(long()), ..QueueChanges::default() };
    assert_eq!(queue_in(QueueState::Set, 1).update(ONE, changes), refused);
}

#[test]
fn b7_vectors_by_the_number_of_queues() {
    for (max_queues, vectors) in
        [(0, 0), (1, 1), (16, 16), (17, 16), (32, 16), (48, 24), (64, 32), (65, 32), (4094, 32)]
    {
        let capabilities = QueueCapabilities { max_queues, ..CAPABILITIES };
        assert_eq!(capabilities.vectors(), vectors, "{max_queues}");
    }
}

#[test]
fn b7_each_vector_interrupts_one_cpu_and_queues_of_one_cpu_share_theirs() {
    let mut queues = queues();
    for (id, on) in [(1, 4), (2, 5), (3, 4), (4, 6)] {
        queues.allocate(QueueId(id), QueueParameters { affinity: cpu(on), ..parameters() }).unwrap();
    }
    let entries =
        |queues: &VmQueues| -> Vec<u32> { queues.queues().map(crate::VmQueue::msix_table_entry).collect() };
    assert_eq!(entries(&queues), [0, 1, 2, 1, 3]);
    assert_eq!(queues.queue(QueueId(3)).unwrap().interrupt_coalescing_domain(), 1);

    let moved = |on| QueueChanges { affinity: Some(cpu(on)), ..QueueChanges::default() };
    queues.update(QueueId(3), moved(6)).unwrap();
    assert_eq!(entries(&queues), [0, 1, 2, 3, 3]);
    queues.update(QueueId(4), moved(7)).unwrap();
    assert_eq!(entries(&queues), [0, 1, 2, 3, 4]);
}

#[test]
fn b7_when_vectors_are_short_the_one_that_fewest_share_is_taken() {
    let mut queues = VmQueues::create(QueueCapabilities { max_queues: 20, ..CAPABILITIES });
    for id in 1..=18 {
        queues.allocate(QueueId(id), QueueParameters { affinity: cpu(id), ..parameters() }).unwrap();
    }
    let entry = |id| queues.queue(QueueId(id)).unwrap().msix_table_entry();
    assert_eq!([entry(1), entry(16), entry(17), entry(18)], [1, 16, 1, 2]);
}

#[test]
fn changes_are_all_taken_or_none() {
    let mut queues = queue_in(QueueState::Running, 1);
    let changes = QueueChanges {
        affinity: Some(cpu(9)),
        suggested_receive_buffers: Some(64),
        queue_name: Some("renamed".into()),
    };
    let bad = QueueChanges { queue_name: Some("x".repeat(257)), ..changes.clone() };
    let before = queues.clone();
    queues.update(ONE, bad).unwrap_err();
    assert_eq!(queues, before);
    queues.update(ONE, QueueChanges::default()).unwrap();
    assert_eq!(queues, before);
    queues.update(ONE, changes).unwrap();
    let queue = queues.queue(ONE).unwrap();
    assert_eq!((queue.affinity(), queue.queue_name()), (Some(cpu(9)), "renamed"));
    assert_eq!((queue.suggested_receive_buffers(), queue.vm_name()), (64, "vm"));
}

#[test]
fn every_allocation_has_its_own_generation() {
    let mut queues = queue_in(QueueState::Freeing, 0);
    let first = queues.returned(ONE).unwrap();
    queues.allocate(ONE, parameters()).unwrap();
    assert!(queues.queue(ONE).unwrap().generation() > first.generation());
}

#[test]
fn filters_obey_the_rules_and_budgets_of_the_adapter() {
    let mut queues = queues();
    queues.running(1, &[test(1, VlanTest::UntaggedOrZero)]);
    let mut refused = |id, n, vlan| match queues.set_filter(FilterId(id), ONE, test(n, vlan)) {
        Err(QueueError::Common(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(0, 2, VlanTest::Any), SwitchError::FilterIdReserved);
    assert_eq!(refused(10, 2, VlanTest::Any), SwitchError::FilterExists { filter: FilterId(10) });
    assert_eq!(refused(2, 2, VlanTest::Id(4095)), SwitchError::FilterVlanOutOfRange { vid: 4095 });
    let existing = FilterId(10);
    let duplicate = test(1, VlanTest::UntaggedOrZero);
    assert_eq!(
        refused(2, 1, VlanTest::UntaggedOrZero),
        SwitchError::DuplicateFilter { test: duplicate, existing }
    );

    for n in 2..=6 {
        queues.set_filter(FilterId(n.into()), ONE, test(n, VlanTest::Any)).unwrap();
    }
    let no_mac = Err(QueueError::Common(SwitchError::NoFreeMac { asked: 7, max: 6 }));
    assert_eq!(queues.set_filter(FilterId(7), ONE, test(7, VlanTest::Any)), no_mac);
    // An address that is there costs no further one, on whatever queue.
    for vid in [5, 7] {
        queues
            .set_filter(FilterId(u32::from(vid) * 10), QueueId::DEFAULT, test(1, VlanTest::Id(vid)))
            .unwrap();
    }
    let none = Err(QueueError::Common(SwitchError::NoFreeFilter { max: 8 }));
    assert_eq!(queues.set_filter(FilterId(8), ONE, test(1, VlanTest::Id(9))), none);
}

#[test]
fn without_vlan_filtering_no_filter_tests_a_vlan_id() {
    let mut queues = VmQueues::create(QueueCapabilities { vlan_filtering: false, ..CAPABILITIES });
    let refused = Err(QueueError::Common(SwitchError::VlanNotSupported { vid: 5 }));
    assert_eq!(queues.set_filter(FilterId(1), QueueId::DEFAULT, test(1, VlanTest::Id(5))), refused);
}

#[test]
fn a_filter_tells_its_queue() {
    let mut queues = queues();
    queues.running(2, &[test(1, VlanTest::Any)]);
    let filter = *queues.filter(FilterId(20)).unwrap();
    assert_eq!((filter.queue(), filter.vport()), (QueueId(2), VPortId(2)));
    assert_eq!(queues.clear_filter(FilterId(20)), Ok(filter));
    let gone = QueueError::Common(SwitchError::FilterNotFound { filter: FilterId(20) });
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert_eq!(queues.clear_filter(FilterId(20)), Err(gone));
}
