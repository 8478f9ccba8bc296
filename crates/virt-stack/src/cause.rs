//! Why a state was left.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AdapterId, Step};

/// What moved an adapter from one [`VfState`](crate::VfState) to another. Printed, it is a clause: "... because
/// {cause}".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum Cause {
    /// Its weight gives it a VF.
    #[error("its weight gives it a VF")]
    Assigned,
    /// The VF is made.
    #[error("its VF is made")]
    Made,
    /// The VMM can be asked to plug it in.
    #[error("the VMM can plug it in")]
    PlugAsked,
    /// The device is plugged in.
    #[error("the device is plugged in")]
    Plugged,
    /// The VMM had the device already, from an earlier life of the daemon, and it is connected.
    #[error("the VMM had the device already")]
    Adopted,
    /// The guest enabled a receive queue.
    #[error("the guest's driver is up")]
    DriverUp,
    /// The guest closed its receive ring.
    #[error("the guest closed its receive ring")]
    DriverDown,
    /// The guest gave the device up.
    #[error("the guest's driver is gone")]
    DriverGone,
    /// The receive filter is on the VF's VPort.
    #[error("its filter is on the VF's VPort")]
    FilterMoved,
    /// Frames were held for as long as they may be.
    #[error("its frames were held for as long as they may be")]
    HoldExpired,
    /// A heavier adapter takes the VF.
    #[error("{name} has the greater weight {weight}")]
    Outweighed {
        /// The heavier one.
        by: AdapterId,
        /// Its VM and name.
        name: String,
        /// Its weight.
        weight: u8,
    },
    /// Its weight became 0.
    #[error("its iov_weight is 0")]
    WeightZero,
    /// Its policy needs the extensible switch.
    #[error("{reason}")]
    Policy {
        /// Why.
        reason: String,
    },
    /// Its VM stopped.
    #[error("its VM does not run")]
    VmStopped,
    /// It is wanted otherwise than the VF was made.
    #[error("its configuration asks for another VF")]
    AdapterChanged,
    /// It is no longer wanted.
    #[error("the adapter is removed")]
    AdapterRemoved,
    /// It is no longer above the NIC.
    #[error("its switch is not above the SR-IOV adapter")]
    NotAboveNic,
    /// An operator said so.
    #[error("an operator said so")]
    Operator,
    /// The QMP of its VMM was lost.
    #[error("the QMP of its VMM is lost")]
    VmmLost,
    /// The VMM could not plug it in.
    #[error("the VMM could not plug it in: {error}")]
    PlugFailed {
        /// What the VMM said.
        error: String,
    },
    /// The NIC refused a request.
    #[error("{step} was refused: {error}")]
    OidRefused {
        /// Which.
        step: Step,
        /// Why.
        error: String,
    },
    /// The device left the VM although nobody had asked.
    #[error("the device was taken out of the VM")]
    DeviceRemoved,
    /// The device left the VM as it was asked to.
    #[error("the guest let go of it")]
    Unplugged,
    /// The guest refused to let go.
    #[error("the guest refused to let go of it")]
    UnplugRefused,
    /// The guest did not let go in time.
    #[error("the guest did not let go of it in time")]
    UnplugTimedOut,
    /// It was plugged in by hand, so nobody could be asked to unplug it.
    #[error("it was plugged in by hand and not unplugged in time")]
    PluggedByHand,
    /// The device of an earlier VF is still plugged in.
    #[error("the guest keeps the device of its last VF")]
    DeviceKept,
    /// The VMM closed the VF's socket.
    #[error("the VMM closed the VF's socket")]
    SocketLost,
    /// The VF failed.
    #[error("the VF failed: {error}")]
    Fault {
        /// How.
        error: String,
    },
    /// The filter is off the VF's VPort.
    #[error("its filter is off the VF's VPort")]
    FilterBack,
    /// A refused step is tried again.
    #[error("the refused step succeeded")]
    RetrySucceeded,
    /// Nothing is left of the VF.
    #[error("nothing is left of the VF")]
    TornDown,
}

impl Cause {
    /// Whether a VF that ends for this reason failed, so that the next one has to wait.
    pub(crate) const fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::PlugFailed { .. }
                | Self::OidRefused { .. }
                | Self::DeviceRemoved
                | Self::SocketLost
                | Self::Fault { .. }
        )
    }
}
