//! Where frames go on an adapter with VM queues (`spec/ndis.md` C.9, D.4, D.9).

use ethernet::{MacAddr, VlanTag};

use super::{parameters, queues};
use crate::queue::{QueueId, VmQueues};
use crate::testing::{mac, test};
use crate::{Deliveries, DropReason, Egress, FilterId, Ingress, Source, VPortId, VlanTest};

const DEFAULT: Source = Source::VPort(VPortId::DEFAULT);

type Outcome = Result<Vec<(Egress, Option<VlanTag>)>, DropReason>;

const fn to(queue: u32) -> Egress {
    Egress::VPort(VPortId(queue))
}

const fn tag(vid: u16) -> Option<VlanTag> {
    Some(VlanTag::new(vid, 3, false))
}

fn frame(from: Source, destination: MacAddr, tag: Option<VlanTag>) -> Ingress {
    Ingress { from, destination, source: mac(100), tag, ethertype: 0x0800 }
}

impl VmQueues {
    fn decide(&self, physical_port: bool, ingress: Ingress) -> Outcome {
        let mut out = Deliveries::default();
        self.snapshot(physical_port).decide(&ingress, &mut out)?;
        Ok(out.iter().map(|delivery| (delivery.to, delivery.tag)).collect())
    }
}

/// Queues 1 to 3 for the stations 1 to 3: untagged, in VLAN 5, in every VLAN.
fn three() -> VmQueues {
    let mut queues = queues();
    queues.running(1, &[test(1, VlanTest::UntaggedOrZero)]);
    queues.running(2, &[test(2, VlanTest::Id(5))]);
    queues.running(3, &[test(3, VlanTest::Any)]);
    queues
}

#[test]
fn d4_frames_of_the_wire_go_straight_to_the_queue_whose_filter_matches() {
    let queues = three();
    let (none, priority) = (None, tag(0));
    let cases = [
        (1, none, to(1), none),
        (1, priority, to(1), priority),
        (1, tag(5), to(0), tag(5)),
        (2, tag(5), to(2), none),
        (2, tag(7), to(0), tag(7)),
        (2, none, to(0), none),
        (3, none, to(3), none),
        (3, tag(5), to(3), tag(5)),
        (3, tag(4094), to(3), tag(4094)),
        (4, none, to(0), none),
    ];
    for (n, tag, to, shown) in cases {
        let decided = queues.decide(true, frame(Source::Wire, mac(n), tag));
        assert_eq!(decided, Ok(vec![(to, shown)]), "station {n}, {tag:?}");
    }
}

#[test]
fn broadcast_and_multicast_of_the_wire_go_to_the_default_queue_only() {
    for destination in
        [MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1]), MacAddr([1, 0x80, 0xc2, 0, 0, 0xe])]
    {
        for tag in [None, tag(5)] {
            let decided = three().decide(true, frame(Source::Wire, destination, tag));
            assert_eq!(decided, Ok(vec![(to(0), tag)]), "{destination}");
        }
    }
}

#[test]
fn frames_of_the_extensible_switch_go_to_the_wire_whoever_they_are_for() {
    let mut queues = three();
    queues.set_filter(FilterId(1), QueueId::DEFAULT, test(9, VlanTest::Any)).unwrap();
    for destination in [mac(1), mac(2), mac(3), mac(9), mac(50), MacAddr::BROADCAST] {
        for tag in [None, tag(5)] {
            let ingress = frame(DEFAULT, destination, tag);
            assert_eq!(queues.decide(true, ingress), Ok(vec![(Egress::Physical, tag)]), "{destination}");
            assert_eq!(queues.decide(false, ingress), Err(DropReason::NoDestination), "{destination}");
        }
    }
}

#[test]
fn queues_only_receive() {
    let queues = three();
    for id in [1, 2, 3, 4, u32::MAX] {
        let ingress = frame(Source::VPort(VPortId(id)), mac(50), None);
        assert_eq!(queues.decide(true, ingress), Err(DropReason::VPortInactive));
        assert_eq!(queues.snapshot(true).pf_transmit_vport(VPortId(id)), VPortId::DEFAULT);
    }
}

#[test]
fn a_tag_in_band_is_the_default_queues_business() {
    let queues = three();
    let double = Ingress { ethertype: 0x88a8, ..frame(Source::Wire, mac(3), None) };
    assert_eq!(queues.decide(true, double), Ok(vec![(to(0), None)]));
    let reserved = frame(Source::Wire, mac(3), tag(4095));
    assert_eq!(queues.decide(true, reserved), Err(DropReason::ReservedVlan));
}

/// D.9 4: before the first filter, after the last, before the allocation is complete, once it was freed.
#[test]
fn d9_a_queue_that_does_not_run_gets_nothing_and_the_default_queue_its_frames() {
    let mut queues = queues();
    let (one, filter, ingress) = (QueueId(1), FilterId(1), frame(Source::Wire, mac(1), None));
    let receiver = |queues: &VmQueues| queues.decide(true, ingress).unwrap()[0].0;
    queues.allocate(one, parameters()).unwrap();
    assert_eq!(receiver(&queues), to(0));
    queues.set_filter(filter, one, test(1, VlanTest::UntaggedOrZero)).unwrap();
    assert_eq!(receiver(&queues), to(0));
    queues.complete_allocation(one).unwrap();
    assert_eq!(receiver(&queues), to(1));
    queues.clear_filter(filter).unwrap();
    assert_eq!(receiver(&queues), to(0));
    queues.set_filter(filter, one, test(1, VlanTest::UntaggedOrZero)).unwrap();
    assert_eq!(receiver(&queues), to(1));
    queues.clear_filter(filter).unwrap();
    queues.free(one).unwrap();
    assert_eq!(receiver(&queues), to(0));
}

#[test]
fn frames_of_a_queue_that_does_not_run_do_not_go_to_another_that_takes_every_vlan() {
    let mut queues = queues();
    queues.running(1, &[test(1, VlanTest::Any)]);
    queues.allocate(QueueId(2), parameters()).unwrap();
    queues.set_filter(FilterId(2), QueueId(2), test(1, VlanTest::Id(5))).unwrap();
    let ingress = frame(Source::Wire, mac(1), tag(5));
    assert_eq!(queues.decide(true, ingress), Ok(vec![(to(0), tag(5))]));
    queues.complete_allocation(QueueId(2)).unwrap();
    assert_eq!(queues.decide(true, ingress), Ok(vec![(to(2), None)]));
}

#[test]
fn d1_one_queue_may_have_an_address_in_several_vlans() {
    let mut queues = queues();
    queues
        .running(1, &[test(1, VlanTest::Id(5)), test(1, VlanTest::Id(7)), test(2, VlanTest::UntaggedOrZero)]);
    for (n, tag, receiver) in [(1, tag(5), 1), (1, tag(7), 1), (1, tag(9), 0), (1, None, 0), (2, None, 1)] {
        assert_eq!(queues.decide(true, frame(Source::Wire, mac(n), tag)).unwrap()[0].0, to(receiver));
    }
}
