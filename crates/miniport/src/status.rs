//! Status values of OID requests and the indications of an adapter (ndis.md A.2).

use core::fmt;

use serde::{Deserialize, Serialize};

/// The answer to an OID request.
///
/// Every request but one completes before it returns. FREE_QUEUE is answered with [`Pending`](Self::Pending) and completes
/// when the data path has let go of the queue; if the adapter is halted before, with
/// [`RequestAborted`](Self::RequestAborted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NdisStatus {
    /// The request is done.
    Success,
    /// The request completes later.
    Pending,
    /// The adapter cannot take the request now: it is halted.
    NotAccepted,
    /// The request is well-formed and could not be carried out, for example because a pool is empty.
    Failure,
    /// A member of the structure has a value that is not allowed.
    InvalidParameter,
    /// Memory or another resource of the host is short.
    Resources,
    /// The adapter does not have the feature, or the feature is off.
    NotSupported,
    /// A reset of the adapter ended the request.
    RequestAborted,
    /// The buffer is shorter than the structure and its payload; the response says how many bytes are needed.
    InvalidLength,
    /// The data in the buffer contradict themselves.
    InvalidData,
    /// The output does not fit into the buffer.
    BufferTooShort,
    /// The number is no OID that this adapter knows of.
    InvalidOid,
    /// The object that the request names does not exist, or is not in a state in which it can go.
    FileNotFound,
    /// The data are not accepted.
    DataNotAccepted,
    /// The setting is stored and takes effect when the adapter is initialized again.
    ReinitRequired,
}

impl NdisStatus {
    /// Every status, in the order of ndis.md A.2.
    pub const ALL: [Self; 15] = [
        Self::Success,
        Self::Pending,
        Self::NotAccepted,
        Self::Failure,
        Self::InvalidParameter,
        Self::Resources,
        Self::NotSupported,
        Self::RequestAborted,
        Self::InvalidLength,
        Self::InvalidData,
        Self::BufferTooShort,
        Self::InvalidOid,
        Self::FileNotFound,
        Self::DataNotAccepted,
        Self::ReinitRequired,
    ];

    /// The 32-bit `NDIS_STATUS` value.
    ///
    /// No source at hand spells out the values of `STATUS_DATA_NOT_ACCEPTED` and `STATUS_NDIS_REINIT_REQUIRED`; those
    /// used here are from general knowledge of the NTSTATUS list (the latter in the NDIS facility, 0x23).
    pub const fn value(self) -> u32 {
        match self {
            Self::Success => 0x0000_0000,
            Self::Pending => 0x0000_0103,
            Self::NotAccepted => 0x0001_0003,
            Self::Failure => 0xC000_0001,
            Self::InvalidParameter => 0xC000_000D,
            Self::Resources => 0xC000_009A,
            Self::NotSupported => 0xC000_00BB,
            Self::RequestAborted => 0xC001_000C,
            Self::InvalidLength => 0xC001_0014,
            Self::InvalidData => 0xC001_0015,
            Self::BufferTooShort => 0xC001_0016,
            Self::InvalidOid => 0xC001_0017,
            Self::FileNotFound => 0xC001_001B,
            Self::DataNotAccepted => 0xC000_021B,
            Self::ReinitRequired => 0xC023_0030,
        }
    }

    /// The status with this 32-bit value, if there is one.
    pub fn from_value(value: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.value() == value)
    }

    /// The name without its `NDIS_STATUS_` prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Pending => "PENDING",
            Self::NotAccepted => "NOT_ACCEPTED",
            Self::Failure => "FAILURE",
            Self::InvalidParameter => "INVALID_PARAMETER",
            Self::Resources => "RESOURCES",
            Self::NotSupported => "NOT_SUPPORTED",
            Self::RequestAborted => "REQUEST_ABORTED",
            Self::InvalidLength => "INVALID_LENGTH",
            Self::InvalidData => "INVALID_DATA",
            Self::BufferTooShort => "BUFFER_TOO_SHORT",
            Self::InvalidOid => "INVALID_OID",
            Self::FileNotFound => "FILE_NOT_FOUND",
            Self::DataNotAccepted => "DATA_NOT_ACCEPTED",
            Self::ReinitRequired => "REINIT_REQUIRED",
        }
    }
}

impl fmt::Display for NdisStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an adapter tells the stack on its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Indication {
    /// A VM queue changed its state.
    ReceiveQueueState,
    /// A VF wants its configuration looked at.
    VfConfigState,
    /// The receive-filter features in use changed.
    ReceiveFilterCurrentCapabilities,
    /// The receive-filter features of the hardware changed.
    ReceiveFilterHardwareCapabilities,
    /// The parameters of a VM queue changed.
    ReceiveFilterQueueParameters,
    /// The NIC-switch features in use changed.
    NicSwitchCurrentCapabilities,
    /// The NIC-switch features of the hardware changed.
    NicSwitchHardwareCapabilities,
    /// A VM queue went from one operational state to another.
    ReceiveFilterQueueStateChange,
    /// The MAC address in use changed.
    CurrentMacAddressChange,
    /// The largest frame changed.
    L2MtuSizeChange,
}

impl Indication {
    /// The 32-bit `NDIS_STATUS` value of the indication.
    pub const fn value(self) -> u32 {
        match self {
            Self::ReceiveQueueState => 0x4002_000D,
            Self::VfConfigState => 0x4002_000E,
            Self::ReceiveFilterCurrentCapabilities => 0x4002_0010,
            Self::ReceiveFilterHardwareCapabilities => 0x4002_0020,
            Self::ReceiveFilterQueueParameters => 0x4002_0030,
            Self::NicSwitchCurrentCapabilities => 0x4002_0040,
            Self::NicSwitchHardwareCapabilities => 0x4002_0050,
            Self::ReceiveFilterQueueStateChange => 0x4002_0070,
            Self::CurrentMacAddressChange => 0x4002_00B0,
            Self::L2MtuSizeChange => 0x4002_00B1,
        }
    }
}
