//! The fd store: what the data path needs to be built anew.
//!
//! Everything that a VMM would miss if it closed (sockets, eventfds, guest memory, state pages) is registered here
//! under a name, with a note that says how it is used. The data path can be dropped at any moment and rebuilt from
//! the store and from what the state pages hold. Today the store lives in the daemon; the trait is all that the data
//! path knows of it, so that another process can keep it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A descriptor from the store.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Name, less the prefix that was asked for.
    pub(crate) name: String,
    /// The descriptor, which stays in the store.
    pub(crate) fd: Arc<OwnedFd>,
    /// What was noted with it.
    pub(crate) note: String,
}

/// Keeps file descriptors by name.
///
/// It takes descriptors that exist already: whoever keeps a duplicate of one finds out that there is none left before
/// anything depends on it.
pub(crate) trait FdStore: Send + Sync + Debug {
    /// Keeps `fd` as `name`, instead of an earlier one of that name.
    fn put(&self, name: &str, fd: OwnedFd, note: &str);

    /// Forgets every entry whose name begins with `prefix`.
    fn remove(&self, prefix: &str);

    /// The entries whose name begins with `prefix`, in the order of their names.
    fn entries(&self, prefix: &str) -> Vec<Entry>;
}

/// Descriptor and note, by name.
type Kept = BTreeMap<String, (Arc<OwnedFd>, String)>;

/// The store of a daemon that keeps its descriptors itself.
#[derive(Debug, Default)]
pub(crate) struct LocalStore(Mutex<Kept>);

impl LocalStore {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FdStore for LocalStore {
    fn put(&self, name: &str, fd: OwnedFd, note: &str) {
        let earlier = self.lock().insert(name.to_owned(), (Arc::new(fd), note.to_owned()));
        // Closed only now that the lock is free: that can take a while, as for the memory of a guest.
        drop(earlier);
    }

    fn remove(&self, prefix: &str) {
        let mut entries = self.lock();
        // Names with a prefix stand together: the entries of other VFs cost no look.
        let names: Vec<String> = with_prefix(&entries, prefix).map(|(name, _)| name.clone()).collect();
        let removed: Vec<_> = names.iter().filter_map(|name| entries.remove(name)).collect();
        drop(entries);
        drop(removed);
    }

    fn entries(&self, prefix: &str) -> Vec<Entry> {
        let entries = self.lock();
        let found = with_prefix(&entries, prefix).map(|(name, (fd, note))| Entry {
            name: name[prefix.len()..].to_owned(),
            fd: Arc::clone(fd),
            note: note.clone(),
        });
        found.collect()
    }
}

fn with_prefix<'e>(
    entries: &'e Kept,
    prefix: &'e str,
) -> impl Iterator<Item = (&'e String, &'e (Arc<OwnedFd>, String))> {
    let from = (Bound::Included(prefix), Bound::Unbounded);
    entries.range::<str, _>(from).take_while(move |(name, _)| name.starts_with(prefix))
}

#[cfg(test)]
mod tests;
