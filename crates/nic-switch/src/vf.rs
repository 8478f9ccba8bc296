//! Virtual functions as the switch knows them: a number, a generation and what the stack said about it.

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

use crate::VfId;

/// What the stack says about a VF when it allocates it, `NDIS_NIC_SWITCH_VF_PARAMETERS` (`spec/ndis.md` B.5).
///
/// Information only: no filter is made of the addresses, and the texts are opaque to the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VfParameters {
    /// The address that the VF's guest finds in its device; zero if the stack assigned none.
    pub permanent_mac: MacAddr,
    /// The address in use; zero if the stack assigned none.
    pub current_mac: MacAddr,
    /// Opaque; at most [`crate::MAX_NAME_UNITS`] UTF-16 units, like the other texts.
    pub vm_name: String,
    /// Opaque.
    pub vm_friendly_name: String,
    /// Opaque.
    pub nic_name: String,
}

/// An allocated virtual function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vf {
    pub(crate) id: VfId,
    pub(crate) generation: u64,
    pub(crate) parameters: VfParameters,
}

impl Vf {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> VfId {
        self.id
    }

    /// Which allocation this is, never used twice by a switch: what was meant for an earlier holder of the same
    /// [`VfId`] can be told apart and thrown away.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What the stack said at allocation; immutable.
    #[must_use]
    pub const fn parameters(&self) -> &VfParameters {
        &self.parameters
    }
}
