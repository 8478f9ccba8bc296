use crate::testing::{Lab, capabilities, create, mac, test, vf_parameters, vport_parameters};
use crate::{
    Capabilities, FilterTest, FunctionId, InterruptModeration, NicSwitch, PortSecurity, ProcessorAffinity,
    ReceiveMode, SwitchError, SwitchParameters, VPortChanges, VPortId, VPortParameters, VPortState, VfId,
    VlanTest,
};

const ONE: VPortId = VPortId(1);

fn pf(id: u32) -> VPortParameters {
    vport_parameters(id, FunctionId::Pf)
}

fn state(state: VPortState) -> VPortChanges {
    VPortChanges { state: Some(state), ..VPortChanges::default() }
}

#[test]
fn h04_the_caller_chooses_a_free_vport_id_from_1_on() {
    let mut switch = create(capabilities());
    for id in [0, 8, u32::MAX] {
        let out_of_range = SwitchError::VPortIdOutOfRange { vport: VPortId(id), max: 7 };
        assert_eq!(switch.create_vport(pf(id)), Err(out_of_range));
    }
    assert_eq!(switch.create_vport(pf(7)), Ok(()));
    assert_eq!(switch.create_vport(pf(7)), Err(SwitchError::VPortExists { vport: VPortId(7) }));
}

#[test]
fn h05_a_vf_has_one_vport_active_from_birth() {
    let mut lab = Lab::new();
    let vf = lab.vf(1, &[]);
    assert_eq!(lab.switch.vport(ONE).unwrap().state(), VPortState::Activated);
    assert_eq!(lab.switch.vport_of_vf(vf).unwrap().id(), ONE);
    let second = vport_parameters(2, FunctionId::Vf(vf));
    assert_eq!(lab.switch.create_vport(second), Err(SwitchError::VfHasVPort { vf, vport: ONE }));
    let unallocated = vport_parameters(2, FunctionId::Vf(VfId(1)));
    assert_eq!(lab.switch.create_vport(unallocated), Err(SwitchError::VfNotFound { vf: VfId(1) }));
    let back = lab.switch.update_vport(ONE, state(VPortState::Deactivated));
    assert_eq!(back, Err(SwitchError::CannotDeactivate { vport: ONE }));
}

#[test]
fn h05_a_vport_of_the_pf_is_deactivated_at_birth_and_activated_once() {
    let mut switch = create(capabilities());
    switch.create_vport(pf(1)).unwrap();
    assert_eq!(switch.vport(ONE).unwrap().state(), VPortState::Deactivated);
    assert_eq!(switch.update_vport(ONE, state(VPortState::Deactivated)), Ok(()));
    assert_eq!(switch.update_vport(ONE, state(VPortState::Activated)), Ok(()));
    let back = switch.update_vport(ONE, state(VPortState::Deactivated));
    assert_eq!(back, Err(SwitchError::CannotDeactivate { vport: ONE }));
    assert_eq!(switch.vport(ONE).unwrap().state(), VPortState::Activated);
}

#[test]
fn h05_the_default_vport_is_always_there_and_active() {
    let mut switch = create(capabilities());
    assert_eq!(switch.delete_vport(VPortId::DEFAULT), Err(SwitchError::DefaultVPort));
    let back = switch.update_vport(VPortId::DEFAULT, state(VPortState::Deactivated));
    assert_eq!(back, Err(SwitchError::CannotDeactivate { vport: VPortId::DEFAULT }));
}

#[test]
fn the_default_vport_has_no_policy() {
    let mut switch = create(capabilities());
    let refused = Err(SwitchError::DefaultVPort);
    assert_eq!(switch.set_port_security(VPortId::DEFAULT, PortSecurity::default()), refused);
    assert_eq!(switch.set_receive_mode(VPortId::DEFAULT, ReceiveMode::default()), refused);
    let absent = Err(SwitchError::VPortNotFound { vport: ONE });
    assert_eq!(switch.set_port_security(ONE, PortSecurity::default()), absent);
    assert_eq!(switch.set_receive_mode(ONE, ReceiveMode::default()), absent);
}

#[test]
fn a_vport_sends_as_nobody_whom_no_filter_could_stand_for() {
    let mut switch = create(capabilities());
    switch.create_vport(pf(1)).unwrap();
    let mut send_as = |test| {
        let sends_as = Some(test);
        switch.set_port_security(ONE, PortSecurity { sends_as, ..PortSecurity::default() })
    };
    let allowed = test(1, VlanTest::Id(4094));
    assert_eq!(send_as(allowed), Ok(()));
    for vid in [0, 4095, u16::MAX] {
        assert_eq!(send_as(test(1, VlanTest::Id(vid))), Err(SwitchError::FilterVlanOutOfRange { vid }));
    }
    let mac = ethernet::MacAddr::BROADCAST;
    let group = FilterTest { mac, vlan: VlanTest::UntaggedOrZero };
    assert_eq!(send_as(group), Err(SwitchError::FilterMacNotUnicast { mac }));
    assert_eq!(switch.vport(ONE).unwrap().security().sends_as, Some(allowed));
}

#[test]
fn a4_only_what_is_named_changes_and_all_of_it_or_nothing() {
    let mut switch = create(capabilities());
    switch.create_vport(pf(1)).unwrap();
    let affinity = Some(ProcessorAffinity { group: 1, mask: 1 << 63 });
    let changes = VPortChanges { affinity, ..VPortChanges::default() };
    switch.update_vport(ONE, changes).unwrap();
    let vport = switch.vport(ONE).unwrap();
    assert_eq!((vport.affinity(), vport.name(), vport.state()), (affinity, "port", VPortState::Deactivated));

    let before = switch.clone();
    let half_bad = VPortChanges {
        name: Some("new".into()),
        affinity: Some(ProcessorAffinity { group: 0, mask: 0 }),
        ..state(VPortState::Activated)
    };
    let refused = SwitchError::AffinityNotOneCpu { vport: ONE, cpus: 0 };
    assert_eq!(switch.update_vport(ONE, half_bad), Err(refused));
    assert_eq!(switch, before);

    let moderation = Some(InterruptModeration::Low);
    let all =
        VPortChanges { name: Some("new".into()), interrupt_moderation: moderation, affinity, state: None };
    switch.update_vport(VPortId::DEFAULT, all).unwrap();
    let vport = switch.vport(VPortId::DEFAULT).unwrap();
    assert_eq!((vport.name(), vport.interrupt_moderation()), ("new", InterruptModeration::Low));
    let absent = SwitchError::VPortNotFound { vport: VPortId(2) };
    assert_eq!(switch.update_vport(VPortId(2), VPortChanges::default()), Err(absent));
}

#[test]
fn anomaly_0_7_a_vport_of_the_pf_is_served_by_one_cpu_and_a_vf_by_its_guest() {
    let mut lab = Lab::new();
    for (mask, cpus) in [(0, 0), (3, 2), (u64::MAX, 64)] {
        let affinity = Some(ProcessorAffinity { group: 0, mask });
        let refused = SwitchError::AffinityNotOneCpu { vport: ONE, cpus };
        assert_eq!(lab.switch.create_vport(VPortParameters { affinity, ..pf(1) }), Err(refused));
    }
    let none = VPortParameters { affinity: None, ..pf(1) };
    assert_eq!(lab.switch.create_vport(none), Err(SwitchError::AffinityNotOneCpu { vport: ONE, cpus: 0 }));

    let vf = lab.switch.allocate_vf(vf_parameters()).unwrap();
    let affinity = Some(ProcessorAffinity { group: 0, mask: 1 });
    let pinned = VPortParameters { affinity, ..vport_parameters(1, FunctionId::Vf(vf)) };
    assert_eq!(lab.switch.create_vport(pinned), Err(SwitchError::AffinityOnVf { vport: ONE }));
    lab.switch.create_vport(vport_parameters(1, FunctionId::Vf(vf))).unwrap();
    let changes = VPortChanges { affinity, ..VPortChanges::default() };
    assert_eq!(lab.switch.update_vport(ONE, changes), Err(SwitchError::AffinityOnVf { vport: ONE }));
}

#[test]
fn interrupt_moderation_needs_the_capability() {
    let mut switch = create(Capabilities { per_vport_interrupt_moderation: false, ..capabilities() });
    let interrupt_moderation = InterruptModeration::Adaptive;
    let refused = Err(SwitchError::InterruptModerationNotSupported);
    assert_eq!(switch.create_vport(VPortParameters { interrupt_moderation, ..pf(1) }), refused);
    switch.create_vport(pf(1)).unwrap();
    let changes =
        VPortChanges { interrupt_moderation: Some(interrupt_moderation), ..VPortChanges::default() };
    assert_eq!(switch.update_vport(ONE, changes), refused);
}

#[test]
fn a_vport_has_1_to_the_limit_of_queue_pairs() {
    let mut switch = create(capabilities());
    for asked in [0, 5, u32::MAX] {
        let refused = SwitchError::QueuePairsOutOfRange { vport: ONE, asked, max: 4 };
        assert_eq!(switch.create_vport(VPortParameters { queue_pairs: asked, ..pf(1) }), Err(refused));
    }
    assert_eq!(switch.create_vport(VPortParameters { queue_pairs: 3, ..pf(1) }), Ok(()));
}

#[test]
fn b2_nondefault_vports_have_equal_queue_pairs_unless_asymmetric() {
    let two = VPortParameters { queue_pairs: 2, ..pf(2) };
    let mut symmetric = create(capabilities());
    symmetric.create_vport(pf(1)).unwrap();
    let refused = SwitchError::QueuePairsAsymmetric { asked: 2, others: 1 };
    assert_eq!(symmetric.create_vport(two.clone()), Err(refused));
    symmetric.delete_vport(ONE).unwrap();
    assert_eq!(symmetric.create_vport(two.clone()), Ok(()));

    let mut asymmetric = create(Capabilities { asymmetric_queue_pairs: true, ..capabilities() });
    asymmetric.create_vport(pf(1)).unwrap();
    assert_eq!(asymmetric.create_vport(two), Ok(()));
}

/// The adapter of the worked examples of B.2 and D.8.
fn adapter(change: impl FnOnce(&mut Capabilities)) -> NicSwitch {
    let mut capabilities = Capabilities {
        max_vfs: 31,
        max_vports: 64,
        max_queue_pairs: 128,
        max_mac_addresses: 64,
        max_filters: 64,
        single_vport_pool: true,
        ..capabilities()
    };
    change(&mut capabilities);
    let parameters = SwitchParameters { num_vfs: 31, queue_pairs_for_default_vport: 2, name: String::new() };
    NicSwitch::create(capabilities, parameters).unwrap()
}

/// Creates VPorts of the PF until one is refused: how many there are then, and why.
fn fill(switch: &mut NicSwitch, queue_pairs: u32) -> (usize, SwitchError) {
    for id in 1.. {
        if let Err(error) = switch.create_vport(VPortParameters { queue_pairs, ..pf(id) }) {
            return (switch.vports().count() - 1, error);
        }
    }
    unreachable!("ids are bounded")
}

#[test]
fn b2_128_queue_pairs_are_63_vports_with_2_or_31_with_4() {
    let (vports, error) = fill(&mut adapter(|_| ()), 2);
    assert_eq!((vports, error), (63, SwitchError::VPortIdOutOfRange { vport: VPortId(64), max: 63 }));
    let (vports, error) = fill(&mut adapter(|_| ()), 4);
    assert_eq!((vports, error), (31, SwitchError::NoFreeQueuePairs { asked: 4, free: 2 }));
}

#[test]
fn d8_without_single_pool_the_pf_gets_32_and_every_vf_its_vport() {
    let mut switch = adapter(|capabilities| capabilities.single_vport_pool = false);
    let (vports, error) = fill(&mut switch, 2);
    let full = SwitchError::NoFreeVPort { function: FunctionId::Pf, used: 32, max: 32 };
    assert_eq!((vports, error), (32, full));
    for id in 33..64 {
        let vf = switch.allocate_vf(vf_parameters()).unwrap();
        let parameters = VPortParameters { queue_pairs: 2, ..vport_parameters(id, FunctionId::Vf(vf)) };
        assert_eq!(switch.create_vport(parameters), Ok(()));
    }
}

#[test]
fn d8_in_a_single_pool_a_vf_may_find_no_vport() {
    let mut switch = create(Capabilities { single_vport_pool: true, ..capabilities() });
    for id in 1..8 {
        switch.create_vport(pf(id)).unwrap();
    }
    let vf = switch.allocate_vf(vf_parameters()).unwrap();
    let function = FunctionId::Vf(vf);
    // The id is taken as well, and could not be otherwise.
    let refused = SwitchError::NoFreeVPort { function, used: 7, max: 7 };
    assert_eq!(switch.create_vport(vport_parameters(1, function)), Err(refused));
}

#[test]
fn s07_a_guest_cannot_have_anothers_address_by_asking_for_it() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Any)]);
    lab.vf(2, &[test(2, VlanTest::Id(5))]);
    lab.filters(0, &[test(3, VlanTest::Any)]);
    lab.receive(1, |mode| mode.unicast = vec![mac(4)]);
    for (wanted, owner) in [(1, ONE), (3, VPortId::DEFAULT), (4, ONE)] {
        let mode = ReceiveMode { unicast: vec![mac(9), mac(wanted)], ..ReceiveMode::default() };
        let taken = SwitchError::ExtraMacTaken { mac: mac(wanted), vport: VPortId(2), owner };
        assert_eq!(lab.switch.set_receive_mode(VPortId(2), mode), Err(taken));
    }
    assert!(lab.switch.vport(VPortId(2)).unwrap().receive_mode().unicast.is_empty());
}

#[test]
fn s07_an_extra_address_gives_way_to_a_filter() {
    let mut lab = Lab::new();
    lab.vf(1, &[test(1, VlanTest::Any)]);
    lab.vf(2, &[test(2, VlanTest::Any)]);
    lab.receive(1, |mode| mode.unicast = vec![mac(1), mac(8), mac(9)]);
    lab.filters(2, &[test(8, VlanTest::Id(5))]);
    assert_eq!(lab.switch.vport(ONE).unwrap().receive_mode().unicast, [mac(1), mac(9)]);
    // Its own filter's address is an extra one no longer when the filter moves away.
    lab.switch.move_filter(crate::FilterId(1), ONE, VPortId::DEFAULT).unwrap();
    assert_eq!(lab.switch.vport(ONE).unwrap().receive_mode().unicast, [mac(9)]);
}

#[test]
fn extra_addresses_are_bounded_and_unicast() {
    let mut lab = Lab::new();
    lab.vf(1, &[]);
    let asked = |unicast| ReceiveMode { unicast, ..ReceiveMode::default() };
    let many = asked((0..129).map(mac).collect());
    assert_eq!(
        lab.switch.set_receive_mode(ONE, many),
        Err(SwitchError::TooManyUnicast { asked: 129, max: 128 })
    );
    for bad in [ethernet::MacAddr::ZERO, ethernet::MacAddr::BROADCAST] {
        let refused = SwitchError::ExtraMacNotUnicast { mac: bad };
        assert_eq!(lab.switch.set_receive_mode(ONE, asked(vec![bad])), Err(refused));
    }
}

#[test]
fn extra_addresses_leave_one_for_each_vport() {
    let mut lab = Lab::new();
    lab.vf(1, &[]);
    lab.vf(2, &[]);
    // 16 addresses, 8 VPorts: guests may have 8 of them.
    lab.receive(1, |mode| mode.unicast = (1..=6).map(mac).collect());
    let mode = |macs| ReceiveMode { unicast: macs, ..ReceiveMode::default() };
    let refused = lab.switch.set_receive_mode(VPortId(2), mode((10..13).map(mac).collect()));
    assert_eq!(refused, Err(SwitchError::NoFreeMac { asked: 9, max: 8 }));
    assert_eq!(lab.switch.set_receive_mode(VPortId(2), mode((10..12).map(mac).collect())), Ok(()));
    for n in 20..28 {
        lab.filters(0, &[test(n, VlanTest::Any)]);
    }
    let full = lab.filter(0, test(28, VlanTest::Any));
    assert_eq!(full, Err(SwitchError::NoFreeMac { asked: 17, max: 16 }));
}
