//! What goes into a decision and what comes out.

use std::ops::Deref;

use ethernet::{MacAddr, VlanTag};

use crate::{Capabilities, VPortId};

/// Where a frame enters the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Sent on a VPort.
    VPort(VPortId),
    /// Received on the physical port.
    Wire,
}

/// Where a frame leaves the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Egress {
    /// Received on a VPort.
    VPort(VPortId),
    /// Sent on the physical port.
    Physical,
}

/// What of a frame decides: its header, with the outer 802.1Q tag taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingress {
    /// Where it enters.
    pub from: Source,
    /// Destination address.
    pub destination: MacAddr,
    /// Source address.
    pub source: MacAddr,
    /// The outer tag of TPID 0x8100, if there is one.
    pub tag: Option<VlanTag>,
    /// The EtherType behind that tag.
    pub ethertype: u16,
}

/// One copy of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// Who gets it.
    pub to: Egress,
    /// The 802.1Q tag that the receiver is to see, out of band.
    pub tag: Option<VlanTag>,
}

/// The deliveries of one frame: a list that a worker makes once and uses again and again.
#[derive(Debug, Clone, Default)]
pub struct Deliveries(Vec<Delivery>);

impl Deliveries {
    /// A list with room for a frame to every VPort and the physical port: decisions for an adapter of these
    /// `capabilities` never make it grow.
    #[must_use]
    pub fn for_adapter(capabilities: &Capabilities) -> Self {
        let vports = usize::try_from(capabilities.max_vports).unwrap_or(usize::MAX);
        Self(Vec::with_capacity(vports.saturating_add(1)))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn push(&mut self, to: Egress, tag: Option<VlanTag>) {
        self.0.push(Delivery { to, tag });
    }
}

impl Deref for Deliveries {
    type Target = [Delivery];

    fn deref(&self) -> &[Delivery] {
        &self.0
    }
}
