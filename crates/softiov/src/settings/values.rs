//! Values as they are typed.

use serde::de::DeserializeOwned;
use serde_json::Value;
use virt_stack::desired::{Name, PrivateVlan, PrivateVlanRole, Trunk, Vlan};
use vswitch::Mirroring;

/// A value of a type that checks it.
pub(super) fn member<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// A number that is to be checked.
pub(super) fn count(value: &str, what: &str) -> Result<Value, String> {
    let number = value.parse::<i64>().map(Value::from);
    number.map_err(|_| format!("{value:?} is no number: {what}"))
}

pub(super) fn unless_none<T>(
    value: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if value == "none" { Ok(None) } else { read(value).map(Some) }
}

pub(super) fn name(value: &str) -> Result<Name, String> {
    Name::new(value)
}

pub(super) fn trunk(value: &str) -> Result<Trunk, String> {
    Trunk::from_list(value)
        .map_err(|reason| format!("{reason}; it is written as all, as in 5,100-200, or as none"))
}

/// As in `100:isolated:101`, `100:community:102` or `100:promiscuous:101,102`.
pub(super) fn private(value: &str) -> Result<PrivateVlan, String> {
    let parts: Vec<&str> = value.split(':').collect();
    let [primary, role, secondary] = parts[..] else {
        return Err(format!(
            "{value:?} is no place in a private VLAN: PRIMARY:isolated:VLAN, PRIMARY:community:VLAN, \
             PRIMARY:promiscuous:VLANS, or none"
        ));
    };
    let role = match role {
        "isolated" => PrivateVlanRole::Isolated(vlan(secondary)?),
        "community" => PrivateVlanRole::Community(vlan(secondary)?),
        "promiscuous" => PrivateVlanRole::Promiscuous(Trunk::from_list(secondary)?),
        other => return Err(format!("{other:?} is no role: isolated, community or promiscuous")),
    };
    Ok(PrivateVlan { primary: vlan(primary)?, role })
}

pub(super) fn vlan(value: &str) -> Result<Vlan, String> {
    let number = value.parse().ok().filter(|vlan| (1..=4094).contains(vlan));
    number.map(Vlan).ok_or_else(|| format!("{value:?} is not a VLAN id: they go from 1 to 4094"))
}

pub(super) fn switch(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("{other:?} is neither on nor off")),
    }
}

pub(super) fn number(value: &str, most: u32, what: &str) -> Result<u32, String> {
    let number = value.parse().ok().filter(|n| *n <= most);
    number.ok_or_else(|| format!("{value:?} is not possible: {what}"))
}

pub(super) fn mirroring(value: &str) -> Result<Mirroring, String> {
    match value {
        "none" => Ok(Mirroring::None),
        "source" => Ok(Mirroring::Source),
        "destination" => Ok(Mirroring::Destination),
        other => Err(format!("{other:?} is not possible: none, source or destination")),
    }
}

/// Bits a second, as in `500k`, `10M`, `1G` or `none`.
pub(super) fn rate(value: &str) -> Result<Option<u64>, String> {
    if value == "none" {
        return Ok(None);
    }
    let (digits, factor) = match value.strip_suffix(['k', 'M', 'G']) {
        Some(digits) if value.ends_with('k') => (digits, 1_000),
        Some(digits) if value.ends_with('M') => (digits, 1_000_000),
        Some(digits) => (digits, 1_000_000_000),
        None => (value, 1),
    };
    let rate = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    rate.map(Some).ok_or_else(|| format!("{value:?} is no rate: bits a second, as in 500k, 10M, 1G, or none"))
}

/// Megabits a second, as `ip link` has them; 0 for none.
pub(super) fn rate_in_megabits(value: &str) -> Result<Option<u64>, String> {
    let rate = value.parse::<u64>().ok().and_then(|number| number.checked_mul(1_000_000));
    rate.map(|rate| Some(rate).filter(|rate| *rate > 0))
        .ok_or_else(|| format!("{value:?} is no rate: megabits a second, 0 for none"))
}
