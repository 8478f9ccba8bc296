//! What the stack allows a VPort, and what its guest asked for within that.

#[cfg(test)]
mod tests;

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

use crate::{FilterTest, MulticastTable, VlanSet};

/// What the stack allows the guest behind a VPort. The words are those of `ip link set dev PF vf N`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortSecurity {
    /// Frames may be sent only with an address of the VPort's filters or, if `trusted`, of its granted addresses.
    pub mac_spoof_check: bool,
    /// In trunk mode, tags are held to `allowed_vlans`. Access and untagged mode hold without it.
    pub vlan_check: bool,
    /// The extra unicast addresses and the promiscuous mode that the guest was granted take effect. Without it they
    /// are kept but do nothing.
    pub trusted: bool,
    /// VLANs of a trunk. Untagged and priority-tagged frames always pass, with or without 0 in the set.
    pub allowed_vlans: VlanSet,
    /// Link of the VPort.
    pub link: LinkState,
    /// By which path the guest gets its broadcast and multicast.
    pub bum_path: BumPath,
    /// Broadcast, all multicast and, on a trunk, every allowed VLAN are received without being asked for: for a device
    /// whose driver cannot ask.
    pub accept_bum: bool,
    /// Whom the VPort sends as while it has no filter: its adapter, whose filter stands elsewhere for now. A guest that
    /// changes its path has frames on its way. Without it a VPort that has no filter sends nothing.
    pub sends_as: Option<FilterTest>,
}

impl Default for PortSecurity {
    /// A distrusted guest in the VLANs of its filters.
    fn default() -> Self {
        Self {
            mac_spoof_check: true,
            vlan_check: true,
            trusted: false,
            allowed_vlans: VlanSet::EMPTY,
            link: LinkState::Auto,
            bum_path: BumPath::Vf,
            accept_bum: false,
            sends_as: None,
        }
    }
}

/// Link of a VPort, the `state` of `ip link set vf`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// The guest is told the link of the physical port; the VPort forwards.
    #[default]
    Auto,
    /// The guest is told that the link is up, whatever the physical port says; the VPort forwards.
    Enable,
    /// The VPort neither sends nor receives.
    Disable,
}

/// How broadcast, multicast and flooded unicast reach the guest: on one path only, or it would see two copies
/// (`spec/ndis.md` D.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BumPath {
    /// Through the VF, as Linux net_failover wants it. Without effect on a VPort of the PF: the extensible switch
    /// floods to what stands behind it.
    #[default]
    Vf,
    /// Through the default VPort and the extensible switch, as Hyper-V's NetVSC wants it.
    Synthetic,
}

/// What the guest behind a VPort asked to receive beyond its filters, and was granted by the PF.
///
/// Whether to grant is the miniport's decision; the switch confines the effect to the VPort's own VLANs and to what
/// [`PortSecurity`] allows, whatever was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiveMode {
    /// Extra unicast addresses, at most [`ReceiveMode::MAX_UNICAST`]; only for a trusted VPort.
    pub unicast: Vec<MacAddr>,
    /// Wanted multicast groups.
    pub multicast: MulticastTable,
    /// Every multicast group.
    pub all_multicast: bool,
    /// Every flooded frame of its own VLANs, never what another VPort's filter matches; only for a trusted VPort.
    pub promiscuous: bool,
    /// Broadcast.
    pub broadcast: bool,
    /// In trunk mode, the VLANs to receive; VLAN id 0 (untagged and priority-tagged) always is.
    pub vlans: VlanSet,
}

impl ReceiveMode {
    /// The most extra unicast addresses of a VPort.
    pub const MAX_UNICAST: usize = 128;
}

impl Default for ReceiveMode {
    /// As after a reset of the VF: broadcast and its own addresses.
    fn default() -> Self {
        Self {
            unicast: Vec::new(),
            multicast: MulticastTable::EMPTY,
            all_multicast: false,
            promiscuous: false,
            broadcast: true,
            vlans: VlanSet::EMPTY,
        }
    }
}
