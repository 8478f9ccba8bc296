//! What a virtual machine is asked for, with what the answers mean.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::command::Command;
use crate::driver::Vmm;
use crate::error::{CommandError, ErrorClass, Refusal};
use crate::event::MigrationStatus;
use crate::message::{Greeting, text};

/// Where devices that were given an id are in QEMU's object model.
const DEVICES: &str = "/machine/peripheral";

/// The drivers of ports that take one hot-plugged device.
const ROOT_PORTS: [&str; 2] = ["pcie-root-port", "ioh3420"];

/// The driver of VFs.
const VFIO_USER: &str = "vfio-user-pci";

/// A device that has an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// What kind of device: `vfio-user-pci`, `pcie-root-port`.
    pub driver: String,
}

/// A device of a vfio-user server, to be plugged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VfioUserDevice {
    /// The id that it is to have: letters, digits, `-`, `.` and `_`, a letter first.
    pub id: String,
    /// The socket of the server, as QEMU sees it.
    pub socket: PathBuf,
    /// The port that it is plugged into; `None`: the first free one.
    pub bus: Option<String>,
    /// The id of the standby with `failover=on`, if QEMU is to pair them.
    pub failover_pair: Option<String>,
}

/// What has become of a device that was to be plugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlugOutcome {
    /// It is there.
    Plugged,
    /// It was there before.
    AlreadyThere,
    /// QEMU has taken note of it and will plug it when the guest takes VIRTIO_NET_F_STANDBY
    /// ([`FailoverNegotiated`](crate::Event::FailoverNegotiated)). Until then it is no device, and cannot be unplugged.
    Hidden,
}

/// What has become of a device that was to be unplugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnplugOutcome {
    /// The guest was asked. [`DeviceDeleted`](crate::Event::DeviceDeleted) tells that the device is gone.
    Asked,
    /// The guest was asked before, and has not answered.
    AlreadyAsked,
    /// There is no such device.
    NotThere,
}

/// Whether a guest runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunState {
    /// Its processors run.
    pub running: bool,
    /// The state in QEMU's words: `running`, `paused`, `prelaunch`, `postmigrate` ...
    pub name: String,
}

impl Vmm {
    /// Which QEMU it is.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub async fn version(&self) -> Result<Greeting, CommandError> {
        let command = Command::QueryVersion;
        let name = command.name();
        Greeting::parse(self.run(command).await?).ok_or(CommandError::Answer { command: name })
    }

    /// Whether the guest runs.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub async fn run_state(&self) -> Result<RunState, CommandError> {
        #[derive(Deserialize)]
        struct Answer {
            running: bool,
            status: String,
        }

        let answer: Answer = self.ask(Command::QueryStatus).await?;
        Ok(RunState { running: answer.running, name: text(&answer.status) })
    }

    /// How far a migration is.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub async fn migration(&self) -> Result<MigrationStatus, CommandError> {
        #[derive(Deserialize)]
        struct Answer {
            status: Option<String>,
        }

        let answer: Answer = self.ask(Command::QueryMigrate).await?;
        Ok(answer.status.map_or(MigrationStatus::None, |status| MigrationStatus::parse(&status)))
    }

    /// The devices that have an id, by id. One that is being unplugged is among them until it is gone.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub async fn devices(&self) -> Result<Vec<Device>, CommandError> {
        let members = self.members(DEVICES.to_owned()).await?;
        let device = |member: Member| {
            let driver = member.kind.strip_prefix("child<")?.strip_suffix('>')?;
            Some(Device { driver: text(driver), id: text(&member.name) })
        };
        let mut devices: Vec<Device> = members.into_iter().filter_map(device).collect();
        devices.sort_unstable();
        Ok(devices)
    }

    /// The first port, by id, that takes a hot-plugged device and has none. Its id is the `bus` of `device_add`.
    ///
    /// QEMU's `query-pci` would not do: it sees what is behind a port only when firmware has numbered the buses. A port
    /// without an id is left out: its bus has a name that others have, too. That a hidden failover primary will want a
    /// port is not to be seen.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoRootPort`] when all are taken.
    pub async fn free_root_port(&self) -> Result<String, CommandError> {
        let devices = self.devices().await?;
        for port in devices.into_iter().filter(|device| ROOT_PORTS.contains(&device.driver.as_str())) {
            let path = format!("{DEVICES}/{}", port.id);
            let hotplug = Command::QomGet { path: path.clone(), property: "hotplug".to_owned() };
            if !self.ask::<bool>(hotplug).await? {
                continue;
            }
            // The bus of a port has the port's name, and a member `child[0]` for the device on it.
            let bus = self.members(format!("{path}/{}", port.id)).await?;
            if !bus.iter().any(|member| member.name.starts_with("child[")) {
                return Ok(port.id);
            }
        }
        Err(CommandError::NoRootPort)
    }

    /// Plugs a device, unless it is there already.
    ///
    /// # Errors
    ///
    /// See [`CommandError`]. After [`CommandError::TimedOut`] and [`CommandError::Lost`], ask again: it may be there.
    pub async fn plug(&self, device: &VfioUserDevice) -> Result<PlugOutcome, CommandError> {
        if self.is_there(&device.id).await? {
            return Ok(PlugOutcome::AlreadyThere);
        }
        let bus = match &device.bus {
            Some(bus) => bus.clone(),
            None => self.free_root_port().await?,
        };
        self.run(Command::DeviceAdd(device.arguments(&bus))).await?;
        if device.failover_pair.is_some() && !self.is_there(&device.id).await? {
            return Ok(PlugOutcome::Hidden);
        }
        Ok(PlugOutcome::Plugged)
    }

    /// Asks the guest to give a device up.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub async fn unplug(&self, id: &str) -> Result<UnplugOutcome, CommandError> {
        match self.run(Command::DeviceDel { id: id.to_owned() }).await {
            Ok(_) => Ok(UnplugOutcome::Asked),
            Err(CommandError::Refused {
                refusal: Refusal { class: ErrorClass::DeviceNotFound, .. }, ..
            }) => Ok(UnplugOutcome::NotThere),
            // It has no class of its own.
            Err(CommandError::Refused { refusal, .. })
                if refusal.description.contains("already in the process of unplug") =>
            {
                Ok(UnplugOutcome::AlreadyAsked)
            }
            Err(error) => Err(error),
        }
    }

    /// Sets the link of a network device or of its back end.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub async fn set_link(&self, name: &str, up: bool) -> Result<(), CommandError> {
        self.run(Command::SetLink { name: name.to_owned(), up }).await.map(|_| ())
    }

    /// Whether there is a VF with this id.
    async fn is_there(&self, id: &str) -> Result<bool, CommandError> {
        match self.devices().await?.into_iter().find(|device| device.id == id) {
            None => Ok(false),
            Some(device) if device.driver == VFIO_USER => Ok(true),
            Some(Device { id, driver }) => Err(CommandError::IdTaken { id, driver }),
        }
    }

    async fn members(&self, path: String) -> Result<Vec<Member>, CommandError> {
        self.ask(Command::QomList { path }).await
    }

    async fn ask<T: DeserializeOwned>(&self, command: Command) -> Result<T, CommandError> {
        let name = command.name();
        let answer = self.run(command).await?;
        serde_json::from_value(answer).map_err(|_| CommandError::Answer { command: name })
    }
}

impl VfioUserDevice {
    fn arguments(&self, bus: &str) -> Map<String, Value> {
        // A path that is no UTF-8 has no form in QMP. QEMU will not find it, and say so.
        let path = self.socket.to_string_lossy();
        let mut arguments = Map::from_iter([
            ("driver".to_owned(), json!(VFIO_USER)),
            ("id".to_owned(), json!(self.id)),
            ("bus".to_owned(), json!(bus)),
            ("socket".to_owned(), json!({ "type": "unix", "path": path })),
        ]);
        if let Some(standby) = &self.failover_pair {
            arguments.insert("failover_pair_id".to_owned(), json!(standby));
        }
        arguments
    }
}

/// A member of an object of QEMU's object model.
#[derive(Debug, Deserialize)]
struct Member {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}
