//! Desired state in an embedded store: one file, which one process has open at a time.
//!
//! What a user asks for (virtual machines, their adapters, ...) must be there after a restart, a crash or a loss of
//! power. It is kept as JSON documents, each under a kind and a name:
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! use store::{Expect, Kind, Store};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Machine { monitor: String }
//!
//! const MACHINE: Kind = Kind::new("vm", 1024);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("/var/lib/softiov/state.redb".as_ref())?;
//! store.change(|change| {
//!     change.put(MACHINE, "web", Expect::Absent, &Machine { monitor: "/run/web.qmp".into() })?;
//!     change.remove(MACHINE, "old", Expect::Any)
//! })?;
//! for machine in store.list::<Machine>(MACHINE)?.objects {
//!     println!("{} is at {}", machine.name, machine.value.monitor);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`Store::change`] is all or nothing, and on disk when it returns. Changes are made one after the other; each that
//!   changes anything gives the store, and the objects that it put, the next [`Revision`].
//! - [`Expect`] is optimistic concurrency: a change that rests on an older state than the stored one is refused.
//! - A document that cannot be read any more ([`Unreadable`]) is reported by kind and name, stays as it is, and hides
//!   no other.
//! - [`Store::open`] looks at a copy first: a file that is damaged, of a newer schema or of another program is refused
//!   and not touched.
//!
//! Calls block on the disk: not for threads that must not wait. The crate knows no kind of object, and must not depend
//! on a crate that does: names and values are checked by whoever puts them.

#![forbid(unsafe_code)]

mod change;
mod error;
mod object;
mod open;
mod schema;

use std::fmt;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use change::{Change, Expect};
pub use error::{Error, OpenError, StorageFailure};
pub use object::{Listing, Object, Unreadable};
use schema::{META, OBJECTS};

/// The longest document, as JSON, in bytes.
pub const MAX_DOCUMENT: usize = 1024 * 1024;

/// The longest name of an object, in bytes.
pub const MAX_NAME: usize = 255;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    name: &'static str,
    most: usize,
}

impl Kind {
    /// The kind that is called `name` in the file and in errors, of which there may be at most `most` objects.
    #[must_use]
    pub const fn new(name: &'static str, most: usize) -> Self {
        Self { name, most }
    }

    /// What the kind is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// How many objects of it there may be.
    #[must_use]
    pub const fn most(self) -> usize {
        self.most
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A point in the store's history: the number of changes until then. An object has the revision of the change that put
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An open store. Dropping it closes the file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    database: Database,
}

impl Store {
    /// Opens the store at `path`, and makes an empty one, readable by its owner only, where there is no file.
    ///
    /// The file is this process's own until the store is dropped. A store of an older schema is migrated in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// Whatever the error, the file is as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { path: path.to_path_buf(), database: open::open(path, &schema::CURRENT)? })
    }

    /// Where the store is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The revision of the last change.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn revision(&self) -> Result<Revision, Error> {
        let transaction = self.database.begin_read().map_err(Error::storage)?;
        schema::revision(&transaction.open_table(META).map_err(Error::storage)?)
    }

    /// The object `name`, if there is one.
    ///
    /// # Errors
    ///
    /// Fails when its document is no `T`, or the file cannot be read.
    pub fn get<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Option<Object<T>>, Error> {
        let transaction = self.database.begin_read().map_err(Error::storage)?;
        object::get(&transaction.open_table(OBJECTS).map_err(Error::storage)?, kind, name)
    }

    /// All objects of a kind, by name, as they are at one revision.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read. A document that is no `T` is no error: the listing names it.
    pub fn list<T: DeserializeOwned>(&self, kind: Kind) -> Result<Listing<T>, Error> {
        let transaction = self.database.begin_read().map_err(Error::storage)?;
        let revision = schema::revision(&transaction.open_table(META).map_err(Error::storage)?)?;
        object::list(&transaction.open_table(OBJECTS).map_err(Error::storage)?, kind, revision)
    }

    /// Does what `work` asks for, all of it or nothing; on disk when it returns. An error of `work` undoes everything.
    ///
    /// Waits for a change that another thread has begun. Must not be called by `work`: it would wait for itself.
    ///
    /// # Errors
    ///
    /// Errors of `work`. [`Error::Storage`] when the file cannot be written: whether the change is there is known when
    /// the store has been opened anew. Until then nothing can be changed any more.
    pub fn change<R, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Change<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        change::run(&self.database, work)
    }
}

#[cfg(test)]
mod tests;
