//! What the commands print.

mod network;
mod paths;
mod table;
pub(crate) mod top;
mod trace;
mod tree;
mod vms;

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use api::types::{
    AclRuleView, AdapterView, AddressView, EventList, EventView, ExplainView, FilterView, OidView, PlanView,
    PortView, QueueView, SwitchView, TextView, TopologyView, TraceView, VPortView, VfView, VmAdapterView,
    VmView,
};
use serde::Serialize;

use self::network::{acl_table, fdb_table, port_table, queue_table, switch_table, switch_text};
use self::table::table;
use self::top::{Load, load_text};
use self::trace::trace_text;
use self::tree::{counters, topology_text};
use self::vms::{
    adapter_text, event_text, events_text, explain_text, plan_text, sriov_table, vm_table, vm_text,
};
use crate::cli::Output;

/// Tells why a command failed.
pub(crate) fn error(error: &anyhow::Error) {
    // Without a standard error there is nobody to tell.
    let _ = write_line(io::stderr(), format_args!("softiov: {error:#}"));
}

/// Tells that the daemon can be used.
pub(crate) fn ready(vms: usize, control: &Path, tcp: Option<SocketAddr>) -> io::Result<()> {
    let tcp = tcp.map(|address| format!(", TLS at {address}")).unwrap_or_default();
    write_line(io::stdout(), format_args!("ready: {vms} VMs, control socket {}{tcp}", control.display()))
}

pub(crate) fn topology(view: &TopologyView, output: Output) -> io::Result<()> {
    print(view, output, topology_text)
}

pub(crate) fn vms(view: &[VmView], output: Output) -> io::Result<()> {
    print(view, output, vm_table)
}

pub(crate) fn vms_in_full(view: &[VmView], output: Output) -> io::Result<()> {
    print(view, output, |vms| vms.iter().map(vm_text).collect())
}

pub(crate) fn vm(view: &VmView, output: Output) -> io::Result<()> {
    print(view, output, vm_text)
}

pub(crate) fn vm_adapter(view: &VmAdapterView, output: Output) -> io::Result<()> {
    print(view, output, adapter_text)
}

pub(crate) fn explain(view: &[ExplainView], output: Output) -> io::Result<()> {
    print(view, output, explain_text)
}

pub(crate) fn plan(view: &PlanView, output: Output) -> io::Result<()> {
    print(view, output, plan_text)
}

pub(crate) fn adapter(view: &AdapterView, output: Output) -> io::Result<()> {
    print(view, output, sriov_table)
}

pub(crate) fn events(view: &EventList, output: Output) -> io::Result<()> {
    print(view, output, events_text)
}

/// Prints one of many events, JSON in one line; whether anybody reads on.
pub(crate) fn event(view: &EventView, output: Output) -> io::Result<bool> {
    print_one(view, output, event_text)
}

/// Prints one of many loads, JSON in one line; whether anybody reads on.
pub(crate) fn load(view: &Load, output: Output) -> io::Result<bool> {
    print_one(view, output, load_text)
}

/// Prints a script for a shell.
pub(crate) fn script(script: &[u8]) -> io::Result<()> {
    write_line(io::stdout(), format_args!("{}", String::from_utf8_lossy(script).trim_end()))
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
        for line in counters(vport) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    })
}

pub(crate) fn filters(view: &[FilterView], output: Output) -> io::Result<()> {
    print(view, output, filter_table)
}

pub(crate) fn switches(view: &[SwitchView], output: Output) -> io::Result<()> {
    print(view, output, switch_table)
}

pub(crate) fn switch(view: &SwitchView, output: Output) -> io::Result<()> {
    print(view, output, switch_text)
}

/// Ports, each with the name of its switch.
pub(crate) fn ports(view: &[(&str, &PortView)], output: Output) -> io::Result<()> {
    print(view, output, port_table)
}

pub(crate) fn fdb(view: &[AddressView], output: Output) -> io::Result<()> {
    print(view, output, fdb_table)
}

pub(crate) fn acl(view: &[AclRuleView], output: Output) -> io::Result<()> {
    print(view, output, acl_table)
}

pub(crate) fn queues(view: &[QueueView], output: Output) -> io::Result<()> {
    print(view, output, queue_table)
}

pub(crate) fn trace(view: &TraceView, output: Output) -> io::Result<()> {
    print(view, output, trace_text)
}

/// What a change brought with it besides, a line each.
pub(crate) fn consequences(view: &[String], output: Output) -> io::Result<()> {
    print(view, output, |lines| lines.iter().fold("done".to_owned(), |text, line| text + "\n" + line))
}

/// A remark beside the output of a command, which may be data.
pub(crate) fn remark(text: &str) {
    // Without a standard error there is nobody to tell.
    let _ = write_line(io::stderr(), format_args!("softiov: {text}"));
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

/// Prints one of many, JSON in one line; whether anybody reads on.
fn print_one<T: Serialize>(view: &T, output: Output, render: impl FnOnce(&T) -> String) -> io::Result<bool> {
    let text = match output {
        Output::Text => render(view),
        Output::Json => serde_json::to_string(view)?,
    };
    let mut stdout = io::stdout();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Writes a line. A reader that has seen enough, such as `head`, is no error.
fn write_line(mut to: impl io::Write, line: std::fmt::Arguments<'_>) -> io::Result<()> {
    match writeln!(to, "{line}").and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn vf_table(vfs: &[VfView]) -> String {
    let header =
        ["FunctionID", "RequesterID", "VmFriendlyName", "NicName", "CurrentMacAddress", "VPortID", "State"];
    let rows = vfs.iter().map(|vf| {
        let state = match (&vf.life, &vf.device) {
            (Some(life), _) => &life.state,
            (None, Some(device)) if device.driver_ready => "active",
            (None, Some(device)) if device.connected => "plugged",
            (None, _) => "allocated",
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

#[cfg(test)]
mod tests;
