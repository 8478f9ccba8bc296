//! The port ACL as it is configured; what runs is [`crate::extension::acl`].

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

use super::{InvalidPolicy, IpPrefix};

/// The most rules of a port.
pub const MAX_ACL_RULES: usize = 128;

/// TCP, UDP and SCTP: the protocols that have ports.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// Which way a frame goes, as the VM sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the port.
    Inbound,
    /// From the port.
    Outbound,
}

/// What happens to a frame that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AclAction {
    /// It passes; no further rule is asked.
    Allow,
    /// It is dropped.
    Deny,
    /// It is counted, and the next rule is asked.
    Meter,
}

/// TCP, UDP or SCTP ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl PortRange {
    /// Whether `port` is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// One rule. It matches a frame if all that it names matches; "local" is the port's side, "remote" the other one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclRule {
    /// Which frames it is about.
    pub direction: Direction,
    /// What happens to them.
    pub action: AclAction,
    /// Rules of greater weight are asked first, those of the same weight in the order given.
    #[serde(default)]
    pub weight: u32,
    /// MAC address of the port's side.
    #[serde(default)]
    pub local_mac: Option<MacAddr>,
    /// MAC address of the other side.
    #[serde(default)]
    pub remote_mac: Option<MacAddr>,
    /// IP addresses of the port's side.
    #[serde(default)]
    pub local_ip: Option<IpPrefix>,
    /// IP addresses of the other side.
    #[serde(default)]
    pub remote_ip: Option<IpPrefix>,
    /// Protocol above IP (IANA number).
    #[serde(default)]
    pub protocol: Option<u8>,
    /// Ports of the port's side.
    #[serde(default)]
    pub local_ports: Option<PortRange>,
    /// Ports of the other side.
    #[serde(default)]
    pub remote_ports: Option<PortRange>,
    /// What it allows, the answers to it are allowed as well.
    #[serde(default)]
    pub stateful: bool,
}

/// The port ACL. What no rule matches passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acl {
    /// The rules, at most [`MAX_ACL_RULES`].
    pub rules: Vec<AclRule>,
    /// A connection that a stateful rule allowed is forgotten after so many seconds without a frame.
    pub idle_seconds: u32,
}

impl Default for Acl {
    fn default() -> Self {
        Self { rules: Vec::new(), idle_seconds: Self::DEFAULT_IDLE_SECONDS }
    }
}

impl Acl {
    /// Idle time after which a connection is forgotten if nothing else is said: five minutes.
    pub const DEFAULT_IDLE_SECONDS: u32 = 300;
    /// The longest idle time: a day.
    pub const MAX_IDLE_SECONDS: u32 = 86_400;

    pub(super) fn validate(&self) -> Result<(), InvalidPolicy> {
        if self.rules.len() > MAX_ACL_RULES {
            return Err(InvalidPolicy::TooManyRules { count: self.rules.len() });
        }
        if !(1..=Self::MAX_IDLE_SECONDS).contains(&self.idle_seconds) {
            return Err(InvalidPolicy::IdleTime { seconds: self.idle_seconds });
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if let Some(reason) = rule.nonsense() {
                return Err(InvalidPolicy::Rule { index, reason });
            }
        }
        Ok(())
    }

    /// Whether a rule remembers connections.
    pub(crate) fn is_stateful(&self) -> bool {
        self.rules.iter().any(|rule| rule.stateful)
    }
}

impl AclRule {
    /// A rule that matches every frame of a direction: the rest of its members are to be filled in.
    #[must_use]
    pub const fn any(direction: Direction, action: AclAction) -> Self {
        Self {
            direction,
            action,
            weight: 0,
            local_mac: None,
            remote_mac: None,
            local_ip: None,
            remote_ip: None,
            protocol: None,
            local_ports: None,
            remote_ports: None,
            stateful: false,
        }
    }

    fn nonsense(&self) -> Option<&'static str> {
        let ranges = [self.local_ports, self.remote_ports];
        let has_ports = self.protocol.is_some_and(|protocol| WITH_PORTS.contains(&protocol));
        if ranges.iter().flatten().any(|range| range.first > range.last) {
            Some("a range of ports ends before it begins")
        } else if ranges.iter().any(Option::is_some) && !has_ports {
            Some("ports need the protocol 6 (TCP), 17 (UDP) or 132 (SCTP)")
        } else if self.stateful && self.action != AclAction::Allow {
            Some("only a rule that allows can be stateful")
        } else if self.stateful && !has_ports {
            Some("a stateful rule needs the protocol 6 (TCP), 17 (UDP) or 132 (SCTP)")
        } else {
            match (self.local_ip, self.remote_ip) {
                (Some(local), Some(remote)) if local.is_ipv6() != remote.is_ipv6() => {
                    Some("its two IP prefixes are of different families")
                }
                _ => None,
            }
        }
    }
}
