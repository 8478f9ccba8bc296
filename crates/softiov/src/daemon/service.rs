//! The daemon as the API has it.

use std::path::PathBuf;

use api::metrics::MetricsSnapshot;
use api::types::{
    AclRuleView, AdapterChange, AdapterView, AddressChange, AddressView, CaptureRequest, DesiredState,
    ExplainView, FailoverTarget, FrameRequest, OidView, PlanView, PolicyChange, TextView, TopologyView,
    TraceView, VfView, VmAdapterView, VmView,
};
use api::{ApiError, Body, Capture, EventLog, MergePatch, PciFunction, Service};
use virt_stack::desired::{AdapterSpec, VmSpec};

use super::{Core, Daemon, parse_oid};

impl Service for Daemon {
    fn topology(&self) -> Result<TopologyView, ApiError> {
        Ok(Core::topology(self)?)
    }

    fn vms(&self) -> Result<Vec<VmView>, ApiError> {
        Ok(Core::vms(self)?)
    }

    fn vm(&self, vm: &str) -> Result<VmView, ApiError> {
        Ok(Core::vm(self, vm)?)
    }

    fn create_vm(&self, vm: VmSpec) -> Result<VmView, ApiError> {
        Core::create_vm(self, vm)
    }

    fn patch_vm(&self, vm: &str, patch: &MergePatch) -> Result<VmView, ApiError> {
        Core::patch_vm(self, vm, patch)
    }

    fn delete_vm(&self, vm: &str) -> Result<(), ApiError> {
        Core::delete_vm(self, vm)
    }

    fn create_adapter(&self, vm: &str, adapter: AdapterSpec) -> Result<VmAdapterView, ApiError> {
        Core::create_adapter(self, vm, adapter)
    }

    fn adapter(&self, vm: &str, adapter: &str) -> Result<VmAdapterView, ApiError> {
        Ok(self.adapter_view(vm, adapter)?)
    }

    fn patch_adapter(&self, vm: &str, adapter: &str, patch: &MergePatch) -> Result<VmAdapterView, ApiError> {
        Core::patch_adapter(self, vm, adapter, patch)
    }

    fn delete_adapter(&self, vm: &str, adapter: &str) -> Result<(), ApiError> {
        Core::delete_adapter(self, vm, adapter)
    }

    fn explain(&self, vm: &str, adapter: &str) -> Result<ExplainView, ApiError> {
        Ok(self.explain_path(vm, adapter)?)
    }

    fn failover(&self, vm: &str, adapter: &str, to: FailoverTarget) -> Result<TextView, ApiError> {
        Ok(self.order_path(vm, adapter, to)?)
    }

    fn qemu_args(&self, vm: &str) -> Result<Vec<String>, ApiError> {
        Ok(Core::qemu_args(self, vm)?)
    }

    fn vfs(&self) -> Result<Vec<VfView>, ApiError> {
        Ok(Core::topology(self)?.vfs)
    }

    fn detach_vf(&self, vf: u16) -> Result<TextView, ApiError> {
        Ok(Core::detach_vf(self, vf)?)
    }

    fn reset_vf(&self, vf: u16) -> Result<TextView, ApiError> {
        Ok(Core::reset_vf(self, vf)?)
    }

    fn events(&self) -> &EventLog {
        self.chronicle.log()
    }

    fn apply(&self, desired: &DesiredState, dry_run: bool) -> Result<PlanView, ApiError> {
        Ok(Core::apply(self, desired, dry_run)?)
    }

    fn set_adapter(&self, change: &AdapterChange) -> Result<AdapterView, ApiError> {
        self.set_num_vfs(change.num_vfs)?;
        Ok(Core::topology(self)?.adapter)
    }

    fn oid(&self, request: serde_json::Value) -> Result<OidView, ApiError> {
        Ok(Core::oid(self, parse_oid(request)?)?)
    }

    fn record_oids(&self, file: Option<PathBuf>) -> Result<TextView, ApiError> {
        self.trace_oids(file.as_deref())?;
        let text = match file {
            Some(path) => format!("recording OID requests in {}", path.display()),
            None => "recording ended".to_owned(),
        };
        Ok(TextView { text })
    }

    fn pci_dump(&self, function: PciFunction) -> Result<TextView, ApiError> {
        let vf = match function {
            PciFunction::Pf => None,
            PciFunction::Vf(number) => Some(number),
        };
        Ok(TextView { text: Core::pci_dump(self, vf)? })
    }

    fn rebuild_data_path(&self) -> Result<TextView, ApiError> {
        self.rebuild()?;
        self.chronicle.tell_daemon("the data path was built anew".to_owned());
        Ok(TextView { text: "data path rebuilt".to_owned() })
    }

    fn fdb(&self, switch: &str) -> Result<Vec<AddressView>, ApiError> {
        Ok(Core::fdb(self, switch)?)
    }

    fn change_fdb(&self, switch: &str, change: &AddressChange) -> Result<(), ApiError> {
        Ok(Core::change_fdb(self, switch, change)?)
    }

    fn acl(&self, port: &str) -> Result<Vec<AclRuleView>, ApiError> {
        Ok(Core::acl(self, port)?)
    }

    fn change_policy(&self, port: &str, change: &PolicyChange) -> Result<Vec<String>, ApiError> {
        Ok(Core::change_policy(self, port, change)?)
    }

    fn trace(&self, frame: &FrameRequest) -> Result<TraceView, ApiError> {
        Ok(Core::explain(self, frame)?)
    }

    fn capture(&self, request: &CaptureRequest) -> Result<Capture, ApiError> {
        let stream = Core::capture(self, request)?;
        Ok(Capture { id: stream.id(), file: Body::new(stream) })
    }

    fn end_capture(&self, id: u64) -> Result<(), ApiError> {
        Ok(Core::end_capture(self, id)?)
    }

    fn end_captures(&self) {
        Core::end_captures(self);
    }

    fn metrics(&self) -> Result<MetricsSnapshot, ApiError> {
        Ok(Core::metrics(self)?)
    }
}
