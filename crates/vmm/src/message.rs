//! Lines of a VMM, taken apart.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{ErrorClass, Refusal, Violation};
use crate::event::Event;
use crate::version::Version;

/// The longest text that is kept of a VMM's names and descriptions, in characters.
pub const MAX_TEXT: usize = 512;

/// How a VMM introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its version.
    pub version: Version,
    /// What its packager calls it; often empty.
    pub package: String,
}

/// A line, by what it is.
#[derive(Debug)]
pub(crate) enum Message {
    Greeting(Greeting),
    Answer { id: u64, outcome: Result<Value, Refusal> },
    Event(Event),
}

impl Message {
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Violation> {
        let mut fields: Map<String, Value> = serde_json::from_slice(line).map_err(Violation::NotJson)?;
        if let Some(greeting) = fields.get_mut("QMP") {
            let version = greeting.get_mut("version").map(Value::take).ok_or(Violation::Greeting)?;
            return Ok(Self::Greeting(Greeting::parse(version).ok_or(Violation::Greeting)?));
        }
        if let Some(event) = fields.get("event") {
            let name = event.as_str().ok_or(Violation::Shape)?;
            return Ok(Self::Event(Event::parse(name, fields.get("data").unwrap_or(&Value::Null))?));
        }
        // An error without an id is about a line that QEMU could not read, and each of ours is good JSON.
        let id = fields.get("id").and_then(Value::as_u64).ok_or(Violation::Shape)?;
        let outcome = match (fields.remove("return"), fields.get("error")) {
            (Some(returned), None) => Ok(returned),
            (None, Some(error)) => Err(Refusal::parse(error).ok_or(Violation::Shape)?),
            _ => return Err(Violation::Shape),
        };
        Ok(Self::Answer { id, outcome })
    }
}

impl Greeting {
    /// From what greeting and `query-version` say of the version.
    pub(crate) fn parse(version: Value) -> Option<Self> {
        #[derive(Deserialize)]
        struct Described {
            qemu: Version,
            #[serde(default)]
            package: String,
        }

        let described: Described = serde_json::from_value(version).ok()?;
        Some(Self { version: described.qemu, package: text(&described.package) })
    }
}

impl Refusal {
    fn parse(error: &Value) -> Option<Self> {
        let class = match error.get("class")?.as_str()? {
            "GenericError" => ErrorClass::Generic,
            "DeviceNotFound" => ErrorClass::DeviceNotFound,
            "CommandNotFound" => ErrorClass::CommandNotFound,
            other => ErrorClass::Other(text(other)),
        };
        Some(Self { class, description: text(error.get("desc")?.as_str()?) })
    }
}

/// What is kept of a text that a VMM sends: not too much, and nothing that a terminal would act on.
pub(crate) fn text(sent: &str) -> String {
    sent.chars().take(MAX_TEXT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
