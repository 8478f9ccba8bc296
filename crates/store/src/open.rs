//! Opening the file without harm: the lock first, then a rehearsal on a copy, then the file itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, DatabaseError, StorageBackend};
use tempfile::NamedTempFile;

use crate::error::OpenError;
use crate::schema::{Schema, Unprepared};

/// What the storage engine may keep of the file in memory, in bytes: all of it, usually.
const CACHE: usize = 16 * 1024 * 1024;

/// What a file of the storage engine begins with.
const MAGIC: &[u8] = b"redb";

/// Opens the store at `path`, or makes it.
pub(crate) fn open(path: &Path, schema: &Schema) -> Result<Database, OpenError> {
    let file = match regular_file(path) {
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            create(path, schema)?;
            regular_file(path)?
        }
        outcome => outcome?,
    };
    // The storage engine takes the same lock of the same open file again, so there is no moment without it.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_path_buf())),
        Err(TryLockError::Error(source)) => return Err(failed(path, "lock")(source)),
    }
    rehearse(path, &file, schema)?;
    let database = FileBackend::new(file)
        .and_then(|file| Builder::new().set_cache_size(CACHE).create_with_backend(file));
    let database = database.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path.to_path_buf()),
        error => storage(path, "open", error),
    })?;
    match schema.prepare(&database) {
        Ok(()) => Ok(database),
        Err(Unprepared::Failed(error)) => Err(storage(path, "prepare", error)),
        Err(unprepared) => Err(refusal(path, schema, unprepared)),
    }
}

fn regular_file(path: &Path) -> Result<File, OpenError> {
    let file =
        OpenOptions::new().read(true).write(true).open(path).map_err(|source| match source.kind() {
            io::ErrorKind::IsADirectory => OpenError::NotAFile(path.to_path_buf()),
            _ => failed(path, "open")(source),
        })?;
    if file.metadata().map_err(failed(path, "look at"))?.is_file() {
        Ok(file)
    } else {
        Err(OpenError::NotAFile(path.to_path_buf()))
    }
}

/// Makes an empty store beside `path`, and gives it its name when it is complete: whoever is killed meanwhile leaves no
/// half of one. Another process may be quicker: its store stays.
fn create(path: &Path, schema: &Schema) -> Result<(), OpenError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Mode 0600 is what temporary files have.
    let file =
        NamedTempFile::with_prefix_in(".new-store-", folder).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                OpenError::NoFolder { path: path.to_path_buf(), folder: folder.to_path_buf() }
            }
            _ => failed(path, "create")(source),
        })?;
    let backend = file.reopen().map_err(failed(path, "create"))?;
    let database = FileBackend::new(backend).and_then(|file| Builder::new().create_with_backend(file));
    let database = database.map_err(|error| storage(path, "create", error))?;
    schema.create(&database).map_err(|error| storage(path, "create", error))?;
    database.close().map_err(|error| storage(path, "create", error))?;
    file.as_file().sync_all().map_err(failed(path, "create"))?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(path, "create")(error.error));
        }
        _ => {}
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(path, "create"))
}

/// Does with a copy in memory all that opening does with the file, and verifies every checksum. The storage engine
/// would write to a file before it has found the damage.
fn rehearse(path: &Path, mut file: &File, schema: &Schema) -> Result<(), OpenError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed(path, "read"))?;
    if !bytes.starts_with(MAGIC) {
        let reason = if bytes.is_empty() { "it is empty" } else { "it begins otherwise" };
        return Err(OpenError::NotAStore { path: path.to_path_buf(), reason: reason.to_owned() });
    }
    let damaged =
        |error: redb::Error| OpenError::Damaged { path: path.to_path_buf(), reason: error.to_string() };
    let copy = InMemoryBackend::new();
    copy.set_len(bytes.len() as u64).and_then(|()| copy.write(0, &bytes)).map_err(failed(path, "copy"))?;
    drop(bytes);
    let database =
        Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(copy);
    let database = database.map_err(|error| damaged(error.into()))?;
    schema.prepare(&database).map_err(|unprepared| match unprepared {
        Unprepared::Failed(error) => damaged(error),
        unprepared => refusal(path, schema, unprepared),
    })
}

fn refusal(path: &Path, schema: &Schema, unprepared: Unprepared) -> OpenError {
    let path = path.to_path_buf();
    match unprepared {
        Unprepared::Foreign(reason) => OpenError::NotAStore { path, reason: reason.to_owned() },
        Unprepared::Newer(found) => OpenError::Newer { path, found, known: schema.version() },
        Unprepared::Failed(error) => storage(&path, "prepare", error),
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { path: path.to_path_buf(), action, source }
}

fn storage(path: &Path, action: &'static str, error: impl Into<redb::Error>) -> OpenError {
    OpenError::Storage { path: path.to_path_buf(), action, source: error.into().into() }
}

#[cfg(test)]
mod tests;
