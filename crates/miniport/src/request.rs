//! OID requests and their answers, typed and as bytes.
//!
//! A typed request has only the members that a caller may choose: what the structures demand to be constant (switch id 0,
//! queue id 0, an id of zero where NDIS assigns it) is checked when a [`RawRequest`] is read and cannot be said otherwise.
//! Both forms then take the same way through the NDIS layer and the miniport.

use nic_switch::{
    FilterId, FilterTest, FunctionId, InterruptModeration, PortSecurity, ProcessorAffinity, QueueChanges,
    QueueId, QueueParameters, ReceiveMode, SwitchParameters, VPortChanges, VPortId, VfId, VfParameters,
};
use serde::{Deserialize, Serialize};

use crate::oid::{Oid, RequestType};
use crate::payload::Payload;
use crate::refusal::Refusal;
use crate::status::NdisStatus;

/// A request in either form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Typed.
    Typed(OidRequest),
    /// As bytes of the public NDIS structures.
    Raw(RawRequest),
}

impl From<OidRequest> for Request {
    fn from(request: OidRequest) -> Self {
        Self::Typed(request)
    }
}

impl From<RawRequest> for Request {
    fn from(request: RawRequest) -> Self {
        Self::Raw(request)
    }
}

/// `NDIS_OID_REQUEST` with its information buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawRequest {
    /// Query, set or method.
    pub request_type: RequestType,
    /// The OID's number.
    pub oid: u32,
    /// What the caller put into the buffer; without meaning for a query.
    pub input: Vec<u8>,
    /// How many bytes the buffer takes as output (`OutputBufferLength`, or `InformationBufferLength` of a query).
    pub output_length: u32,
}

/// A request that the PF adapter answers.
///
/// The name of a variant is that of the OID; set requests of an OID that can also be asked begin with `Set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OidRequest {
    /// SR-IOV features of the hardware.
    SriovHardwareCapabilities,
    /// SR-IOV features in use.
    SriovCurrentCapabilities,
    /// NIC-switch features of the hardware.
    NicSwitchHardwareCapabilities,
    /// NIC-switch features in use.
    NicSwitchCurrentCapabilities,
    /// Receive-filter features of the hardware.
    ReceiveFilterHardwareCapabilities,
    /// Receive-filter features in use.
    ReceiveFilterCurrentCapabilities,
    /// Filter and queue types that are enabled.
    ReceiveFilterGlobalParameters,
    /// Creates the switch. NDIS issues it when the adapter starts; from anyone else it is refused.
    CreateSwitch(SwitchParameters),
    /// Parameters of the switch.
    SwitchParameters,
    /// Changes the parameters of the switch.
    SetSwitchParameters(SwitchChanges),
    /// Deletes the switch. NDIS issues it when the adapter stops; from anyone else it is refused.
    DeleteSwitch,
    /// The switches of the adapter.
    EnumSwitches,
    /// Allocates a VF; the miniport chooses its id and its RID.
    AllocateVf(VfParameters),
    /// Frees a VF that has no VPort.
    FreeVf(VfId),
    /// What was said when the VF was allocated.
    VfParameters(VfId),
    /// The allocated VFs.
    EnumVfs,
    /// Creates a VPort; NDIS chooses its id.
    CreateVPort(NewVPort),
    /// Parameters of a VPort.
    VPortParameters(VPortId),
    /// Changes parameters of a VPort.
    SetVPortParameters {
        /// The VPort; 0 is the default VPort.
        vport: VPortId,
        /// What changes.
        changes: VPortChanges,
    },
    /// The VPorts.
    EnumVPorts {
        /// Only those attached to this function.
        function: Option<FunctionId>,
    },
    /// Deletes a nondefault VPort that has no filters.
    DeleteVPort(VPortId),
    /// Sets a filter; NDIS chooses its id.
    SetFilter {
        /// The VPort on which it is to stand.
        vport: VPortId,
        /// What it matches.
        test: FilterTest,
    },
    /// Clears a filter.
    ClearFilter(FilterId),
    /// Moves a filter from one VPort to another at once.
    MoveFilter {
        /// The filter; its id stays.
        filter: FilterId,
        /// Where it stands.
        from: VPortId,
        /// Where it is to stand.
        to: VPortId,
    },
    /// The filters of a VPort.
    EnumFilters(VPortId),
    /// Allocates a VM queue; NDIS chooses its id.
    AllocateQueue(QueueParameters),
    /// Ends the allocation of a batch of VM queues, each of which then has a status of its own.
    CompleteQueueAllocation(Vec<QueueId>),
    /// Frees a VM queue that has no filters. Pending until the data path has let go of it
    /// ([`Action::CompleteFreeQueue`](crate::Action::CompleteFreeQueue)).
    FreeQueue(QueueId),
    /// The receive queues, the default one first.
    EnumQueues,
    /// Parameters of a VM queue.
    QueueParameters(QueueId),
    /// Changes parameters of a VM queue.
    SetQueueParameters {
        /// The queue.
        queue: QueueId,
        /// What changes.
        changes: QueueChanges,
    },
    /// Sets a filter on a VM queue; on the default one, the same as [`SetFilter`](Self::SetFilter) on the default VPort.
    SetQueueFilter {
        /// The queue on which it is to stand.
        queue: QueueId,
        /// What it matches.
        test: FilterTest,
    },
    /// Clears a filter of a VM queue.
    ClearQueueFilter {
        /// The queue on which it stands.
        queue: QueueId,
        /// The filter.
        filter: FilterId,
    },
    /// The filters of a VM queue.
    EnumQueueFilters(QueueId),
    /// Parameters of a filter.
    FilterParameters(FilterId),
    /// Reads configuration space of a VF.
    ReadVfConfigSpace {
        /// The VF.
        vf: VfId,
        /// First byte, 0 to 4095.
        offset: u32,
        /// Bytes; 1 to 4096 - `offset`.
        length: u32,
    },
    /// Writes configuration space of a VF; which bits take the value is the function's own rule.
    WriteVfConfigSpace {
        /// The VF.
        vf: VfId,
        /// First byte, 0 to 4095.
        offset: u32,
        /// The bytes; they must end within the 4096 of the space.
        data: Vec<u8>,
    },
    /// Reads a configuration block of a VF ([`config_block`](crate::config_block)).
    ReadVfConfigBlock {
        /// The VF.
        vf: VfId,
        /// The block, 0 to 63.
        block: u32,
        /// Bytes, 1 to 128.
        length: u32,
    },
    /// Writes a configuration block of a VF.
    WriteVfConfigBlock {
        /// The VF.
        vf: VfId,
        /// The block, 2 to 63.
        block: u32,
        /// The bytes, 1 to 128.
        data: Vec<u8>,
    },
    /// Function level reset of one VF.
    ResetVf(VfId),
    /// Changes the power state of one VF.
    SetVfPowerState {
        /// The VF.
        vf: VfId,
        /// The state.
        state: PowerState,
        /// The VF may wake the system; must be false for [`PowerState::D0`].
        wake_enable: bool,
    },
    /// PCI ids of a VF.
    VfVendorDeviceId(VfId),
    /// What the VF BARs read after all ones were written to them. Only NDIS issues it.
    ProbedBars,
    /// Where a BAR of a VF is. Only NDIS issues it.
    BarResources {
        /// The VF.
        vf: VfId,
        /// The BAR, 0 to 5.
        bar: u16,
    },
    /// The locally unique id of the PF.
    PfLuid,
    /// The serial number of a VF; answered on the VF's own adapter.
    VfSerialNumber,
    /// What the stack allows a VPort.
    PortSecurity(VPortId),
    /// Allows a VPort something else.
    SetPortSecurity {
        /// A nondefault VPort.
        vport: VPortId,
        /// All of it.
        security: Box<PortSecurity>,
    },
    /// What a VPort was granted to receive.
    ReceiveMode(VPortId),
    /// Grants a VPort to receive; for VPorts whose guest has no mailbox to ask by.
    SetReceiveMode {
        /// A nondefault VPort.
        vport: VPortId,
        /// All of it.
        mode: Box<ReceiveMode>,
    },
    /// Assigns the serial number by which a guest pairs its VF with its synthetic adapter.
    SetVfSerialNumber {
        /// The VF.
        vf: VfId,
        /// Unique within the partition.
        serial_number: u32,
    },
}

impl OidRequest {
    /// The OID and the type of the request.
    pub const fn oid(&self) -> (Oid, RequestType) {
        use RequestType::{Method, Query, Set};
        match self {
            Self::SriovHardwareCapabilities => (Oid::SriovHardwareCapabilities, Query),
            Self::SriovCurrentCapabilities => (Oid::SriovCurrentCapabilities, Query),
            Self::NicSwitchHardwareCapabilities => (Oid::NicSwitchHardwareCapabilities, Query),
            Self::NicSwitchCurrentCapabilities => (Oid::NicSwitchCurrentCapabilities, Query),
            Self::ReceiveFilterHardwareCapabilities => (Oid::ReceiveFilterHardwareCapabilities, Query),
            Self::ReceiveFilterCurrentCapabilities => (Oid::ReceiveFilterCurrentCapabilities, Query),
            Self::ReceiveFilterGlobalParameters => (Oid::ReceiveFilterGlobalParameters, Query),
            Self::CreateSwitch(_) => (Oid::NicSwitchCreateSwitch, Method),
            Self::SwitchParameters => (Oid::NicSwitchParameters, Method),
            Self::SetSwitchParameters(_) => (Oid::NicSwitchParameters, Set),
            Self::DeleteSwitch => (Oid::NicSwitchDeleteSwitch, Set),
            Self::EnumSwitches => (Oid::NicSwitchEnumSwitches, Query),
            Self::AllocateVf(_) => (Oid::NicSwitchAllocateVf, Method),
            Self::FreeVf(_) => (Oid::NicSwitchFreeVf, Set),
            Self::VfParameters(_) => (Oid::NicSwitchVfParameters, Method),
            Self::EnumVfs => (Oid::NicSwitchEnumVfs, Method),
            Self::CreateVPort(_) => (Oid::NicSwitchCreateVPort, Method),
            Self::VPortParameters(_) => (Oid::NicSwitchVPortParameters, Method),
            Self::SetVPortParameters { .. } => (Oid::NicSwitchVPortParameters, Set),
            Self::EnumVPorts { .. } => (Oid::NicSwitchEnumVPorts, Method),
            Self::DeleteVPort(_) => (Oid::NicSwitchDeleteVPort, Set),
            Self::SetFilter { .. } | Self::SetQueueFilter { .. } => (Oid::ReceiveFilterSetFilter, Method),
            Self::ClearFilter(_) | Self::ClearQueueFilter { .. } => (Oid::ReceiveFilterClearFilter, Set),
            Self::MoveFilter { .. } => (Oid::ReceiveFilterMoveFilter, Set),
            Self::EnumFilters(_) | Self::EnumQueueFilters(_) => (Oid::ReceiveFilterEnumFilters, Method),
            Self::AllocateQueue(_) => (Oid::ReceiveFilterAllocateQueue, Method),
            Self::CompleteQueueAllocation(_) => (Oid::ReceiveFilterQueueAllocationComplete, Method),
            Self::FreeQueue(_) => (Oid::ReceiveFilterFreeQueue, Set),
            Self::EnumQueues => (Oid::ReceiveFilterEnumQueues, Query),
            Self::QueueParameters(_) => (Oid::ReceiveFilterQueueParameters, Method),
            Self::SetQueueParameters { .. } => (Oid::ReceiveFilterQueueParameters, Set),
            Self::FilterParameters(_) => (Oid::ReceiveFilterParameters, Method),
            Self::ReadVfConfigSpace { .. } => (Oid::SriovReadVfConfigSpace, Method),
            Self::WriteVfConfigSpace { .. } => (Oid::SriovWriteVfConfigSpace, Set),
            Self::ReadVfConfigBlock { .. } => (Oid::SriovReadVfConfigBlock, Method),
            Self::WriteVfConfigBlock { .. } => (Oid::SriovWriteVfConfigBlock, Set),
            Self::ResetVf(_) => (Oid::SriovResetVf, Set),
            Self::SetVfPowerState { .. } => (Oid::SriovSetVfPowerState, Set),
            Self::VfVendorDeviceId(_) => (Oid::SriovVfVendorDeviceId, Method),
            Self::ProbedBars => (Oid::SriovProbedBars, Query),
            Self::BarResources { .. } => (Oid::SriovBarResources, Method),
            Self::PfLuid => (Oid::SriovPfLuid, Query),
            Self::VfSerialNumber => (Oid::SriovVfSerialNumber, Query),
            Self::PortSecurity(_) => (Oid::VPortPortSecurity, Method),
            Self::SetPortSecurity { .. } => (Oid::VPortPortSecurity, Set),
            Self::ReceiveMode(_) => (Oid::VPortReceiveMode, Method),
            Self::SetReceiveMode { .. } => (Oid::VPortReceiveMode, Set),
            Self::SetVfSerialNumber { .. } => (Oid::VfSerialNumber, Set),
        }
    }
}

/// A VPort to be created (`NDIS_NIC_SWITCH_VPORT_PARAMETERS`, ndis.md B.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewVPort {
    /// To what it is attached, for its whole life.
    pub function: FunctionId,
    /// Queue pairs, at least 1; fixed for its whole life.
    pub queue_pairs: u32,
    /// Wanted moderation.
    pub interrupt_moderation: InterruptModeration,
    /// The CPU that serves a VPort of the PF.
    pub affinity: Option<ProcessorAffinity>,
    /// Opaque; at most 256 UTF-16 units.
    pub name: String,
}

/// What of the switch is to change (`NDIS_NIC_SWITCH_PARAMETERS` of a set request).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchChanges {
    /// `SWITCH_NAME_CHANGED`: takes effect at once.
    pub name: Option<String>,
    /// `NumVFs` has no flag of its own. Another number than the present one is stored, and takes effect when the adapter is
    /// initialized again.
    pub num_vfs: u16,
}

/// `NDIS_DEVICE_POWER_STATE`, of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// Working.
    D0,
    /// Light sleep.
    D1,
    /// Sleep.
    D2,
    /// Off, as far as software can.
    D3,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidResponse {
    /// The status.
    pub status: NdisStatus,
    /// Why it is neither `SUCCESS` nor `PENDING`.
    pub refusal: Option<Refusal>,
    /// The length that the buffer must have, if it was too short; otherwise 0, as always for typed requests.
    pub bytes_needed: u32,
    /// Bytes taken from the buffer of a set or method request; 0 for typed requests.
    pub bytes_read: u32,
    /// Bytes put into the buffer of a query or method request; 0 for typed requests.
    pub bytes_written: u32,
    /// What was asked for.
    pub payload: Payload,
}

impl OidResponse {
    /// The answer to a typed request for `oid` that was not refused: done, but for FREE_QUEUE, which has begun.
    pub(crate) fn accepted(oid: Oid, payload: Payload) -> Self {
        let status = match oid {
            Oid::ReceiveFilterFreeQueue => NdisStatus::Pending,
            _ => NdisStatus::Success,
        };
        Self { status, ..Self::success(payload) }
    }

    /// A successful answer to a typed request.
    pub(crate) fn success(payload: Payload) -> Self {
        Self {
            status: NdisStatus::Success,
            refusal: None,
            bytes_needed: 0,
            bytes_read: 0,
            bytes_written: 0,
            payload,
        }
    }

    /// A refusal with the status that the layer in charge gives it.
    pub(crate) fn refused(status: NdisStatus, refusal: Refusal) -> Self {
        let bytes_needed = match refusal {
            Refusal::BufferTooShort { needed, .. } => needed,
            _ => 0,
        };
        Self { status, refusal: Some(refusal), bytes_needed, ..Self::success(Payload::None) }
    }
}
