//! The handle's methods, against a QEMU that has ports and devices and answers with what QEMU 11.1 answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::fake::{Peer, place, settings};
use crate::{
    CommandError, Device, Event, MigrationStatus, PlugOutcome, UnplugOutcome, Update, VfioUserDevice, Vmm,
    spawn,
};

/// What a virtual machine has.
#[derive(Debug, Default)]
struct Machine {
    /// Driver and bus of each device, by id.
    devices: BTreeMap<String, (String, String)>,
    /// Ports with `hotplug=off`.
    fixed: Vec<&'static str>,
    leaving: Vec<String>,
    /// Primaries are hidden: the guest has not taken VIRTIO_NET_F_STANDBY.
    hides: bool,
}

impl Machine {
    fn new(devices: &[(&str, &str, &str)]) -> Self {
        let entry =
            |&(id, driver, bus): &(&str, &str, &str)| (id.to_owned(), (driver.to_owned(), bus.to_owned()));
        Self { devices: devices.iter().map(entry).collect(), ..Self::default() }
    }

    fn answer(&mut self, command: &str, arguments: &Value) -> Result<Value, (&'static str, String)> {
        let id = arguments["id"].as_str().unwrap_or_default().to_owned();
        let generic = |description: String| Err(("GenericError", description));
        match command {
            "query-version" => {
                Ok(json!({ "qemu": { "major": 11, "minor": 1, "micro": 3 }, "package": "Debian" }))
            }
            "query-status" => Ok(json!({ "status": "prelaunch", "running": false })),
            "query-migrate" => Ok(json!({})),
            "qom-list" => Ok(self.members(arguments["path"].as_str().unwrap())),
            "qom-get" => {
                let port = arguments["path"].as_str().unwrap().rsplit('/').next().unwrap();
                assert_eq!(arguments["property"], "hotplug");
                Ok(json!(!self.fixed.contains(&port)))
            }
            "device_add" if self.devices.contains_key(&id) => generic(format!("Duplicate device ID '{id}'")),
            "device_add" => {
                let bus = arguments["bus"].as_str().unwrap();
                if !self.devices.contains_key(bus) {
                    return generic(format!("Bus '{bus}' not found"));
                }
                assert_eq!(
                    (&arguments["driver"], &arguments["socket"]["type"]),
                    (&json!("vfio-user-pci"), &json!("unix"))
                );
                if !(self.hides && arguments["failover_pair_id"] == "syn0") {
                    self.devices.insert(id, ("vfio-user-pci".to_owned(), bus.to_owned()));
                }
                Ok(json!({}))
            }
            "device_del" if !self.devices.contains_key(&id) => {
                Err(("DeviceNotFound", format!("Device '{id}' not found")))
            }
            "device_del" if self.leaving.contains(&id) => {
                generic(format!("Device {id} is already in the process of unplug"))
            }
            "device_del" => {
                self.leaving.push(id);
                Ok(json!({}))
            }
            "set_link" => {
                Err(("DeviceNotFound", format!("Device '{}' not found", arguments["name"].as_str().unwrap())))
            }
            other => Err(("CommandNotFound", format!("The command {other} has not been found"))),
        }
    }

    fn members(&self, path: &str) -> Value {
        let mut members = vec![json!({ "name": "type", "type": "string" })];
        match path.strip_prefix("/machine/peripheral").unwrap() {
            "" => members.extend(
                self.devices
                    .iter()
                    .map(|(id, (driver, _))| json!({ "name": id, "type": format!("child<{driver}>") })),
            ),
            bus => {
                let (port, bus) = bus.trim_start_matches('/').split_once('/').unwrap();
                assert_eq!(port, bus);
                let here = self.devices.values().filter(|(_, on)| on == bus);
                members.extend(here.zip(0..).map(|((driver, _), at)| {
                    json!({ "name": format!("child[{at}]"), "type": format!("link<{driver}>") })
                }));
            }
        }
        Value::Array(members)
    }
}

/// Runs `test` with a handle to the machine.
async fn with(mut machine: Machine, test: impl AsyncFnOnce(Vmm, &mut mpsc::Receiver<Update>)) {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let (vmm, mut updates) = spawn(settings(&path));
    let serve = async {
        let mut peer = Peer::accept(&listener).await;
        while let Some(request) = peer.next().await {
            let command = request["execute"].as_str().unwrap();
            if command == "device_del" && request["arguments"]["id"] == "gone" {
                let data = json!({ "device": "gone", "path": "/machine/peripheral/gone" });
                peer.event("DEVICE_DELETED", data).await;
            }
            match machine.answer(command, &request["arguments"]) {
                Ok(returned) => peer.give(&request, returned).await,
                Err((class, description)) => peer.refuse(&request, class, &description).await,
            }
        }
    };
    let client = async {
        assert!(matches!(updates.recv().await, Some(Update::Connected(_))));
        test(vmm, &mut updates).await;
    };
    tokio::join!(serve, client);
}

fn vf(id: &str, bus: Option<&str>) -> VfioUserDevice {
    let socket = "/run/softiov/vf0.sock".into();
    VfioUserDevice { id: id.to_owned(), socket, bus: bus.map(str::to_owned), failover_pair: None }
}

#[tokio::test]
async fn a_device_goes_to_the_first_free_port() {
    let mut machine = Machine::new(&[
        ("rp0", "pcie-root-port", "pcie.0"),
        ("rng0", "virtio-rng-pci", "rp0"),
        ("rp1", "pcie-root-port", "pcie.0"),
        ("rp2", "pcie-root-port", "pcie.0"),
        ("rp3", "ioh3420", "pcie.0"),
    ]);
    machine.fixed.push("rp1");
    with(machine, async |vmm, _| {
        assert_eq!(vmm.free_root_port().await.unwrap(), "rp2");
        assert_eq!(vmm.plug(&vf("vf0", None)).await.unwrap(), PlugOutcome::Plugged);
        // The id is there: not even a port is looked for.
        assert_eq!(vmm.plug(&vf("vf0", Some("nowhere"))).await.unwrap(), PlugOutcome::AlreadyThere);
        assert_eq!(vmm.plug(&vf("vf1", None)).await.unwrap(), PlugOutcome::Plugged);
        let error = vmm.plug(&vf("vf2", None)).await.unwrap_err();
        assert!(matches!(error, CommandError::NoRootPort), "{error}");
        assert!(error.to_string().contains("-device pcie-root-port"), "{error}");
        let vfs: Vec<Device> = vmm.devices().await.unwrap();
        let vfs = vfs.into_iter().filter(|device| device.driver == "vfio-user-pci").map(|device| device.id);
        assert_eq!(vfs.collect::<Vec<_>>(), ["vf0", "vf1"]);
    })
    .await;
}

#[tokio::test]
async fn what_qemu_refuses_is_said_in_its_words() {
    let machine = Machine::new(&[("rp0", "pcie-root-port", "pcie.0"), ("rng0", "virtio-rng-pci", "rp0")]);
    with(machine, async |vmm, _| {
        // A configured bus wins over the free one.
        let error = vmm.plug(&vf("vf0", Some("nobus"))).await.unwrap_err();
        assert_eq!(error.to_string(), "QEMU refuses device_add: Bus 'nobus' not found (GenericError)");
        let error = vmm.plug(&vf("rng0", None)).await.unwrap_err();
        assert!(
            matches!(&error, CommandError::IdTaken { driver, .. } if driver == "virtio-rng-pci"),
            "{error}"
        );
        let error = vmm.set_link("nolink", true).await.unwrap_err();
        assert_eq!(error.to_string(), "QEMU refuses set_link: Device 'nolink' not found (DeviceNotFound)");
    })
    .await;
}

#[tokio::test]
async fn unplugging_says_what_becomes_of_the_device() {
    let machine = Machine::new(&[("gone", "vfio-user-pci", "rp0")]);
    with(machine, async |vmm, updates| {
        assert_eq!(vmm.unplug("gone").await.unwrap(), UnplugOutcome::Asked);
        assert_eq!(vmm.unplug("gone").await.unwrap(), UnplugOutcome::AlreadyAsked);
        assert_eq!(vmm.unplug("other").await.unwrap(), UnplugOutcome::NotThere);
        let Some(Update::Event(event)) = updates.recv().await else { panic!("no event") };
        assert_eq!(event, Event::DeviceDeleted { device: Some("gone".to_owned()) });
    })
    .await;
}

#[tokio::test]
async fn a_primary_may_be_hidden() {
    let mut machine = Machine::new(&[("rp0", "pcie-root-port", "pcie.0")]);
    machine.hides = true;
    with(machine, async |vmm, _| {
        let paired = VfioUserDevice { failover_pair: Some("syn0".to_owned()), ..vf("vf0", None) };
        assert_eq!(vmm.plug(&paired).await.unwrap(), PlugOutcome::Hidden);
        assert_eq!(vmm.unplug("vf0").await.unwrap(), UnplugOutcome::NotThere);
    })
    .await;
}

#[tokio::test]
async fn the_rest_is_asked_for() {
    with(Machine::default(), async |vmm, _| {
        let greeting = vmm.version().await.unwrap();
        assert_eq!(
            (greeting.version.to_string(), greeting.package),
            ("11.1.3".to_owned(), "Debian".to_owned())
        );
        let state = vmm.run_state().await.unwrap();
        assert_eq!((state.running, state.name.as_str()), (false, "prelaunch"));
        assert_eq!(vmm.migration().await.unwrap(), MigrationStatus::None);
        assert_eq!(vmm.devices().await.unwrap(), []);
    })
    .await;
}
