//! The extensible switches, and what is around them.

use std::path::PathBuf;

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vswitch::PortPolicy;

use super::{FilterView, ReasonCount, TrafficView};
use crate::openapi::PortPolicySchema;

/// An extensible switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchView {
    /// Its name.
    pub name: String,
    /// `external`, `internal` or `private`.
    pub kind: String,
    /// Seconds after which a station is forgotten.
    pub ageing: u32,
    /// Stations that were learned.
    pub stations: usize,
    /// Its extensions, in their order.
    pub extensions: Vec<String>,
    /// Its ports.
    pub ports: Vec<PortView>,
}

/// A port of an extensible switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortView {
    /// Its number.
    pub port: u32,
    /// Its name.
    pub name: String,
    /// What is connected to it.
    pub kind: String,
    /// Kind of its NIC.
    pub nic: Option<String>,
    /// State of its NIC.
    pub state: String,
    /// Address of its NIC.
    #[schema(value_type = Option<String>, example = "02:00:00:00:00:01")]
    pub mac: Option<MacAddr>,
    /// Its VLANs in words.
    pub vlan: String,
    /// Its policies.
    #[schema(value_type = PortPolicySchema)]
    pub policy: PortPolicy,
    /// The VF of its NIC.
    pub vf: Option<u16>,
    /// Why it must not have one.
    pub forbids_vf: Option<String>,
    /// What it sent, received and lost.
    #[serde(flatten)]
    pub counters: CountersView,
}

/// What a port sent, received and lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountersView {
    /// Sent.
    pub sent: TrafficView,
    /// Received.
    pub received: TrafficView,
    /// Of the frames received, those that came by a VM queue.
    pub direct: u64,
    /// Times that a full receiver held frames back.
    pub held: u64,
    /// Lost frames by reason.
    pub drops: Vec<ReasonCount>,
}

/// The physical port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UplinkView {
    /// `tap`, `packet`, `xdp` or `none`.
    pub kind: String,
    /// The netdev.
    pub interface: Option<String>,
    /// The netdev as it stands.
    pub link: LinkView,
    /// "Sent" is what the wire sent.
    #[serde(flatten)]
    pub counters: CountersView,
    /// Frames lost before or behind the worker.
    pub losses: Vec<ReasonCount>,
}

/// A netdev as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkView {
    /// It has a carrier.
    pub up: bool,
    /// Largest payload of a frame.
    pub mtu: Option<u32>,
    /// Its address.
    #[schema(value_type = Option<String>, example = "02:00:00:00:00:01")]
    pub address: Option<MacAddr>,
}

/// An adapter of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostAdapterView {
    /// The netdev.
    pub interface: String,
    /// The switch that it is on.
    pub switch: String,
    /// Its address.
    #[schema(value_type = String, example = "02:00:00:00:00:01")]
    pub mac: MacAddr,
    /// Its VLANs in words.
    pub vlan: String,
    /// The netdev as it stands.
    pub link: LinkView,
    /// What it sent, received and lost.
    #[serde(flatten)]
    pub counters: CountersView,
    /// Frames lost before or behind the worker.
    pub losses: Vec<ReasonCount>,
}

/// A VM queue, in the words of `Get-NetAdapterVmqQueue`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueView {
    /// Its number.
    pub queue_id: u32,
    /// Its state.
    pub state: String,
    /// Group and mask of the CPU that serves it.
    pub affinity: Option<String>,
    /// The virtual machine.
    pub vm: String,
    /// Its name.
    pub queue_name: String,
    /// Its receive filters.
    pub filters: Vec<FilterView>,
}

/// The synthetic part of a VM's adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyntheticView {
    /// The switch that it is on.
    pub switch: String,
    /// Its port there.
    pub port: u32,
    /// Where the VMM finds it.
    #[schema(value_type = String, example = "/run/softiov/alpha-net0.net")]
    pub socket: PathBuf,
    /// Its device, while there is one.
    pub device: Option<SyntheticDeviceView>,
    /// What it sent, received and lost.
    #[serde(flatten)]
    pub counters: CountersView,
}

/// The device of a synthetic adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyntheticDeviceView {
    /// Where the VMM finds it.
    #[schema(value_type = String, example = "/run/softiov/alpha-net0.net")]
    pub socket: PathBuf,
    /// A VMM is there.
    pub connected: bool,
    /// A receive and a transmit ring are in use.
    pub driver_ready: bool,
    /// Guest memory that the adapter can reach.
    pub mapped_bytes: u64,
    /// Features that the driver uses, as virtio numbers them.
    pub features: u64,
    /// Rings in use.
    pub rings: usize,
    /// Rings whose content made no sense, and what was wrong.
    pub broken_rings: Vec<(usize, String)>,
    /// What the front end asked in vain, by reason.
    pub rejections: Vec<ReasonCount>,
}

/// Which way the frames of an adapter go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathView {
    /// By this VF.
    Vf(u16),
    /// By the synthetic adapter; what comes for it, by this VM queue or VPort of the PF.
    Queue(u32),
    /// By the synthetic adapter and the extensible switch.
    Switch,
}

/// A station that a switch knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddressView {
    /// The switch.
    pub switch: String,
    /// Its address.
    #[schema(value_type = String, example = "02:00:00:00:00:01")]
    pub mac: MacAddr,
    /// 0: none. Absent: all of its port.
    pub vlan: Option<u16>,
    /// Where it is.
    pub port: u32,
    /// Name of that port.
    pub port_name: String,
    /// `own`, `static` or `learned`.
    pub origin: String,
}

/// A static address to be set or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressChange {
    /// The address.
    #[schema(value_type = String, example = "02:00:00:00:00:01")]
    pub mac: MacAddr,
    /// Its VLAN; 0 for none.
    #[serde(default)]
    pub vlan: u16,
    /// Name or number of the port where it is; absent to remove it.
    #[serde(default)]
    pub port: Option<String>,
}
