//! The daemon: the adapter, the VMs on it, and the data path that serves them.

mod adapter;
mod bus;
mod fd_store;
mod rate_limit;
mod signal;
mod stack;
mod vf;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::{Dataplane, PollMode};
use miniport::{Action, Adapter, AdapterConfig, Keywords, OidRequest, Request, SwitchCreation};
use nic_switch::{Capabilities, NicSwitch, SwitchParameters, VfId};
use pcie::{PfProfile, PfStorage, PhysicalFunction, Rid};
use vf82599::{Profile, VfState};

use self::adapter::{AdapterService, OPERATOR, RSS_KEY};
use self::bus::{Bus, BusError, Order};
use self::fd_store::{FdStore, LocalStore};
use self::signal::Alarm;
use self::stack::{Placement, StackError};
use self::vf::{Surroundings, VfSpec};
use crate::config::{Config, Poll, VfModel};
use crate::view::{
    AdapterView, FilterView, OidView, TopologyView, TrafficView, VPortView, VfView, VmAdapterView, VmView,
    WorkerView,
};

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    #[error("cannot make the state pages of the VFs")]
    Pages(#[from] sys::PagesError),
    #[error("cannot make the physical function")]
    Function(#[from] pcie::PfError),
    #[error("cannot start the adapter")]
    Adapter(#[from] miniport::InitializeError),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Worker(#[from] dataplane::StartError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Os(#[from] io::Error),
    #[error("the folder {} of the sockets is missing: create it, or name another as daemon.runtime_dir", .0.display())]
    RuntimeDir(PathBuf),
    #[error("{what} {name:?} is unknown; there {are}", are = list(.known))]
    Unknown { what: &'static str, name: String, known: Vec<String> },
    #[error("{0}")]
    BadRequest(String),
}

fn list(known: &[String]) -> String {
    match known {
        [] => "are none".to_owned(),
        [one] => format!("is only {one}"),
        several => format!("are {}", several.join(", ")),
    }
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    config: Config,
    adapter: Arc<AdapterService>,
    placements: Vec<Placement>,
    store: Arc<dyn FdStore>,
    /// None only while it is being rebuilt.
    data_path: Mutex<Option<DataPath>>,
}

/// What moves frames and serves VMMs; it can be dropped and made anew from the fd store.
#[derive(Debug)]
struct DataPath {
    // Dropped in this order: the bus uses the worker.
    bus: Bus,
    worker: Dataplane,
}

impl Daemon {
    /// Starts the adapter and offers the VFs that `config` asks for.
    pub(crate) fn start(config: Config) -> Result<Self, DaemonError> {
        if !config.daemon.runtime_dir.is_dir() {
            return Err(DaemonError::RuntimeDir(config.daemon.runtime_dir));
        }
        let total_vfs = config.adapter.total_vfs.0;
        let states: Vec<VfState> =
            (0..total_vfs).map(|n| VfState::create(&format!("softiov-vf{n}"))).collect::<Result<_, _>>()?;
        let adapter = Arc::new(AdapterService::new(make_adapter(&config, &states)?, random_key()?));
        adapter.set_link(true);
        let placements = stack::place(&config, &adapter)?;
        let store: Arc<dyn FdStore> = Arc::new(LocalStore::default());
        let data_path = DataPath::start(&config, &adapter, &store, &[])?;
        for placement in &placements {
            let Ok(spec) = &placement.vf else { continue };
            let path = config.socket_path(&placement.vm, &placement.name);
            let state = states[usize::from(spec.vf.0)].clone();
            data_path.bus.order(Order::Offer { spec: Box::new(spec.clone()), state, path })?;
        }
        Ok(Self { config, adapter, placements, store, data_path: Mutex::new(Some(data_path)) })
    }

    fn lock(&self) -> MutexGuard<'_, Option<DataPath>> {
        self.data_path.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the data path and builds it anew from the fd store and the state pages. VMMs and guests notice a pause.
    pub(crate) fn rebuild(&self) -> Result<(), DaemonError> {
        let mut data_path = self.lock();
        self.adapter.publish_to(None);
        if let Some(DataPath { bus, worker }) = data_path.take() {
            bus.leave();
            drop(worker);
        }
        let specs: Vec<VfSpec> = self.placements.iter().filter_map(|p| p.vf.as_ref().ok().cloned()).collect();
        *data_path = Some(DataPath::start(&self.config, &self.adapter, &self.store, &specs)?);
        Ok(())
    }

    /// Answers an OID request of an operator.
    pub(crate) fn oid(&self, request: Request) -> Result<OidView, DaemonError> {
        let data_path = self.lock();
        let (response, actions) = self.adapter.raw_request(OPERATOR, request);
        if let Some(data_path) = &*data_path {
            actions.into_iter().try_for_each(|action| data_path.execute(action))?;
        }
        let payload = serde_json::to_value(&response.payload).unwrap_or_default();
        let reason = response.refusal.map(|refusal| refusal.to_string());
        Ok(OidView { status: response.status.to_string(), reason, payload })
    }

    /// Records OID requests into a new file, or stops doing so.
    pub(crate) fn trace(&self, path: Option<&Path>) -> Result<(), DaemonError> {
        Ok(self.adapter.set_trace(path)?)
    }

    /// Config space of the PF or of a VF, as `lspci -F` reads it.
    pub(crate) fn pci_dump(&self, vf: Option<u16>) -> Result<String, DaemonError> {
        self.adapter.with(|adapter| {
            let function = adapter.function();
            let num_vfs = function.num_vfs();
            let (rid, name) = match vf {
                None => (function.rid(), "Ethernet controller: softiov physical function".to_owned()),
                Some(number) => {
                    let rid =
                        function.virtual_function(number).map(pcie::VirtualFunction::rid).map_err(|_| {
                            let known = vec![format!("VFs 0 to {}", num_vfs - 1)];
                            DaemonError::Unknown { what: "VF", name: number.to_string(), known }
                        })?;
                    (rid, format!("Ethernet controller: softiov virtual function {number}"))
                }
            };
            let mut bytes = vec![0; pcie::CONFIG_SPACE_SIZE];
            let read = function.config_read_bytes(rid, 0, &mut bytes);
            read.map_err(|error| DaemonError::BadRequest(error.to_string()))?;
            Ok(pcie::lspci_dump(rid, &name, &bytes))
        })
    }

    /// The arguments that attach a QEMU guest to the VFs of a VM.
    pub(crate) fn qemu_args(&self, vm: &str) -> Result<Vec<String>, DaemonError> {
        let known = || self.config.vms.iter().map(|vm| vm.name.0.clone()).collect();
        if !self.config.vms.iter().any(|v| v.name.0 == vm) {
            return Err(DaemonError::Unknown { what: "VM", name: vm.to_owned(), known: known() });
        }
        let mut args: Vec<String> = [
            "-machine",
            "q35,memory-backend=mem",
            "-object",
            "memory-backend-memfd,id=mem,size=512M,share=on",
            "-m",
            "512M",
        ]
        .map(str::to_owned)
        .into();
        for (slot, placement) in self.placements.iter().filter(|p| p.vm.0 == vm).enumerate() {
            if placement.vf.is_err() {
                continue;
            }
            let number = slot + 1;
            let device = serde_json::json!({
                "driver": "vfio-user-pci",
                "id": placement.name.0,
                "bus": format!("softiov{number}"),
                "socket": { "type": "unix", "path": self.config.socket_path(&placement.vm, &placement.name) },
            });
            args.extend([
                "-device".to_owned(),
                format!("pcie-root-port,id=softiov{number},chassis={number},slot={number}"),
                "-device".to_owned(),
                device.to_string(),
            ]);
        }
        Ok(args)
    }

    /// Everything there is to show.
    pub(crate) fn topology(&self) -> Result<TopologyView, DaemonError> {
        let data_path = self.lock();
        let (mut devices, worker) = match &*data_path {
            Some(path) => (path.bus.inspect()?, path.worker.handle().statistics()),
            None => Default::default(),
        };
        drop(data_path);
        let spec_of =
            |vf: VfId| self.placements.iter().filter_map(|p| p.vf.as_ref().ok()).find(|s| s.vf == vf);
        let (adapter, vfs, vports) = self.adapter.with(|adapter| {
            let function = adapter.function();
            let switch = adapter.switch();
            let vfs = switch.into_iter().flat_map(NicSwitch::vfs).map(|vf| {
                let parameters = vf.parameters();
                VfView {
                    function_id: vf.id().0,
                    requester_id: function
                        .vf_rid(vf.id().0)
                        .map_or_else(|e| e.to_string(), |rid| rid.to_string()),
                    vm: parameters.vm_name.clone(),
                    nic: parameters.nic_name.clone(),
                    permanent_mac: parameters.permanent_mac,
                    current_mac: parameters.current_mac,
                    vport_id: switch.and_then(|s| s.vport_of_vf(vf.id())).map(|vport| vport.id().0),
                    model: model_name(self.config.adapter.vf_model).to_owned(),
                    device: devices.remove(&vf.id().0),
                }
            });
            let vfs: Vec<VfView> = vfs.collect();
            let vports =
                switch.into_iter().flat_map(|s| s.vports().map(move |vport| vport_view(s, vport, &spec_of)));
            (adapter_view(adapter), vfs, vports.collect())
        });
        let worker = WorkerView {
            frames: worker.frames,
            bursts: worker.bursts,
            busy_cycles: worker.busy_cycles,
            sleeps: worker.sleeps,
        };
        Ok(TopologyView { adapter, worker, vfs, vports, vms: self.vm_views() })
    }

    fn vm_views(&self) -> Vec<VmView> {
        let adapters = |vm: &str| {
            let own = self.placements.iter().filter(|p| p.vm.0 == vm);
            own.map(|placement| VmAdapterView {
                name: placement.name.0.clone(),
                mac: placement.config.mac.0,
                vlan: match (placement.config.vlan, &placement.config.trunk) {
                    (Some(vlan), _) => format!("access {}", vlan.0),
                    (None, Some(_)) => "trunk".to_owned(),
                    (None, None) => "untagged".to_owned(),
                },
                iov_weight: placement.config.iov_weight.0,
                vf: placement.vf.as_ref().ok().map(|spec| spec.vf.0),
                socket: placement.vf.is_ok().then(|| self.config.socket_path(&placement.vm, &placement.name)),
                no_vf: placement.vf.as_ref().err().cloned(),
            })
            .collect()
        };
        self.config
            .vms
            .iter()
            .map(|vm| VmView { name: vm.name.0.clone(), adapters: adapters(&vm.name.0) })
            .collect()
    }
}

impl DataPath {
    fn start(
        config: &Config,
        adapter: &Arc<AdapterService>,
        store: &Arc<dyn FdStore>,
        rebuild: &[VfSpec],
    ) -> Result<Self, DaemonError> {
        let poll = match config.daemon.poll {
            Poll::Adaptive => PollMode::Adaptive,
            Poll::Busy => PollMode::Busy,
            Poll::Interrupt => PollMode::Interrupt,
        };
        let worker = dataplane::Config { cpu: config.daemon.cpu, poll };
        let forwarding = adapter.with(Adapter::forwarding);
        let forwarding =
            forwarding.ok_or_else(|| DaemonError::BadRequest("the adapter has no NIC switch".into()))?;
        let worker = Dataplane::start(worker, &capabilities(config), forwarding)?;
        adapter.publish_to(Some(worker.handle()));
        let around = Surroundings {
            adapter: Arc::clone(adapter),
            dataplane: worker.handle(),
            store: Arc::clone(store),
            alarm: Alarm::new()?,
        };
        Ok(Self { bus: Bus::start(around, rebuild)?, worker })
    }

    /// Does what an OID request asks of the data path.
    fn execute(&self, action: Action) -> Result<(), DaemonError> {
        let order = match action {
            Action::ResetVf { vf, .. } => Order::Reset(vf),
            Action::WithdrawVf { vf, .. } | Action::DetachVf { vf, .. } => Order::Withdraw(vf),
            Action::VfConfigSpaceWritten { vf, effects, .. } => Order::ConfigChanged(vf, effects.to_vec()),
            Action::LinkChanged { vf, up, .. } => Order::SetLink(vf, up),
            _ => return Ok(()),
        };
        Ok(self.bus.order(order)?)
    }
}

fn make_adapter(config: &Config, states: &[VfState]) -> Result<Adapter, DaemonError> {
    let profile = match config.adapter.vf_model {
        VfModel::X550 => Profile::X550,
        VfModel::I82599 => Profile::I82599,
    };
    let profile = PfProfile::x550(config.adapter.total_vfs.0, profile.function());
    let storage = PfStorage {
        physical: sys::Words::heap(pcie::ConfigSpace::WORDS),
        virtuals: states.iter().map(VfState::config_words).collect(),
    };
    let rid = Rid::new(1, 0, 0).ok_or_else(|| DaemonError::BadRequest("no PCI function 01:00.0".into()))?;
    let function = PhysicalFunction::create(rid, &profile, storage)?;
    let adapter = AdapterConfig {
        keywords: Keywords::default(),
        capabilities: capabilities(config),
        switch: SwitchParameters {
            num_vfs: config.num_vfs(),
            queue_pairs_for_default_vport: 1,
            name: "Default Switch".to_owned(),
        },
        creation: SwitchCreation::Dynamic,
        physical_port: false,
        luid: 1,
    };
    Ok(Adapter::initialize(adapter, function)?.0)
}

/// What the NIC switch of such an adapter can do: enough of everything for each VF to have all it may ask for.
fn capabilities(config: &Config) -> Capabilities {
    let vfs = u32::from(config.adapter.total_vfs.0);
    let vports = 1 + vfs + config.adapter.pf_vports;
    Capabilities {
        max_vfs: config.adapter.total_vfs.0,
        max_vports: vports,
        max_queue_pairs: 8 * vports,
        max_queue_pairs_per_nondefault_vport: 8,
        max_queue_pairs_for_default_vport: 8,
        max_mac_addresses: 16 * vports,
        max_filters: 64 * vports,
        vlan_supported: true,
        per_vport_interrupt_moderation: true,
        asymmetric_queue_pairs: true,
        vf_rss: true,
        single_vport_pool: config.adapter.single_vport_pool,
    }
}

fn random_key() -> io::Result<[u8; RSS_KEY]> {
    let mut key = [0; RSS_KEY];
    let got = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())?;
    if got < key.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(key) }
}

fn model_name(model: VfModel) -> &'static str {
    match model {
        VfModel::X550 => "x550",
        VfModel::I82599 => "82599",
    }
}

fn adapter_view(adapter: &Adapter) -> AdapterView {
    let function = adapter.function();
    let info = adapter.switch().map(NicSwitch::info);
    AdapterView {
        pf: function.rid().to_string(),
        mode: format!("{:?}", adapter.mode()),
        link_up: true,
        switch_name: adapter.switch().map_or_else(String::new, |s| s.name().to_owned()),
        total_vfs: function.sriov().total_vfs,
        num_vfs: function.num_vfs(),
        num_allocated_vfs: info.map_or(0, |i| i.num_allocated_vfs),
        num_vports: info.map_or(0, |i| i.num_vports),
        num_active_vports: info.map_or(0, |i| i.num_active_vports),
        num_queue_pairs_for_default_vport: info.map_or(0, |i| i.num_queue_pairs_for_default_vport),
        num_queue_pairs_for_nondefault_vports: info.map_or(0, |i| i.num_queue_pairs_for_nondefault_vports),
        num_nondefault_vport_macs: info.map_or(0, |i| i.num_nondefault_vport_macs),
    }
}

fn vport_view<'s>(
    switch: &NicSwitch,
    vport: &nic_switch::VPort,
    spec_of: &impl Fn(VfId) -> Option<&'s VfSpec>,
) -> VPortView {
    use nic_switch::{FunctionId, VlanTest};
    let (function_id, spec) = match vport.function() {
        FunctionId::Pf => ("PF".to_owned(), None),
        FunctionId::Vf(vf) => (vf.0.to_string(), spec_of(vf)),
    };
    let statistics = spec.map(|spec| spec.counters.read()).unwrap_or_default();
    let filters = switch.filters_on(vport.id()).map(|filter| FilterView {
        filter_id: filter.id().0,
        vport_id: vport.id().0,
        mac: filter.test().mac,
        vlan: match filter.test().vlan {
            VlanTest::Any => "any".to_owned(),
            VlanTest::UntaggedOrZero => "untagged".to_owned(),
            VlanTest::Id(id) => id.to_string(),
        },
    });
    VPortView {
        vport_id: vport.id().0,
        name: vport.name().to_owned(),
        function_id,
        num_queue_pairs: vport.queue_pairs(),
        interrupt_moderation: format!("{:?}", vport.interrupt_moderation()),
        state: format!("{:?}", vport.state()),
        filters: filters.collect(),
        sent: traffic(statistics.sent),
        received: traffic(statistics.received),
        held: statistics.held,
        drops: statistics.drops.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
    }
}

fn traffic(traffic: dataplane::Traffic) -> TrafficView {
    let dataplane::Traffic { frames, octets, multicast, broadcast } = traffic;
    TrafficView { frames, octets, multicast, broadcast }
}

/// OID requests as an operator types them.
pub(crate) fn parse_oid(json: serde_json::Value) -> Result<OidRequest, DaemonError> {
    serde_json::from_value(json).map_err(|error| {
        DaemonError::BadRequest(format!(
            "{error}; an OID request is written as in \"EnumVfs\" or {{\"ResetVf\":0}}"
        ))
    })
}
