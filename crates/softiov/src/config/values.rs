//! Values that are checked as they are read, so that the parser can name their line.

use std::fmt;

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

/// Number of VFs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VfCount(pub(crate) u16);
checked!(VfCount, i64, |count| match u16::try_from(count) {
    Ok(count) if (1..=MAX_VFS).contains(&count) => Ok(Self(count)),
    _ => Err(format!("an adapter cannot have {count} VFs: 1 to {MAX_VFS} are possible")),
});
