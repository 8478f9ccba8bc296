//! The addresses that the switch knows without learning (`softiov fdb`).

use ethernet::MacAddr;
use serde::Serialize;

use super::VSwitch;
use crate::{InvalidPolicy, NicState, PortId, SwitchError, VlanPolicy};

/// The most static addresses of a switch.
pub const MAX_STATIC_ADDRESSES: usize = 1024;

/// Why an address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressOrigin {
    /// It is that of the port's NIC.
    Own,
    /// It was set.
    Static,
    /// A worker saw it there.
    Learned,
}

/// A station and its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Its address.
    pub mac: MacAddr,
    /// Its VLAN, 0 for none; `None` for all of a trunk.
    pub vlan: Option<u16>,
    /// Where it is.
    pub port: PortId,
    /// Why that is known.
    pub origin: AddressOrigin,
}

impl VSwitch {
    /// Sets a static address: a station that is not learned and does not age. One that is there already moves.
    ///
    /// # Errors
    /// No such port, a VLAN id or an address out of range, the address of another port's NIC, or no room.
    pub fn set_static_address(&mut self, vlan: u16, mac: MacAddr, port: PortId) -> Result<(), SwitchError> {
        self.existing(port)?;
        if vlan > 4094 {
            return Err(InvalidPolicy::Vlan { vlan, what: "VLAN of a static address", min: 0 }.into());
        }
        if !mac.is_unicast() {
            return Err(SwitchError::MacInvalid { mac });
        }
        let owner = self.ports().find(|other| other.current_mac() == Some(mac) && other.id != port);
        if let Some(owner) = owner {
            return Err(SwitchError::MacInUse { mac, port: owner.id });
        }
        let new = !self.static_addresses.contains_key(&(vlan, mac));
        if new && self.static_addresses.len() >= MAX_STATIC_ADDRESSES {
            return Err(SwitchError::StaticTableFull);
        }
        self.static_addresses.insert((vlan, mac), port);
        self.touch();
        Ok(())
    }

    /// Removes a static address.
    ///
    /// # Errors
    /// There is no such address.
    pub fn remove_static_address(&mut self, vlan: u16, mac: MacAddr) -> Result<(), SwitchError> {
        self.static_addresses.remove(&(vlan, mac)).ok_or(SwitchError::StaticNotFound { mac, vlan })?;
        self.touch();
        Ok(())
    }

    /// The addresses of the NICs, then the static ones; what is learned is in [`crate::Learning::entries`].
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        let own = self.ports().filter_map(|port| {
            let nic = port.nic().filter(|nic| nic.state() != NicState::Disconnected)?;
            let mac = nic.parameters().current_mac(&port.policy.security);
            let vlan = match port.policy.vlan {
                VlanPolicy::Untagged => Some(0),
                VlanPolicy::Access(vlan) => Some(vlan),
                VlanPolicy::Trunk { .. } => None,
                VlanPolicy::Private { primary, .. } => Some(primary),
            };
            let address = Address { mac, vlan, port: port.id, origin: AddressOrigin::Own };
            (!mac.is_zero()).then_some(address)
        });
        let fixed = self.static_addresses.iter().map(|(&(vlan, mac), &port)| Address {
            mac,
            vlan: Some(vlan),
            port,
            origin: AddressOrigin::Static,
        });
        own.chain(fixed)
    }
}

impl From<crate::Learned> for Address {
    fn from(learned: crate::Learned) -> Self {
        let crate::Learned { mac, vlan, port } = learned;
        Self { mac, vlan: Some(vlan), port, origin: AddressOrigin::Learned }
    }
}
