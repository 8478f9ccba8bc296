//! What is around the adapter: the physical port, the extensible switches, the host's own adapters.

use std::num::NonZeroU32;

use ethernet::MacAddr;
use serde::Deserialize;
use vswitch::{
    AclRule, Bandwidth, DEFAULT_AGEING_SECONDS, Mirroring, PortPolicy, PrivateRole, Security, VlanPolicy,
};

use super::values::{AdapterMac, InterfaceName, Mtu, Name, Trunk, Vlan, vlan_set};
use super::{Config, VmAdapterConfig};

/// `[uplink]`: what the physical port of the adapter leads to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum UplinkConfig {
    /// Nowhere.
    #[default]
    None,
    /// The host's network stack, by a tap netdev that is there already.
    Tap {
        interface: InterfaceName,
        #[serde(default)]
        queues: Queues,
    },
    /// A netdev, by packet sockets.
    Packet {
        interface: InterfaceName,
        #[serde(default)]
        queues: Queues,
    },
    /// A netdev, by AF_XDP.
    Xdp {
        interface: InterfaceName,
        #[serde(default)]
        queues: Queues,
        #[serde(default)]
        mode: XdpMode,
    },
}

/// Queues of an uplink.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queues(pub(crate) NonZeroU32);

impl Default for Queues {
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

impl<'de> Deserialize<'de> for Queues {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let queues = u32::try_from(number).ok().filter(|n| *n <= 64).and_then(NonZeroU32::new);
        queues
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("{number} queues are not possible: 1 to 64 are")))
    }
}

/// How frames get from the netdev to softiov and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum XdpMode {
    /// The first of the others that the driver can.
    #[default]
    Best,
    /// The netdev reads and writes softiov's buffers itself.
    ZeroCopy,
    /// The driver runs the program, and the kernel copies.
    Copy,
    /// The network stack runs the program, and the kernel copies.
    Generic,
}

/// `[[switch]]`: an extensible switch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchConfig {
    pub(crate) name: Name,
    #[serde(default, rename = "type")]
    pub(crate) kind: SwitchKind,
    /// Seconds without a frame after which a station is forgotten.
    #[serde(default = "default_ageing")]
    pub(crate) ageing: u32,
    /// The host's own adapters on it.
    #[serde(default, rename = "host")]
    pub(crate) hosts: Vec<HostAdapterConfig>,
}

fn default_ageing() -> u32 {
    DEFAULT_AGEING_SECONDS
}

/// What a switch connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SwitchKind {
    /// VMs, the host, and the SR-IOV adapter with its VFs and its physical port.
    #[default]
    External,
    /// VMs and the host.
    Internal,
    /// VMs.
    Private,
}

impl From<SwitchKind> for vswitch::SwitchType {
    fn from(kind: SwitchKind) -> Self {
        match kind {
            SwitchKind::External => Self::External,
            SwitchKind::Internal => Self::Internal,
            SwitchKind::Private => Self::Private,
        }
    }
}

impl SwitchConfig {
    /// The switch of a configuration that names none.
    pub(super) fn default_switch() -> Self {
        Self {
            name: Name("default".to_owned()),
            kind: SwitchKind::External,
            ageing: DEFAULT_AGEING_SECONDS,
            hosts: Vec::new(),
        }
    }
}

/// `[[switch.host]]`: a network adapter of the host, a tap netdev that softiov makes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostAdapterConfig {
    /// Name of the netdev.
    pub(crate) interface: InterfaceName,
    pub(crate) mac: Option<AdapterMac>,
    pub(crate) mtu: Option<Mtu>,
    /// Access VLAN.
    pub(crate) vlan: Option<Vlan>,
    /// VLANs whose tags the host may use.
    pub(crate) trunk: Option<Trunk>,
}

impl HostAdapterConfig {
    /// The policies of its port.
    pub(crate) fn policy(&self) -> PortPolicy {
        PortPolicy { vlan: vlan_policy(self.vlan, self.trunk.as_ref()), ..PortPolicy::default() }
    }

    /// Its address if none is configured: the same whenever softiov starts, and no other's.
    pub(crate) fn address(&self) -> MacAddr {
        self.mac.map_or_else(|| derived_address(&self.interface.0), |mac| mac.0)
    }
}

/// A locally administered address made from a name.
fn derived_address(name: &str) -> MacAddr {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    MacAddr([0x02, a, b, c, d, e])
}

/// `private_vlan` of an adapter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivateVlanConfig {
    primary: Vlan,
    /// `{ isolated = 101 }`, `{ community = 102 }` or `{ promiscuous = [101, 102] }`.
    role: RoleConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum RoleConfig {
    Isolated(Vlan),
    Community(Vlan),
    Promiscuous(Trunk),
}

impl PrivateVlanConfig {
    fn policy(&self) -> VlanPolicy {
        let role = match &self.role {
            RoleConfig::Isolated(vlan) => PrivateRole::Isolated(vlan.0),
            RoleConfig::Community(vlan) => PrivateRole::Community(vlan.0),
            RoleConfig::Promiscuous(vlans) => PrivateRole::Promiscuous(vlan_set(Some(vlans))),
        };
        VlanPolicy::Private { primary: self.primary.0, role }
    }
}

/// Policies of an adapter's port on the extensible switch; keys of `[[vm.adapter]]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PortConfig {
    /// Its place in a private VLAN; instead of `vlan` and `trunk`.
    pub(crate) private_vlan: Option<PrivateVlanConfig>,
    pub(crate) storm_limit: u32,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) dhcp_guard: bool,
    pub(crate) router_guard: bool,
    pub(crate) mirroring: Mirroring,
    pub(crate) priority_tags: bool,
    pub(crate) teaming: bool,
    pub(crate) acl: Vec<AclRule>,
}

impl VmAdapterConfig {
    /// The policies of its port on the extensible switch.
    pub(crate) fn policy(&self) -> PortPolicy {
        let port = &self.port;
        let vlan = match &port.private_vlan {
            Some(private) => private.policy(),
            None => vlan_policy(self.vlan, self.trunk.as_ref()),
        };
        let mut policy = PortPolicy {
            vlan,
            security: Security {
                allow_mac_spoofing: self.trusted,
                allow_ieee_priority_tag: port.priority_tags,
                allow_teaming: port.teaming,
            },
            storm_limit: port.storm_limit,
            bandwidth: port.bandwidth.clone(),
            dhcp_guard: port.dhcp_guard,
            router_guard: port.router_guard,
            mirroring: port.mirroring,
            ..PortPolicy::default()
        };
        policy.acl.rules.clone_from(&port.acl);
        policy
    }
}

/// How a port is in VLANs: an access port, a trunk, or untagged.
pub(crate) fn vlan_policy(vlan: Option<Vlan>, trunk: Option<&Trunk>) -> VlanPolicy {
    match (vlan, trunk) {
        (Some(vlan), _) => VlanPolicy::Access(vlan.0),
        (None, None) => VlanPolicy::Untagged,
        (None, trunk) => VlanPolicy::Trunk { native: 0, allowed: vlan_set(trunk), pruned: vlan_set(None) },
    }
}

impl Config {
    /// The switches: those configured, or else an external one.
    pub(crate) fn switches(&self) -> Vec<SwitchConfig> {
        if self.switches.is_empty() { vec![SwitchConfig::default_switch()] } else { self.switches.clone() }
    }

    /// Number of the switch that an adapter is on, in [`Config::switches`].
    pub(crate) fn switch_of(&self, adapter: &VmAdapterConfig) -> Option<usize> {
        match &adapter.switch {
            None => Some(0),
            Some(name) => self.switches().iter().position(|switch| switch.name == *name),
        }
    }

    /// True if an adapter's switch is the external one, above the SR-IOV adapter.
    pub(crate) fn is_above_adapter(&self, adapter: &VmAdapterConfig) -> bool {
        let switch = self.switch_of(adapter).and_then(|number| self.switches().into_iter().nth(number));
        switch.is_some_and(|switch| switch.kind == SwitchKind::External)
    }

    pub(super) fn check_switches(&self) -> Result<(), String> {
        let switches = self.switches();
        let mut interfaces = std::collections::BTreeSet::new();
        for (index, switch) in switches.iter().enumerate() {
            if switches[..index].iter().any(|earlier| earlier.name == switch.name) {
                return Err(format!("two switches are called {}: names must differ", switch.name));
            }
            if switch.kind == SwitchKind::External
                && switches[..index].iter().any(|earlier| earlier.kind == SwitchKind::External)
            {
                return Err(format!(
                    "switch {} is a second external one: there is one adapter, and one switch above it; make this one internal or private",
                    switch.name
                ));
            }
            if switch.kind == SwitchKind::Private && !switch.hosts.is_empty() {
                return Err(format!(
                    "the private switch {} has a host adapter: private switches connect VMs only; make it internal",
                    switch.name
                ));
            }
            if !(1..=86_400).contains(&switch.ageing) {
                return Err(format!(
                    "ageing {} of switch {} is out of range: 1 to 86400 seconds",
                    switch.ageing, switch.name
                ));
            }
            for host in &switch.hosts {
                if host.vlan.is_some() && host.trunk.is_some() {
                    return Err(format!(
                        "the host adapter {} has both vlan and trunk: not both",
                        host.interface
                    ));
                }
                if !interfaces.insert(host.interface.clone()) {
                    return Err(format!(
                        "two host adapters are called {}: names must differ",
                        host.interface
                    ));
                }
            }
        }
        Ok(())
    }
}
