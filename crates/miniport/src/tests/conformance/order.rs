//! C.1, C.3, C.5 and H.2: what happens in which order, as the data path is told.

use nic_switch::{InterruptModeration, LinkState, PortSecurity, VPortChanges, VPortId, VPortState};
use pcie::Rid;

use super::Rules;
use crate::driver::PfDriver;
use crate::tests::support::{
    Bench, OTHER, STACK, adapter, capabilities, config, function, mac, pf_vport, test, vf_parameters,
    vf_vport, without_sriov,
};
use crate::{
    Action, Adapter, AdapterConfig, InitializeError, Mode, NdisStatus, OidRequest, PowerState, Refusal,
    SwitchCreation,
};

const DEFAULT: VPortId = VPortId::DEFAULT;

fn statically() -> AdapterConfig {
    AdapterConfig { creation: SwitchCreation::Static, ..config() }
}

/// A driver that initialized a switch statically.
fn static_driver() -> (PfDriver, Vec<Action>) {
    let mut driver = PfDriver::new(function(), capabilities(), SwitchCreation::Static);
    let mut actions = Vec::new();
    driver.initialize(&config().switch, &mut actions).unwrap();
    (driver, actions)
}

pub(super) fn rules() -> Rules {
    let mut rules = Rules::default();
    start_and_stop(&mut rules);
    attach(&mut rules);
    detach(&mut rules);
    links(&mut rules);
    layers(&mut rules);
    rules
}

fn start_and_stop(rules: &mut Rules) {
    rules.rule("C.1 dynamic: CREATE_SWITCH enables virtualization, and then frames flow", || {
        let (adapter, actions) = Adapter::initialize(config(), function()).unwrap();
        assert_eq!(actions, [Action::VirtualizationEnabled { num_vfs: 4 }, Action::PublishForwarding]);
        assert_eq!(adapter.function().num_vfs(), 4);
        assert!(adapter.forwarding().is_some());
    });
    rules.rule(
        "C.1 static: virtualization is enabled before CREATE_SWITCH, and the switch unusable until then",
        || {
            let (driver, actions) = static_driver();
            assert_eq!(actions, [Action::VirtualizationEnabled { num_vfs: 4 }]);
            assert!(driver.switch().is_none());
        },
    );
    rules.rule("A.4 static: CREATE_SWITCH with other parameters fails", || {
        let (mut driver, mut actions) = static_driver();
        let other = nic_switch::SwitchParameters { num_vfs: 3, ..config().switch };
        assert_eq!(driver.create_switch(&other, &mut actions), Err(Refusal::SwitchDiffers));
        assert!(driver.switch().is_none());
        driver.create_switch(&config().switch, &mut actions).unwrap();
        assert!(driver.switch().is_some());
    });
    rules.rule("A.4 dynamic: DELETE_SWITCH disables virtualization", || {
        let mut bench = Bench::new();
        bench.ask_ndis(OidRequest::DeleteSwitch);
        assert_eq!(bench.actions, [Action::PublishForwarding, Action::VirtualizationDisabled]);
        assert_eq!(bench.adapter.function().num_vfs(), 0);
    });
    rules.rule("A.4 static: DELETE_SWITCH keeps the functions, halting disables them", || {
        let mut bench = Bench::of(statically());
        bench.ask_ndis(OidRequest::DeleteSwitch);
        assert_eq!(bench.actions, [Action::PublishForwarding]);
        assert_eq!(bench.adapter.function().num_vfs(), 4);
        assert_eq!(bench.adapter.halt(), [Action::VirtualizationDisabled]);
    });
    rules.rule("A.4 the adapter is torn down in order: filters, VPorts, VFs, switch", || {
        for config in [config(), statically()] {
            let mut bench = Bench::of(config);
            let (vf, vport) = bench.attached_vf();
            let generation = bench.generation(vf);
            bench.set_filter(vport, test(1));
            let pf_vport = bench.create_vport(pf_vport());
            assert_eq!(
                bench.adapter.halt(),
                [
                    Action::PublishForwarding,
                    Action::PublishForwarding,
                    Action::DetachVf { vf, generation, vport },
                    Action::PublishForwarding,
                    Action::CloseVPort { vport: pf_vport },
                    Action::ResetVf { vf, generation },
                    Action::WithdrawVf { vf, generation },
                    Action::PublishForwarding,
                    Action::VirtualizationDisabled,
                ]
            );
            assert!(bench.adapter.forwarding().is_none());
        }
    });
    rules.rule("halting a halted adapter does nothing", || {
        let mut adapter = adapter();
        adapter.halt();
        assert_eq!(adapter.halt(), []);
    });
    rules.rule("starting a running adapter fails and changes nothing", || {
        let mut bench = Bench::new();
        bench.attached_vf();
        let before = bench.state();
        assert_eq!(bench.adapter.start(), Err(InitializeError::Running));
        assert_eq!(bench.state(), before);
    });
    rules.rule("a halted adapter starts again, empty", || {
        let mut bench = Bench::new();
        let fresh = bench.state();
        bench.attached_vf();
        bench.adapter.halt();
        bench.adapter.start().unwrap();
        assert_eq!(bench.state(), fresh);
    });
    rules.rule("C.1 without SR-IOV there is no switch and nothing to do", || {
        let (adapter, actions) = Adapter::initialize(without_sriov(), function()).unwrap();
        assert_eq!(actions, []);
        assert_eq!(adapter.mode(), Mode::Off);
        assert!(adapter.forwarding().is_none());
    });
    rules.rule("a client that is gone leaves nothing behind, and others keep what is theirs", || {
        let mut bench = Bench::new();
        let (vf, vport) = bench.attached_vf();
        let generation = bench.generation(vf);
        bench.set_filter(vport, test(1));
        let kept = OidRequest::SetFilter { vport: DEFAULT, test: test(2) };
        assert_eq!(bench.ask_as(OTHER, kept).status, NdisStatus::Success);
        let actions = bench.adapter.close(STACK);
        assert_eq!(
            actions,
            [
                Action::PublishForwarding,
                Action::PublishForwarding,
                Action::DetachVf { vf, generation, vport },
                Action::ResetVf { vf, generation },
                Action::WithdrawVf { vf, generation },
            ]
        );
        let switch = bench.adapter.switch().unwrap();
        assert_eq!((switch.vfs().count(), switch.vports().count(), switch.filters().count()), (0, 1, 1));
    });
    rules.rule("a client that is gone takes along what NDIS put on its VPorts and VFs", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let vf = bench.allocate_vf();
        bench.ask_ndis(OidRequest::SetFilter { vport, test: test(1) });
        bench.ask_ndis(OidRequest::CreateVPort(vf_vport(vf)));
        bench.adapter.close(STACK);
        let switch = bench.adapter.switch().unwrap();
        assert_eq!((switch.vfs().count(), switch.vports().count(), switch.filters().count()), (0, 1, 0));
    });
}

fn attach(rules: &mut Rules) {
    rules.rule("C.3.2 ALLOCATE_VF exposes the function under its RID", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let generation = bench.generation(vf);
        bench.done(OidRequest::FreeVf(vf));
        assert_eq!(bench.actions, [Action::WithdrawVf { vf, generation }]);
        bench.ask(OidRequest::AllocateVf(vf_parameters()));
        let rid = Rid::from_bits(0x0180);
        let [Action::ExposeVf { vf: exposed, generation: later, rid: at }] = bench.actions[..] else {
            panic!()
        };
        assert_eq!((exposed, at), (vf, rid));
        assert!(later > generation);
    });
    rules.rule("C.3.3 CREATE_VPORT attaches the VF before a frame can go there", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let generation = bench.generation(vf);
        let vport = bench.create_vport(vf_vport(vf));
        let attach = Action::AttachVf {
            vf,
            generation,
            vport,
            rid: Rid::from_bits(0x0180),
            mac: mac(1),
            queue_pairs: 2,
            interrupt_moderation: InterruptModeration::Adaptive,
            link_up: false,
        };
        assert_eq!(bench.actions, [attach, Action::PublishForwarding]);
    });
    rules.rule("C.3.4 SET_FILTER or MOVE_FILTER leads frames to the VF", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let filter = bench.set_filter(vport, test(1));
        assert_eq!(bench.actions, [Action::PublishForwarding]);
        bench.done(OidRequest::MoveFilter { filter, from: vport, to: DEFAULT });
        assert_eq!(bench.actions, [Action::PublishForwarding]);
    });
    rules.rule("A.4 a VPort of the PF is opened, then activated", || {
        let mut bench = Bench::new();
        let vport = bench.create_vport(pf_vport());
        let open = Action::OpenVPort {
            vport,
            queue_pairs: 1,
            affinity: pf_vport().affinity,
            interrupt_moderation: InterruptModeration::Undefined,
        };
        assert_eq!(bench.actions, [open, Action::PublishForwarding]);
        let changes = VPortChanges { state: Some(VPortState::Activated), ..VPortChanges::default() };
        bench.done(OidRequest::SetVPortParameters { vport, changes });
        assert_eq!(bench.actions, [Action::PublishForwarding]);
        let changes = VPortChanges {
            interrupt_moderation: Some(InterruptModeration::High),
            name: Some("new".into()),
            ..VPortChanges::default()
        };
        bench.done(OidRequest::SetVPortParameters { vport, changes });
        let configured = Action::ConfigureVPort {
            vport,
            affinity: pf_vport().affinity,
            interrupt_moderation: InterruptModeration::High,
        };
        assert_eq!(bench.actions, [configured]);
    });
}

fn detach(rules: &mut Rules) {
    rules.rule("H.2 C.5 the removal order succeeds: move filters, DELETE_VPORT, RESET_VF, FREE_VF", || {
        let mut bench = Bench::new();
        let (vf, vport) = bench.attached_vf();
        let generation = bench.generation(vf);
        let filter = bench.set_filter(vport, test(1));
        bench.done(OidRequest::MoveFilter { filter, from: vport, to: DEFAULT });
        bench.done(OidRequest::DeleteVPort(vport));
        // No frame goes there any more before the queue pairs go.
        assert_eq!(bench.actions, [Action::PublishForwarding, Action::DetachVf { vf, generation, vport }]);
        bench.done(OidRequest::ResetVf(vf));
        assert_eq!(bench.actions, [Action::ResetVf { vf, generation }]);
        bench.done(OidRequest::FreeVf(vf));
        assert_eq!(bench.actions, [Action::WithdrawVf { vf, generation }]);
    });
    let wrong: [(&str, [usize; 3]); 5] = [
        ("DELETE_VPORT first", [1, 0, 2]),
        ("FREE_VF first", [2, 0, 1]),
        ("FREE_VF before DELETE_VPORT", [0, 2, 1]),
        ("the other way round", [2, 1, 0]),
        ("FREE_VF last, the move in the middle", [1, 0, 1]),
    ];
    for (what, order) in wrong {
        rules.rule(format!("H.2 C.5 a removal in another order is refused: {what}"), move || {
            let mut bench = Bench::new();
            let (vf, vport) = bench.attached_vf();
            let filter = bench.set_filter(vport, test(1));
            let steps = [
                OidRequest::MoveFilter { filter, from: vport, to: DEFAULT },
                OidRequest::DeleteVPort(vport),
                OidRequest::FreeVf(vf),
            ];
            let statuses: Vec<_> = order.iter().map(|&step| bench.status(steps[step].clone())).collect();
            assert!(statuses.iter().any(|status| *status != NdisStatus::Success), "{statuses:?}");
        });
    }
    rules.rule("A.4 a VPort of the PF is out of use before it is closed", || {
        let mut bench = Bench::new();
        let vport = bench.create_vport(pf_vport());
        bench.done(OidRequest::DeleteVPort(vport));
        assert_eq!(bench.actions, [Action::PublishForwarding, Action::CloseVPort { vport }]);
    });
    rules.rule("A.4 RESET_VF and SET_VF_POWER_STATE concern that VF and no other", || {
        let mut bench = Bench::new();
        let (vf, _) = bench.attached_vf();
        let (other, _) = bench.attached_vf();
        let generation = bench.generation(vf);
        let write = OidRequest::WriteVfConfigSpace { vf: other, offset: 4, data: vec![6, 0] };
        bench.done(write);
        let read = OidRequest::ReadVfConfigSpace { vf: other, offset: 0, length: 4096 };
        let before = bench.done(read.clone());
        bench.done(OidRequest::ResetVf(vf));
        assert_eq!(bench.actions, [Action::ResetVf { vf, generation }]);
        bench.done(OidRequest::SetVfPowerState { vf, state: PowerState::D3, wake_enable: false });
        assert_eq!(bench.actions, [Action::VfPowerState { vf, generation, state: PowerState::D3 }]);
        assert_eq!(bench.done(read), before);
    });
    rules.rule("A.4 a VF goes back to D0", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        for state in [PowerState::D3, PowerState::D0] {
            bench.done(OidRequest::SetVfPowerState { vf, state, wake_enable: false });
        }
        let space = bench.adapter.function().virtual_function(vf.0).unwrap().config().clone();
        assert_eq!(space.power_state(), pcie::PowerState::D0);
    });
}

fn links(rules: &mut Rules) {
    let changed = |bench: &mut Bench, vf, up| {
        let generation = bench.generation(vf);
        Action::LinkChanged { vf, generation, up }
    };
    rules.rule("the link of a VF follows the physical port", move || {
        let mut bench = Bench::new();
        let (vf, _) = bench.attached_vf();
        let up = changed(&mut bench, vf, true);
        assert_eq!(bench.adapter.set_link(true), [up]);
        assert_eq!(bench.adapter.set_link(true), []);
        let down = changed(&mut bench, vf, false);
        assert_eq!(bench.adapter.set_link(false), [down]);
    });
    rules.rule("the stack can hold the link of a VF up, or disable it", move || {
        let mut bench = Bench::new();
        let (vf, vport) = bench.attached_vf();
        let link = |link| {
            let security = Box::new(PortSecurity { link, ..PortSecurity::default() });
            OidRequest::SetPortSecurity { vport, security }
        };
        let (up, down) = (changed(&mut bench, vf, true), changed(&mut bench, vf, false));
        bench.done(link(LinkState::Enable));
        assert_eq!(bench.actions, [Action::PublishForwarding, up.clone()]);
        assert_eq!(bench.adapter.set_link(true), []);
        bench.done(link(LinkState::Disable));
        assert_eq!(bench.actions, [Action::PublishForwarding, down]);
        assert_eq!(bench.adapter.set_link(false), []);
        assert_eq!(bench.adapter.set_link(true), []);
        bench.done(link(LinkState::Auto));
        assert_eq!(bench.actions, [Action::PublishForwarding, up]);
    });
    rules.rule("a VF that is attached while the link is up begins with its link up", || {
        let mut bench = Bench::new();
        bench.adapter.set_link(true);
        bench.attached_vf();
        assert!(matches!(bench.actions[0], Action::AttachVf { link_up: true, .. }));
    });
}

fn layers(rules: &mut Rules) {
    rules.rule("0.11 FREE_VF of a VF that cannot go: the miniport itself says INVALID_PARAMETER", || {
        let (mut driver, mut actions) = static_driver();
        driver.create_switch(&config().switch, &mut actions).unwrap();
        let refusal = driver.free_vf(nic_switch::VfId(0), &mut actions).unwrap_err();
        assert_eq!(refusal.miniport_status(), NdisStatus::InvalidParameter);
        let vf = driver.allocate_vf(vf_parameters(), &mut actions).unwrap();
        let vport = nic_switch::VPortParameters {
            id: VPortId(1),
            function: nic_switch::FunctionId::Vf(vf),
            queue_pairs: 1,
            interrupt_moderation: InterruptModeration::Undefined,
            affinity: None,
            name: String::new(),
        };
        driver.create_vport(vport, &mut actions).unwrap();
        let refusal = driver.free_vf(vf, &mut actions).unwrap_err();
        assert_eq!(refusal.miniport_status(), NdisStatus::InvalidParameter);
    });
    rules.rule(
        "A.3 a refusal of the miniport with another status than INVALID_PARAMETER is the caller's",
        || {
            let refusal = Refusal::BufferTooShort { needed: 12, given: 3 };
            let oid = crate::Oid::NicSwitchFreeVf;
            assert_eq!(refusal.ndis_status(oid), NdisStatus::InvalidLength);
            assert_eq!(refusal.ndis_status(oid), refusal.miniport_status());
        },
    );
}
