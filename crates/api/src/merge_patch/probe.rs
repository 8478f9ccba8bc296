//! Asks a type whether it has a member, without a value to read.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Whether `T` has a member at `path`; if not, a sentence that says so and what there is.
pub(super) fn known<T: DeserializeOwned>(path: &[String]) -> Result<(), String> {
    match T::deserialize(Probe { path }) {
        Err(Miss::Unknown(message)) => Err(message),
        // It is known, and so the value was looked at: that it is missing, or not what it should be, is no news.
        Ok(_) | Err(Miss::Other) => Ok(()),
    }
}

/// An object with one member, the first of `path`, whose value is an object with the next one ...
struct Probe<'a> {
    path: &'a [String],
}

/// What a type makes of that.
#[derive(Debug)]
enum Miss {
    Unknown(String),
    Other,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(message) => f.write_str(message),
            Self::Other => f.write_str("not there"),
        }
    }
}

impl std::error::Error for Miss {}

impl de::Error for Miss {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self::Other
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Unknown(format!("unknown field `{field}`, expected one of `{}`", expected.join("`, `")))
    }
}

impl<'de> Deserializer<'de> for Probe<'de> {
    type Error = Miss;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Miss> {
        if self.path.is_empty() { visitor.visit_unit() } else { visitor.visit_map(self) }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Miss> {
        if self.path.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Miss> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Probe<'de> {
    type Error = Miss;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Miss> {
        let Some(key) = self.path.first() else { return Ok(None) };
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Miss> {
        let rest = self.path.get(1..).unwrap_or_default();
        self.path = &[];
        seed.deserialize(Probe { path: rest })
    }
}
