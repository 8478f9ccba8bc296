//! Values that are checked as they are read, so that the parser can name their line.

use std::collections::BTreeSet;
use std::fmt;

use ethernet::MacAddr;
use nic_switch::VlanSet;
use serde::Deserialize;
use serde::de::{self, Deserializer};

/// Largest number of VFs of an adapter.
const MAX_VFS: u16 = pcie::MAX_VFS;

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

/// Name of a VM or an adapter; part of socket names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) String);
checked!(Name, String, |name| {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 40 || !name.chars().all(allowed) || name.starts_with(['.', '-']) {
        return Err(format!(
            "{name:?} cannot be a name: 1 to 40 letters, digits, '-', '_' and '.', the first a letter or digit"
        ));
    }
    Ok(Self(name))
});

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Address of an adapter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdapterMac(pub(crate) MacAddr);
checked!(AdapterMac, String, |text| {
    let mac: MacAddr = text.parse().map_err(|e| format!("{e}"))?;
    if !mac.is_unicast() {
        return Err(format!(
            "{mac} is not the address of one adapter: the first byte must be even, and not all zero"
        ));
    }
    Ok(Self(mac))
});

/// VLAN id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vlan(pub(crate) u16);
checked!(Vlan, i64, |id| match u16::try_from(id) {
    Ok(id @ 1..=4094) => Ok(Self(id)),
    _ => Err(format!("{id} is not a VLAN id: they go from 1 to 4094")),
});

/// Name of a netdev.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InterfaceName(pub(crate) String);
checked!(InterfaceName, String, |name| {
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    if name.is_empty() || name.len() > 15 || !name.chars().all(allowed) || name == "." || name == ".." {
        return Err(format!(
            "{name:?} cannot be the name of a netdev: 1 to 15 visible characters without '/', ':' and '%'"
        ));
    }
    Ok(Self(name))
});

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Largest payload of a frame, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mtu(pub(crate) u16);
checked!(Mtu, i64, |mtu| match u16::try_from(mtu) {
    Ok(mtu @ 68..) => Ok(Self(mtu)),
    _ => Err(format!("an MTU of {mtu} is not possible: 68 to 65535 bytes are")),
});

/// Queue pairs of a synthetic adapter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyntheticPairs(pub(crate) u16);
checked!(SyntheticPairs, i64, |pairs| match u16::try_from(pairs) {
    Ok(pairs @ 1..=16) => Ok(Self(pairs)),
    _ => Err(format!("{pairs} queue pairs are not possible: a synthetic adapter has 1 to 16")),
});

impl Default for SyntheticPairs {
    fn default() -> Self {
        Self(1)
    }
}

/// Claim to a VF or a VM queue, `IovWeight` and `VmqWeight`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight(pub(crate) u8);
checked!(Weight, i64, |weight| match u8::try_from(weight) {
    Ok(weight @ 0..=100) => Ok(Self(weight)),
    _ => Err(format!("weight {weight} is out of range: 0 (none) to 100")),
});

impl Default for Weight {
    fn default() -> Self {
        Self(100)
    }
}

/// Queue pairs of a VF, `IovQueuePairsRequested`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuePairs(pub(crate) u32);
checked!(QueuePairs, i64, |pairs| match u32::try_from(pairs) {
    Ok(pairs @ (1 | 2 | 4 | 8)) => Ok(Self(pairs)),
    _ => Err(format!("{pairs} queue pairs are not possible: a VF has 1, 2, 4 or 8")),
});

impl Default for QueuePairs {
    fn default() -> Self {
        Self(2)
    }
}

/// Number of VFs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VfCount(pub(crate) u16);
checked!(VfCount, i64, |count| match u16::try_from(count) {
    Ok(count) if (1..=MAX_VFS).contains(&count) => Ok(Self(count)),
    _ => Err(format!("an adapter cannot have {count} VFs: 1 to {MAX_VFS} are possible")),
});

/// VLANs of a trunk: `"all"`, or a list of ids and ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trunk {
    All,
    Vlans(BTreeSet<u16>),
}
checked!(Trunk, RawTrunk, |raw| match raw {
    RawTrunk::Word(word) if word == "all" => Ok(Self::All),
    RawTrunk::Word(word) => Err(format!("trunk {word:?} is unknown: \"all\", or a list of ids and ranges")),
    RawTrunk::List(entries) => vlan_list(&entries).map(Self::Vlans),
});

impl Trunk {
    /// Reads `all`, or ids and ranges with commas between them, as in `5,100-200`.
    pub(crate) fn from_list(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let entries: Vec<_> = text.split(',').map(|entry| RawVlan::Range(entry.to_owned())).collect();
        vlan_list(&entries).map(Self::Vlans)
    }
}

/// The VLANs of a trunk, as the switches have them; none without a trunk.
pub(crate) fn vlan_set(trunk: Option<&Trunk>) -> VlanSet {
    match trunk {
        None => VlanSet::EMPTY,
        Some(Trunk::All) => VlanSet::all(),
        Some(Trunk::Vlans(vlans)) => VlanSet::of(vlans.iter().copied()).unwrap_or(VlanSet::EMPTY),
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
