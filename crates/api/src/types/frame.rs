//! A frame that is described, and what would become of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A frame as a user describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FrameRequest {
    /// Who sends it: `VM/ADAPTER`, `uplink`, or an adapter of the host.
    #[schema(example = "alpha/net0")]
    pub from: String,
    /// By its synthetic adapter, even if it has a VF.
    #[serde(default)]
    pub synthetic: bool,
    /// An address, or whose.
    #[serde(default)]
    pub destination: Option<String>,
    /// An address, or whose; the sender's own if absent.
    #[serde(default)]
    pub source: Option<String>,
    /// The VLAN tag that it has when it is sent.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// What is in it.
    pub content: FrameContent,
}

/// What is in a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FrameContent {
    /// Of a local experimental ethertype.
    Plain,
    /// An IP packet with ports if its protocol has them.
    Ip {
        /// Who sends it.
        #[schema(value_type = String, example = "10.0.0.1")]
        source: IpAddr,
        /// Who gets it.
        #[schema(value_type = String, example = "10.0.0.2")]
        destination: IpAddr,
        /// IANA number.
        protocol: u8,
        /// Source and destination.
        ports: Option<(u16, u16)>,
    },
    /// Who has the second address, asks the first.
    Arp {
        /// Who asks.
        #[schema(value_type = String, example = "10.0.0.1")]
        source: IpAddr,
        /// Who is sought.
        #[schema(value_type = String, example = "10.0.0.2")]
        destination: IpAddr,
    },
    /// The same of IPv6.
    NeighborSolicitation {
        /// Who asks.
        #[schema(value_type = String, example = "2001:db8::1")]
        source: IpAddr,
        /// Who is sought.
        #[schema(value_type = String, example = "2001:db8::2")]
        destination: IpAddr,
    },
    /// A router's advertisement of itself.
    RouterAdvertisement,
    /// What a DHCP server sends.
    DhcpOffer,
    /// The whole frame, from its destination address on.
    Bytes {
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// What would become of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceView {
    /// The frame in words.
    pub frame: String,
    /// What each switch on its way decided.
    pub stages: Vec<StageView>,
    /// Who gets it.
    pub deliveries: Vec<DeliveryView>,
    /// Why nobody gets it.
    pub loss: Option<LossView>,
}

/// What one switch decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// The switch, and where the frame enters it.
    pub title: String,
    /// Each decision.
    pub steps: Vec<String>,
}

/// Somebody who gets the frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// Who.
    pub to: String,
    /// The tag that it sees.
    pub tag: String,
    /// By which path.
    pub by: String,
}

/// Why nobody gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LossView {
    /// The name of the counter.
    pub reason: String,
    /// What would change it.
    pub remedy: String,
}
