//! Why a request to the switch is refused.

use ethernet::MacAddr;

use crate::{Guid, InvalidPolicy, MAX_NAME_UNITS, MAX_PORTS, NicState, NicType, PortId, PortState, PortType};

/// What a refusal means to the caller, whatever its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// What the request names does not exist.
    NotFound,
    /// The request is wrong in itself, or breaks a rule of this switch.
    InvalidParameter,
    /// The request is not allowed in the present state.
    InvalidState,
    /// An extension refuses it, `NDIS_STATUS_DATA_NOT_ACCEPTED`: asking again is of no use.
    DataNotAccepted,
    /// Something is used up, `NDIS_STATUS_RESOURCES`: it may be granted later.
    Resources,
    /// The caller's buffer is too small, `NDIS_STATUS_BUFFER_TOO_SHORT`.
    BufferTooShort,
}

/// A request to the switch is refused, and nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the values named in the messages")]
pub enum SwitchError {
    /// There is no such port.
    #[error("{port} does not exist")]
    PortNotFound { port: PortId },
    /// There is no NIC on the port.
    #[error("{port} has no NIC; create one first")]
    NicNotFound { port: PortId },
    /// There is a NIC on the port already.
    #[error("{port} has a NIC; disconnect and delete that first")]
    NicExists { port: PortId },
    /// The request needs another state of the port.
    #[error("{port} is in the state {state:?}, in which {request} is not allowed")]
    PortInState { port: PortId, state: PortState, request: &'static str },
    /// The request needs another state of the NIC.
    #[error("the NIC on {port} is in the state {state:?}, in which {request} is not allowed")]
    NicInState { port: PortId, state: NicState, request: &'static str },
    /// Somebody still holds references.
    #[error("{count} references are held on {what} of {port}; it can be deleted when they are given back")]
    Referenced { port: PortId, what: &'static str, count: u32 },
    /// More references given back than taken, or so many taken that they cannot be counted.
    #[error("no further reference on {port} can be {what}")]
    ReferenceCount { port: PortId, what: &'static str },
    /// All port numbers are in use.
    #[error("all {MAX_PORTS} ports are in use")]
    NoFreePort,
    /// A switch of this type has no such port.
    #[error("a switch of the type {switch} takes no {kind:?} port")]
    PortTypeOfSwitch { switch: crate::SwitchType, kind: PortType },
    /// An external switch has one external port.
    #[error("{port} is the external port already; a switch has one")]
    SecondExternalPort { port: PortId },
    /// A NIC of this type does not fit on the port.
    #[error("{port} is of the type {kind:?}, which takes no NIC of the type {nic:?}")]
    NicTypeOfPort { port: PortId, kind: PortType, nic: NicType },
    /// A validation port takes no NIC.
    #[error("{port} was made for validation only and takes no NIC; create an operational port")]
    ValidationPort { port: PortId },
    /// A NIC needs an address of its own.
    #[error("{mac} cannot be the address of a NIC: it must be a unicast address other than zero")]
    MacInvalid { mac: MacAddr },
    /// An address is one station's.
    #[error("{mac} is the address of the NIC on {port} already; addresses are unique on a switch")]
    MacInUse { mac: MacAddr, port: PortId },
    /// A name is too long.
    #[error("the name has {units} UTF-16 units, more than the {MAX_NAME_UNITS} allowed")]
    NameTooLong { units: usize },
    /// A policy is not possible.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// The minimum bandwidths of all ports together would exceed the switch's.
    #[error("{asked} bit/s of minimum bandwidth are asked for, but {free} bit/s are free")]
    Bandwidth { asked: u64, free: u64 },
    /// An extension refuses.
    #[error("the extension {name:?} refuses: {reason}")]
    Vetoed { name: String, reason: String, retry: bool },
    /// The extension is there already, or a second one that forwards.
    #[error("the extension {id} cannot be added: {reason}")]
    ExtensionRefused { id: Guid, reason: &'static str },
    /// No such extension.
    #[error("there is no extension {id}")]
    ExtensionNotFound { id: Guid },
    /// A record of a saved NIC does not fit the caller's buffer.
    #[error("the next record needs {needed} bytes, but the buffer has {given}")]
    BufferTooShort { needed: usize, given: usize },
    /// An extension saved more than a record can hold.
    #[error("the record of the extension {id} has {length} bytes, more than the {max} allowed", max = crate::MAX_SAVE_DATA)]
    RecordTooLong { id: Guid, length: usize },
    /// A saved record is damaged.
    #[error("the record of {what} cannot be restored: {reason}")]
    RecordInvalid { what: &'static str, reason: &'static str },
    /// The table of static addresses is full.
    #[error("all {max} static addresses are in use", max = crate::MAX_STATIC_ADDRESSES)]
    StaticTableFull,
    /// No such static address.
    #[error("{mac} in VLAN {vlan} is no static address")]
    StaticNotFound { mac: MacAddr, vlan: u16 },
    /// So many captures run already.
    #[error("{max} captures run already; stop one first", max = crate::MAX_CAPTURES)]
    TooManyCaptures,
    /// No such capture.
    #[error("there is no capture {id}")]
    CaptureNotFound { id: u32 },
}

impl SwitchError {
    /// What the refusal means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::PortNotFound { .. }
            | Self::NicNotFound { .. }
            | Self::ExtensionNotFound { .. }
            | Self::StaticNotFound { .. }
            | Self::CaptureNotFound { .. } => ErrorKind::NotFound,
            Self::NicExists { .. }
            | Self::PortInState { .. }
            | Self::NicInState { .. }
            | Self::Referenced { .. }
            | Self::ReferenceCount { .. } => ErrorKind::InvalidState,
            Self::NoFreePort
            | Self::Bandwidth { .. }
            | Self::StaticTableFull
            | Self::TooManyCaptures
            | Self::Vetoed { retry: true, .. } => ErrorKind::Resources,
            Self::Vetoed { retry: false, .. } => ErrorKind::DataNotAccepted,
            Self::BufferTooShort { .. } => ErrorKind::BufferTooShort,
            Self::PortTypeOfSwitch { .. }
            | Self::SecondExternalPort { .. }
            | Self::NicTypeOfPort { .. }
            | Self::ValidationPort { .. }
            | Self::MacInvalid { .. }
            | Self::MacInUse { .. }
            | Self::NameTooLong { .. }
            | Self::Policy(_)
            | Self::ExtensionRefused { .. }
            | Self::RecordTooLong { .. }
            | Self::RecordInvalid { .. } => ErrorKind::InvalidParameter,
        }
    }
}
