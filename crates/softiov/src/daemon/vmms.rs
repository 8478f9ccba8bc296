//! The VMMs that softiov drives by QMP, one task for each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use virt_stack::{AdapterId, Generation, VmId, VmmEvent};
use vmm::{Event, PlugOutcome, State, UnplugOutcome, Update, VfioUserDevice, Vmm};

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

/// Id of the device that a VF is in its VMM: letters, digits and `-`.
pub(crate) fn device_id(adapter: AdapterId, generation: Generation) -> String {
    format!("softiov-{}-{}", adapter.0, generation.0)
}

fn parse_device_id(id: &str) -> Option<(AdapterId, Generation)> {
    let (adapter, generation) = id.strip_prefix("softiov-")?.split_once('-')?;
    Some((AdapterId(adapter.parse().ok()?), Generation(generation.parse().ok()?)))
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
                let event = match update {
                    Update::Connected(greeting) => {
                        tracing::info!(vm = vm.0, version = %greeting.version, "VMM connected");
                        // Not awaited here: the answer comes behind updates that nobody would take.
                        tokio::spawn(list_devices(vm, asked.clone(), Arc::clone(&notices)));
                        None
                    }
                    Update::Lost(reason) => {
                        tracing::info!(vm = vm.0, %reason, "VMM lost");
                        Some(VmmEvent::Lost)
                    }
                    Update::Event(event) => concerning(&event),
                };
                if let Some(event) = event {
                    tell(&notices, vm, event).await;
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
    pub(crate) fn plug(
        &self,
        vm: VmId,
        (adapter, generation): (AdapterId, Generation),
        socket: PathBuf,
        bus: Option<String>,
    ) {
        let device = VfioUserDevice { id: device_id(adapter, generation), socket, bus, failover_pair: None };
        let plugging = self.by_vm.get(&vm).cloned();
        let notices = Arc::clone(&self.notices);
        self.runtime.spawn(async move {
            let outcome = match plugging {
                Some(monitor) => monitor.plug(&device).await.map_err(|error| sentence(&error)),
                None => Err("the VM has no VMM with QMP".to_owned()),
            };
            let event = match outcome {
                Ok(PlugOutcome::Plugged | PlugOutcome::AlreadyThere | PlugOutcome::Hidden) => {
                    VmmEvent::Plugged(adapter, generation)
                }
                Err(reason) => VmmEvent::PlugFailed(adapter, generation, reason),
            };
            tell(&notices, vm, event).await;
        });
    }

    /// Asks the guest to give a VF up. That it is gone is told to the board.
    pub(crate) fn unplug(&self, vm: VmId, (adapter, generation): (AdapterId, Generation)) {
        let Some(monitor) = self.by_vm.get(&vm).cloned() else { return };
        let notices = Arc::clone(&self.notices);
        self.runtime.spawn(async move {
            match monitor.unplug(&device_id(adapter, generation)).await {
                Ok(UnplugOutcome::NotThere) => {
                    tell(&notices, vm, VmmEvent::Deleted(adapter, generation)).await;
                }
                Ok(UnplugOutcome::Asked | UnplugOutcome::AlreadyAsked) => {}
                Err(error) => tracing::warn!(vm = vm.0, "device_del failed: {}", sentence(&error)),
            }
        });
    }
}

/// What an event of a VMM says of a VF.
fn concerning(event: &Event) -> Option<VmmEvent> {
    match event {
        Event::DeviceDeleted { device: Some(id) } => {
            parse_device_id(id).map(|(adapter, generation)| VmmEvent::Deleted(adapter, generation))
        }
        Event::UnplugRefused { device: Some(id) } => {
            parse_device_id(id).map(|(adapter, generation)| VmmEvent::UnplugRefused(adapter, generation))
        }
        _ => None,
    }
}

async fn list_devices(vm: VmId, monitor: Vmm, notices: Arc<NoticeBoard>) {
    match monitor.devices().await {
        Ok(devices) => {
            let own = devices.iter().filter_map(|device| parse_device_id(&device.id));
            let devices: BTreeSet<_> = own.collect();
            tell(&notices, vm, VmmEvent::Connected { devices }).await;
        }
        // If it is lost, it will be there again.
        Err(error) => {
            tracing::warn!(vm = vm.0, "the devices of a VMM cannot be listed: {}", sentence(&error));
        }
    }
}

async fn tell(notices: &NoticeBoard, vm: VmId, event: VmmEvent) {
    while !notices.vmm(vm, event.clone()) {
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
