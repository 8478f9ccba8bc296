//! The VMMs that softiov drives by QMP, one task for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use virt_stack::desired::Name;
use virt_stack::{AdapterId, Generation, VmId, VmmEvent};
use vmm::{Event, PlugOutcome, State, UnplugOutcome, Update, VfioUserDevice, Vmm};

use super::Changing;
use super::notices::NoticeBoard;

/// How long a VMM that tells more than is taken has to wait.
const BREATH: Duration = Duration::from_millis(10);

/// All of them.
#[derive(Debug)]
pub(crate) struct Vmms {
    runtime: Handle,
    notices: Arc<NoticeBoard>,
    by_vm: BTreeMap<VmId, Vmm>,
}

/// Which device a VF is in its VMM. The adapter has its name there and not its number, for a VMM may keep the device
/// for longer than the daemon lives, and another daemon counts anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceId {
    /// The adapter of the VM.
    pub(crate) adapter: Name,
    pub(crate) generation: Generation,
}

/// Letters, digits, `-`, `_` and `.`, the first a letter: what QEMU takes.
impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "softiov-{}-{}", self.adapter, self.generation.0)
    }
}

impl DeviceId {
    fn parse(id: &str) -> Option<Self> {
        let (adapter, generation) = id.strip_prefix("softiov-")?.rsplit_once('-')?;
        let (adapter, generation) = (Name::new(adapter).ok()?, generation.parse().ok()?);
        Some(Self { adapter, generation: Generation(generation) })
    }
}

/// What a VMM told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VmmNews {
    /// It can be asked, and has these VFs.
    Connected(BTreeSet<DeviceId>),
    /// It can be asked no longer.
    Lost,
    /// Something became of a VF.
    Device(DeviceId, DeviceNews),
}

/// What became of a VF in its VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceNews {
    Plugged,
    PlugFailed(String),
    Deleted,
    UnplugRefused,
}

impl Vmms {
    pub(crate) fn new(runtime: Handle, notices: Arc<NoticeBoard>) -> Self {
        Self { runtime, notices, by_vm: BTreeMap::new() }
    }

    /// Keeps a connection to the monitor at `path` from now on, instead of another one of that VM.
    pub(crate) fn add(&mut self, vm: VmId, path: PathBuf) {
        let _runtime = self.runtime.enter();
        let (monitor, mut updates) = vmm::spawn(vmm::Settings::new(path));
        let (notices, asked) = (Arc::clone(&self.notices), monitor.clone());
        self.runtime.spawn(async move {
            while let Some(update) = updates.recv().await {
                let news = match update {
                    Update::Connected(greeting) => {
                        tracing::info!(vm = vm.0, version = %greeting.version, "VMM connected");
                        // Not awaited here: the answer comes behind updates that nobody would take.
                        tokio::spawn(list_devices(vm, asked.clone(), Arc::clone(&notices)));
                        None
                    }
                    Update::Lost(reason) => {
                        tracing::info!(vm = vm.0, %reason, "VMM lost");
                        Some(VmmNews::Lost)
                    }
                    Update::Event(event) => concerning(&event),
                };
                if let Some(news) = news {
                    tell(&notices, vm, news).await;
                }
            }
        });
        self.by_vm.insert(vm, monitor);
    }

    /// Ends the connection of a VM.
    pub(crate) fn remove(&mut self, vm: VmId) {
        self.by_vm.remove(&vm);
    }

    /// How it stands with the VMM of a VM; `None` if that has none.
    pub(crate) fn state(&self, vm: VmId) -> Option<State> {
        self.by_vm.get(&vm).map(Vmm::state)
    }

    /// Plugs a VF in. What becomes of it is told to the board.
    pub(crate) fn plug(&self, vm: VmId, id: DeviceId, socket: PathBuf, bus: Option<String>) {
        let device = VfioUserDevice { id: id.to_string(), socket, bus, failover_pair: None };
        let plugging = self.by_vm.get(&vm).cloned();
        let notices = Arc::clone(&self.notices);
        self.runtime.spawn(async move {
            let outcome = match plugging {
                Some(monitor) => monitor.plug(&device).await.map_err(|error| sentence(&error)),
                None => Err("the VM has no VMM with QMP".to_owned()),
            };
            let news = match outcome {
                Ok(PlugOutcome::Plugged | PlugOutcome::AlreadyThere | PlugOutcome::Hidden) => {
                    DeviceNews::Plugged
                }
                Err(reason) => DeviceNews::PlugFailed(reason),
            };
            tell(&notices, vm, VmmNews::Device(id, news)).await;
        });
    }

    /// Asks the guest to give a VF up. That it is gone is told to the board.
    pub(crate) fn unplug(&self, vm: VmId, id: DeviceId) {
        let Some(monitor) = self.by_vm.get(&vm).cloned() else { return };
        let notices = Arc::clone(&self.notices);
        self.runtime.spawn(async move {
            match monitor.unplug(&id.to_string()).await {
                Ok(UnplugOutcome::NotThere) => {
                    tell(&notices, vm, VmmNews::Device(id, DeviceNews::Deleted)).await;
                }
                Ok(UnplugOutcome::Asked | UnplugOutcome::AlreadyAsked) => {}
                Err(error) => tracing::warn!(vm = vm.0, "device_del failed: {}", sentence(&error)),
            }
        });
    }
}

impl Changing {
    /// What a VMM told, of an adapter that there is.
    pub(super) fn understand(&self, vm: VmId, news: VmmNews) -> Option<VmmEvent> {
        let known = |DeviceId { adapter, generation }: DeviceId| {
            let mut members = self.members.iter();
            let found = members.find(|(_, member)| member.vm_id == vm && member.name == adapter);
            found.map(|(id, _)| (*id, generation))
        };
        Some(match news {
            VmmNews::Connected(devices) => {
                VmmEvent::Connected { devices: devices.into_iter().filter_map(known).collect() }
            }
            VmmNews::Lost => VmmEvent::Lost,
            VmmNews::Device(device, news) => {
                let (adapter, generation) = known(device)?;
                match news {
                    DeviceNews::Plugged => VmmEvent::Plugged(adapter, generation),
                    DeviceNews::PlugFailed(reason) => VmmEvent::PlugFailed(adapter, generation, reason),
                    DeviceNews::Deleted => VmmEvent::Deleted(adapter, generation),
                    DeviceNews::UnplugRefused => VmmEvent::UnplugRefused(adapter, generation),
                }
            }
        })
    }

    /// Which device a VF of an adapter is in its VMM, and whose that is.
    pub(super) fn device(&self, adapter: AdapterId, generation: Generation) -> Option<(VmId, DeviceId)> {
        let member = self.members.get(&adapter)?;
        Some((member.vm_id, DeviceId { adapter: member.name.clone(), generation }))
    }
}

/// What an event of a VMM says of a VF.
fn concerning(event: &Event) -> Option<VmmNews> {
    let (id, news) = match event {
        Event::DeviceDeleted { device: Some(id) } => (id, DeviceNews::Deleted),
        Event::UnplugRefused { device: Some(id) } => (id, DeviceNews::UnplugRefused),
        _ => return None,
    };
    DeviceId::parse(id).map(|device| VmmNews::Device(device, news))
}

async fn list_devices(vm: VmId, monitor: Vmm, notices: Arc<NoticeBoard>) {
    match monitor.devices().await {
        Ok(devices) => {
            let own = devices.iter().filter_map(|device| DeviceId::parse(&device.id));
            tell(&notices, vm, VmmNews::Connected(own.collect())).await;
        }
        // If it is lost, it will be there again.
        Err(error) => {
            tracing::warn!(vm = vm.0, "the devices of a VMM cannot be listed: {}", sentence(&error));
        }
    }
}

async fn tell(notices: &NoticeBoard, vm: VmId, news: VmmNews) {
    while !notices.vmm(vm, news.clone()) {
        tokio::time::sleep(BREATH).await;
    }
}

/// An error with what is behind it.
fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
