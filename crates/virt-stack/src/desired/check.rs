//! What only shows when the whole is looked at.

use std::collections::{BTreeMap, BTreeSet};

use ethernet::MacAddr;
use vswitch::InvalidPolicy;

use super::{Name, VmSpec};

/// Why virtual machines cannot be as they are wanted.
#[derive(Debug, thiserror::Error)]
pub enum Conflict {
    /// Two of a name.
    #[error("two VMs are called {0}: names must differ")]
    TwoVms(Name),
    /// Two adapters of one machine of a name.
    #[error("VM {vm} has two adapters called {adapter}: names must differ")]
    TwoAdapters {
        /// The machine.
        vm: Name,
        /// What both are called.
        adapter: Name,
    },
    /// Two of an address.
    #[error("{first} and {second} both have the address {mac}: addresses must differ")]
    TwoAddresses {
        /// Who has it.
        first: String,
        /// Who has it, too.
        second: String,
        /// The address.
        mac: MacAddr,
    },
    /// An access port, or a trunk.
    #[error("{0} has both vlan and trunk: it is an access port or a trunk, not both")]
    AccessAndTrunk(String),
    /// More than one kind of VLAN.
    #[error("{0} has private_vlan besides vlan or trunk: one of them at most")]
    PrivateAndOther(String),
    /// No such switch.
    #[error("{adapter} is on switch {switch}, which there is not: there are {known}")]
    NoSwitch {
        /// The adapter.
        adapter: String,
        /// The switch that it names.
        switch: Name,
        /// Those that there are.
        known: String,
    },
    /// Policies that cannot be.
    #[error("{adapter}: {source}")]
    Policy {
        /// The adapter.
        adapter: String,
        /// What is wrong.
        source: InvalidPolicy,
    },
}

/// Checks that `vms` fit each other, the switches called `switches`, and the addresses that others have `taken`, each with
/// who that is.
///
/// # Errors
/// The first conflict, with the names involved.
pub fn check(
    vms: &[VmSpec],
    switches: &[Name],
    taken: impl IntoIterator<Item = (MacAddr, String)>,
) -> Result<(), Conflict> {
    let mut macs: BTreeMap<MacAddr, String> = taken.into_iter().collect();
    let mut names = BTreeSet::new();
    for vm in vms {
        if !names.insert(&vm.name) {
            return Err(Conflict::TwoVms(vm.name.clone()));
        }
        let mut adapters = BTreeSet::new();
        for (name, adapter) in vm.named_adapters() {
            let full = format!("{}/{name}", vm.name);
            if !adapters.insert(name.clone()) {
                return Err(Conflict::TwoAdapters { vm: vm.name.clone(), adapter: name });
            }
            let mac = adapter.mac.0;
            if let Some(first) = macs.insert(mac, full.clone()) {
                return Err(Conflict::TwoAddresses { first, second: full, mac });
            }
            if adapter.vlan.is_some() && adapter.trunk.is_some() {
                return Err(Conflict::AccessAndTrunk(full));
            }
            if adapter.port.private_vlan.is_some() && (adapter.vlan.is_some() || adapter.trunk.is_some()) {
                return Err(Conflict::PrivateAndOther(full));
            }
            if let Some(switch) = adapter.switch.as_ref().filter(|switch| !switches.contains(switch)) {
                let known = switches.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
                return Err(Conflict::NoSwitch { adapter: full, switch: switch.clone(), known });
            }
            adapter.policy().validate().map_err(|source| Conflict::Policy { adapter: full, source })?;
        }
    }
    Ok(())
}
