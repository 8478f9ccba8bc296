//! Objects as they are read.

use redb::ReadableTable;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::schema::{ObjectKey, ObjectValue};
use crate::{Kind, Revision};

/// An object of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object<T> {
    /// Its name, one of its kind.
    pub name: String,
    /// The change that put it.
    pub revision: Revision,
    /// What it says.
    pub value: T,
}

/// The objects of a kind, at one time.
#[derive(Debug)]
pub struct Listing<T> {
    /// When: the store's last change.
    pub revision: Revision,
    /// Those that can be read, by name.
    pub objects: Vec<Object<T>>,
    /// Those that cannot, by name.
    pub unreadable: Vec<Unreadable>,
}

/// An object whose document is not of the form that was asked for. It stays in the store until it is put anew or
/// removed; as `serde_json::Value` it may still be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {kind} {name} of the store, of revision {revision}, is not understood: it is kept as it is; put it anew or \
     remove it"
)]
pub struct Unreadable {
    /// The kind of object.
    pub kind: &'static str,
    /// The object.
    pub name: String,
    /// The change that put it.
    pub revision: Revision,
    /// What is wrong with its document.
    pub source: serde_json::Error,
}

/// The object `name`, if there is one.
pub(crate) fn get<T: DeserializeOwned>(
    objects: &impl ReadableTable<ObjectKey, ObjectValue>,
    kind: Kind,
    name: &str,
) -> Result<Option<Object<T>>, Error> {
    let Some(found) = objects.get((kind.name(), name)).map_err(Error::storage)? else { return Ok(None) };
    parse(kind, name, found.value()).map(Some).map_err(Error::Unreadable)
}

/// Every object of the kind.
pub(crate) fn list<T: DeserializeOwned>(
    objects: &impl ReadableTable<ObjectKey, ObjectValue>,
    kind: Kind,
    revision: Revision,
) -> Result<Listing<T>, Error> {
    let mut listing = Listing { revision, objects: Vec::new(), unreadable: Vec::new() };
    for entry in objects.range((kind.name(), "")..).map_err(Error::storage)? {
        let (key, value) = entry.map_err(Error::storage)?;
        let (its_kind, name) = key.value();
        if its_kind != kind.name() {
            break;
        }
        match parse(kind, name, value.value()) {
            Ok(object) => listing.objects.push(object),
            Err(unreadable) => listing.unreadable.push(unreadable),
        }
    }
    Ok(listing)
}

/// How many objects of the kind there are.
pub(crate) fn count(
    objects: &impl ReadableTable<ObjectKey, ObjectValue>,
    kind: Kind,
) -> Result<usize, Error> {
    let mut count = 0;
    for entry in objects.range((kind.name(), "")..).map_err(Error::storage)? {
        let (key, _) = entry.map_err(Error::storage)?;
        if key.value().0 != kind.name() {
            break;
        }
        count += 1;
    }
    Ok(count)
}

fn parse<T: DeserializeOwned>(
    kind: Kind,
    name: &str,
    (revision, document): (u64, &[u8]),
) -> Result<Object<T>, Unreadable> {
    let (name, revision) = (name.to_owned(), Revision(revision));
    match serde_json::from_slice(document) {
        Ok(value) => Ok(Object { name, revision, value }),
        Err(source) => Err(Unreadable { kind: kind.name(), name, revision, source }),
    }
}
