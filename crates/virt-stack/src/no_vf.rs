//! Why an adapter is not served by a VF.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AdapterId, Cause, Step, Time};

/// Why an adapter is not on a VF. Printed, it is a sentence; [`remedy`](Self::remedy) says what would have to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum NoVf {
    /// It is being removed.
    #[error("The adapter is being removed.")]
    Removed,
    /// Its switch has no NIC.
    #[error("Its switch is not the external one, above the SR-IOV adapter.")]
    NotAboveNic,
    /// Weight 0.
    #[error("Its iov_weight is 0.")]
    WeightZero,
    /// Its VM is not there.
    #[error("Its VM does not run.")]
    VmNotRunning,
    /// The VMM cannot be asked.
    #[error("The QMP of its VMM cannot be reached, so that no VF can be plugged in.")]
    VmmUnreachable,
    /// Policy.
    #[error("It must not have a VF, because {forbids}.")]
    Policy {
        /// Why.
        forbids: String,
    },
    /// An operator.
    #[error("An operator keeps it on its synthetic adapter.")]
    Operator,
    /// More queue pairs than any VF can have.
    #[error("It asks for {asked} queue pairs, and a VF has 1 to {max}.")]
    QueuePairs {
        /// What it asks for.
        asked: u32,
        /// What a VF may have.
        max: u32,
    },
    /// Another number of queue pairs than those of other VPorts.
    #[error("It asks for {asked} queue pairs, but every VPort of this NIC has the same number, {others}.")]
    Asymmetric {
        /// What it asks for.
        asked: u32,
        /// What the others have.
        others: u32,
    },
    /// Its receive filter could not be set.
    #[error("Its receive filter is not set: {error}.")]
    NoFilter {
        /// What the NIC said, or that it was not asked yet.
        error: String,
    },
    /// The device of its last VF is still there.
    #[error("Its guest still has the device of its last VF plugged in.")]
    DeviceKept,
    /// Its last VF failed.
    #[error("Its last VF failed, because {cause}; there is no other before {until}.")]
    CoolingDown {
        /// How it failed.
        cause: Cause,
        /// When it gets another.
        until: Time,
    },
    /// No VF was enabled.
    #[error("The NIC has no VFs.")]
    NoVfs,
    /// Others have them all.
    #[error(
        "All {num_vfs} VFs are taken by adapters that come before it; the last of them is {name} with \
         iov_weight {weight}."
    )]
    AllTaken {
        /// VFs that may be given.
        num_vfs: u16,
        /// The lightest holder.
        lightest: AdapterId,
        /// Its VM and name.
        name: String,
        /// Its weight.
        weight: u8,
    },
    /// It is heavier than a holder, which is safe for now.
    #[error("It takes the VF of {name}, which has iov_weight {weight}, but not before {until}.")]
    NotYet {
        /// The holder.
        holder: AdapterId,
        /// Its VM and name.
        name: String,
        /// Its weight.
        weight: u8,
        /// Until when the holder is safe.
        until: Time,
    },
    /// Something else than VFs is used up.
    #[error("It needs {needs} {budget}, and {left} are left.")]
    BudgetExhausted {
        /// Of what there is too little.
        budget: Budget,
        /// What its VF needs.
        needs: u32,
        /// What is left by adapters that come before it.
        left: u32,
    },
    /// A VF comes free for it.
    #[error("It is next for a VF that is being freed.")]
    Next,
    /// The VF is being made.
    #[error("Its VF is being made.")]
    Allocating,
    /// The VF waits for its VMM.
    #[error("Its VF waits until the VMM can plug it in.")]
    Offered,
    /// The VF waits for a person.
    #[error("Its VF waits to be plugged in by hand.")]
    PlugByHand,
    /// The VF is being plugged in.
    #[error("Its VF is being plugged in.")]
    Plugging,
    /// The driver is not up.
    #[error("Its VF is plugged in, but no driver in the guest has enabled a receive queue.")]
    NoDriver,
    /// The filter is being moved.
    #[error("Its filter is being moved to the VF.")]
    Activating,
    /// The receive ring is closed.
    #[error("The guest has closed the receive ring of its VF; its frames are held.")]
    RingClosed,
    /// The VF is being taken away.
    #[error("Its VF is being taken away, because {cause}.")]
    Leaving {
        /// Why.
        cause: Cause,
    },
    /// The VF cannot be freed.
    #[error("Its last VF is in quarantine: {step} was refused: {error}.")]
    Quarantined {
        /// What was refused.
        step: Step,
        /// Why.
        error: String,
    },
}

/// What VFs need of a NIC, beside VFs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Nondefault VPorts; only in a single pool can they be short (`spec/ndis.md` D.8).
    #[serde(rename = "vports")]
    VPorts,
    /// Queue pairs.
    QueuePairs,
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::VPorts => "VPorts",
            Self::QueuePairs => "queue pairs",
        })
    }
}

impl NoVf {
    /// What would have to change, as a sentence.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Removed => "Add it again.".into(),
            Self::NotAboveNic => "Connect it to the external switch.".into(),
            Self::WeightZero => "Give it an iov_weight of 1 to 100.".into(),
            Self::VmNotRunning => "Start its VM.".into(),
            Self::VmmUnreachable => "See that the VMM runs and that its QMP socket is the configured one.".into(),
            Self::Policy { .. } => "Remove that policy from its port.".into(),
            Self::Operator => "Order a failover to vf or auto.".into(),
            Self::QueuePairs { max, .. } => format!("Set its iov_queue_pairs to 1 to {max}."),
            Self::Asymmetric { others, .. } => format!("Set its iov_queue_pairs to {others}."),
            Self::NoFilter { .. } => "Free a receive filter or an address of the NIC; it is tried again.".into(),
            Self::DeviceKept | Self::Leaving { .. } => {
                "Nothing, if its guest lets go of the device; otherwise restart the guest or unplug the device.".into()
            }
            Self::CoolingDown { .. } => "Nothing, or order a failover to vf to have it at once.".into(),
            Self::NoVfs => "Give the NIC VFs (num_vfs).".into(),
            Self::AllTaken { weight, name, .. } => {
                format!("Give it an iov_weight above {weight}, take the VF from {name}, or give the NIC more VFs.")
            }
            Self::BudgetExhausted { budget, .. } => {
                format!("Free {budget} of the NIC, ask for fewer, or give it a greater iov_weight.")
            }
            Self::PlugByHand => "Plug the VF's socket into the VM.".into(),
            Self::Offered => "See that the VMM's QMP can be reached.".into(),
            Self::NoDriver | Self::RingClosed => {
                "See that the guest has a driver for the VF (ixgbevf) and that its network interface is up.".into()
            }
            Self::Quarantined { .. } => "Nothing: it is tried again; if it lasts, restart the NIC.".into(),
            Self::NotYet { .. } | Self::Next | Self::Allocating | Self::Plugging | Self::Activating => {
                "Nothing: wait.".into()
            }
        }
    }
}
