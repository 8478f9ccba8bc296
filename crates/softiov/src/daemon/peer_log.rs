//! What is told of a device's client: peers can cause lines, so there is a bound on them, for each device its own.

use std::fmt::{self, Display};

use super::rate_limit::RateLimit;

/// The log of one device.
#[derive(Debug)]
pub(crate) struct PeerLog {
    device: String,
    limit: RateLimit,
}

impl PeerLog {
    /// The log of the device that people know as `device`.
    pub(crate) fn new(device: String) -> Self {
        Self { device, limit: RateLimit::new() }
    }

    /// Something that is in order.
    pub(crate) fn info(&self, what: impl Display) {
        if let Some(left_out) = self.limit.allow() {
            tracing::info!(target: "softiov::device", "{}: {what}{}", self.device, LeftOut(left_out));
        }
    }

    /// Something that a person should look at.
    pub(crate) fn warn(&self, what: impl Display) {
        if let Some(left_out) = self.limit.allow() {
            tracing::warn!(target: "softiov::device", "{}: {what}{}", self.device, LeftOut(left_out));
        }
    }

    /// A fault of softiov that the peer has found.
    pub(crate) fn error(&self, what: impl Display) {
        if let Some(left_out) = self.limit.allow() {
            tracing::error!(target: "softiov::device", "{}: {what}{}", self.device, LeftOut(left_out));
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
