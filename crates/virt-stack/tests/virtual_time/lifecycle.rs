//! The exact sequences of attach and detach, and what stays of assignments that are over.

use std::collections::BTreeSet;

use miniport::OidRequest;
use nic_switch::VPortId;
use virt_stack::{Action, Event, FailoverTo, GuestSign, Path, VfEvent, VfState, VmId, VmmEvent};
use vswitch::VfPath;

use crate::world::{Behaviour, World, id};

/// What was done, in short words; OID requests by their number of `spec/ndis.md` A.1.
fn words(actions: Vec<Action>) -> Vec<String> {
    let word = |action| match action {
        Action::Oid { oid: OidRequest::MoveFilter { from, to, .. }, path, .. } => {
            let path = path.map_or("stays", |path| match path {
                VfPath::None => "none",
                VfPath::Assigned => "assigned",
                VfPath::Active(_) => "active",
            });
            format!("MOVE_FILTER {} -> {}, path {path}", from.0, to.0)
        }
        Action::Oid { oid, .. } => format!("{:?}", oid.oid().0),
        Action::SetPath { path, .. } => format!("path {path:?}"),
        Action::Offer { .. } => "offer".into(),
        Action::Plug { .. } => "plug".into(),
        Action::Unplug { .. } => "unplug".into(),
        Action::Hold { .. } => "hold".into(),
        Action::Release { to: Path::Vf, .. } => "release to the VF".into(),
        Action::Release { .. } => "release to the synthetic adapter".into(),
        Action::Removed(_) => "removed".into(),
        Action::Record(_) => String::new(),
    };
    actions.into_iter().map(word).filter(|word| !word.is_empty()).collect()
}

fn logged(world: &mut World, happens: impl FnOnce(&mut World)) -> Vec<String> {
    world.log = Some(Vec::new());
    happens(world);
    world.settle();
    words(world.log.take().unwrap())
}

const DETACH: [&str; 8] = [
    "unplug",
    "hold",
    "MOVE_FILTER 1 -> 0, path assigned",
    "release to the synthetic adapter",
    "path None",
    "NicSwitchDeleteVPort",
    "SriovResetVf",
    "NicSwitchFreeVf",
];

#[test]
fn c2_c3_attach() {
    let mut world = World::new(1, 1, &[50]);
    let done = logged(&mut world, World::start_all);
    let wanted = [
        "ReceiveFilterSetFilter",
        "NicSwitchAllocateVf",
        "NicSwitchCreateVPort",
        "VPortPortSecurity",
        "offer",
        "path Assigned",
        "plug",
        "hold",
        "MOVE_FILTER 0 -> 1, path active",
        "release to the VF",
    ];
    assert_eq!(done, wanted);
    world.check_at_rest();
}

#[test]
fn c5_detach() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let done = logged(&mut world, |world| world.failover(0, FailoverTo::Synthetic));
    assert_eq!(done, DETACH);
    assert_eq!(world.lost(), 0);
    world.check_at_rest();
}

#[test]
fn a_removed_adapter_leaves_in_order_and_then_its_filter() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let done = logged(&mut world, |world| world.remove(0));
    assert_eq!(done[..8], DETACH);
    assert_eq!(done[8..], ["ReceiveFilterClearFilter", "removed"]);
    assert_eq!(world.nic.standing(), (0, 0, 0));
}

#[test]
fn c6_surprise_moves_the_filter_and_unplugs_at_once() {
    let mut world = World::started(1, &[50]);
    world.settle();
    world.guests[0].behaviour = Behaviour { unplug_ms: 100, ..Behaviour::default() };
    let done = logged(&mut world, |world| {
        world.fault(0);
        world.run_ms(90);
        assert_eq!(world.nic.standing(), (0, 0, 1), "nobody waits for the guest");
    });
    let wanted = [
        "hold",
        "unplug",
        "MOVE_FILTER 1 -> 0, path none",
        "NicSwitchDeleteVPort",
        "SriovResetVf",
        "NicSwitchFreeVf",
        "release to the synthetic adapter",
    ];
    assert_eq!(done[..7], wanted);
    world.check_at_rest();
}

#[test]
fn a_driver_that_begins_anew_is_back_on_its_vf() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let done = logged(&mut world, |world| world.restart_driver(0));
    let wanted =
        ["hold", "MOVE_FILTER 1 -> 0, path assigned", "MOVE_FILTER 0 -> 1, path active", "release to the VF"];
    assert_eq!(done, wanted);
    assert_eq!(world.lost(), 0);
}

#[test]
fn a_vm_that_is_killed_is_not_asked_to_unplug() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let mut done = logged(&mut world, |world| world.kill(0));
    // Its socket may be closed before its QMP is.
    done.retain(|word| word != "unplug");
    assert_eq!(done.last().unwrap(), "NicSwitchFreeVf");
    world.check_at_rest();
}

#[test]
fn the_filter_of_an_adapter_without_vf_may_stand_on_a_vport_of_the_pf() {
    let mut world = World::started(1, &[0]);
    world.settle();
    let vport = world.pf_vport();
    let done = logged(&mut world, |world| world.tell(Event::SyntheticVPort { adapter: id(0), vport }));
    assert_eq!(done, ["MOVE_FILTER 0 -> 1, path stays"]);
    assert_eq!(world.view(0).filter_on, Some(vport.0));

    let done = logged(&mut world, |world| world.weigh(0, 10));
    assert!(done.contains(&"MOVE_FILTER 1 -> 2, path active".to_owned()), "{done:?}");
    let done = logged(&mut world, |world| world.weigh(0, 0));
    assert_eq!(done[2], "MOVE_FILTER 2 -> 1, path assigned");
    let default = VPortId::DEFAULT;
    world.tell(Event::SyntheticVPort { adapter: id(0), vport: default });
    world.settle();
    assert_eq!((world.view(0).filter_on, world.lost()), (Some(0), 0));
}

#[test]
fn another_address_needs_another_vf_and_another_filter() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let before = world.generation(0);
    let done = logged(&mut world, |world| world.change(0, |spec| spec.test.mac.0[5] = 99));
    assert_eq!(done[..8], DETACH);
    assert_eq!(done[8..10], ["ReceiveFilterSetFilter", "ReceiveFilterClearFilter"]);
    assert_ne!(world.generation(0), before);
    world.check_at_rest();
}

#[test]
fn another_security_changes_the_vport_and_nothing_else() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let done = logged(&mut world, |world| world.change(0, |spec| spec.security.trusted = true));
    assert_eq!(done, ["VPortPortSecurity"]);
}

#[test]
fn an_operator_can_reset_and_detach_a_vf() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let done = logged(&mut world, |world| world.tell(Event::ResetVf(nic_switch::VfId(0))));
    assert_eq!(done[..2], ["SriovResetVf", "hold"]);
    assert_eq!(world.active(), [0]);
    let done = logged(&mut world, |world| world.tell(Event::DetachVf(nic_switch::VfId(0))));
    assert_eq!(done, DETACH);
    assert_eq!(world.active(), [0; 0]);
    world.failover(0, FailoverTo::Auto);
    world.settle();
    assert_eq!(world.active(), [0]);
}

#[test]
fn a_device_from_an_earlier_life_that_is_not_connected_is_replaced() {
    let mut world = World::new(1, 1, &[50]);
    world.want(0);
    let ghost = virt_stack::Generation(7);
    world.guests[0].device = Some(ghost);
    world.guests[0].registered = true;
    let done = logged(&mut world, |world| world.start(0));
    let position = |word| done.iter().position(|done| done == word);
    assert!(position("unplug") < position("plug") && position("unplug").is_some(), "{done:?}");
    world.check_at_rest();
}

#[test]
fn a_device_from_an_earlier_life_that_is_connected_is_adopted() {
    let mut world = World::new(1, 1, &[50]);
    world.want(0);
    let ghost = virt_stack::Generation(7);
    world.tell(Event::FrontEnd { adapter: id(0), connected: true });
    let devices = BTreeSet::from([(id(0), ghost)]);
    world.tell(Event::Vmm(VmId(0), VmmEvent::Connected { devices }));
    world.run_ms(100);
    assert_eq!(world.state(0), VfState::Offered);
    let generation = world.generation(0);
    world.log = Some(Vec::new());
    world.tell(Event::Vf(id(0), generation, VfEvent::Socket { connected: true }));
    world.tell(Event::Vf(id(0), generation, VfEvent::Sign(GuestSign::ReceiveEnabled)));
    world.run_ms(100);
    assert_eq!(world.state(0), VfState::Active);
    assert!(!words(world.log.take().unwrap()).contains(&"plug".to_owned()));
    world.log = Some(Vec::new());
    world.weigh(0, 0);
    let unplug = Action::Unplug { adapter: id(0), generation: ghost };
    assert!(world.log.take().unwrap().contains(&unplug), "the device is known by its old generation");
}
