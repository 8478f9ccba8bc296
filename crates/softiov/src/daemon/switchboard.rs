//! The extensible switches, and the NICs on them.
//!
//! Each adapter of the host and each of a VM has a NIC, which has a number: first those of the host, in the order of the
//! configuration, then those of the VMs as they come.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use dataplane::{Extent, Handle, PortCounters, Switches};
use ethernet::MacAddr;
use nic_switch::VPortId;
use sys::clock;
use vswitch::{
    NicChanges, NicEnforces, NicParameters, NicState, NicType, Path, PortId, PortParameters, PortPolicy,
    PortType, RemovalReason, SwitchError, SwitchParameters, SwitchType, VSwitch, VfPath,
};

use super::members::Member;
use super::pace::Pace;
use crate::config::Config;

/// Cycles of the worker's clock in a second.
pub(crate) fn cycles_per_second() -> u64 {
    clock::cycles_per_microsecond() * 1_000_000
}

/// Why an adapter cannot be connected to its switch.
#[derive(Debug, thiserror::Error)]
#[error("{adapter} cannot be connected to switch {switch}")]
pub(crate) struct ConnectError {
    adapter: String,
    switch: String,
    #[source]
    source: SwitchError,
}

/// A NIC on a switch.
#[derive(Clone, Debug)]
pub(crate) struct Nic {
    /// `VM/ADAPTER`, or the name of the host's netdev.
    pub(crate) name: String,
    /// Number of its switch.
    pub(crate) switch: usize,
    pub(crate) port: PortId,
    pub(crate) counters: Arc<PortCounters>,
    /// Its VMM is there.
    attended: bool,
}

/// The switches behind a lock: requests are short, and no frame waits for one.
#[derive(Debug)]
pub(crate) struct Switchboard {
    inner: Mutex<Inner>,
    /// The worker to which states are published; none while the data path is being rebuilt.
    publisher: ArcSwapOption<Handle>,
    /// VMMs have changed something since it was published.
    unpublished: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Inner {
    extent: Extent,
    pub(crate) switches: Vec<VSwitch>,
    paths: Vec<Arc<Path>>,
    pub(crate) nics: BTreeMap<u32, Nic>,
    /// VPorts of the PF and VM queues that lead straight to a NIC.
    queues: BTreeMap<VPortId, u32>,
    pace: Pace,
}

impl Switchboard {
    /// The switches of `config`, with a port for each adapter of the host.
    pub(crate) fn new(config: &Config, extent: Extent, seed: u64) -> Result<Self, ConnectError> {
        let mut inner = Inner {
            extent,
            switches: Vec::new(),
            paths: Vec::new(),
            nics: BTreeMap::new(),
            queues: BTreeMap::new(),
            pace: Pace::default(),
        };
        for switch in config.switches() {
            let parameters = SwitchParameters {
                name: switch.name.to_string(),
                kind: switch.kind.into(),
                bandwidth: None,
                nic_enforces: NicEnforces { trunk_vlan: true, maximum_bandwidth: false, storm_limit: false },
            };
            inner.add_switch(parameters, seed)?;
        }
        for ((switch, host), number) in host_adapters(config).zip(0..) {
            let nic = NicParameters {
                name: host.interface.0.clone(),
                kind: NicType::Internal,
                permanent_mac: host.address(),
                mtu: host.mtu.map_or(1500, |mtu| mtu.0.into()),
                ..NicParameters::default()
            };
            inner.add_nic(number, switch, PortType::Internal, host.policy(), nic)?;
            inner.connect(number);
        }
        inner.compile();
        Ok(Self {
            inner: Mutex::new(inner),
            publisher: ArcSwapOption::empty(),
            unpublished: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the switches.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the switches; the worker decides by what came of it when this returns.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let result = change(&mut inner);
        self.publish(&mut inner);
        if let Some(worker) = &*self.publisher.load() {
            worker.quiesce();
        }
        result
    }

    /// Sets the path of a NIC's frames, and has `publish` publish that in one with something else.
    pub(crate) fn set_vf_with(
        &self,
        (nic, vf): (u32, VfPath),
        publish: impl FnOnce(&Arc<Switches>),
    ) -> Result<(), SwitchError> {
        let mut inner = self.lock();
        let set = inner.set_vf(nic, vf);
        inner.compile();
        publish(&inner.snapshot());
        self.unpublished.store(false, Ordering::Relaxed);
        set
    }

    /// The state that a new worker begins with.
    pub(crate) fn snapshot(&self) -> Arc<Switches> {
        self.lock().snapshot()
    }

    /// From now on states go to this worker, the present one at once.
    pub(crate) fn publish_to(&self, worker: Option<Handle>) {
        let mut inner = self.lock();
        self.publisher.store(worker.map(Arc::new));
        self.publish(&mut inner);
    }

    /// A VMM has come to NIC number `nic`, or left it. In force when this returns, or, if that happens very often, a
    /// little later.
    pub(crate) fn set_connected(&self, nic: u32, connected: bool) {
        let mut inner = self.lock();
        if let Some(nic) = inner.nics.get_mut(&nic) {
            nic.attended = connected;
        }
        if connected {
            inner.connect(nic);
        } else {
            inner.disconnect(nic);
        }
        if inner.pace.wait(Instant::now()).is_zero() {
            self.publish(&mut inner);
        } else {
            self.unpublished.store(true, Ordering::Relaxed);
        }
    }

    /// Publishes what VMMs have changed, at once: a guest is about to speak, and has set up rings for it, which costs more
    /// than this.
    pub(crate) fn publish_waiting(&self) {
        if self.unpublished.load(Ordering::Relaxed) {
            self.publish(&mut self.lock());
        }
    }

    /// Publishes what VMMs have changed, unless that would be too often: then it says how long it has to wait.
    pub(crate) fn publish_changes(&self) -> Option<Duration> {
        if !self.unpublished.load(Ordering::Relaxed) {
            return None;
        }
        let mut inner = self.lock();
        let wait = inner.pace.wait(Instant::now());
        if wait.is_zero() {
            self.publish(&mut inner);
            return None;
        }
        Some(wait)
    }

    /// Under the lock, so that states are published in their order.
    fn publish(&self, inner: &mut Inner) {
        let began = Instant::now();
        inner.compile();
        if let Some(worker) = &*self.publisher.load() {
            worker.publish_switches(&inner.snapshot());
        }
        self.unpublished.store(false, Ordering::Relaxed);
        inner.pace.spent(began, Instant::now());
    }
}

/// The host's adapters with the numbers of their switches, in the order of their NICs.
pub(crate) fn host_adapters(
    config: &Config,
) -> impl Iterator<Item = (usize, crate::config::HostAdapterConfig)> {
    let switches = config.switches().into_iter().enumerate();
    switches.flat_map(|(number, switch)| switch.hosts.into_iter().map(move |host| (number, host)))
}

impl Inner {
    fn add_switch(&mut self, parameters: SwitchParameters, seed: u64) -> Result<(), ConnectError> {
        let (name, external) = (parameters.name.clone(), parameters.kind == SwitchType::External);
        let refused =
            |source| ConnectError { adapter: "the SR-IOV adapter".into(), switch: name.clone(), source };
        let mut switch = VSwitch::create(parameters, cycles_per_second(), seed).map_err(refused)?;
        if external {
            let parameters = PortParameters {
                name: "external".into(),
                kind: PortType::External,
                ..PortParameters::default()
            };
            let port = switch.create_port(parameters).map_err(refused)?;
            let nic = NicParameters {
                name: "SR-IOV adapter".into(),
                kind: NicType::External,
                ..NicParameters::default()
            };
            switch.create_nic(port, nic).map_err(refused)?;
            switch.connect_nic(port).map_err(refused)?;
        }
        self.switches.push(switch);
        Ok(())
    }

    fn add_nic(
        &mut self,
        number: u32,
        switch: usize,
        kind: PortType,
        policy: PortPolicy,
        nic: NicParameters,
    ) -> Result<(), ConnectError> {
        let vswitch = &mut self.switches[switch];
        let (name, switch_name) = (nic.name.clone(), vswitch.parameters().name.clone());
        let refused = |source| ConnectError { adapter: name.clone(), switch: switch_name.clone(), source };
        let parameters = PortParameters { name: name.clone(), kind, ..PortParameters::default() };
        let port = vswitch.create_port(parameters).map_err(refused)?;
        vswitch.set_policy(port, policy).map_err(refused)?;
        vswitch.create_nic(port, nic).map_err(refused)?;
        self.nics.insert(number, Nic { name, switch, port, counters: Arc::default(), attended: false });
        Ok(())
    }

    /// Makes NIC number `number` for an adapter of a VM, on switch number `switch`. It is connected when its VMM is there.
    pub(crate) fn add_vm_nic(
        &mut self,
        number: u32,
        switch: usize,
        member: &Member,
    ) -> Result<(), ConnectError> {
        let nic = NicParameters {
            name: member.full_name(),
            partition: member.vm.to_string(),
            kind: NicType::Synthetic,
            permanent_mac: member.spec.mac.0,
            mtu: member.spec.mtu.map_or(1500, |mtu| mtu.0.into()),
            ..NicParameters::default()
        };
        self.add_nic(number, switch, PortType::Synthetic, member.spec.policy(), nic)
    }

    /// Takes NIC number `number` away, with its port.
    pub(crate) fn remove_nic(&mut self, number: u32) {
        let Some(Nic { switch, port, name, .. }) = self.nics.remove(&number) else { return };
        let vswitch = &mut self.switches[switch];
        // Only a NIC that was disconnected can be deleted, so one that never was connected is, unseen, for an instant.
        let _ = vswitch.connect_nic(port);
        let _ = vswitch.disconnect_nic(port);
        let removed = vswitch
            .delete_nic(port)
            .and_then(|()| vswitch.tear_down_port(port))
            .and_then(|()| vswitch.delete_port(port));
        if let Err(error) = removed {
            tracing::error!(nic = name, %error, "a port cannot be removed");
        }
    }

    fn connect(&mut self, nic: u32) {
        let Nic { switch, port, .. } = self.nics[&nic];
        // Refused if it is connected already.
        let _ = self.switches[switch].connect_nic(port);
    }

    /// NDIS ends a disconnected NIC: for the next VMM there is a new one. One with a VF stays, for its guest is there.
    fn disconnect(&mut self, nic: u32) {
        let Nic { switch, port, .. } = self.nics[&nic];
        let vswitch = &mut self.switches[switch];
        let Some(old) = vswitch.port(port).and_then(|port| port.nic()) else { return };
        let parameters = old.parameters().clone();
        if old.state() != NicState::Connected || parameters.vf != VfPath::None {
            return;
        }
        // None can be refused: the NIC is connected, and nobody holds a reference.
        let renewed = vswitch
            .disconnect_nic(port)
            .and_then(|()| vswitch.delete_nic(port))
            .and_then(|()| vswitch.create_nic(port, parameters));
        if let Err(error) = renewed {
            tracing::error!(%error, "a NIC cannot be connected again");
        }
    }

    /// Says where the frames of a NIC's guest go while it has a VF.
    pub(crate) fn set_vf(&mut self, nic: u32, vf: VfPath) -> Result<(), SwitchError> {
        if vf != VfPath::None {
            self.connect(nic);
        }
        let Nic { switch, port, attended, .. } = self.nics[&nic];
        let changes = NicChanges { vf: Some(vf), ..NicChanges::default() };
        self.switches[switch].update_nic(port, changes)?;
        // While it had a VF its guest was there; now its front end says so.
        if vf == VfPath::None && !attended {
            self.disconnect(nic);
        }
        Ok(())
    }

    /// The policies of the port of NIC number `nic`.
    pub(crate) fn policy(&self, nic: u32) -> PortPolicy {
        let Nic { switch, port, .. } = self.nics[&nic];
        self.switches[switch].port(port).map(|port| port.policy().clone()).unwrap_or_default()
    }

    pub(crate) fn set_policy(&mut self, nic: u32, policy: PortPolicy) -> Result<(), SwitchError> {
        let Nic { switch, port, .. } = self.nics[&nic];
        self.switches[switch].set_policy(port, policy)
    }

    /// Why NIC number `nic` must not have a VF.
    pub(crate) fn forbids_vf(&self, nic: u32) -> Option<RemovalReason> {
        let Nic { switch, port, .. } = self.nics[&nic];
        self.switches[switch].policy_needs_removal_of_vf(port)
    }

    /// What the NIC switch delivers to `vport` goes straight to NIC number `nic`.
    pub(crate) fn lead(&mut self, vport: VPortId, nic: u32) {
        self.queues.insert(vport, nic);
    }

    /// Undoes [`Inner::lead`].
    pub(crate) fn stop_leading(&mut self, vport: VPortId) {
        self.queues.remove(&vport);
    }

    /// The NIC behind a VPort of the PF or a VM queue.
    pub(crate) fn behind(&self, vport: VPortId) -> Option<&Nic> {
        self.nics.get(&self.number_behind(vport)?)
    }

    /// Its number.
    pub(crate) fn number_behind(&self, vport: VPortId) -> Option<u32> {
        self.queues.get(&vport).copied()
    }

    /// The address that a NIC has now.
    pub(crate) fn current_mac(&self, nic: u32) -> Option<MacAddr> {
        let Nic { switch, port, .. } = self.nics[&nic];
        let port = self.switches[switch].port(port)?;
        Some(port.nic()?.parameters().current_mac(&port.policy().security))
    }

    /// What frames are decided by on switch number `switch`.
    pub(crate) fn path(&self, switch: usize) -> Arc<Path> {
        Arc::clone(&self.paths[switch])
    }

    /// Makes the paths of the switches that have changed.
    fn compile(&mut self) {
        for (number, switch) in self.switches.iter().enumerate() {
            match self.paths.get_mut(number) {
                Some(path) if path.generation() == switch.generation() => {}
                Some(path) => *path = Arc::new(switch.snapshot()),
                None => self.paths.push(Arc::new(switch.snapshot())),
            }
        }
    }

    fn snapshot(&self) -> Arc<Switches> {
        let mut switches = Switches::new(self.extent, self.paths.iter().cloned());
        for (&number, nic) in &self.nics {
            switches.connect(number, nic.switch, nic.port);
        }
        for (vport, nic) in &self.queues {
            switches.lead(*vport, *nic);
        }
        Arc::new(switches)
    }
}
