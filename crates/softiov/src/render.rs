//! What the commands print.

use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::Serialize;

use crate::cli::Output;
use crate::view::{FilterView, OidView, TextView, TopologyView, TrafficView, VPortView, VfView};

/// Tells why a command failed.
pub(crate) fn error(error: &anyhow::Error) {
    // Without a standard error there is nobody to tell.
    let _ = write_line(io::stderr(), format_args!("softiov: {error:#}"));
}

/// Tells that the daemon can be used.
pub(crate) fn ready(vms: usize, control: &Path) -> io::Result<()> {
    write_line(io::stdout(), format_args!("ready: {vms} VMs, control socket {}", control.display()))
}

pub(crate) fn topology(view: &TopologyView, output: Output) -> io::Result<()> {
    print(view, output, topology_text)
}

pub(crate) fn vfs(view: &[VfView], output: Output) -> io::Result<()> {
    print(view, output, vf_table)
}

pub(crate) fn vports(view: &[VPortView], output: Output) -> io::Result<()> {
    print(view, output, vport_table)
}

pub(crate) fn vport(view: &VPortView, output: Output) -> io::Result<()> {
    print(view, output, |vport| {
        let mut text = vport_table(std::slice::from_ref(vport));
        text.push_str(&filter_table(&vport.filters));
        text.push_str(&counters(vport, ""));
        text
    })
}

pub(crate) fn filters(view: &[FilterView], output: Output) -> io::Result<()> {
    print(view, output, filter_table)
}

pub(crate) fn text(view: &TextView, output: Output) -> io::Result<()> {
    print(view, output, |view| format!("{}\n", view.text.trim_end()))
}

pub(crate) fn oid(view: &OidView, output: Output) -> io::Result<()> {
    print(view, output, |view| {
        let mut text = view.status.clone();
        if let Some(reason) = &view.reason {
            let _ = write!(text, ": {reason}");
        }
        text.push('\n');
        if !matches!(&view.payload, serde_json::Value::String(none) if none == "None") {
            let _ = writeln!(text, "{:#}", view.payload);
        }
        text
    })
}

/// Arguments for a shell: a line each, quoted where needed, so that they can be pasted.
pub(crate) fn arguments(view: &[String], output: Output) -> io::Result<()> {
    print(view, output, |arguments| {
        let lines: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
        let pairs: Vec<String> = lines.chunks(2).map(|pair| pair.join(" ")).collect();
        pairs.join(" \\\n")
    })
}

/// An argument as a shell reads it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,./:".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// Prints JSON, or the text that `render` makes.
fn print<T: Serialize + ?Sized>(
    view: &T,
    output: Output,
    render: impl FnOnce(&T) -> String,
) -> io::Result<()> {
    let text = match output {
        Output::Text => render(view),
        Output::Json => serde_json::to_string_pretty(view)?,
    };
    write_line(io::stdout(), format_args!("{}", text.trim_end()))
}

/// Writes a line. A reader that has seen enough, such as `head`, is no error.
fn write_line(mut to: impl io::Write, line: std::fmt::Arguments<'_>) -> io::Result<()> {
    match writeln!(to, "{line}").and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn topology_text(view: &TopologyView) -> String {
    let mut text = String::new();
    let adapter = &view.adapter;
    let up = if adapter.link_up { "up" } else { "down" };
    let _ = writeln!(
        text,
        "adapter {}  mode {}  link {up}  switch {:?}",
        adapter.pf, adapter.mode, adapter.switch_name
    );
    let _ = writeln!(
        text,
        "├─ VFs     {} of {} allocated, {} in hardware",
        adapter.num_allocated_vfs, adapter.num_vfs, adapter.total_vfs
    );
    let _ = writeln!(text, "├─ VPorts  {} active of {}", adapter.num_active_vports, adapter.num_vports);
    let worker = &view.worker;
    let per_frame = worker.busy_cycles.checked_div(worker.frames).unwrap_or(0);
    let _ = writeln!(
        text,
        "├─ worker  {} frames in {} bursts, {per_frame} cycles a frame, slept {} times",
        worker.frames, worker.bursts, worker.sleeps
    );
    if view.vms.is_empty() {
        text.push_str("└─ no VMs\n");
    }
    for (n, vm) in view.vms.iter().enumerate() {
        let last_vm = n + 1 == view.vms.len();
        let (branch, stem) = if last_vm { ("└─", "   ") } else { ("├─", "│  ") };
        let _ = writeln!(text, "{branch} VM {}", vm.name);
        for (m, adapter) in vm.adapters.iter().enumerate() {
            let (branch, inner) =
                if m + 1 == vm.adapters.len() { ("└─", "   ") } else { ("├─", "│  ") };
            let _ = writeln!(
                text,
                "{stem}{branch} {}  {}  {}  weight {}",
                adapter.name, adapter.mac, adapter.vlan, adapter.iov_weight
            );
            let stem = format!("{stem}{inner}");
            match (adapter.vf, &adapter.no_vf) {
                (Some(vf), _) => text.push_str(&vf_branch(view, vf, &stem)),
                (None, Some(reason)) => {
                    let _ = writeln!(text, "{stem}no VF: {reason}");
                }
                (None, None) => {}
            }
        }
    }
    text
}

fn vf_branch(view: &TopologyView, vf: u16, stem: &str) -> String {
    let mut text = String::new();
    let Some(vf) = view.vfs.iter().find(|v| v.function_id == vf) else { return text };
    let state = match &vf.device {
        Some(device) if device.driver_ready => "guest driver up",
        Some(device) if device.connected => "plugged",
        _ => "not plugged",
    };
    let vport = vf.vport_id.map_or_else(|| "no VPort".to_owned(), |id| format!("VPort {id}"));
    let _ =
        writeln!(text, "{stem}VF {}  {}  {}  {vport}  {state}", vf.function_id, vf.requester_id, vf.model);
    if let Some(device) = &vf.device {
        let _ = writeln!(text, "{stem}  socket {}", device.socket.display());
        for (reason, count) in &device.rejections {
            let _ = writeln!(text, "{stem}  refused {reason} {count}");
        }
    }
    if let Some(vport) = view.vports.iter().find(|v| Some(v.vport_id) == vf.vport_id) {
        text.push_str(&counters(vport, &format!("{stem}  ")));
    }
    text
}

fn counters(vport: &VPortView, stem: &str) -> String {
    let mut text = String::new();
    for (name, TrafficView { frames, octets, multicast, broadcast }) in
        [("sent    ", vport.sent), ("received", vport.received)]
    {
        let _ = writeln!(
            text,
            "{stem}{name} {frames} frames, {octets} bytes ({multicast} multicast, {broadcast} broadcast)"
        );
    }
    if vport.held > 0 {
        let _ = writeln!(text, "{stem}held back {} times by a full receiver", vport.held);
    }
    for (reason, count) in &vport.drops {
        let _ = writeln!(text, "{stem}dropped {reason} {count}");
    }
    text
}

fn vf_table(vfs: &[VfView]) -> String {
    let header =
        ["FunctionID", "RequesterID", "VmFriendlyName", "NicName", "CurrentMacAddress", "VPortID", "State"];
    let rows = vfs.iter().map(|vf| {
        let state = match &vf.device {
            Some(device) if device.driver_ready => "Active",
            Some(device) if device.connected => "Plugged",
            _ => "Offered",
        };
        vec![
            vf.function_id.to_string(),
            vf.requester_id.clone(),
            vf.vm.clone(),
            vf.nic.clone(),
            vf.current_mac.to_string(),
            vf.vport_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            state.to_owned(),
        ]
    });
    table(&header, rows)
}

fn vport_table(vports: &[VPortView]) -> String {
    let header = [
        "VPortID",
        "VPortName",
        "FunctionID",
        "NumQueuePairs",
        "InterruptModeration",
        "VPortState",
        "NumFilters",
    ];
    let rows = vports.iter().map(|vport| {
        vec![
            vport.vport_id.to_string(),
            if vport.name.is_empty() { "-".to_owned() } else { vport.name.clone() },
            vport.function_id.clone(),
            vport.num_queue_pairs.to_string(),
            vport.interrupt_moderation.clone(),
            vport.state.clone(),
            vport.filters.len().to_string(),
        ]
    });
    table(&header, rows)
}

fn filter_table(filters: &[FilterView]) -> String {
    let header = ["FilterID", "VPortID", "MacAddress", "Vlan"];
    let rows = filters.iter().map(|filter| {
        vec![
            filter.filter_id.to_string(),
            filter.vport_id.to_string(),
            filter.mac.to_string(),
            filter.vlan.clone(),
        ]
    });
    table(&header, rows)
}

/// Columns as wide as their widest cell.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests;
