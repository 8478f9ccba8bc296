//! Policies as they are typed: `key=value`.

use vswitch::{Mirroring, PortPolicy, PrivateRole, VlanPolicy};

use crate::config::{Trunk, Vlan, vlan_policy, vlan_set};

/// Sets one member of `policy` from its value.
type Set = fn(&mut PortPolicy, &str) -> Result<(), String>;

/// The keys, in the order in which they are listed.
const KEYS: &[(&str, Set)] = &[
    ("vlan", |policy, value| set_vlan(policy, value, access, |vlan| matches!(vlan, VlanPolicy::Access(_)))),
    ("trunk", |policy, value| {
        set_vlan(policy, value, trunk, |vlan| matches!(vlan, VlanPolicy::Trunk { .. }))
    }),
    ("private-vlan", |policy, value| {
        set_vlan(policy, value, private, |vlan| matches!(vlan, VlanPolicy::Private { .. }))
    }),
    ("storm-limit", |policy, value| {
        number(value, u32::MAX, "frames a second, 0 for no limit").map(|n| policy.storm_limit = n)
    }),
    ("max-bandwidth", |policy, value| rate(value).map(|rate| policy.bandwidth.maximum = rate)),
    ("min-bandwidth", |policy, value| rate(value).map(|rate| policy.bandwidth.minimum = rate)),
    ("weight", |policy, value| {
        number(value, 100, "a share from 0 to 100")
            .map(|n| policy.bandwidth.weight = u8::try_from(n).unwrap_or(100))
    }),
    ("dhcp-guard", |policy, value| switch(value).map(|on| policy.dhcp_guard = on)),
    ("router-guard", |policy, value| switch(value).map(|on| policy.router_guard = on)),
    ("mirroring", |policy, value| mirroring(value).map(|mirroring| policy.mirroring = mirroring)),
    ("priority-tags", |policy, value| switch(value).map(|on| policy.security.allow_ieee_priority_tag = on)),
    ("teaming", |policy, value| switch(value).map(|on| policy.security.allow_teaming = on)),
    ("acl-idle", |policy, value| {
        number(value, 86_400, "1 to 86400 seconds").map(|n| policy.acl.idle_seconds = n)
    }),
];

/// Keys of which one at most has a value: a port is in VLANs in one way.
const WAYS: [&str; 3] = ["vlan", "trunk", "private-vlan"];

/// Two settings that cannot both be.
pub(super) fn contradiction(list: &[String]) -> Option<(&str, &str)> {
    let of_vlans = |setting: &&String| {
        setting.split_once('=').is_some_and(|(key, value)| WAYS.contains(&key) && value != "none")
    };
    let mut found = list.iter().filter(of_vlans);
    Some((found.next()?, found.next()?))
}

/// Sets what `setting` says; why that is not possible.
pub(super) fn apply(policy: &mut PortPolicy, setting: &str) -> Result<(), String> {
    let (key, value) = setting.split_once('=').ok_or("it is written as key=value, as in dhcp-guard=on")?;
    let known = KEYS.iter().find(|(name, _)| *name == key);
    let (_, set) = known.ok_or_else(|| {
        let names: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
        format!("{key} is no policy that can be set; there are {}", names.join(", "))
    })?;
    set(policy, value)
}

/// Puts the port into the VLANs that `value` says. `none` ends this way of being in VLANs only.
fn set_vlan(
    policy: &mut PortPolicy,
    value: &str,
    read: fn(&str) -> Result<VlanPolicy, String>,
    is_this_way: fn(&VlanPolicy) -> bool,
) -> Result<(), String> {
    if value != "none" {
        policy.vlan = read(value)?;
    } else if is_this_way(&policy.vlan) {
        policy.vlan = VlanPolicy::Untagged;
    }
    Ok(())
}

fn access(value: &str) -> Result<VlanPolicy, String> {
    vlan(value).map(|vlan| vlan_policy(Some(Vlan(vlan)), None))
}

fn trunk(value: &str) -> Result<VlanPolicy, String> {
    let trunk = Trunk::from_list(value)
        .map_err(|reason| format!("{reason}; it is written as all, as in 5,100-200, or as none"))?;
    Ok(vlan_policy(None, Some(&trunk)))
}

/// As in `100:isolated:101`, `100:community:102` or `100:promiscuous:101,102`.
fn private(value: &str) -> Result<VlanPolicy, String> {
    let parts: Vec<&str> = value.split(':').collect();
    let [primary, role, secondary] = parts[..] else {
        return Err(format!(
            "{value:?} is no place in a private VLAN: PRIMARY:isolated:VLAN, PRIMARY:community:VLAN, \
             PRIMARY:promiscuous:VLANS, or none"
        ));
    };
    let role = match role {
        "isolated" => PrivateRole::Isolated(vlan(secondary)?),
        "community" => PrivateRole::Community(vlan(secondary)?),
        "promiscuous" => PrivateRole::Promiscuous(vlan_set(Some(&Trunk::from_list(secondary)?))),
        other => return Err(format!("{other:?} is no role: isolated, community or promiscuous")),
    };
    Ok(VlanPolicy::Private { primary: vlan(primary)?, role })
}

fn vlan(value: &str) -> Result<u16, String> {
    let number = value.parse().ok().filter(|vlan| (1..=4094).contains(vlan));
    number.ok_or_else(|| format!("{value:?} is not a VLAN id: they go from 1 to 4094"))
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("{other:?} is neither on nor off")),
    }
}

fn number(value: &str, most: u32, what: &str) -> Result<u32, String> {
    let number = value.parse().ok().filter(|n| *n <= most);
    number.ok_or_else(|| format!("{value:?} is not possible: {what}"))
}

fn mirroring(value: &str) -> Result<Mirroring, String> {
    match value {
        "none" => Ok(Mirroring::None),
        "source" => Ok(Mirroring::Source),
        "destination" => Ok(Mirroring::Destination),
        other => Err(format!("{other:?} is not possible: none, source or destination")),
    }
}

/// Bits a second, as in `500k`, `10M`, `1G` or `none`.
fn rate(value: &str) -> Result<Option<u64>, String> {
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
