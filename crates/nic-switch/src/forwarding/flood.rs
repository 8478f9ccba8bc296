//! VF VPorts that take copies of broadcast, multicast and unmatched frames.

use super::admission::Admitted;
use super::{Deliveries, Egress, Vlans};
use crate::VPortId;

/// A VF's VPort that takes broadcast or multicast.
#[derive(Debug)]
pub(super) struct FloodReceiver {
    pub(super) vport: VPortId,
    pub(super) vlan: ReceiverVlan,
    pub(super) broadcast: bool,
    pub(super) all_multicast: bool,
}

const _: () = assert!(size_of::<FloodReceiver>() == 16, "the documentation of Forwarding counts on it");

#[derive(Debug, Clone, Copy)]
pub(super) enum ReceiverVlan {
    /// In this access VLAN, with the tag taken away; 0: untagged only.
    Single(u16),
    /// In the VLANs of this entry of [`super::Forwarding::mixed`].
    Mixed(u32),
}

/// The VLANs of a VPort whose filters differ in VLAN mode, or of a trunk.
#[derive(Debug)]
pub(super) struct MixedVlans {
    /// Access VLANs: the tag is taken away.
    pub(super) stripped: Vlans,
    /// VLANs of a trunk: the tag is shown.
    pub(super) shown: Vlans,
}

/// The VPorts that must not get a copy of a flooded frame, for it is their own: the one that sends it, and the one that
/// has its source address if it comes by another way.
///
/// Such ways are the guest's synthetic adapter and a wire that reflects; a guest that sees its own neighbour
/// solicitation takes its address for taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnVPorts {
    pub(super) sender: Option<VPortId>,
    pub(super) address: Option<VPortId>,
}

impl FloodReceiver {
    /// Delivers a flooded frame, if it is in a VLAN of the receiver and not the receiver's own.
    pub(super) fn deliver(
        &self,
        frame: &Admitted,
        own: OwnVPorts,
        mixed: &[MixedVlans],
        out: &mut Deliveries,
    ) {
        if own.sender == Some(self.vport) || own.address == Some(self.vport) {
            return;
        }
        let tag = match self.vlan {
            ReceiverVlan::Single(vlan) if vlan != frame.vlan => return,
            ReceiverVlan::Single(0) => frame.tag,
            ReceiverVlan::Single(_) => None,
            ReceiverVlan::Mixed(index) => {
                let vlans = &mixed[index as usize];
                if vlans.stripped.contains(frame.vlan) {
                    None
                } else if vlans.shown.contains(frame.vlan) {
                    frame.tag
                } else {
                    return;
                }
            }
        };
        out.push(Egress::VPort(self.vport), tag);
    }
}
