//! The tree of all that there is.

use std::fmt::Write;

use api::types::{
    HostAdapterView, LinkView, PathView, ReasonCount, SwitchView, SyntheticView, TopologyView, TrafficView,
    UplinkView, VPortView, VmAdapterView,
};

use super::network::{counters_line, policies};
use super::paths::paths;
use crate::words::vlan_text;

/// A branch: its first line, and the lines below it.
struct Branch {
    head: String,
    body: Vec<Self>,
}

impl Branch {
    fn leaf(head: impl Into<String>) -> Self {
        Self { head: head.into(), body: Vec::new() }
    }

    fn draw(&self, stem: &str, last: bool, text: &mut String) {
        let (branch, below) = if last { ("└─", "   ") } else { ("├─", "│  ") };
        let _ = writeln!(text, "{stem}{branch} {}", self.head);
        let stem = format!("{stem}{below}");
        draw(&self.body, &stem, text);
    }
}

fn draw(branches: &[Branch], stem: &str, text: &mut String) {
    for (n, branch) in branches.iter().enumerate() {
        branch.draw(stem, n + 1 == branches.len(), text);
    }
}

pub(super) fn topology_text(view: &TopologyView) -> String {
    let adapter = &view.adapter;
    let up = if adapter.link_up { "up" } else { "down" };
    let mut text = paths(view);
    let _ = writeln!(
        text,
        "\nadapter {}  mode {}  link {up}  switch {:?}",
        adapter.pf, adapter.mode, adapter.switch_name
    );
    let mut branches = vec![
        Branch::leaf(format!(
            "VFs     {} of {} allocated, {} in hardware",
            adapter.num_allocated_vfs, adapter.num_vfs, adapter.total_vfs
        )),
        Branch::leaf(format!("VPorts  {} active of {}", adapter.num_active_vports, adapter.num_vports)),
        Branch::leaf(worker(view)),
        uplink(&view.uplink),
    ];
    if !view.queues.is_empty() {
        branches.push(Branch::leaf(format!("queues  {} VM queues", view.queues.len())));
    }
    branches.extend(view.switches.iter().map(switch));
    branches.extend(view.hosts.iter().map(host));
    if view.vms.is_empty() {
        branches.push(Branch::leaf("no VMs"));
    }
    for vm in &view.vms {
        let body = vm.adapters.iter().map(|adapter| vm_adapter(view, adapter)).collect();
        branches.push(Branch { head: format!("VM {}", vm.name), body });
    }
    draw(&branches, "", &mut text);
    text
}

fn worker(view: &TopologyView) -> String {
    let worker = &view.worker;
    let per_frame = worker.busy_cycles.checked_div(worker.frames).unwrap_or(0);
    format!(
        "worker  {} frames in {} bursts, {per_frame} cycles a frame, slept {} times",
        worker.frames, worker.bursts, worker.sleeps
    )
}

fn uplink(uplink: &UplinkView) -> Branch {
    let Some(interface) = &uplink.interface else { return Branch::leaf("uplink  none") };
    // What the wire sent came in.
    let line = counters_line(&uplink.counters, ["in", "out"]);
    let mut body = vec![Branch::leaf(line)];
    body.extend(
        uplink
            .losses
            .iter()
            .map(|ReasonCount { reason, count }| Branch::leaf(format!("lost {reason} {count}"))),
    );
    Branch { head: format!("uplink  {} {interface}  {}", uplink.kind, link(&uplink.link)), body }
}

fn link(link: &LinkView) -> String {
    let mut text = if link.up { "link up" } else { "link down" }.to_owned();
    if let Some(mtu) = link.mtu {
        let _ = write!(text, "  mtu {mtu}");
    }
    text
}

fn switch(switch: &SwitchView) -> Branch {
    let body = switch.ports.iter().map(|port| {
        let mac = port.mac.map(|mac| format!("  {mac}")).unwrap_or_default();
        let vf = port.vf.map(|vf| format!("  VF {vf}")).unwrap_or_default();
        let policies = policies(&port.policy);
        let policies = if policies.is_empty() { policies } else { format!("  {policies}") };
        Branch {
            head: format!(
                "port {} {}  {}  {}{mac}  {}{vf}{policies}",
                port.port, port.name, port.kind, port.state, port.vlan
            ),
            body: vec![Branch::leaf(counters_line(&port.counters, ["sent", "received"]))],
        }
    });
    let head = format!("switch {}  {}  {} stations learned", switch.name, switch.kind, switch.stations);
    Branch { head, body: body.collect() }
}

fn host(host: &HostAdapterView) -> Branch {
    let mut body = vec![Branch::leaf(counters_line(&host.counters, ["in", "out"]))];
    body.extend(
        host.losses
            .iter()
            .map(|ReasonCount { reason, count }| Branch::leaf(format!("lost {reason} {count}"))),
    );
    let HostAdapterView { interface, switch, mac, vlan, .. } = host;
    Branch {
        head: format!("host {interface}  {mac}  {vlan}  {}  on switch {switch}", link(&host.link)),
        body,
    }
}

fn vm_adapter(view: &TopologyView, adapter: &VmAdapterView) -> Branch {
    let VmAdapterView { name, desired, .. } = adapter;
    let mut body = Vec::new();
    match adapter.path {
        PathView::Vf(vf) => body.extend(vf_branch(view, vf)),
        PathView::Queue(queue) => body.push(Branch::leaf(format!("by VM queue {queue}"))),
        PathView::Switch => body.push(Branch::leaf("by the extensible switch")),
    }
    body.extend(adapter.no_vf.iter().map(|no_vf| Branch::leaf(format!("no VF: {}", no_vf.reason))));
    body.extend(adapter.no_queue.iter().map(|reason| Branch::leaf(format!("no VM queue: {reason}"))));
    body.push(synthetic(&adapter.synthetic));
    Branch {
        head: format!(
            "{name}  {}  {}  weight {}",
            desired.mac.0,
            vlan_text(&desired.policy().vlan),
            desired.iov_weight.0
        ),
        body,
    }
}

fn synthetic(synthetic: &SyntheticView) -> Branch {
    let state = match &synthetic.device {
        Some(device) if device.driver_ready => "guest driver up",
        Some(device) if device.connected => "plugged",
        _ => "not plugged",
    };
    let SyntheticView { switch, port, socket, .. } = synthetic;
    let mut body = vec![Branch::leaf(format!("socket {}", socket.display()))];
    for ReasonCount { reason, count } in synthetic.device.iter().flat_map(|device| &device.rejections) {
        body.push(Branch::leaf(format!("refused {reason} {count}")));
    }
    for (ring, what) in synthetic.device.iter().flat_map(|device| &device.broken_rings) {
        body.push(Branch::leaf(format!("ring {ring} is broken: {what}")));
    }
    Branch { head: format!("synthetic adapter  port {port} of switch {switch}  {state}"), body }
}

fn vf_branch(view: &TopologyView, vf: u16) -> Option<Branch> {
    let vf = view.vfs.iter().find(|v| v.function_id == vf)?;
    let state = match &vf.device {
        Some(device) if device.driver_ready => "guest driver up",
        Some(device) if device.connected => "plugged",
        _ => "not plugged",
    };
    let vport = vf.vport_id.map_or_else(|| "no VPort".to_owned(), |id| format!("VPort {id}"));
    let mut body = Vec::new();
    if let Some(device) = &vf.device {
        body.push(Branch::leaf(format!("socket {}", device.socket.display())));
        let refused = device.rejections.iter();
        body.extend(
            refused.map(|ReasonCount { reason, count }| Branch::leaf(format!("refused {reason} {count}"))),
        );
    }
    if let Some(vport) = view.vports.iter().find(|v| Some(v.vport_id) == vf.vport_id) {
        body.extend(counters(vport).into_iter().map(Branch::leaf));
    }
    let head = format!("by VF {}  {}  {}  {vport}  {state}", vf.function_id, vf.requester_id, vf.model);
    Some(Branch { head, body })
}

/// What a VPort sent, received and lost, a line each.
pub(super) fn counters(vport: &VPortView) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, TrafficView { frames, octets, multicast, broadcast }) in
        [("sent    ", vport.sent), ("received", vport.received)]
    {
        lines.push(format!(
            "{name} {frames} frames, {octets} bytes ({multicast} multicast, {broadcast} broadcast)"
        ));
    }
    if vport.held > 0 {
        lines.push(format!("held back {} times by a full receiver", vport.held));
    }
    lines.extend(vport.drops.iter().map(|ReasonCount { reason, count }| format!("dropped {reason} {count}")));
    lines
}
