//! A frame that is described, and what would become of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A frame as a user describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrameRequest {
    /// Who sends it: `VM/ADAPTER`, `uplink`, or an adapter of the host.
    pub(crate) from: String,
    /// By its synthetic adapter, even if it has a VF.
    pub(crate) synthetic: bool,
    /// An address, or whose.
    pub(crate) destination: Option<String>,
    pub(crate) source: Option<String>,
    /// The VLAN tag that it has when it is sent.
    pub(crate) vlan: Option<u16>,
    pub(crate) content: FrameContent,
}

/// What is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum FrameContent {
    /// Of a local experimental ethertype.
    Plain,
    /// An IP packet with ports if its protocol has them.
    Ip {
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        ports: Option<(u16, u16)>,
    },
    /// Who has the second address, asks the first.
    Arp {
        source: IpAddr,
        destination: IpAddr,
    },
    /// The same of IPv6.
    NeighborSolicitation {
        source: IpAddr,
        destination: IpAddr,
    },
    RouterAdvertisement,
    DhcpOffer,
    /// The whole frame, from its destination address on.
    Bytes {
        bytes: Vec<u8>,
    },
}

/// What would become of a frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TraceView {
    /// The frame in words.
    pub(crate) frame: String,
    pub(crate) stages: Vec<StageView>,
    pub(crate) deliveries: Vec<DeliveryView>,
    pub(crate) loss: Option<LossView>,
}

/// What one switch decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StageView {
    /// The switch, and where the frame enters it.
    pub(crate) title: String,
    pub(crate) steps: Vec<String>,
}

/// Somebody who gets the frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeliveryView {
    pub(crate) to: String,
    /// The tag that it sees.
    pub(crate) tag: String,
    /// By which path.
    pub(crate) by: String,
}

/// Why nobody gets it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LossView {
    /// The name of the counter.
    pub(crate) reason: String,
    /// What would change it.
    pub(crate) remedy: String,
}
