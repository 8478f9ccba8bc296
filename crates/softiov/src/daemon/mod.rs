//! The daemon: the adapter, the VMs on it, and the data path that serves them.
//!
//! | file | concern |
//! |---|---|
//! | `assembly` | the adapter that the configuration describes |
//! | `stack` | who gets a VF, and who a VM queue |
//! | `switchboard` | the extensible switches, and who is on them |
//! | `netvsp` | the synthetic adapters of VMs |
//! | `outside` | the physical port, and the host's own adapters |
//! | `adapter` | the adapter as OID requests and mailboxes reach it |
//! | `data_path`, `bus`, `vf`, `signal` | what moves frames and serves VMMs |
//! | `fd_store` | what outlives the data path |
//! | `limits`, `pace`, `rate_limit`, `peer_log`, `containment` | what a peer may take, and break |
//! | `topology` | what there is to show |
//! | `policy` | what an operator changes on ports |
//! | `capture`, `trace` | frames that are looked at, and frames that are only described |
//! | `lookup` | what users call things |

mod adapter;
mod assembly;
mod bus;
mod capture;
mod containment;
mod data_path;
mod error;
mod fd_store;
mod limits;
mod lookup;
mod netvsp;
mod outside;
mod pace;
mod peer_log;
mod policy;
mod rate_limit;
mod runtime_dir;
mod signal;
mod stack;
mod switchboard;
mod topology;
mod trace;
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
use self::capture::Captures;
use self::data_path::{DataPath, Parts};
use self::fd_store::LocalStore;
use self::limits::{Demand, Share};
use self::outside::Outside;
use self::stack::Placement;
use self::switchboard::Switchboard;
use self::vf::VfSpec;
use crate::config::{Config, VhostUser};
use crate::view::OidView;

pub(crate) use self::containment::limit_panic_messages;
pub(crate) use self::error::DaemonError;
pub(crate) use self::runtime_dir::RuntimeDir;

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    config: Config,
    parts: Parts,
    changing: Mutex<Changing>,
    captures: Arc<Captures>,
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
        let seed = random_number()?;
        let switchboard = Arc::new(Switchboard::new(&config, assembly::extent(&config), seed)?);
        let outside = Arc::new(Outside::open(&config, &switchboard)?);
        adapter.set_link(outside.is_running());
        let placements = stack::place(&config, &adapter, &switchboard)?;
        let offered = placements.iter().filter(|placement| placement.vf.is_ok()).count();
        let demand = Demand {
            total_vfs,
            offered,
            synthetic: placements.len(),
            queue_pairs: placements.iter().map(|placement| usize::from(placement.config.queue_pairs.0)).sum(),
        };
        let share = Share::new(demand, fds)?;
        let parts = Parts {
            adapter,
            switchboard,
            outside,
            store: Arc::new(LocalStore::default()),
            share,
            default_vport: Arc::default(),
            seed,
        };
        let data_path = DataPath::start(&config, &parts, &placements, &[])?;
        for placement in &placements {
            let Ok(spec) = &placement.vf else { continue };
            let path = config.socket_path(&placement.vm, &placement.name);
            let state = states[usize::from(spec.vf.0)].clone();
            data_path.bus.order(Order::Offer { spec: Box::new(spec.clone()), state, path })?;
        }
        let changing = Mutex::new(Changing { placements, data_path: Some(data_path) });
        Ok(Self { config, parts, changing, captures: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the data path and builds it anew from the fd store and the state pages. VMMs and guests notice a pause.
    pub(crate) fn rebuild(&self) -> Result<(), DaemonError> {
        let mut changing = self.lock();
        self.parts.adapter.publish_to(None);
        self.parts.switchboard.publish_to(None);
        if let Some(data_path) = changing.data_path.take() {
            data_path.leave();
        }
        let specs: Vec<VfSpec> = changing.specs().cloned().collect();
        let data_path = DataPath::start(&self.config, &self.parts, &changing.placements, &specs)?;
        changing.data_path = Some(data_path);
        Ok(())
    }

    /// Answers an OID request of an operator.
    pub(crate) fn oid(&self, request: OidRequest) -> Result<OidView, DaemonError> {
        let mut changing = self.lock();
        if changing.data_path.is_none() {
            return Err(DaemonError::NoDataPath);
        }
        let (response, actions) = self.parts.adapter.raw_request(OPERATOR, request.into());
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
        self.parts.adapter.set_trace(file.transpose()?);
        Ok(())
    }

    /// Config space of the PF or of a VF, as `lspci -F` reads it.
    pub(crate) fn pci_dump(&self, vf: Option<u16>) -> Result<String, DaemonError> {
        self.parts.adapter.with(|adapter| {
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
        for (number, placement) in (1..).zip(changing.placements.iter().filter(|p| p.vm.0 == vm)) {
            args.extend([
                "-device".to_owned(),
                format!("pcie-root-port,id=softiov{number},chassis={number},slot={number}"),
            ]);
            args.extend(match placement.vf {
                Ok(_) => self.vf_args(placement, number),
                Err(_) => self.synthetic_args(placement, number),
            });
        }
        Ok(args)
    }

    /// The arguments for the VF of an adapter behind root port number `number`.
    fn vf_args(&self, placement: &Placement, number: usize) -> Vec<String> {
        let device = serde_json::json!({
            "driver": "vfio-user-pci",
            "id": placement.name.0,
            "bus": format!("softiov{number}"),
            "socket": { "type": "unix", "path": self.config.socket_path(&placement.vm, &placement.name) },
        });
        vec!["-device".to_owned(), device.to_string()]
    }

    /// The arguments for a synthetic adapter behind root port number `number`.
    fn synthetic_args(&self, placement: &Placement, number: usize) -> Vec<String> {
        let Placement { vm, name, config, .. } = placement;
        let path = self.config.vhost_user_path(vm, name);
        let role = match config.vhost_user {
            VhostUser::Server => "reconnect-ms=500",
            VhostUser::Client => "server=on",
        };
        let pairs = config.queue_pairs.0;
        let mut device =
            format!("virtio-net-pci,netdev={name},id={name}-net,bus=softiov{number},mac={}", config.mac.0);
        if pairs > 1 {
            // One vector for each ring, one for changes of the configuration, one for the control queue.
            device += &format!(",mq=on,vectors={}", 2 * pairs + 2);
        }
        if let Some(mtu) = config.mtu {
            device += &format!(",host_mtu={}", mtu.0);
        }
        [
            "-chardev".to_owned(),
            format!("socket,id={name}-char,path={},{role}", path.display()),
            "-netdev".to_owned(),
            format!("vhost-user,id={name},chardev={name}-char,queues={pairs}"),
            "-device".to_owned(),
            device,
        ]
        .into()
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

    /// The VM's adapter whose NIC has the number `nic`.
    fn placement(&self, nic: u32) -> Option<&Placement> {
        self.placements.iter().find(|placement| placement.nic == nic)
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

fn random_number() -> io::Result<u64> {
    let key = random_key()?;
    Ok(key.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// OID requests as an operator types them.
pub(crate) fn parse_oid(json: serde_json::Value) -> Result<OidRequest, DaemonError> {
    serde_json::from_value(json).map_err(DaemonError::NoSuchRequest)
}

#[cfg(test)]
mod tests;
