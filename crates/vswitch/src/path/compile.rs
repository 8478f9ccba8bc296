//! How the state of the control side becomes a [`Path`].

use std::sync::Arc;

use ethernet::MacAddr;
use nic_switch::{BumPath, VlanSet};

use super::address_table::{AddressTable, Key};
use super::{Path, Policy, PortFlags, PortPath, VlanMode};
use crate::extension::acl::{CompiledAcl, Meter, MeterIdentity};
use crate::extension::limiter::Rate;
use crate::{
    Direction, ExtensionKind, Mirroring, Nic, PortId, PortType, PrivateRole, SwitchPort, VSwitch, VfPath,
    VlanPolicy,
};

/// A burst above the maximum bandwidth is what the port may send in 1/20 s, so that a worker that is late by that much
/// on a busy host costs it nothing; above the storm limit in 1/10 s.
const BANDWIDTH_BURST: u64 = 20;
const STORM_BURST: u64 = 10;

/// The path of a switch that is being put together.
#[derive(Default)]
struct Parts {
    policies: Vec<Policy>,
    vlans: Vec<VlanSet>,
    meters: Vec<Meter>,
    monitors: Box<[PortId]>,
}

impl Path {
    pub(crate) fn compile(switch: &VSwitch) -> Self {
        let mut parts =
            Parts { policies: vec![Policy::default()], monitors: monitors(switch), ..Parts::default() };
        let count = switch.ports().last().map_or(0, |port| port.id.index() + 1);
        let mut ports = vec![PortPath::absent(); count];
        for port in switch.ports() {
            ports[port.id.index()] = parts.port(switch, port);
        }
        let external = having(&ports, PortFlags::EXTERNAL | PortFlags::RECEIVES).first().copied();
        if external.is_none() {
            // Without the way by which the VFs are reached, the synthetic path is what is left.
            for port in &mut ports {
                port.flags.remove(PortFlags::VF_UNICAST | PortFlags::VF_FLOOD);
            }
        }
        let families = families(switch);
        Self {
            generation: switch.generation(),
            external,
            addresses: AddressTable::build(&addresses(switch, &ports, families.as_deref())),
            flood: having(&ports, PortFlags::RECEIVES),
            unknown: having(&ports, PortFlags::RECEIVES | PortFlags::ANY_SOURCE),
            learners: having(&ports, PortFlags::LEARNS),
            monitors: parts.monitors,
            ports: ports.into(),
            policies: parts.policies.into(),
            vlans: parts.vlans.into(),
            families,
            meters: parts.meters.into(),
        }
    }
}

impl PortPath {
    fn absent() -> Self {
        Self {
            flags: PortFlags::empty(),
            mac: MacAddr::ZERO,
            vlan: VlanMode::Access { vlan: 0 },
            policy: 0,
            stamp: 0,
        }
    }
}

impl Parts {
    fn port(&mut self, switch: &VSwitch, port: &SwitchPort) -> PortPath {
        let Some(nic) = port.nic() else { return PortPath { stamp: port.stamp, ..PortPath::absent() } };
        let security = &port.policy.security;
        let external = port.parameters.kind == PortType::External;
        let mut flags = PortFlags::empty();
        flags.set(PortFlags::SENDS, nic.sends());
        flags.set(PortFlags::RECEIVES, nic.receives());
        flags.set(PortFlags::EXTERNAL, external);
        flags.set(PortFlags::TRUSTED, port.is_trusted());
        flags.set(PortFlags::ANY_SOURCE | PortFlags::LEARNS, external || security.allow_mac_spoofing);
        flags.set(PortFlags::PRIORITY, external || security.allow_ieee_priority_tag);
        let mirrored = port.policy.mirroring == Mirroring::Source && !self.monitors.is_empty();
        flags.set(PortFlags::MIRRORED, mirrored);
        if let VfPath::Active(flood) = nic.parameters.vf {
            flags.insert(PortFlags::VF_UNICAST);
            flags.set(PortFlags::VF_FLOOD, flood == BumPath::Vf);
        }
        let policy = self.policy(switch, port, nic, &mut flags);
        PortPath {
            flags,
            mac: nic.parameters.current_mac(security),
            vlan: if external { VlanMode::All } else { self.vlan(&port.policy.vlan) },
            policy,
            stamp: port.stamp,
        }
    }

    fn policy(&mut self, switch: &VSwitch, port: &SwitchPort, nic: &Nic, flags: &mut PortFlags) -> u32 {
        let wanted = &port.policy;
        let clock = switch.cycles_per_second();
        let hooks = |kind: ExtensionKind| {
            let of_kind = switch.extensions.iter().filter(move |extension| extension.kind() == kind);
            of_kind.filter_map(|extension| extension.hooks(port.id))
        };
        let forwarding = hooks(ExtensionKind::Forwarding).next();
        let captures = |way: Direction| {
            let wanting = switch.captures.iter().filter(|(_, filter)| filter.wants(port.id, way));
            wanting.map(|(&id, _)| id).collect()
        };
        let identity = MeterIdentity { stamp: port.stamp, revision: port.acl_revision };
        let acl = (!wanted.acl.rules.is_empty()).then(|| {
            CompiledAcl::new(port.id, &wanted.acl, identity, port.connections.clone(), &mut self.meters)
        });
        let per_second = |octets: u64| Rate::new(octets, clock, clock / BANDWIDTH_BURST);
        let policy = Policy {
            team: team(switch, port, nic),
            dhcp_guard: wanted.dhcp_guard,
            router_guard: wanted.router_guard,
            storm: (wanted.storm_limit > 0)
                .then(|| Rate::new(wanted.storm_limit.into(), clock, clock / STORM_BURST)),
            bandwidth: wanted.bandwidth.maximum.map(|bits| per_second(bits / 8)),
            weight: wanted.bandwidth.weight,
            capturing: hooks(ExtensionKind::Capturing).collect(),
            filtering: hooks(ExtensionKind::Filtering).chain(forwarding.iter().map(Arc::clone)).collect(),
            forwarding,
            captures_sent: captures(Direction::Outbound),
            captures_received: captures(Direction::Inbound),
            acl,
        };
        let judged = |way| policy.acl.as_ref().is_some_and(|acl| acl.judges(way));
        let hooked = !policy.capturing.is_empty() || !policy.filtering.is_empty();
        let limited = policy.dhcp_guard || policy.router_guard || policy.bandwidth.is_some();
        flags.set(PortFlags::WATCHED, hooked || !policy.captures_sent.is_empty());
        flags.set(PortFlags::POLICED, limited || judged(Direction::Outbound));
        let guarded = hooked || !policy.captures_received.is_empty() || judged(Direction::Inbound);
        flags.set(PortFlags::GUARDED, guarded);
        flags.set(PortFlags::FORWARDER, policy.forwarding.is_some());
        self.policies.push(policy);
        index(self.policies.len())
    }

    fn vlan(&mut self, policy: &VlanPolicy) -> VlanMode {
        match policy {
            VlanPolicy::Untagged => VlanMode::Access { vlan: 0 },
            VlanPolicy::Access(vlan) => VlanMode::Access { vlan: *vlan },
            VlanPolicy::Trunk { native, .. } => {
                VlanMode::Trunk { native: *native, set: self.set(policy.tagged()) }
            }
            VlanPolicy::Private { primary, role } => match role {
                PrivateRole::Isolated(secondary) => {
                    VlanMode::Host { secondary: *secondary, set: self.set(set_of([*primary])) }
                }
                PrivateRole::Community(secondary) => {
                    VlanMode::Host { secondary: *secondary, set: self.set(set_of([*primary, *secondary])) }
                }
                PrivateRole::Promiscuous(secondaries) => VlanMode::Promiscuous {
                    primary: *primary,
                    reach: self.set(secondaries.clone()),
                    set: self.set(set_of(secondaries.iter().chain([*primary]))),
                },
            },
        }
    }

    fn set(&mut self, vlans: VlanSet) -> u32 {
        self.vlans.push(vlans);
        index(self.vlans.len())
    }
}

/// The ports with all of these flags, ascending.
fn having(ports: &[PortPath], flags: PortFlags) -> Box<[PortId]> {
    let has = |(id, port): (u32, &PortPath)| port.flags.contains(flags).then_some(PortId(id));
    (0..).zip(ports).filter_map(has).collect()
}

/// Number of the last of `length` elements, of which there are a few for each port.
fn index(length: usize) -> u32 {
    u32::try_from(length - 1).expect("a switch has at most MAX_PORTS ports")
}

fn set_of(vlans: impl IntoIterator<Item = u16>) -> VlanSet {
    VlanSet::of(vlans).expect("a policy that was set has valid VLAN ids")
}

/// The addresses of the other NICs of the partition, if they and this one allow teaming.
fn team(switch: &VSwitch, port: &SwitchPort, nic: &Nic) -> Box<[MacAddr]> {
    let partition = &nic.parameters.partition;
    if !port.policy.security.allow_teaming || partition.is_empty() {
        return Box::default();
    }
    let others = switch.ports().filter(|other| other.id != port.id && other.policy.security.allow_teaming);
    let nics = others.filter_map(|other| other.nic().map(|nic| (nic, &other.policy.security)));
    let mates = nics.filter(|(nic, _)| nic.parameters.partition == *partition);
    mates
        .flat_map(|(nic, security)| [nic.parameters.permanent_mac, nic.parameters.current_mac(security)])
        .collect()
}

/// Ports to which mirrored frames go.
fn monitors(switch: &VSwitch) -> Box<[PortId]> {
    let watching = |port: &&SwitchPort| {
        port.policy.mirroring == Mirroring::Destination && port.nic().is_some_and(Nic::receives)
    };
    switch.ports().filter(watching).map(SwitchPort::id).collect()
}

/// The VLAN under which the stations of each VLAN are known.
fn families(switch: &VSwitch) -> Option<Box<[u16]>> {
    let mut families: Option<Box<[u16]>> = None;
    for port in switch.ports() {
        let VlanPolicy::Private { primary, role } = &port.policy.vlan else { continue };
        let families = families.get_or_insert_with(|| (0..4096).collect());
        role.secondaries().for_each(|secondary| families[usize::from(secondary)] = *primary);
    }
    families
}

/// What is known without learning; NICs come before static addresses, and among them those whose address is not the
/// permanent one, for a team took it over.
fn addresses(switch: &VSwitch, ports: &[PortPath], families: Option<&[u16]>) -> Vec<(Key, PortId)> {
    let family = |vlan: u16| families.map_or(vlan, |families| families[usize::from(vlan)]);
    let mut nics: Vec<_> = switch.ports().filter_map(|port| Some((port, port.nic()?))).collect();
    nics.retain(|(_, nic)| nic.state != crate::NicState::Disconnected);
    nics.sort_by_key(|(port, nic)| nic.parameters.permanent_mac == ports[port.id.index()].mac);
    let own = nics.iter().filter_map(|(port, _)| {
        let PortPath { mac, vlan, .. } = ports[port.id.index()];
        let key = match vlan {
            VlanMode::All => return None,
            VlanMode::Trunk { .. } => Key::any_vlan(mac),
            VlanMode::Access { vlan } => Key::exact(mac, family(vlan)),
            VlanMode::Host { secondary, .. } => Key::exact(mac, family(secondary)),
            VlanMode::Promiscuous { primary, .. } => Key::exact(mac, primary),
        };
        Some((key, port.id))
    });
    let fixed = switch.static_addresses.iter();
    own.chain(fixed.map(|(&(vlan, mac), &port)| (Key::exact(mac, family(vlan)), port))).collect()
}
