//! Why a request was not carried out, and which status says so (ndis.md A.3).

use std::borrow::Cow;

use nic_switch::{ErrorKind, FilterId, QueueError, QueueId, SwitchError, VPortId, VfId};
use serde::{Deserialize, Serialize};

use crate::config_block::{MAX_BLOCK_SIZE, NUM_BLOCKS};
use crate::oid::{Oid, RequestType};
use crate::status::NdisStatus;

/// What the NIC switch, or a VM queue, says to a request that it refuses; see [`nic_switch::ErrorKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchRefusal {
    /// A value is out of range or contradicts another.
    InvalidParameter,
    /// The object named does not exist.
    NotFound,
    /// Something that stands must be removed first.
    InUse,
    /// A budget is used up.
    Exhausted,
}

/// Why a request was refused. A refused request has changed nothing, except one that [`ReinitRequired`] answers.
///
/// [`ReinitRequired`]: Self::ReinitRequired
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the values named in the messages")]
pub enum Refusal {
    /// No OID has the number.
    #[error("OID {number:#010x} is none that this adapter knows")]
    UnknownOid { number: u32 },
    /// The OID cannot be requested in this way.
    #[error("{oid} has no {request_type} request")]
    RequestType { oid: Oid, request_type: RequestType },
    /// The OID belongs to a feature that is not there.
    #[error("{oid} is not answered by this adapter")]
    NotSupported { oid: Oid },
    /// The adapter runs without a NIC switch.
    #[error("{oid} needs SR-IOV, and the adapter runs without it")]
    SriovDisabled { oid: Oid },
    /// The adapter runs without VM queues.
    #[error("{oid} needs VM queues, and the adapter runs without them")]
    VmqDisabled { oid: Oid },
    /// The adapter runs without receive filters.
    #[error("{oid} needs SR-IOV or VM queues, and the adapter runs with neither")]
    ReceiveFiltersDisabled { oid: Oid },
    /// An overlying driver issued what only NDIS issues.
    #[error("{oid} is issued by NDIS alone, when the adapter starts or stops")]
    OnlyNdisIssues { oid: Oid },
    /// The adapter is halted.
    #[error("the adapter is halted")]
    Halted,

    /// The buffer is too short for the structure, or for structure and payload.
    #[error("the buffer has {given} bytes, but {needed} are needed")]
    BufferTooShort { needed: u32, given: u32 },
    /// The header is of another kind of object.
    #[error(
        "{structure} begins with object type {found:#04x}, but must begin with 0x80 (NDIS_OBJECT_TYPE_DEFAULT)"
    )]
    ObjectType { structure: Cow<'static, str>, found: u8 },
    /// The header's revision is none that exists.
    #[error("{structure} has revision {found}, but revisions go from 1 to {newest}")]
    Revision { structure: Cow<'static, str>, found: u8, newest: u8 },
    /// The header's size is less than its revision has.
    #[error("{structure} says that it has {found} bytes, but its revision has at least {least}")]
    ObjectSize { structure: Cow<'static, str>, found: u16, least: u16 },
    /// A payload or array does not lie behind the structure.
    #[error("{length} bytes at offset {offset} do not lie behind the structure and within 64 KiB")]
    PayloadOffset { offset: u32, length: u32 },
    /// A counted string lies about its length.
    #[error("a name has {bytes} bytes, but needs an even number up to 512")]
    NameLength { bytes: u16 },
    /// A counted string is no UTF-16.
    #[error("a name is not valid UTF-16")]
    NameEncoding,
    /// A member has a value that it must not have.
    #[error("{member} is {found:#x}, but must be {expected}")]
    Member { member: Cow<'static, str>, found: u64, expected: Cow<'static, str> },

    /// No such VF.
    #[error("{vf} is not allocated")]
    UnknownVf { vf: VfId },
    /// No such VPort.
    #[error("{vport} does not exist")]
    #[serde(rename = "unknown_vport")]
    UnknownVPort { vport: VPortId },
    /// No such filter.
    #[error("{filter} does not exist")]
    UnknownFilter { filter: FilterId },
    /// No such VM queue.
    #[error("{queue} does not exist")]
    UnknownQueue { queue: QueueId },
    /// A report that concerns an earlier queue of the same id.
    #[error("generation {found} of {queue} is over: {current} is the present one")]
    StaleQueue { queue: QueueId, found: u64, current: u64 },
    /// The adapter has no switch now.
    #[error("the adapter has no NIC switch")]
    NoSwitch,
    /// The NIC switch refused.
    #[error("{reason}")]
    Switch { kind: SwitchRefusal, reason: String },
    /// A VM queue refused.
    #[error("{reason}")]
    Queue { kind: SwitchRefusal, reason: String },
    /// A batch names a queue twice.
    #[error("{queue} is named twice in one batch")]
    RepeatedQueue { queue: QueueId },
    /// A filter is named together with a queue on which it does not stand.
    #[error("{filter} stands on {on}, not on {queue}")]
    FilterNotOnQueue { filter: FilterId, on: QueueId, queue: QueueId },
    /// There is a switch already.
    #[error("NIC switch 0 exists already, and an adapter has one at most")]
    SwitchExists,
    /// A statically created switch is not what was asked for.
    #[error("the NIC switch was created with other parameters when the adapter was initialized")]
    SwitchDiffers,
    /// Virtualization is on already, or cannot be turned on.
    #[error("virtualization cannot be enabled: {reason}")]
    Virtualization { reason: String },
    /// Every id of a kind is taken.
    #[error("every id of a nondefault VPort, 1 to {max}, is in use")]
    #[serde(rename = "no_vport_id")]
    NoVPortId { max: u32 },
    /// Every VM queue is in use.
    #[error("every id of a VM queue, 1 to {max}, is in use")]
    NoQueueId { max: u32 },
    /// Someone else made the object.
    #[error("{vport} was created by another client, which alone may change it")]
    #[serde(rename = "not_vport_creator")]
    NotVPortCreator { vport: VPortId },
    /// Someone else allocated the VF.
    #[error("{vf} was allocated by another client, which alone may free it or attach to it")]
    NotVfCreator { vf: VfId },
    /// Someone else allocated the queue.
    #[error("{queue} was allocated by another client, which alone may change it")]
    NotQueueCreator { queue: QueueId },
    /// Someone else set the filter.
    #[error("{filter} was set by another client, which alone may move or clear it")]
    NotFilterCreator { filter: FilterId },
    /// The setting is stored for the next start.
    #[error("{num_vfs} VFs are stored and take effect when the adapter is initialized again")]
    ReinitRequired { num_vfs: u16 },

    /// The access leaves configuration space.
    #[error("{length} bytes at offset {offset:#x} are not within the 4096 bytes of configuration space")]
    ConfigSpaceRange { offset: u32, length: u32 },
    /// No such block.
    #[error("configuration block {block} does not exist: blocks go from 0 to {last}", last = NUM_BLOCKS - 1)]
    UnknownBlock { block: u32 },
    /// The PF writes this block.
    #[error("configuration block {block} is written by the PF and can only be read")]
    BlockReadOnly { block: u32 },
    /// The transfer is empty or too long.
    #[error(
        "{length} bytes of configuration block {block} were asked for, but a transfer has 1 to {MAX_BLOCK_SIZE}"
    )]
    BlockLength { block: u32, length: u32 },
    /// A VF has no such BAR.
    #[error("BAR {bar} of a VF does not exist")]
    UnknownBar { bar: u16 },
    /// A VF that wakes cannot be asked to work.
    #[error("a VF that goes to D0 cannot have wake enabled")]
    WakeInD0,
    /// The function has no such state.
    #[error("a VF has the power states D0 and D3, not the one asked for")]
    PowerState,
    /// Nobody assigned a serial number yet.
    #[error("{vf} has no serial number yet")]
    NoSerialNumber { vf: VfId },
}

/// What a refusal asks of the caller: what the status is made from.
enum Class {
    /// Not this adapter, or not now.
    NotSupported,
    InvalidOid,
    NotAccepted,
    /// A longer buffer.
    Length,
    /// Another value.
    Member,
    /// Another time.
    Failure,
    Reinit,
}

impl Refusal {
    /// A member that must have another value.
    pub(crate) fn member(member: &'static str, found: impl Into<u64>, expected: &'static str) -> Self {
        Self::Member { member: member.into(), found: found.into(), expected: expected.into() }
    }

    fn class(&self) -> Class {
        match self {
            Self::UnknownOid { .. } => Class::InvalidOid,
            Self::RequestType { .. }
            | Self::NotSupported { .. }
            | Self::SriovDisabled { .. }
            | Self::VmqDisabled { .. }
            | Self::ReceiveFiltersDisabled { .. }
            | Self::NoSwitch
            | Self::OnlyNdisIssues { .. } => Class::NotSupported,
            Self::Halted => Class::NotAccepted,
            Self::BufferTooShort { .. } => Class::Length,
            Self::ReinitRequired { .. } => Class::Reinit,
            Self::Switch { kind: SwitchRefusal::Exhausted, .. }
            | Self::Queue { kind: SwitchRefusal::Exhausted, .. }
            | Self::Virtualization { .. }
            | Self::NoVPortId { .. }
            | Self::NoQueueId { .. }
            | Self::NoSerialNumber { .. } => Class::Failure,
            _ => Class::Member,
        }
    }

    /// The status with which the miniport refuses.
    ///
    /// No source names a status for "no VF, VPort, filter or queue pair left": `FAILURE` is used (ndis.md A.3).
    pub fn miniport_status(&self) -> NdisStatus {
        match self.class() {
            Class::NotSupported => NdisStatus::NotSupported,
            Class::InvalidOid => NdisStatus::InvalidOid,
            Class::NotAccepted => NdisStatus::NotAccepted,
            Class::Length => NdisStatus::InvalidLength,
            Class::Member => NdisStatus::InvalidParameter,
            Class::Failure => NdisStatus::Failure,
            Class::Reinit => NdisStatus::ReinitRequired,
        }
    }

    /// The status with which the NDIS layer refuses a request of `oid`.
    ///
    /// The layers differ in one thing (ndis.md 0.11): what NDIS finds wrong with the object that is to go is
    /// `FILE_NOT_FOUND`, and as NDIS looks first, that is what a caller sees.
    pub fn ndis_status(&self, oid: Oid) -> NdisStatus {
        let removes =
            matches!(oid, Oid::NicSwitchDeleteSwitch | Oid::NicSwitchFreeVf | Oid::ReceiveFilterClearFilter);
        match self.class() {
            Class::Member if removes => NdisStatus::FileNotFound,
            _ => self.miniport_status(),
        }
    }
}

impl From<ErrorKind> for SwitchRefusal {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidParameter => Self::InvalidParameter,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::InUse => Self::InUse,
            ErrorKind::Exhausted => Self::Exhausted,
        }
    }
}

impl From<SwitchError> for Refusal {
    fn from(error: SwitchError) -> Self {
        Self::Switch { kind: error.kind().into(), reason: error.to_string() }
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::QueueNotFound { queue } => Self::UnknownQueue { queue },
            _ => Self::Queue { kind: error.kind().into(), reason: error.to_string() },
        }
    }
}
