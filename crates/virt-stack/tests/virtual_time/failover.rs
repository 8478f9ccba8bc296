//! Switches of path: what is held, for how long, and what is recorded.

use std::time::Duration;

use virt_stack::{Cause, Event, FailoverTo, GapFrames, GuestSign, Path, Record, VfEvent, VfState, What};

use crate::world::{Behaviour, World, id};

#[test]
fn each_switch_is_recorded_with_its_gap() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let start = world.now;
    world.failover(0, FailoverTo::Synthetic);
    world.settle();
    let [attach, detach] = world.failovers(0)[..] else { panic!("{:?}", world.failovers(0)) };
    assert_eq!((&attach.because, attach.from, attach.to), (&Cause::DriverUp, Path::Synthetic, Path::Vf));
    assert_eq!((&detach.because, detach.from, detach.to), (&Cause::Operator, Path::Vf, Path::Synthetic));
    assert_eq!(detach.start.0, start, "it begins when it is decided");
    assert!(detach.held_for < detach.duration && !detach.expired);
    let frames = detach.frames.unwrap();
    assert!(frames.held > 0 && frames == GapFrames { held: frames.held, ..GapFrames::default() });
}

#[test]
fn frames_are_held_for_so_long_and_then_released() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let generation = world.generation(0);
    world.guests[0].ring_open = false;
    world.tell(Event::Vf(id(0), generation, VfEvent::Sign(GuestSign::ReceiveClosed)));
    assert!(world.guests[0].is_held());
    world.run_ms(1999);
    assert_eq!((world.state(0), world.guests[0].is_held()), (VfState::Held, true));
    world.run_ms(2);
    assert_eq!((world.state(0), world.guests[0].is_held()), (VfState::AwaitingDriver, false));
    world.guests[0].ring_open = true;
    world.tell(Event::Vf(id(0), generation, VfEvent::Sign(GuestSign::ReceiveEnabled)));
    world.settle();
    assert_eq!(world.state(0), VfState::Active);
    let last = *world.failovers(0).last().unwrap();
    assert!(last.expired && last.held_for == Duration::from_secs(2), "{last:?}");
}

#[test]
fn a_gap_without_report_is_recorded_nevertheless() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let generation = world.generation(0);
    let before = world.failovers(0).len();
    world.stack.handle(
        virt_stack::Time(world.now),
        Event::Vf(id(0), generation, VfEvent::Sign(GuestSign::DriverGone)),
    );
    let mut oid = None;
    while let Some(action) = world.stack.next_action() {
        if let virt_stack::Action::Oid { request, .. } = action {
            oid = Some(request);
        }
    }
    let result = Ok(miniport::Payload::None);
    let at = |ms: u64| virt_stack::Time(world.now + ms * 1_000_000);
    world.stack.handle(at(1), Event::OidDone { request: oid.unwrap(), result });
    world.stack.handle(at(5002), Event::Tick);
    let records: Vec<_> = world.stack.records_since(0).collect();
    let failovers = records.iter().filter(|record| matches!(record.what, What::Failover(_)));
    assert_eq!(failovers.count(), before + 1);
    let What::Failover(last) = &records.last().unwrap().what else { panic!("{records:?}") };
    assert_eq!((last.frames, last.to), (None, Path::Synthetic));
}

#[test]
fn two_hundred_planned_switches_lose_nothing() {
    let mut world = World::started(1, &[50]);
    world.settle();
    for _ in 0..100 {
        for to in [FailoverTo::Synthetic, FailoverTo::Vf] {
            world.failover(0, to);
            world.settle();
        }
    }
    assert_eq!((world.lost(), world.failovers(0).len()), (0, 201));
    assert!(world.failovers(0).iter().all(|failover| failover.frames.is_some_and(|frames| frames.lost == 0)));
}

#[test]
fn a_device_that_dies_is_out_of_the_guest_as_soon_as_the_guest_can() {
    let mut world = World::started(1, &[50]);
    world.settle();
    world.guests[0].behaviour = Behaviour { unplug_ms: 5, ..Behaviour::default() };
    world.fault(0);
    world.run_ms(100);
    let last = *world.failovers(0).last().unwrap();
    assert_eq!((last.to, &last.because), (Path::Synthetic, &Cause::Fault { error: "a page is lost".into() }));
    assert!(last.duration < Duration::from_millis(100));
}

#[test]
fn the_history_has_the_last_1024_records() {
    let mut world = World::started(1, &[50]);
    while world.stack.last_record() < 1100 {
        for to in [FailoverTo::Synthetic, FailoverTo::Auto] {
            world.failover(0, to);
            world.settle();
        }
    }
    let all: Vec<&Record> = world.stack.records_since(0).collect();
    let last = world.stack.last_record();
    assert_eq!((all.len(), all.last().unwrap().sequence), (1024, last));
    assert!(all.windows(2).all(|two| two[0].sequence + 1 == two[1].sequence));
    assert_eq!(world.stack.records_since(last - 3).count(), 3);
    assert_eq!(world.stack.records_since(last).count(), 0);
    assert!(world.records.iter().rev().take(1024).eq(all.into_iter().rev()), "the actions say the same");
}

#[test]
fn records_and_views_keep_their_names() {
    let mut world = World::started(1, &[50]);
    world.add(50);
    world.settle();
    let record = world.records.iter().find(|record| matches!(record.what, What::Failover(_))).unwrap();
    let json = serde_json::to_value(record).unwrap();
    let what = &json["what"];
    assert_eq!(
        (&what["event"], &what["from"], &what["to"]),
        (&"failover".into(), &"synthetic".into(), &"vf".into())
    );
    assert_eq!(what["because"]["cause"], "driver_up");
    assert!(what["duration_ns"].is_u64() && what["frames"]["held"].is_u64());
    assert_eq!(serde_json::from_value::<Record>(json.clone()).unwrap(), *record);
    let view = serde_json::to_value(world.view(1)).unwrap();
    assert_eq!((&view["state"], &view["no_vf"]["reason"]), (&"synthetic".into(), &"all_taken".into()));
    assert_eq!((&view["no_vf"]["lightest"], &view["no_vf"]["weight"]), (&0.into(), &50.into()));
}
#[test]
fn a_ring_that_was_closed_unnoticed_gets_what_was_kept_for_it() {
    let mut world = World::started(1, &[50]);
    world.settle();
    let generation = world.generation(0);
    world.guests[0].ring_open = false;
    world.guests[0].send();
    world.guests[0].ring_open = true;
    assert!(!world.guests[0].is_held(), "the data path keeps the frame by itself");
    world.tell(Event::Vf(id(0), generation, VfEvent::Sign(GuestSign::ReceiveEnabled)));
    world.settle();
    let last = *world.failovers(0).last().unwrap();
    assert_eq!((last.from, last.to), (Path::Vf, Path::Vf));
    assert!(last.frames.unwrap().held > 0);
    assert_eq!((world.active(), world.guests[0].frames.sent), (vec![0], world.guests[0].frames.received));
}
