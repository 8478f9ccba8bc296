//! The extensible switches, and what is around them.

use std::path::PathBuf;

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};
use vswitch::{AclRule, PortPolicy};

use super::{FilterView, SyntheticDeviceView, TrafficView};

/// An extensible switch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SwitchView {
    pub(crate) name: String,
    /// `external`, `internal` or `private`.
    pub(crate) kind: String,
    /// Seconds after which a station is forgotten.
    pub(crate) ageing: u32,
    /// Stations that were learned.
    pub(crate) stations: usize,
    pub(crate) extensions: Vec<String>,
    pub(crate) ports: Vec<PortView>,
}

/// A port of an extensible switch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PortView {
    pub(crate) port: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Kind of its NIC.
    pub(crate) nic: Option<String>,
    /// State of its NIC.
    pub(crate) state: String,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) vlan: String,
    pub(crate) policy: PortPolicy,
    /// The VF of its NIC.
    pub(crate) vf: Option<u16>,
    /// Why it must not have one.
    pub(crate) forbids_vf: Option<String>,
    #[serde(flatten)]
    pub(crate) counters: CountersView,
}

/// What a port sent, received and lost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CountersView {
    pub(crate) sent: TrafficView,
    pub(crate) received: TrafficView,
    /// Of the frames received, those that came by a VM queue.
    pub(crate) direct: u64,
    pub(crate) held: u64,
    pub(crate) drops: Vec<(String, u64)>,
}

/// The physical port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UplinkView {
    /// `tap`, `packet`, `xdp` or `none`.
    pub(crate) kind: String,
    pub(crate) interface: Option<String>,
    pub(crate) link: LinkView,
    /// "Sent" is what the wire sent.
    #[serde(flatten)]
    pub(crate) counters: CountersView,
    /// Frames lost before or behind the worker.
    pub(crate) losses: Vec<(String, u64)>,
}

/// A netdev as it stands.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LinkView {
    pub(crate) up: bool,
    pub(crate) mtu: Option<u32>,
    pub(crate) address: Option<MacAddr>,
}

/// An adapter of the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HostAdapterView {
    pub(crate) interface: String,
    pub(crate) switch: String,
    pub(crate) mac: MacAddr,
    pub(crate) vlan: String,
    pub(crate) link: LinkView,
    #[serde(flatten)]
    pub(crate) counters: CountersView,
    pub(crate) losses: Vec<(String, u64)>,
}

/// A VM queue, in the words of `Get-NetAdapterVmqQueue`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QueueView {
    pub(crate) queue_id: u32,
    pub(crate) state: String,
    /// Group and mask of the CPU that serves it.
    pub(crate) affinity: Option<String>,
    pub(crate) vm: String,
    pub(crate) queue_name: String,
    pub(crate) filters: Vec<FilterView>,
}

/// The synthetic part of a VM's adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SyntheticView {
    pub(crate) switch: String,
    pub(crate) port: u32,
    pub(crate) socket: PathBuf,
    pub(crate) device: Option<SyntheticDeviceView>,
    #[serde(flatten)]
    pub(crate) counters: CountersView,
}

/// Which way the frames of an adapter go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PathView {
    /// By this VF.
    Vf(u16),
    /// By the synthetic adapter; what comes for it, by this VM queue or VPort of the PF.
    Queue(u32),
    /// By the synthetic adapter and the extensible switch.
    Switch,
}

/// A station that a switch knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AddressView {
    pub(crate) switch: String,
    pub(crate) mac: MacAddr,
    /// 0: none. Absent: all of its port.
    pub(crate) vlan: Option<u16>,
    pub(crate) port: u32,
    pub(crate) port_name: String,
    /// `own`, `static` or `learned`.
    pub(crate) origin: String,
}

/// A static address to be set or removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddressChange {
    pub(crate) mac: MacAddr,
    pub(crate) vlan: u16,
    /// The port where it is; `None` to remove it.
    pub(crate) port: Option<String>,
}

/// A rule of a port ACL with what it has counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AclRuleView {
    pub(crate) index: usize,
    pub(crate) rule: AclRule,
    pub(crate) frames: Option<u64>,
    pub(crate) octets: Option<u64>,
}

/// A change of an adapter's policies.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PolicyChange {
    /// A further rule of its ACL, behind the others.
    AddRule(Box<AclRule>),
    /// The rule with this index goes.
    RemoveRule(usize),
    /// `key=value` each.
    Set(Vec<String>),
}
