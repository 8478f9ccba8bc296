//! Who has a VF.

use virt_stack::{Budget, Cause, Event, NoVf, NumVfsError, Settings, VfState};

use crate::world::{MS, World, budgets, capabilities, id};

#[test]
fn the_heavier_come_first_and_of_equal_ones_the_older() {
    let mut world = World::started(3, &[10, 0, 50, 50, 50, 50, 100, 10]);
    world.settle();
    assert_eq!(world.active(), [2, 3, 6]);
    assert_eq!(world.view(1).no_vf, Some(NoVf::WeightZero));
    let (name, weight) = ("vm3/net0".to_owned(), 50);
    assert_eq!(world.view(4).no_vf, Some(NoVf::AllTaken { num_vfs: 3, lightest: id(3), name, weight }));
    world.check_at_rest();
}

#[test]
fn the_vf_of_a_vm_that_stops_goes_to_the_next() {
    let mut world = World::started(1, &[50, 30, 40]);
    world.settle();
    world.kill(0);
    world.settle();
    assert_eq!(world.active(), [2]);
    assert_eq!(world.view(0).no_vf, Some(NoVf::VmNotRunning));
    world.start(0);
    world.settle();
    assert_eq!(world.active(), [0], "and comes back");
    world.check_at_rest();
}

#[test]
fn a_heavier_newcomer_takes_the_vf_of_the_lightest_but_not_at_once() {
    let mut world = World::started(2, &[50, 40]);
    world.run_ms(1000);
    world.add(45);
    world.run_ms(1000);
    assert_eq!(world.active(), [0, 1]);
    let view = world.view(2);
    let Some(NoVf::NotYet { holder, until, .. }) = view.no_vf else { panic!("{view:?}") };
    assert_eq!(holder, id(1));
    assert!((4900 * MS..5100 * MS).contains(&until.0), "least_hold: {until}");
    world.settle();
    assert_eq!(world.active(), [0, 2]);
    let [.., last] = &world.failovers(1)[..] else { panic!() };
    assert_eq!(last.because, Cause::Outweighed { by: id(2), name: "vm2/net0".into(), weight: 45 });
    assert_eq!(world.lost(), 0);
}

#[test]
fn an_equal_newcomer_takes_nothing() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let generation = world.generation(0);
    world.add(50);
    world.run_ms(100_000);
    assert_eq!((world.active(), world.generation(0)), (vec![0], generation));
}

#[test]
fn a_vf_that_is_not_plugged_in_yet_goes_to_a_heavier_one_at_once() {
    let mut world = World::started(1, &[50, 60]);
    world.run_ms(1000);
    assert_eq!((world.active(), world.failovers(0).len()), (vec![1], 0));
}

#[test]
fn weights_that_flap_move_a_vf_ever_less_often() {
    let mut world = World::started(1, &[50, 40]);
    world.settle();
    let before = world.failovers(0).len() + world.failovers(1).len();
    for _ in 0..120 {
        for weight in [60, 40] {
            world.weigh(1, weight);
            world.run_ms(5000);
        }
    }
    let switches = world.failovers(0).len() + world.failovers(1).len() - before;
    assert!((4..60).contains(&switches), "{switches} switches in 20 minutes and 240 changes");
}

#[test]
fn least_hold_is_back_when_it_has_been_quiet() {
    let mut world = World::started(1, &[50, 40]);
    for weight in [60, 40, 60, 40] {
        world.weigh(1, weight);
        world.settle();
    }
    assert_eq!(world.active(), [0]);
    world.run_ms(1_000_000);
    world.weigh(1, 60);
    world.run_ms(1000);
    assert_eq!(world.active(), [1], "the holder is long safe no more");
}

#[test]
fn weights_changed_live_are_followed() {
    let mut world = World::started(3, &[10, 20, 30, 40, 50, 60, 70, 80]);
    world.settle();
    assert_eq!(world.active(), [5, 6, 7]);
    for (index, weight, active) in
        [(0, 90, [0, 6, 7]), (6, 0, [0, 5, 7]), (6, 100, [0, 6, 7]), (7, 1, [0, 5, 6])]
    {
        world.weigh(index, weight);
        world.settle();
        assert_eq!(world.active(), active);
        world.check_at_rest();
    }
    assert_eq!(world.lost(), 0);
}

#[test]
fn num_vfs_never_disturbs_vfs_in_use() {
    let mut world = World::started(4, &[10, 20, 30]);
    world.settle();
    let now = virt_stack::Time(world.now);
    assert_eq!(world.stack.set_num_vfs(now, 2), Err(NumVfsError::InUse { asked: 2, in_use: 3 }));
    assert_eq!(world.stack.set_num_vfs(now, 5), Err(NumVfsError::NotEnabled { asked: 5, enabled: 4 }));
    assert_eq!((world.stack.num_vfs(), world.active()), (4, vec![0, 1, 2]));
    world.set_num_vfs(3);
    world.add(5);
    world.settle();
    assert_eq!(world.active(), [0, 1, 2]);
    world.set_num_vfs(4);
    world.settle();
    assert_eq!(world.active(), [0, 1, 2, 3]);
    world.check_at_rest();
}

#[test]
fn queue_pairs_and_vports_are_budgets() {
    let mut small = capabilities(4);
    (small.max_vports, small.max_queue_pairs) = (5, 6);
    let mut world = World::on(1, small.clone(), Settings::default(), &[50, 40, 30]);
    for (index, queue_pairs) in [4, 2, 1].into_iter().enumerate() {
        world.guests[index].spec.queue_pairs = queue_pairs;
    }
    world.start_all();
    world.settle();
    assert_eq!(world.active(), [0, 2], "who needs less passes by");
    let needs = NoVf::BudgetExhausted { budget: Budget::QueuePairs, needs: 2, left: 1 };
    assert_eq!(world.view(1).no_vf, Some(needs));
    world.change(1, |spec| spec.queue_pairs = 5);
    assert_eq!(world.view(1).no_vf, Some(NoVf::QueuePairs { asked: 5, max: 4 }));

    small.single_vport_pool = true;
    let mut world = World::on(1, small.clone(), Settings::default(), &[50, 40]);
    world.tell(Event::Budgets(virt_stack::Budgets { pf_vports: 3, ..budgets(small.clone()) }));
    world.start_all();
    world.settle();
    assert_eq!(world.active(), [0]);
    let needs = NoVf::BudgetExhausted { budget: Budget::VPorts, needs: 1, left: 0 };
    assert_eq!(world.view(1).no_vf, Some(needs));

    small.asymmetric_queue_pairs = false;
    let mut world = World::on(1, small, Settings::default(), &[50, 40]);
    world.guests[1].spec.queue_pairs = 2;
    world.start_all();
    world.settle();
    assert_eq!(world.view(1).no_vf, Some(NoVf::Asymmetric { asked: 2, others: 1 }));
}

#[test]
fn every_no_says_what_would_have_to_change() {
    let mut world = World::new(1, 1, &[50]);
    world.want(0);
    world.settle();
    assert_eq!(world.view(0).explanation.unwrap(), "Its VM does not run. Start its VM.");
    world.tell(Event::FrontEnd { adapter: id(0), connected: true });
    assert_eq!(world.view(0).no_vf, Some(NoVf::VmmUnreachable));
    world.forbid(0, true);
    let reason = world.view(0).explanation.unwrap();
    assert_eq!(
        reason,
        "It must not have a VF, because its frames are mirrored. Remove that policy from its port."
    );
    world.change(0, |spec| spec.above_nic = false);
    world.settle();
    assert_eq!((world.view(0).no_vf, world.nic.standing()), (Some(NoVf::NotAboveNic), (0, 0, 0)));
    world.change(0, |spec| spec.above_nic = true);
    world.forbid(0, false);
    world.guests[0].behaviour.has_no_driver = true;
    world.start(0);
    world.settle();
    assert_eq!((world.state(0), world.view(0).no_vf), (VfState::AwaitingDriver, Some(NoVf::NoDriver)));
}
