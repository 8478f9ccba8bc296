//! What leads out of softiov: the physical port, and the host's own adapters.
//!
//! Their ports outlive a data path: with the last port of a tap netdev the netdev would be gone, and with it whatever
//! the host has configured there. So one data path hands them to the next.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use dataplane::{Attachment, Doorbell, Handle, Place, PortCounters};
use port::Port;
use uplink::{Backend, LinkEvent, LinkState, LinkWatcher, Losses, NewTap, OpenError, Wake};

use super::signal::Alarm;
use super::switchboard::{Switchboard, host_adapters};
use crate::config::{Config, UplinkConfig, XdpMode};

/// Why a way out cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutsideError {
    #[error("the physical port cannot be opened")]
    Uplink(#[source] OpenError),
    #[error("the host adapter {name} cannot be made")]
    Host {
        name: String,
        #[source]
        source: OpenError,
    },
    #[error("no descriptor is left to wait for frames of {name}")]
    Listen {
        name: String,
        #[source]
        source: std::io::Error,
    },
}

/// All ways out.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    exits: Mutex<Vec<Exit>>,
    /// Who wants to know when the link of the physical port changes.
    alarm: ArcSwapOption<Alarm>,
}

/// One way out.
pub(crate) struct Exit {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) counters: Arc<PortCounters>,
    wake: Wake,
    watcher: Option<LinkWatcher>,
    pub(crate) losses: Losses,
    /// While no data path has it.
    port: Option<Box<dyn Port>>,
}

impl std::fmt::Debug for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exit").field("name", &self.name).field("place", &self.place).finish_non_exhaustive()
    }
}

impl Outside {
    /// Opens the physical port and makes the host's adapters.
    pub(crate) fn open(config: &Config, switchboard: &Switchboard) -> Result<Self, OutsideError> {
        let mut exits = Vec::new();
        if let Some((name, wanted)) = physical_port(config) {
            let opened = uplink::open(&wanted).map_err(OutsideError::Uplink)?;
            exits.extend(Exit::of(opened, name, Place::Physical, Arc::default()));
        }
        for ((_, host), number) in host_adapters(config).zip(0..) {
            let name = host.interface.0.clone();
            let new = NewTap { address: Some(host.address()), mtu: host.mtu.map(|mtu| mtu.0.into()) };
            let backend = Backend::Tap { name: name.clone(), new: Some(new) };
            let wanted = uplink::Config { backend, queues: NonZeroUsize::MIN, ports: NonZeroUsize::MIN };
            let opened =
                uplink::open(&wanted).map_err(|source| OutsideError::Host { name: name.clone(), source })?;
            let counters = switchboard.with(|switches| Arc::clone(&switches.nics[&number].counters));
            let place = Place::Nic(number);
            exits.extend(Exit::of(opened, name, place, counters));
        }
        Ok(Self { exits: Mutex::new(exits), alarm: ArcSwapOption::empty() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Exit>> {
        self.exits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the ways out.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut [Exit]) -> T) -> T {
        look(&mut self.lock())
    }

    /// True if frames can pass the physical port, or if there is none: then the adapter leads nowhere but to its VPorts.
    pub(crate) fn is_running(&self) -> bool {
        let exits = self.lock();
        let physical = exits.iter().find(|exit| exit.place == Place::Physical);
        physical.is_none_or(|exit| exit.link().is_some_and(|link| link.is_running()))
    }

    /// Rings `alarm`, and no earlier one, whenever the link of the physical port may have changed.
    pub(crate) fn tell(&self, alarm: Alarm) {
        self.alarm.store(Some(Arc::new(alarm)));
    }

    /// Takes what has changed at way out number `index`; true if that is the physical port.
    pub(crate) fn take_changes(&self, index: usize) -> bool {
        let mut exits = self.lock();
        let Some(exit) = exits.get_mut(index) else { return false };
        let physical = exit.take_changes() && exit.place == Place::Physical;
        if let (true, Some(alarm)) = (physical, &*self.alarm.load()) {
            alarm.ring();
        }
        physical
    }

    /// Gives the ports to a worker.
    pub(crate) fn attach(&self, worker: &Handle) -> Result<(), OutsideError> {
        for exit in &mut *self.lock() {
            let Some(port) = exit.port.take() else { continue };
            let counters = Arc::clone(&exit.counters);
            worker.attach(exit.place, Attachment { port, counters, doorbell: Doorbell::Readable });
            worker
                .listen(exit.place, &exit.wake)
                .map_err(|source| OutsideError::Listen { name: exit.name.clone(), source })?;
        }
        Ok(())
    }

    /// Takes the ports back from a worker.
    pub(crate) fn take_back(&self, worker: &Handle) {
        for exit in &mut *self.lock() {
            worker.ignore(&exit.wake);
            if let Some(port) = worker.take(exit.place) {
                exit.port = Some(port);
            }
        }
    }
}

impl Exit {
    fn of(opened: uplink::Uplink, name: String, place: Place, counters: Arc<PortCounters>) -> Option<Self> {
        let uplink::Uplink { ports, watcher, losses } = opened;
        let uplink::UplinkPort { port, wake } = ports.into_iter().next()?;
        Some(Self { name, place, counters, wake, watcher, losses, port: Some(port) })
    }

    /// Readable when the state of the link has changed.
    pub(crate) fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.watcher.as_ref().map(AsFd::as_fd)
    }

    /// The state of the link; `None` if there is no netdev (any more).
    pub(crate) fn link(&self) -> Option<LinkState> {
        self.watcher.as_ref()?.state()
    }

    /// Takes what has changed since it was last asked; true if something has.
    fn take_changes(&mut self) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let mut changed = false;
        while let Some(event) = watcher.next_event() {
            changed = true;
            match event {
                LinkEvent::Changed(state) => tracing::info!(
                    interface = self.name,
                    running = state.is_running(),
                    mtu = state.mtu,
                    "the state of a netdev has changed"
                ),
                LinkEvent::Removed => tracing::warn!(interface = self.name, "a netdev is gone"),
            }
        }
        changed
    }
}

/// What the physical port leads to, if anywhere.
fn physical_port(config: &Config) -> Option<(String, uplink::Config)> {
    let (backend, name, queues) = match &config.uplink {
        UplinkConfig::None => return None,
        UplinkConfig::Tap { interface, queues } => {
            (Backend::Tap { name: interface.0.clone(), new: None }, interface, queues)
        }
        UplinkConfig::Packet { interface, queues } => {
            (Backend::Packet { name: interface.0.clone() }, interface, queues)
        }
        UplinkConfig::Xdp { interface, queues, mode } => {
            let mode = match mode {
                XdpMode::Best => uplink::XdpMode::Best,
                XdpMode::ZeroCopy => uplink::XdpMode::ZeroCopy,
                XdpMode::Copy => uplink::XdpMode::Copy,
                XdpMode::Generic => uplink::XdpMode::Generic,
            };
            (Backend::Xdp { name: interface.0.clone(), mode }, interface, queues)
        }
    };
    let queues = NonZeroUsize::try_from(queues.0).unwrap_or(NonZeroUsize::MIN);
    Some((name.0.clone(), uplink::Config { backend, queues, ports: NonZeroUsize::MIN }))
}
