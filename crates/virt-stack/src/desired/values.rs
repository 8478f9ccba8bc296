//! Values that are checked as they are read.

use std::collections::BTreeSet;
use std::fmt;

use ethernet::MacAddr;
use nic_switch::VlanSet;
use serde::de::{self, Deserializer};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vswitch::VlanPolicy;

/// Reads a value and checks it.
macro_rules! checked {
    ($name:ident, $raw:ty, $check:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = <$raw>::deserialize(deserializer)?;
                let check: fn($raw) -> Result<Self, String> = $check;
                check(raw).map_err(de::Error::custom)
            }
        }
    };
}

/// Name of a virtual machine, an adapter or a switch; part of socket names. 1 to 40 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "alpha", max_length = 40, pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
pub struct Name(String);
checked!(Name, String, |name| Self::new(&name));

impl Name {
    /// `text` as a name.
    ///
    /// # Errors
    /// A sentence that says what a name can be.
    pub fn new(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 40 || !text.chars().all(allowed) || text.starts_with(['.', '-']) {
            return Err(format!(
                "{text:?} cannot be a name: 1 to 40 letters, digits, '-', '_' and '.', the first none of '-' and '.'"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of adapter number `n` if it has none.
    #[must_use]
    pub fn of_adapter(n: usize) -> Self {
        Self(format!("net{n}"))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Address of an adapter: unicast, and not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "02:00:00:00:00:0a")]
pub struct AdapterMac(pub MacAddr);
checked!(AdapterMac, String, |text| {
    let mac: MacAddr = text.parse().map_err(|e| format!("{e}"))?;
    if !mac.is_unicast() {
        return Err(format!(
            "{mac} is not the address of one adapter: the first byte must be even, and not all zero"
        ));
    }
    Ok(Self(mac))
});

/// VLAN id, 1 to 4094.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = u16, minimum = 1, maximum = 4094)]
pub struct Vlan(pub u16);
checked!(Vlan, i64, |id| match u16::try_from(id) {
    Ok(id @ 1..=4094) => Ok(Self(id)),
    _ => Err(format!("{id} is not a VLAN id: they go from 1 to 4094")),
});

/// Largest payload of a frame, 68 to 65535 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = u16, minimum = 68, maximum = 65535)]
pub struct Mtu(pub u16);
checked!(Mtu, i64, |mtu| match u16::try_from(mtu) {
    Ok(mtu @ 68..) => Ok(Self(mtu)),
    _ => Err(format!("an MTU of {mtu} is not possible: 68 to 65535 bytes are")),
});

/// Queue pairs of a synthetic adapter, 1 to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = u16, minimum = 1, maximum = 16)]
pub struct SyntheticPairs(pub u16);
checked!(SyntheticPairs, i64, |pairs| match u16::try_from(pairs) {
    Ok(pairs @ 1..=16) => Ok(Self(pairs)),
    _ => Err(format!("{pairs} queue pairs are not possible: a synthetic adapter has 1 to 16")),
});

impl Default for SyntheticPairs {
    fn default() -> Self {
        Self(1)
    }
}

/// Claim to a VF or a VM queue, `IovWeight` and `VmqWeight`: 0 (none) to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = u8, minimum = 0, maximum = 100)]
pub struct Weight(pub u8);
checked!(Weight, i64, |weight| match u8::try_from(weight) {
    Ok(weight @ 0..=100) => Ok(Self(weight)),
    _ => Err(format!("weight {weight} is out of range: 0 (none) to 100")),
});

impl Default for Weight {
    fn default() -> Self {
        Self(100)
    }
}

/// Queue pairs of a VF, `IovQueuePairsRequested`: 1, 2, 4 or 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = u32, minimum = 1, maximum = 8)]
pub struct QueuePairs(pub u32);
checked!(QueuePairs, i64, |pairs| match u32::try_from(pairs) {
    Ok(pairs @ (1 | 2 | 4 | 8)) => Ok(Self(pairs)),
    _ => Err(format!("{pairs} queue pairs are not possible: a VF has 1, 2, 4 or 8")),
});

impl Default for QueuePairs {
    fn default() -> Self {
        Self(2)
    }
}

/// VLANs of a trunk: `"all"`, or a list of ids and ranges such as `[5, "100-200"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trunk {
    /// All of them.
    All,
    /// These.
    Vlans(BTreeSet<u16>),
}
checked!(Trunk, RawTrunk, |raw| match raw {
    RawTrunk::Word(word) if word == "all" => Ok(Self::All),
    RawTrunk::Word(word) => Err(format!("trunk {word:?} is unknown: \"all\", or a list of ids and ranges")),
    RawTrunk::List(entries) => vlan_list(&entries).map(Self::Vlans),
});

impl Trunk {
    /// Reads `all`, or ids and ranges with commas between them, as in `5,100-200`.
    ///
    /// # Errors
    /// A sentence that says what is no VLAN.
    pub fn from_list(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let entries: Vec<_> = text.split(',').map(|entry| RawVlan::Range(entry.to_owned())).collect();
        vlan_list(&entries).map(Self::Vlans)
    }
}

impl Serialize for Trunk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let vlans = match self {
            Self::All => return serializer.serialize_str("all"),
            Self::Vlans(vlans) => vlans,
        };
        let mut list = serializer.serialize_seq(None)?;
        for (first, last) in ranges(vlans) {
            if first == last {
                list.serialize_element(&first)?;
            } else {
                list.serialize_element(&format!("{first}-{last}"))?;
            }
        }
        list.end()
    }
}

/// The runs of `vlans`.
fn ranges(vlans: &BTreeSet<u16>) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for &vlan in vlans {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == vlan => *last = vlan,
            _ => ranges.push((vlan, vlan)),
        }
    }
    ranges
}

/// The VLANs of a trunk, as the switches have them; none without a trunk.
#[must_use]
pub fn vlan_set(trunk: Option<&Trunk>) -> VlanSet {
    match trunk {
        None => VlanSet::EMPTY,
        Some(Trunk::All) => VlanSet::all(),
        Some(Trunk::Vlans(vlans)) => VlanSet::of(vlans.iter().copied()).unwrap_or(VlanSet::EMPTY),
    }
}

/// What an access VLAN or a trunk means to a port; neither is a port for untagged frames.
#[must_use]
pub fn vlan_policy(vlan: Option<Vlan>, trunk: Option<&Trunk>) -> VlanPolicy {
    match (vlan, trunk) {
        (Some(vlan), _) => VlanPolicy::Access(vlan.0),
        (None, None) => VlanPolicy::Untagged,
        (None, trunk) => VlanPolicy::Trunk { native: 0, allowed: vlan_set(trunk), pruned: vlan_set(None) },
    }
}

fn vlan_list(entries: &[RawVlan]) -> Result<BTreeSet<u16>, String> {
    let mut vlans = BTreeSet::new();
    for entry in entries {
        let (first, last) = match entry {
            RawVlan::Id(id) => (Some(*id), Some(*id)),
            RawVlan::Range(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                (first.trim().parse().ok(), last.trim().parse().ok())
            }
        };
        match (first, last) {
            (Some(first @ 1..=4094), Some(last @ 1..=4094)) if first <= last => vlans.extend(first..=last),
            _ => {
                return Err(format!(
                    "{entry} is not a VLAN id or range: ids go from 1 to 4094, as in \"100-200\""
                ));
            }
        }
    }
    Ok(vlans)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"all\", or a list of VLAN ids and ranges such as [5, \"100-200\"]")]
enum RawTrunk {
    Word(String),
    List(Vec<RawVlan>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a VLAN id or a range such as \"100-200\"")]
enum RawVlan {
    Id(u16),
    Range(String),
}

impl fmt::Display for RawVlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Range(text) => write!(f, "{text:?}"),
        }
    }
}
