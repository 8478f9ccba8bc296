//! What is counted, as monitoring reads it.

use api::metrics::{
    AdapterMetrics, MetricPath, MetricsSnapshot, TrafficMetrics, VPortMetrics, WorkerMetrics,
};
use api::types::{CountersView, PathView, ReasonCount, TopologyView, TrafficView, VPortView, VmAdapterView};

use super::Core;
use super::error::DaemonError;

impl Core {
    pub(super) fn metrics(&self) -> Result<MetricsSnapshot, DaemonError> {
        let mut metrics = snapshot(&self.topology()?);
        metrics.failovers = self.chronicle.failovers();
        Ok(metrics)
    }
}

/// What of `view` is counted.
fn snapshot(view: &TopologyView) -> MetricsSnapshot {
    let mut metrics = MetricsSnapshot {
        // What the wire sent was received here.
        uplink: traffic(
            &view.uplink.counters.received,
            &view.uplink.counters.sent,
            &[&view.uplink.counters.drops, &view.uplink.losses],
        ),
        workers: vec![WorkerMetrics {
            frames: view.worker.frames,
            busy_cycles: view.worker.busy_cycles,
            sleeps: view.worker.sleeps,
        }],
        vfs_enabled: u64::from(view.adapter.num_vfs),
        vfs_used: u64::try_from(view.adapter.num_allocated_vfs).unwrap_or(u64::MAX),
        ..MetricsSnapshot::default()
    };
    let mut owners = std::collections::BTreeMap::new();
    for (vm, adapter) in view.vms.iter().flat_map(|vm| vm.adapters.iter().map(move |adapter| (vm, adapter))) {
        metrics.adapters.extend(paths(view, &vm.name, adapter));
        let vport = match (adapter.vf, adapter.path) {
            (Some(vf), _) => vport_of_vf(view, vf).map(|vport| vport.vport_id),
            (None, PathView::Queue(queue)) => Some(queue),
            (None, _) => None,
        };
        owners.extend(vport.map(|vport| (vport, (vm.name.clone(), adapter.name.clone()))));
    }
    metrics.vports = view
        .vports
        .iter()
        .map(|vport| {
            let (vm, adapter) = owners.remove(&vport.vport_id).unwrap_or_default();
            VPortMetrics { vport: vport.vport_id, vm, adapter, traffic: of_vport(vport) }
        })
        .collect();
    metrics
}

/// An adapter's paths. What came by a VM queue is counted in frames only, with the synthetic adapter's bytes.
fn paths(view: &TopologyView, vm: &str, adapter: &VmAdapterView) -> Vec<AdapterMetrics> {
    let of =
        |path, traffic| AdapterMetrics { vm: vm.to_owned(), adapter: adapter.name.clone(), path, traffic };
    let CountersView { sent, received, direct, drops, .. } = &adapter.synthetic.counters;
    let mut synthetic = traffic(sent, received, &[drops]);
    synthetic.received_frames = synthetic.received_frames.saturating_sub(*direct);
    let queue = TrafficMetrics { received_frames: *direct, ..TrafficMetrics::default() };
    let has_queue = *direct > 0 || matches!(adapter.path, PathView::Queue(_));
    let vf = adapter.vf.and_then(|vf| vport_of_vf(view, vf)).map(of_vport);
    [
        Some(of(MetricPath::Synthetic, synthetic)),
        has_queue.then(|| of(MetricPath::Queue, queue)),
        vf.map(|vf| of(MetricPath::Vf, vf)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn vport_of_vf(view: &TopologyView, vf: u16) -> Option<&VPortView> {
    let function = vf.to_string();
    view.vports.iter().find(|vport| vport.function_id == function)
}

fn of_vport(vport: &VPortView) -> TrafficMetrics {
    traffic(&vport.sent, &vport.received, &[&vport.drops])
}

fn traffic(sent: &TrafficView, received: &TrafficView, lost: &[&Vec<ReasonCount>]) -> TrafficMetrics {
    TrafficMetrics {
        sent_frames: sent.frames,
        sent_bytes: sent.octets,
        received_frames: received.frames,
        received_bytes: received.octets,
        drops: lost
            .iter()
            .flat_map(|list| list.iter())
            .map(|lost| (lost.reason.clone().into(), lost.count))
            .collect(),
    }
}
