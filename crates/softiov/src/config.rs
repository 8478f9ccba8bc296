//! The configuration file.
//!
//! TOML with a closed set of keys: an unknown key, a wrong type or a value out of range is refused with its line. What
//! only shows when the whole is looked at (two adapters with one address, say) is refused with the names involved.

mod network;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) use self::network::{
    HostAdapterConfig, PortConfig, SwitchConfig, SwitchKind, UplinkConfig, XdpMode, vlan_policy,
};
pub(crate) use self::values::{
    AdapterMac, Mtu, Name, QueuePairs, SyntheticPairs, Trunk, VfCount, Vlan, Weight, vlan_set,
};

/// Longest path of a unix socket in bytes (`sockaddr_un`).
const MAX_SOCKET_PATH: usize = 107;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path:?}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be; the message of the parser has line and column.
    #[error("{path}:\n{message}", path = path.display())]
    Parse { path: PathBuf, message: String },
    /// Its parts do not fit each other.
    #[error("{path}: {message}", path = path.display())]
    Conflict { path: PathBuf, message: String },
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) daemon: DaemonConfig,
    #[serde(default)]
    pub(crate) adapter: AdapterConfig,
    #[serde(default)]
    pub(crate) uplink: UplinkConfig,
    #[serde(default, rename = "switch")]
    pub(crate) switches: Vec<SwitchConfig>,
    #[serde(default, rename = "vm")]
    pub(crate) vms: Vec<VmConfig>,
}

/// `[daemon]`: how softiov runs on this host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DaemonConfig {
    /// Folder of the sockets.
    pub(crate) runtime_dir: PathBuf,
    /// CPU that the worker is pinned to.
    pub(crate) cpu: Option<usize>,
    /// What the worker does when there is nothing to do.
    pub(crate) poll: Poll,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self { runtime_dir: PathBuf::from("/run/softiov"), cpu: None, poll: Poll::Adaptive }
    }
}

/// What an idle worker does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Poll {
    /// Looks a little longer, then sleeps.
    #[default]
    Adaptive,
    /// Never sleeps.
    Busy,
    /// Sleeps at once.
    Interrupt,
}

/// `[adapter]`: the SR-IOV network adapter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdapterConfig {
    /// `*SRIOV`: VFs and VPorts; without it the adapter has VM queues.
    pub(crate) sriov: bool,
    /// VM queues of the adapter without SR-IOV, besides the default one.
    pub(crate) vm_queues: u32,
    /// TotalVFs of the SR-IOV capability.
    pub(crate) total_vfs: VfCount,
    /// NumVFs, the VFs that are enabled; all of them if absent.
    pub(crate) num_vfs: Option<u16>,
    /// Nondefault VPorts of the PF that there can be besides those of the VFs.
    pub(crate) pf_vports: u32,
    /// `NDIS_NIC_SWITCH_CAPS_SINGLE_VPORT_POOL`: VPorts are not set aside for VFs.
    pub(crate) single_vport_pool: bool,
    /// Which VF it is to the guest.
    pub(crate) vf_model: VfModel,
    /// How interrupts reach the guest.
    pub(crate) msix: Msix,
    /// How doorbells reach the worker.
    pub(crate) doorbells: Doorbells,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            sriov: true,
            vm_queues: 64,
            total_vfs: VfCount(64),
            num_vfs: None,
            pf_vports: 64,
            single_vport_pool: false,
            vf_model: VfModel::X550,
            msix: Msix::Relayed,
            doorbells: Doorbells::Trapped,
        }
    }
}

/// Personality of the VFs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum VfModel {
    /// Intel X550 VF, 8086:1565.
    #[default]
    #[serde(rename = "x550")]
    X550,
    /// Intel 82599 VF, 8086:10ed.
    #[serde(rename = "82599")]
    I82599,
}

/// How MSI-X messages reach the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Msix {
    /// softiov keeps the table and writes each message into the guest. Works with every QEMU, also where `device_del`
    /// of a function with MSI-X aborts it (10.2 to 11.1).
    #[default]
    Relayed,
    /// The VMM keeps the table and takes an eventfd for each vector: fewer steps, on KVM none in user space.
    Native,
}

/// How doorbells reach the worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Doorbells {
    /// As messages of the VMM.
    #[default]
    Trapped,
    /// As plain memory that the worker polls.
    Mapped,
}

/// `[[vm]]`: a virtual machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VmConfig {
    pub(crate) name: Name,
    #[serde(default, rename = "adapter")]
    pub(crate) adapters: Vec<VmAdapterConfig>,
}

/// `[[vm.adapter]]`: a network adapter of a virtual machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VmAdapterConfig {
    /// `net0`, `net1` ... if absent.
    pub(crate) name: Option<Name>,
    pub(crate) mac: AdapterMac,
    /// Access VLAN: the guest sees no tags.
    pub(crate) vlan: Option<Vlan>,
    /// VLANs whose tags the guest may use.
    pub(crate) trunk: Option<Trunk>,
    /// Claim to a VF: 0 none, else the heavier first.
    #[serde(default)]
    pub(crate) iov_weight: Weight,
    /// Queue pairs of the VF.
    #[serde(default)]
    pub(crate) iov_queue_pairs: QueuePairs,
    /// The guest may change its address, add further ones, and be promiscuous.
    #[serde(default)]
    pub(crate) trusted: bool,
    /// The extensible switch that its synthetic adapter is connected to; the first if absent.
    pub(crate) switch: Option<Name>,
    /// Claim to a VM queue: 0 none, else the heavier first.
    #[serde(default)]
    pub(crate) vmq_weight: Weight,
    /// Queue pairs of the synthetic adapter.
    #[serde(default)]
    pub(crate) queue_pairs: SyntheticPairs,
    /// MTU that the guest is told of.
    pub(crate) mtu: Option<Mtu>,
    /// Who listens at the synthetic adapter's socket.
    #[serde(default)]
    pub(crate) vhost_user: VhostUser,
    /// Policies of its port.
    #[serde(default)]
    pub(crate) port: PortConfig,
}

/// Who makes the socket of a synthetic adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VhostUser {
    /// softiov does, and the VMM connects.
    #[default]
    Server,
    /// The VMM does (QEMU's `server=on`), and softiov connects, again and again.
    Client,
}

impl VmConfig {
    /// The adapters with their names.
    pub(crate) fn named_adapters(&self) -> impl Iterator<Item = (Name, &VmAdapterConfig)> {
        self.adapters
            .iter()
            .enumerate()
            .map(|(n, adapter)| (adapter.name.clone().unwrap_or_else(|| Name(format!("net{n}"))), adapter))
    }
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a file called `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| ConfigError::Parse {
            path: path.to_owned(),
            message: e.to_string().trim_end().to_owned(),
        })?;
        config.check().map_err(|message| ConfigError::Conflict { path: path.to_owned(), message })?;
        Ok(config)
    }

    /// NumVFs.
    pub(crate) fn num_vfs(&self) -> u16 {
        self.adapter.num_vfs.unwrap_or(self.adapter.total_vfs.0)
    }

    fn check(&self) -> Result<(), String> {
        let total = self.adapter.total_vfs.0;
        if self.num_vfs() == 0 || self.num_vfs() > total {
            return Err(format!(
                "num_vfs {} is out of range: 1 to total_vfs, which is {total}",
                self.num_vfs()
            ));
        }
        if self.adapter.pf_vports > 1024 {
            return Err(format!("pf_vports {} is out of range: 0 to 1024", self.adapter.pf_vports));
        }
        if self.adapter.vm_queues > 1024 {
            return Err(format!("vm_queues {} is out of range: 0 to 1024", self.adapter.vm_queues));
        }
        self.check_switches()?;
        let mut names = BTreeSet::new();
        let mut macs = BTreeMap::new();
        for host in self.switches.iter().flat_map(|switch| &switch.hosts) {
            let full = format!("the host adapter {}", host.interface);
            if let Some(other) = macs.insert(host.address(), full.clone()) {
                return Err(format!(
                    "{other} and {full} both have the address {}: addresses must differ",
                    host.address()
                ));
            }
        }
        for vm in &self.vms {
            if !names.insert(&vm.name) {
                return Err(format!("two VMs are called {}: names must differ", vm.name));
            }
            let mut adapters = BTreeSet::new();
            for (name, adapter) in vm.named_adapters() {
                let full = format!("{}/{name}", vm.name);
                if !adapters.insert(name.clone()) {
                    return Err(format!("VM {} has two adapters called {name}: names must differ", vm.name));
                }
                if let Some(other) = macs.insert(adapter.mac.0, full.clone()) {
                    return Err(format!(
                        "{other} and {full} both have the address {}: addresses must differ",
                        adapter.mac.0
                    ));
                }
                if adapter.vlan.is_some() && adapter.trunk.is_some() {
                    return Err(format!(
                        "{full} has both vlan and trunk: it is an access port or a trunk, not both"
                    ));
                }
                if adapter.port.private_vlan.is_some() && (adapter.vlan.is_some() || adapter.trunk.is_some())
                {
                    return Err(format!(
                        "{full} has private_vlan besides vlan or trunk: one of them at most"
                    ));
                }
                if let (Some(switch), None) = (&adapter.switch, self.switch_of(adapter)) {
                    let known: Vec<_> = self.switches().iter().map(|switch| switch.name.0.clone()).collect();
                    return Err(format!(
                        "{full} is on switch {switch}, which there is not: there are {}",
                        known.join(", ")
                    ));
                }
                adapter.policy().validate().map_err(|error| format!("{full}: {error}"))?;
                for socket in [self.socket_path(&vm.name, &name), self.vhost_user_path(&vm.name, &name)] {
                    let length = socket.as_os_str().len();
                    if length > MAX_SOCKET_PATH {
                        return Err(format!(
                            "the socket path {} has {length} bytes, {MAX_SOCKET_PATH} are possible: choose a shorter runtime_dir",
                            socket.display()
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// The socket of an adapter's synthetic part.
    pub(crate) fn vhost_user_path(&self, vm: &Name, adapter: &Name) -> PathBuf {
        self.daemon.runtime_dir.join(format!("{vm}-{adapter}.net"))
    }

    /// Where the VMM finds the VF of an adapter.
    pub(crate) fn socket_path(&self, vm: &Name, adapter: &Name) -> PathBuf {
        self.daemon.runtime_dir.join(format!("{vm}-{adapter}.vf"))
    }
}

#[cfg(test)]
mod tests;
