//! The daemon's configuration, as a case wants it.

use serde::Serialize;

/// The configuration file of a case, and how the guests for it are made.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Config {
    adapter: AdapterPool,
    #[serde(rename = "vm")]
    pub(super) vms: Vec<VmConfig>,
}

#[derive(Debug, Clone, Serialize)]
struct AdapterPool {
    total_vfs: u16,
}

/// One VM and its network adapters.
#[derive(Debug, Clone, Serialize)]
pub(super) struct VmConfig {
    pub(super) name: String,
    #[serde(rename = "adapter")]
    pub(super) adapters: Vec<Adapter>,
    /// How many processors the guest gets; the daemon need not know.
    #[serde(skip)]
    pub(super) cpus: u8,
}

/// One network adapter of a VM.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Adapter {
    pub(super) name: String,
    pub(super) mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trunk: Option<Trunk>,
    trusted: bool,
}

/// The VLANs that a trunk adapter may tag.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Trunk {
    /// `"all"`.
    All(&'static str),
    /// Single VLANs and ranges.
    Some(Vec<Vlans>),
}

/// A VLAN, or a range such as `"100-200"`.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Vlans {
    One(u16),
    Range(&'static str),
}

/// The names of the guests, in the order of their numbers.
const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

impl Config {
    /// This many VMs, each with this many plain adapters: untagged, not trusted.
    pub(super) fn plain(vms: u8, adapters: u8) -> Self {
        let vms = (0..vms).map(|vm| VmConfig {
            name: NAMES.get(usize::from(vm)).map_or_else(|| format!("vm{vm}"), |name| (*name).to_owned()),
            adapters: (0..adapters).map(|adapter| Adapter::plain(vm, adapter)).collect(),
            cpus: 1,
        });
        let vms: Vec<VmConfig> = vms.collect();
        let total_vfs = vms.iter().map(|vm| vm.adapters.len()).sum::<usize>().max(8);
        let total_vfs = u16::try_from(total_vfs).expect("a case has at most 255 x 255 adapters");
        Self { adapter: AdapterPool { total_vfs }, vms }
    }

    /// Two VMs with one plain adapter each.
    pub(super) fn pair() -> Self {
        Self::plain(2, 1)
    }

    /// Changes one adapter.
    pub(super) fn with(mut self, vm: usize, adapter: usize, change: impl FnOnce(Adapter) -> Adapter) -> Self {
        let place = &mut self.vms[vm].adapters[adapter];
        *place = change(place.clone());
        self
    }

    /// Gives every guest this many processors.
    pub(super) fn cpus(mut self, cpus: u8) -> Self {
        for vm in &mut self.vms {
            vm.cpus = cpus;
        }
        self
    }

    /// The configuration file.
    pub(super) fn file(&self, runtime_dir: &str) -> String {
        let body = toml::to_string(self).expect("a configuration holds only plain tables");
        format!("[daemon]\nruntime_dir = \"{runtime_dir}\"\n\n{body}")
    }
}

impl Adapter {
    fn plain(vm: u8, adapter: u8) -> Self {
        let mac = format!("02:00:00:00:{:02x}:{adapter:02x}", vm + 1);
        Self { name: format!("net{adapter}"), mac, vlan: None, trunk: None, trusted: false }
    }

    /// An access port of a VLAN.
    pub(super) fn access(self, vlan: u16) -> Self {
        Self { vlan: Some(vlan), ..self }
    }

    /// A trunk of every VLAN.
    pub(super) fn trunk_of_all(self) -> Self {
        Self { trunk: Some(Trunk::All("all")), ..self }
    }

    /// A trunk of these VLANs.
    pub(super) fn trunk(self, vlans: Vec<Vlans>) -> Self {
        Self { trunk: Some(Trunk::Some(vlans)), ..self }
    }

    /// May change its address.
    pub(super) fn trusted(self) -> Self {
        Self { trusted: true, ..self }
    }
}

#[cfg(test)]
mod tests;
