//! What the answers to OID requests carry.

use nic_switch::{
    Capabilities, FilterId, FilterTest, FunctionId, InterruptModeration, PortSecurity, ProcessorAffinity,
    QueueId, QueueState, ReceiveMode, SwitchParameters, VPortId, VPortState, VfId, VfParameters,
};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::status::NdisStatus;

/// The content of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a set request, or a refusal.
    None,
    /// The output buffer of a raw request.
    Raw(Vec<u8>),
    /// SR-IOV features.
    Sriov(SriovCapabilities),
    /// NIC-switch features.
    NicSwitch(Capabilities),
    /// Receive-filter features.
    ReceiveFilter(ReceiveFilterCapabilities),
    /// Filter types that are enabled.
    ReceiveFilterGlobal(ReceiveFilterGlobalParameters),
    /// The switch.
    Switch(SwitchParameters),
    /// The switches; there is one at most.
    Switches(Vec<SwitchInfo>),
    /// A VF.
    Vf(VfInfo),
    /// The VFs, by id.
    Vfs(Vec<VfInfo>),
    /// A VPort.
    VPort(VPortInfo),
    /// The VPorts, by id.
    VPorts(Vec<VPortInfo>),
    /// A filter.
    Filter(FilterInfo),
    /// The filters of a VPort, by id.
    Filters {
        /// The VPort.
        vport: VPortId,
        /// Its filters.
        filters: Vec<FilterInfo>,
    },
    /// A VM queue.
    Queue(QueueInfo),
    /// The receive queues, by id.
    Queues(Vec<QueueInfo>),
    /// How the queues of a batch fared, in its order.
    QueueAllocations(Vec<QueueAllocation>),
    /// The filters of a VM queue, by id.
    QueueFilters {
        /// The queue.
        queue: QueueId,
        /// Its filters.
        filters: Vec<FilterInfo>,
    },
    /// Bytes of configuration space or of a configuration block.
    Bytes(Vec<u8>),
    /// PCI ids of a VF.
    VendorDeviceId {
        /// The VF.
        vf: VfId,
        /// PCI vendor id.
        vendor: u16,
        /// PCI device id.
        device: u16,
    },
    /// What each of the six BARs of a VF reads after all ones were written; 0 if there is none.
    ProbedBars([u32; 6]),
    /// The memory range of a BAR.
    BarResources {
        /// The VF.
        vf: VfId,
        /// The BAR.
        bar: u16,
        /// Its bus address.
        start: u64,
        /// Its length in bytes.
        length: u32,
    },
    /// The locally unique id of the PF.
    PfLuid(u64),
    /// The serial number of a VF.
    SerialNumber(u32),
    /// What the stack allows a VPort.
    PortSecurity {
        /// The VPort.
        vport: VPortId,
        /// What it may do.
        security: Box<PortSecurity>,
    },
    /// What a VPort was granted to receive.
    ReceiveMode {
        /// The VPort.
        vport: VPortId,
        /// What it receives.
        mode: Box<ReceiveMode>,
    },
}

/// `NDIS_SRIOV_CAPABILITIES` (ndis.md B.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SriovCapabilities {
    /// `SRIOV_SUPPORTED`.
    pub supported: bool,
    /// `PF_MINIPORT`: the adapter is a physical function.
    pub pf_miniport: bool,
    /// `VF_MINIPORT`: the adapter is a virtual function.
    pub vf_miniport: bool,
}

/// `NDIS_RECEIVE_FILTER_CAPABILITIES` as far as the adapter has them (ndis.md B.6): filters on the destination MAC address
/// and the VLAN id, tested for equality; VM queues only while SR-IOV is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveFilterCapabilities {
    /// `VMQ_FILTERS_ENABLED`: MAC filters can be set.
    pub vmq_filters_enabled: bool,
    /// `VM_QUEUES_ENABLED`: never while SR-IOV is on.
    pub vm_queues_enabled: bool,
    /// Filters may test the VLAN id.
    pub vlan: bool,
    /// Filters of the whole adapter.
    pub max_mac_header_filters: u32,
    /// VM queues, the default queue not counted.
    pub num_queues: u32,
}

/// `NDIS_RECEIVE_FILTER_GLOBAL_PARAMETERS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveFilterGlobalParameters {
    /// `VMQ_FILTERS_ENABLED`: MAC filters can be set.
    pub vmq_filters_enabled: bool,
    /// `VM_QUEUES_ENABLED`: never while SR-IOV is on.
    pub vm_queues_enabled: bool,
}

/// `NDIS_NIC_SWITCH_INFO` (ndis.md B.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchInfo {
    /// The name.
    pub name: String,
    /// VFs that are enabled.
    pub num_vfs: u16,
    /// VFs that are allocated.
    pub num_allocated_vfs: u32,
    /// VPorts that can be created, the default one included.
    pub num_vports: u32,
    /// VPorts that exist, the default one included.
    pub num_active_vports: u32,
    /// Queue pairs of the default VPort.
    pub queue_pairs_for_default_vport: u32,
    /// Queue pairs that nondefault VPorts hold.
    pub queue_pairs_for_nondefault_vports: u32,
    /// Distinct MAC addresses in filters of the default VPort.
    pub default_vport_macs: u32,
    /// Distinct MAC addresses in filters of nondefault VPorts.
    pub nondefault_vport_macs: u32,
    /// Distinct VLAN ids in filters of the default VPort.
    pub default_vport_vlans: u32,
    /// Distinct VLAN ids in filters of nondefault VPorts.
    pub nondefault_vport_vlans: u32,
}

/// `NDIS_NIC_SWITCH_VF_INFO` (ndis.md B.5), and the generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfInfo {
    /// Its id, zero-based.
    pub vf: VfId,
    /// `NDIS_MAKE_RID`: segment in bits 31:16, bus in 15:8, device and function in 7:0.
    pub requestor_id: u32,
    /// Which allocation of this id it is; not part of the public structure.
    pub generation: u64,
    /// What was said when it was allocated.
    pub parameters: VfParameters,
}

/// `NDIS_NIC_SWITCH_VPORT_INFO` (ndis.md B.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VPortInfo {
    /// Its id; 0 is the default VPort.
    pub vport: VPortId,
    /// To what it is attached.
    pub function: FunctionId,
    /// Queue pairs.
    pub queue_pairs: u32,
    /// Interrupt moderation.
    pub interrupt_moderation: InterruptModeration,
    /// Whether it sends and receives.
    pub state: VPortState,
    /// The CPU that serves a VPort of the PF.
    pub affinity: Option<ProcessorAffinity>,
    /// The name.
    pub name: String,
    /// Filters that stand on it.
    pub num_filters: u32,
}

/// A receive filter (`NDIS_RECEIVE_FILTER_INFO` and `_PARAMETERS`, ndis.md B.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterInfo {
    /// Its id, unique over the adapter.
    pub filter: FilterId,
    /// The VPort on which it stands; 0 on an adapter with VM queues.
    pub vport: VPortId,
    /// The VM queue on which it stands; 0 on an adapter with SR-IOV.
    pub queue: QueueId,
    /// What it matches.
    pub test: FilterTest,
}

/// `NDIS_RECEIVE_QUEUE_INFO` (ndis.md B.7), with what `Get-NetAdapterVmqQueue` shows besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueInfo {
    /// Its id; 0 is the default queue.
    pub queue: QueueId,
    /// Which allocation of this id it is; not part of the public structure.
    pub generation: u64,
    /// Where it is in its life; the public structure has the
    /// [`QueueOperationalState`](crate::QueueOperationalState) of it.
    pub state: QueueState,
    /// The CPU that serves it; the default queue has none of its own.
    pub affinity: Option<ProcessorAffinity>,
    /// The hint how many receive buffers it should have.
    pub suggested_receive_buffers: u32,
    /// Its MSI-X vector.
    pub msix_table_entry: u32,
    /// In which its interrupts are coalesced with those of others.
    pub interrupt_coalescing_domain: u32,
    /// The name of its VM.
    pub vm_name: String,
    /// Its name.
    pub queue_name: String,
    /// The port of the extensible switch.
    pub port_id: u32,
    /// The filters that stand on it, by id.
    pub filters: Vec<FilterInfo>,
}

/// `NDIS_RECEIVE_QUEUE_ALLOCATION_COMPLETE_PARAMETERS`: how one queue of a batch fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAllocation {
    /// The queue.
    pub queue: QueueId,
    /// `CompletionStatus`.
    pub status: NdisStatus,
    /// Why it is not `SUCCESS`.
    pub refusal: Option<Refusal>,
}
