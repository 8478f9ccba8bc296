//! The daemon: the adapter, the VMs on it, and the data path that serves them.
//!
//! | file | concern |
//! |---|---|
//! | `assembly` | the adapter that the configuration describes |
//! | `desired` | which VMs there are to be: commands, and the store |
//! | `members` | their network adapters, as they come, change and go |
//! | `virtualization` | what the virtualization stack is told, and what it wants done |
//! | `notices`, `vmms` | how it hears of guests, and of VMMs by QMP |
//! | `vm_queues` | who gets a VM queue |
//! | `switchboard` | the extensible switches, and who is on them |
//! | `netvsp` | the synthetic adapters of VMs |
//! | `outside` | the physical port, and the host's own adapters |
//! | `adapter` | the adapter as OID requests and mailboxes reach it |
//! | `data_path`, `bus`, `vf`, `signal` | what moves frames and serves VMMs |
//! | `fd_store` | what outlives the data path |
//! | `limits`, `pace`, `rate_limit`, `peer_log`, `containment` | what a peer may take, and break |
//! | `service`, `vms`, `plan`, `explain` | what the API asks for |
//! | `topology`, `metrics` | what there is to show |
//! | `events` | what happens, told and counted |
//! | `policy` | what an operator changes on ports |
//! | `qemu` | how a QEMU guest is attached |
//! | `capture`, `trace` | frames that are looked at, and frames that are only described |
//! | `lookup` | what users call things |

mod adapter;
mod assembly;
mod bus;
mod capture;
mod containment;
mod data_path;
mod desired;
mod error;
mod events;
mod explain;
mod fd_store;
mod limits;
mod lookup;
mod members;
mod metrics;
mod netvsp;
mod notices;
mod outside;
mod pace;
mod peer_log;
mod plan;
mod policy;
mod qemu;
mod rate_limit;
mod refusal;
mod runtime_dir;
mod service;
mod signal;
mod switchboard;
mod topology;
mod trace;
mod vf;
mod virtualization;
mod vm_queues;
mod vmms;
mod vms;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use api::types::OidView;
use dataplane::Handle;
use miniport::OidRequest;
use nic_switch::VfId;
use store::Store;
use tokio::runtime;
use vf82599::VfState;
use virt_stack::desired::{AdapterSpec, Name, VmSpec};
use virt_stack::{AdapterId, Settings, Stack, VmId};

use self::adapter::{AdapterService, OPERATOR, RSS_KEY};
use self::capture::Captures;
use self::data_path::{DataPath, Parts};
use self::events::Chronicle;
use self::fd_store::LocalStore;
use self::limits::Share;
use self::members::Member;
use self::notices::NoticeBoard;
use self::outside::Outside;
use self::switchboard::{Switchboard, host_adapters};
use self::vf::VfSpec;
use self::vmms::Vmms;
use crate::config::Config;

pub(crate) use self::containment::limit_panic_messages;
pub(crate) use self::error::DaemonError;
pub(crate) use self::runtime_dir::RuntimeDir;

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    inner: Arc<Core>,
    /// Follows what happens to VFs.
    thread: Option<JoinHandle<()>>,
}

/// What the daemon's threads share.
#[derive(Debug)]
pub(crate) struct Core {
    config: Config,
    parts: Parts,
    /// Of each VF.
    states: Vec<VfState>,
    /// File descriptors that this process may have.
    fds: u64,
    store: Store,
    changing: Mutex<Changing>,
    captures: Arc<Captures>,
    chronicle: Chronicle,
}

/// What requests change, and never two at a time.
#[derive(Debug)]
struct Changing {
    /// Start of the stack's time.
    epoch: Instant,
    stack: Stack,
    /// VMs as they are wanted.
    vms: Vec<VmSpec>,
    vm_ids: BTreeMap<Name, VmId>,
    vmms: Vmms,
    members: BTreeMap<AdapterId, Member>,
    /// The host's adapters, by the numbers of their NICs.
    hosts: BTreeMap<u32, AdapterSpec>,
    /// Adapters have got VFs, or lost them, since VM queues were given.
    queues_are_stale: bool,
    /// VFs that have a VPort and are not offered yet.
    made: BTreeMap<VfId, VfSpec>,
    /// None while it is being rebuilt, and if that failed.
    data_path: Option<DataPath>,
}

impl Deref for Daemon {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.inner
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.inner.parts.notices.end();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Daemon {
    /// Starts the adapter, with the VMs that the store has and those of `config`. If that fails nothing is left behind.
    /// VMMs are driven by tasks on `runtime`.
    pub(crate) fn start(config: Config, runtime: runtime::Handle) -> Result<Self, DaemonError> {
        let store = Store::open(&config.state_file())?;
        let vms = desired::at_start(&config, &store)?;
        let total_vfs = config.adapter.total_vfs.0;
        let fds = limits::raise_fd_limit();
        let share = Share::new(limits::capacity(&config), fds)
            .or_else(|_| Share::new(limits::demand(&config, &vms), fds))?;
        let states: Vec<VfState> =
            (0..total_vfs).map(|n| VfState::create(&format!("softiov-vf{n}"))).collect::<Result<_, _>>()?;
        let adapter = assembly::make_adapter(&config, &states)?;
        let adapter = Arc::new(AdapterService::new(adapter, random_key()?));
        let seed = random_number()?;
        let switchboard = Arc::new(Switchboard::new(&config, assembly::extent(&config), seed)?);
        let outside = Arc::new(Outside::open(&config, &switchboard)?);
        adapter.set_link(outside.is_running());
        assembly::set_host_filters(&config, &adapter)?;
        let notices = Arc::new(NoticeBoard::default());
        let budgets = assembly::budgets(&config);
        let parts = Parts {
            adapter,
            switchboard,
            outside,
            store: Arc::new(LocalStore::default()),
            share,
            notices: Arc::clone(&notices),
            default_vport: Arc::default(),
            seed,
        };
        let data_path = DataPath::start(&config, &parts, &BTreeMap::new(), &[])?;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let generation = u64::try_from(since_1970.as_nanos()).unwrap_or_default();
        let changing = Mutex::new(Changing {
            epoch: Instant::now(),
            stack: Stack::new(Settings::default(), budgets, generation),
            vms: Vec::new(),
            vm_ids: BTreeMap::new(),
            vmms: Vmms::new(runtime, notices),
            members: BTreeMap::new(),
            hosts: (0..).zip(host_adapters(&config)).map(|(nic, (_, host))| (nic, host.spec())).collect(),
            queues_are_stale: false,
            made: BTreeMap::new(),
            data_path: Some(data_path),
        });
        let inner = Arc::new(Core {
            config,
            parts,
            states,
            fds,
            store,
            changing,
            captures: Arc::default(),
            chronicle: Chronicle::default(),
        });
        inner.want(&mut inner.lock(), vms)?;
        let following = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name("stack".into()).spawn(move || following.follow())?;
        Ok(Self { inner, thread: Some(thread) })
    }
}

impl Core {
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
        let data_path = DataPath::start(&self.config, &self.parts, &changing.members, &specs)?;
        changing.data_path = Some(data_path);
        changing.arm_buffers();
        self.parts.notices.nudge();
        Ok(())
    }

    /// Answers an OID request of an operator.
    pub(crate) fn oid(&self, request: OidRequest) -> Result<OidView, DaemonError> {
        let mut changing = self.lock();
        if changing.data_path.is_none() {
            return Err(DaemonError::NoDataPath);
        }
        let (response, duties) = self.parts.adapter.raw_request(OPERATOR, request.into());
        // A request is not answered before what it asks of the data path is done.
        duties.iter().try_for_each(|duty| changing.execute(duty))?;
        let payload = serde_json::to_value(&response.payload).unwrap_or_default();
        let reason = response.refusal.map(|refusal| refusal.to_string());
        Ok(OidView { status: response.status.to_string(), reason, payload })
    }

    /// Records OID requests into a new file, or stops doing so.
    pub(super) fn trace_oids(&self, path: Option<&Path>) -> Result<(), DaemonError> {
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
}

impl Changing {
    /// The VFs that were given.
    fn specs(&self) -> impl Iterator<Item = &VfSpec> {
        self.members.values().filter_map(|member| Some(&member.vf.as_ref()?.spec))
    }

    fn spec(&self, vf: VfId) -> Option<&VfSpec> {
        self.specs().find(|spec| spec.vf == vf)
    }

    /// The VF of the adapter whose NIC has the number `nic`.
    fn spec_of_nic(&self, nic: u32) -> Option<&VfSpec> {
        Some(&self.members.get(&AdapterId(nic))?.vf.as_ref()?.spec)
    }

    fn worker(&self) -> Option<Handle> {
        self.data_path.as_ref().map(|data_path| data_path.worker.handle())
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
