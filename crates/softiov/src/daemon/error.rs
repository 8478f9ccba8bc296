//! What can go wrong in the daemon.

use std::io;
use std::path::PathBuf;

use super::adapter::OidError;
use super::bus::BusError;
use super::capture::CaptureError;
use super::limits::TooFewFds;
use super::lookup::LookupError;
use super::netvsp::NetVspError;
use super::outside::OutsideError;
use super::policy::PolicyError;
use super::switchboard::ConnectError;
use super::trace::FrameError;

/// The miniport does not do what the stack needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error(transparent)]
    Oid(#[from] OidError),
    /// The miniport said SUCCESS, but not what came of it.
    #[error("{0} succeeded without a result")]
    Silent(&'static str),
}

/// Why the daemon cannot run, or cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    #[error("cannot make the state pages of the VFs")]
    Pages(#[from] sys::PagesError),
    #[error("cannot make the physical function")]
    Function(#[from] pcie::PfError),
    #[error("cannot start the adapter")]
    Adapter(#[from] miniport::InitializeError),
    #[error(transparent)]
    Limits(#[from] TooFewFds),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Switch(#[from] ConnectError),
    #[error(transparent)]
    Outside(#[from] OutsideError),
    #[error(transparent)]
    Worker(#[from] dataplane::StartError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    NetVsp(#[from] NetVspError),
    #[error("the operating system refused")]
    Os(#[from] io::Error),
    #[error("the desired state cannot be kept")]
    Open(#[from] store::OpenError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{0}")]
    Conflict(String),
    #[error("there are {0} adapters already, as many as daemon.max_adapters allows")]
    TooManyAdapters(u32),
    #[error("{0} is in use: stop its VM first")]
    InUse(String),
    #[error("{0} still has a VF that the NIC does not free: see `softiov vm explain`")]
    StillThere(String),
    #[error("the adapter has no NIC switch")]
    NoSwitch,
    #[error("the data path is down since it could not be rebuilt: `softiov datapath rebuild` tries again")]
    NoDataPath,
    #[error("VF {number} does not exist: there are {num_vfs}, numbered from 0")]
    NoSuchVf { number: u16, num_vfs: u16 },
    #[error("there is no VM {name:?}: there {}", vms(.known))]
    NoSuchVm { name: String, known: Vec<String> },
    #[error("VM {vm} has no adapter {name:?}: {known}", known = list(.known))]
    NoSuchAdapter { vm: String, name: String, known: Vec<String> },
    #[error("there is a VM {0} already: change that one, or choose another name")]
    VmExists(String),
    #[error("there is an adapter {0} already: change that one, or choose another name")]
    AdapterExists(String),
    #[error("nobody has VF {number}: {holders}")]
    FreeVf { number: u16, holders: String },
    #[error("SR-IOV is off, so that there are no VFs: set sriov = true in [adapter], and restart softiov")]
    NoSriov,
    #[error(transparent)]
    NumVfs(#[from] virt_stack::NumVfsError),
    #[error("{0}; an OID request is written as in \"EnumVfs\" or {{\"ResetVf\":0}}")]
    NoSuchRequest(serde_json::Error),
    #[error("cannot record OID requests in {path:?}, which must be a new file")]
    Trace { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("config space cannot be read")]
    ConfigSpace(#[from] pcie::AccessError),
}

fn vms(known: &[String]) -> String {
    match known {
        [] => "are none".to_owned(),
        [one] => format!("is only {one}"),
        several => format!("are {}", several.join(", ")),
    }
}

fn list(known: &[String]) -> String {
    match known {
        [] => "it has none".to_owned(),
        [one] => format!("it has only {one}"),
        several => format!("it has {}", several.join(", ")),
    }
}
