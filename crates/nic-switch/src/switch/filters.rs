//! Receive filters and the addresses of the whole switch (`spec/ndis.md` A.4, B.6).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use ethernet::MacAddr;

use super::NicSwitch;
use crate::filter_table::{FilterBudget, check_mac_budget};
use crate::{Filter, FilterId, FilterTest, ReceiveMode, SwitchError, VPort, VPortId};

impl NicSwitch {
    /// Sets a filter on a VPort under an id that the caller (the NDIS layer) chose.
    ///
    /// If a guest was granted the filter's address as an extra one of another VPort, it loses it: the stack's word
    /// counts more.
    ///
    /// # Errors
    /// An id that is reserved or taken; no such VPort; a test that is invalid, or that a filter has already; a second
    /// filter for the address on a nondefault VPort; filters or addresses used up.
    pub fn set_filter(&mut self, id: FilterId, vport: VPortId, test: FilterTest) -> Result<(), SwitchError> {
        self.vport(vport).ok_or(SwitchError::VPortNotFound { vport })?;
        let budget = FilterBudget {
            max_filters: self.capabilities.max_filters,
            max_mac_addresses: self.capabilities.max_mac_addresses,
            vlan_supported: self.capabilities.vlan_supported,
        };
        self.filters.check_new(id, test, budget, self.granted_macs())?;
        self.check_one_filter_for_mac(vport, test.mac)?;

        self.filters.insert(Filter { id, vport, test });
        self.withdraw_extra_mac(vport, test.mac);
        self.touch();
        Ok(())
    }

    /// Clears a filter and returns what it was.
    ///
    /// # Errors
    /// No such filter.
    pub fn clear_filter(&mut self, id: FilterId) -> Result<Filter, SwitchError> {
        let filter = self.filters.remove(id)?;
        self.touch();
        Ok(filter)
    }

    /// Moves a filter from one VPort to another in one step: there is no state in which it stands on both or neither.
    ///
    /// # Errors
    /// No such filter or destination; a filter that does not stand on `from`; a second filter for the address on a
    /// nondefault VPort. The filter then still stands where it stood.
    pub fn move_filter(&mut self, id: FilterId, from: VPortId, to: VPortId) -> Result<(), SwitchError> {
        let filter = *self.filter(id).ok_or(SwitchError::FilterNotFound { filter: id })?;
        let (on, mac) = (filter.vport, filter.test.mac);
        if on != from {
            return Err(SwitchError::FilterNotOnSource { filter: id, on, from });
        }
        self.vport(to).ok_or(SwitchError::VPortNotFound { vport: to })?;
        if from != to {
            self.check_one_filter_for_mac(to, mac)?;
        }

        self.filters.insert(Filter { vport: to, ..filter });
        self.withdraw_extra_mac(to, mac);
        self.touch();
        Ok(())
    }

    /// The filter, if it exists.
    #[must_use]
    pub fn filter(&self, id: FilterId) -> Option<&Filter> {
        self.filters.get(id)
    }

    /// All filters, by ascending id.
    pub fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters.iter()
    }

    /// The filters that stand on a VPort, by ascending id.
    pub fn filters_on(&self, vport: VPortId) -> impl Iterator<Item = &Filter> {
        self.filters().filter(move |filter| filter.vport == vport)
    }

    /// On a nondefault VPort the filter of an address says in which VLAN its guest sends, so there can be but one. The
    /// default VPort stands for many adapters and tags its frames itself.
    fn check_one_filter_for_mac(&self, vport: VPortId, mac: MacAddr) -> Result<(), SwitchError> {
        if vport == VPortId::DEFAULT {
            return Ok(());
        }
        match self.filters_on(vport).find(|filter| filter.test.mac == mac) {
            Some(existing) => Err(SwitchError::SecondFilterForMac { mac, vport, existing: existing.id }),
            None => Ok(()),
        }
    }

    /// Checks the extra addresses that a VPort is to have instead of its present ones.
    pub(super) fn check_extra_macs(&self, vport: VPortId, macs: &[MacAddr]) -> Result<(), SwitchError> {
        let (asked, max) = (macs.len(), ReceiveMode::MAX_UNICAST);
        if asked > max {
            return Err(SwitchError::TooManyUnicast { asked, max });
        }
        for &mac in macs {
            if !mac.is_unicast() {
                return Err(SwitchError::ExtraMacNotUnicast { mac });
            }
            if let Some(owner) = self.owner_beside(vport, mac) {
                return Err(SwitchError::ExtraMacTaken { mac, vport, owner });
            }
        }
        let others = self.vports().filter(|other| other.id != vport);
        let extra = others.flat_map(|other| &other.receive_mode.unicast).chain(macs).copied();
        let extra: BTreeSet<_> = extra.collect();
        // Guests must not use up what the stack needs: an address for each VPort is kept for its filters.
        let kept = usize::try_from(self.capabilities.max_vports).unwrap_or(usize::MAX);
        check_mac_budget(extra.iter().copied(), self.max_macs().saturating_sub(kept))?;
        check_mac_budget(self.filters.macs().chain(extra), self.max_macs())
    }

    /// Another VPort that has `mac`, in whatever VLAN.
    fn owner_beside(&self, vport: VPortId, mac: MacAddr) -> Option<VPortId> {
        let filter = self.filters().find(|filter| filter.vport != vport && filter.test.mac == mac);
        filter.map(|filter| filter.vport).or_else(|| {
            let has = |other: &&VPort| other.id != vport && other.receive_mode.unicast.contains(&mac);
            self.vports().find(has).map(|other| other.id)
        })
    }

    fn withdraw_extra_mac(&mut self, owner: VPortId, mac: MacAddr) {
        for vport in self.vports.values_mut().filter(|vport| vport.id != owner) {
            vport.receive_mode.unicast.retain(|&extra| extra != mac);
        }
    }

    fn max_macs(&self) -> usize {
        usize::try_from(self.capabilities.max_mac_addresses).unwrap_or(usize::MAX)
    }
}
