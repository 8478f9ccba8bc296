//! Whether a frame may enter the switch, and in which VLAN it then is.

use std::ops::Range;

use ethernet::{MacAddr, VlanTag, ethertype};

use super::{DropReason, FOREIGN_VLAN, Forwarding, Ingress, RESERVED_VID, Source};
use crate::VPortId;

/// What a VPort may send. Of the default VPort it says only that it is there: what comes from it, the extensible switch
/// has checked.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// Why it may send nothing at all.
    pub(super) blocked: Option<DropReason>,
    pub(super) of_pf: bool,
    pub(super) spoof_check: bool,
    /// The address of its first filter; its VLAN mode holds for addresses that have no filter.
    pub(super) first: SourceAddress,
    /// Its part of [`Forwarding::further_addresses`].
    pub(super) further: Range<u32>,
    /// Which of [`Forwarding::send_vlans`] holds for its trunk addresses.
    pub(super) send_vlans: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct SourceAddress {
    pub(super) mac: MacAddr,
    pub(super) vlan: VlanMode,
}

/// How a VPort sends with an address, from the VLAN test of the address's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VlanMode {
    Access(u16),
    Untagged,
    Trunk,
}

/// A frame that may be sent, in the switch's own terms.
pub(super) struct Admitted {
    /// VLAN id; 0 without VLAN; [`FOREIGN_VLAN`] if the outer tag is none that the switch knows.
    pub(super) vlan: u16,
    /// The tag as the physical port, the default VPort and trunks see it.
    pub(super) tag: Option<VlanTag>,
}

impl Forwarding {
    pub(super) fn sender(&self, vport: VPortId) -> Option<&Sender> {
        self.senders.get(usize::try_from(vport.0).ok()?)
    }

    /// Checks the frame against what its sender may send.
    ///
    /// The checks come in the order of [`DropReason::ALL`].
    pub(super) fn admit(&self, ingress: &Ingress) -> Result<Admitted, DropReason> {
        let policed = match ingress.from {
            Source::Wire | Source::VPort(VPortId::DEFAULT) => None,
            Source::VPort(vport) => Some(self.sender(vport).ok_or(DropReason::VPortInactive)?),
        };
        if let Some(reason) = policed.and_then(|sender| sender.blocked) {
            return Err(reason);
        }
        if !ingress.source.is_unicast() {
            return Err(DropReason::SourceMacInvalid);
        }
        if ingress.ethertype == ethertype::MAC_CONTROL {
            return Err(DropReason::PauseFrame);
        }
        match policed {
            None => Self::admit_trunk(ingress),
            Some(_) if ingress.destination.is_link_local_control() => Err(DropReason::LinkLocalControl),
            Some(sender) => self.admit_policed(ingress, sender),
        }
    }

    /// The tag says the VLAN.
    fn admit_trunk(ingress: &Ingress) -> Result<Admitted, DropReason> {
        let vlan = match ingress.tag.map_or(0, VlanTag::vid) {
            RESERVED_VID => return Err(DropReason::ReservedVlan),
            0 if is_vlan_tpid(ingress.ethertype) => FOREIGN_VLAN,
            vid => vid,
        };
        Ok(Admitted { vlan, tag: ingress.tag })
    }

    fn admit_policed(&self, ingress: &Ingress, sender: &Sender) -> Result<Admitted, DropReason> {
        let mode = self.source_vlan(sender, ingress.source)?;
        let trunk = Self::admit_trunk(ingress)?;
        if mode == VlanMode::Trunk {
            let allowed = self.send_vlans[sender.send_vlans as usize].contains(trunk.vlan);
            return if allowed { Ok(trunk) } else { Err(DropReason::VlanNotAllowed) };
        }
        if is_vlan_tpid(ingress.ethertype) {
            return Err(DropReason::DoubleTagged);
        }
        match mode {
            VlanMode::Access(vid) if trunk.vlan == 0 || trunk.vlan == vid => {
                Ok(Admitted { vlan: vid, tag: Some(ingress.tag.unwrap_or_default().with_vid(vid)) })
            }
            VlanMode::Untagged if trunk.vlan == 0 => Ok(trunk),
            _ => Err(DropReason::VlanNotAllowed),
        }
    }

    /// How `sender` may send with the address `source`.
    fn source_vlan(&self, sender: &Sender, source: MacAddr) -> Result<VlanMode, DropReason> {
        if source == sender.first.mac {
            return Ok(sender.first.vlan);
        }
        let further = &self.further_addresses[sender.further.start as usize..sender.further.end as usize];
        match further.binary_search_by_key(&source, |address| address.mac) {
            Ok(index) => Ok(further[index].vlan),
            Err(_) if sender.spoof_check => Err(DropReason::SourceMacSpoofed),
            Err(_) => Ok(sender.first.vlan),
        }
    }
}

/// TPIDs that a switch may take for a VLAN tag: 802.1Q, 802.1ad, and those in use before 802.1ad.
const fn is_vlan_tpid(ethertype: u16) -> bool {
    matches!(ethertype, ethertype::VLAN | ethertype::SERVICE_VLAN | 0x9100 | 0x9200 | 0x9300)
}
