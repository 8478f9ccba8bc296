//! Why a request of the API is not done: the errors of the daemon, for people and programs.

use api::{ApiError, ErrorKind};
use virt_stack::NumVfsError;

use super::DaemonError;
use super::capture::CaptureError;
use super::lookup::LookupError;
use super::policy::PolicyError;

impl From<DaemonError> for ApiError {
    fn from(error: DaemonError) -> Self {
        let (kind, code) = kind_and_code(&error);
        Self::new(kind, code, format!("{:#}", anyhow::Error::new(error)))
    }
}

/// The status and the word of each error. Every variant is named: a new one has to be thought of.
const fn kind_and_code(error: &DaemonError) -> (ErrorKind, &'static str) {
    use DaemonError as E;
    use ErrorKind::{Conflict, Failed, Invalid, NotFound, Unavailable};
    match error {
        E::NoSuchVf { .. } => (NotFound, "no_such_vf"),
        E::NoSuchVm { .. } => (NotFound, "no_such_vm"),
        E::NoSuchAdapter { .. } => (NotFound, "no_such_adapter"),
        E::Lookup(error) => lookup(error),
        E::Conflict(_) => (Conflict, "conflict"),
        E::VmExists(_) => (Conflict, "vm_exists"),
        E::AdapterExists(_) => (Conflict, "adapter_exists"),
        E::TooManyAdapters(_) => (Conflict, "too_many_adapters"),
        E::InUse(_) => (Conflict, "in_use"),
        E::StillThere(_) => (Conflict, "still_there"),
        E::FreeVf { .. } => (Conflict, "vf_not_in_use"),
        E::NoSriov => (Conflict, "sriov_off"),
        E::NumVfs(NumVfsError::InUse { .. }) => (Conflict, "vfs_in_use"),
        E::NumVfs(NumVfsError::NotEnabled { .. }) => (Conflict, "vfs_not_enabled"),
        E::Limits(_) => (Conflict, "too_few_descriptors"),
        E::NoSuchRequest(_) => (Invalid, "no_such_request"),
        E::Trace { .. } => (Invalid, "no_trace_file"),
        E::Frame(_) => (Invalid, "no_such_frame"),
        E::Policy(error) => policy(error),
        E::Capture(error) => capture(error),
        E::NoDataPath => (Unavailable, "no_data_path"),
        E::NoSwitch => (Unavailable, "no_nic_switch"),
        E::Open(_) => (Failed, "store"),
        E::Store(store::Error::Conflict { .. }) => (Conflict, "store_conflict"),
        E::Store(store::Error::TooMany { .. } | store::Error::TooLong { .. }) => (Conflict, "store_full"),
        E::Store(_) => (Failed, "store"),
        E::Stack(_) => (Failed, "oid_refused"),
        E::Switch(_) => (Failed, "not_connected"),
        E::Outside(_) => (Failed, "uplink"),
        E::Pages(_) | E::Function(_) | E::Adapter(_) | E::ConfigSpace(_) => (Failed, "adapter"),
        E::Worker(_) | E::Bus(_) | E::NetVsp(_) => (Failed, "data_path"),
        E::Os(_) => (Failed, "operating_system"),
    }
}

const fn lookup(error: &LookupError) -> (ErrorKind, &'static str) {
    let code = match error {
        LookupError::Adapter { .. } => "no_such_adapter",
        LookupError::Switch { .. } => "no_such_switch",
        LookupError::Port { .. } => "no_such_port",
        LookupError::VPort { .. } => "no_such_vport",
        LookupError::Queue { .. } => "no_such_queue",
    };
    (ErrorKind::NotFound, code)
}

const fn policy(error: &PolicyError) -> (ErrorKind, &'static str) {
    match error {
        PolicyError::Setting { .. } => (ErrorKind::Invalid, "bad_setting"),
        PolicyError::Contradiction { .. } => (ErrorKind::Invalid, "contradiction"),
        PolicyError::NoSuchRule { .. } => (ErrorKind::NotFound, "no_such_rule"),
        PolicyError::Switch(_) => (ErrorKind::Conflict, "policy_refused"),
    }
}

const fn capture(error: &CaptureError) -> (ErrorKind, &'static str) {
    match error {
        CaptureError::TooMany => (ErrorKind::Unavailable, "too_many_captures"),
        CaptureError::NoUplink => (ErrorKind::Conflict, "no_uplink"),
        CaptureError::NobodyBehind(_) => (ErrorKind::Conflict, "nobody_behind"),
        CaptureError::Snaplen { .. } => (ErrorKind::Invalid, "bad_snaplen"),
        CaptureError::NoSuchCapture(_) => (ErrorKind::NotFound, "no_such_capture"),
        CaptureError::Switch(_) => (ErrorKind::Failed, "capture_refused"),
    }
}
