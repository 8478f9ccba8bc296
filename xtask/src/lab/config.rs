//! The daemon's configuration, as a case wants it.

use serde::Serialize;

/// The configuration file of a case, and how the guests for it are made.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Config {
    /// The CPU of the daemon's worker; in another section of the file.
    #[serde(skip)]
    cpu: Option<usize>,
    adapter: AdapterPool,
    #[serde(skip_serializing_if = "Option::is_none")]
    uplink: Option<Uplink>,
    #[serde(rename = "switch", skip_serializing_if = "Vec::is_empty")]
    switches: Vec<Switch>,
    #[serde(rename = "vm")]
    pub(super) vms: Vec<VmConfig>,
}

#[derive(Debug, Clone, Serialize)]
struct AdapterPool {
    total_vfs: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    sriov: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vm_queues: Option<u16>,
}

/// What the physical port leads to.
#[derive(Debug, Clone, Serialize)]
struct Uplink {
    #[serde(rename = "type")]
    kind: &'static str,
    interface: &'static str,
}

/// The extensible switch, when more is to be said of it than that it is there.
#[derive(Debug, Clone, Serialize)]
struct Switch {
    name: &'static str,
    #[serde(rename = "host")]
    hosts: Vec<HostAdapter>,
}

/// A network adapter of the host.
#[derive(Debug, Clone, Serialize)]
struct HostAdapter {
    interface: &'static str,
}

/// One VM and its network adapters.
#[derive(Debug, Clone, Serialize)]
pub(super) struct VmConfig {
    pub(super) name: String,
    /// The monitor of its QEMU by which the daemon plugs VFs in and out, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) qmp: Option<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    iov_weight: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vmq_weight: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_pairs: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mtu: Option<u16>,
    /// Policies of its port.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    port: toml::Table,
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
            qmp: None,
            adapters: (0..adapters).map(|adapter| Adapter::plain(vm, adapter)).collect(),
            cpus: 1,
        });
        let vms: Vec<VmConfig> = vms.collect();
        let total_vfs = vms.iter().map(|vm| vm.adapters.len()).sum::<usize>().max(8);
        let total_vfs = u16::try_from(total_vfs).expect("a case has at most 255 x 255 adapters");
        let adapter = AdapterPool { total_vfs, sriov: None, vm_queues: None };
        Self { cpu: None, adapter, uplink: None, switches: Vec::new(), vms }
    }

    /// Two VMs with one plain adapter each.
    pub(super) fn pair() -> Self {
        Self::plain(2, 1)
    }

    /// With this many VFs.
    pub(super) fn vfs(mut self, total: u16) -> Self {
        self.adapter.total_vfs = total;
        self
    }

    /// With a physical port of this kind, which leads to this netdev.
    pub(super) fn uplink(self, kind: &'static str, interface: &'static str) -> Self {
        Self { uplink: Some(Uplink { kind, interface }), ..self }
    }

    /// With an adapter of the host on the extensible switch.
    pub(super) fn host_adapter(self, interface: &'static str) -> Self {
        Self { switches: vec![Switch { name: "external", hosts: vec![HostAdapter { interface }] }], ..self }
    }

    /// Takes the VFs away from all.
    pub(super) fn synthetic(mut self) -> Self {
        for adapter in self.vms.iter_mut().flat_map(|vm| &mut vm.adapters) {
            *adapter = adapter.clone().synthetic();
        }
        self
    }

    /// An adapter without SR-IOV, with so many VM queues.
    pub(super) fn vm_queues(mut self, queues: u16) -> Self {
        (self.adapter.sriov, self.adapter.vm_queues) = (Some(false), Some(queues));
        self.synthetic()
    }

    /// Pins the worker to a CPU of the host.
    pub(super) fn worker_on(self, cpu: usize) -> Self {
        Self { cpu: Some(cpu), ..self }
    }

    /// Changes one adapter.
    pub(super) fn with(mut self, vm: usize, adapter: usize, change: impl FnOnce(Adapter) -> Adapter) -> Self {
        let place = &mut self.vms[vm].adapters[adapter];
        *place = change(place.clone());
        self
    }

    /// Lets the daemon plug a VM's VFs in and out, by a monitor of its QEMU at this path.
    pub(super) fn monitored(mut self, vm: usize, path: String) -> Self {
        self.vms[vm].qmp = Some(path);
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
        let cpu = self.cpu.map_or_else(String::new, |cpu| format!("cpu = {cpu}\n"));
        format!("[daemon]\nruntime_dir = \"{runtime_dir}\"\n{cpu}\n{body}")
    }
}

impl Adapter {
    fn plain(vm: u8, adapter: u8) -> Self {
        let mac = format!("02:00:00:00:{:02x}:{adapter:02x}", vm + 1);
        Self {
            name: format!("net{adapter}"),
            mac,
            vlan: None,
            trunk: None,
            trusted: false,
            iov_weight: None,
            vmq_weight: None,
            queue_pairs: None,
            mtu: None,
            port: toml::Table::new(),
        }
    }

    /// Without a VF.
    pub(super) fn synthetic(self) -> Self {
        Self { iov_weight: Some(0), ..self }
    }

    /// With this claim to a VM queue; 0 for none.
    pub(super) fn vmq_weight(self, weight: u8) -> Self {
        Self { vmq_weight: Some(weight), ..self }
    }

    /// With this many queue pairs of its synthetic part.
    pub(super) fn queue_pairs(self, pairs: u16) -> Self {
        Self { queue_pairs: Some(pairs), ..self }
    }

    /// Whose guest is told of this MTU.
    pub(super) fn mtu(self, mtu: u16) -> Self {
        Self { mtu: Some(mtu), ..self }
    }

    /// With this claim to a VF; 0 for none.
    pub(super) fn iov_weight(self, weight: u8) -> Self {
        Self { iov_weight: Some(weight), ..self }
    }

    pub(super) fn is_synthetic(&self) -> bool {
        self.iov_weight == Some(0)
    }

    /// With these policies of its port, the keys of `port`, besides those that it has.
    pub(super) fn port(mut self, policies: &str) -> Self {
        self.port.extend(policies.parse::<toml::Table>().expect("a case has sensible policies"));
        self
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
