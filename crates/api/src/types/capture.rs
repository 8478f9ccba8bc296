//! What a capture is asked for.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A capture as a user describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// Where it looks.
    pub point: CapturePoint,
    /// Which way frames go.
    #[serde(default)]
    pub direction: CaptureDirection,
    /// Only frames that are lost.
    #[serde(default)]
    pub drops: bool,
    /// Bytes of each frame.
    pub snaplen: usize,
    /// Ends after so many frames.
    #[serde(default)]
    pub count: Option<u64>,
}

/// Where a capture looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CapturePoint {
    /// Everywhere.
    Everywhere,
    /// The physical port.
    Uplink,
    /// `VM/ADAPTER`, or an adapter of the host.
    Adapter(String),
    /// A VPort.
    VPort(u32),
    /// A VM queue.
    Queue(u32),
    /// All ports of a switch.
    Switch {
        /// Its name.
        name: String,
        /// Before or behind its policies.
        stage: Stage,
    },
}

/// Where in an extensible switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// What comes into the switch, before any policy.
    #[default]
    Ingress,
    /// What leaves it, behind all policies.
    Egress,
}

/// Which way frames go, from the side of the guest; at the physical port from the side of this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureDirection {
    /// Received.
    In,
    /// Sent.
    Out,
    /// Both.
    #[default]
    Both,
}

/// A word that is none of those that there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is unknown: {known} are possible")]
pub struct NoSuchWord {
    /// The word.
    pub word: String,
    /// Those that there are.
    pub known: &'static str,
}

impl FromStr for Stage {
    type Err = NoSuchWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "ingress" => Ok(Self::Ingress),
            "egress" => Ok(Self::Egress),
            _ => Err(NoSuchWord { word: word.to_owned(), known: "ingress and egress" }),
        }
    }
}

impl FromStr for CaptureDirection {
    type Err = NoSuchWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "in" => Ok(Self::In),
            "out" => Ok(Self::Out),
            "both" => Ok(Self::Both),
            _ => Err(NoSuchWord { word: word.to_owned(), known: "in, out and both" }),
        }
    }
}
