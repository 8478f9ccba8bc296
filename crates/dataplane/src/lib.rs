//! The worker that moves frames.
//!
//! A [`Dataplane`] is a thread that owns [`port::Port`]s (each at a [`Place`]: the VPort of a VF, a NIC on an extensible
//! switch, the physical port) and does nothing but this, over and over:
//!
//! ```text
//!   quiescent point                 nothing of guest memory or of the forwarding state is held here
//!     commands (attach, detach)     only when there are any
//!     for each port that was kicked or is polled, holds frames, or has a timer due:
//!        fetch a burst -> decide each frame by the snapshot of both switches -> put -> complete
//!     flush the ports that were touched
//!   nothing to do for a while: sleep until a kick
//! ```
//!
//! Per frame there is no lock, no allocation, no system call. The control side replaces the [`Snapshot`] whole
//! ([`Handle::publish_nic_switch`], [`Handle::publish_switches`]) and waits for quiescent points ([`Handle::quiesce`])
//! before it takes away memory.
//!
//! A guest that changes from one path to another hears nothing in between: its frames are kept meanwhile, see `gap`.
//!
//! A receiver without room holds its local sender back for a while instead of losing the frame: see `hold`.
//!
//! The crate knows ports and the two switches, no device, no protocol, no policy.
#![forbid(unsafe_code)]

mod capture;
mod counters;
mod epoch;
mod forward;
mod gap;
mod handle;
mod hold;
mod place;
mod ready;
mod route;
mod sleeper;
mod snapshot;
mod worker;

pub use capture::{Capture, CaptureCounts, CaptureSpec, Captured, MAX_SNAPLEN, Point, Way};
pub use counters::{PortCounters, PortStatistics, Traffic, TrafficCounters};
pub use gap::{GapCounters, GapLimits, GapReport, GapState, NoGap};
pub use handle::{Attachment, Dataplane, Doorbell, Handle, Kick, StartError, SwitchReport, WorkerStatistics};
pub use place::{Extent, Place};
pub use snapshot::{Snapshot, Switches};
pub use worker::{Config, PollMode};

#[cfg(test)]
mod tests;
