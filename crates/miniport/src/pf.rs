//! What a VF's guest asks of its PF through the mailbox, whatever the device's mailbox looks like.

use ethernet::MacAddr;
use nic_switch::VfId;
use serde::{Deserialize, Serialize};

/// The smallest largest-frame that a guest may set: an MTU of 68 (RFC 791) with header and FCS, in bytes.
pub const MIN_MAX_FRAME: u32 = 68 + 18;
/// The largest largest-frame, in bytes: that of the X550.
pub const MAX_MAX_FRAME: u32 = 9728;
/// The largest frame after a reset, in bytes: an MTU of 1500 with header and FCS.
pub const DEFAULT_MAX_FRAME: u32 = 1518;

/// What a guest wants to receive beside its own address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum XcastMode {
    /// Neither broadcast nor multicast.
    None,
    /// Broadcast and the multicast groups of the table.
    #[default]
    Multi,
    /// Broadcast and every multicast group of its VLANs.
    AllMulti,
    /// Every flooded frame of its VLANs as well; never what is addressed to another VPort.
    Promiscuous,
}

/// A request of a VF's guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PfRequest {
    /// The driver resets the VF: forget everything that it was granted.
    Reset,
    /// Use this address.
    SetMac(MacAddr),
    /// Receive these addresses as well, instead of those asked for before.
    SetUnicast(Vec<MacAddr>),
    /// Receive this address as well.
    AddUnicast(MacAddr),
    /// Receive the multicast groups with these 12-bit hashes, instead of those asked for before.
    SetMulticast(Vec<u16>),
    /// Receive this VLAN.
    AddVlan(u16),
    /// No longer receive this VLAN.
    RemoveVlan(u16),
    /// Receive this much.
    SetXcast(XcastMode),
    /// Receive frames up to this many bytes, header and FCS included.
    SetMaxFrame(u32),
    /// Ask for the link.
    QueryLink,
}

/// The answer to a [`PfRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PfReply {
    /// Yes.
    Granted(Grant),
    /// No, and nothing changed.
    Refused(PfRefusal),
}

/// What a granted request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// As asked.
    AsAsked,
    /// The VF is reset.
    Reset {
        /// The address assigned to it; `None` if the stack assigned none.
        mac: Option<MacAddr>,
    },
    /// This mode, which is what was asked for or less.
    Xcast(XcastMode),
    /// The link.
    Link {
        /// The stack has not disabled it.
        enabled: bool,
        /// It is up.
        up: bool,
    },
}

/// Why a guest's request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PfRefusal {
    /// The adapter is halted.
    #[error("the adapter is halted")]
    Halted,
    /// No such VF.
    #[error("{0} is not allocated")]
    UnknownVf(VfId),
    /// The request comes from an earlier holder of the VF.
    #[error("the request is of generation {found}, but the VF is of generation {current}")]
    StaleGeneration {
        /// Of the request.
        found: u64,
        /// Of the VF.
        current: u64,
    },
    /// The VF is not attached to the switch.
    #[error("{0} has no VPort")]
    #[serde(rename = "no_vport")]
    NoVPort(VfId),
    /// Only a trusted guest may use other addresses than the assigned one.
    #[error("{0} is not the assigned address, and the VPort is not trusted")]
    NotTrusted(MacAddr),
    /// The address is zero or a group address.
    #[error("{0} is not a unicast address")]
    NotUnicast(MacAddr),
    /// Another VPort has the address, or there is no room for it.
    #[error("the switch cannot take the addresses: one is in use elsewhere, or there is no room")]
    AddressRefused,
    /// Too many addresses at once.
    #[error("{0} addresses are more than a VPort may have")]
    TooManyAddresses(usize),
    /// A hash has more than 12 bits.
    #[error("multicast hash {0:#x} has more than 12 bits")]
    HashOutOfRange(u16),
    /// The number is no VLAN id.
    #[error("{0} is not a VLAN id: they go from 0 to 4094")]
    VlanOutOfRange(u16),
    /// The VPort is in access or untagged mode, where the guest sees no tags.
    #[error("VLAN {0} cannot be added: the VPort is no trunk")]
    NotTrunk(u16),
    /// The stack does not allow the VLAN.
    #[error("VLAN {0} is not allowed on this VPort")]
    VlanNotAllowed(u16),
    /// The frame size is out of range.
    #[error("{0} bytes is no frame size: it goes from {MIN_MAX_FRAME} to {MAX_MAX_FRAME}")]
    FrameSize(u32),
}

impl PfRefusal {
    /// The name under which refusals of this kind are counted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Halted => "halted",
            Self::UnknownVf(_) => "unknown_vf",
            Self::StaleGeneration { .. } => "stale_generation",
            Self::NoVPort(_) => "no_vport",
            Self::NotTrusted(_) => "not_trusted",
            Self::NotUnicast(_) => "not_unicast",
            Self::AddressRefused => "address_refused",
            Self::TooManyAddresses(_) => "too_many_addresses",
            Self::HashOutOfRange(_) => "hash_out_of_range",
            Self::VlanOutOfRange(_) => "vlan_out_of_range",
            Self::NotTrunk(_) => "not_trunk",
            Self::VlanNotAllowed(_) => "vlan_not_allowed",
            Self::FrameSize(_) => "frame_size",
        }
    }
}
