//! Receive filters (`spec/ndis.md` A.4 SET_FILTER, B.6, D.4).

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

use crate::{FilterId, QueueId, VPortId};

/// The VLAN part of a filter. It also sets how the VPort may send with the filter's address: see the crate's
/// documentation, "VLANs".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VlanTest {
    /// No test: *trunk*.
    Any,
    /// `MAC_HEADER_VLAN_UNTAGGED_OR_ZERO`: no tag, or VLAN id 0 (a priority tag).
    UntaggedOrZero,
    /// Exactly this VLAN, 1 to 4094: *access VLAN*.
    Id(u16),
}

/// What a frame must match, all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterTest {
    /// Destination address, unicast.
    pub mac: MacAddr,
    /// Test of the outer 802.1Q tag.
    pub vlan: VlanTest,
}

/// A receive filter: it stands on exactly one VPort, or VM queue, at any instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Filter {
    pub(crate) id: FilterId,
    pub(crate) vport: VPortId,
    pub(crate) test: FilterTest,
}

impl Filter {
    /// Its number; a move does not change it.
    #[must_use]
    pub const fn id(&self) -> FilterId {
        self.id
    }

    /// The VPort on which it stands; on an adapter with VM queues, the queue of the same number.
    #[must_use]
    pub const fn vport(&self) -> VPortId {
        self.vport
    }

    /// The VM queue on which it stands, on an adapter that has such.
    #[must_use]
    pub const fn queue(&self) -> QueueId {
        QueueId(self.vport.0)
    }

    /// What it matches.
    #[must_use]
    pub const fn test(&self) -> FilterTest {
        self.test
    }
}
