//! The tables of the file, their version, and the way from older versions.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};

use crate::Revision;
use crate::error::Error;

/// The version of the schema and the store's revision, by name. Has this form in every version.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("softiov.meta");

/// Revision and document of each object, by kind and name.
pub(crate) const OBJECTS: TableDefinition<'_, ObjectKey, ObjectValue> =
    TableDefinition::new("softiov.objects");

pub(crate) type ObjectKey = (&'static str, &'static str);
pub(crate) type ObjectValue = (u64, &'static [u8]);

const VERSION: &str = "schema";
const REVISION: &str = "revision";

/// Brings the tables from one version of the schema to the next.
pub(crate) type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// A version of the schema: the first one, and the migrations since. Versions count from 1.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) migrations: &'static [Migration],
}

/// What this program reads and writes.
pub(crate) const CURRENT: Schema = Schema { migrations: &[] };

/// Why [`Schema::prepare`] cannot.
#[derive(Debug)]
pub(crate) enum Unprepared {
    /// The tables are not those of a store.
    Foreign(&'static str),
    /// The version of the file is this newer one.
    Newer(u64),
    /// Reading, migrating or writing failed.
    Failed(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Unprepared {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Schema {
    /// The newest version.
    pub(crate) const fn version(&self) -> u64 {
        1 + self.migrations.len() as u64
    }

    /// Makes the tables of an empty database.
    pub(crate) fn create(&self, database: &Database) -> Result<(), redb::Error> {
        let transaction = begin(database)?;
        transaction.open_table(OBJECTS)?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(REVISION, 0)?;
            meta.insert(VERSION, self.version())?;
        }
        Ok(transaction.commit()?)
    }

    /// Makes sure that the tables are there and of this version; migrates older ones in one transaction.
    pub(crate) fn prepare(&self, database: &Database) -> Result<(), Unprepared> {
        let found = found_version(database)?;
        // Versions count from 1: the migration from version n is at n - 1.
        let missing = usize::try_from(found - 1).ok().and_then(|done| self.migrations.get(done..));
        match missing {
            None => return Err(Unprepared::Newer(found)),
            Some([]) => {}
            Some(missing) => {
                let transaction = begin(database)?;
                for migrate in missing {
                    migrate(&transaction)?;
                }
                transaction.open_table(META)?.insert(VERSION, self.version())?;
                transaction.commit()?;
            }
        }
        let transaction = database.begin_read()?;
        transaction.open_table(OBJECTS)?;
        match transaction.open_table(META)?.get(REVISION)? {
            Some(_) => Ok(()),
            None => Err(Unprepared::Foreign("it has no revision")),
        }
    }
}

/// Begins a change that is on disk when it is committed, and of which a damaged file cannot go back to the one before:
/// with one phase, the storage engine would do so by itself.
pub(crate) fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// The store's revision.
pub(crate) fn revision(meta: &impl ReadableTable<&'static str, u64>) -> Result<Revision, Error> {
    let revision = meta.get(REVISION).map_err(Error::storage)?;
    Ok(Revision(revision.map_or(0, |revision| revision.value())))
}

/// Makes `revision` the store's.
pub(crate) fn set_revision(transaction: &WriteTransaction, revision: Revision) -> Result<(), Error> {
    let mut meta = transaction.open_table(META).map_err(Error::storage)?;
    meta.insert(REVISION, revision.0).map_err(Error::storage)?;
    Ok(())
}

fn found_version(database: &Database) -> Result<u64, Unprepared> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Err(Unprepared::Foreign("it has other tables")),
        Err(error) => return Err(error.into()),
    };
    match meta.get(VERSION)?.map(|version| version.value()) {
        None | Some(0) => Err(Unprepared::Foreign("it has no schema version")),
        Some(version) => Ok(version),
    }
}
