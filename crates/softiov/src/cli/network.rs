//! Commands about switches, ports and policies.

use clap::{Args, Subcommand, ValueEnum};
use ethernet::MacAddr;
use vswitch::{AclAction, AclRule, Direction, IpPrefix, PortRange};

/// `port`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PortArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PortCommand>,
    /// Ports of this switch only.
    pub(crate) switch: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PortCommand {
    /// Sets policies of an adapter's port until the daemon ends. A VF or VM queue that cannot enforce them is taken away.
    Set {
        /// `VM/ADAPTER`, or an adapter of the host.
        adapter: String,
        /// vlan=N|none, trunk=all|VLANS|none, private-vlan=PRIMARY:ROLE:VLANS|none, storm-limit=N, max-bandwidth=RATE,
        /// min-bandwidth=RATE, weight=N, dhcp-guard=on|off, router-guard=on|off, mirroring=none|source|destination,
        /// priority-tags=on|off, teaming=on|off, acl-idle=SECONDS.
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
}

/// `fdb`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct FdbArgs {
    #[command(subcommand)]
    pub(crate) command: Option<FdbCommand>,
    /// Stations of this switch only.
    pub(crate) switch: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FdbCommand {
    /// Sets a static address: a station that is not learned and does not age.
    Add {
        switch: String,
        mac: MacAddr,
        /// Its VLAN; 0 for none.
        #[arg(long, default_value_t = 0)]
        vlan: u16,
        /// Name or number of the port where it is.
        #[arg(long)]
        port: String,
    },
    /// Removes a static address.
    Del {
        switch: String,
        mac: MacAddr,
        /// Its VLAN; 0 for none.
        #[arg(long, default_value_t = 0)]
        vlan: u16,
    },
}

/// `acl`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct AclArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AclCommand>,
    /// `VM/ADAPTER`, or an adapter of the host.
    pub(crate) adapter: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// Adds a rule behind the others. An adapter with a port ACL has no VF.
    Add {
        /// `VM/ADAPTER`, or an adapter of the host.
        adapter: String,
        #[command(flatten)]
        rule: Box<RuleArgs>,
    },
    /// Removes a rule.
    Del {
        /// `VM/ADAPTER`, or an adapter of the host.
        adapter: String,
        /// Its index, as `acl ADAPTER` shows it.
        index: usize,
    },
}

/// A rule. It matches a frame if all that it names matches; "local" is the adapter's side.
#[derive(Debug, Args)]
pub(crate) struct RuleArgs {
    /// What happens to a frame that matches.
    #[arg(value_enum)]
    action: Action,
    /// `in`: to the adapter; `out`: from it.
    #[arg(value_enum)]
    way: Way,
    /// Rules of greater weight are asked first.
    #[arg(long, default_value_t = 0)]
    weight: u32,
    #[arg(long, value_name = "MAC")]
    local_mac: Option<MacAddr>,
    #[arg(long, value_name = "MAC")]
    remote_mac: Option<MacAddr>,
    /// As in 10.0.0.0/8 or fd00::/8.
    #[arg(long, value_name = "PREFIX")]
    local_ip: Option<IpPrefix>,
    #[arg(long, value_name = "PREFIX")]
    remote_ip: Option<IpPrefix>,
    /// tcp, udp, sctp, icmp, icmpv6, or a number.
    #[arg(long, value_parser = protocol)]
    protocol: Option<u8>,
    /// As in 80 or 1000-2000.
    #[arg(long, value_name = "PORTS", value_parser = ports)]
    local_ports: Option<PortRange>,
    #[arg(long, value_name = "PORTS", value_parser = ports)]
    remote_ports: Option<PortRange>,
    /// Answers to what it allows are allowed as well.
    #[arg(long)]
    stateful: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    Allow,
    Deny,
    /// Counts it, and asks the next rule.
    Meter,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    In,
    Out,
}

impl From<RuleArgs> for AclRule {
    fn from(args: RuleArgs) -> Self {
        Self {
            direction: match args.way {
                Way::In => Direction::Inbound,
                Way::Out => Direction::Outbound,
            },
            action: match args.action {
                Action::Allow => AclAction::Allow,
                Action::Deny => AclAction::Deny,
                Action::Meter => AclAction::Meter,
            },
            weight: args.weight,
            local_mac: args.local_mac,
            remote_mac: args.remote_mac,
            local_ip: args.local_ip,
            remote_ip: args.remote_ip,
            protocol: args.protocol,
            local_ports: args.local_ports,
            remote_ports: args.remote_ports,
            stateful: args.stateful,
        }
    }
}

/// Protocols above IP that have names here (IANA).
pub(crate) const PROTOCOLS: [(&str, u8); 5] =
    [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmpv6", 58), ("sctp", 132)];

fn protocol(text: &str) -> Result<u8, String> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    named
        .or_else(|| text.parse().ok())
        .ok_or_else(|| "tcp, udp, sctp, icmp, icmpv6, or a number up to 255".to_owned())
}

fn ports(text: &str) -> Result<PortRange, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(PortRange { first, last }),
        _ => Err("a port or a range of them, as in 80 or 1000-2000".to_owned()),
    }
}
