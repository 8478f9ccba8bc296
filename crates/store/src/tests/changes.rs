//! Changes one by one: what they do, and what they refuse.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Error, Expect, Kind, MAX_DOCUMENT, MAX_NAME, Revision, Store};

const VM: Kind = Kind::new("vm", 3);
/// Sorts right behind `vm`, and has its name as a beginning.
const VM_DISK: Kind = Kind::new("vm_disk", 3);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vm {
    weight: u8,
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.redb")).unwrap();
    (folder, store)
}

fn put(store: &Store, kind: Kind, name: &str, expect: Expect, weight: u8) -> Result<Revision, Error> {
    store.change(|change| change.put(kind, name, expect, &Vm { weight }))
}

fn names(store: &Store, kind: Kind) -> Vec<String> {
    store.list::<Vm>(kind).unwrap().objects.into_iter().map(|object| object.name).collect()
}

#[test]
fn kinds_do_not_mix() {
    let (_folder, store) = store();
    put(&store, VM, "b", Expect::Any, 1).unwrap();
    put(&store, VM_DISK, "a", Expect::Any, 2).unwrap();
    put(&store, VM, "a", Expect::Any, 3).unwrap();
    assert_eq!((names(&store, VM), names(&store, VM_DISK)), (vec!["a".into(), "b".into()], vec!["a".into()]));
    assert_eq!(store.get::<Vm>(VM, "a").unwrap().unwrap().value.weight, 3);
    assert_eq!(store.get::<Vm>(VM_DISK, "b").unwrap(), None);
}

#[test]
fn revisions_count_changes() {
    let (_folder, store) = store();
    let both = store.change(|change| {
        let first = change.put(VM, "a", Expect::Any, &Vm { weight: 1 })?;
        let second = change.put(VM, "b", Expect::Any, &Vm { weight: 1 })?;
        Ok::<_, Error>((first, second, change.revision(), change.list::<Vm>(VM)?.revision))
    });
    let one = Revision(1);
    assert_eq!(both.unwrap(), (one, one, one, one));
    assert_eq!(put(&store, VM, "a", Expect::Any, 2).unwrap(), Revision(2));
    // The same again is no change, nor is a removal of what is not there.
    assert_eq!(put(&store, VM, "b", Expect::Any, 1).unwrap(), one);
    assert!(!store.change(|change| change.remove(VM, "c", Expect::Any)).unwrap());
    assert_eq!(
        (store.revision().unwrap(), store.list::<Vm>(VM).unwrap().revision),
        (Revision(2), Revision(2))
    );
    assert!(store.change(|change| change.remove(VM, "a", Expect::Any)).unwrap());
    assert_eq!(store.revision().unwrap(), Revision(3));
}

#[test]
fn an_error_undoes_the_whole_change() {
    #[derive(Debug, thiserror::Error)]
    enum Mine {
        #[error("no")]
        No,
        #[error(transparent)]
        Store(#[from] Error),
    }

    let (_folder, store) = store();
    put(&store, VM, "a", Expect::Any, 1).unwrap();
    let outcome = store.change(|change| {
        change.put(VM, "a", Expect::Any, &Vm { weight: 2 })?;
        change.put(VM, "b", Expect::Any, &Vm { weight: 2 })?;
        assert!(change.remove(VM, "a", Expect::Any)?);
        assert_eq!(change.get::<Vm>(VM, "a")?, None);
        assert_eq!(change.get::<Vm>(VM, "b")?.unwrap().revision, Revision(2));
        Err::<(), _>(Mine::No)
    });
    assert!(matches!(outcome, Err(Mine::No)));
    assert_eq!((store.revision().unwrap(), names(&store, VM)), (Revision(1), vec!["a".to_owned()]));
    assert_eq!(store.get::<Vm>(VM, "a").unwrap().unwrap().value, Vm { weight: 1 });
}

#[test]
fn a_change_that_rests_on_another_state_is_refused() {
    let (_folder, store) = store();
    let first = put(&store, VM, "a", Expect::Absent, 1).unwrap();
    put(&store, VM, "a", Expect::Revision(first), 2).unwrap();
    let cases = [
        (
            "a",
            Expect::Absent,
            "the vm a has revision 2, but it was expected not to exist: somebody else changed it",
        ),
        (
            "a",
            Expect::Revision(first),
            "the vm a has revision 2, but it was expected to have revision 1: somebody else changed it",
        ),
        (
            "b",
            Expect::Present,
            "the vm b does not exist, but it was expected to exist: somebody else changed it",
        ),
        (
            "b",
            Expect::Revision(first),
            "the vm b does not exist, but it was expected to have revision 1: somebody else changed it",
        ),
    ];
    for (name, expect, message) in cases {
        assert_eq!(put(&store, VM, name, expect, 9).unwrap_err().to_string(), message);
        let error = store.change(|change| change.remove(VM, name, expect)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(store.revision().unwrap(), Revision(2));
    assert!(store.change(|change| change.remove(VM, "a", Expect::Present)).unwrap());
}

#[test]
fn a_document_that_is_not_understood_is_named_and_kept() {
    let (_folder, store) = store();
    put(&store, VM, "a", Expect::Any, 1).unwrap();
    store
        .change(|change| change.put(VM, "b", Expect::Any, &json!({ "weight": 1, "colour": "red" })))
        .unwrap();
    put(&store, VM, "c", Expect::Any, 3).unwrap();

    let listing = store.list::<Vm>(VM).unwrap();
    assert_eq!(listing.objects.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(listing.unreadable.len(), 1);
    let Err(Error::Unreadable(unreadable)) = store.get::<Vm>(VM, "b") else { panic!("read what it is not") };
    for unreadable in [&unreadable, &listing.unreadable[0]] {
        assert_eq!(
            (unreadable.kind, unreadable.name.as_str(), unreadable.revision),
            ("vm", "b", Revision(2))
        );
        assert!(unreadable.to_string().contains("the vm b of the store"), "{unreadable}");
        assert!(unreadable.source.to_string().contains("colour"), "{}", unreadable.source);
    }
    // Other changes leave it alone; it can be read as what it is, and put anew.
    put(&store, VM, "a", Expect::Any, 2).unwrap();
    assert_eq!(store.get::<Value>(VM, "b").unwrap().unwrap().value["colour"], "red");
    put(&store, VM, "b", Expect::Revision(Revision(2)), 7).unwrap();
    assert_eq!(store.get::<Vm>(VM, "b").unwrap().unwrap().value, Vm { weight: 7 });
}

#[test]
fn bounds_hold() {
    let (_folder, store) = store();
    for len in [0, MAX_NAME + 1] {
        let error = put(&store, VM, &"n".repeat(len), Expect::Any, 1).unwrap_err();
        assert!(matches!(error, Error::Name { kind: "vm", len: named } if named == len), "{error}");
    }
    put(&store, VM, &"n".repeat(MAX_NAME), Expect::Any, 1).unwrap();

    let text = |len: usize| "x".repeat(len - 2);
    let put_text = |len| store.change(|change| change.put(VM, "long", Expect::Any, &text(len)));
    let error = put_text(MAX_DOCUMENT + 1).unwrap_err();
    assert!(matches!(&error, Error::TooLong { len, .. } if *len == MAX_DOCUMENT + 1), "{error}");
    put_text(MAX_DOCUMENT).unwrap();
    assert_eq!(store.get::<String>(VM, "long").unwrap().unwrap().value, text(MAX_DOCUMENT));

    // There are two; one change puts the third, makes room, and puts another, but no fourth.
    let error = store.change(|change| {
        change.put(VM, "third", Expect::Any, &1)?;
        change.remove(VM, "long", Expect::Any)?;
        change.put(VM, "fourth", Expect::Any, &1)?;
        change.put(VM, "fourth", Expect::Any, &2)?;
        change.put(VM_DISK, "other", Expect::Any, &1)?;
        change.put(VM, "fifth", Expect::Any, &1)
    });
    let error = error.unwrap_err();
    assert!(matches!(&error, Error::TooMany { name, most: 3, .. } if name == "fifth"), "{error}");
    assert!(store.get::<Value>(VM, "third").unwrap().is_none());
}

#[test]
fn a_value_without_a_form_in_json_is_refused() {
    let (_folder, store) = store();
    let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = store.change(|change| change.put(VM, "a", Expect::Any, &no_json)).unwrap_err();
    assert!(matches!(error, Error::NotJson { .. }), "{error}");
    assert_eq!(store.revision().unwrap(), Revision(0));
}

#[test]
fn changes_of_several_threads_come_one_after_the_other() {
    let (_folder, store) = store();
    put(&store, VM, "a", Expect::Any, 0).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let outcome = store.change(|change| {
                        let weight = change.get::<Vm>(VM, "a")?.unwrap().value.weight + 1;
                        change.put(VM, "a", Expect::Any, &Vm { weight })
                    });
                    outcome.unwrap();
                }
            });
        }
    });
    assert_eq!(store.get::<Vm>(VM, "a").unwrap().unwrap().value.weight, 40);
    assert_eq!(store.revision().unwrap(), Revision(41));
}
