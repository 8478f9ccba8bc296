//! Random requests and random frames against plain loops over what the queues show.

use std::collections::BTreeSet;

use ethernet::{MacAddr, VlanTag};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::{CAPABILITIES, parameters};
use crate::queue::{QueueError, QueueId, QueueState, VmQueues};
use crate::testing::mac;
use crate::testing::operation::{VIDS, station};
use crate::{
    Deliveries, Delivery, DropReason, Egress, Filter, FilterId, FilterTest, Ingress, Source, VPortId,
    VlanTest,
};

#[derive(Debug, Clone)]
enum Operation {
    Allocate(QueueId),
    Complete(QueueId),
    SetFilter(FilterId, QueueId, FilterTest),
    ClearFilter(FilterId),
    Free(QueueId),
    DmaStopped(QueueId),
    Returned(QueueId),
}

impl Operation {
    fn apply(self, queues: &mut VmQueues) -> Result<(), QueueError> {
        match self {
            Self::Allocate(queue) => queues.allocate(queue, parameters()),
            Self::Complete(queue) => queues.complete_allocation(queue),
            Self::SetFilter(id, queue, test) => queues.set_filter(id, queue, test),
            Self::ClearFilter(id) => queues.clear_filter(id).map(drop),
            Self::Free(queue) => queues.free(queue),
            Self::DmaStopped(queue) => queues.dma_stopped(queue),
            Self::Returned(queue) => queues.returned(queue).map(drop),
        }
    }
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let queue = || (0..8_u32).prop_map(QueueId);
    let filter = || (0..12_u32).prop_map(FilterId);
    let vlan = prop_oneof![
        Just(VlanTest::Any),
        Just(VlanTest::UntaggedOrZero),
        prop::sample::select(&VIDS[..]).prop_map(VlanTest::Id),
    ];
    let test = (station(), vlan).prop_map(|(mac, vlan)| FilterTest { mac, vlan });
    let operation = prop_oneof![
        4 => queue().prop_map(Operation::Allocate),
        4 => queue().prop_map(Operation::Complete),
        8 => (filter(), queue(), test).prop_map(|(id, queue, test)| Operation::SetFilter(id, queue, test)),
        2 => filter().prop_map(Operation::ClearFilter),
        1 => queue().prop_map(Operation::Free),
        1 => queue().prop_map(Operation::DmaStopped),
        1 => queue().prop_map(Operation::Returned),
    ];
    prop::collection::vec(operation, 0..60)
}

fn frame() -> impl Strategy<Value = Ingress> {
    let from = prop_oneof![
        6 => Just(Source::Wire),
        2 => Just(Source::VPort(VPortId::DEFAULT)),
        1 => (1..8_u32).prop_map(|id| Source::VPort(VPortId(id))),
    ];
    let destination =
        prop_oneof![8 => station(), 1 => Just(MacAddr::BROADCAST), 1 => Just(MacAddr([1, 0, 0x5e, 0, 0, 1]))];
    let vid = prop_oneof![2 => Just(0), 6 => prop::sample::select(&VIDS[..]), 1 => Just(9), 1 => Just(4095)];
    let tag = prop::option::of((vid, 0..8_u8).prop_map(|(vid, pcp)| VlanTag::new(vid, pcp, false)));
    let ethertype = prop_oneof![10 => Just(0x0800_u16), 1 => Just(0x8808), 1 => Just(0x8100)];
    (from, destination, tag, ethertype).prop_map(|(from, destination, tag, ethertype)| Ingress {
        from,
        destination,
        source: mac(100),
        tag,
        ethertype,
    })
}

/// Whether a filter takes a frame of this destination and tag.
fn matches(filter: &Filter, ingress: &Ingress, in_band: bool) -> bool {
    let vid = ingress.tag.map_or(0, |tag| tag.0 & 0xfff);
    filter.test().mac == ingress.destination
        && match filter.test().vlan {
            VlanTest::Any => !in_band || filter.queue() == QueueId::DEFAULT,
            VlanTest::UntaggedOrZero => vid == 0 && !in_band,
            VlanTest::Id(access) => vid == access,
        }
}

/// The rules of the crate's documentation, "VM queues".
fn expected(queues: &VmQueues, physical_port: bool, ingress: &Ingress) -> Result<Delivery, DropReason> {
    if matches!(ingress.from, Source::VPort(id) if id != VPortId::DEFAULT) {
        return Err(DropReason::VPortInactive);
    }
    if ingress.ethertype == 0x8808 {
        return Err(DropReason::PauseFrame);
    }
    let vid = ingress.tag.map_or(0, |tag| tag.0 & 0xfff);
    if vid == 4095 {
        return Err(DropReason::ReservedVlan);
    }
    if ingress.from != Source::Wire {
        let to = Delivery { to: Egress::Physical, tag: ingress.tag };
        return if physical_port { Ok(to) } else { Err(DropReason::NoDestination) };
    }
    let in_band = vid == 0 && ingress.ethertype == 0x8100;
    let mut found: Vec<_> = queues.filters().filter(|filter| matches(filter, ingress, in_band)).collect();
    found.sort_by_key(|filter| filter.test().vlan == VlanTest::Any);
    let default = Delivery { to: Egress::VPort(VPortId::DEFAULT), tag: ingress.tag };
    let Some(filter) = found.first() else { return Ok(default) };
    let queue = queues.queue(filter.queue()).unwrap();
    if queue.id() == QueueId::DEFAULT || queue.state() != QueueState::Running {
        return Ok(default);
    }
    let shown = !matches!(filter.test().vlan, VlanTest::Id(_));
    Ok(Delivery { to: Egress::VPort(queue.id().vport()), tag: if shown { ingress.tag } else { None } })
}

fn check_invariants(queues: &VmQueues) -> TestCaseResult {
    prop_assert_eq!(queues.queue(QueueId::DEFAULT).map(crate::VmQueue::state), Some(QueueState::Running));
    prop_assert!(queues.queues().count() <= 1 + CAPABILITIES.max_queues as usize);
    prop_assert!(queues.filters().count() <= CAPABILITIES.max_filters as usize);
    let macs: BTreeSet<_> = queues.filters().map(|filter| filter.test().mac).collect();
    prop_assert!(macs.len() <= CAPABILITIES.max_mac_addresses as usize);
    let tests: BTreeSet<_> = queues.filters().map(Filter::test).collect();
    prop_assert_eq!(tests.len(), queues.filters().count());
    let generations: BTreeSet<_> = queues.queues().map(crate::VmQueue::generation).collect();
    prop_assert_eq!(generations.len(), queues.queues().count());
    for filter in queues.filters() {
        prop_assert!(queues.queue(filter.queue()).is_some(), "a filter stands on a queue");
    }
    for queue in queues.queues().filter(|queue| queue.id() != QueueId::DEFAULT) {
        let has_filters = queues.filters_on(queue.id()).next().is_some();
        let expected = matches!(queue.state(), QueueState::Set | QueueState::Running);
        prop_assert_eq!(has_filters, expected, "{}", queue.state());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn queues_forward_like_the_model(
        operations in operations(),
        physical_port in any::<bool>(),
        frames in prop::collection::vec(frame(), 40),
    ) {
        let mut queues = VmQueues::create(CAPABILITIES);
        for operation in operations {
            let before = queues.clone();
            if operation.apply(&mut queues).is_err() {
                prop_assert_eq!(&queues, &before, "a refused request changes nothing");
            } else {
                prop_assert!(queues.generation() > before.generation());
            }
            check_invariants(&queues)?;
        }
        let forwarding = queues.snapshot(physical_port);
        prop_assert_eq!(forwarding.generation(), queues.generation());
        let mut out = Deliveries::default();
        for frame in frames {
            let decided = forwarding.decide(&frame, &mut out);
            let expected = expected(&queues, physical_port, &frame);
            prop_assert_eq!(decided.map(|()| out.to_vec()), expected.map(|delivery| vec![delivery]), "{:?}", frame);
        }
    }
}
