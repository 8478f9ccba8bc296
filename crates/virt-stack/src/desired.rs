//! What is wanted: virtual machines and their network adapters.
//!
//! The same types are read from the configuration file, kept in the store and spoken by the API. A value that cannot be is
//! refused as it is read, so that a parser can name its place; what only shows when the whole is looked at is found by
//! [`check()`].

mod check;
mod port;
mod values;

use std::path::PathBuf;

use nic_switch::InterruptModeration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::check::{Conflict, check};
pub use self::port::{PortSpec, PrivateVlan, PrivateVlanRole};
pub use self::values::{
    AdapterMac, Mtu, Name, QueuePairs, SyntheticPairs, Trunk, Vlan, Weight, vlan_policy, vlan_set,
};

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VmSpec {
    /// What it is called.
    pub name: Name,
    /// QMP socket of its QEMU, by which VFs are plugged and unplugged. Without one they are plugged by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "/run/vms/alpha.qmp")]
    pub qmp: Option<PathBuf>,
    /// Its network adapters.
    #[serde(default, rename = "adapter", alias = "adapters", skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<AdapterSpec>,
}

/// A network adapter of a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdapterSpec {
    /// What it is called; `net0`, `net1` ... if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Its address, which is also the VF's.
    pub mac: AdapterMac,
    /// Access VLAN: the guest sees no tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// VLANs whose tags the guest may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub trunk: Option<Trunk>,
    /// Claim to a VF: 0 none, else the heavier first.
    #[serde(default)]
    pub iov_weight: Weight,
    /// Queue pairs of the VF.
    #[serde(default)]
    pub iov_queue_pairs: QueuePairs,
    /// Interrupt moderation of the VF.
    #[serde(default)]
    #[schema(value_type = String, example = "adaptive")]
    pub iov_interrupt_moderation: InterruptModeration,
    /// The guest may change its address, add further ones, and be promiscuous.
    #[serde(default)]
    pub trusted: bool,
    /// The extensible switch that its synthetic adapter is connected to; the first if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Name>,
    /// Claim to a VM queue: 0 none, else the heavier first.
    #[serde(default)]
    pub vmq_weight: Weight,
    /// Queue pairs of the synthetic adapter.
    #[serde(default)]
    pub queue_pairs: SyntheticPairs,
    /// MTU that the guest is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<Mtu>,
    /// Who listens at the synthetic adapter's socket.
    #[serde(default)]
    pub vhost_user: VhostUser,
    /// The PCIe port of the virtual machine that the VF is plugged into; one that is free if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// Policies of its port.
    #[serde(default)]
    pub port: PortSpec,
}

impl AdapterSpec {
    /// An adapter with this address, and nothing else said of it.
    #[must_use]
    pub fn new(mac: AdapterMac) -> Self {
        Self {
            name: None,
            mac,
            vlan: None,
            trunk: None,
            iov_weight: Weight::default(),
            iov_queue_pairs: QueuePairs::default(),
            iov_interrupt_moderation: InterruptModeration::default(),
            trusted: false,
            switch: None,
            vmq_weight: Weight::default(),
            queue_pairs: SyntheticPairs::default(),
            mtu: None,
            vhost_user: VhostUser::default(),
            bus: None,
            port: PortSpec::default(),
        }
    }
}

/// Who makes the socket of a synthetic adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VhostUser {
    /// softiov does, and the VMM connects.
    #[default]
    Server,
    /// The VMM does (QEMU's `server=on`), and softiov connects, again and again.
    Client,
}

impl VmSpec {
    /// The adapters with their names.
    pub fn named_adapters(&self) -> impl Iterator<Item = (Name, &AdapterSpec)> {
        let adapters = self.adapters.iter().enumerate();
        adapters.map(|(n, adapter)| (adapter.name.clone().unwrap_or_else(|| Name::of_adapter(n)), adapter))
    }
}

#[cfg(test)]
mod tests;
