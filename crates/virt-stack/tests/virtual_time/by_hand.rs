//! VMs without QMP: the VF is plugged in and out by hand.

use virt_stack::{FailoverTo, NoVf, VfState, Vmm};

use crate::world::World;

fn world() -> World {
    let mut world = World::new(3, 1, &[50]);
    world.guests[0].spec.vmm = Vmm::ByHand;
    world
}

#[test]
fn the_vf_is_offered_until_somebody_plugs_it_in() {
    let mut world = world();
    world.start_all();
    while world.stack.adapter(crate::world::id(0)).unwrap().state != VfState::Offered {
        world.run_ms(1);
    }
    assert_eq!(world.view(0).no_vf, Some(NoVf::PlugByHand));
    world.settle();
    assert_eq!(world.active(), [0]);
    world.check_at_rest();
}

#[test]
fn who_pulls_it_out_can_plug_it_in_again() {
    let mut world = world();
    world.start_all();
    world.settle();
    let generation = world.generation(0);
    world.hand_unplug(0);
    world.run_ms(100);
    assert_eq!(world.state(0), VfState::Offered);
    world.settle();
    assert_eq!((world.active(), world.generation(0)), (vec![0], generation), "it stays offered");
    assert_eq!(world.lost(), 0);
}

#[test]
fn nobody_can_be_asked_so_it_is_taken_after_a_while() {
    let mut world = world();
    world.start_all();
    world.settle();
    world.failover(0, FailoverTo::Synthetic);
    world.run_ms(9_900);
    assert_eq!(world.state(0), VfState::Leaving);
    assert_eq!(world.lost(), 0, "it is used until then");
    world.run_ms(200);
    assert_eq!(world.nic.standing(), (0, 0, 1));
    world.settle();
    world.check_at_rest();
}

#[test]
fn who_unplugs_in_time_loses_nothing() {
    let mut world = world();
    world.start_all();
    world.settle();
    world.failover(0, FailoverTo::Synthetic);
    world.run_ms(3000);
    world.hand_unplug(0);
    world.settle();
    assert_eq!(world.lost(), 0);
    world.check_at_rest();
}
