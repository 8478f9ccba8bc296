//! Virtual machines and their adapters.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use virt_stack::desired::AdapterSpec;

use super::{EventView, NoSuchWord, PathView, SyntheticView, VfLifeView};

/// A VM with its adapters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmView {
    /// What it is called.
    #[schema(example = "alpha")]
    pub name: String,
    /// Its VM monitor.
    pub vmm: VmmView,
    /// Its network adapters.
    pub adapters: Vec<VmAdapterView>,
}

/// The VM monitor of a VM: how VFs are plugged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmmView {
    /// Its QMP socket.
    #[schema(value_type = Option<String>, example = "/run/vms/alpha.qmp")]
    pub qmp: Option<PathBuf>,
    /// Whether it can be spoken with.
    pub state: VmmState,
    /// What it says that it is.
    #[schema(example = "QEMU 11.1.0")]
    pub version: Option<String>,
    /// Why it cannot be spoken with.
    pub error: Option<String>,
}

/// Whether a VM monitor can be spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VmmState {
    /// It has no QMP socket here: VFs are plugged by hand.
    ByHand,
    /// It is sought.
    Connecting,
    /// It answers.
    Connected,
}

/// A network adapter of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VmAdapterView {
    /// What it is called.
    #[schema(example = "net0")]
    pub name: String,
    /// What is wanted.
    pub desired: AdapterSpec,
    /// Which way its frames go.
    pub path: PathView,
    /// Its VF.
    pub vf: Option<u16>,
    /// Where that is in its life.
    pub vf_life: Option<VfLifeView>,
    /// The socket of its VF.
    #[schema(value_type = Option<String>, example = "/run/softiov/alpha-net0.vf")]
    pub vf_socket: Option<PathBuf>,
    /// Why it has no VF.
    pub no_vf: Option<NoVfView>,
    /// Why it has no VM queue either.
    pub no_queue: Option<String>,
    /// Its synthetic part.
    pub synthetic: SyntheticView,
}

/// Why an adapter has no VF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoVfView {
    /// The reason, as a word that does not change.
    #[schema(example = "all_taken")]
    pub code: String,
    /// The same as a sentence.
    #[schema(example = "all 3 VFs are held by adapters of greater weight")]
    pub reason: String,
    /// What would have to change.
    #[schema(example = "a weight above 40, that of gamma/net0, the lightest holder")]
    pub remedy: Option<String>,
}

/// Why an adapter is on the path that it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// The virtual machine.
    pub vm: String,
    /// The adapter.
    pub adapter: String,
    /// Which way its frames go.
    pub path: PathView,
    /// Why, as a sentence.
    pub because: String,
    /// Where its VF is in its life.
    pub vf_life: Option<VfLifeView>,
    /// Why it has no VF.
    pub no_vf: Option<NoVfView>,
    /// Who has the VFs, the lightest last.
    pub holders: Vec<HolderView>,
    /// Latest events about it, the oldest first.
    pub history: Vec<EventView>,
}

/// An adapter that has a VF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HolderView {
    /// The VF.
    pub vf: u16,
    /// `VM/ADAPTER`.
    #[schema(example = "gamma/net0")]
    pub adapter: String,
    /// Its claim.
    pub iov_weight: u8,
}

/// A change of path that an operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailoverRequest {
    /// Where to.
    pub to: FailoverTarget,
}

/// Where an adapter's frames shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailoverTarget {
    /// By the synthetic adapter, until this is taken back.
    Synthetic,
    /// By a VF, if one can be had.
    Vf,
    /// As its weight says.
    Auto,
}

impl FromStr for FailoverTarget {
    type Err = NoSuchWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "synthetic" => Ok(Self::Synthetic),
            "vf" => Ok(Self::Vf),
            "auto" => Ok(Self::Auto),
            _ => Err(NoSuchWord { word: word.to_owned(), known: "synthetic, vf and auto" }),
        }
    }
}
