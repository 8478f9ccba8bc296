//! What a VMM tells by itself.

use serde::Serialize;
use serde_json::Value;

use crate::error::Violation;
use crate::message::text;

/// An event of QMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `DEVICE_DELETED`: the device is gone. The guest has given it up, or was reset before it had answered.
    DeviceDeleted {
        /// The device's id; `None` for a part of a device, or a device that has none.
        device: Option<String>,
    },
    /// `DEVICE_UNPLUG_GUEST_ERROR`: the guest keeps the device.
    UnplugRefused {
        /// The device's id.
        device: Option<String>,
    },
    /// `FAILOVER_NEGOTIATED`: the guest has taken VIRTIO_NET_F_STANDBY; QEMU plugs the primary that it has hidden.
    FailoverNegotiated {
        /// The id of the standby.
        standby: String,
    },
    /// `UNPLUG_PRIMARY`: a migration begins, QEMU asks the guest to give the primary up.
    UnplugPrimary {
        /// The id of the primary.
        primary: String,
    },
    /// `MIGRATION`: the migration goes on. Only sent by a VMM that has the capability `events` set.
    Migration(MigrationStatus),
    /// `RESET`: the machine was reset.
    Reset {
        /// The guest did it.
        guest: bool,
    },
    /// `SHUTDOWN`: the guest has shut down, or QEMU was told to end.
    Shutdown {
        /// The guest did it.
        guest: bool,
    },
    /// `STOP`: the processors stand still.
    Stop,
    /// `RESUME`: the processors run again.
    Resume,
    /// One that means nothing to this crate.
    Other(String),
}

impl Event {
    pub(crate) fn parse(name: &str, data: &Value) -> Result<Self, Violation> {
        let id = |field: &str| data.get(field).and_then(Value::as_str).map(text);
        let needed =
            |field: &'static str| id(field).ok_or_else(|| Violation::Event { name: text(name), field });
        // Not in the data of very old versions.
        let guest = data.get("guest").and_then(Value::as_bool).unwrap_or(false);
        Ok(match name {
            "DEVICE_DELETED" => Self::DeviceDeleted { device: id("device") },
            "DEVICE_UNPLUG_GUEST_ERROR" => Self::UnplugRefused { device: id("device") },
            "FAILOVER_NEGOTIATED" => Self::FailoverNegotiated { standby: needed("device-id")? },
            "UNPLUG_PRIMARY" => Self::UnplugPrimary { primary: needed("device-id")? },
            "MIGRATION" => Self::Migration(MigrationStatus::parse(&needed("status")?)),
            "RESET" => Self::Reset { guest },
            "SHUTDOWN" => Self::Shutdown { guest },
            "STOP" => Self::Stop,
            "RESUME" => Self::Resume,
            other => Self::Other(text(other)),
        })
    }
}

/// How far a migration is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrationStatus {
    /// None has been asked for.
    None,
    /// It is being prepared.
    Setup,
    /// It waits for the guest to give its failover primaries up.
    WaitUnplug,
    /// Memory goes over.
    Active,
    /// Memory has gone over, the guest stands still.
    Device,
    /// It waits to be told to go on.
    PreSwitchover,
    /// It was cancelled; the source is putting itself back.
    Cancelling,
    /// It was cancelled.
    Cancelled,
    /// It is done.
    Completed,
    /// It has failed.
    Failed,
    /// Something else: post-copy, COLO.
    Other(String),
}

impl MigrationStatus {
    pub(crate) fn parse(status: &str) -> Self {
        match status {
            "none" => Self::None,
            "setup" => Self::Setup,
            "wait-unplug" => Self::WaitUnplug,
            "active" => Self::Active,
            "device" => Self::Device,
            "pre-switchover" => Self::PreSwitchover,
            "cancelling" => Self::Cancelling,
            "cancelled" => Self::Cancelled,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            other => Self::Other(text(other)),
        }
    }
}
