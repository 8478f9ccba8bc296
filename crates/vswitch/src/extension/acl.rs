//! The port ACL at work (`spec/ndis.md` E.5): allow, deny and meter, with or without memory.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use ethernet::MacAddr;
use port::Cycles;
use serde::Serialize;

use super::connections::{Connection, Connections};
use super::flow::{Flow, Upper};
use crate::state::journal::{self, Journal};
use crate::{Acl, AclAction, AclRule, Direction, Packet, PortId};

/// What a meter counted on one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Meter {
    /// Whose rule counts.
    pub port: PortId,
    /// The rule's position in [`Acl::rules`].
    pub rule: u16,
    /// Frames; one that is still to be cut into segments counts as one.
    pub frames: u64,
    /// Octets, without VLAN tags and frame check sequences.
    pub octets: u64,
    /// Which ACL of which port it is.
    #[serde(skip)]
    pub(crate) identity: MeterIdentity,
}

/// Keeps the counts of one ACL from being taken for those of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MeterIdentity {
    pub(crate) stamp: u64,
    pub(crate) revision: u64,
}

/// An ACL in the order in which its rules are asked.
#[derive(Debug)]
pub(crate) struct CompiledAcl {
    inbound: Box<[Rule]>,
    outbound: Box<[Rule]>,
    connections: Option<Arc<Connections>>,
}

#[derive(Debug)]
struct Rule {
    rule: AclRule,
    /// Position in [`Acl::rules`].
    index: u16,
    /// Where a meter counts.
    meter: usize,
}

/// What an ACL says of a frame, with the rule that says it, if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AclVerdict {
    /// It passes.
    Allowed(Option<u16>),
    /// It belongs to a connection that was allowed.
    Connected,
    /// It is dropped.
    Denied(u16),
    /// It cannot be judged, and is dropped.
    Unreadable,
}

/// What a judgement may count and remember.
#[derive(Debug)]
pub(crate) struct Memory<'a> {
    pub(crate) meters: &'a mut [Meter],
    pub(crate) journal: &'a mut Journal,
    pub(crate) now: Cycles,
    /// Remember no connection.
    pub(crate) look_only: bool,
}

impl CompiledAcl {
    /// `connections`: the port's, if a rule is stateful. The meters are added to `meters`.
    pub(crate) fn new(
        port: PortId,
        acl: &Acl,
        identity: MeterIdentity,
        connections: Option<Arc<Connections>>,
        meters: &mut Vec<Meter>,
    ) -> Self {
        let mut rules: Vec<Rule> = Vec::with_capacity(acl.rules.len());
        for (index, rule) in (0..).zip(&acl.rules) {
            rules.push(Rule { rule: rule.clone(), index, meter: meters.len() });
            if rule.action == AclAction::Meter {
                meters.push(Meter { port, rule: index, frames: 0, octets: 0, identity });
            }
        }
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.rule.weight));
        let (inbound, outbound): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| rule.rule.direction == Direction::Inbound);
        Self { inbound: inbound.into(), outbound: outbound.into(), connections }
    }

    /// Whether frames that go this way must be shown to it.
    pub(crate) fn judges(&self, direction: Direction) -> bool {
        !self.rules(direction).is_empty() || self.connections.is_some()
    }

    /// Judges a frame.
    pub(crate) fn judge(
        &self,
        direction: Direction,
        packet: &Packet<'_>,
        flow: &Flow,
        memory: Memory<'_>,
    ) -> AclVerdict {
        let Memory { meters, journal, now, look_only } = memory;
        if flow.upper == Upper::Unreadable {
            return AclVerdict::Unreadable;
        }
        let sides = Sides::of(direction, packet, flow);
        let connection = self.connections.as_deref().zip(sides.connection);
        if let Some((table, connection)) = connection
            && table.knows(&connection, now)
        {
            if !look_only {
                table.refresh(&connection, now);
            }
            return AclVerdict::Connected;
        }
        for Rule { rule, index, meter } in self.rules(direction) {
            if !sides.match_rule(rule, flow) {
                continue;
            }
            match rule.action {
                AclAction::Deny => return AclVerdict::Denied(*index),
                AclAction::Allow => {
                    if let (true, Some((table, connection))) = (rule.stateful && !look_only, connection) {
                        table.insert(&connection, now);
                    }
                    return AclVerdict::Allowed(Some(*index));
                }
                AclAction::Meter => {
                    journal::count(meters, *meter, packet.length as u64, journal);
                }
            }
        }
        AclVerdict::Allowed(None)
    }

    fn rules(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

/// A frame as the port sees it: its own side, and the other one.
struct Sides {
    macs: [MacAddr; 2],
    addresses: Option<[IpAddr; 2]>,
    ports: Option<[u16; 2]>,
    connection: Option<Connection>,
}

impl Sides {
    fn of(direction: Direction, packet: &Packet<'_>, flow: &Flow) -> Self {
        let (source, destination) = packet.addresses().unwrap_or_default();
        let macs = order(direction, source, destination);
        let addresses = flow.addresses.map(|(source, destination)| order(direction, source, destination));
        let ports = match flow.upper {
            Upper::Ports { source, destination } => Some(order(direction, source, destination)),
            _ => None,
        };
        let connection = match (addresses, ports, flow.protocol) {
            (Some([local, remote]), Some([local_port, remote_port]), Some(protocol)) => {
                Some(Connection { protocol, local: (local, local_port), remote: (remote, remote_port) })
            }
            _ => None,
        };
        Self { macs, addresses, ports, connection }
    }

    fn match_rule(&self, rule: &AclRule, flow: &Flow) -> bool {
        let [local_mac, remote_mac] = self.macs;
        let macs = rule.local_mac.is_none_or(|mac| mac == local_mac)
            && rule.remote_mac.is_none_or(|mac| mac == remote_mac);
        macs && self.match_ip(rule) && self.match_upper(rule, flow)
    }

    fn match_ip(&self, rule: &AclRule) -> bool {
        let wanted = [rule.local_ip, rule.remote_ip];
        match self.addresses {
            Some(addresses) => wanted
                .iter()
                .zip(addresses)
                .all(|(prefix, address)| prefix.is_none_or(|prefix| prefix.contains(address))),
            None => wanted == [None, None],
        }
    }

    /// A fragment behind the first has no ports. It goes where its protocol is allowed, and no rule with ports denies it:
    /// without the first fragment, which is judged, it is of no use to anybody.
    fn match_upper(&self, rule: &AclRule, flow: &Flow) -> bool {
        if rule.protocol.is_some_and(|protocol| flow.protocol != Some(protocol)) {
            return false;
        }
        let wanted = [rule.local_ports, rule.remote_ports];
        match self.ports {
            _ if wanted == [None, None] => true,
            Some(ports) => {
                wanted.iter().zip(ports).all(|(range, port)| range.is_none_or(|range| range.contains(port)))
            }
            None => flow.upper == Upper::LaterFragment && rule.action == AclAction::Allow,
        }
    }
}

/// The port's side first.
fn order<T>(direction: Direction, source: T, destination: T) -> [T; 2] {
    match direction {
        Direction::Inbound => [destination, source],
        Direction::Outbound => [source, destination],
    }
}
