//! Changes of an object: JSON merge patch (RFC 7396), with unknown keys refused.

mod probe;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{ApiError, ErrorKind};

/// Levels of objects in a patch. What is wanted has four.
const MAX_DEPTH: usize = 16;

/// A change: a member with a value is set, one with `null` goes back to its default, objects are changed member by
/// member, and what is not named stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MergePatch(Map<String, Value>);

impl MergePatch {
    /// A patch of these members.
    #[must_use]
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The value of a member that it names.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// `current` with the change.
    ///
    /// # Errors
    /// `invalid` if a key is unknown or a value cannot be, with a sentence that names it.
    pub fn apply<T: Serialize + DeserializeOwned>(&self, current: &T) -> Result<T, ApiError> {
        self.check_removals::<T>(&self.0, &mut Vec::new())?;
        let mut target = serde_json::to_value(current).map_err(|error| {
            ApiError::new(ErrorKind::Failed, "failed", format!("what there is cannot be written: {error}"))
        })?;
        merge(&mut target, &self.0);
        serde_json::from_value(target).map_err(|error| invalid(error.to_string()))
    }

    /// Merging makes removed members vanish: whether they are known at all, parsing the result would not tell.
    fn check_removals<T: DeserializeOwned>(
        &self,
        members: &Map<String, Value>,
        path: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        if path.len() == MAX_DEPTH {
            return Err(invalid(format!("the change has more than {MAX_DEPTH} levels")));
        }
        for (key, value) in members {
            path.push(key.clone());
            match value {
                Value::Null => probe::known::<T>(path).map_err(invalid)?,
                Value::Object(members) => self.check_removals::<T>(members, path)?,
                _ => {}
            }
            path.pop();
        }
        Ok(())
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorKind::Invalid, "invalid", message)
}

fn merge(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(object) = target else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                object.remove(key);
            }
            Value::Object(members) => merge(object.entry(key.clone()).or_insert(Value::Null), members),
            value => {
                object.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
