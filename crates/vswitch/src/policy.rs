//! The policies of a port (`spec/ndis.md` E.5, C.10).

mod acl;
mod ip_prefix;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nic_switch::VlanSet;
use serde::{Deserialize, Serialize};

use crate::Guid;

pub use acl::{Acl, AclAction, AclRule, Direction, MAX_ACL_RULES, PortRange};
pub use ip_prefix::{IpPrefix, ParseIpPrefixError};

/// The most bytes of a custom policy.
pub const MAX_CUSTOM_BYTES: usize = 4096;

/// The most custom policies of a port.
pub const MAX_CUSTOM_POLICIES: usize = 16;

/// The largest VLAN id; 0 stands for no VLAN, 4095 is reserved (IEEE 802.1Q).
const MAX_VLAN: u16 = 4094;

/// All policies of a port. The default is that of an adapter just made: untagged, its own address only, no limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortPolicy {
    /// In which VLANs it is. Without effect on the external port, which is in all.
    pub vlan: VlanPolicy,
    /// What it may send.
    pub security: Security,
    /// `StormLimit`: broadcast, multicast and unknown unicast frames per second that it may send; 0 for no limit.
    pub storm_limit: u32,
    /// Bandwidth of what it sends.
    pub bandwidth: Bandwidth,
    /// `DhcpGuard`: it may not answer as a DHCP server.
    pub dhcp_guard: bool,
    /// `RouterGuard`: it may not advertise itself as a router nor redirect.
    pub router_guard: bool,
    /// `PortMirroring`.
    pub mirroring: Mirroring,
    /// Port ACL.
    pub acl: Acl,
    /// Policies that only extensions understand: bytes by the policy's GUID.
    pub custom: BTreeMap<Guid, Vec<u8>>,
}

/// `NDIS_SWITCH_PORT_PROPERTY_VLAN`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "there is one for each port, and sets are compared whole")]
pub enum VlanPolicy {
    /// It sends and receives untagged frames only, and they are in no VLAN.
    #[default]
    Untagged,
    /// It sends and receives untagged frames only, and they are in this VLAN.
    Access(u16),
    /// It sends and receives tagged frames.
    Trunk {
        /// The VLAN of its untagged frames; 0 for none.
        native: u16,
        /// Further VLANs.
        allowed: VlanSet,
        /// Exceptions from `allowed`.
        pruned: VlanSet,
    },
    /// It is in a private VLAN.
    Private {
        /// The primary VLAN.
        primary: u16,
        /// Its place in it.
        role: PrivateRole,
    },
}

/// `NDIS_SWITCH_PORT_PVLAN_MODE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "there is one for each port, and sets are compared whole")]
pub enum PrivateRole {
    /// Talks with promiscuous ports only; sends in this secondary VLAN.
    Isolated(u16),
    /// Talks with promiscuous ports and those of the same secondary VLAN.
    Community(u16),
    /// Talks with the ports of these secondary VLANs; sends in the primary VLAN.
    Promiscuous(VlanSet),
}

/// `NDIS_SWITCH_PORT_PROPERTY_SECURITY`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// `AllowMacSpoofing`: it may send with any address that no other NIC has; the addresses that it sends with are
    /// learned, and frames for unknown addresses are flooded to it.
    pub allow_mac_spoofing: bool,
    /// `AllowIeeePriorityTag`: the priority of its tags is kept, and it sees the priority of what it receives.
    pub allow_ieee_priority_tag: bool,
    /// `AllowTeaming`: it may send with the addresses of its partition's other NICs that allow it too.
    pub allow_teaming: bool,
}

/// Bandwidth of what a port sends, counted as it is on a wire: a frame that is to be cut as all of its segments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bandwidth {
    /// `MaximumBandwidth` in bit/s, at least [`Bandwidth::LEAST`].
    pub maximum: Option<u64>,
    /// `MinimumBandwidthAbsolute` in bit/s, reserved out of the switch's.
    pub minimum: Option<u64>,
    /// `MinimumBandwidthWeight`, 0 to 100: its share when senders compete.
    pub weight: u8,
}

impl Bandwidth {
    /// The least maximum, in bit/s: with less, one large frame would block a port for longer than a TCP connection
    /// bears.
    pub const LEAST: u64 = 100_000;
}

/// `PortMirroring`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mirroring {
    /// Neither.
    #[default]
    None,
    /// What it sends and receives is copied to every destination.
    Source,
    /// It gets these copies.
    Destination,
}

/// A policy that is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the values named in the messages")]
pub enum InvalidPolicy {
    /// A VLAN id out of range.
    #[error("{vlan} is not possible as {what}: a VLAN id is a number from {min} to {MAX_VLAN}")]
    Vlan { vlan: u16, what: &'static str, min: u16 },
    /// A secondary VLAN that is the primary one.
    #[error("{vlan} is the primary VLAN; a secondary VLAN must be another")]
    SecondaryIsPrimary { vlan: u16 },
    /// A private VLAN that contradicts another port's.
    #[error("VLAN {vlan} is {is} of other ports and cannot be {asked} too")]
    VlanConflict { vlan: u16, is: String, asked: String },
    /// A maximum of bandwidth that is too small.
    #[error("a maximum bandwidth of {maximum} bit/s is too small; the least is {least} bit/s", least = Bandwidth::LEAST)]
    MaximumTooSmall { maximum: u64 },
    /// A minimum above the maximum.
    #[error("the minimum bandwidth of {minimum} bit/s exceeds the maximum of {maximum} bit/s")]
    MinimumAboveMaximum { minimum: u64, maximum: u64 },
    /// A weight out of range.
    #[error("a bandwidth weight of {weight} is out of range; it goes from 0 to 100")]
    Weight { weight: u8 },
    /// Too many rules.
    #[error("an ACL of {count} rules is too long; {MAX_ACL_RULES} are allowed")]
    TooManyRules { count: usize },
    /// A rule makes no sense.
    #[error("ACL rule {index} makes no sense: {reason}")]
    Rule { index: usize, reason: &'static str },
    /// An idle time out of range.
    #[error("an idle time of {seconds} s is out of range; it goes from 1 to {max} s", max = Acl::MAX_IDLE_SECONDS)]
    IdleTime { seconds: u32 },
    /// Too many custom policies.
    #[error("a port takes {MAX_CUSTOM_POLICIES} custom policies, not {count}")]
    TooManyCustom { count: usize },
    /// A custom policy too long.
    #[error("the custom policy {id} has {length} bytes, more than the {MAX_CUSTOM_BYTES} allowed")]
    CustomTooLong { id: Guid, length: usize },
    /// A policy that makes no sense on the external port.
    #[error("the external port takes no {what}")]
    NotOnExternal { what: &'static str },
}

impl PortPolicy {
    /// Whether it is possible by itself, whatever the other ports have: syntax and range.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), InvalidPolicy> {
        self.vlan.validate()?;
        self.bandwidth.validate()?;
        self.acl.validate()?;
        if self.custom.len() > MAX_CUSTOM_POLICIES {
            return Err(InvalidPolicy::TooManyCustom { count: self.custom.len() });
        }
        match self.custom.iter().find(|(_, bytes)| bytes.len() > MAX_CUSTOM_BYTES) {
            Some((&id, bytes)) => Err(InvalidPolicy::CustomTooLong { id, length: bytes.len() }),
            None => Ok(()),
        }
    }
}

impl VlanPolicy {
    fn validate(&self) -> Result<(), InvalidPolicy> {
        match self {
            Self::Untagged => Ok(()),
            Self::Access(vlan) => check_vlan(*vlan, "access VLAN", 1),
            Self::Trunk { native, .. } => check_vlan(*native, "native VLAN", 0),
            Self::Private { primary, role } => {
                check_vlan(*primary, "primary VLAN", 1)?;
                role.secondaries().try_for_each(|vlan| {
                    check_vlan(vlan, "secondary VLAN", 1)?;
                    if vlan == *primary {
                        return Err(InvalidPolicy::SecondaryIsPrimary { vlan });
                    }
                    Ok(())
                })
            }
        }
    }

    /// VLANs of which the port sends and receives tagged frames: those of a trunk, of others none.
    #[must_use]
    pub fn tagged(&self) -> VlanSet {
        let Self::Trunk { allowed, pruned, .. } = self else { return VlanSet::EMPTY };
        let mut vlans = allowed.clone();
        pruned.iter().for_each(|vlan| vlans.remove(vlan));
        vlans.remove(0);
        vlans
    }
}

impl PrivateRole {
    /// The secondary VLANs named.
    pub(crate) fn secondaries(&self) -> impl Iterator<Item = u16> + '_ {
        let (one, many) = match self {
            Self::Isolated(vlan) | Self::Community(vlan) => (Some(*vlan), None),
            Self::Promiscuous(vlans) => (None, Some(vlans)),
        };
        one.into_iter().chain(many.into_iter().flat_map(VlanSet::iter))
    }
}

impl Bandwidth {
    fn validate(&self) -> Result<(), InvalidPolicy> {
        if self.weight > 100 {
            return Err(InvalidPolicy::Weight { weight: self.weight });
        }
        let Some(maximum) = self.maximum else { return Ok(()) };
        if maximum < Self::LEAST {
            return Err(InvalidPolicy::MaximumTooSmall { maximum });
        }
        match self.minimum {
            Some(minimum) if minimum > maximum => {
                Err(InvalidPolicy::MinimumAboveMaximum { minimum, maximum })
            }
            _ => Ok(()),
        }
    }
}

fn check_vlan(vlan: u16, what: &'static str, min: u16) -> Result<(), InvalidPolicy> {
    if (min..=MAX_VLAN).contains(&vlan) { Ok(()) } else { Err(InvalidPolicy::Vlan { vlan, what, min }) }
}
