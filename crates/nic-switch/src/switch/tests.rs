mod properties;

use ethernet::MacAddr;

use crate::testing::{Lab, capabilities, create, mac, test, vf_parameters, vport_parameters};
use crate::{
    Capabilities, ErrorKind, FilterId, FunctionId, InvalidCapabilities, MAX_NAME_UNITS, NicSwitch,
    SwitchError, SwitchParameters, VPortId, VPortState, VfId, VfParameters, VlanTest,
};

fn parameters() -> SwitchParameters {
    SwitchParameters { num_vfs: 4, queue_pairs_for_default_vport: 1, name: String::new() }
}

#[test]
fn c1_the_default_vport_comes_with_the_switch_on_the_pf_and_active() {
    let switch = create(capabilities());
    let vport = switch.vport(VPortId::DEFAULT).unwrap();
    assert_eq!((vport.function(), vport.state()), (FunctionId::Pf, VPortState::Activated));
    assert_eq!(switch.vports().count(), 1);
}

#[test]
fn c1_a_switch_is_refused_with_parameters_beyond_the_capabilities() {
    let error = |change: fn(&mut SwitchParameters)| {
        let mut parameters = parameters();
        change(&mut parameters);
        NicSwitch::create(capabilities(), parameters).unwrap_err()
    };
    assert_eq!(error(|p| p.num_vfs = 5), SwitchError::TooManyVfs { asked: 5, max: 4 });
    for asked in [0, 5] {
        let mut parameters = parameters();
        parameters.queue_pairs_for_default_vport = asked;
        let range = SwitchError::QueuePairsOutOfRange { vport: VPortId::DEFAULT, asked, max: 4 };
        assert_eq!(NicSwitch::create(capabilities(), parameters), Err(range));
    }
    assert_eq!(error(|p| p.name = "x".repeat(MAX_NAME_UNITS + 1)), SwitchError::NameTooLong { units: 257 });

    let broken = Capabilities { max_vports: 2, ..capabilities() };
    let reason = InvalidCapabilities::TooFewVPorts { max_vports: 2, needed: 5 };
    assert_eq!(NicSwitch::create(broken, parameters()), Err(SwitchError::Capabilities(reason)));
}

#[test]
fn queue_pairs_of_the_default_vport_fit_those_of_the_adapter() {
    let capabilities = Capabilities { max_queue_pairs_for_default_vport: 32, ..capabilities() };
    let parameters = SwitchParameters { queue_pairs_for_default_vport: 17, ..parameters() };
    let none = SwitchError::NoFreeQueuePairs { asked: 17, free: 16 };
    assert_eq!(NicSwitch::create(capabilities, parameters), Err(none));
}

#[test]
fn names_are_measured_in_utf16_units() {
    let mut switch = create(capabilities());
    assert_eq!(switch.set_name("\u{1f980}".repeat(128)), Ok(()));
    assert_eq!(switch.set_name("\u{1f980}".repeat(129)), Err(SwitchError::NameTooLong { units: 258 }));
    assert_eq!(switch.name(), "\u{1f980}".repeat(128));
    let parameters = VfParameters { nic_name: "x".repeat(257), ..vf_parameters() };
    assert_eq!(switch.allocate_vf(parameters), Err(SwitchError::NameTooLong { units: 257 }));
}

#[test]
fn a4_the_switch_chooses_the_lowest_free_vf() {
    let mut switch = create(capabilities());
    let all: Vec<_> = (0..4).map(|_| switch.allocate_vf(vf_parameters()).unwrap()).collect();
    assert_eq!(all, [VfId(0), VfId(1), VfId(2), VfId(3)]);
    assert_eq!(switch.allocate_vf(vf_parameters()), Err(SwitchError::NoFreeVf { num_vfs: 4 }));
    switch.free_vf(VfId(2)).unwrap();
    switch.free_vf(VfId(1)).unwrap();
    assert_eq!(switch.allocate_vf(vf_parameters()), Ok(VfId(1)));
}

#[test]
fn every_allocation_of_a_vf_has_its_own_generation() {
    let mut switch = create(capabilities());
    let vf = switch.allocate_vf(vf_parameters()).unwrap();
    let first = switch.free_vf(vf).unwrap();
    assert_eq!(switch.allocate_vf(vf_parameters()), Ok(vf));
    assert!(switch.vf(vf).unwrap().generation() > first.generation());
}

#[test]
fn a4_parameters_of_a_vf_are_information_only() {
    let mut switch = create(capabilities());
    let parameters = VfParameters { permanent_mac: mac(1), current_mac: mac(1), ..vf_parameters() };
    let vf = switch.allocate_vf(parameters.clone()).unwrap();
    assert_eq!(switch.vf(vf).unwrap().parameters(), &parameters);
    assert_eq!((switch.filters().count(), switch.vports().count()), (0, 1));
    for field in [MacAddr::BROADCAST, MacAddr([3, 0, 0, 0, 0, 0])] {
        let parameters = VfParameters { current_mac: field, ..vf_parameters() };
        assert_eq!(switch.allocate_vf(parameters), Err(SwitchError::VfMacMulticast { mac: field }));
    }
}

#[test]
fn changing_num_vfs_never_disturbs_vfs_in_use() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Any)]);
    let last = lab.vf(2, &[test(2, VlanTest::Any)]);
    let before = lab.switch.clone();
    lab.switch.set_num_vfs(0).unwrap();
    assert!(lab.switch.vfs().eq(before.vfs()) && lab.switch.filters().eq(before.filters()));
    assert_eq!(lab.switch.generation(), before.generation());
    assert_eq!(lab.switch.allocate_vf(vf_parameters()), Err(SwitchError::NoFreeVf { num_vfs: 0 }));
    assert_eq!(lab.switch.set_num_vfs(5), Err(SwitchError::TooManyVfs { asked: 5, max: 4 }));

    lab.switch.set_num_vfs(1).unwrap();
    lab.switch.clear_filter(FilterId(2)).unwrap();
    lab.switch.delete_vport(VPortId(2)).unwrap();
    lab.switch.free_vf(last).unwrap();
    assert_eq!(lab.switch.allocate_vf(vf_parameters()), Err(SwitchError::NoFreeVf { num_vfs: 1 }));
}

#[test]
fn h03_removal_order_is_filters_vport_vf_switch() {
    let mut lab = Lab::new();
    let vf = lab.vf(1, &[test(1, VlanTest::Any)]);
    let switch = &mut lab.switch;
    let (vport, filter) = (VPortId(1), FilterId(1));
    assert_eq!(switch.free_vf(vf), Err(SwitchError::VfInUse { vf, vport }));
    assert_eq!(switch.delete_vport(vport), Err(SwitchError::VPortInUse { vport, filters: 1 }));
    assert_eq!(switch.check_deletable(), Err(SwitchError::SwitchInUse { vfs: 1, vports: 1, filters: 1 }));
    switch.move_filter(filter, vport, VPortId::DEFAULT).unwrap();
    switch.delete_vport(vport).unwrap();
    switch.free_vf(vf).unwrap();
    assert_eq!(switch.check_deletable(), Err(SwitchError::SwitchInUse { vfs: 0, vports: 0, filters: 1 }));
    switch.clear_filter(filter).unwrap();
    assert_eq!(switch.check_deletable(), Ok(()));
}

#[test]
fn b3_info_counts_what_stands() {
    let mut lab = Lab::with(Capabilities { asymmetric_queue_pairs: true, ..capabilities() });
    lab.vf(1, &[test(1, VlanTest::Id(5)), test(2, VlanTest::UntaggedOrZero)]);
    lab.pf_vport(2, &[test(3, VlanTest::Id(5))]);
    lab.filters(0, &[test(4, VlanTest::Id(5)), test(4, VlanTest::Id(7)), test(4, VlanTest::Any)]);
    lab.receive(1, |mode| mode.unicast = vec![mac(1), mac(9)]);
    let mut three = vport_parameters(3, FunctionId::Pf);
    three.queue_pairs = 3;
    lab.switch.create_vport(three).unwrap();

    let info = lab.switch.info();
    assert_eq!((info.num_vfs, info.num_allocated_vfs), (4, 1));
    assert_eq!((info.num_vports, info.num_active_vports), (8, 2));
    assert_eq!(info.num_queue_pairs_for_default_vport, 1);
    assert_eq!(info.num_queue_pairs_for_nondefault_vports, 5);
    assert_eq!((info.num_default_vport_macs, info.num_nondefault_vport_macs), (1, 4));
    assert_eq!((info.num_default_vport_vlans, info.num_nondefault_vport_vlans), (2, 1));
}

#[test]
fn the_kind_of_an_error_says_what_can_be_done() {
    let mut switch = create(capabilities());
    switch.set_num_vfs(0).unwrap();
    let kind = |error: SwitchError| error.kind();
    assert_eq!(switch.allocate_vf(vf_parameters()).map_err(kind), Err(ErrorKind::Exhausted));
    assert_eq!(switch.free_vf(VfId(0)).map_err(kind), Err(ErrorKind::NotFound));
    assert_eq!(switch.delete_vport(VPortId::DEFAULT).map_err(kind), Err(ErrorKind::InvalidParameter));
    switch.set_filter(FilterId(1), VPortId::DEFAULT, test(1, VlanTest::Any)).unwrap();
    assert_eq!(switch.check_deletable().map_err(kind), Err(ErrorKind::InUse));
}
