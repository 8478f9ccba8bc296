//! What is told of a VF's client: peers can cause lines, so there is a bound on them, for each VF its own.

use std::fmt::{self, Display};

use nic_switch::VfId;

use super::rate_limit::RateLimit;

/// The log of one VF.
#[derive(Debug)]
pub(crate) struct PeerLog {
    vf: VfId,
    limit: RateLimit,
}

impl PeerLog {
    pub(crate) fn new(vf: VfId) -> Self {
        Self { vf, limit: RateLimit::new() }
    }

    /// Something that is in order.
    pub(crate) fn info(&self, what: impl Display) {
        if let Some(left_out) = self.limit.allow() {
            tracing::info!(target: "softiov::vf", vf = self.vf.0, "{what}{}", LeftOut(left_out));
        }
    }

    /// Something that a person should look at.
    pub(crate) fn warn(&self, what: impl Display) {
        if let Some(left_out) = self.limit.allow() {
            tracing::warn!(target: "softiov::vf", vf = self.vf.0, "{what}{}", LeftOut(left_out));
        }
    }
}

/// How many lines are missing.
struct LeftOut(u64);

impl Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 { write!(f, " ({} lines before this one were left out)", self.0) } else { Ok(()) }
    }
}
