//! Where an adapter is in the life of a VF.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The life of a VF, as its adapter sees it.
///
/// ```text
///   Synthetic -> Allocating -> Offered -> Plugging -> AwaitingDriver -> Activating -> Active
///                                                          ^                ^           |
///                                                          |                +-- Held <--+   ring closed
///                                                          +---------------------+          hold expired, driver gone
///   any of them -> Leaving -> TearingDown -> Synthetic
///                     |           ^  |
///                     v           |  v
///                  Surprise ------+  Quarantined
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum VfState {
    /// It has no VF: [`NoVf`](crate::NoVf) says why.
    #[default]
    Synthetic,
    /// ALLOCATE_VF, CREATE_VPORT and the VPort's security are being asked for (`spec/ndis.md` C.3).
    Allocating,
    /// The VF exists, and is to be plugged in: by its VMM as soon as that can be asked, or by hand.
    Offered,
    /// The VMM was asked to plug it in.
    Plugging,
    /// It is plugged in, and its driver is not up, was down for longer than frames are held, or has gone up and
    /// down so often that its filter stays where it is for a moment. The guest is served by its synthetic adapter.
    AwaitingDriver,
    /// The driver is up, and MOVE_FILTER to the VF's VPort is being asked for.
    Activating,
    /// The guest is served by its VF.
    Active,
    /// The guest has closed its receive ring: its driver begins anew, or begins to go. It hears on neither path,
    /// and its frames are held.
    Held,
    /// The guest was asked to let go of its VF, and may use it until it does.
    Leaving,
    /// The VF is taken away without the guest's consent; its filter goes back at once. The VMM was told to remove
    /// the device at once as well, for until then the guest hears nothing.
    Surprise,
    /// What was made is being undone: DELETE_VPORT, RESET_VF, FREE_VF (C.5).
    TearingDown,
    /// A step of that was refused. It is tried again, ever less often, and nobody gets the VF meanwhile.
    Quarantined,
}

impl VfState {
    /// Whether there is, or is about to be, a VF.
    #[must_use]
    pub const fn has_vf(self) -> bool {
        !matches!(self, Self::Synthetic)
    }

    /// Whether a VMM has the device plugged in as far as the stack can know, and a guest may use it.
    pub(crate) const fn is_plugged(self) -> bool {
        matches!(self, Self::AwaitingDriver | Self::Activating | Self::Active | Self::Held | Self::Leaving)
    }

    /// Whether what was made is to be undone.
    pub(crate) const fn is_ending(self) -> bool {
        matches!(self, Self::Surprise | Self::TearingDown | Self::Quarantined)
    }
}

/// The two ways by which frames reach a guest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// Its synthetic adapter.
    #[default]
    Synthetic,
    /// Its VF.
    Vf,
}

/// The OID requests of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// OID_RECEIVE_FILTER_SET_FILTER, on the synthetic VPort.
    SetFilter,
    /// OID_RECEIVE_FILTER_CLEAR_FILTER.
    ClearFilter,
    /// OID_RECEIVE_FILTER_MOVE_FILTER to the VF's VPort.
    MoveFilterToVf,
    /// OID_RECEIVE_FILTER_MOVE_FILTER to the synthetic VPort.
    MoveFilterBack,
    /// OID_NIC_SWITCH_ALLOCATE_VF.
    AllocateVf,
    /// OID_NIC_SWITCH_CREATE_VPORT.
    #[serde(rename = "create_vport")]
    CreateVPort,
    /// OID_SOFTIOV_VPORT_PORT_SECURITY.
    SetPortSecurity,
    /// OID_NIC_SWITCH_DELETE_VPORT.
    #[serde(rename = "delete_vport")]
    DeleteVPort,
    /// OID_SRIOV_RESET_VF.
    ResetVf,
    /// OID_NIC_SWITCH_FREE_VF.
    FreeVf,
}

impl Step {
    /// The request in the words of NDIS.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetFilter => "SET_FILTER",
            Self::ClearFilter => "CLEAR_FILTER",
            Self::MoveFilterToVf => "MOVE_FILTER to the VF",
            Self::MoveFilterBack => "MOVE_FILTER from the VF",
            Self::AllocateVf => "ALLOCATE_VF",
            Self::CreateVPort => "CREATE_VPORT",
            Self::SetPortSecurity => "SET of the port security",
            Self::DeleteVPort => "DELETE_VPORT",
            Self::ResetVf => "RESET_VF",
            Self::FreeVf => "FREE_VF",
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
