//! Changes: all or nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use redb::{Database, ReadableTable, Table, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::object::{self, Listing, Object};
use crate::schema::{self, META, OBJECTS, ObjectKey, ObjectValue};
use crate::{Kind, MAX_DOCUMENT, MAX_NAME, Revision};

/// What a change of one object rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the object may be there or not.
    Any,
    /// The object is not there.
    Absent,
    /// The object is there.
    Present,
    /// The object is there, and nobody changed it since this revision.
    Revision(Revision),
}

impl Expect {
    fn holds(self, found: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Revision(revision) => found == Some(revision),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("in any state"),
            Self::Absent => f.write_str("not to exist"),
            Self::Present => f.write_str("to exist"),
            Self::Revision(revision) => write!(f, "to have revision {revision}"),
        }
    }
}

/// A change that is being made. It sees what it has done already; nobody else does.
#[derive(Debug)]
pub struct Change<'a> {
    objects: Table<'a, ObjectKey, ObjectValue>,
    before: Revision,
    /// How many objects there are, of each kind that was counted.
    counts: BTreeMap<&'static str, usize>,
    touched: bool,
}

/// Runs `work`, and commits what it did unless it fails.
pub(crate) fn run<R, E: From<Error>>(
    database: &Database,
    work: impl FnOnce(&mut Change<'_>) -> Result<R, E>,
) -> Result<R, E> {
    let transaction = schema::begin(database).map_err(Error::storage)?;
    // Dropped without a commit, whether by an error or by a panic of `work`, the transaction undoes itself.
    let mut change = Change::new(&transaction)?;
    let outcome = work(&mut change)?;
    let (revision, touched) = (change.revision(), change.touched);
    drop(change);
    if touched {
        schema::set_revision(&transaction, revision)?;
        transaction.commit().map_err(Error::storage)?;
    }
    Ok(outcome)
}

impl<'a> Change<'a> {
    fn new(transaction: &'a WriteTransaction) -> Result<Self, Error> {
        let before = schema::revision(&transaction.open_table(META).map_err(Error::storage)?)?;
        let objects = transaction.open_table(OBJECTS).map_err(Error::storage)?;
        Ok(Self { objects, before, counts: BTreeMap::new(), touched: false })
    }

    /// The revision that the store has after this change, if it changes anything.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.before.0.saturating_add(1))
    }

    /// The object `name`, if there is one.
    ///
    /// # Errors
    ///
    /// Fails when its document is no `T`, or the file cannot be read.
    pub fn get<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Option<Object<T>>, Error> {
        object::get(&self.objects, kind, name)
    }

    /// All objects of a kind, by name.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read. A document that is no `T` is no error: the listing names it.
    pub fn list<T: DeserializeOwned>(&self, kind: Kind) -> Result<Listing<T>, Error> {
        object::list(&self.objects, kind, if self.touched { self.revision() } else { self.before })
    }

    /// Puts an object, in place of the one that has its name, and returns its revision. The same document again changes
    /// nothing: the object keeps its revision.
    ///
    /// # Errors
    ///
    /// Fails when the object is not as expected, when a bound is passed, or the file cannot be read.
    pub fn put<T: Serialize + ?Sized>(
        &mut self,
        kind: Kind,
        name: &str,
        expect: Expect,
        value: &T,
    ) -> Result<Revision, Error> {
        if !(1..=MAX_NAME).contains(&name.len()) {
            return Err(Error::Name { kind: kind.name(), len: name.len() });
        }
        let document = serde_json::to_vec(value).map_err(|source| Error::NotJson {
            kind: kind.name(),
            name: name.to_owned(),
            source,
        })?;
        if document.len() > MAX_DOCUMENT {
            return Err(Error::TooLong { kind: kind.name(), name: name.to_owned(), len: document.len() });
        }
        let found = self.expect(kind, name, expect)?;
        if let Some(revision) = found
            && self.holds(kind, name, &document)?
        {
            return Ok(revision);
        }
        if found.is_none() {
            let count = self.count(kind)?;
            if *count >= kind.most() {
                return Err(Error::TooMany { kind: kind.name(), name: name.to_owned(), most: kind.most() });
            }
            *count += 1;
        }
        let revision = self.revision();
        self.objects
            .insert((kind.name(), name), (revision.0, document.as_slice()))
            .map_err(Error::storage)?;
        self.touched = true;
        Ok(revision)
    }

    /// Removes an object, and says whether it was there.
    ///
    /// # Errors
    ///
    /// Fails when the object is not as expected, or the file cannot be read.
    pub fn remove(&mut self, kind: Kind, name: &str, expect: Expect) -> Result<bool, Error> {
        if self.expect(kind, name, expect)?.is_none() {
            return Ok(false);
        }
        *self.count(kind)? -= 1;
        self.objects.remove((kind.name(), name)).map_err(Error::storage)?;
        self.touched = true;
        Ok(true)
    }

    /// The object's revision, if it is as expected.
    fn expect(&self, kind: Kind, name: &str, expected: Expect) -> Result<Option<Revision>, Error> {
        let found = self.objects.get((kind.name(), name)).map_err(Error::storage)?;
        let found = found.map(|found| Revision(found.value().0));
        if expected.holds(found) {
            return Ok(found);
        }
        Err(Error::Conflict { kind: kind.name(), name: name.to_owned(), expected, found })
    }

    fn holds(&self, kind: Kind, name: &str, document: &[u8]) -> Result<bool, Error> {
        let found = self.objects.get((kind.name(), name)).map_err(Error::storage)?;
        Ok(found.is_some_and(|found| found.value().1 == document))
    }

    /// How many objects of the kind there are: counted once, then kept.
    fn count(&mut self, kind: Kind) -> Result<&mut usize, Error> {
        match self.counts.entry(kind.name()) {
            Entry::Occupied(count) => Ok(count.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(object::count(&self.objects, kind)?)),
        }
    }
}
