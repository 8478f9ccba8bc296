//! What frames are decided by: the state of all switches at one instant.

use std::sync::Arc;

use nic_switch::{Forwarding, VPortId};
use vswitch::{Path, PortId};

use crate::place::{Extent, Place};

/// The state of the switches, which workers read and the control side replaces whole.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) extent: Extent,
    pub(crate) nic_switch: Arc<Forwarding>,
    pub(crate) switches: Arc<Switches>,
}

/// The extensible switches and who is connected to them.
#[derive(Debug)]
pub struct Switches {
    extent: Extent,
    switches: Box<[Switch]>,
    nics: Box<[Option<Connection>]>,
    /// By VPort: the NIC that it leads to without a stop in the extensible switch.
    direct: Box<[Option<u32>]>,
    /// The switch and port behind the default VPort.
    external: Option<Connection>,
}

/// An extensible switch.
#[derive(Debug)]
struct Switch {
    path: Arc<Path>,
    /// By port: number of the NIC's place.
    places: Vec<Option<u32>>,
}

/// Where a NIC is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) switch: usize,
    pub(crate) port: PortId,
}

impl Snapshot {
    /// No extensible switch.
    #[must_use]
    pub fn new(extent: Extent, nic_switch: Forwarding) -> Self {
        Self { extent, nic_switch: Arc::new(nic_switch), switches: Arc::new(Switches::none(extent)) }
    }

    /// The same with another state of the NIC switch.
    #[must_use]
    pub fn with_nic_switch(&self, nic_switch: Arc<Forwarding>) -> Self {
        Self { nic_switch, ..self.clone() }
    }

    /// The same with other extensible switches.
    #[must_use]
    pub fn with_switches(&self, switches: Arc<Switches>) -> Self {
        Self { switches, ..self.clone() }
    }
}

impl Switches {
    /// No switches: what reaches the default VPort goes nowhere.
    #[must_use]
    pub fn none(extent: Extent) -> Self {
        Self {
            extent,
            switches: Box::default(),
            nics: vec![None; extent.nics].into(),
            direct: vec![None; extent.vports].into(),
            external: None,
        }
    }

    /// The switches with these states; a switch's number is its place in the list. The one that has an external port
    /// has the default VPort of the adapter behind it; if several have, the first.
    #[must_use]
    pub fn new(extent: Extent, paths: impl IntoIterator<Item = Arc<Path>>) -> Self {
        let switches: Box<[Switch]> =
            paths.into_iter().map(|path| Switch { path, places: Vec::new() }).collect();
        let external = switches
            .iter()
            .enumerate()
            .find_map(|(switch, s)| s.path.external().map(|port| Connection { switch, port }));
        Self { switches, external, ..Self::none(extent) }
    }

    /// Connects NIC number `nic` to `port` of switch number `switch`.
    ///
    /// # Panics
    /// If there is no such NIC or switch: both are the caller's own.
    pub fn connect(&mut self, nic: u32, switch: usize, port: PortId) {
        let place = u32::try_from(self.extent.index(Place::Nic(nic))).expect("places are few");
        let places = &mut self.switches[switch].places;
        let index = port.0 as usize;
        if places.len() <= index {
            places.resize(index + 1, None);
        }
        places[index] = Some(place);
        self.nics[nic as usize] = Some(Connection { switch, port });
    }

    /// Has what the NIC switch delivers to VPort or queue `vport` go straight to NIC number `nic`.
    ///
    /// # Panics
    /// If there is no such VPort.
    pub fn lead(&mut self, vport: VPortId, nic: u32) {
        self.direct[vport.0 as usize] = Some(nic);
    }

    /// Where a NIC is connected.
    #[inline]
    pub(crate) fn connection(&self, nic: u32) -> Option<Connection> {
        self.nics.get(nic as usize).copied().flatten()
    }

    /// The port behind the default VPort.
    #[inline]
    pub(crate) fn external(&self) -> Option<Connection> {
        self.external
    }

    /// Number of the place to which a VPort other than the default one leads, and whether that is a NIC's.
    #[inline]
    pub(crate) fn behind(&self, vport: VPortId) -> (usize, bool) {
        match self.direct.get(vport.0 as usize) {
            Some(Some(nic)) => (self.extent.vports + *nic as usize, true),
            _ => (vport.0 as usize, false),
        }
    }

    #[inline]
    pub(crate) fn path(&self, switch: usize) -> &Path {
        &self.switches[switch].path
    }

    /// Number of the place behind a port.
    #[inline]
    pub(crate) fn place(&self, switch: usize, port: PortId) -> Option<usize> {
        let place = self.switches[switch].places.get(port.0 as usize).copied().flatten()?;
        Some(place as usize)
    }
}
