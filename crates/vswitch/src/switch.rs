//! The control side: ports, NICs and policies, and every request that changes them.

mod addresses;
mod extensions;
mod migration;
mod nics;
mod policies;
mod ports;
#[cfg(test)]
mod tests;
mod vf;
mod view;

use std::collections::BTreeMap;
use std::fmt;

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

use crate::extension::Extension;
use crate::{CaptureFilter, CaptureId, MAX_CAPTURES, Path, PortId, SwitchError, SwitchPort};
use migration::SaveProgress;

pub use addresses::{Address, AddressOrigin, MAX_STATIC_ADDRESSES};
pub use migration::{MAX_SAVE_DATA, SavedNic, SavedRecord};
pub use vf::{RemovalReason, VfRemoval};
pub use view::{AclRuleView, ExtensionView, NicView, PortView, SwitchView};

/// The longest name of anything, in UTF-16 units (`NDIS_IF_COUNTED_STRING`).
pub const MAX_NAME_UNITS: usize = 256;

/// What a switch connects (`spec/ndis.md` E.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchType {
    /// VMs, the host, and the physical adapter.
    External,
    /// VMs and the host.
    Internal,
    /// VMs.
    Private,
}

impl fmt::Display for SwitchType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::External => "external",
            Self::Internal => "internal",
            Self::Private => "private",
        })
    }
}

/// Which policies the NIC switch enforces on a VF; the others forbid one. Spoof check and access VLAN it always does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NicEnforces {
    /// VLANs of a trunk without native VLAN.
    pub trunk_vlan: bool,
    /// Maximum bandwidth.
    pub maximum_bandwidth: bool,
    /// Storm limit.
    pub storm_limit: bool,
}

/// How a switch is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchParameters {
    /// Opaque; at most [`MAX_NAME_UNITS`] UTF-16 units.
    pub name: String,
    /// What it connects.
    pub kind: SwitchType,
    /// Bits per second out of which minimum bandwidths are reserved; without it they are not limited.
    #[serde(default)]
    pub bandwidth: Option<u64>,
    /// What the adapter behind the external port does for VFs.
    #[serde(default)]
    pub nic_enforces: NicEnforces,
}

/// The extensible switch.
///
/// Every request either takes place wholly or is refused with a [`SwitchError`] and changes nothing. What the frames
/// obey is a [`Path`] made by [`VSwitch::snapshot`].
#[derive(Debug)]
pub struct VSwitch {
    parameters: SwitchParameters,
    cycles_per_second: u64,
    /// Random; grows into the keys of the tables of connections.
    seed: u64,
    generation: u64,
    last_stamp: u64,
    last_capture: u32,
    ports: BTreeMap<PortId, SwitchPort>,
    pub(crate) static_addresses: BTreeMap<(u16, MacAddr), PortId>,
    /// In the order of the chain on ingress: by kind, then as they were added.
    pub(crate) extensions: Vec<Box<dyn Extension>>,
    pub(crate) captures: BTreeMap<CaptureId, CaptureFilter>,
    saves: BTreeMap<PortId, SaveProgress>,
}

impl VSwitch {
    /// Creates a switch without ports. `cycles_per_second`: of the clock that the workers decide by; `seed`: a random
    /// number that guests do not know.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn create(
        parameters: SwitchParameters,
        cycles_per_second: u64,
        seed: u64,
    ) -> Result<Self, SwitchError> {
        check_name(&parameters.name)?;
        Ok(Self {
            parameters,
            cycles_per_second,
            seed,
            generation: 0,
            last_stamp: 0,
            last_capture: 0,
            ports: BTreeMap::new(),
            static_addresses: BTreeMap::new(),
            extensions: Vec::new(),
            captures: BTreeMap::new(),
            saves: BTreeMap::new(),
        })
    }

    /// How it was created.
    #[must_use]
    pub const fn parameters(&self) -> &SwitchParameters {
        &self.parameters
    }

    /// A number that grows with every change of what [`VSwitch::snapshot`] depends on.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The forwarding state for the data path, to be replaced whole when [`VSwitch::generation`] has grown.
    #[must_use]
    pub fn snapshot(&self) -> Path {
        Path::compile(self)
    }

    /// The ports, ascending by number.
    pub fn ports(&self) -> impl DoubleEndedIterator<Item = &SwitchPort> {
        self.ports.values()
    }

    /// The port, if there is one of this number.
    #[must_use]
    pub fn port(&self, port: PortId) -> Option<&SwitchPort> {
        self.ports.get(&port)
    }

    /// Starts a capture of the frames that `filter` wants: decisions then name it in [`crate::Destinations::captures`].
    ///
    /// # Errors
    /// Too many captures, or a port that does not exist.
    pub fn start_capture(&mut self, filter: CaptureFilter) -> Result<CaptureId, SwitchError> {
        if let Some(port) = filter.port {
            self.existing(port)?;
        }
        if self.captures.len() >= MAX_CAPTURES {
            return Err(SwitchError::TooManyCaptures);
        }
        self.last_capture += 1;
        let id = CaptureId(self.last_capture);
        self.captures.insert(id, filter);
        self.touch();
        Ok(id)
    }

    /// Stops a capture.
    ///
    /// # Errors
    /// There is no such capture.
    pub fn stop_capture(&mut self, capture: CaptureId) -> Result<(), SwitchError> {
        self.captures.remove(&capture).ok_or(SwitchError::CaptureNotFound { id: capture.0 })?;
        self.touch();
        Ok(())
    }

    pub(crate) const fn cycles_per_second(&self) -> u64 {
        self.cycles_per_second
    }

    fn existing(&self, port: PortId) -> Result<&SwitchPort, SwitchError> {
        self.ports.get(&port).ok_or(SwitchError::PortNotFound { port })
    }

    fn existing_mut(&mut self, port: PortId) -> Result<&mut SwitchPort, SwitchError> {
        self.ports.get_mut(&port).ok_or(SwitchError::PortNotFound { port })
    }

    /// Marks that the forwarding state has changed.
    const fn touch(&mut self) {
        self.generation += 1;
    }
}

fn check_name(name: &str) -> Result<(), SwitchError> {
    let units = name.encode_utf16().count();
    if units > MAX_NAME_UNITS { Err(SwitchError::NameTooLong { units }) } else { Ok(()) }
}
