//! What is refused: each OID once, plugs, unplugs.

use virt_stack::{Cause, FailoverTo, NoVf, Step, VfState, What};

use crate::world::{Behaviour, Faults, World, id};

fn refused_steps(world: &World) -> Vec<Step> {
    let refused = |what: &What| match what {
        What::OidRefused { cause: Cause::OidRefused { step, .. } } => Some(*step),
        _ => None,
    };
    world.records.iter().filter_map(|record| refused(&record.what)).collect()
}

#[test]
fn each_request_of_an_attach_may_fail_once() {
    let steps =
        [Step::SetFilter, Step::AllocateVf, Step::CreateVPort, Step::SetPortSecurity, Step::MoveFilterToVf];
    for (number, step) in steps.into_iter().enumerate() {
        let mut world = World::new(1, 1, &[50]);
        world.nic.faults = Faults::After(number);
        world.start_all();
        world.run_ms(990);
        assert_eq!(refused_steps(&world), [step]);
        if step != Step::SetFilter {
            assert_eq!(world.nic.standing(), (0, 0, 1), "nothing is left after {step:?}");
            let view = world.view(0);
            let Some(NoVf::CoolingDown { cause: Cause::OidRefused { step: failed, .. }, .. }) = view.no_vf
            else {
                panic!("{view:?}");
            };
            assert_eq!((view.state, failed), (VfState::Synthetic, step));
        }
        world.settle();
        assert_eq!(world.active(), [0], "there is another try");
        world.check_at_rest();
    }
}

#[test]
fn each_request_of_a_detach_may_fail_once() {
    let steps = [Step::MoveFilterBack, Step::DeleteVPort, Step::ResetVf, Step::FreeVf];
    for (number, step) in steps.into_iter().enumerate() {
        let mut world = World::started(1, &[50]);
        world.settle();
        world.nic.faults = Faults::After(number);
        world.failover(0, FailoverTo::Synthetic);
        world.settle();
        assert_eq!(refused_steps(&world), [step]);
        assert_eq!(world.lost(), 0);
        world.check_at_rest();
    }
}

#[test]
fn a_vf_that_cannot_be_freed_is_given_to_nobody() {
    let mut world = World::started(1, &[50, 40]);
    world.settle();
    world.nic.faults = Faults::OneIn(1);
    world.fault(0);
    world.run_ms(20_000);
    let view = world.view(0);
    assert_eq!(view.state, VfState::Quarantined);
    assert_eq!(view.no_vf, Some(NoVf::Quarantined { step: Step::MoveFilterBack, error: "injected".into() }));
    assert!(refused_steps(&world).len() < 12, "it is tried ever less often");
    assert_eq!(world.state(1), VfState::Synthetic);
    world.nic.faults = Faults::None;
    world.settle();
    assert_eq!(world.active().len(), 1);
    world.check_at_rest();
}

#[test]
fn a_plug_that_fails_is_tried_ever_less_often() {
    let mut world = World::new(1, 1, &[50]);
    world.guests[0].behaviour.plug_fails = true;
    world.start_all();
    world.run_ms(100_000);
    let failed = |what: &What| match what {
        What::Transition(to) => matches!(to.because, Cause::PlugFailed { .. }),
        _ => false,
    };
    let plugs = world.records.iter().filter(|record| failed(&record.what)).count();
    assert!((5..9).contains(&plugs), "{plugs}");
    let reason = world.view(0).explanation.unwrap();
    assert!(reason.contains("the VMM could not plug it in: no free port"), "{reason}");
    world.guests[0].behaviour.plug_fails = false;
    world.failover(0, FailoverTo::Vf);
    world.run_ms(1000);
    assert_eq!(world.active(), [0], "who orders a VF does not wait");
}

#[test]
fn a_guest_that_keeps_its_device_loses_the_vf_and_gets_no_other() {
    for behaviour in [
        Behaviour { ignores_unplug: true, ..Behaviour::default() },
        Behaviour { refuses_unplug: true, ..Behaviour::default() },
    ] {
        let mut world = World::started(2, &[50, 40]);
        world.settle();
        world.guests[0].behaviour = behaviour;
        world.failover(0, FailoverTo::Synthetic);
        world.run_ms(12_000);
        assert_eq!(world.nic.standing(), (1, 1, 2), "its VF is free");
        assert!(!world.guests[0].is_held(), "frames are not held for ever");
        world.failover(0, FailoverTo::Auto);
        assert_eq!(world.view(0).no_vf, Some(NoVf::DeviceKept));
        world.guests[0].behaviour = Behaviour::default();
        world.settle();
        assert_eq!(world.active(), [0, 1]);
        assert_eq!(world.guests[1].lost(), 0, "the others notice nothing");
        world.check_at_rest();
    }
}

#[test]
fn a_vm_whose_qmp_is_lost_keeps_its_vf() {
    let mut world = World::started(1, &[50]);
    world.settle();
    world.lose_qmp(0);
    world.run_ms(1000);
    assert_eq!(world.active(), [0]);
    world.failover(0, FailoverTo::Synthetic);
    world.run_ms(1000);
    assert_eq!(world.state(0), VfState::Leaving);
    world.connect_qmp(0);
    world.settle();
    assert_eq!(world.lost(), 0);
    world.check_at_rest();
}

#[test]
fn a_guest_that_opens_and_closes_its_ring_moves_its_filter_so_often_and_no_more() {
    use virt_stack::{Event, GuestSign, VfEvent};
    let mut world = World::started(1, &[50]);
    world.settle();
    let generation = world.generation(0);
    world.log = Some(Vec::new());
    for _ in 0..1000 {
        for sign in [
            GuestSign::ReceiveClosed,
            GuestSign::DriverGone,
            GuestSign::ReceiveEnabled,
            GuestSign::ReceiveEnabled,
        ] {
            world.tell(Event::Vf(id(0), generation, VfEvent::Sign(sign)));
            world.run_for(std::time::Duration::from_millis(1));
        }
    }
    let actions = world.log.take().unwrap().len();
    // 32 moves at once and one each 20 ms, of at most 12 actions each.
    assert!(actions < (32 + 4000 / 20) * 12, "{actions} actions in 4 s");
}

#[test]
fn what_a_vmm_says_is_kept_in_short() {
    use virt_stack::{Event, VmmEvent};
    let mut world = World::new(1, 1, &[50]);
    world.start_all();
    while world.state(0) != VfState::Plugging {
        world.run_for(std::time::Duration::from_micros(100));
    }
    let long = "\u{fc}".repeat(1 << 20);
    let failed = VmmEvent::PlugFailed(id(0), world.generation(0), long);
    world.tell(Event::Vmm(world.guests[0].spec.vm, failed));
    assert!(world.records.last().is_some_and(|record| format!("{record:?}").len() < 1000));
}
