//! A service that only remembers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use axum::body::{Body, Bytes};
use ethernet::MacAddr;
use hyper::body::Frame;
use tokio::sync::oneshot;
use virt_stack::desired::{AdapterSpec, Name, VmSpec};
use vswitch::{AclAction, AclRule, Direction, PortPolicy};

use crate::error::{ApiError, ErrorKind};
use crate::event_log::EventLog;
use crate::merge_patch::MergePatch;
use crate::metrics::MetricsSnapshot;
use crate::service::{Capture, PciFunction, Service};
use crate::types::*;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// VMs, events, and the end of a capture.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) vms: Mutex<BTreeMap<String, VmSpec>>,
    pub(super) log: EventLog,
    pub(super) metrics: MetricsSnapshot,
    /// Told when the file of the next capture, which has no end, is dropped.
    pub(super) endless: Mutex<Option<oneshot::Sender<()>>>,
    pub(super) captures_ended: Mutex<bool>,
}

impl Memory {
    /// With one VM, `alpha`, that has one adapter, `net0`; and events 1 to 3.
    pub(super) fn new() -> Self {
        let alpha = serde_json::json!({"name": "alpha", "adapter": [{"name": "net0", "mac": MAC}]});
        let alpha: VmSpec = serde_json::from_value(alpha).unwrap();
        let log = EventLog::new(4);
        for _ in 0..3 {
            log.push(event());
        }
        Self {
            vms: Mutex::new([("alpha".to_owned(), alpha)].into()),
            log,
            metrics: MetricsSnapshot::default(),
            endless: Mutex::default(),
            captures_ended: Mutex::default(),
        }
    }

    fn spec(&self, vm: &str) -> Result<VmSpec, ApiError> {
        let vms = self.vms.lock().unwrap();
        vms.get(vm).cloned().ok_or_else(|| no_such("vm", vm))
    }

    fn adapter_spec(&self, vm: &str, adapter: &str) -> Result<AdapterSpec, ApiError> {
        let spec = self.spec(vm)?;
        let found = spec.named_adapters().find(|(name, _)| name.as_str() == adapter);
        found.map(|(_, spec)| spec.clone()).ok_or_else(|| no_such("adapter", adapter))
    }
}

fn no_such(what: &str, name: &str) -> ApiError {
    ApiError::new(ErrorKind::NotFound, "no_such_thing", format!("there is no {what} {name:?}"))
}

pub(super) fn event() -> EventView {
    let failover = FailoverView {
        cause: "driver_up".to_owned(),
        from: PathView::Switch,
        to: PathView::Vf(0),
        duration_us: 900,
        gap_us: 300,
        expired: false,
        frames: Some(GapFramesView { held: 1, ..GapFramesView::default() }),
    };
    EventView {
        sequence: 0,
        time_ms: 1_700_000_000_000,
        kind: EventKind::Failover,
        vm: Some("alpha".to_owned()),
        adapter: Some("net0".to_owned()),
        text: "alpha/net0 moved\nto VF 0".to_owned(),
        failover: Some(failover),
    }
}

fn text(text: &str) -> TextView {
    TextView { text: text.to_owned() }
}

fn drops() -> Vec<ReasonCount> {
    vec![("egress:acl".to_owned(), 1).into()]
}

fn counters() -> CountersView {
    CountersView { drops: drops(), ..CountersView::default() }
}

fn rule() -> AclRule {
    let mut rule = AclRule::any(Direction::Inbound, AclAction::Deny);
    rule.remote_ip = Some("10.0.0.0/8".parse().unwrap());
    rule
}

fn life() -> VfLifeView {
    VfLifeView { state: "active".to_owned(), text: "it is in use".to_owned(), generation: 1, since_ms: 5 }
}

fn no_vf() -> NoVfView {
    NoVfView { code: "weight_zero".to_owned(), reason: "its weight is 0".to_owned(), remedy: None }
}

fn vm_view(spec: &VmSpec) -> VmView {
    let vmm = VmmView { qmp: spec.qmp.clone(), state: VmmState::ByHand, version: None, error: None };
    let adapters = spec.named_adapters().map(|(name, spec)| adapter_view(&name, spec)).collect();
    VmView { name: spec.name.to_string(), vmm, adapters }
}

fn adapter_view(name: &Name, spec: &AdapterSpec) -> VmAdapterView {
    let device = SyntheticDeviceView {
        socket: PathBuf::from("/run/net"),
        connected: true,
        driver_ready: true,
        mapped_bytes: 1,
        features: 1,
        rings: 2,
        broken_rings: vec![(1, "it leads nowhere".to_owned())],
        rejections: drops(),
    };
    let socket = PathBuf::from("/run/net");
    VmAdapterView {
        name: name.to_string(),
        desired: spec.clone(),
        path: PathView::Queue(1),
        vf: None,
        vf_life: Some(life()),
        vf_socket: None,
        no_vf: Some(no_vf()),
        no_queue: None,
        synthetic: SyntheticView {
            switch: "default".to_owned(),
            port: 1,
            socket,
            device: Some(device),
            counters: counters(),
        },
    }
}

fn vf_view() -> VfView {
    VfView {
        function_id: 0,
        requester_id: "00:10.0".to_owned(),
        vm: "alpha".to_owned(),
        nic: "net0".to_owned(),
        permanent_mac: MAC,
        current_mac: MAC,
        vport_id: Some(1),
        model: "X550".to_owned(),
        life: Some(life()),
        device: Some(VfDeviceView {
            socket: PathBuf::from("/run/vf"),
            connected: true,
            driver_ready: false,
            mapped_bytes: 0,
            rejections: drops(),
        }),
    }
}

fn sriov() -> AdapterView {
    AdapterView {
        pf: "00:00.0".to_owned(),
        mode: "SR-IOV".to_owned(),
        link_up: true,
        switch_name: "nic".to_owned(),
        total_vfs: 8,
        num_vfs: 8,
        num_allocated_vfs: 1,
        num_vports: 16,
        num_active_vports: 2,
        num_queue_pairs_for_default_vport: 1,
        num_queue_pairs_for_nondefault_vports: 2,
        num_nondefault_vport_macs: 1,
    }
}

fn filter() -> FilterView {
    FilterView { filter_id: 1, vport_id: 1, mac: MAC, vlan: "any".to_owned() }
}

fn switch_view() -> SwitchView {
    let mut policy = PortPolicy::default();
    policy.acl.rules.push(rule());
    let port = PortView {
        port: 1,
        name: "alpha/net0".to_owned(),
        kind: "synthetic".to_owned(),
        nic: None,
        state: "connected".to_owned(),
        mac: Some(MAC),
        vlan: "untagged".to_owned(),
        policy,
        vf: None,
        forbids_vf: Some("it has an ACL".to_owned()),
        counters: counters(),
    };
    SwitchView {
        name: "default".to_owned(),
        kind: "external".to_owned(),
        ageing: 300,
        stations: 1,
        extensions: vec!["acl".to_owned()],
        ports: vec![port],
    }
}

/// A file without an end.
struct Endless(Option<oneshot::Sender<()>>);

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 4096])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.take().map(|gone| gone.send(()));
    }
}

impl Service for Memory {
    fn topology(&self) -> Result<TopologyView, ApiError> {
        let link = LinkView { up: true, mtu: Some(1500), address: Some(MAC) };
        let vport = VPortView {
            vport_id: 1,
            name: "alpha/net0".to_owned(),
            function_id: "0".to_owned(),
            num_queue_pairs: 2,
            interrupt_moderation: "adaptive".to_owned(),
            state: "activated".to_owned(),
            filters: vec![filter()],
            sent: TrafficView::default(),
            received: TrafficView::default(),
            held: 0,
            drops: drops(),
        };
        let queue = QueueView {
            queue_id: 1,
            state: "Running".to_owned(),
            affinity: None,
            vm: "alpha".to_owned(),
            queue_name: String::new(),
            filters: vec![filter()],
        };
        let host = HostAdapterView {
            interface: "host0".to_owned(),
            switch: "default".to_owned(),
            mac: MAC,
            vlan: "untagged".to_owned(),
            link,
            counters: counters(),
            losses: drops(),
        };
        Ok(TopologyView {
            adapter: sriov(),
            worker: WorkerView { frames: 1, bursts: 1, busy_cycles: 1, cycles_per_second: 1, sleeps: 1 },
            vfs: self.vfs()?,
            vports: vec![vport],
            vms: self.vms()?,
            uplink: UplinkView {
                kind: "none".to_owned(),
                interface: None,
                link,
                counters: counters(),
                losses: drops(),
            },
            default_vport: counters(),
            queues: vec![queue],
            switches: vec![switch_view()],
            hosts: vec![host],
        })
    }

    fn vms(&self) -> Result<Vec<VmView>, ApiError> {
        Ok(self.vms.lock().unwrap().values().map(vm_view).collect())
    }

    fn vm(&self, vm: &str) -> Result<VmView, ApiError> {
        self.spec(vm).map(|spec| vm_view(&spec))
    }

    fn create_vm(&self, vm: VmSpec) -> Result<VmView, ApiError> {
        let mut vms = self.vms.lock().unwrap();
        if vms.contains_key(vm.name.as_str()) {
            let message = format!("there is a VM {} already", vm.name);
            return Err(ApiError::new(ErrorKind::Conflict, "name_taken", message));
        }
        let view = vm_view(&vm);
        vms.insert(vm.name.to_string(), vm);
        Ok(view)
    }

    fn patch_vm(&self, vm: &str, patch: &MergePatch) -> Result<VmView, ApiError> {
        let spec = patch.apply(&self.spec(vm)?)?;
        let view = vm_view(&spec);
        self.vms.lock().unwrap().insert(vm.to_owned(), spec);
        Ok(view)
    }

    fn delete_vm(&self, vm: &str) -> Result<(), ApiError> {
        self.vms.lock().unwrap().remove(vm).map(|_| ()).ok_or_else(|| no_such("vm", vm))
    }

    fn create_adapter(&self, vm: &str, adapter: AdapterSpec) -> Result<VmAdapterView, ApiError> {
        self.spec(vm)?;
        Ok(adapter_view(&Name::of_adapter(1), &adapter))
    }

    fn adapter(&self, vm: &str, adapter: &str) -> Result<VmAdapterView, ApiError> {
        self.adapter_spec(vm, adapter).map(|spec| adapter_view(&Name::new(adapter).unwrap(), &spec))
    }

    fn patch_adapter(&self, vm: &str, adapter: &str, patch: &MergePatch) -> Result<VmAdapterView, ApiError> {
        let spec = patch.apply(&self.adapter_spec(vm, adapter)?)?;
        Ok(adapter_view(&Name::new(adapter).unwrap(), &spec))
    }

    fn delete_adapter(&self, vm: &str, adapter: &str) -> Result<(), ApiError> {
        self.adapter_spec(vm, adapter).map(|_| ())
    }

    fn explain(&self, vm: &str, adapter: &str) -> Result<ExplainView, ApiError> {
        self.adapter_spec(vm, adapter)?;
        Ok(ExplainView {
            vm: vm.to_owned(),
            adapter: adapter.to_owned(),
            path: PathView::Switch,
            because: "it has no VF".to_owned(),
            vf_life: None,
            no_vf: Some(no_vf()),
            holders: vec![HolderView { vf: 0, adapter: "beta/net0".to_owned(), iov_weight: 50 }],
            history: vec![event()],
        })
    }

    fn failover(&self, vm: &str, adapter: &str, to: FailoverTarget) -> Result<TextView, ApiError> {
        self.adapter_spec(vm, adapter)?;
        Ok(text(&format!("on its way to {to:?}")))
    }

    fn qemu_args(&self, vm: &str) -> Result<Vec<String>, ApiError> {
        self.spec(vm).map(|_| vec!["-device".to_owned()])
    }

    fn vfs(&self) -> Result<Vec<VfView>, ApiError> {
        Ok(vec![vf_view()])
    }

    fn detach_vf(&self, vf: u16) -> Result<TextView, ApiError> {
        if vf == 0 { Ok(text("begun")) } else { Err(no_such("VF", &vf.to_string())) }
    }

    fn reset_vf(&self, vf: u16) -> Result<TextView, ApiError> {
        self.detach_vf(vf)
    }

    fn events(&self) -> &EventLog {
        &self.log
    }

    fn apply(&self, desired: &DesiredState, dry_run: bool) -> Result<PlanView, ApiError> {
        let change = |vm: &VmSpec| PlannedChange {
            kind: PlannedKind::Added,
            vm: vm.name.to_string(),
            adapter: None,
            details: vec!["it is new".to_owned()],
        };
        let changes = desired.vms.iter().map(change).collect();
        Ok(PlanView { applied: !dry_run, changes, lose_vf: vec!["alpha/net0".to_owned()] })
    }

    fn set_adapter(&self, change: &AdapterChange) -> Result<AdapterView, ApiError> {
        Ok(AdapterView { num_vfs: change.num_vfs, ..sriov() })
    }

    fn oid(&self, request: serde_json::Value) -> Result<OidView, ApiError> {
        Ok(OidView {
            status: "success".to_owned(),
            reason: None,
            payload: serde_json::json!({"of": request}),
        })
    }

    fn record_oids(&self, _: Option<PathBuf>) -> Result<TextView, ApiError> {
        Ok(text("recording"))
    }

    fn pci_dump(&self, function: PciFunction) -> Result<TextView, ApiError> {
        Ok(text(&format!("{function:?}")))
    }

    fn rebuild_data_path(&self) -> Result<TextView, ApiError> {
        Err(ApiError::new(ErrorKind::Unavailable, "no_data_path", "the data path is being built already"))
    }

    fn fdb(&self, switch: &str) -> Result<Vec<AddressView>, ApiError> {
        let station = AddressView {
            switch: switch.to_owned(),
            mac: MAC,
            vlan: None,
            port: 1,
            port_name: "alpha/net0".to_owned(),
            origin: "own".to_owned(),
        };
        Ok(vec![station])
    }

    fn change_fdb(&self, _: &str, _: &AddressChange) -> Result<(), ApiError> {
        Ok(())
    }

    fn acl(&self, port: &str) -> Result<Vec<AclRuleView>, ApiError> {
        if port != "alpha/net0" {
            return Err(no_such("port", port));
        }
        Ok(vec![AclRuleView { index: 0, rule: rule(), frames: Some(1), octets: None }])
    }

    fn change_policy(&self, _: &str, change: &PolicyChange) -> Result<Vec<String>, ApiError> {
        assert_ne!(*change, PolicyChange::RemoveRule(99), "a rule that makes this service panic");
        Ok(vec!["its VF is taken away".to_owned()])
    }

    fn trace(&self, frame: &FrameRequest) -> Result<TraceView, ApiError> {
        let stage = StageView { title: "switch".to_owned(), steps: vec!["admitted".to_owned()] };
        let to = DeliveryView { to: "beta/net0".to_owned(), tag: "untagged".to_owned(), by: "VF".to_owned() };
        let loss = LossView { reason: "acl".to_owned(), remedy: "look at it".to_owned() };
        Ok(TraceView {
            frame: frame.from.clone(),
            stages: vec![stage],
            deliveries: vec![to],
            loss: Some(loss),
        })
    }

    fn capture(&self, request: &CaptureRequest) -> Result<Capture, ApiError> {
        let file = match self.endless.lock().unwrap().take() {
            Some(gone) => Body::new(Endless(Some(gone))),
            None => Body::from(vec![7; request.snaplen]),
        };
        Ok(Capture { id: 5, file })
    }

    fn end_capture(&self, id: u64) -> Result<(), ApiError> {
        if id == 5 { Ok(()) } else { Err(no_such("capture", &id.to_string())) }
    }

    fn end_captures(&self) {
        *self.captures_ended.lock().unwrap() = true;
    }

    fn metrics(&self) -> Result<MetricsSnapshot, ApiError> {
        Ok(self.metrics.clone())
    }
}
