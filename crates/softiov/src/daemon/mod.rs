//! The daemon: the adapter, the VMs on it, and the data path that serves them.
//!
//! | file | concern |
//! |---|---|
//! | `assembly` | the adapter that the configuration describes |
//! | `stack` | who gets a VF |
//! | `adapter` | the adapter as OID requests and mailboxes reach it |
//! | `data_path`, `bus`, `vf`, `signal` | what moves frames and serves VMMs |
//! | `fd_store` | what outlives the data path |
//! | `limits`, `pace`, `rate_limit`, `peer_log` | what a peer may take |
//! | `topology` | what there is to show |

mod adapter;
mod assembly;
mod bus;
mod data_path;
mod error;
mod fd_store;
mod limits;
mod pace;
mod peer_log;
mod rate_limit;
mod runtime_dir;
mod signal;
mod stack;
mod topology;
mod vf;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use miniport::{Action, OidRequest};
use nic_switch::VfId;
use vf82599::VfState;

use self::adapter::{AdapterService, OPERATOR, RSS_KEY};
use self::bus::Order;
use self::data_path::DataPath;
use self::fd_store::{FdStore, LocalStore};
use self::limits::Share;
use self::stack::Placement;
use self::vf::VfSpec;
use crate::config::Config;
use crate::view::OidView;

pub(crate) use self::error::DaemonError;
pub(crate) use self::runtime_dir::RuntimeDir;

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    config: Config,
    adapter: Arc<AdapterService>,
    store: Arc<dyn FdStore>,
    share: Share,
    changing: Mutex<Changing>,
}

/// What does not stay as it was at the start.
#[derive(Debug)]
struct Changing {
    placements: Vec<Placement>,
    /// None while it is being rebuilt, and if that failed.
    data_path: Option<DataPath>,
}

impl Daemon {
    /// Starts the adapter and offers the VFs that `config` asks for. If that fails nothing is left behind.
    pub(crate) fn start(config: Config) -> Result<Self, DaemonError> {
        let total_vfs = config.adapter.total_vfs.0;
        let fds = limits::raise_fd_limit();
        let states: Vec<VfState> =
            (0..total_vfs).map(|n| VfState::create(&format!("softiov-vf{n}"))).collect::<Result<_, _>>()?;
        let adapter = assembly::make_adapter(&config, &states)?;
        let adapter = Arc::new(AdapterService::new(adapter, random_key()?));
        adapter.set_link(true);
        let placements = stack::place(&config, &adapter)?;
        let offered = placements.iter().filter(|placement| placement.vf.is_ok()).count();
        let share = Share::new(offered, total_vfs, fds)?;
        let store: Arc<dyn FdStore> = Arc::new(LocalStore::default());
        let data_path = DataPath::start(&config, &adapter, &store, share, &[])?;
        for placement in &placements {
            let Ok(spec) = &placement.vf else { continue };
            let path = config.socket_path(&placement.vm, &placement.name);
            let state = states[usize::from(spec.vf.0)].clone();
            data_path.bus.order(Order::Offer { spec: Box::new(spec.clone()), state, path })?;
        }
        let changing = Mutex::new(Changing { placements, data_path: Some(data_path) });
        Ok(Self { config, adapter, store, share, changing })
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the data path and builds it anew from the fd store and the state pages. VMMs and guests notice a pause.
    pub(crate) fn rebuild(&self) -> Result<(), DaemonError> {
        let mut changing = self.lock();
        self.adapter.publish_to(None);
        if let Some(data_path) = changing.data_path.take() {
            data_path.leave();
        }
        let specs: Vec<VfSpec> = changing.specs().cloned().collect();
        let data_path = DataPath::start(&self.config, &self.adapter, &self.store, self.share, &specs)?;
        changing.data_path = Some(data_path);
        Ok(())
    }

    /// Answers an OID request of an operator.
    pub(crate) fn oid(&self, request: OidRequest) -> Result<OidView, DaemonError> {
        let mut changing = self.lock();
        if changing.data_path.is_none() {
            return Err(DaemonError::NoDataPath);
        }
        let (response, actions) = self.adapter.raw_request(OPERATOR, request.into());
        // A request is not answered before what it asks of the data path is done.
        actions.iter().try_for_each(|action| changing.execute(action))?;
        let payload = serde_json::to_value(&response.payload).unwrap_or_default();
        let reason = response.refusal.map(|refusal| refusal.to_string());
        Ok(OidView { status: response.status.to_string(), reason, payload })
    }

    /// Records OID requests into a new file, or stops doing so.
    pub(crate) fn trace(&self, path: Option<&Path>) -> Result<(), DaemonError> {
        let file = path.map(|path| {
            File::create_new(path).map_err(|source| DaemonError::Trace { path: path.to_owned(), source })
        });
        self.adapter.set_trace(file.transpose()?);
        Ok(())
    }

    /// Config space of the PF or of a VF, as `lspci -F` reads it.
    pub(crate) fn pci_dump(&self, vf: Option<u16>) -> Result<String, DaemonError> {
        self.adapter.with(|adapter| {
            let function = adapter.function();
            let num_vfs = function.num_vfs();
            let (rid, name) = match vf {
                None => (function.rid(), "Ethernet controller: softiov physical function".to_owned()),
                Some(number) => {
                    let virtual_function = function.virtual_function(number);
                    let rid = virtual_function.map_err(|_| DaemonError::NoSuchVf { number, num_vfs })?.rid();
                    (rid, format!("Ethernet controller: softiov virtual function {number}"))
                }
            };
            let mut bytes = vec![0; pcie::CONFIG_SPACE_SIZE];
            function.config_read_bytes(rid, 0, &mut bytes)?;
            Ok(pcie::lspci_dump(rid, &name, &bytes))
        })
    }

    /// The arguments that attach a QEMU guest to the VFs of a VM.
    pub(crate) fn qemu_args(&self, vm: &str) -> Result<Vec<String>, DaemonError> {
        if !self.config.vms.iter().any(|v| v.name.0 == vm) {
            let known = self.config.vms.iter().map(|vm| vm.name.0.clone()).collect();
            return Err(DaemonError::NoSuchVm { name: vm.to_owned(), known });
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
        let changing = self.lock();
        let with_vf = changing.placements.iter().filter(|p| p.vm.0 == vm && p.vf.is_ok());
        for (number, placement) in (1..).zip(with_vf) {
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
}

impl Changing {
    /// Does what an OID request asks for.
    fn execute(&mut self, action: &Action) -> Result<(), DaemonError> {
        self.data_path.as_ref().ok_or(DaemonError::NoDataPath)?.execute(action)?;
        if let Action::DetachVf { vf, .. } | Action::WithdrawVf { vf, .. } = action {
            stack::withdrawn(&mut self.placements, *vf);
        }
        Ok(())
    }

    /// The VFs that were given.
    fn specs(&self) -> impl Iterator<Item = &VfSpec> {
        self.placements.iter().filter_map(|placement| placement.vf.as_ref().ok())
    }

    fn spec(&self, vf: VfId) -> Option<&VfSpec> {
        self.specs().find(|spec| spec.vf == vf)
    }
}

fn random_key() -> io::Result<[u8; RSS_KEY]> {
    let mut key = [0; RSS_KEY];
    let got = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())?;
    if got < key.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(key) }
}

/// OID requests as an operator types them.
pub(crate) fn parse_oid(json: serde_json::Value) -> Result<OidRequest, DaemonError> {
    serde_json::from_value(json).map_err(DaemonError::NoSuchRequest)
}

#[cfg(test)]
mod tests;
