//! What is around the adapter: the physical port, the extensible switches, the host's own adapters.

use std::num::NonZeroU32;

use ethernet::MacAddr;
use serde::Deserialize;
use virt_stack::desired::{AdapterMac, AdapterSpec, Mtu, Name, Trunk, Vlan};
use vswitch::{DEFAULT_AGEING_SECONDS, PortPolicy};

use super::Config;
use super::values::InterfaceName;

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

/// The switch that there is if none is configured.
fn default_name() -> Name {
    Name::new("default").expect("it has letters only")
}

impl SwitchConfig {
    /// The switch of a configuration that names none.
    pub(super) fn default_switch() -> Self {
        Self {
            name: default_name(),
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
    /// The same as an adapter of a VM would be.
    pub(crate) fn spec(&self) -> AdapterSpec {
        let mac = AdapterMac(self.address());
        AdapterSpec { vlan: self.vlan, trunk: self.trunk.clone(), ..AdapterSpec::new(mac) }
    }

    /// The policies of its port.
    pub(crate) fn policy(&self) -> PortPolicy {
        self.spec().policy()
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

impl Config {
    /// The switches: those configured, or else an external one.
    pub(crate) fn switches(&self) -> Vec<SwitchConfig> {
        if self.switches.is_empty() { vec![SwitchConfig::default_switch()] } else { self.switches.clone() }
    }

    /// Number of the switch that an adapter is on, in [`Config::switches`].
    pub(crate) fn switch_of(&self, adapter: &AdapterSpec) -> Option<usize> {
        match &adapter.switch {
            None => Some(0),
            Some(name) => self.switches().iter().position(|switch| switch.name == *name),
        }
    }

    /// True if an adapter's switch is the external one, above the SR-IOV adapter.
    pub(crate) fn is_above_adapter(&self, adapter: &AdapterSpec) -> bool {
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
