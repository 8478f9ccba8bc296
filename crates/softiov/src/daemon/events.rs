//! What happens, as it is told to those who follow events, and counted for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use api::EventLog;
use api::metrics::{FailoverMetrics, Histogram};
use api::types::{EventKind, EventView, FailoverView, GapFramesView, PathView};
use virt_stack::{AdapterId, Failover, Path, Record, Transition, VmId, VmmEvent, What};

use super::topology::{state_text, word};
use super::{Changing, Core};

/// Events that are kept.
const KEPT: usize = 4096;

/// The events, and what is counted of them.
#[derive(Debug)]
pub(super) struct Chronicle {
    log: EventLog,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    by_cause: BTreeMap<String, u64>,
    duration: Histogram,
    gap: Histogram,
    frames: GapFramesView,
    /// The latest VF of each adapter: when its frames leave a VF, that may be gone already.
    latest_vf: BTreeMap<AdapterId, u16>,
}

impl Default for Chronicle {
    fn default() -> Self {
        Self { log: EventLog::new(KEPT), counted: Mutex::default() }
    }
}

impl Chronicle {
    pub(super) const fn log(&self) -> &EventLog {
        &self.log
    }

    /// Changes of path, as they were counted.
    pub(super) fn failovers(&self) -> FailoverMetrics {
        let counted = self.lock();
        FailoverMetrics {
            by_cause: counted.by_cause.iter().map(|(cause, count)| (cause.clone().into(), *count)).collect(),
            duration: counted.duration,
            gap: counted.gap,
            held_frames: counted.frames.held,
            lost_frames: counted.frames.lost,
            duplicated_frames: counted.frames.duplicated,
            reordered_frames: counted.frames.reordered,
        }
    }

    /// Tells an event about a VM, or an adapter of one.
    pub(super) fn tell(&self, kind: EventKind, (vm, adapter): (&str, Option<&str>), text: String) {
        self.push(kind, (vm, adapter), text, None);
    }

    /// Tells an event of the daemon itself.
    pub(super) fn tell_daemon(&self, text: String) {
        let (vm, adapter) = (None, None);
        self.log.push(EventView {
            sequence: 0,
            time_ms: now_ms(),
            kind: EventKind::Daemon,
            vm,
            adapter,
            text,
            failover: None,
        });
    }

    fn push(
        &self,
        kind: EventKind,
        (vm, adapter): (&str, Option<&str>),
        text: String,
        failover: Option<FailoverView>,
    ) {
        let (vm, adapter) = (Some(vm.to_owned()), adapter.map(str::to_owned));
        self.log.push(EventView { sequence: 0, time_ms: now_ms(), kind, vm, adapter, text, failover });
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// What the virtualization stack has recorded: logged, counted, and told to those who follow events.
    pub(super) fn note(&self, changing: &Changing, record: &Record) {
        let about = record.name.split_once('/').unwrap_or((&record.name, ""));
        let about = (about.0, Some(about.1));
        match &record.what {
            What::Transition(transition) => self.note_transition(record, about, transition),
            What::Failover(failover) => self.note_failover(changing, record, about, failover),
            What::OidRefused { cause } => {
                tracing::warn!(adapter = record.name, "{cause}");
                self.chronicle.tell(EventKind::Vf, about, format!("{}: {cause}", record.name));
            }
        }
    }

    fn note_transition(&self, record: &Record, about: (&str, Option<&str>), transition: &Transition) {
        let Transition { vf, from, to, because, .. } = transition;
        tracing::debug!(adapter = record.name, ?from, ?to, "{because}");
        if let Some(vf) = vf {
            self.chronicle.lock().latest_vf.insert(record.adapter, *vf);
        }
        let whose = match vf {
            Some(vf) => format!("{}, VF {vf}", record.name),
            None => record.name.clone(),
        };
        let text = format!(
            "{whose}: {} -> {}, because {because}. {}",
            word(from, None),
            word(to, None),
            state_text(*to)
        );
        self.chronicle.tell(EventKind::Vf, about, text);
    }

    fn note_failover(
        &self,
        changing: &Changing,
        record: &Record,
        about: (&str, Option<&str>),
        failover: &Failover,
    ) {
        let Failover { because, from, to, duration, held_for, expired, frames, .. } = failover;
        let counts = frames.unwrap_or_default();
        tracing::info!(
            adapter = record.name,
            ?from,
            ?to,
            gap = ?held_for,
            held = counts.held,
            lost = counts.lost,
            "failover: {because}"
        );
        let cause = word(because, Some("cause"));
        let vf = {
            let mut counted = self.chronicle.lock();
            *counted.by_cause.entry(cause.clone()).or_default() += 1;
            counted.duration.observe(*duration);
            counted.gap.observe(*held_for);
            counted.frames.held += counts.held;
            counted.frames.lost += counts.lost;
            counted.frames.duplicated += counts.duplicated;
            counted.frames.reordered += counts.reordered;
            counted.latest_vf.get(&record.adapter).copied()
        };
        let [from, to] = [*from, *to].map(|path| shown_path(changing, record.adapter, path, vf));
        let text = format!("{} went from {} to {}, because {because}", record.name, named(from), named(to));
        let view = FailoverView {
            cause,
            from,
            to,
            duration_us: micros(*duration),
            gap_us: micros(*held_for),
            expired: *expired,
            frames: frames.map(|frames| GapFramesView {
                held: frames.held,
                lost: frames.lost,
                duplicated: frames.duplicated,
                reordered: frames.reordered,
            }),
        };
        self.chronicle.push(EventKind::Failover, about, text, Some(view));
    }

    /// What a VMM told by QMP, before the stack hears of it.
    pub(super) fn note_vmm(&self, changing: &Changing, vm: VmId, event: &VmmEvent) {
        let Some(name) = changing.vm_ids.iter().find_map(|(name, id)| (*id == vm).then_some(name)) else {
            return;
        };
        let of = |adapter: &AdapterId| changing.members.get(adapter).map(|member| member.name.as_str());
        let (adapter, text) = match event {
            VmmEvent::Connected { devices } => {
                (None, format!("the VMM of {name} is connected, with {} VFs plugged in", devices.len()))
            }
            VmmEvent::Lost => (None, format!("the VMM of {name} is lost")),
            VmmEvent::Plugged(id, _) => (of(id), format!("the VMM of {name} has plugged the VF in")),
            VmmEvent::PlugFailed(id, _, error) => {
                (of(id), format!("the VMM of {name} cannot plug the VF in: {error}"))
            }
            VmmEvent::Deleted(id, _) => (of(id), format!("the VF is out of the VMM of {name}")),
            VmmEvent::UnplugRefused(id, _) => {
                (of(id), format!("the guest of {name} refuses to let the VF go"))
            }
        };
        self.chronicle.tell(EventKind::Vmm, (name.as_str(), adapter), text);
    }
}

/// A path of an adapter as it is shown, if its latest VF has the number `vf`.
fn shown_path(changing: &Changing, adapter: AdapterId, path: Path, vf: Option<u16>) -> PathView {
    let queue = || changing.members.get(&adapter).and_then(|member| member.queue.as_ref().ok());
    match (path, vf) {
        (Path::Vf, Some(vf)) => PathView::Vf(vf),
        _ => queue().map_or(PathView::Switch, |vport| PathView::Queue(vport.0)),
    }
}

fn named(path: PathView) -> String {
    match path {
        PathView::Vf(vf) => format!("VF {vf}"),
        PathView::Queue(queue) => format!("its synthetic adapter by VM queue {queue}"),
        PathView::Switch => "its synthetic adapter".to_owned(),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
