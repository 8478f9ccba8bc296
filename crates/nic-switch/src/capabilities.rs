//! What the adapter's NIC switch can do, `NDIS_NIC_SWITCH_CAPABILITIES` (`spec/ndis.md` B.2), and the arithmetic of its
//! VPort pool (D.8).

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// Limits and features of a NIC switch. An adapter has one switch (`MaxNumSwitches` = 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// `MaxNumVFs`: virtual functions.
    pub max_vfs: u16,
    /// `MaxNumVPorts`: VPorts, the default one included.
    pub max_vports: u32,
    /// `MaxNumQueuePairs`: queue pairs of all VPorts together, the default one included.
    pub max_queue_pairs: u32,
    /// `MaxNumQueuePairsPerNonDefaultVPort`: a power of two.
    pub max_queue_pairs_per_nondefault_vport: u32,
    /// `MaxNumQueuePairsForDefaultVPort`: a power of two.
    pub max_queue_pairs_for_default_vport: u32,
    /// `MaxNumMacAddresses`: distinct unicast addresses for which the whole switch can filter.
    pub max_mac_addresses: u32,
    /// `MaxMacHeaderFilters`: receive filters of the whole switch (each a MAC with a VLAN test).
    pub max_filters: u32,
    /// `VLAN_SUPPORTED`: a filter may test for a VLAN id.
    pub vlan_supported: bool,
    /// `PER_VPORT_INTERRUPT_MODERATION_SUPPORTED`.
    pub per_vport_interrupt_moderation: bool,
    /// `ASYMMETRIC_QUEUE_PAIRS_FOR_NONDEFAULT_VPORT_SUPPORTED`: nondefault VPorts may differ in their queue pairs.
    pub asymmetric_queue_pairs: bool,
    /// `VF_RSS_SUPPORTED`: a guest may spread its VF's traffic over the VF's queue pairs.
    pub vf_rss: bool,
    /// `SINGLE_VPORT_POOL`: no VPort is reserved for a VF.
    pub single_vport_pool: bool,
}

/// A constraint that [`Capabilities`] break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCapabilities {
    /// VF ids and VPort ids travel as 16 bits; 0xFFFF means "the PF" or "none".
    #[error("{what} is {value}, but a 16-bit id can number at most {max}", max = Capabilities::MAX_IDS)]
    TooMany {
        /// The member at fault.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// There must be a VPort for the PF and one for each VF.
    #[error(
        "max_vports is {max_vports}, but must be at least max_vfs + 1 = {needed}: the default VPort and one for each VF"
    )]
    TooFewVPorts {
        /// The value given.
        max_vports: u32,
        /// The least that would do.
        needed: u32,
    },
    /// Each VPort needs one of these.
    #[error("{what} is {value}, but must be at least {minimum} = {minimum_of}")]
    TooSmall {
        /// The member at fault.
        what: &'static str,
        /// Its value.
        value: u32,
        /// The least that would do.
        minimum: u32,
        /// The member that demands it.
        minimum_of: &'static str,
    },
    /// A number of queue pairs must be a power of two.
    #[error("{what} is {value}, but must be a power of two")]
    NotPowerOfTwo {
        /// The member at fault.
        what: &'static str,
        /// Its value.
        value: u32,
    },
}

impl Capabilities {
    /// The most VFs, and the most VPorts: their ids are 16-bit numbers below 0xFFFF.
    pub const MAX_IDS: u32 = 0xffff;

    /// Checks the constraints of `spec/ndis.md` B.2.
    ///
    /// # Errors
    /// The first constraint that is broken.
    pub fn validate(&self) -> Result<(), InvalidCapabilities> {
        let too_small = |what, value, minimum, minimum_of| {
            (value < minimum).then_some(InvalidCapabilities::TooSmall { what, value, minimum, minimum_of })
        };
        let uneven = |what, value: u32| {
            (!value.is_power_of_two()).then_some(InvalidCapabilities::NotPowerOfTwo { what, value })
        };
        let too_many =
            |what, value| (value > Self::MAX_IDS).then_some(InvalidCapabilities::TooMany { what, value });

        let needed = u32::from(self.max_vfs) + 1;
        let too_few_vports = (self.max_vports < needed)
            .then_some(InvalidCapabilities::TooFewVPorts { max_vports: self.max_vports, needed });
        let (pairs, macs, filters) = (self.max_queue_pairs, self.max_mac_addresses, self.max_filters);
        let (default, nondefault) =
            (self.max_queue_pairs_for_default_vport, self.max_queue_pairs_per_nondefault_vport);

        let broken = too_few_vports
            .or_else(|| too_many("max_vports", self.max_vports))
            .or_else(|| too_small("max_queue_pairs", pairs, self.max_vports, "max_vports"))
            .or_else(|| uneven("max_queue_pairs_for_default_vport", default))
            .or_else(|| uneven("max_queue_pairs_per_nondefault_vport", nondefault))
            .or_else(|| too_small("max_mac_addresses", macs, self.max_vports, "max_vports"))
            .or_else(|| too_small("max_filters", filters, macs, "max_mac_addresses"));
        broken.map_or(Ok(()), Err)
    }

    /// How many VPorts may be attached to the PF, the default one included.
    ///
    /// This is the number that the NDIS documents give; [`Self::max_nondefault_pf_vports`] is the strict one.
    #[must_use]
    pub fn max_pf_vports(&self) -> u32 {
        let reserved = if self.single_vport_pool { 0 } else { u32::from(self.max_vfs) };
        self.max_vports.saturating_sub(reserved)
    }

    /// How many nondefault VPorts may be attached to the PF: one less than [`Self::max_pf_vports`], for the default
    /// VPort is attached to the PF as well (`spec/ndis.md` anomaly 0.3).
    #[must_use]
    pub fn max_nondefault_pf_vports(&self) -> u32 {
        self.max_pf_vports().saturating_sub(1)
    }
}
