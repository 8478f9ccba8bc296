//! The conformance suite: one named rule after another, each from a section of ndis.md.

mod configuration;
mod numbers;
mod objects;
mod order;
mod ownership;
mod queues;
mod statuses;
mod structures;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rules under a name that says section and rule.
#[derive(Default)]
struct Rules(Vec<(String, Box<dyn Fn()>)>);

impl Rules {
    fn rule(&mut self, name: impl Into<String>, check: impl Fn() + 'static) {
        self.0.push((name.into(), Box::new(check)));
    }

    /// Checks every rule, and then names those that do not hold.
    fn check(&self) {
        let holds = |check: &dyn Fn()| catch_unwind(AssertUnwindSafe(check)).is_ok();
        let broken: Vec<_> = self.0.iter().filter(|(_, check)| !holds(check)).map(|(name, _)| name).collect();
        assert!(broken.is_empty(), "{} of {} rules are broken: {broken:#?}", broken.len(), self.0.len());
    }
}

#[test]
fn numbers_and_kinds() {
    numbers::rules().check();
}

#[test]
fn statuses_of_every_request() {
    statuses::rules().check();
}

#[test]
fn rules_of_objects() {
    objects::rules().check();
}

#[test]
fn rules_of_filters_and_ownership() {
    ownership::rules().check();
}

#[test]
fn rules_of_order() {
    order::rules().check();
}

#[test]
fn structures_on_the_wire() {
    structures::rules().check();
}

#[test]
fn configuration_space_and_blocks() {
    configuration::rules().check();
}

#[test]
fn rules_of_vm_queues() {
    queues::rules().check();
}

/// A rule that was dropped, or that hides behind the name of another, is noticed.
#[test]
fn the_suite_is_complete() {
    let groups = [
        numbers::rules(),
        statuses::rules(),
        objects::rules(),
        ownership::rules(),
        order::rules(),
        structures::rules(),
        configuration::rules(),
        queues::rules(),
    ];
    let names: Vec<_> = groups.into_iter().flat_map(|rules| rules.0).map(|(name, _)| name).collect();
    let mut distinct = BTreeSet::new();
    let repeated: Vec<_> = names.iter().filter(|name| !distinct.insert(*name)).collect();
    assert!(repeated.is_empty(), "two rules have one name: {repeated:#?}");
    println!("{} rules", names.len());
    assert!(names.len() > 880, "only {} rules are left", names.len());
}
