//! VMs, their adapters, and why these are where they are.

use std::fmt::Write;

use api::types::{
    AdapterView, EventList, EventView, ExplainView, PathView, PlanView, PlannedKind, VmAdapterView, VmView,
    VmmState,
};

use super::table::{or_dash, table};
use crate::words::vlan_text;

/// A path in short.
pub(super) fn path_text(path: PathView) -> String {
    match path {
        PathView::Vf(vf) => format!("VF {vf}"),
        PathView::Queue(queue) => format!("VM queue {queue}"),
        PathView::Switch => "switch".to_owned(),
    }
}

/// A line for each adapter.
pub(super) fn vm_table(vms: &[VmView]) -> String {
    let header = ["VM", "VMM", "Adapter", "MacAddress", "VLAN", "IovWeight", "Path", "VF", "State"];
    let mut rows = Vec::new();
    for vm in vms {
        let row = |cells: [String; 7]| [vec![vm.name.clone(), vmm_word(vm)], cells.to_vec()].concat();
        if vm.adapters.is_empty() {
            rows.push(row(std::array::from_fn(|_| "-".to_owned())));
        }
        for adapter in &vm.adapters {
            rows.push(row([
                adapter.name.clone(),
                adapter.desired.mac.0.to_string(),
                vlan_text(&adapter.desired.policy().vlan),
                adapter.desired.iov_weight.0.to_string(),
                path_text(adapter.path),
                or_dash(adapter.vf),
                or_dash(adapter.vf_life.as_ref().map(|life| &life.state)),
            ]));
        }
    }
    table(&header, rows.into_iter())
}

fn vmm_word(vm: &VmView) -> String {
    match vm.vmm.state {
        VmmState::ByHand => "by hand".to_owned(),
        VmmState::Connecting => "connecting".to_owned(),
        VmmState::Connected => vm.vmm.version.clone().unwrap_or_else(|| "connected".to_owned()),
    }
}

/// A VM with all that is wanted of it.
pub(super) fn vm_text(vm: &VmView) -> String {
    let mut text = format!("VM {}\n", vm.name);
    let _ = match &vm.vmm.qmp {
        Some(qmp) => writeln!(text, "  VMM        {}, QMP {}", vmm_word(vm), qmp.display()),
        None => writeln!(text, "  VMM        none: VFs are plugged by hand"),
    };
    if let Some(error) = &vm.vmm.error {
        let _ = writeln!(text, "             {error}");
    }
    for adapter in &vm.adapters {
        for line in adapter_text(adapter).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// An adapter with all that is wanted of it.
pub(super) fn adapter_text(adapter: &VmAdapterView) -> String {
    let mut text = format!("adapter {}\n", adapter.name);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<24} {value}");
    };
    line("path", path_text(adapter.path));
    if let Some(life) = &adapter.vf_life {
        line("VF", format!("{}: {}", or_dash(adapter.vf), life.text));
    }
    if let Some(no_vf) = &adapter.no_vf {
        line("no VF", no_vf.reason.clone());
        line("what would change that", or_dash(no_vf.remedy.as_ref()));
    }
    if let Some(reason) = &adapter.no_queue {
        line("no VM queue", reason.clone());
    }
    line("synthetic socket", adapter.synthetic.socket.display().to_string());
    if let Some(socket) = &adapter.vf_socket {
        line("VF socket", socket.display().to_string());
    }
    members(&adapter.desired, &mut line);
    text
}

/// What is wanted, a line each.
fn members(desired: &impl serde::Serialize, line: &mut impl FnMut(&str, String)) {
    let json = serde_json::to_value(desired).unwrap_or_default();
    for (key, value) in json.as_object().into_iter().flatten().filter(|(key, _)| *key != "name") {
        match value {
            serde_json::Value::String(text) => line(key, text.clone()),
            serde_json::Value::Object(members) => {
                for (member, value) in members.iter().filter(|(_, value)| !is_nothing(value)) {
                    line(&format!("{key}.{member}"), value.to_string());
                }
            }
            value => line(key, value.to_string()),
        }
    }
}

/// What is as if nothing had been said.
fn is_nothing(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text == "none",
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
        Value::Bool(true) => false,
    }
}

pub(super) fn explain_text(views: &[ExplainView]) -> String {
    let mut text = String::new();
    for view in views {
        let _ = writeln!(text, "{}/{} is on {}", view.vm, view.adapter, path_name(view.path));
        let _ = writeln!(text, "  {}", view.because);
        if let Some(life) = &view.vf_life {
            let _ = writeln!(text, "  {}", life.text);
        }
        if let Some(remedy) = view.no_vf.as_ref().and_then(|no_vf| no_vf.remedy.as_ref()) {
            let _ = writeln!(text, "  What would change that: {remedy}");
        }
    }
    let Some(last) = views.last() else { return text };
    if !last.holders.is_empty() {
        text += "VFs are held by\n";
        for holder in &last.holders {
            let _ =
                writeln!(text, "  {} (VF {}, iov_weight {})", holder.adapter, holder.vf, holder.iov_weight);
        }
    }
    for view in views.iter().filter(|view| !view.history.is_empty()) {
        let _ = writeln!(text, "what happened to {}/{}", view.vm, view.adapter);
        for event in &view.history {
            let _ = writeln!(text, "  {}", event_text(event));
        }
    }
    text
}

fn path_name(path: PathView) -> String {
    match path {
        PathView::Vf(vf) => format!("VF {vf}"),
        PathView::Queue(queue) => format!("its synthetic adapter, by VM queue {queue}"),
        PathView::Switch => "its synthetic adapter, by the extensible switch".to_owned(),
    }
}

pub(super) fn plan_text(plan: &PlanView) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let sign = match change.kind {
            PlannedKind::Added => '+',
            PlannedKind::Changed => '~',
            PlannedKind::Removed => '-',
        };
        let whose = match &change.adapter {
            Some(adapter) => format!("{}/{adapter}", change.vm),
            None => format!("VM {}", change.vm),
        };
        let details = change.details.join(", ");
        let colon = if details.is_empty() { "" } else { ": " };
        let _ = writeln!(text, "{sign} {whose}{colon}{details}");
    }
    for adapter in &plan.lose_vf {
        let _ = writeln!(text, "! {adapter} loses its VF");
    }
    text += match (plan.changes.is_empty(), plan.applied) {
        (true, _) => "nothing changes\n",
        (false, true) => "done\n",
        (false, false) => "nothing was changed yet: this was a dry run\n",
    };
    text
}

pub(super) fn events_text(list: &EventList) -> String {
    if list.events.is_empty() {
        return format!("no events; the latest has the number {}\n", list.latest);
    }
    list.events.iter().fold(String::new(), |text, event| text + &event_text(event) + "\n")
}

/// An event, in one line.
pub(super) fn event_text(event: &EventView) -> String {
    let mut text = format!("{:>5} {} {}", event.sequence, clock(event.time_ms), event.text);
    if let Some(failover) = &event.failover {
        let frames = failover.frames.unwrap_or_default();
        let _ = write!(
            text,
            " (took {} us, gap {} us, frames held {}, lost {}, duplicated {}, reordered {})",
            failover.duration_us,
            failover.gap_us,
            frames.held,
            frames.lost,
            frames.duplicated,
            frames.reordered
        );
    }
    text
}

/// A time of the day, UTC, with milliseconds.
fn clock(time_ms: u64) -> String {
    let (seconds, ms) = (time_ms / 1000 % 86_400, time_ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

pub(super) fn sriov_table(view: &AdapterView) -> String {
    let header = ["PF", "Mode", "TotalVFs", "NumVFs", "NumAllocatedVFs", "NumVPorts", "NumActiveVPorts"];
    let row = vec![
        view.pf.clone(),
        view.mode.clone(),
        view.total_vfs.to_string(),
        view.num_vfs.to_string(),
        view.num_allocated_vfs.to_string(),
        view.num_vports.to_string(),
        view.num_active_vports.to_string(),
    ];
    table(&header, [row].into_iter())
}
