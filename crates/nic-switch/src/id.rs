//! Identifiers of the NIC switch's objects, as distinct types (`spec/ndis.md` B constants and anomaly 0.10).

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Identifies a virtual port, `NDIS_NIC_SWITCH_VPORT_ID`.
///
/// 0 is the default VPort; the caller (the NDIS layer) chooses 1 and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VPortId(pub u32);

impl VPortId {
    /// `NDIS_DEFAULT_VPORT_ID`: attached to the PF, always there, always active.
    pub const DEFAULT: Self = Self(0);
}

impl fmt::Display for VPortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VPort {}", self.0)
    }
}

/// Identifies a virtual function, zero-based; the switch chooses it.
///
/// The values that NDIS reserves for "the PF" and "no VF" (both 0xFFFF) cannot occur: a function is a [`FunctionId`],
/// an absent VF an `Option`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VfId(pub u16);

impl fmt::Display for VfId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VF {}", self.0)
    }
}

/// Identifies a receive filter, unique over the adapter; the caller (the NDIS layer) chooses 1 and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilterId(pub u32);

impl FilterId {
    /// `NDIS_DEFAULT_RECEIVE_FILTER_ID`, which stands for "no filter" and is never assigned.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for FilterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter {}", self.0)
    }
}

/// The PCIe function to which a VPort is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionId {
    /// The physical function.
    Pf,
    /// A virtual function.
    Vf(VfId),
}

impl fmt::Display for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pf => f.write_str("the PF"),
            Self::Vf(vf) => vf.fmt(f),
        }
    }
}
