use ethernet::MacAddr;

use crate::testing::{Lab, capabilities, mac, test};
use crate::{Capabilities, FilterId, FilterTest, SwitchError, VPortId, VlanTest};

const DEFAULT: VPortId = VPortId::DEFAULT;
const ONE: VPortId = VPortId(1);
const TWO: VPortId = VPortId(2);

#[test]
fn h01_a_moved_filter_keeps_its_id_and_stands_on_one_vport() {
    let mut lab = Lab::new();
    lab.vf(1, &[]);
    let id = lab.filter(0, test(1, VlanTest::Id(5))).unwrap();
    lab.switch.move_filter(id, DEFAULT, ONE).unwrap();
    let filter = *lab.switch.filter(id).unwrap();
    assert_eq!((filter.id(), filter.vport(), filter.test()), (id, ONE, test(1, VlanTest::Id(5))));
    assert_eq!((lab.switch.filters_on(ONE).count(), lab.switch.filters_on(DEFAULT).count()), (1, 0));
}

#[test]
fn h01_a_refused_move_leaves_the_filter_wholly_on_its_source() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5))]);
    let id = lab.filter(0, test(1, VlanTest::Id(7))).unwrap();
    let before = lab.switch.clone();
    let switch = &mut lab.switch;
    let unknown = FilterId(99);
    assert_eq!(
        switch.move_filter(unknown, DEFAULT, ONE),
        Err(SwitchError::FilterNotFound { filter: unknown })
    );
    let elsewhere = SwitchError::FilterNotOnSource { filter: id, on: DEFAULT, from: ONE };
    assert_eq!(switch.move_filter(id, ONE, DEFAULT), Err(elsewhere));
    assert_eq!(switch.move_filter(id, DEFAULT, TWO), Err(SwitchError::VPortNotFound { vport: TWO }));
    let second = SwitchError::SecondFilterForMac { mac: mac(1), vport: ONE, existing: FilterId(1) };
    assert_eq!(switch.move_filter(id, DEFAULT, ONE), Err(second));
    assert_eq!(*switch, before);
    assert_eq!(
        switch.move_filter(FilterId(1), ONE, ONE),
        Ok(()),
        "a move to where it stands changes nothing"
    );
}

#[test]
fn h04_filter_ids_are_unique_over_the_adapter_and_never_0() {
    let mut lab = Lab::new();
    lab.vf(1, &[]);
    let switch = &mut lab.switch;
    let any = |n| test(n, VlanTest::Any);
    assert_eq!(switch.set_filter(FilterId(0), ONE, any(1)), Err(SwitchError::FilterIdReserved));
    assert_eq!(switch.set_filter(FilterId(u32::MAX), ONE, any(1)), Ok(()));
    let taken = SwitchError::FilterExists { filter: FilterId(u32::MAX) };
    assert_eq!(switch.set_filter(FilterId(u32::MAX), DEFAULT, any(2)), Err(taken));
    let absent = SwitchError::VPortNotFound { vport: TWO };
    assert_eq!(switch.set_filter(FilterId(1), TWO, any(2)), Err(absent));
    assert_eq!(switch.clear_filter(FilterId(1)), Err(SwitchError::FilterNotFound { filter: FilterId(1) }));
    assert_eq!(switch.clear_filter(FilterId(u32::MAX)).unwrap().test(), any(1));
    assert_eq!(switch.filters().count(), 0);
}

#[test]
fn d1_no_two_filters_have_the_same_test() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5))]);
    let again = test(1, VlanTest::Id(5));
    let refused = SwitchError::DuplicateFilter { test: again, existing: FilterId(1) };
    assert_eq!(lab.filter(0, again), Err(refused));
    assert!(
        lab.filter(0, test(1, VlanTest::Id(7))).is_ok(),
        "the same address in another VLAN is another station"
    );
}

#[test]
fn on_a_nondefault_vport_an_address_has_one_vlan_mode() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Id(5)), test(2, VlanTest::Id(7))]);
    for vlan in [VlanTest::Id(7), VlanTest::UntaggedOrZero, VlanTest::Any] {
        let refused = SwitchError::SecondFilterForMac { mac: mac(1), vport: ONE, existing: FilterId(1) };
        assert_eq!(lab.filter(1, test(1, vlan)), Err(refused));
    }
    lab.filters(0, &[test(3, VlanTest::Id(5)), test(3, VlanTest::Id(7)), test(3, VlanTest::Any)]);
}

#[test]
fn a_filter_tests_for_a_station_in_a_vlan_that_exists() {
    let mut lab = Lab::new();
    for bad in [MacAddr::ZERO, MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1])] {
        let refused = SwitchError::FilterMacNotUnicast { mac: bad };
        assert_eq!(lab.filter(0, FilterTest { mac: bad, vlan: VlanTest::Any }), Err(refused));
    }
    for vid in [0, 4095, 4096, u16::MAX] {
        let refused = SwitchError::FilterVlanOutOfRange { vid };
        assert_eq!(lab.filter(0, test(1, VlanTest::Id(vid))), Err(refused));
    }
    lab.filters(0, &[test(1, VlanTest::Id(1)), test(1, VlanTest::Id(4094))]);
}

#[test]
fn b2_vlan_ids_are_tested_only_with_vlan_supported() {
    let mut lab = Lab::with(Capabilities { vlan_supported: false, ..capabilities() });
    assert_eq!(lab.filter(0, test(1, VlanTest::Id(5))), Err(SwitchError::VlanNotSupported { vid: 5 }));
    lab.filters(0, &[test(1, VlanTest::UntaggedOrZero), test(2, VlanTest::Any)]);
}

#[test]
fn b2_max_mac_addresses_counts_distinct_addresses_of_the_whole_switch() {
    let mut lab = Lab::new();
    lab.vf(1, &[]);
    for n in 0..16 {
        lab.filters(u32::from(n % 2), &[test(n, VlanTest::Id(5))]);
    }
    assert_eq!(lab.filter(1, test(16, VlanTest::Id(5))), Err(SwitchError::NoFreeMac { asked: 17, max: 16 }));
    assert!(
        lab.filter(0, test(3, VlanTest::Id(7))).is_ok(),
        "an address in a second VLAN is no second address"
    );
    lab.switch.clear_filter(FilterId(1)).unwrap();
    assert!(lab.filter(1, test(16, VlanTest::Id(5))).is_ok());
}

#[test]
fn s06_a_full_filter_table_refuses_and_a_cleared_filter_makes_room() {
    let mut lab = Lab::new();
    let mut vids = 1..4095;
    lab.filters(0, &vids.by_ref().take(32).map(|vid| test(1, VlanTest::Id(vid))).collect::<Vec<_>>());
    for vid in vids {
        assert_eq!(lab.filter(0, test(1, VlanTest::Id(vid))), Err(SwitchError::NoFreeFilter { max: 32 }));
    }
    assert_eq!(lab.switch.filters().count(), 32);
    lab.switch.clear_filter(FilterId(7)).unwrap();
    assert!(lab.filter(0, test(2, VlanTest::Any)).is_ok());
}
