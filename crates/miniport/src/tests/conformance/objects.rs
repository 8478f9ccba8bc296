//! A.4, B.2 and H: the switch, VFs and VPorts: what may be created, changed and removed.

use nic_switch::{
    Capabilities, FilterTest, FunctionId, InterruptModeration, ProcessorAffinity, VPortChanges, VPortId,
    VPortState, VfId, VlanTest,
};

use super::Rules;
use crate::tests::support::{
    Bench, OTHER, TOTAL_VFS, capabilities, config, function, mac, pf_vport, test, vf_parameters, vf_vport,
};
use crate::{
    Action, Adapter, AdapterConfig, NdisStatus, NewVPort, OidRequest, Payload, SwitchChanges, VPortInfo,
};

const DEFAULT: VPortId = VPortId::DEFAULT;

pub(super) fn with(change: impl FnOnce(&mut Capabilities)) -> AdapterConfig {
    let mut capabilities = capabilities();
    change(&mut capabilities);
    AdapterConfig { capabilities, ..config() }
}

fn vport_info(bench: &mut Bench, vport: VPortId) -> VPortInfo {
    match bench.done(OidRequest::VPortParameters(vport)) {
        Payload::VPort(info) => info,
        other => panic!("{other:?}"),
    }
}

pub(super) fn filters_on(bench: &mut Bench, vport: VPortId) -> Vec<u32> {
    match bench.done(OidRequest::EnumFilters(vport)) {
        Payload::Filters { filters, .. } => filters.iter().map(|info| info.filter.0).collect(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn change(vport: VPortId, changes: VPortChanges) -> OidRequest {
    OidRequest::SetVPortParameters { vport, changes }
}

pub(super) fn rules() -> Rules {
    let mut rules = Rules::default();
    switch(&mut rules);
    vfs(&mut rules);
    vports(&mut rules);
    rules
}

fn switch(rules: &mut Rules) {
    rules.rule("A.4 CREATE_SWITCH again is refused: an adapter has one switch", || {
        let mut bench = Bench::new();
        let create = OidRequest::CreateSwitch(config().switch);
        assert_eq!(bench.ask_ndis(create).status, NdisStatus::InvalidParameter);
    });
    rules.rule("A.4 DELETE_SWITCH while anything stands is FILE_NOT_FOUND", || {
        let mut bench = Bench::new();
        let filter = bench.set_filter(DEFAULT, test(1));
        assert_eq!(bench.ask_ndis(OidRequest::DeleteSwitch).status, NdisStatus::FileNotFound);
        bench.done(OidRequest::ClearFilter(filter));
        let vf = bench.allocate_vf();
        assert_eq!(bench.ask_ndis(OidRequest::DeleteSwitch).status, NdisStatus::FileNotFound);
        bench.done(OidRequest::FreeVf(vf));
        assert_eq!(bench.ask_ndis(OidRequest::DeleteSwitch).status, NdisStatus::Success);
    });
    rules.rule("A.4 the default VPort is there from the start: id 0, on the PF, activated", || {
        let info = vport_info(&mut Bench::new(), DEFAULT);
        assert_eq!((info.vport, info.function, info.state), (DEFAULT, FunctionId::Pf, VPortState::Activated));
        assert_eq!(info.queue_pairs, config().switch.queue_pairs_for_default_vport);
    });
    rules.rule("A.4 NIC_SWITCH_PARAMETERS set: a new name takes effect at once", || {
        let mut bench = Bench::new();
        bench.done(OidRequest::SetSwitchParameters(SwitchChanges { name: Some("n".into()), num_vfs: 4 }));
        let Payload::Switch(parameters) = bench.done(OidRequest::SwitchParameters) else { panic!() };
        assert_eq!((parameters.name.as_str(), parameters.num_vfs), ("n", 4));
        assert_eq!(bench.adapter.registry().name, "n");
    });
    rules.rule(
        "A.3 NIC_SWITCH_PARAMETERS set: another NumVFs is REINIT_REQUIRED, stored, and not yet in effect",
        || {
            let mut bench = Bench::new();
            let fewer = OidRequest::SetSwitchParameters(SwitchChanges { name: None, num_vfs: 2 });
            assert_eq!(bench.status(fewer), NdisStatus::ReinitRequired);
            assert_eq!(bench.adapter.registry().num_vfs, 2);
            let Payload::Switch(parameters) = bench.done(OidRequest::SwitchParameters) else { panic!() };
            assert_eq!(parameters.num_vfs, 4);
        },
    );
    rules.rule("A.4 a stored NumVFs takes effect when the adapter is initialized again", || {
        let mut bench = Bench::new();
        bench.ask(OidRequest::SetSwitchParameters(SwitchChanges { name: None, num_vfs: 2 }));
        bench.adapter.halt();
        let actions = bench.adapter.start().unwrap();
        assert!(actions.contains(&Action::VirtualizationEnabled { num_vfs: 2 }));
        assert_eq!(bench.adapter.function().num_vfs(), 2);
    });
    rules.rule("A.3 NIC_SWITCH_PARAMETERS set: another failure leaves the registry unchanged", || {
        let mut bench = Bench::new();
        let changes = SwitchChanges { name: Some("x".repeat(257)), num_vfs: 1 };
        assert_eq!(bench.status(OidRequest::SetSwitchParameters(changes)), NdisStatus::InvalidParameter);
        assert_eq!(bench.adapter.registry(), &config().switch);
    });
    rules.rule("A.4 NumVFs beyond what the function has: the adapter does not start", || {
        let mut config = with(|c| (c.max_vfs, c.max_vports) = (5, 8));
        config.switch.num_vfs = 5;
        assert!(Adapter::initialize(config, function()).is_err());
    });
    rules.rule("B.2 capabilities that contradict themselves: the adapter does not start", || {
        assert!(Adapter::initialize(with(|c| c.max_vports = u32::from(TOTAL_VFS)), function()).is_err());
        assert!(Adapter::initialize(with(|c| c.max_queue_pairs = 7), function()).is_err());
        assert!(
            Adapter::initialize(with(|c| c.max_queue_pairs_per_nondefault_vport = 3), function()).is_err()
        );
        assert!(Adapter::initialize(with(|c| c.max_mac_addresses = 7), function()).is_err());
    });
    rules.rule("B.3 NIC_SWITCH_INFO counts VFs, VPorts, queue pairs, addresses and VLANs", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        bench.set_filter(DEFAULT, FilterTest { mac: mac(1), vlan: VlanTest::Id(5) });
        bench.set_filter(DEFAULT, FilterTest { mac: mac(1), vlan: VlanTest::Id(6) });
        bench.set_filter(vport, FilterTest { mac: mac(2), vlan: VlanTest::Id(5) });
        let Payload::Switches(switches) = bench.done(OidRequest::EnumSwitches) else { panic!() };
        let info = &switches[0];
        assert_eq!(
            (info.num_vfs, info.num_allocated_vfs, info.num_vports, info.num_active_vports),
            (4, 1, 8, 2)
        );
        assert_eq!((info.queue_pairs_for_default_vport, info.queue_pairs_for_nondefault_vports), (1, 2));
        assert_eq!((info.default_vport_macs, info.nondefault_vport_macs), (1, 1));
        assert_eq!((info.default_vport_vlans, info.nondefault_vport_vlans), (2, 1));
    });
}

fn vfs(rules: &mut Rules) {
    rules.rule("H.4 the miniport chooses VF ids, zero-based, and their RIDs", || {
        let mut bench = Bench::new();
        let Payload::Vf(first) = bench.done(OidRequest::AllocateVf(vf_parameters())) else { panic!() };
        let Payload::Vf(second) = bench.done(OidRequest::AllocateVf(vf_parameters())) else { panic!() };
        assert_eq!((first.vf, second.vf), (VfId(0), VfId(1)));
        // PF 01:00.0, first VF offset 0x80, stride 2.
        assert_eq!((first.requestor_id, second.requestor_id), (0x0180, 0x0182));
    });
    rules.rule("A.4 an allocated VF has no VPort, and no filter is made of its addresses", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let of_vf = OidRequest::EnumVPorts { function: Some(FunctionId::Vf(vf)) };
        assert_eq!(bench.done(of_vf), Payload::VPorts(vec![]));
        assert_eq!(filters_on(&mut bench, DEFAULT), [0_u32; 0]);
    });
    rules.rule("A.4 VF_PARAMETERS says what was said at allocation", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let Payload::Vf(info) = bench.done(OidRequest::VfParameters(vf)) else { panic!() };
        assert_eq!(info.parameters, vf_parameters());
    });
    rules.rule("A.3 no VF left is FAILURE", || {
        let mut bench = Bench::new();
        for _ in 0..TOTAL_VFS {
            bench.allocate_vf();
        }
        assert_eq!(bench.status(OidRequest::AllocateVf(vf_parameters())), NdisStatus::Failure);
    });
    rules.rule("A.3 ALLOCATE_VF with a group address or a name of 257 units is INVALID_PARAMETER", || {
        let mut bench = Bench::new();
        let mut parameters = vf_parameters();
        parameters.current_mac.0[0] |= 1;
        assert_eq!(bench.status(OidRequest::AllocateVf(parameters)), NdisStatus::InvalidParameter);
        let mut parameters = vf_parameters();
        parameters.nic_name = "x".repeat(257);
        assert_eq!(bench.status(OidRequest::AllocateVf(parameters)), NdisStatus::InvalidParameter);
    });
    rules.rule("H.3 FREE_VF is refused while a VPort is attached, and goes afterwards", || {
        let mut bench = Bench::new();
        let (vf, vport) = bench.attached_vf();
        assert_eq!(bench.status(OidRequest::FreeVf(vf)), NdisStatus::FileNotFound);
        bench.done(OidRequest::DeleteVPort(vport));
        bench.done(OidRequest::FreeVf(vf));
        assert_eq!(bench.status(OidRequest::FreeVf(vf)), NdisStatus::FileNotFound);
    });
    rules.rule("a VF that is allocated again has another generation", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let first = bench.generation(vf);
        bench.done(OidRequest::FreeVf(vf));
        assert_eq!(bench.allocate_vf(), vf);
        assert_ne!(bench.generation(vf), first);
    });
    rules.rule("generations of one start of the adapter are not those of another", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let first = bench.generation(vf);
        bench.adapter.halt();
        bench.adapter.start().unwrap();
        assert_eq!(bench.allocate_vf(), vf);
        assert_ne!(bench.generation(vf), first);
    });
    rules.rule("ENUM_VFS lists every VF, by id", || {
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.allocate_vf();
        }
        bench.done(OidRequest::FreeVf(VfId(1)));
        let Payload::Vfs(vfs) = bench.done(OidRequest::EnumVfs) else { panic!() };
        assert_eq!(vfs.iter().map(|info| info.vf.0).collect::<Vec<_>>(), [0, 2]);
    });
}

fn vports(rules: &mut Rules) {
    rules.rule("H.4 NDIS assigns VPort ids from 1 to NumVPorts - 1", || {
        let mut bench = Bench::of(with(|c| c.single_vport_pool = true));
        let ids: Vec<_> = (1..8).map(|_| bench.create_vport(pf_vport()).0).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(bench.status(OidRequest::CreateVPort(pf_vport())), NdisStatus::Failure);
    });
    rules.rule("a VPort id is used again only after the others", || {
        let mut bench = Bench::of(with(|c| c.single_vport_pool = true));
        for expected in 1..16_u32 {
            let vport = bench.create_vport(pf_vport());
            assert_eq!(vport.0, (expected - 1) % 7 + 1);
            bench.done(OidRequest::DeleteVPort(vport));
        }
    });
    rules.rule("H.5 the VPort of a VF is born activated, one of the PF deactivated", || {
        let mut bench = Bench::new();
        let (_, vf_vport) = bench.attached_vf();
        let pf_vport = bench.create_vport(pf_vport());
        assert_eq!(vport_info(&mut bench, vf_vport).state, VPortState::Activated);
        assert_eq!(vport_info(&mut bench, pf_vport).state, VPortState::Deactivated);
    });
    rules.rule("H.5 a VPort of the PF is activated, and there is no way back", || {
        let mut bench = Bench::new();
        let vport = bench.create_vport(pf_vport());
        let state = |state| change(vport, VPortChanges { state: Some(state), ..VPortChanges::default() });
        bench.done(state(VPortState::Activated));
        assert_eq!(vport_info(&mut bench, vport).state, VPortState::Activated);
        assert_eq!(bench.status(state(VPortState::Deactivated)), NdisStatus::InvalidParameter);
        assert_eq!(vport_info(&mut bench, vport).state, VPortState::Activated);
    });
    rules.rule("H.5 the VPort of a VF and the default VPort cannot be deactivated", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        for vport in [vport, DEFAULT] {
            let changes = VPortChanges { state: Some(VPortState::Deactivated), ..VPortChanges::default() };
            assert_eq!(bench.status(change(vport, changes)), NdisStatus::InvalidParameter);
        }
    });
    rules.rule("H.5 a VF has one VPort at most", || {
        let mut bench = Bench::new();
        let (vf, _) = bench.attached_vf();
        assert_eq!(bench.status(OidRequest::CreateVPort(vf_vport(vf))), NdisStatus::InvalidParameter);
    });
    rules.rule("A.4 CREATE_VPORT on a VF that is not allocated is INVALID_PARAMETER", || {
        assert_eq!(
            Bench::new().status(OidRequest::CreateVPort(vf_vport(VfId(0)))),
            NdisStatus::InvalidParameter
        );
    });
    rules.rule("A.4 CREATE_VPORT needs 1 to MaxNumQueuePairsPerNonDefaultVPort queue pairs", || {
        let mut bench = Bench::new();
        for queue_pairs in [0, 5, u32::MAX] {
            let vport = NewVPort { queue_pairs, ..pf_vport() };
            assert_eq!(bench.status(OidRequest::CreateVPort(vport)), NdisStatus::InvalidParameter);
        }
    });
    rules.rule("A.3 no queue pair left is FAILURE", || {
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.create_vport(NewVPort { queue_pairs: 4, ..pf_vport() });
        }
        let vf = bench.allocate_vf();
        let vport = NewVPort { queue_pairs: 4, ..vf_vport(vf) };
        assert_eq!(bench.status(OidRequest::CreateVPort(vport)), NdisStatus::Failure);
        assert_eq!(
            bench.status(OidRequest::CreateVPort(NewVPort { queue_pairs: 3, ..vf_vport(vf) })),
            NdisStatus::Success
        );
    });
    rules.rule("B.2 without ASYMMETRIC_QUEUE_PAIRS every nondefault VPort has the same number", || {
        let mut bench = Bench::of(with(|c| c.asymmetric_queue_pairs = false));
        bench.create_vport(NewVPort { queue_pairs: 2, ..pf_vport() });
        let vport = NewVPort { queue_pairs: 1, ..pf_vport() };
        assert_eq!(bench.status(OidRequest::CreateVPort(vport)), NdisStatus::InvalidParameter);
        bench.create_vport(NewVPort { queue_pairs: 2, ..pf_vport() });
    });
    rules.rule("B.2 without PER_VPORT_INTERRUPT_MODERATION it must be left undefined", || {
        let mut bench = Bench::of(with(|c| c.per_vport_interrupt_moderation = false));
        let vport = NewVPort { interrupt_moderation: InterruptModeration::Low, ..pf_vport() };
        assert_eq!(bench.status(OidRequest::CreateVPort(vport)), NdisStatus::InvalidParameter);
    });
    rules.rule("0.7 a VPort of the PF has one CPU, that of a VF none", || {
        let mut bench = Bench::new();
        let two = Some(ProcessorAffinity { group: 0, mask: 3 });
        for vport in [NewVPort { affinity: two, ..pf_vport() }, NewVPort { affinity: None, ..pf_vport() }] {
            assert_eq!(bench.status(OidRequest::CreateVPort(vport)), NdisStatus::InvalidParameter);
        }
        let vf = bench.allocate_vf();
        let vport = NewVPort { affinity: pf_vport().affinity, ..vf_vport(vf) };
        assert_eq!(bench.status(OidRequest::CreateVPort(vport)), NdisStatus::InvalidParameter);
    });
    rules.rule("A.4 VPORT_PARAMETERS set changes what is flagged and nothing else", || {
        let mut bench = Bench::new();
        let vport = bench.create_vport(pf_vport());
        let before = vport_info(&mut bench, vport);
        bench.done(change(vport, VPortChanges { name: Some("new".into()), ..VPortChanges::default() }));
        assert_eq!(vport_info(&mut bench, vport), VPortInfo { name: "new".into(), ..before.clone() });
        let affinity = Some(ProcessorAffinity { group: 1, mask: 8 });
        bench.done(change(vport, VPortChanges { affinity, ..VPortChanges::default() }));
        assert_eq!(vport_info(&mut bench, vport), VPortInfo { name: "new".into(), affinity, ..before });
    });
    rules.rule("A.4 VPORT_PARAMETERS set works on the default VPort, for everybody", || {
        let mut bench = Bench::new();
        let changes =
            VPortChanges { interrupt_moderation: Some(InterruptModeration::Off), ..VPortChanges::default() };
        assert_eq!(bench.ask_as(OTHER, change(DEFAULT, changes)).status, NdisStatus::Success);
        assert_eq!(vport_info(&mut bench, DEFAULT).interrupt_moderation, InterruptModeration::Off);
    });
    rules.rule("A.4 VPORT_PARAMETERS set: no affinity for the VPort of a VF", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let changes = VPortChanges { affinity: pf_vport().affinity, ..VPortChanges::default() };
        assert_eq!(bench.status(change(vport, changes)), NdisStatus::InvalidParameter);
    });
    rules.rule(
        "H.3 DELETE_VPORT is refused while filters stand, and goes after they were cleared or moved",
        || {
            let mut bench = Bench::new();
            let (_, vport) = bench.attached_vf();
            let cleared = bench.set_filter(vport, test(1));
            let moved = bench.set_filter(vport, test(2));
            assert_eq!(bench.status(OidRequest::DeleteVPort(vport)), NdisStatus::InvalidParameter);
            bench.done(OidRequest::ClearFilter(cleared));
            assert_eq!(bench.status(OidRequest::DeleteVPort(vport)), NdisStatus::InvalidParameter);
            bench.done(OidRequest::MoveFilter { filter: moved, from: vport, to: DEFAULT });
            bench.done(OidRequest::DeleteVPort(vport));
        },
    );
    rules.rule("ENUM_VPORTS lists all, or those of one function", || {
        let mut bench = Bench::new();
        let (vf, vport) = bench.attached_vf();
        let pf_vport = bench.create_vport(pf_vport());
        let mut listed = |function| match bench.done(OidRequest::EnumVPorts { function }) {
            Payload::VPorts(vports) => vports.iter().map(|info| info.vport).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(listed(None), [DEFAULT, vport, pf_vport]);
        assert_eq!(listed(Some(FunctionId::Pf)), [DEFAULT, pf_vport]);
        assert_eq!(listed(Some(FunctionId::Vf(vf))), [vport]);
    });
}
