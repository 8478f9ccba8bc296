//! What adapters and the worker move, at one moment.

use std::time::Duration;

use api::types::{PathView, ReasonCount, TopologyView, TrafficView, VPortView, VmAdapterView};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table};
use serde::Serialize;

use super::table::table;
use super::vms::path_text;

/// Columns of the table.
const HEADER: [&str; 8] =
    ["Adapter", "Path", "Sent Mpps", "Gbit/s", "Received Mpps", "Gbit/s", "Drops/s", "Drops"];

/// What was moved between two looks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Load {
    /// Seconds between the two.
    seconds: f64,
    /// Part of the time in which the worker had something to do, 0 to 1.
    worker_load: f64,
    /// Frames that it moved, in millions a second.
    worker_mpps: f64,
    vfs_used: usize,
    vfs_enabled: u16,
    adapters: Vec<AdapterLoad>,
}

/// What an adapter moved, on all its paths.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct AdapterLoad {
    vm: String,
    adapter: String,
    path: PathView,
    sent: Rate,
    received: Rate,
    drops_per_second: f64,
    /// All that are counted.
    drops: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Rate {
    mpps: f64,
    gbits: f64,
}

/// What an adapter has counted.
#[derive(Clone, Copy, Default)]
struct Counted {
    sent: TrafficView,
    received: TrafficView,
    drops: u64,
}

impl Load {
    /// What happened in `time`, from one view to the next.
    pub(crate) fn between(before: &TopologyView, now: &TopologyView, time: Duration) -> Self {
        let seconds = time.as_secs_f64().max(f64::EPSILON);
        let worker = |view: &TopologyView| (view.worker.frames, view.worker.busy_cycles);
        let ((frames, cycles), (frames_before, cycles_before)) = (worker(now), worker(before));
        let capacity = as_float(now.worker.cycles_per_second) * seconds;
        let busy = as_float(cycles.saturating_sub(cycles_before)) / capacity.max(1.0);
        let adapters = now.vms.iter().flat_map(|vm| {
            vm.adapters.iter().map(|adapter| {
                let after = counted(now, adapter);
                let earlier = find(before, &vm.name, &adapter.name);
                let earlier = earlier.map_or_else(Counted::default, |adapter| counted(before, adapter));
                let rate = |now: TrafficView, before: TrafficView| Rate {
                    mpps: as_float(now.frames.saturating_sub(before.frames)) / seconds / 1e6,
                    gbits: as_float(now.octets.saturating_sub(before.octets)) * 8.0 / seconds / 1e9,
                };
                AdapterLoad {
                    vm: vm.name.clone(),
                    adapter: adapter.name.clone(),
                    path: adapter.path,
                    sent: rate(after.sent, earlier.sent),
                    received: rate(after.received, earlier.received),
                    drops_per_second: as_float(after.drops.saturating_sub(earlier.drops)) / seconds,
                    drops: after.drops,
                }
            })
        });
        Self {
            seconds,
            worker_load: busy.min(1.0),
            worker_mpps: as_float(frames.saturating_sub(frames_before)) / seconds / 1e6,
            vfs_used: now.adapter.num_allocated_vfs,
            vfs_enabled: now.adapter.num_vfs,
            adapters: adapters.collect(),
        }
    }
}

fn find<'a>(view: &'a TopologyView, vm: &str, adapter: &str) -> Option<&'a VmAdapterView> {
    let vm = view.vms.iter().find(|known| known.name == vm)?;
    vm.adapters.iter().find(|known| known.name == adapter)
}

/// What an adapter has counted on its synthetic path and on its VF.
fn counted(view: &TopologyView, adapter: &VmAdapterView) -> Counted {
    let synthetic = &adapter.synthetic.counters;
    let total = |drops: &[ReasonCount]| drops.iter().map(|drop| drop.count).sum::<u64>();
    let own = |vport: &&VPortView| adapter.vf.is_some_and(|vf| vport.function_id == vf.to_string());
    let vf = view.vports.iter().find(own);
    let sum = |one: TrafficView, other: Option<TrafficView>| {
        let other = other.unwrap_or_default();
        TrafficView { frames: one.frames + other.frames, octets: one.octets + other.octets, ..one }
    };
    Counted {
        sent: sum(synthetic.sent, vf.map(|vf| vf.sent)),
        received: sum(synthetic.received, vf.map(|vf| vf.received)),
        drops: total(&synthetic.drops) + vf.map_or(0, |vf| total(&vf.drops)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
fn as_float(number: u64) -> f64 {
    number as f64
}

fn summary(load: &Load) -> String {
    format!(
        "worker {:.0} % busy, {:.3} Mpps   VFs {} of {} in use",
        load.worker_load * 100.0,
        load.worker_mpps,
        load.vfs_used,
        load.vfs_enabled
    )
}

fn cells(adapter: &AdapterLoad) -> Vec<String> {
    let AdapterLoad { vm, adapter, path, sent, received, drops_per_second, drops } = adapter;
    vec![
        format!("{vm}/{adapter}"),
        path_text(*path),
        format!("{:.3}", sent.mpps),
        format!("{:.3}", sent.gbits),
        format!("{:.3}", received.mpps),
        format!("{:.3}", received.gbits),
        format!("{drops_per_second:.0}"),
        drops.to_string(),
    ]
}

/// For an output that is no terminal.
pub(super) fn load_text(load: &Load) -> String {
    format!("{}\n{}", summary(load), table(&HEADER, load.adapters.iter().map(cells)))
}

/// Draws a load; the first needs a moment.
pub(crate) fn draw(frame: &mut Frame<'_>, load: Option<&Load>) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    let summary = load.map_or_else(|| "looking ...".to_owned(), summary);
    frame.render_widget(Line::from(format!("softiov   {summary}")), head);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let rows = load.into_iter().flat_map(|load| &load.adapters).map(|adapter| Row::new(cells(adapter)));
    let widths = [24, 16, 10, 8, 14, 8, 8, 10].map(Constraint::Length);
    frame.render_widget(Table::new(rows, widths).header(Row::new(HEADER).style(bold)), body);
    frame.render_widget(Line::from("q ends"), foot);
}

#[cfg(test)]
mod tests;
