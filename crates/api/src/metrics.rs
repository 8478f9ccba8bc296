//! Metrics: what the daemon counts, and how Prometheus reads it.
//!
//! The daemon fills a [`MetricsSnapshot`] when it is asked; [`open_metrics`] and [`classic`] write it. The number of
//! series is bounded by what is configured: labels are names from the configuration, numbers of VPorts and workers, and
//! words of enums (drop reasons, causes). Nothing that a guest says becomes a label.

mod encode;
mod histogram;

use std::borrow::Cow;

pub use self::encode::{CLASSIC, OPEN_METRICS, classic, open_metrics};
pub use self::histogram::Histogram;

/// A word of an enum, such as a drop reason: there are few of them, and guests make none.
pub type Word = Cow<'static, str>;

/// Everything that is counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSnapshot {
    /// Each adapter of a VM, once for each of its paths.
    pub adapters: Vec<AdapterMetrics>,
    /// Each VPort.
    pub vports: Vec<VPortMetrics>,
    /// The physical port; "sent" is what left this host.
    pub uplink: TrafficMetrics,
    /// The workers, by their numbers.
    pub workers: Vec<WorkerMetrics>,
    /// VFs that are enabled, NumVFs.
    pub vfs_enabled: u64,
    /// VFs that VMs have.
    pub vfs_used: u64,
    /// Changes of path.
    pub failovers: FailoverMetrics,
}

/// An adapter of a VM on one of its paths.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterMetrics {
    /// The VM.
    pub vm: String,
    /// The adapter.
    pub adapter: String,
    /// The path.
    pub path: MetricPath,
    /// What it sent, received and lost there.
    pub traffic: TrafficMetrics,
}

/// A path, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricPath {
    /// By a VF.
    Vf,
    /// By the synthetic adapter and the extensible switch.
    Synthetic,
    /// To the synthetic adapter, by a VM queue.
    Queue,
}

impl MetricPath {
    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vf => "vf",
            Self::Synthetic => "synthetic",
            Self::Queue => "queue",
        }
    }
}

/// A VPort.
#[derive(Clone, Debug, PartialEq)]
pub struct VPortMetrics {
    /// Its number.
    pub vport: u32,
    /// The VM that has it; empty for the PF's own.
    pub vm: String,
    /// The adapter of it.
    pub adapter: String,
    /// What it sent, received and lost.
    pub traffic: TrafficMetrics,
}

/// What was sent, received and lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficMetrics {
    /// Frames sent.
    pub sent_frames: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Frames received.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Lost frames by reason, each reason once.
    pub drops: Vec<(Word, u64)>,
}

/// A worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerMetrics {
    /// Frames that it moved.
    pub frames: u64,
    /// Cycles of the time stamp counter in which it had something to do.
    pub busy_cycles: u64,
    /// Times that it slept.
    pub sleeps: u64,
}

/// Changes of path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailoverMetrics {
    /// How many, by cause, each cause once.
    pub by_cause: Vec<(Word, u64)>,
    /// From the cause until the new path was in use.
    pub duration: Histogram,
    /// How long frames were held.
    pub gap: Histogram,
    /// Frames that were held and then delivered.
    pub held_frames: u64,
    /// Frames that were lost.
    pub lost_frames: u64,
    /// Frames that a guest got twice.
    pub duplicated_frames: u64,
    /// Frames that overtook others.
    pub reordered_frames: u64,
}

#[cfg(test)]
mod tests;
