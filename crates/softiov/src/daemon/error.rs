//! What can go wrong in the daemon.

use std::io;
use std::path::PathBuf;

use super::bus::BusError;
use super::capture::CaptureError;
use super::limits::TooFewFds;
use super::lookup::LookupError;
use super::netvsp::NetVspError;
use super::outside::OutsideError;
use super::policy::PolicyError;
use super::stack::StackError;
use super::switchboard::ConnectError;
use super::trace::FrameError;

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
    #[error("the adapter has no NIC switch")]
    NoSwitch,
    #[error("the data path is down since it could not be rebuilt: `softiov datapath rebuild` tries again")]
    NoDataPath,
    #[error("VF {number} does not exist: there are {num_vfs}, numbered from 0")]
    NoSuchVf { number: u16, num_vfs: u16 },
    #[error("VM {name:?} is not in the configuration: {known}", known = list(.known))]
    NoSuchVm { name: String, known: Vec<String> },
    #[error("{0:?} is no PCI function: \"pf\", or the number of a VF")]
    NoSuchFunction(String),
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
    #[error("softiov failed while it carried the request out: see its log")]
    Panicked,
}

fn list(known: &[String]) -> String {
    match known {
        [] => "it has no VMs".to_owned(),
        [one] => format!("it has only {one}"),
        several => format!("it has {}", several.join(", ")),
    }
}
