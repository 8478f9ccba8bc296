//! What is said of an adapter on the command line: `key=value`.
//!
//! The keys are the words of `Set-VMNetworkAdapter`, of `ip link set ... vf` and of the configuration, for the same things.

mod values;

use virt_stack::desired::{AdapterMac, AdapterSpec};

use self::values::{
    count, member, mirroring, name, number, private, rate, rate_in_megabits, switch, trunk, unless_none, vlan,
};

/// Sets one member of an adapter's specification from its value.
type Set = fn(&mut AdapterSpec, &str) -> Result<(), String>;

/// A key.
struct Key {
    /// What it is called, the usual name first. `_` may stand for `-`.
    names: &'static [&'static str],
    /// What it takes.
    takes: &'static str,
    set: Set,
}

const fn key(names: &'static [&'static str], takes: &'static str, set: Set) -> Key {
    Key { names, takes, set }
}

/// Keys about the port of an adapter, in the order in which they are listed.
const OF_PORT: &[Key] = &[
    key(&["vlan", "vlan-id", "access-vlan"], "1 to 4094, or none (0)", |spec, value| {
        let vlan = if value == "0" { None } else { unless_none(value, vlan)? };
        leave_other_vlans(spec, vlan.is_some());
        spec.vlan = vlan;
        Ok(())
    }),
    key(&["trunk", "allowed-vlan-id-list"], "all, ids and ranges as in 5,100-200, or none", |spec, value| {
        let trunk = unless_none(value, trunk)?;
        leave_other_vlans(spec, trunk.is_some());
        spec.trunk = trunk;
        Ok(())
    }),
    key(
        &["private-vlan"],
        "PRIMARY:isolated:VLAN, PRIMARY:community:VLAN, PRIMARY:promiscuous:VLANS, or none",
        |spec, value| {
            let private = unless_none(value, private)?;
            leave_other_vlans(spec, private.is_some());
            spec.port.private_vlan = private;
            Ok(())
        },
    ),
    key(&["storm-limit"], "frames a second, 0 for no limit", |spec, value| {
        number(value, u32::MAX, "frames a second, 0 for no limit").map(|n| spec.port.storm_limit = n)
    }),
    key(
        &["max-bandwidth", "maximum-bandwidth"],
        "bits a second as in 500k, 10M, 1G, or none",
        |spec, value| rate(value).map(|rate| spec.port.bandwidth.maximum = rate),
    ),
    key(
        &["min-bandwidth", "minimum-bandwidth-absolute"],
        "bits a second as in 500k, 10M, 1G, or none",
        |spec, value| rate(value).map(|rate| spec.port.bandwidth.minimum = rate),
    ),
    key(&["weight", "minimum-bandwidth-weight"], "share of bandwidth, 0 to 100", |spec, value| {
        number(value, 100, "a share from 0 to 100")
            .map(|n| spec.port.bandwidth.weight = u8::try_from(n).unwrap_or(100))
    }),
    key(&["dhcp-guard"], "on or off", |spec, value| switch(value).map(|on| spec.port.dhcp_guard = on)),
    key(&["router-guard"], "on or off", |spec, value| switch(value).map(|on| spec.port.router_guard = on)),
    key(&["mirroring", "port-mirroring"], "none, source or destination", |spec, value| {
        mirroring(value).map(|mirroring| spec.port.mirroring = mirroring)
    }),
    key(&["priority-tags", "ieee-priority-tag"], "on or off", |spec, value| {
        switch(value).map(|on| spec.port.priority_tags = on)
    }),
    key(&["teaming", "allow-teaming"], "on or off", |spec, value| {
        switch(value).map(|on| spec.port.teaming = on)
    }),
    key(&["acl-idle"], "1 to 86400 seconds", |spec, value| {
        number(value, 86_400, "1 to 86400 seconds").map(|n| spec.port.acl_idle = Some(n))
    }),
];

/// The other keys about an adapter.
const OF_ADAPTER: &[Key] = &[
    key(&["mac", "static-mac-address"], "a unicast address as in 02:00:00:00:00:01", |spec, value| {
        member(value.into()).map(|mac| spec.mac = mac)
    }),
    key(&["iov-weight"], "claim to a VF, 0 (none) to 100", |spec, value| {
        count(value, "a weight from 0 to 100").and_then(member).map(|weight| spec.iov_weight = weight)
    }),
    key(&["iov-queue-pairs", "iov-queue-pairs-requested"], "1, 2, 4 or 8", |spec, value| {
        count(value, "1, 2, 4 or 8").and_then(member).map(|pairs| spec.iov_queue_pairs = pairs)
    }),
    key(&["iov-interrupt-moderation"], "undefined, adaptive, off, low, medium or high", |spec, value| {
        let moderation = member(value.into()).map_err(|_: String| {
            format!("{value:?} is not possible: undefined, adaptive, off, low, medium or high")
        })?;
        spec.iov_interrupt_moderation = moderation;
        Ok(())
    }),
    key(&["vmq-weight"], "claim to a VM queue, 0 (none) to 100", |spec, value| {
        count(value, "a weight from 0 to 100").and_then(member).map(|weight| spec.vmq_weight = weight)
    }),
    key(&["queue-pairs"], "of the synthetic adapter, 1 to 16", |spec, value| {
        count(value, "1 to 16").and_then(member).map(|pairs| spec.queue_pairs = pairs)
    }),
    key(&["mtu"], "68 to 65535, or none", |spec, value| {
        unless_none(value, |value| count(value, "68 to 65535").and_then(member)).map(|mtu| spec.mtu = mtu)
    }),
    key(&["mac-address-spoofing", "trust", "trusted"], "on or off", |spec, value| {
        switch(value).map(|on| spec.trusted = on)
    }),
    key(&["spoofchk"], "on or off; the opposite of trust", |spec, value| {
        switch(value).map(|on| spec.trusted = !on)
    }),
    key(&["max-tx-rate"], "megabits a second, 0 for no limit", |spec, value| {
        rate_in_megabits(value).map(|rate| spec.port.bandwidth.maximum = rate)
    }),
    key(&["min-tx-rate"], "megabits a second, 0 for none", |spec, value| {
        rate_in_megabits(value).map(|rate| spec.port.bandwidth.minimum = rate)
    }),
    key(&["switch", "switch-name"], "name of an extensible switch, or none for the first", |spec, value| {
        unless_none(value, name).map(|name| spec.switch = name)
    }),
    key(&["vhost-user"], "server or client", |spec, value| {
        let role = member(value.into())
            .map_err(|_: String| format!("{value:?} is not possible: server or client"))?;
        spec.vhost_user = role;
        Ok(())
    }),
    key(&["bus"], "a PCIe port of the VM, or none for a free one", |spec, value| {
        spec.bus = Some(value.to_owned()).filter(|value| value != "none");
        Ok(())
    }),
];

/// Keys of which one at most has a value: a port is in VLANs in one way.
const WAYS: [&str; 3] = ["vlan", "trunk", "private-vlan"];

/// What settings are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The port of an adapter, of a VM or of the host.
    Port,
    /// An adapter of a VM: its port as well.
    Adapter,
}

impl About {
    fn keys(self) -> impl Iterator<Item = &'static Key> {
        let of_adapter = if self == Self::Adapter { OF_ADAPTER } else { &[] };
        of_adapter.iter().chain(OF_PORT)
    }

    fn key(self, name: &str) -> Option<&'static Key> {
        let name = name.replace('_', "-");
        self.keys().find(|key| key.names.contains(&name.as_str()))
    }

    /// Whether `setting` has a key that there is.
    pub(crate) fn knows(self, setting: &str) -> bool {
        setting.split_once('=').is_some_and(|(name, _)| self.key(name).is_some())
    }

    /// The keys with what they take, a line each.
    pub(crate) fn list(self) -> String {
        let lines = self.keys().map(|key| format!("  {}: {}", key.names.join(", "), key.takes));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The address of an adapter.
pub(crate) fn mac(value: &str) -> Result<AdapterMac, String> {
    member(value.into())
}

/// Two settings that cannot both be.
pub(crate) fn contradiction(list: &[String]) -> Option<(&str, &str)> {
    let of_vlans = |setting: &&String| {
        setting.split_once('=').is_some_and(|(name, value)| {
            let usual = About::Port.key(name).map(|key| key.names[0]);
            usual.is_some_and(|usual| WAYS.contains(&usual)) && value != "none" && value != "0"
        })
    };
    let mut found = list.iter().filter(of_vlans);
    Some((found.next()?, found.next()?))
}

/// Sets what `setting` says; why that is not possible.
pub(crate) fn apply(spec: &mut AdapterSpec, setting: &str, about: About) -> Result<(), String> {
    let (name, value) = setting.split_once('=').ok_or("it is written as key=value, as in dhcp-guard=on")?;
    let key = about
        .key(name)
        .ok_or_else(|| format!("there is no key {name:?}; those that there are take\n{}", about.list()))?;
    (key.set)(spec, value)
}

/// A port that gets into VLANs in one way leaves those that it was in in another.
fn leave_other_vlans(spec: &mut AdapterSpec, enters: bool) {
    if enters {
        (spec.vlan, spec.trunk, spec.port.private_vlan) = (None, None, None);
    }
}

#[cfg(test)]
mod tests;
