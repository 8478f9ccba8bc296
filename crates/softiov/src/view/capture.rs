//! What a capture is asked for.

use serde::{Deserialize, Serialize};

/// A capture as a user describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptureRequest {
    /// Where it looks.
    pub(crate) point: CapturePoint,
    pub(crate) direction: CaptureDirection,
    /// Only frames that are lost.
    pub(crate) drops: bool,
    /// Bytes of each frame.
    pub(crate) snaplen: usize,
    /// Ends after so many frames.
    pub(crate) count: Option<u64>,
}

/// Where a capture looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum CapturePoint {
    /// Everywhere.
    Everywhere,
    /// The physical port.
    Uplink,
    /// `VM/ADAPTER`, or an adapter of the host.
    Adapter(String),
    VPort(u32),
    /// A VM queue.
    Queue(u32),
    /// All ports of a switch.
    Switch {
        name: String,
        stage: Stage,
    },
}

/// Where in an extensible switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// What comes into the switch, before any policy.
    #[default]
    Ingress,
    /// What leaves it, behind all policies.
    Egress,
}

/// Which way frames go, from the side of the guest; at the physical port from the side of this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaptureDirection {
    /// Received.
    In,
    /// Sent.
    Out,
    /// Both.
    #[default]
    Both,
}
