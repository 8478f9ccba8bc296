//! Random switches and random frames against the model.

use std::collections::BTreeSet;

use ethernet::{MacAddr, VlanTag};
use proptest::prelude::*;

use super::model;
use crate::testing::operation::{VIDS, operation, station, vport_id};
use crate::testing::{capabilities, create, mac, vf_parameters, vport_parameters};
use crate::{
    Deliveries, Delivery, Egress, FilterId, FilterTest, FunctionId, Ingress, NicSwitch, Source, VPortId,
    VlanTest,
};

fn destination() -> impl Strategy<Value = MacAddr> {
    prop_oneof![
        8 => station(),
        2 => Just(MacAddr::BROADCAST),
        3 => (0..4_u8).prop_map(|n| MacAddr([1, 0, 0x5e, 0, 0, n])),
        1 => (0..16_u8).prop_map(|n| MacAddr([1, 0x80, 0xc2, 0, 0, n])),
    ]
}

fn frame() -> impl Strategy<Value = Ingress> {
    let from = prop_oneof![4 => vport_id().prop_map(Source::VPort), 1 => Just(Source::Wire)];
    let vid = prop_oneof![
        3 => Just(0),
        8 => prop::sample::select(&VIDS[..]),
        1 => Just(9),
        1 => Just(4095),
    ];
    let tag = prop::option::of(
        (vid, 0..8_u8, any::<bool>()).prop_map(|(vid, pcp, dei)| VlanTag::new(vid, pcp, dei)),
    );
    let ethertype = prop_oneof![
        12 => Just(0x0800_u16),
        1 => Just(0x8808),
        1 => prop::sample::select(&[0x8100_u16, 0x88a8, 0x9100, 0x9200, 0x9300][..]),
    ];
    (from, destination(), station(), tag, ethertype).prop_map(
        |(from, destination, source, tag, ethertype)| Ingress { from, destination, source, tag, ethertype },
    )
}

/// A switch on which much stands already: requests at random seldom get this far.
fn populated() -> NicSwitch {
    let mut switch = create(crate::Capabilities { max_mac_addresses: 24, ..capabilities() });
    for (n, vlan) in [(1, VlanTest::Any), (2, VlanTest::UntaggedOrZero), (3, VlanTest::Id(5))] {
        let vport = u32::from(n);
        let vf = switch.allocate_vf(vf_parameters()).unwrap();
        switch.create_vport(vport_parameters(vport, FunctionId::Vf(vf))).unwrap();
        let test = FilterTest { mac: mac(n), vlan };
        switch.set_filter(FilterId(10 + vport), VPortId(vport), test).unwrap();
    }
    switch
}

/// The same station as sender and owner more often than chance has it.
fn with_own_address(mut frame: Ingress, switch: &NicSwitch) -> Ingress {
    if let Source::VPort(vport) = frame.from
        && let Some(filter) = switch.filters_on(vport).next()
    {
        frame.source = filter.test().mac;
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn decides_like_the_model(
        empty in prop::bool::weighted(0.2),
        physical_port in any::<bool>(),
        operations in prop::collection::vec(operation(), 0..40),
        frames in prop::collection::vec((frame(), any::<bool>()), 60),
    ) {
        let mut switch = if empty { create(capabilities()) } else { populated() };
        for operation in operations {
            // Whether it is granted is another property's business.
            let _ = operation.apply(&mut switch);
        }
        let forwarding = switch.snapshot(physical_port);
        prop_assert_eq!(forwarding.generation(), switch.generation());
        let mut out = Deliveries::for_adapter(switch.capabilities());
        let room = out.as_ptr();
        for (frame, own_address) in frames {
            let frame = if own_address { with_own_address(frame, &switch) } else { frame };
            let decided = forwarding.decide(&frame, &mut out);
            let expected = model::decide(&switch, physical_port, &frame);
            let set: BTreeSet<Delivery> = out.iter().copied().collect();
            prop_assert_eq!(decided.map(|()| set), expected.clone(), "{:?}", frame);
            prop_assert_eq!(out.len(), expected.map_or(0, |expected| expected.len()), "a receiver gets it twice");
            prop_assert_eq!(out.as_ptr(), room, "the list has room for every decision");

            let receivers: BTreeSet<Egress> = out.iter().map(|delivery| delivery.to).collect();
            prop_assert_eq!(receivers.len(), out.len(), "a receiver gets it once");
            let back = match frame.from {
                Source::VPort(vport) => Egress::VPort(vport),
                Source::Wire => Egress::Physical,
            };
            prop_assert!(!receivers.contains(&back), "nothing goes back where it comes from");
        }
    }

    /// D.9: what a filter matches goes to one VPort that has such a filter or to nobody, whatever others were granted.
    #[test]
    fn d9_a_frame_matched_to_a_vf_is_visible_to_no_other(
        operations in prop::collection::vec(operation(), 0..40),
        from_wire in any::<bool>(),
    ) {
        let mut switch = populated();
        for operation in operations {
            // As above.
            let _ = operation.apply(&mut switch);
        }
        let forwarding = switch.snapshot(true);
        let mut out = Deliveries::for_adapter(switch.capabilities());
        for filter in switch.filters() {
            let tag = match filter.test().vlan {
                VlanTest::Id(vid) => Some(VlanTag::new(vid, 0, false)),
                VlanTest::Any | VlanTest::UntaggedOrZero => None,
            };
            let from = if from_wire { Source::Wire } else { Source::VPort(VPortId::DEFAULT) };
            let destination = filter.test().mac;
            let frame = Ingress { from, destination, source: mac(99), tag, ethertype: 0x0800 };
            if forwarding.decide(&frame, &mut out).is_ok() {
                let receivers: Vec<_> = out.iter().map(|delivery| delivery.to).collect();
                let own = switch.filters().filter(|own| own.test().mac == destination);
                let owners: Vec<_> = own.map(|own| Egress::VPort(own.vport())).collect();
                prop_assert!(receivers.len() == 1 && owners.contains(&receivers[0]), "{:?}: {:?}", frame, receivers);
            }
        }
    }

    /// H.1: between any two VPorts, at every instant the filter's frames go to one of them.
    #[test]
    fn h01_a_filter_delivers_on_exactly_one_vport_across_moves(
        path in prop::collection::vec(0..4_u32, 1..12),
        vlan in prop::sample::select(&[VlanTest::UntaggedOrZero, VlanTest::Any, VlanTest::Id(5)][..]),
    ) {
        let mut switch = populated();
        let (id, station) = (FilterId(1), mac(200));
        switch.set_filter(id, VPortId::DEFAULT, FilterTest { mac: station, vlan }).unwrap();
        let tag = matches!(vlan, VlanTest::Id(_)).then_some(VlanTag::new(5, 0, false));
        let frame = Ingress { from: Source::Wire, destination: station, source: mac(201), tag, ethertype: 0x0800 };
        let mut out = Deliveries::for_adapter(switch.capabilities());
        let mut on = VPortId::DEFAULT;
        for to in path.into_iter().map(VPortId) {
            switch.move_filter(id, on, to).unwrap();
            on = to;
            prop_assert_eq!(switch.snapshot(true).decide(&frame, &mut out), Ok(()));
            prop_assert_eq!(out.iter().map(|delivery| delivery.to).collect::<Vec<_>>(), [Egress::VPort(on)]);
        }
    }
}
