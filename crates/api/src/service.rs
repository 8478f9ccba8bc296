//! What the daemon does for the API.

use std::path::PathBuf;

use axum::body::Body;
use virt_stack::desired::{AdapterSpec, VmSpec};

use crate::error::ApiError;
use crate::event_log::EventLog;
use crate::merge_patch::MergePatch;
use crate::metrics::MetricsSnapshot;
use crate::types::{
    AclRuleView, AdapterChange, AdapterView, AddressChange, AddressView, CaptureRequest, DesiredState,
    ExplainView, FailoverTarget, FrameRequest, OidView, PlanView, PolicyChange, TextView, TopologyView,
    TraceView, VfView, VmAdapterView, VmView,
};

/// A PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PciFunction {
    /// The physical function.
    Pf,
    /// The virtual function with this number.
    Vf(u16),
}

/// A capture that has begun.
#[derive(Debug)]
pub struct Capture {
    /// The number by which it is ended.
    pub id: u64,
    /// The file, pcapng, as it comes into being. It must be bounded: a client may read as slowly as it likes.
    pub file: Body,
}

/// The daemon behind the API. Access was checked, and values are of their types, when a method is called; all else is
/// the daemon's to refuse.
///
/// Methods may wait for other threads: they are called where that holds nobody up. [`Service::events`] must not.
pub trait Service: Send + Sync + 'static {
    /// Everything.
    fn topology(&self) -> Result<TopologyView, ApiError>;

    /// The VMs.
    fn vms(&self) -> Result<Vec<VmView>, ApiError>;
    /// A VM.
    fn vm(&self, vm: &str) -> Result<VmView, ApiError>;
    /// A further VM.
    fn create_vm(&self, vm: VmSpec) -> Result<VmView, ApiError>;
    /// Changes a VM: `patch` is to be applied to its `VmSpec` where nobody else changes that meanwhile.
    fn patch_vm(&self, vm: &str, patch: &MergePatch) -> Result<VmView, ApiError>;
    /// Removes a VM.
    fn delete_vm(&self, vm: &str) -> Result<(), ApiError>;

    /// A further adapter of a VM.
    fn create_adapter(&self, vm: &str, adapter: AdapterSpec) -> Result<VmAdapterView, ApiError>;
    /// An adapter of a VM.
    fn adapter(&self, vm: &str, adapter: &str) -> Result<VmAdapterView, ApiError>;
    /// Changes an adapter: `patch` is to be applied to its `AdapterSpec` where nobody else changes that meanwhile.
    fn patch_adapter(&self, vm: &str, adapter: &str, patch: &MergePatch) -> Result<VmAdapterView, ApiError>;
    /// Removes an adapter.
    fn delete_adapter(&self, vm: &str, adapter: &str) -> Result<(), ApiError>;
    /// Why an adapter is on its path.
    fn explain(&self, vm: &str, adapter: &str) -> Result<ExplainView, ApiError>;
    /// Begins to move an adapter, and says what was begun.
    fn failover(&self, vm: &str, adapter: &str, to: FailoverTarget) -> Result<TextView, ApiError>;
    /// The arguments that attach a QEMU guest.
    fn qemu_args(&self, vm: &str) -> Result<Vec<String>, ApiError>;

    /// The VFs.
    fn vfs(&self) -> Result<Vec<VfView>, ApiError>;
    /// Begins to take a VF from its VM, and says what was begun.
    fn detach_vf(&self, vf: u16) -> Result<TextView, ApiError>;
    /// Begins to reset a VF, and says what was begun.
    fn reset_vf(&self, vf: u16) -> Result<TextView, ApiError>;

    /// What happens.
    fn events(&self) -> &EventLog;
    /// Makes `desired` all that is wanted, or only says what that would change.
    fn apply(&self, desired: &DesiredState, dry_run: bool) -> Result<PlanView, ApiError>;
    /// Changes the SR-IOV adapter.
    fn set_adapter(&self, change: &AdapterChange) -> Result<AdapterView, ApiError>;

    /// Issues an OID request.
    fn oid(&self, request: serde_json::Value) -> Result<OidView, ApiError>;
    /// Records OID requests into a new file, or ends that.
    fn record_oids(&self, file: Option<PathBuf>) -> Result<TextView, ApiError>;
    /// Config space, as `lspci -F` reads it.
    fn pci_dump(&self, function: PciFunction) -> Result<TextView, ApiError>;
    /// Builds the data path anew.
    fn rebuild_data_path(&self) -> Result<TextView, ApiError>;

    /// The stations that a switch knows.
    fn fdb(&self, switch: &str) -> Result<Vec<AddressView>, ApiError>;
    /// Sets or removes a static address.
    fn change_fdb(&self, switch: &str, change: &AddressChange) -> Result<(), ApiError>;
    /// The ACL of a port.
    fn acl(&self, port: &str) -> Result<Vec<AclRuleView>, ApiError>;
    /// Changes policies of a port, and says what follows from that.
    fn change_policy(&self, port: &str, change: &PolicyChange) -> Result<Vec<String>, ApiError>;

    /// What would become of a frame.
    fn trace(&self, frame: &FrameRequest) -> Result<TraceView, ApiError>;
    /// Begins a capture.
    fn capture(&self, request: &CaptureRequest) -> Result<Capture, ApiError>;
    /// Has a capture completed.
    fn end_capture(&self, id: u64) -> Result<(), ApiError>;
    /// Has all captures completed: the server ends.
    fn end_captures(&self);

    /// Counters and gauges.
    fn metrics(&self) -> Result<MetricsSnapshot, ApiError>;
}
