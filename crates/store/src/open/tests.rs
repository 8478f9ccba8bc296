//! What opening does with every kind of file that may be there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tempfile::TempDir;

use super::open;
use crate::error::{Error, OpenError};
use crate::schema::{CURRENT, META, OBJECTS, Schema};
use crate::{Expect, Kind, Store};

const COLOUR: Kind = Kind::new("colour", 100);

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    (folder, path)
}

fn put(store: &Store, name: &str, value: &str) {
    store.change(|change| change.put(COLOUR, name, Expect::Any, value)).unwrap();
}

type Values = Vec<(String, String)>;

fn values(store: &Store) -> Values {
    let listing = store.list::<String>(COLOUR).unwrap();
    assert!(listing.unreadable.is_empty());
    listing.objects.into_iter().map(|object| (object.name, object.value)).collect()
}

/// A file of a store with some objects, closed.
fn filled(path: &Path) -> Values {
    let store = Store::open(path).unwrap();
    for number in 0..40 {
        put(&store, &format!("c{number:02}"), &"x".repeat(number * 20));
    }
    values(&store)
}

/// Bytes, modification time and inode: what must not change.
fn state(path: &Path) -> (Vec<u8>, i64, i64, u64) {
    let metadata = fs::metadata(path).unwrap();
    (fs::read(path).unwrap(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
}

/// The error of opening the file, which stays untouched.
fn refused(path: &Path, schema: &Schema) -> OpenError {
    let before = state(path);
    let error = open(path, schema).unwrap_err();
    assert!(state(path) == before, "{error} but the file has changed");
    let folder = path.parent().unwrap();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "{error} but there is another file now");
    error
}

#[test]
fn a_new_store_is_its_owners_only_and_stays() {
    let (folder, path) = place();
    let store = Store::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(store.path(), path);
    put(&store, "red", "ff0000");
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(values(&store), [("red".to_owned(), "ff0000".to_owned())]);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = Store::open(&missing.join("state.redb")).unwrap_err();
    assert!(matches!(&error, OpenError::NoFolder { folder, .. } if *folder == missing), "{error:?}");
    assert!(error.to_string().contains("missing does not exist: make it"), "{error}");
    assert!(!missing.exists());
}

#[test]
fn a_second_opener_is_told_who_is_in_the_way() {
    let (_folder, path) = place();
    let store = Store::open(&path).unwrap();
    put(&store, "red", "ff0000");
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(&error, OpenError::InUse(named) if *named == path), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    // The first one is not disturbed, and the file is free when it is closed.
    put(&store, "green", "00ff00");
    drop(store);
    assert_eq!(values(&Store::open(&path).unwrap()).len(), 2);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let (folder, path) = place();
    assert!(matches!(Store::open(folder.path()), Err(OpenError::NotAFile(_))));
    assert!(matches!(Store::open(Path::new("/dev/null")), Err(OpenError::NotAFile(_))));
    symlink(folder.path().join("nowhere"), &path).unwrap();
    assert!(matches!(Store::open(&path), Err(OpenError::Io { action: "open", .. })));
}

#[test]
fn other_files_are_not_taken_for_stores() {
    let foreign = {
        let (_folder, path) = place();
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let table: TableDefinition<'_, u64, u64> = TableDefinition::new("birds");
        transaction.open_table(table).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
        drop(database);
        fs::read(&path).unwrap()
    };
    let cases: [(&str, Vec<u8>); 4] = [
        ("it is empty", Vec::new()),
        ("it begins otherwise", b"[network]\nname = \"lan\"\n".to_vec()),
        ("it begins otherwise", vec![0; 100_000]),
        ("it has other tables", foreign),
    ];
    for (expected, content) in cases {
        let (_folder, path) = place();
        fs::write(&path, content).unwrap();
        let error = refused(&path, &CURRENT);
        assert!(matches!(&error, OpenError::NotAStore { reason, .. } if reason == expected), "{error}");
    }
}

#[test]
fn a_truncated_file_is_damaged() {
    let (_folder, path) = place();
    filled(&path);
    let content = fs::read(&path).unwrap();
    for len in [4, 9, 100, 320, 4096, 8192, content.len() / 2, content.len() - 4096, content.len() - 1] {
        fs::write(&path, &content[..len]).unwrap();
        let error = refused(&path, &CURRENT);
        assert!(matches!(error, OpenError::Damaged { .. }), "{len} bytes: {error}");
    }
}

/// Opens a copy of `content` in which one bit is another: either the store is as expected, or it is refused untouched.
fn flipped(content: &[u8], expected: &[&Values], bit: usize) {
    let (_folder, path) = place();
    let mut content = content.to_vec();
    content[bit / 8] ^= 1 << (bit % 8);
    fs::write(&path, &content).unwrap();
    let before = state(&path);
    match Store::open(&path) {
        Ok(store) => assert!(expected.contains(&&values(&store)), "bit {bit}"),
        Err(error) => {
            assert!(state(&path) == before, "bit {bit}: {error} but the file has changed");
            assert!(
                matches!(error, OpenError::Damaged { .. } | OpenError::NotAStore { .. }),
                "bit {bit}: {error}"
            );
        }
    }
}

#[test]
fn no_flipped_bit_changes_what_is_stored() {
    let (_folder, path) = place();
    let before = filled(&path);
    let closed = fs::read(&path).unwrap();
    let store = Store::open(&path).unwrap();
    put(&store, "last", "x");
    let crashed = fs::read(&path).unwrap();
    let after = values(&store);
    drop(store);
    for (content, expected, before) in [(closed, &before, &before), (crashed, &after, &before)] {
        // This bit tells which of the last two states counts. When the file was closed they are the same.
        flipped(&content, &[expected, before], 9 * 8);
        // The head of the file has no checksum: all of its flags and numbers. Behind it are the two commit slots.
        for bit in (9 * 8 + 1..28 * 8).chain((64..320).step_by(9).map(|at| at * 8 + at % 8)) {
            flipped(&content, &[expected], bit);
        }
        let used: Vec<usize> = (4096..content.len()).filter(|&at| content[at] != 0).collect();
        let config = ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(at in proptest::sample::select(used), bit in 0_usize..8)| {
            flipped(&content, &[expected], at * 8 + bit);
        });
    }
}

/// Version 2 of a schema: colours have become capitals.
fn capitals(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let mut objects = transaction.open_table(OBJECTS)?;
    let mut found = Vec::new();
    for entry in objects.iter()? {
        let (key, value) = entry?;
        found.push((key.value().1.to_owned(), value.value().0, value.value().1.to_ascii_uppercase()));
    }
    for (name, revision, document) in found {
        objects.insert(("colour", name.as_str()), (revision, document.as_slice()))?;
    }
    Ok(())
}

fn fails(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    capitals(transaction)?;
    Err(redb::Error::Corrupted("the migration does not like it".to_owned()))
}

const SECOND: Schema = Schema { migrations: &[capitals] };

#[test]
fn an_older_schema_is_migrated_and_a_newer_one_refused() {
    let (_folder, path) = place();
    put(&Store::open(&path).unwrap(), "red", "ff0000");

    let database = open(&path, &SECOND).unwrap();
    let transaction = database.begin_read().unwrap();
    assert_eq!(transaction.open_table(META).unwrap().get("schema").unwrap().unwrap().value(), 2);
    let objects = transaction.open_table(OBJECTS).unwrap();
    assert_eq!(objects.get(("colour", "red")).unwrap().unwrap().value(), (1, &b"\"FF0000\""[..]));
    drop((objects, transaction, database));

    let error = refused(&path, &CURRENT);
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("schema version 2, this program knows versions up to 1"), "{error}");
    // The newer program still has it, and migrates it no second time.
    drop(open(&path, &SECOND).unwrap());
}

#[test]
fn a_migration_that_fails_leaves_the_store_as_it_was() {
    let (_folder, path) = place();
    put(&Store::open(&path).unwrap(), "red", "ff0000");
    let error = refused(&path, &Schema { migrations: &[capitals, fails] });
    assert!(error.to_string().contains("the migration does not like it"), "{error}");
    assert_eq!(values(&Store::open(&path).unwrap()), [("red".to_owned(), "ff0000".to_owned())]);
}

#[test]
fn errors_of_the_storage_have_their_cause() {
    let error = Error::storage(redb::StorageError::PreviousIo);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("I/O error"), "{cause}");
}
