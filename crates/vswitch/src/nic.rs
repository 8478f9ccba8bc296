//! A NIC connected to a port (`spec/ndis.md` E.1, E.4).

use ethernet::MacAddr;
use nic_switch::BumPath;
use serde::{Deserialize, Serialize};

use crate::Security;

/// `NDIS_SWITCH_NIC_TYPE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NicType {
    /// The physical adapter.
    External,
    /// A VM's synthetic adapter.
    #[default]
    Synthetic,
    /// A VM's emulated adapter.
    Emulated,
    /// An adapter of the host.
    Internal,
}

/// `NDIS_SWITCH_NIC_STATE` of a NIC that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NicState {
    /// It may send, but is no destination yet.
    Created,
    /// It sends and receives.
    Connected,
    /// It only waits for its references to be given back.
    Disconnected,
}

/// Where the guest's traffic goes while it has a VF. Frames on the VF's path bypass this switch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VfPath {
    /// It has no VF.
    #[default]
    None,
    /// `VFAssigned`, but its receive filter is still on the default VPort: everything comes through this switch.
    Assigned,
    /// `VFAssigned`, and its receive filter is on the VF's VPort: unicast reaches it through the external port and the
    /// NIC switch behind; broadcast and multicast too with [`BumPath::Vf`], but through this switch with
    /// [`BumPath::Synthetic`].
    Active(BumPath),
}

/// `NDIS_SWITCH_NIC_PARAMETERS`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NicParameters {
    /// Opaque; at most [`crate::MAX_NAME_UNITS`] UTF-16 units.
    pub name: String,
    /// Whose it is: adapters of the same partition may share addresses if both allow teaming. Empty for none.
    pub partition: String,
    /// What it is; its port must take it.
    pub kind: NicType,
    /// `PermanentMacAddress`. Zero for an external NIC.
    pub permanent_mac: MacAddr,
    /// `VMMacAddress`: what the guest set, in effect while [`Security::allow_mac_spoofing`].
    pub vm_mac: Option<MacAddr>,
    /// The address that a team in the guest took over, in effect while [`Security::allow_teaming`].
    pub team_mac: Option<MacAddr>,
    /// Largest layer 3 packet in bytes; told to extensions, not enforced here.
    pub mtu: u32,
    /// Its VF.
    pub vf: VfPath,
    /// The NUMA node of its memory, if known.
    pub numa_node: Option<u16>,
}

impl NicParameters {
    /// `CurrentMacAddress` (`spec/ndis.md` E.4): of those that the policy allows, the one that was set for the most
    /// special cause.
    #[must_use]
    pub fn current_mac(&self, security: &Security) -> MacAddr {
        let team = self.team_mac.filter(|_| security.allow_teaming);
        let vm = self.vm_mac.filter(|_| security.allow_mac_spoofing);
        team.or(vm).unwrap_or(self.permanent_mac)
    }
}

/// What `OID_SWITCH_NIC_UPDATED` changes of a connected NIC; `None` leaves as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NicChanges {
    /// Another `VMMacAddress`; zero for none.
    pub vm_mac: Option<MacAddr>,
    /// Another address taken over by a team; zero for none.
    pub team_mac: Option<MacAddr>,
    /// Another MTU.
    pub mtu: Option<u32>,
    /// Another state of the VF.
    pub vf: Option<VfPath>,
}

/// Why a NIC stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspension {
    /// `SUSPENDED`: `OID_SWITCH_NIC_SUSPEND`.
    Suspended,
    /// `SUSPENDED_LM`: its VM is in the last phase of a live migration away from here.
    LiveMigration,
}

/// A NIC.
#[derive(Debug, Clone)]
pub struct Nic {
    pub(crate) parameters: NicParameters,
    pub(crate) state: NicState,
    pub(crate) suspension: Option<Suspension>,
    pub(crate) references: u32,
    /// The removal of its VF was asked for; once per VF.
    pub(crate) vf_removal_told: bool,
}

impl Nic {
    /// Its parameters as they are now.
    #[must_use]
    pub const fn parameters(&self) -> &NicParameters {
        &self.parameters
    }

    /// Its state.
    #[must_use]
    pub const fn state(&self) -> NicState {
        self.state
    }

    /// Why it stands still, if it does.
    #[must_use]
    pub const fn suspension(&self) -> Option<Suspension> {
        self.suspension
    }

    /// References that are held on it.
    #[must_use]
    pub const fn references(&self) -> u32 {
        self.references
    }

    /// Whether frames that it sends enter the switch (`spec/ndis.md` E.4, last column).
    #[must_use]
    pub fn sends(&self) -> bool {
        self.state != NicState::Disconnected && self.suspension.is_none()
    }

    /// Whether it may be a destination (`spec/ndis.md` E.2).
    #[must_use]
    pub fn receives(&self) -> bool {
        self.state == NicState::Connected && self.suspension.is_none()
    }
}
