//! Switches, ports, stations, rules, queues.

use std::fmt::Write;

use api::types::{AclRuleView, AddressView, CountersView, PortView, QueueView, ReasonCount, SwitchView};
use vswitch::{AclAction, AclRule, Direction, Mirroring, PortPolicy, PortRange};

use super::table::{or_dash, table};
use crate::cli::PROTOCOLS;

pub(super) fn switch_table(switches: &[SwitchView]) -> String {
    let header = ["Name", "Type", "Ports", "Connected", "Stations", "Ageing", "Extensions"];
    let rows = switches.iter().map(|switch| {
        vec![
            switch.name.clone(),
            switch.kind.clone(),
            switch.ports.len().to_string(),
            switch.ports.iter().filter(|port| port.state == "connected").count().to_string(),
            switch.stations.to_string(),
            format!("{} s", switch.ageing),
            or_dash(Some(switch.extensions.join(","))),
        ]
    });
    table(&header, rows)
}

/// `ports`: each with the name of its switch.
pub(super) fn port_table(ports: &[(&str, &PortView)]) -> String {
    let header = [
        "Switch", "Port", "Name", "Type", "NIC", "State", "MAC", "VLAN", "Policies", "VF", "Sent",
        "Received", "Drops",
    ];
    let rows = ports.iter().map(|(switch, port)| {
        vec![
            (*switch).to_owned(),
            port.port.to_string(),
            port.name.clone(),
            port.kind.clone(),
            or_dash(port.nic.as_ref()),
            port.state.clone(),
            or_dash(port.mac),
            port.vlan.clone(),
            or_dash(Some(policies(&port.policy))),
            or_dash(port.vf),
            port.counters.sent.frames.to_string(),
            port.counters.received.frames.to_string(),
            port.counters.drops.iter().map(|drop| drop.count).sum::<u64>().to_string(),
        ]
    });
    table(&header, rows)
}

/// A switch with its ports, and what they lost.
pub(super) fn switch_text(switch: &SwitchView) -> String {
    let mut text = switch_table(std::slice::from_ref(switch));
    text.push('\n');
    let ports: Vec<_> = switch.ports.iter().map(|port| (switch.name.as_str(), port)).collect();
    text.push_str(&port_table(&ports));
    for port in &switch.ports {
        if let Some(reason) = &port.forbids_vf {
            let _ = writeln!(text, "{} may have no VF: {reason}", port.name);
        }
        for ReasonCount { reason, count } in &port.counters.drops {
            let _ = writeln!(text, "{} dropped {reason} {count}", port.name);
        }
    }
    text
}

/// The policies that are not as usual, in short.
pub(super) fn policies(policy: &PortPolicy) -> String {
    let mut list = Vec::new();
    let mut note = |applies: bool, text: String| {
        if applies {
            list.push(text);
        }
    };
    note(!policy.acl.rules.is_empty(), format!("acl={}", policy.acl.rules.len()));
    note(policy.dhcp_guard, "dhcp-guard".to_owned());
    note(policy.router_guard, "router-guard".to_owned());
    note(policy.storm_limit > 0, format!("storm-limit={}", policy.storm_limit));
    note(policy.bandwidth.maximum.is_some(), format!("max-bandwidth={}", rate(policy.bandwidth.maximum)));
    note(policy.bandwidth.minimum.is_some(), format!("min-bandwidth={}", rate(policy.bandwidth.minimum)));
    note(policy.bandwidth.weight > 0, format!("weight={}", policy.bandwidth.weight));
    note(policy.mirroring == Mirroring::Source, "mirroring=source".to_owned());
    note(policy.mirroring == Mirroring::Destination, "mirroring=destination".to_owned());
    note(policy.security.allow_mac_spoofing, "trusted".to_owned());
    note(policy.security.allow_ieee_priority_tag, "priority-tags".to_owned());
    note(policy.security.allow_teaming, "teaming".to_owned());
    list.join(",")
}

fn rate(rate: Option<u64>) -> String {
    let rate = rate.unwrap_or_default();
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let unit = units.into_iter().find(|(unit, _)| rate > 0 && rate.is_multiple_of(*unit));
    unit.map_or_else(|| rate.to_string(), |(unit, name)| format!("{}{name}", rate / unit))
}

/// What a port sent, received and lost, in one line.
pub(super) fn counters_line(counters: &CountersView, [sent, received]: [&str; 2]) -> String {
    let mut text = format!("{sent} {}  {received} {}", counters.sent.frames, counters.received.frames);
    if counters.direct > 0 {
        let _ = write!(text, " ({} by VM queue)", counters.direct);
    }
    if counters.held > 0 {
        let _ = write!(text, "  held {}", counters.held);
    }
    for ReasonCount { reason, count } in &counters.drops {
        let _ = write!(text, "  dropped {reason} {count}");
    }
    text
}

pub(super) fn fdb_table(addresses: &[AddressView]) -> String {
    let header = ["Switch", "MacAddress", "Vlan", "Port", "Name", "Origin"];
    let rows = addresses.iter().map(|address| {
        vec![
            address.switch.clone(),
            address.mac.to_string(),
            match address.vlan {
                None => "any".to_owned(),
                Some(0) => "none".to_owned(),
                Some(vlan) => vlan.to_string(),
            },
            address.port.to_string(),
            address.port_name.clone(),
            address.origin.clone(),
        ]
    });
    table(&header, rows)
}

pub(super) fn acl_table(rules: &[AclRuleView]) -> String {
    if rules.is_empty() {
        return "no rules: everything passes\n".to_owned();
    }
    let header = ["Index", "Direction", "Action", "Weight", "Match", "Frames", "Octets"];
    let rows = rules.iter().map(|AclRuleView { index, rule, frames, octets }| {
        vec![
            index.to_string(),
            match rule.direction {
                Direction::Inbound => "in",
                Direction::Outbound => "out",
            }
            .to_owned(),
            match rule.action {
                AclAction::Allow => "allow",
                AclAction::Deny => "deny",
                AclAction::Meter => "meter",
            }
            .to_owned(),
            rule.weight.to_string(),
            matches(rule),
            or_dash(*frames),
            or_dash(*octets),
        ]
    });
    table(&header, rows)
}

/// What a rule matches, in the words of `acl add`.
fn matches(rule: &AclRule) -> String {
    let mut list = Vec::new();
    let mut note = |name: &str, value: Option<String>| {
        list.extend(value.map(|value| format!("{name} {value}")));
    };
    let ports = |range: PortRange| match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    };
    note("local-mac", rule.local_mac.map(|mac| mac.to_string()));
    note("remote-mac", rule.remote_mac.map(|mac| mac.to_string()));
    note("local-ip", rule.local_ip.map(|prefix| prefix.to_string()));
    note("remote-ip", rule.remote_ip.map(|prefix| prefix.to_string()));
    note("protocol", rule.protocol.map(protocol));
    note("local-ports", rule.local_ports.map(ports));
    note("remote-ports", rule.remote_ports.map(ports));
    if rule.stateful {
        list.push("stateful".to_owned());
    }
    if list.is_empty() { "everything".to_owned() } else { list.join(", ") }
}

fn protocol(number: u8) -> String {
    let named = PROTOCOLS.iter().find(|(_, known)| *known == number);
    named.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

pub(super) fn queue_table(queues: &[QueueView]) -> String {
    if queues.is_empty() {
        return "no VM queues: the adapter is in SR-IOV mode, where VPorts of the PF take their part (`softiov vport`)\n"
            .to_owned();
    }
    let header = ["QueueID", "State", "NumFilters", "Affinity", "VmFriendlyName", "QueueName", "Filters"];
    let rows = queues.iter().map(|queue| {
        let filters: Vec<_> =
            queue.filters.iter().map(|filter| format!("{} {}", filter.mac, filter.vlan)).collect();
        vec![
            queue.queue_id.to_string(),
            queue.state.clone(),
            queue.filters.len().to_string(),
            or_dash(queue.affinity.as_ref()),
            or_dash(Some(&queue.vm)),
            or_dash(Some(&queue.queue_name)),
            or_dash(Some(filters.join(", "))),
        ]
    });
    table(&header, rows)
}
