//! Versions of QEMU, and what depends on them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// 11 of 11.1.3.
    pub major: u32,
    /// 1 of 11.1.3.
    pub minor: u32,
    /// 3 of 11.1.3.
    pub micro: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// How a VF's interrupts reach the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MsixMode {
    /// The VF keeps the MSI-X table itself, and writes each message to the guest through QEMU.
    Relayed,
    /// QEMU emulates MSI-X and gives the VF an eventfd for each vector; with KVM the kernel delivers it. Faster.
    Native,
}

/// The mode that is safe with this QEMU; `None` is one that is not known yet.
///
/// QEMU up to 11.1 aborts when a vfio-user device for which it emulates MSI-X is unplugged
/// (`memory_region_del_subregion: Assertion subregion->container == mr`; seen with 11.1.3). 11.2 is the first that may
/// be without the defect. Whoever knows better configures the mode.
#[must_use]
pub fn msix_mode(version: Option<Version>) -> MsixMode {
    match version {
        Some(Version { major, minor, .. }) if (major, minor) >= (11, 2) => MsixMode::Native,
        _ => MsixMode::Relayed,
    }
}
