//! The fd store: what the data path needs to be built anew.
//!
//! Everything that a VMM would miss if it closed (sockets, eventfds, guest memory, state pages) is registered here
//! under a name, with a note that says how it is used. The data path can be dropped at any moment and rebuilt from
//! the store and from what the state pages hold. Today the store lives in the daemon; the trait is all that the data
//! path knows of it, so that another process can keep it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// A descriptor from the store.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Name, less the prefix that was asked for.
    pub(crate) name: String,
    /// A duplicate of the descriptor.
    pub(crate) fd: OwnedFd,
    /// What was noted with it.
    pub(crate) note: String,
}

/// Keeps file descriptors by name.
pub(crate) trait FdStore: Send + Sync + Debug {
    /// Keeps a duplicate of `fd` as `name`, instead of an earlier one of that name. Without a descriptor left the
    /// entry is missing, and what depends on it starts over at a rebuild.
    fn put(&self, name: &str, fd: BorrowedFd<'_>, note: &str);

    /// Forgets every entry whose name begins with `prefix`.
    fn remove(&self, prefix: &str);

    /// The entries whose name begins with `prefix`, in the order of their names.
    fn entries(&self, prefix: &str) -> Vec<Entry>;
}

/// The store of a daemon that keeps its descriptors itself.
#[derive(Debug, Default)]
pub(crate) struct LocalStore(Mutex<BTreeMap<String, (OwnedFd, String)>>);

impl LocalStore {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (OwnedFd, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FdStore for LocalStore {
    fn put(&self, name: &str, fd: BorrowedFd<'_>, note: &str) {
        match fd.try_clone_to_owned() {
            Ok(fd) => {
                self.lock().insert(name.to_owned(), (fd, note.to_owned()));
            }
            Err(error) => tracing::warn!(name, %error, "cannot keep a file descriptor"),
        }
    }

    fn remove(&self, prefix: &str) {
        self.lock().retain(|name, _| !name.starts_with(prefix));
    }

    fn entries(&self, prefix: &str) -> Vec<Entry> {
        let entry = |(name, (fd, note)): (&String, &(OwnedFd, String))| {
            let name = name.strip_prefix(prefix)?.to_owned();
            Some(Entry { name, fd: fd.as_fd().try_clone_to_owned().ok()?, note: note.clone() })
        };
        self.lock().iter().filter_map(entry).collect()
    }
}

#[cfg(test)]
mod tests;
