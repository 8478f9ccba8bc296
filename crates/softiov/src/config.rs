//! The configuration file.
//!
//! TOML with a closed set of keys: an unknown key, a wrong type or a value out of range is refused with its line. What
//! only shows when the whole is looked at (two adapters with one address, say) is refused with the names involved.

mod network;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::ApiConfig;
use serde::Deserialize;
use virt_stack::desired::{self, Name, VmSpec};

pub(crate) use self::network::{HostAdapterConfig, SwitchConfig, SwitchKind, UplinkConfig, XdpMode};
pub(crate) use self::values::VfCount;

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
    pub(crate) api: ApiConfig,
    #[serde(default)]
    pub(crate) adapter: AdapterConfig,
    #[serde(default)]
    pub(crate) uplink: UplinkConfig,
    #[serde(default, rename = "switch")]
    pub(crate) switches: Vec<SwitchConfig>,
    #[serde(default, rename = "vm")]
    pub(crate) vms: Vec<VmSpec>,
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
    /// Network adapters that VMs can have, all together.
    pub(crate) max_adapters: u32,
    /// File of the desired state; `state.redb` in [`LASTING`], or in `runtime_dir` if that is another than the usual one.
    pub(crate) state: Option<PathBuf>,
}

/// Usual folder of sockets.
const USUAL_RUNTIME: &str = "/run/softiov";
/// Usual folder of what outlives a restart of the host.
const LASTING: &str = "/var/lib/softiov";
/// Adapters at most: each has a place in every table of a worker.
const MOST_ADAPTERS: u32 = 4096;

impl Default for DaemonConfig {
    fn default() -> Self {
        let runtime_dir = PathBuf::from(USUAL_RUNTIME);
        Self { runtime_dir, cpu: None, poll: Poll::Adaptive, max_adapters: 256, state: None }
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
    /// How interrupts reach the guest; the best that is safe with its QEMU if absent.
    pub(crate) msix: Option<Msix>,
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
            msix: None,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Msix {
    /// softiov keeps the table and writes each message into the guest. Works with every QEMU, also where `device_del`
    /// of a function with MSI-X aborts it (10.2 to 11.1).
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

    /// File of the desired state.
    pub(crate) fn state_file(&self) -> PathBuf {
        let usual = || match self.daemon.runtime_dir.as_path() == Path::new(USUAL_RUNTIME) {
            true => Path::new(LASTING).join("state.redb"),
            false => self.daemon.runtime_dir.join("state.redb"),
        };
        self.daemon.state.clone().unwrap_or_else(usual)
    }

    /// Network adapters of the host. Their NICs have the first numbers, those of VMs the ones after.
    pub(crate) fn hosts(&self) -> u32 {
        self.switches.iter().map(|switch| u32::try_from(switch.hosts.len()).unwrap_or(u32::MAX)).sum()
    }

    fn check(&self) -> Result<(), String> {
        let most = self.daemon.max_adapters;
        if !(1..=MOST_ADAPTERS).contains(&most) {
            return Err(format!("max_adapters {most} is out of range: 1 to {MOST_ADAPTERS}"));
        }
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
        self.check_vms(&self.vms)
    }

    /// Checks that `vms` can be served by what else is configured.
    pub(crate) fn check_vms(&self, vms: &[VmSpec]) -> Result<(), String> {
        let mut taken = BTreeMap::new();
        for host in self.switches.iter().flat_map(|switch| &switch.hosts) {
            let full = format!("the host adapter {}", host.interface);
            if let Some(other) = taken.insert(host.address(), full.clone()) {
                return Err(format!(
                    "{other} and {full} both have the address {}: addresses must differ",
                    host.address()
                ));
            }
        }
        let switches: Vec<Name> = self.switches().into_iter().map(|switch| switch.name).collect();
        desired::check(vms, &switches, taken).map_err(|conflict| conflict.to_string())?;
        let adapters: usize = vms.iter().map(|vm| vm.adapters.len()).sum();
        if adapters > self.daemon.max_adapters as usize {
            return Err(format!(
                "the VMs have {adapters} adapters, and daemon.max_adapters is {}",
                self.daemon.max_adapters
            ));
        }
        vms.iter().try_for_each(|vm| self.check_sockets(vm))
    }

    /// The sockets of a VM's adapters can be made.
    fn check_sockets(&self, vm: &VmSpec) -> Result<(), String> {
        for (name, _) in vm.named_adapters() {
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
