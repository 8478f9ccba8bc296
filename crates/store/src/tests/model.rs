//! Random changes, against a map in memory; the file is closed and opened in between.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{Error, Expect, Kind, Revision, Store};

const KINDS: [Kind; 2] = [Kind::new("left", 4), Kind::new("right", 4)];
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Clone, Copy, Debug)]
enum Op {
    Put { kind: usize, name: usize, expect: Expect, value: u8 },
    Remove { kind: usize, name: usize, expect: Expect },
}

#[derive(Clone, Debug)]
enum Step {
    /// The operations of one change, which fails at the end by itself or not.
    Change {
        ops: Vec<Op>,
        fails: bool,
    },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let expect = prop_oneof![
        6 => Just(Expect::Any),
        1 => Just(Expect::Absent),
        1 => Just(Expect::Present),
        1 => (0_u64..12).prop_map(|revision| Expect::Revision(Revision(revision))),
    ];
    let place = (0..KINDS.len(), 0..NAMES.len(), expect);
    prop_oneof![
        2 => (place.clone(), 0_u8..3)
            .prop_map(|((kind, name, expect), value)| Op::Put { kind, name, expect, value }),
        1 => place.prop_map(|(kind, name, expect)| Op::Remove { kind, name, expect }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop::collection::vec(op(), 0..5), prop::bool::weighted(0.1))
            .prop_map(|(ops, fails)| Step::Change { ops, fails }),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Debug, Default)]
struct Model {
    revision: u64,
    objects: BTreeMap<(usize, usize), (u64, u8)>,
}

impl Model {
    /// What the operations make of it, if none of them is refused.
    fn after(&self, ops: &[Op]) -> Option<Self> {
        let mut next = self.clone();
        for &op in ops {
            let (Op::Put { kind, name, expect, .. } | Op::Remove { kind, name, expect }) = op;
            let found = next.objects.get(&(kind, name)).copied();
            let as_expected = match expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::Present => found.is_some(),
                Expect::Revision(Revision(revision)) => found.is_some_and(|(at, _)| at == revision),
            };
            if !as_expected {
                return None;
            }
            match op {
                Op::Put { value, .. } if found.is_some_and(|(_, old)| old == value) => {}
                Op::Put { value, .. } => {
                    let of_kind = next.objects.keys().filter(|(of, _)| *of == kind).count();
                    if found.is_none() && of_kind == KINDS[kind].most() {
                        return None;
                    }
                    next.objects.insert((kind, name), (self.revision + 1, value));
                    next.revision = self.revision + 1;
                }
                Op::Remove { .. } => {
                    if next.objects.remove(&(kind, name)).is_some() {
                        next.revision = self.revision + 1;
                    }
                }
            }
        }
        Some(next)
    }
}

/// What the store holds, as the model would.
fn contents(store: &Store) -> Model {
    let mut model = Model { revision: store.revision().unwrap().0, ..Model::default() };
    for (kind, at) in KINDS.into_iter().zip(0..) {
        let listing = store.list::<u8>(kind).unwrap();
        assert_eq!((listing.revision.0, listing.unreadable.len()), (model.revision, 0));
        for object in listing.objects {
            let name = NAMES.iter().position(|name| *name == object.name).unwrap();
            assert_eq!(store.get::<u8>(kind, &object.name).unwrap(), Some(object.clone()));
            model.objects.insert((at, name), (object.revision.0, object.value));
        }
    }
    model
}

fn run(store: &Store, ops: &[Op], fails: bool) -> Result<(), Option<Error>> {
    store
        .change(|change| {
            for &op in ops {
                match op {
                    Op::Put { kind, name, expect, value } => {
                        change.put(KINDS[kind], NAMES[name], expect, &value).map_err(Outcome::Refused)?;
                    }
                    Op::Remove { kind, name, expect } => {
                        change.remove(KINDS[kind], NAMES[name], expect).map_err(Outcome::Refused)?;
                    }
                }
            }
            if fails { Err(Outcome::Own) } else { Ok(()) }
        })
        .map_err(|outcome| match outcome {
            Outcome::Refused(error) => Some(error),
            Outcome::Own => None,
        })
}

enum Outcome {
    Refused(Error),
    Own,
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map_that_stays(steps in prop::collection::vec(step(), 1..30)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let mut store = Store::open(&path).unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Reopen => {
                    drop(store);
                    store = Store::open(&path).unwrap();
                }
                Step::Change { ops, fails } => {
                    let outcome = run(&store, &ops, fails);
                    match model.after(&ops) {
                        None => {
                            let refused =
                                matches!(outcome, Err(Some(Error::Conflict { .. } | Error::TooMany { .. })));
                            prop_assert!(refused);
                        }
                        Some(_) if fails => {
 let own = matches!(outcome, Err(None)); prop_assert!(own); }
                        Some(next) => {
                            prop_assert!(outcome.is_ok());
                            model = next;
                        }
                    }
                }
            }
            let found = contents(&store);
            prop_assert_eq!(found.revision, model.revision);
            prop_assert_eq!(&found.objects, &model.objects);
        }
    }
}
