//! What `softiov show` and its sisters show: plain data, the same for the daemon that gathers it, the JSON that
//! travels, and the text that a person reads.

mod capture;
mod switch;
mod trace;

use std::path::PathBuf;

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

pub(crate) use self::capture::{CaptureDirection, CapturePoint, CaptureRequest, Stage};
pub(crate) use self::switch::{
    AclRuleView, AddressChange, AddressView, CountersView, HostAdapterView, LinkView, PathView, PolicyChange,
    PortView, QueueView, SwitchView, SyntheticView, UplinkView,
};
pub(crate) use self::trace::{DeliveryView, FrameContent, FrameRequest, LossView, StageView, TraceView};

/// Everything: the adapter and the VMs on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TopologyView {
    pub(crate) adapter: AdapterView,
    pub(crate) worker: WorkerView,
    pub(crate) vfs: Vec<VfView>,
    pub(crate) vports: Vec<VPortView>,
    pub(crate) vms: Vec<VmView>,
    pub(crate) uplink: UplinkView,
    /// What passes the default VPort, seen from the PF's side.
    pub(crate) default_vport: CountersView,
    pub(crate) queues: Vec<QueueView>,
    pub(crate) switches: Vec<SwitchView>,
    pub(crate) hosts: Vec<HostAdapterView>,
}

/// The adapter, in the words of `Get-NetAdapterSriov`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AdapterView {
    pub(crate) pf: String,
    pub(crate) mode: String,
    pub(crate) link_up: bool,
    pub(crate) switch_name: String,
    pub(crate) total_vfs: u16,
    pub(crate) num_vfs: u16,
    pub(crate) num_allocated_vfs: usize,
    pub(crate) num_vports: u32,
    pub(crate) num_active_vports: usize,
    pub(crate) num_queue_pairs_for_default_vport: u32,
    pub(crate) num_queue_pairs_for_nondefault_vports: u32,
    pub(crate) num_nondefault_vport_macs: usize,
}

/// The worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerView {
    pub(crate) frames: u64,
    pub(crate) bursts: u64,
    pub(crate) busy_cycles: u64,
    pub(crate) sleeps: u64,
}

/// A VF, in the words of `Get-NetAdapterSriovVf`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VfView {
    pub(crate) function_id: u16,
    pub(crate) requester_id: String,
    pub(crate) vm: String,
    pub(crate) nic: String,
    pub(crate) permanent_mac: MacAddr,
    pub(crate) current_mac: MacAddr,
    pub(crate) vport_id: Option<u32>,
    pub(crate) model: String,
    pub(crate) device: Option<VfDeviceView>,
}

/// The device of a VF.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VfDeviceView {
    pub(crate) socket: PathBuf,
    pub(crate) connected: bool,
    /// The guest's driver has a receive queue enabled.
    pub(crate) driver_ready: bool,
    /// Guest memory that the VF can reach.
    pub(crate) mapped_bytes: u64,
    /// What the guest or its VMM asked in vain, by reason.
    pub(crate) rejections: Vec<(String, u64)>,
}

/// The device of a synthetic adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SyntheticDeviceView {
    pub(crate) socket: PathBuf,
    pub(crate) connected: bool,
    /// A receive and a transmit ring are in use.
    pub(crate) driver_ready: bool,
    /// Guest memory that the adapter can reach.
    pub(crate) mapped_bytes: u64,
    /// Features that the driver uses, as virtio numbers them.
    pub(crate) features: u64,
    /// Rings in use.
    pub(crate) rings: usize,
    /// Rings whose content made no sense, and what was wrong.
    pub(crate) broken_rings: Vec<(usize, String)>,
    /// What the front end asked in vain, by reason.
    pub(crate) rejections: Vec<(String, u64)>,
}

/// A VPort, in the words of `Get-NetAdapterVPort`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VPortView {
    pub(crate) vport_id: u32,
    pub(crate) name: String,
    /// `PF` or the number of the VF.
    pub(crate) function_id: String,
    pub(crate) num_queue_pairs: u32,
    pub(crate) interrupt_moderation: String,
    pub(crate) state: String,
    pub(crate) filters: Vec<FilterView>,
    pub(crate) sent: TrafficView,
    pub(crate) received: TrafficView,
    pub(crate) held: u64,
    pub(crate) drops: Vec<(String, u64)>,
}

/// A receive filter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FilterView {
    pub(crate) filter_id: u32,
    pub(crate) vport_id: u32,
    pub(crate) mac: MacAddr,
    /// `any`, `untagged` or a VLAN id.
    pub(crate) vlan: String,
}

/// Frames of one direction.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TrafficView {
    pub(crate) frames: u64,
    pub(crate) octets: u64,
    pub(crate) multicast: u64,
    pub(crate) broadcast: u64,
}

/// A VM with its adapters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VmView {
    pub(crate) name: String,
    pub(crate) adapters: Vec<VmAdapterView>,
}

/// A network adapter of a VM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VmAdapterView {
    pub(crate) name: String,
    pub(crate) mac: MacAddr,
    pub(crate) vlan: String,
    pub(crate) iov_weight: u8,
    pub(crate) vf: Option<u16>,
    pub(crate) socket: Option<PathBuf>,
    /// Why it has no VF.
    pub(crate) no_vf: Option<String>,
    /// Why it has no VM queue either.
    pub(crate) no_queue: Option<String>,
    pub(crate) path: PathView,
    pub(crate) synthetic: SyntheticView,
}

/// The answer to an OID request of an operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OidView {
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) payload: serde_json::Value,
}

/// An error of the control API.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ErrorView {
    pub(crate) error: String,
}

/// A text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TextView {
    pub(crate) text: String,
}
