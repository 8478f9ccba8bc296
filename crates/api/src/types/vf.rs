//! Virtual functions.

use std::path::PathBuf;

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ReasonCount;

/// A VF, in the words of `Get-NetAdapterSriovVf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VfView {
    /// Its number, from 0.
    pub function_id: u16,
    /// Its PCI address.
    pub requester_id: String,
    /// The virtual machine that has it.
    pub vm: String,
    /// The NIC of that, as NDIS names it.
    pub nic: String,
    /// The address that it was given.
    #[schema(value_type = String, example = "02:00:00:00:00:01")]
    pub permanent_mac: MacAddr,
    /// The address that the guest uses.
    #[schema(value_type = String, example = "02:00:00:00:00:01")]
    pub current_mac: MacAddr,
    /// Its VPort.
    pub vport_id: Option<u32>,
    /// Which device it is to the guest.
    pub model: String,
    /// Where it is in its life.
    pub life: Option<VfLifeView>,
    /// Its device, while there is one.
    pub device: Option<VfDeviceView>,
}

/// Where a VF is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VfLifeView {
    /// The state, as a word that does not change.
    #[schema(example = "active")]
    pub state: String,
    /// The same as a sentence.
    #[schema(example = "the guest's driver is up and its frames go by the VF")]
    pub text: String,
    /// Which assignment of the VF it is: each gets a higher number.
    pub generation: u64,
    /// How long it is in this state, in milliseconds.
    pub since_ms: u64,
}

/// The device of a VF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VfDeviceView {
    /// Where the VMM finds it.
    #[schema(value_type = String, example = "/run/softiov/alpha-net0.vf")]
    pub socket: PathBuf,
    /// A VMM is there.
    pub connected: bool,
    /// The guest's driver has a receive queue enabled.
    pub driver_ready: bool,
    /// Guest memory that the VF can reach.
    pub mapped_bytes: u64,
    /// What the guest or its VMM asked in vain, by reason.
    pub rejections: Vec<ReasonCount>,
}
