use std::os::fd::{AsRawFd, OwnedFd};

use super::{FdStore, LocalStore};

fn fd() -> OwnedFd {
    std::fs::File::open("/proc/self/exe").unwrap().into()
}

fn names(store: &LocalStore, prefix: &str) -> Vec<String> {
    store.entries(prefix).into_iter().map(|entry| entry.name).collect()
}

#[test]
fn entries_are_found_by_prefix_in_order_with_their_notes() {
    let store = LocalStore::default();
    store.put("vf/1/b", fd(), "second");
    store.put("vf/1/a", fd(), "first");
    store.put("vf/10/a", fd(), "other");
    let found: Vec<_> = store.entries("vf/1/").into_iter().map(|e| (e.name, e.note)).collect();
    assert_eq!(found, [("a".into(), "first".into()), ("b".into(), "second".into())]);
}

#[test]
fn removal_takes_what_has_the_prefix_and_nothing_around_it() {
    let store = LocalStore::default();
    for name in ["vf/0/z", "vf/1/dma/1000/", "vf/1/dma/2000/", "vf/1/irq/0", "vf/10/dma/1000/", "vf/2/a"] {
        store.put(name, fd(), "");
    }
    store.remove("vf/1/dma/");
    assert_eq!(names(&store, ""), ["vf/0/z", "vf/1/irq/0", "vf/10/dma/1000/", "vf/2/a"]);
    store.remove("vf/1/");
    assert_eq!(names(&store, ""), ["vf/0/z", "vf/10/dma/1000/", "vf/2/a"]);
    store.remove("vf/3/");
    store.remove("vf/2/");
    assert_eq!(names(&store, ""), ["vf/0/z", "vf/10/dma/1000/"]);
}

#[test]
fn a_name_holds_one_descriptor_and_the_earlier_one_is_closed() {
    let store = LocalStore::default();
    // Where the descriptor leads to, if it is open: its number alone could be in use again.
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let link = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let pipe = std::fs::read_link(&link).unwrap();
    store.put("a", writer, "");
    store.put("a", fd(), "");
    assert_ne!(std::fs::read_link(&link).ok(), Some(pipe));
    // No writer is left: the end of the stream.
    assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap(), 0);
    assert_eq!(store.entries("").len(), 1);
}
