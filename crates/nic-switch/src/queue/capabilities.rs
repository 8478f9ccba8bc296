//! What an adapter can do with VM queues (`spec/ndis.md` B.6, B.7).

use serde::{Deserialize, Serialize};

use crate::Capabilities;

/// Limits and features of an adapter's VM queues, `NDIS_RECEIVE_FILTER_CAPABILITIES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueCapabilities {
    /// `NumQueues`: VM queues, the default queue not counted.
    pub max_queues: u32,
    /// `MaxMacHeaderFilters`: receive filters of all queues.
    pub max_filters: u32,
    /// Distinct unicast addresses for which the adapter can filter.
    pub max_mac_addresses: u32,
    /// A filter may test for a VLAN id.
    pub vlan_filtering: bool,
}

impl QueueCapabilities {
    /// MSI-X vectors for the VM queues, beside that of the default queue: one for each of up to 16 queues, then 16 to
    /// 32.
    #[must_use]
    pub const fn vectors(&self) -> u32 {
        match self.max_queues {
            few @ 0..=16 => few,
            17..=32 => 16,
            more @ 33..=63 => more / 2,
            _ => 32,
        }
    }
}

impl From<&Capabilities> for QueueCapabilities {
    /// The same adapter with SR-IOV off: what serves a nondefault VPort serves a VM queue.
    fn from(capabilities: &Capabilities) -> Self {
        Self {
            max_queues: capabilities.max_vports.saturating_sub(1),
            max_filters: capabilities.max_filters,
            max_mac_addresses: capabilities.max_mac_addresses,
            vlan_filtering: capabilities.vlan_supported,
        }
    }
}
