//! The hot side: an immutable picture of the switch that decides, frame by frame, who gets it.

mod address_table;
mod admission;
mod compile;
mod drop_reason;
mod egress;
mod frame;
mod ingress;
mod memo;
#[cfg(test)]
mod tests;
mod trace;

use std::cell::OnceCell;
use std::sync::Arc;

use bitflags::bitflags;
use ethernet::{ETHERNET_HEADER_LEN, MacAddr};
use nic_switch::VlanSet;
use port::Cycles;

use crate::extension::acl::{CompiledAcl, Meter};
use crate::extension::capture::CaptureId;
use crate::extension::flow::Flow;
use crate::extension::limiter::Rate;
use crate::extension::{Choice, Hooks, mirror};
use crate::learning::Station;
use crate::{Learned, PortId, State};
use address_table::AddressTable;
use admission::{Admitted, VlanMode};
use trace::{Recorder, Silent};

pub use drop_reason::DropReason;
pub(crate) use memo::Memos;

pub use frame::{Destination, Destinations, Excluded, Packet};
pub use trace::{Step, Trace};

bitflags! {
    /// What the path must know of a port before anything else.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct PortFlags: u16 {
        /// Frames from it enter.
        const SENDS = 1 << 0;
        /// It may be a destination.
        const RECEIVES = 1 << 1;
        /// It is the external port.
        const EXTERNAL = 1 << 2;
        /// It is outside of all VMs.
        const TRUSTED = 1 << 3;
        /// It may send with any address.
        const ANY_SOURCE = 1 << 4;
        /// Stations behind it are learned.
        const LEARNS = 1 << 5;
        /// Priorities are kept.
        const PRIORITY = 1 << 6;
        /// A capture or an extension looks at what it sends.
        const WATCHED = 1 << 7;
        /// A policy judges what it sends.
        const POLICED = 1 << 8;
        /// A capture, an extension or a policy looks at what it receives.
        const GUARDED = 1 << 9;
        /// Its frames are mirrored, and there is somebody to watch them.
        const MIRRORED = 1 << 10;
        /// A forwarding extension chooses the destinations of what it sends.
        const FORWARDER = 1 << 11;
        /// Unicast reaches it through the external port.
        const VF_UNICAST = 1 << 12;
        /// Broadcast and multicast reach it through the external port.
        const VF_FLOOD = 1 << 13;
    }
}

impl PortFlags {
    /// Flags of a sender with which the next frame may be decided on otherwise than this one.
    const VARIES: Self =
        Self::WATCHED.union(Self::POLICED).union(Self::LEARNS).union(Self::MIRRORED).union(Self::FORWARDER);
}

/// What the path knows of a port.
#[derive(Debug, Clone)]
pub(crate) struct PortPath {
    pub(crate) flags: PortFlags,
    /// Its own address; zero for the external port.
    pub(crate) mac: MacAddr,
    vlan: VlanMode,
    /// Its part of [`Path::policies`].
    policy: u32,
    stamp: u64,
}

/// What applies to a port beyond its VLAN and address; empty for most.
#[derive(Debug, Default)]
struct Policy {
    /// Addresses of its partition's other NICs with which it may send.
    team: Box<[MacAddr]>,
    acl: Option<CompiledAcl>,
    dhcp_guard: bool,
    router_guard: bool,
    storm: Option<Rate>,
    bandwidth: Option<Rate>,
    weight: u8,
    /// Extensions that look on.
    capturing: Box<[Arc<dyn Hooks>]>,
    /// Extensions that may drop, top down; the forwarding one is the last.
    filtering: Box<[Arc<dyn Hooks>]>,
    forwarding: Option<Arc<dyn Hooks>>,
    captures_sent: Box<[CaptureId]>,
    captures_received: Box<[CaptureId]>,
}

/// The forwarding state of a switch at one instant.
///
/// Cost of a decision between two ports without extensions: two array elements and a look-up in the table of addresses;
/// for a frame with the same header as one a short time ago, a comparison. No allocation, no lock, no atomic.
#[derive(Debug)]
pub struct Path {
    generation: u64,
    external: Option<PortId>,
    /// By port id, up to the highest in use.
    ports: Box<[PortPath]>,
    /// The first is empty.
    policies: Box<[Policy]>,
    vlans: Box<[VlanSet]>,
    /// The VLAN under which the stations of a VLAN are known: of a secondary VLAN the primary one. `None` if there is no
    /// private VLAN.
    families: Option<Box<[u16]>>,
    addresses: AddressTable,
    /// Ports that receive, ascending.
    flood: Box<[PortId]>,
    /// Those of them that get unicast frames for unknown stations.
    unknown: Box<[PortId]>,
    /// Ports behind which stations are learned.
    learners: Box<[PortId]>,
    /// Destinations of mirrored frames.
    monitors: Box<[PortId]>,
    meters: Box<[Meter]>,
}

/// A frame on its way through the switch.
struct Passage<'a> {
    packet: &'a Packet<'a>,
    sender: &'a PortPath,
    source: MacAddr,
    destination: MacAddr,
    now: Cycles,
    flow: OnceCell<Flow>,
}

impl Passage<'_> {
    /// What the layers above say; read once, when somebody wants it.
    fn flow(&self) -> &Flow {
        self.flow.get_or_init(|| Flow::read(self.packet))
    }
}

/// Who gets a frame for one station.
enum Target {
    One(PortId),
    Unknown,
}

impl Path {
    /// Which state of the switch this is: [`crate::VSwitch::generation`] at the time of the snapshot.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The external port, if the switch has one with a NIC.
    #[must_use]
    pub const fn external(&self) -> Option<PortId> {
        self.external
    }

    /// The share of bandwidth that the port shall have when senders compete, 0 to 100: a hook for whoever orders the
    /// senders.
    #[must_use]
    pub fn weight(&self, port: PortId) -> u8 {
        self.ports.get(port.index()).map_or(0, |path| self.policy(path).weight)
    }

    /// For how many cycles from `now` on the port's maximum bandwidth forbids it to send; `None` if it may send now.
    ///
    /// A worker that asks before it fetches holds the sender back; if none asks, the frames are dropped for
    /// [`DropReason::Bandwidth`].
    #[must_use]
    pub fn bandwidth_wait(&self, state: &State, port: PortId, now: Cycles) -> Option<Cycles> {
        let rate = self.policy(self.ports.get(port.index())?).bandwidth?;
        if state.generation != Some(self.generation) {
            return None;
        }
        state.ports[port.index()].bandwidth.wait(rate, now)
    }

    /// Decides who gets a frame: `out` then holds each receiver once, never the sender, and is not empty.
    ///
    /// # Errors
    /// The frame goes to nobody, for this reason; `out` has no destinations, but maybe captures.
    #[inline]
    pub fn decide(
        &self,
        state: &mut State,
        packet: &Packet<'_>,
        now: Cycles,
        out: &mut Destinations,
    ) -> Result<(), DropReason> {
        state.adopt(self);
        if let Some(destination) = state.memos.find(packet) {
            out.clear();
            out.push(destination);
            return Ok(());
        }
        self.run(state, packet, now, out, &mut Silent)
    }

    fn run<R: Recorder>(
        &self,
        state: &mut State,
        packet: &Packet<'_>,
        now: Cycles,
        out: &mut Destinations,
        record: &mut R,
    ) -> Result<(), DropReason> {
        out.clear();
        let sender = self
            .ports
            .get(packet.from.index())
            .filter(|sender| sender.flags.contains(PortFlags::SENDS))
            .ok_or(DropReason::PortInactive)?;
        let (source, destination) = packet
            .addresses()
            .filter(|_| packet.header.len() >= ETHERNET_HEADER_LEN)
            .ok_or(DropReason::TooShort)?;
        let passage = Passage { packet, sender, source, destination, now, flow: OnceCell::new() };
        if sender.flags.contains(PortFlags::WATCHED) {
            self.watch(&passage, out, record)?;
        }
        let frame = self.admit(&passage)?;
        record.note(|| Step::Admitted { vlan: frame.vlan, stations_of: frame.family });
        if sender.flags.contains(PortFlags::POLICED) {
            self.police(&passage, state, record)?;
        }
        if sender.flags.contains(PortFlags::LEARNS) {
            self.learn(&passage, &frame, state, record)?;
        }
        let lost = self.forward(&passage, &frame, state, out, record)?;
        if sender.flags.contains(PortFlags::MIRRORED) || self.any_mirrored(out) {
            mirror::copy(self, packet.from, frame.wire_tag(), out);
        }
        match lost {
            Some((_, reason)) if out.is_empty() => Err(reason),
            None if out.is_empty() => Err(DropReason::NoDestination),
            Some((port, reason)) => {
                out.exclude(port, reason);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Chooses the destinations. One that is the only one and does not get the frame is returned, with the reason.
    fn forward<R: Recorder>(
        &self,
        passage: &Passage<'_>,
        frame: &Admitted,
        state: &mut State,
        out: &mut Destinations,
        record: &mut R,
    ) -> Result<Option<(PortId, DropReason)>, DropReason> {
        let destination = passage.destination;
        if passage.sender.flags.contains(PortFlags::FORWARDER)
            && self.forward_by_extension(passage, frame, state, out, record) == Choice::Made
        {
            return Ok(None);
        }
        if destination.is_link_local_control() {
            self.flood(&self.flood, PortFlags::TRUSTED, passage, frame, state, out, record);
            return Ok(None);
        }
        if destination.is_multicast() {
            self.limit_storm(passage, state)?;
            self.flood(&self.flood, PortFlags::empty(), passage, frame, state, out, record);
            return Ok(None);
        }
        if destination == passage.source {
            return Err(DropReason::Hairpin);
        }
        let (target, fixed) = self.find(passage, frame, state, record);
        let Target::One(port) = target else {
            if self.unknown.iter().filter(|&&port| port != passage.packet.from).nth(1).is_some() {
                self.limit_storm(passage, state)?;
            }
            self.flood(&self.unknown, PortFlags::empty(), passage, frame, state, out, record);
            return Ok(None);
        };
        if port == passage.packet.from {
            return Err(DropReason::Hairpin);
        }
        if let Err(reason) = self.offer(port, passage, frame, state, out, record) {
            return Ok(Some((port, reason)));
        }
        if fixed {
            self.remember(port, passage, state, out);
        }
        Ok(None)
    }

    /// Where a station is, and whether that holds for as long as this path.
    #[inline]
    fn find<R: Recorder>(
        &self,
        passage: &Passage<'_>,
        frame: &Admitted,
        state: &State,
        record: &mut R,
    ) -> (Target, bool) {
        let from_external = passage.sender.flags.contains(PortFlags::EXTERNAL);
        if let Some(port) = self.known(passage.destination, frame) {
            record.note(|| Step::Known { station: passage.destination, port, learned: false });
            let on_vf = self.ports[port.index()].flags.contains(PortFlags::VF_UNICAST);
            return match self.external {
                Some(external) if on_vf && !from_external => {
                    record.note(|| Step::OnVf { port, external });
                    (Target::One(external), true)
                }
                _ => (Target::One(port), true),
            };
        }
        let learned = state.learning.find(Station::new(passage.destination, frame.family), passage.now);
        if let Some(port) = learned {
            record.note(|| Step::Known { station: passage.destination, port, learned: true });
            return (Target::One(port), false);
        }
        record.note(|| Step::Unknown { station: passage.destination });
        match *self.unknown {
            // Nobody else can have it, whatever will be learned.
            [port] if Some(port) == self.external && !from_external => (Target::One(port), true),
            _ => (Target::Unknown, false),
        }
    }

    /// The port that has a unicast address of its own, or as a static one.
    #[inline]
    fn known(&self, mac: MacAddr, frame: &Admitted) -> Option<PortId> {
        self.addresses.exact(mac, frame.family).or_else(|| {
            self.addresses
                .any_vlan(mac)
                .filter(|port| self.ports[port.index()].vlan.receives(frame.vlan, &self.vlans))
        })
    }

    /// Keeps the decision for the next frame, if that will be decided on alike.
    fn remember(&self, port: PortId, passage: &Passage<'_>, state: &mut State, out: &Destinations) {
        let receiver = self.ports[port.index()].flags;
        let varies = passage.sender.flags.intersects(PortFlags::VARIES)
            || receiver.intersects(PortFlags::GUARDED | PortFlags::MIRRORED);
        if let (false, [destination]) = (varies, &**out) {
            state.memos.keep(passage.packet, *destination);
        }
    }

    fn any_mirrored(&self, out: &Destinations) -> bool {
        let mirrored = |to: &Destination| self.ports[to.port.index()].flags.contains(PortFlags::MIRRORED);
        !self.monitors.is_empty() && out.iter().any(mirrored)
    }

    fn policy(&self, port: &PortPath) -> &Policy {
        &self.policies[port.policy as usize]
    }

    pub(crate) fn monitors(&self) -> &[PortId] {
        &self.monitors
    }

    pub(crate) fn meters(&self) -> &[Meter] {
        &self.meters
    }

    pub(crate) fn learners(&self) -> impl Iterator<Item = PortId> + '_ {
        self.learners.iter().copied()
    }

    /// Whether what another worker learned may be taken over.
    pub(crate) fn may_learn(&self, news: Learned) -> bool {
        let frame = Admitted::of_vlan(news.vlan);
        news.mac.is_unicast() && self.learners.contains(&news.port) && self.known(news.mac, &frame).is_none()
    }

    /// Which port has the number `index`; 0 if none.
    pub(crate) fn stamp(&self, index: usize) -> u64 {
        self.ports.get(index).map_or(0, |port| port.stamp)
    }
}
