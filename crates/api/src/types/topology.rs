//! Everything at once, and the SR-IOV adapter.

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CountersView, HostAdapterView, QueueView, SwitchView, UplinkView, VfView, VmView};

/// Everything: the adapter and the VMs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopologyView {
    /// The SR-IOV adapter.
    pub adapter: AdapterView,
    /// What moves its frames.
    pub worker: WorkerView,
    /// Its VFs.
    pub vfs: Vec<VfView>,
    /// Its VPorts.
    pub vports: Vec<VPortView>,
    /// The virtual machines.
    pub vms: Vec<VmView>,
    /// Its physical port.
    pub uplink: UplinkView,
    /// What passes the default VPort, seen from the PF's side.
    pub default_vport: CountersView,
    /// Its VM queues.
    pub queues: Vec<QueueView>,
    /// The extensible switches.
    pub switches: Vec<SwitchView>,
    /// The host's own adapters.
    pub hosts: Vec<HostAdapterView>,
}

/// The adapter, in the words of `Get-NetAdapterSriov`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdapterView {
    /// PCI address of the physical function.
    pub pf: String,
    /// SR-IOV or VM queues.
    pub mode: String,
    /// Its link.
    pub link_up: bool,
    /// Name of its NIC switch.
    pub switch_name: String,
    /// TotalVFs: VFs that there can be.
    pub total_vfs: u16,
    /// NumVFs: VFs that are enabled.
    pub num_vfs: u16,
    /// VFs that are allocated to VMs.
    pub num_allocated_vfs: usize,
    /// VPorts that there can be.
    pub num_vports: u32,
    /// VPorts that there are.
    pub num_active_vports: usize,
    /// Queue pairs of the default VPort.
    pub num_queue_pairs_for_default_vport: u32,
    /// Queue pairs of all others together.
    pub num_queue_pairs_for_nondefault_vports: u32,
    /// MAC filters of nondefault VPorts.
    pub num_nondefault_vport_macs: usize,
}

/// The worker, which moves frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Frames that it moved.
    pub frames: u64,
    /// In so many bursts.
    pub bursts: u64,
    /// Cycles of the time stamp counter in which it had something to do.
    pub busy_cycles: u64,
    /// Cycles that the counter makes in a second.
    pub cycles_per_second: u64,
    /// Times that it slept.
    pub sleeps: u64,
}

/// A VPort, in the words of `Get-NetAdapterVPort`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VPortView {
    /// Its number; 0 is the default VPort.
    pub vport_id: u32,
    /// Its name.
    pub name: String,
    /// `PF` or the number of the VF.
    pub function_id: String,
    /// Its queue pairs.
    pub num_queue_pairs: u32,
    /// Its interrupt moderation.
    pub interrupt_moderation: String,
    /// Its state.
    pub state: String,
    /// Its receive filters.
    pub filters: Vec<FilterView>,
    /// What it sent.
    pub sent: TrafficView,
    /// What it received.
    pub received: TrafficView,
    /// Times that a full receiver held frames back.
    pub held: u64,
    /// Lost frames by reason.
    pub drops: Vec<ReasonCount>,
}

/// A receive filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilterView {
    /// Its number.
    pub filter_id: u32,
    /// The VPort that it stands on.
    pub vport_id: u32,
    /// The destination that it tests for.
    #[schema(value_type = String, example = "02:00:00:00:00:01")]
    pub mac: MacAddr,
    /// `any`, `untagged` or a VLAN id.
    pub vlan: String,
}

/// Frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrafficView {
    /// All frames.
    pub frames: u64,
    /// Their bytes.
    pub octets: u64,
    /// Of the frames, those to groups.
    pub multicast: u64,
    /// Of the frames, those to everybody.
    pub broadcast: u64,
}

/// How often something happened for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonCount {
    /// The reason, as a word.
    #[schema(example = "egress:acl")]
    pub reason: String,
    /// How often.
    pub count: u64,
}

impl From<(String, u64)> for ReasonCount {
    fn from((reason, count): (String, u64)) -> Self {
        Self { reason, count }
    }
}

/// The answer to an OID request of an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OidView {
    /// Its `NDIS_STATUS`.
    pub status: String,
    /// Why it was refused.
    pub reason: Option<String>,
    /// What it yielded.
    #[schema(value_type = Object)]
    pub payload: serde_json::Value,
}
