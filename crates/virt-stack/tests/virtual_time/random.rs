//! Random sequences of everything that can happen, and what holds in each of them.

use std::time::Duration;

use virt_stack::{Event, FailoverTo, GuestSign, Settings, VfEvent, Vmm, VmmEvent};

use crate::world::{Behaviour, Faults, World, capabilities, id};

const VMS: usize = 16;
const VFS: u16 = 4;

fn world(seed: u64, by_hand: bool) -> World {
    let mut world = World::on(seed, capabilities(VFS), Settings::default(), &[0; VMS]);
    for index in 0..VMS {
        let weight = world.rng.weight(50);
        world.guests[index].spec.weight = weight;
        if by_hand && world.rng.one_in(6) {
            world.guests[index].spec.vmm = Vmm::ByHand;
        }
    }
    for index in 0..VMS {
        if !world.rng.one_in(4) {
            world.want(index);
        }
        if !world.rng.one_in(3) {
            world.start(index);
        }
    }
    world
}

/// Something that people want; guests lose nothing by it.
fn plan(world: &mut World, index: usize) {
    match world.rng.within(0, 9) {
        0..=3 => {
            let weight = world.rng.weight(100);
            world.weigh(index, weight);
        }
        4 => {
            let to = [FailoverTo::Synthetic, FailoverTo::Vf, FailoverTo::Auto][world.rng.index(3)];
            world.failover(index, to);
        }
        5 => {
            let forbids = world.rng.one_in(2);
            world.forbid(index, forbids);
        }
        6 if world.guests[index].wanted => world.remove(index),
        6 | 7 => world.want(index),
        8 => {
            let num_vfs = u16::try_from(world.rng.within(0, u64::from(VFS))).unwrap();
            world.set_num_vfs(num_vfs);
        }
        _ => world.restart_driver(index),
    }
}

/// Something that goes wrong.
fn trouble(world: &mut World, index: usize) {
    match world.rng.within(0, 12) {
        0 => world.kill(index),
        1 | 2 => world.start(index),
        3 => world.reboot(index),
        4 => world.unbind(index),
        5 => world.fault(index),
        6 => world.lose_qmp(index),
        7 => world.connect_qmp(index),
        8 => world.eject(index, 0),
        9 => {
            world.nic.faults = match world.rng.within(0, 2) {
                0 => Faults::None,
                1 => Faults::After(world.rng.index(6)),
                _ => Faults::OneIn(world.rng.within(2, 10)),
            };
        }
        10 => {
            world.guests[index].behaviour = Behaviour {
                plug_fails: world.rng.one_in(4),
                has_no_driver: world.rng.one_in(4),
                ignores_unplug: world.rng.one_in(4),
                refuses_unplug: world.rng.one_in(4),
                unplug_ms: world.rng.within(0, 12_000),
            };
        }
        11 => stale(world),
        _ => world.change(index, |spec| spec.queue_pairs = spec.queue_pairs % 4 + 1),
    }
}

/// What an earlier holder of a VF is said to do changes nothing.
fn stale(world: &mut World) {
    let Some((index, generation)) = world.past.front().copied() else { return };
    let known = world.stack.adapter(id(index));
    if known.as_ref().is_none_or(|view| view.generation == Some(generation)) {
        return;
    }
    let event = match world.rng.within(0, 5) {
        0 => Event::Vf(id(index), generation, VfEvent::Sign(GuestSign::ReceiveEnabled)),
        1 => Event::Vf(id(index), generation, VfEvent::Sign(GuestSign::DriverGone)),
        2 => Event::Vf(id(index), generation, VfEvent::Socket { connected: false }),
        3 => Event::Vf(id(index), generation, VfEvent::Fault("late".into())),
        4 => Event::Vmm(
            world.guests[index].spec.vm,
            VmmEvent::PlugFailed(id(index), generation, "late".into()),
        ),
        _ => Event::Vmm(world.guests[index].spec.vm, VmmEvent::UnplugRefused(id(index), generation)),
    };
    world.tell(Event::Tick);
    let before: Vec<_> = world.stack.adapters().collect();
    world.log = Some(Vec::new());
    world.tell(event);
    assert_eq!(world.log.take().unwrap(), [], "a late event has done something");
    assert!(before.into_iter().eq(world.stack.adapters()));
}

fn pause(world: &mut World) {
    let most = [2, 50, 3000][world.rng.index(3)];
    let ms = world.rng.within(0, most);
    world.run_for(Duration::from_millis(ms));
}

/// Runs `sequence` for each seed, and says which one failed.
fn for_seeds(count: u64, sequence: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        if let Err(panic) = std::panic::catch_unwind(|| sequence(seed)) {
            println!("to repeat: SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn whatever_happens_the_world_comes_to_rest_in_order() {
    for_seeds(8_000, |seed| {
        let mut world = world(seed, true);
        for _ in 0..10 {
            let index = world.rng.index(VMS);
            if world.rng.one_in(2) {
                plan(&mut world, index);
            } else {
                trouble(&mut world, index);
            }
            pause(&mut world);
        }
        world.calm_down();
        world.settle();
        world.check_at_rest();
    });
}

#[test]
fn what_is_planned_loses_no_frame() {
    for_seeds(2_500, |seed| {
        let mut world = world(seed, false);
        for _ in 0..10 {
            let index = world.rng.index(VMS);
            plan(&mut world, index);
            pause(&mut world);
            assert_eq!(world.lost(), 0);
        }
        world.settle();
        assert_eq!(world.lost(), 0);
        world.check_at_rest();
    });
}
