//! Whether a frame may enter, in which VLAN it then is, and what its receiver sees of that.

use ethernet::{VlanTag, ethertype};
use nic_switch::VlanSet;

use super::{DropReason, Passage, Path, PortFlags, PortPath};
use crate::extension::mac_spoof;

/// The VLAN id that IEEE 802.1Q reserves.
const RESERVED_VLAN: u16 = 4095;

/// How a port takes part in VLANs; sets are elements of [`Path::vlans`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VlanMode {
    /// In every one: the external port.
    All,
    /// Tagged in those of a set, untagged in `native`.
    Trunk { native: u16, set: u32 },
    /// Sends and receives untagged, in this VLAN; 0 for none.
    Access { vlan: u16 },
    /// Of a private VLAN: sends in `secondary`, receives what is in the VLANs of the set.
    Host { secondary: u16, set: u32 },
    /// Of a private VLAN: sends in `primary`, to hosts whose VLAN is in `reach`; receives what is in the VLANs of the set.
    Promiscuous { primary: u16, reach: u32, set: u32 },
}

impl VlanMode {
    /// Whether it receives frames of `vlan`.
    #[inline]
    pub(super) fn receives(self, vlan: u16, vlans: &[VlanSet]) -> bool {
        match self {
            Self::All => true,
            Self::Access { vlan: own } => own == vlan,
            Self::Trunk { native, set } => native == vlan || vlans[set as usize].contains(vlan),
            Self::Host { set, .. } | Self::Promiscuous { set, .. } => vlans[set as usize].contains(vlan),
        }
    }
}

/// A frame that was let in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admitted {
    /// The VLAN that it is in; 0 for none.
    pub(super) vlan: u16,
    /// The VLAN under which its stations are known.
    pub(super) family: u16,
    /// VLAN and priority.
    pub(super) tag: VlanTag,
}

impl Admitted {
    /// A frame of which nothing but the VLAN counts.
    pub(super) const fn of_vlan(vlan: u16) -> Self {
        Self { vlan, family: vlan, tag: VlanTag::new(vlan, 0, false) }
    }

    /// The tag as it stands on a wire.
    pub(super) fn wire_tag(&self) -> Option<VlanTag> {
        (self.tag.0 != 0).then_some(self.tag)
    }
}

impl Path {
    /// Checks the frame against what its sender may send, whatever its content.
    #[inline]
    pub(super) fn admit(&self, passage: &Passage<'_>) -> Result<Admitted, DropReason> {
        let (sender, packet) = (passage.sender, passage.packet);
        if !passage.source.is_unicast() {
            return Err(DropReason::SourceMacInvalid);
        }
        let kind = ethertype(packet.header).unwrap_or_default();
        if kind == ethertype::MAC_CONTROL {
            return Err(DropReason::PauseFrame);
        }
        if passage.destination.is_link_local_control() && !sender.flags.contains(PortFlags::TRUSTED) {
            return Err(DropReason::LinkLocalControl);
        }
        if !sender.flags.contains(PortFlags::ANY_SOURCE)
            && !mac_spoof::is_own(sender, &self.policy(sender).team, passage.source)
        {
            return Err(DropReason::MacSpoofed);
        }
        let tag = packet.tag.unwrap_or_default();
        let vlan = self.vlan_of(sender, tag.vid(), kind)?;
        let tag = if sender.flags.contains(PortFlags::PRIORITY) { tag } else { VlanTag::default() };
        let family = self.families.as_ref().map_or(vlan, |families| families[usize::from(vlan)]);
        Ok(Admitted { vlan, family, tag: tag.with_vid(vlan) })
    }

    #[inline]
    fn vlan_of(&self, sender: &PortPath, tagged: u16, kind: u16) -> Result<u16, DropReason> {
        if tagged == RESERVED_VLAN {
            return Err(DropReason::ReservedVlan);
        }
        if tagged == 0 && is_vlan_tpid(kind) {
            return Err(DropReason::DoubleTagged);
        }
        match sender.vlan {
            VlanMode::All => Ok(tagged),
            VlanMode::Trunk { native, .. } if tagged == 0 => Ok(native),
            VlanMode::Trunk { set, .. } if self.vlans[set as usize].contains(tagged) => Ok(tagged),
            VlanMode::Access { vlan } if tagged == 0 => Ok(vlan),
            VlanMode::Host { secondary, .. } if tagged == 0 => Ok(secondary),
            VlanMode::Promiscuous { primary, .. } if tagged == 0 => Ok(primary),
            _ => Err(DropReason::VlanNotAllowed),
        }
    }

    /// Whether `receiver` may hear `sender` in `vlan`.
    #[inline]
    pub(super) fn hears(&self, sender: &PortPath, receiver: &PortPath, vlan: u16) -> bool {
        let reached = match (sender.vlan, receiver.vlan) {
            (VlanMode::Promiscuous { reach, .. }, VlanMode::Host { secondary, .. }) => {
                self.vlans[reach as usize].contains(secondary)
            }
            _ => true,
        };
        reached && receiver.vlan.receives(vlan, &self.vlans)
    }
}

/// What `receiver` sees of the VLAN of `frame`: the tag, and whether it shows the VLAN and the priority.
#[inline]
pub(super) fn shown(receiver: &PortPath, frame: &Admitted) -> (Option<VlanTag>, bool, bool) {
    let vlan_shown = match receiver.vlan {
        VlanMode::All => true,
        VlanMode::Trunk { native, .. } => frame.vlan != native,
        VlanMode::Access { .. } | VlanMode::Host { .. } | VlanMode::Promiscuous { .. } => false,
    };
    let priority_shown = receiver.flags.contains(PortFlags::PRIORITY);
    let tag = if priority_shown { frame.tag } else { VlanTag::default() };
    let tag = tag.with_vid(if vlan_shown { frame.vlan } else { 0 });
    ((tag.0 != 0).then_some(tag), vlan_shown, priority_shown)
}

/// TPIDs that a switch may take for a VLAN tag: 802.1Q, 802.1ad, and those in use before 802.1ad.
const fn is_vlan_tpid(kind: u16) -> bool {
    matches!(kind, ethertype::VLAN | ethertype::SERVICE_VLAN | 0x9100 | 0x9200 | 0x9300)
}
