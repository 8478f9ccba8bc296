//! The standardized INF keywords that select what an adapter is (ndis.md B.10).

use serde::{Deserialize, Serialize};

/// The keywords, as the configuration of the adapter gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keywords {
    /// `*SRIOV`: SR-IOV is enabled.
    pub sriov: bool,
    /// `*VMQ`: VM queues are enabled.
    pub vmq: bool,
    /// `*RSS`: receive-side scaling is enabled.
    pub rss: bool,
    /// `*SriovPreferred`: SR-IOV rather than VM queues or RSS.
    pub sriov_preferred: bool,
    /// `*RssOrVmqPreference`: 1, thus true, stands for VM queues rather than RSS.
    pub vmq_preferred: bool,
    /// `*VMQVlanFiltering`: filters on VM queues may test for a VLAN id, if the adapter can.
    #[serde(default = "enabled")]
    pub vmq_vlan_filtering: bool,
    /// `*VMQLookaheadSplit`: must be off, for NDIS 6.30 ended it.
    #[serde(default)]
    pub vmq_lookahead_split: bool,
}

impl Default for Keywords {
    /// SR-IOV preferred and everything enabled that there is.
    fn default() -> Self {
        Self {
            sriov: true,
            vmq: true,
            rss: true,
            sriov_preferred: true,
            vmq_preferred: true,
            vmq_vlan_filtering: true,
            vmq_lookahead_split: false,
        }
    }
}

const fn enabled() -> bool {
    true
}

/// The one offload that an adapter runs; it never runs two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// SR-IOV; nondefault VPorts of the PF stand in for VM queues (ndis.md 0.4).
    SrIov,
    /// VM queues.
    Vmq,
    /// Receive-side scaling.
    Rss,
    /// None of them.
    Off,
}

impl Keywords {
    /// The mode that the keywords select.
    ///
    /// The matrix has no row for SR-IOV preferred and on with RSS preferred or VM queues off: SR-IOV needs neither, so it
    /// is selected there as well.
    pub const fn mode(self) -> Mode {
        match self {
            Self { sriov_preferred: true, sriov: true, .. } => Mode::SrIov,
            Self { sriov_preferred: true, vmq: true, vmq_preferred: true, .. } => Mode::Vmq,
            Self { sriov_preferred: true, .. } => Mode::Off,
            Self { vmq_preferred: true, vmq: true, .. } => Mode::Vmq,
            Self { vmq_preferred: false, rss: true, .. } => Mode::Rss,
            _ => Mode::Off,
        }
    }
}

#[cfg(test)]
mod tests;
