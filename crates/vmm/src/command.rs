//! What is asked of a VMM.

use serde::Serialize;
use serde_json::{Map, Value};

/// A command, as QMP spells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "execute", content = "arguments")]
pub enum Command {
    /// Ends the negotiation that begins a session. [`Session`](crate::Session) sends it by itself.
    #[serde(rename = "qmp_capabilities")]
    Capabilities,
    /// Which QEMU it is.
    #[serde(rename = "query-version")]
    QueryVersion,
    /// Whether the guest runs.
    #[serde(rename = "query-status")]
    QueryStatus,
    /// How a migration goes on.
    #[serde(rename = "query-migrate")]
    QueryMigrate,
    /// Plugs a device: driver, id, bus and the properties of the driver.
    #[serde(rename = "device_add")]
    DeviceAdd(Map<String, Value>),
    /// Asks the guest to give a device up. That it did is the event
    /// [`DeviceDeleted`](crate::Event::DeviceDeleted).
    #[serde(rename = "device_del")]
    DeviceDel {
        /// The device.
        id: String,
    },
    /// The link of a network device or of its back end.
    #[serde(rename = "set_link")]
    SetLink {
        /// Its id.
        name: String,
        /// Whether there is a link.
        up: bool,
    },
    /// The members of an object of QEMU's object model.
    #[serde(rename = "qom-list")]
    QomList {
        /// The object.
        path: String,
    },
    /// A property of an object of QEMU's object model.
    #[serde(rename = "qom-get")]
    QomGet {
        /// The object.
        path: String,
        /// The property.
        property: String,
    },
}

impl Command {
    /// The command's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Capabilities => "qmp_capabilities",
            Self::QueryVersion => "query-version",
            Self::QueryStatus => "query-status",
            Self::QueryMigrate => "query-migrate",
            Self::DeviceAdd(_) => "device_add",
            Self::DeviceDel { .. } => "device_del",
            Self::SetLink { .. } => "set_link",
            Self::QomList { .. } => "qom-list",
            Self::QomGet { .. } => "qom-get",
        }
    }
}

/// A command with the number that its answer will bear.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    #[serde(flatten)]
    pub(crate) command: &'a Command,
    pub(crate) id: u64,
}
