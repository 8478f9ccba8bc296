use std::os::fd::{AsFd, OwnedFd};

use super::{FdStore, LocalStore};

fn fd() -> OwnedFd {
    std::fs::File::open("/proc/self/exe").unwrap().into()
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn entries_are_found_by_prefix_in_order_with_their_notes() {
    let store = LocalStore::default();
    store.put("vf/1/b", fd().as_fd(), "second");
    store.put("vf/1/a", fd().as_fd(), "first");
    store.put("vf/10/a", fd().as_fd(), "other");
    let found: Vec<_> = store.entries("vf/1/").into_iter().map(|e| (e.name, e.note)).collect();
    assert_eq!(found, [("a".into(), "first".into()), ("b".into(), "second".into())]);
    store.remove("vf/1/");
    assert!(store.entries("vf/1/").is_empty());
    assert_eq!(store.entries("vf/10/").len(), 1);
}

#[test]
fn a_name_holds_one_descriptor_and_none_after_removal() {
    let store = LocalStore::default();
    let file = fd();
    store.put("a", file.as_fd(), "");
    let before = open_fds();
    for _ in 0..100 {
        store.put("a", file.as_fd(), "");
    }
    assert!(open_fds() < before + 50);
    store.remove("a");
    assert!(store.entries("").is_empty());
}
