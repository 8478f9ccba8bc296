//! What can go wrong, in sentences.

use std::io;
use std::path::PathBuf;

use crate::change::Expect;
use crate::object::Unreadable;
use crate::{MAX_DOCUMENT, MAX_NAME, Revision};

/// Why a store cannot be opened. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no place for the file.
    #[error(
        "the store {} cannot be made, the folder {} does not exist: make it, or name another file",
        path.display(),
        folder.display()
    )]
    NoFolder {
        /// The store.
        path: PathBuf,
        /// The folder that it would be in.
        folder: PathBuf,
    },
    /// Something else is there: a folder, a device, a pipe.
    #[error("the store {} is not a regular file: name another one", .0.display())]
    NotAFile(PathBuf),
    /// Another process, or this one, has it open.
    #[error(
        "the store {} is in use: stop the daemon that has it open, or give this one a store of its own",
        .0.display()
    )]
    InUse(PathBuf),
    /// A file of something else.
    #[error("the file {} is not a store of softiov ({reason}) and was not touched: name another one", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What tells it.
        reason: String,
    },
    /// What the file says of itself is not true.
    #[error(
        "the store {} is damaged ({reason}) and was not touched: put a copy of it back, or move it away to begin \
         with an empty one",
        path.display()
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was found first.
        reason: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "the store {} has schema version {found}, this program knows versions up to {known}: it was not touched; use \
         the newer program, or give this one a store of its own",
        path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// The version of its schema.
        found: u64,
        /// The newest version that this program knows.
        known: u64,
    },
    /// The operating system refuses something.
    #[error("cannot {action} the store {}", path.display())]
    Io {
        /// The store.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The file cannot be written or read on.
    #[error("cannot {action} the store {}", path.display())]
    Storage {
        /// The store.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The storage's answer.
        source: StorageFailure,
    },
}

/// Why something could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is not, or no longer, what the change rests on. Read it again and decide anew.
    #[error("the {kind} {name} {}, but it was expected {expected}: somebody else changed it", stands(*found))]
    Conflict {
        /// The kind of object.
        kind: &'static str,
        /// The object.
        name: String,
        /// What the change rests on.
        expected: Expect,
        /// The revision that the object has; `None` when there is none.
        found: Option<Revision>,
    },
    /// The document is kept, but is not of the form that was asked for.
    #[error(transparent)]
    Unreadable(Unreadable),
    /// No object can have this name.
    #[error("a {kind} cannot have a name of {len} bytes: 1 to {MAX_NAME} are possible")]
    Name {
        /// The kind of object.
        kind: &'static str,
        /// The length of the name.
        len: usize,
    },
    /// The document is too long.
    #[error("the {kind} {name} takes {len} bytes: at most {MAX_DOCUMENT} are possible")]
    TooLong {
        /// The kind of object.
        kind: &'static str,
        /// The object.
        name: String,
        /// The length of its document, in bytes.
        len: usize,
    },
    /// There are as many objects of the kind as there may be.
    #[error(
        "there is no room for the {kind} {name}: there are {most} objects of this kind, and more are not allowed"
    )]
    TooMany {
        /// The kind of object.
        kind: &'static str,
        /// The object that was to be put.
        name: String,
        /// How many there may be.
        most: usize,
    },
    /// The value has no form in JSON.
    #[error("the {kind} {name} cannot be written as JSON")]
    NotJson {
        /// The kind of object.
        kind: &'static str,
        /// The object.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The file cannot be read or written, for want of space perhaps. Nothing can be changed until it was opened anew.
    #[error("the store's file cannot be read or written: see to the disk, then restart the daemon")]
    Storage(#[source] StorageFailure),
}

impl Error {
    pub(crate) fn storage(source: impl Into<redb::Error>) -> Self {
        Self::Storage(StorageFailure::from(source.into()))
    }
}

/// What the storage engine says.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StorageFailure(Box<redb::Error>);

impl From<redb::Error> for StorageFailure {
    fn from(error: redb::Error) -> Self {
        Self(Box::new(error))
    }
}

fn stands(found: Option<Revision>) -> String {
    found.map_or_else(|| "does not exist".to_owned(), |revision| format!("has revision {revision}"))
}
