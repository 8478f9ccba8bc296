//! A snapshot as text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::{AdapterMetrics, FailoverMetrics, Histogram, MetricsSnapshot, TrafficMetrics, VPortMetrics};

/// Content type of [`open_metrics`].
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Content type of [`classic`].
pub const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `snapshot` in the OpenMetrics format.
#[must_use]
pub fn open_metrics(snapshot: MetricsSnapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(snapshot)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a String takes everything that is written to it");
    text
}

/// `snapshot` in the older text format of Prometheus, where a counter is described under the name of its samples.
#[must_use]
pub fn classic(snapshot: MetricsSnapshot) -> String {
    let mut text = String::new();
    let mut help = None;
    for line in open_metrics(snapshot).lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help {
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[derive(Debug)]
struct Scrape(MetricsSnapshot);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(snapshot) = self;
        let mut sheet = Sheet { encoder };
        let adapters = snapshot.adapters.iter().map(|adapter| (adapter_labels(adapter), &adapter.traffic));
        sheet.traffic("adapter", "an adapter of a VM", adapters)?;
        let ids: Vec<String> = snapshot.vports.iter().map(|vport| vport.vport.to_string()).collect();
        let vports = snapshot.vports.iter().zip(&ids);
        let vports = vports.map(|(vport, id)| (vport_labels(vport, id), &vport.traffic));
        sheet.traffic("vport", "a VPort of the NIC switch", vports)?;
        sheet.traffic("uplink", "the physical port", std::iter::once((Vec::new(), &snapshot.uplink)))?;
        sheet.workers(snapshot)?;
        sheet.gauge("softiov_vfs_enabled", "VFs that are enabled.", snapshot.vfs_enabled)?;
        sheet.gauge("softiov_vfs_used", "VFs that virtual machines have.", snapshot.vfs_used)?;
        sheet.failovers(&snapshot.failovers)
    }
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

fn adapter_labels(adapter: &AdapterMetrics) -> Labels<'_> {
    vec![("vm", &adapter.vm), ("adapter", &adapter.adapter), ("path", adapter.path.as_str())]
}

fn vport_labels<'a>(vport: &'a VPortMetrics, id: &'a str) -> Labels<'a> {
    vec![("vport", id), ("vm", &vport.vm), ("adapter", &vport.adapter)]
}

/// What is written so far.
struct Sheet<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Sheet<'_> {
    fn traffic<'t>(
        &mut self,
        what: &str,
        of: &str,
        rows: impl Iterator<Item = (Labels<'t>, &'t TrafficMetrics)> + Clone,
    ) -> fmt::Result {
        type Count = fn(&TrafficMetrics) -> u64;
        let columns: [(&str, &str, Option<Unit>, Count); 4] = [
            ("sent_frames", "Frames sent by", None, |traffic| traffic.sent_frames),
            ("sent", "Bytes of frames sent by", Some(Unit::Bytes), |traffic| traffic.sent_bytes),
            ("received_frames", "Frames received by", None, |traffic| traffic.received_frames),
            ("received", "Bytes of frames received by", Some(Unit::Bytes), |traffic| traffic.received_bytes),
        ];
        for (name, help, unit, count) in columns {
            let rows = rows.clone().map(|(labels, traffic)| (labels, count(traffic)));
            self.counter(&format!("softiov_{what}_{name}"), &format!("{help} {of}."), unit.as_ref(), rows)?;
        }
        let drops = rows.flat_map(|(labels, traffic)| {
            traffic.drops.iter().map(move |(reason, count)| {
                let mut labels = labels.clone();
                labels.push(("reason", reason));
                (labels, *count)
            })
        });
        let help = format!("Frames of {of} that were lost, by reason.");
        self.counter(&format!("softiov_{what}_dropped_frames"), &help, None, drops)
    }

    fn workers(&mut self, snapshot: &MetricsSnapshot) -> fmt::Result {
        let numbers: Vec<String> = (0..snapshot.workers.len()).map(|n| n.to_string()).collect();
        let rows = || {
            snapshot.workers.iter().zip(&numbers).map(|(worker, n)| (vec![("worker", n.as_str())], worker))
        };
        let help = "Frames that a worker moved.";
        self.counter("softiov_worker_frames", help, None, rows().map(|(l, w)| (l, w.frames)))?;
        let help = "Cycles of the time stamp counter in which a worker had something to do.";
        self.counter("softiov_worker_busy_cycles", help, None, rows().map(|(l, w)| (l, w.busy_cycles)))?;
        let help = "Times that a worker slept.";
        self.counter("softiov_worker_sleeps", help, None, rows().map(|(l, w)| (l, w.sleeps)))
    }

    fn failovers(&mut self, failovers: &FailoverMetrics) -> fmt::Result {
        let causes =
            failovers.by_cause.iter().map(|(cause, count)| (vec![("cause", cause.as_ref())], *count));
        self.counter("softiov_failovers", "Changes of an adapter's path, by cause.", None, causes)?;
        let help = "From the cause of a change of path until the new one was in use.";
        self.histogram("softiov_failover_duration", help, &failovers.duration)?;
        let help = "How long frames were held at a change of path.";
        self.histogram("softiov_failover_gap", help, &failovers.gap)?;
        for (fate, count) in [
            ("held", failovers.held_frames),
            ("lost", failovers.lost_frames),
            ("duplicated", failovers.duplicated_frames),
            ("reordered", failovers.reordered_frames),
        ] {
            let help = format!("Frames {fate} at changes of path.");
            let row = std::iter::once((Labels::new(), count));
            self.counter(&format!("softiov_failover_{fate}_frames"), &help, None, row)?;
        }
        Ok(())
    }

    fn counter<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        rows: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, count) in rows {
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabels>(histogram.sum(), histogram.count(), &histogram.buckets(), None)
    }
}

type NoLabels = [(&'static str, &'static str); 0];
