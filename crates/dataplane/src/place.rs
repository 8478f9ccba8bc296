//! Where ports stand, and the numbers by which the worker knows them.

use nic_switch::VPortId;

/// Where a port stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The device of a VF, on its VPort of the NIC switch.
    VPort(VPortId),
    /// A NIC on an extensible switch: a synthetic adapter, or the host's own. The number is the daemon's; which port
    /// of which switch it is connected to stands in the [`Snapshot`](crate::Snapshot).
    Nic(u32),
    /// The physical port of the adapter.
    Physical,
}

/// How many ports of each kind there can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// VPorts of the NIC switch, or queues of the adapter; VPort numbers are below.
    pub vports: usize,
    /// NICs on extensible switches; their numbers are below.
    pub nics: usize,
}

impl Extent {
    /// Number of places: the physical port is the last one.
    pub(crate) fn places(self) -> usize {
        self.vports + self.nics + 1
    }

    /// The number of `place`.
    ///
    /// # Panics
    /// If it lies beyond: places are laid out by us.
    pub(crate) fn index(self, place: Place) -> usize {
        match place {
            Place::VPort(VPortId(id)) => {
                assert!((id as usize) < self.vports, "VPort {id} of {}", self.vports);
                id as usize
            }
            Place::Nic(id) => {
                assert!((id as usize) < self.nics, "NIC {id} of {}", self.nics);
                self.vports + id as usize
            }
            Place::Physical => self.vports + self.nics,
        }
    }

    /// The place whose number is `index`.
    pub(crate) fn place(self, index: usize) -> Place {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        if index < self.vports {
            Place::VPort(VPortId(number(index)))
        } else if index < self.vports + self.nics {
            Place::Nic(number(index - self.vports))
        } else {
            Place::Physical
        }
    }
}
