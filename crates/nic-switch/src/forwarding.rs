//! The hot side: an immutable picture of the switch that decides, frame by frame, who gets it.

mod address_table;
mod admission;
mod compile;
mod drop_reason;
mod flood;
mod frame;
#[cfg(test)]
mod tests;

use ethernet::{MacAddr, McFilterType, multicast_hash};

use crate::{BitSet, MulticastTable, VPortId};
use address_table::{AddressTable, Key, Match};
use admission::{Admitted, Sender, SourceAddress};
use flood::{FloodReceiver, MixedVlans, OwnVPorts};

pub use drop_reason::DropReason;
pub use frame::{Deliveries, Delivery, Egress, Ingress, Source};

/// The VLAN id that IEEE 802.1Q reserves.
const RESERVED_VID: u16 = 4095;

/// The VLAN of frames whose outer tag is in band: not of TPID 0x8100, or behind a priority tag. No access VLAN, no
/// untagged VPort and no trunk receives them. As a VLAN id the number cannot occur, so it has no other meaning.
const FOREIGN_VLAN: u16 = RESERVED_VID;

/// VLANs of frames in the switch, [`FOREIGN_VLAN`] among them.
type Vlans = BitSet<FOREIGN_VLAN>;

/// The forwarding state of a switch, or of VM queues, at one instant.
///
/// Cost of a decision: for unicast the entry of the sending VPort and one slot of the address table (a second look-up
/// if the switch has trunks and the first found nothing); for broadcast and multicast a pass over 16 bytes for each VF
/// that takes such frames. No allocation, no lock.
#[derive(Debug)]
pub struct Forwarding {
    generation: u64,
    physical_port: bool,
    /// Frames sent on a VPort reach others in the adapter. VM queues have frames of the wire only.
    loopback: bool,
    /// By VPort id, up to the highest in use.
    senders: Box<[Sender]>,
    /// The addresses of each sender besides its first, sorted by address within a sender.
    further_addresses: Box<[SourceAddress]>,
    /// VLANs in which trunks send.
    send_vlans: Box<[Vlans]>,
    addresses: AddressTable,
    /// Whether the address table has keys for any VLAN.
    any_vlan: bool,
    /// VLANs in which trunks receive; the first is every VLAN, for the default VPort.
    receive_vlans: Box<[Vlans]>,
    flood: Box<[FloodReceiver]>,
    /// The multicast tables of `flood`, in its order.
    groups: Box<[MulticastTable]>,
    /// Which of `flood` get unicast frames that nothing matches.
    promiscuous: Box<[u32]>,
    mixed: Box<[MixedVlans]>,
}

impl Forwarding {
    /// Which state this is: [`crate::NicSwitch::generation`] or [`crate::VmQueues::generation`] at the time of the
    /// snapshot.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The VPort on whose transmit queue a frame of the PF goes that names `wanted` in its out-of-band data: `wanted`
    /// if that is an activated VPort of the PF, else the default VPort (`spec/ndis.md` B.8, D.7).
    #[must_use]
    pub fn pf_transmit_vport(&self, wanted: VPortId) -> VPortId {
        match self.sender(wanted) {
            Some(sender) if sender.of_pf && sender.blocked != Some(DropReason::VPortInactive) => wanted,
            _ => VPortId::DEFAULT,
        }
    }

    /// Decides who gets a frame: `out` then holds each receiver once, never the sender, and is not empty.
    ///
    /// # Errors
    /// The frame goes to nobody, for this reason; `out` is empty.
    pub fn decide(&self, ingress: &Ingress, out: &mut Deliveries) -> Result<(), DropReason> {
        out.clear();
        let frame = self.admit(ingress)?;
        if ingress.destination.is_link_local_control() {
            // Such a frame is for the next station on the link, be it host or switch: VFs have no part in it.
            self.deliver_outward(ingress, &frame, out);
        } else if ingress.destination.is_multicast() {
            self.deliver_group(ingress, &frame, out);
        } else if ingress.destination == ingress.source {
            return Err(DropReason::Hairpin);
        } else if (self.loopback || ingress.from == Source::Wire)
            && let Some(found) = self.find(ingress.destination, frame.vlan)
        {
            return Self::deliver_match(found, ingress, &frame, out);
        } else {
            self.deliver_unmatched(ingress, &frame, out);
        }
        if out.is_empty() { Err(DropReason::NoDestination) } else { Ok(()) }
    }

    /// The VPort that has `mac` in `vlan`: a filter for exactly this VLAN comes before one for any.
    fn find(&self, mac: MacAddr, vlan: u16) -> Option<&Match> {
        let exact = self.addresses.find(Key::exact(mac, vlan));
        if exact.is_some() || !self.any_vlan {
            return exact;
        }
        let any = self.addresses.find(Key::any(mac));
        any.filter(|found| self.receive_vlans[usize::from(found.vlans)].contains(vlan))
    }

    fn deliver_match(
        found: &Match,
        ingress: &Ingress,
        frame: &Admitted,
        out: &mut Deliveries,
    ) -> Result<(), DropReason> {
        if ingress.from == Source::VPort(found.vport) {
            return Err(DropReason::Hairpin);
        }
        if let Some(reason) = found.blocked {
            return Err(reason);
        }
        out.push(Egress::VPort(found.vport), if found.strip { None } else { frame.tag });
        Ok(())
    }

    fn deliver_unmatched(&self, ingress: &Ingress, frame: &Admitted, out: &mut Deliveries) {
        if !self.promiscuous.is_empty() {
            let own = self.own_vports(ingress, frame);
            for &index in &self.promiscuous {
                self.flood[index as usize].deliver(frame, own, &self.mixed, out);
            }
        }
        self.deliver_outward(ingress, frame, out);
    }

    fn deliver_group(&self, ingress: &Ingress, frame: &Admitted, out: &mut Deliveries) {
        let broadcast = ingress.destination.is_broadcast();
        let hash = multicast_hash(ingress.destination, McFilterType::Bits47To36);
        let own = self.own_vports(ingress, frame);
        for (receiver, groups) in self.flood.iter().zip(&self.groups) {
            let wanted =
                if broadcast { receiver.broadcast } else { receiver.all_multicast || groups.contains(hash) };
            if wanted {
                receiver.deliver(frame, own, &self.mixed, out);
            }
        }
        self.deliver_outward(ingress, frame, out);
    }

    fn own_vports(&self, ingress: &Ingress, frame: &Admitted) -> OwnVPorts {
        let sender = match ingress.from {
            Source::VPort(vport) => Some(vport),
            Source::Wire => None,
        };
        OwnVPorts { sender, address: self.find(ingress.source, frame.vlan).map(|found| found.vport) }
    }

    /// To the default VPort, behind which the extensible switch may know the destination, and to the physical port.
    fn deliver_outward(&self, ingress: &Ingress, frame: &Admitted, out: &mut Deliveries) {
        if ingress.from != Source::VPort(VPortId::DEFAULT) {
            out.push(Egress::VPort(VPortId::DEFAULT), frame.tag);
        }
        if ingress.from != Source::Wire && self.physical_port {
            out.push(Egress::Physical, frame.tag);
        }
    }
}
