//! The capture hook: which frames the daemon gets to see. It copies them itself, with as much of the body as it wants.

use serde::{Deserialize, Serialize};

use crate::{Direction, PortId};

/// The most captures at a time.
pub const MAX_CAPTURES: usize = 16;

/// A running capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaptureId(pub u32);

/// What a capture wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureFilter {
    /// Frames of this port, or of all.
    pub port: Option<PortId>,
    /// What the port sends ([`Direction::Outbound`], even if it is then dropped) or receives, or both.
    pub direction: Option<Direction>,
}

impl CaptureFilter {
    /// Whether it wants frames of `port` that go this way.
    #[must_use]
    pub fn wants(&self, port: PortId, direction: Direction) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
            && self.direction.is_none_or(|wanted| wanted == direction)
    }
}

/// A frame is to be shown to a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturePoint {
    /// The capture.
    pub capture: CaptureId,
    /// The port at which it was seen.
    pub port: PortId,
    /// The way that it went there.
    pub direction: Direction,
}
