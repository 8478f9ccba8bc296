//! The receive filters of an adapter, whether they stand on VPorts or on VM queues, and what they may be.

use std::collections::BTreeMap;

use ethernet::MacAddr;

use crate::switch::distinct;
use crate::{Filter, FilterId, FilterTest, SwitchError, VlanTest};

/// How many filters and addresses there may be, and of which kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilterBudget {
    pub(crate) max_filters: u32,
    pub(crate) max_mac_addresses: u32,
    /// A filter may test for a VLAN id.
    pub(crate) vlan_supported: bool,
}

/// Filters by id, no two with the same test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FilterTable(BTreeMap<FilterId, Filter>);

impl FilterTable {
    /// Whether a filter may be added; `other_macs` are addresses that count like those of filters.
    pub(crate) fn check_new(
        &self,
        id: FilterId,
        test: FilterTest,
        budget: FilterBudget,
        other_macs: impl Iterator<Item = MacAddr>,
    ) -> Result<(), SwitchError> {
        if id == FilterId::NONE {
            return Err(SwitchError::FilterIdReserved);
        }
        if self.0.contains_key(&id) {
            return Err(SwitchError::FilterExists { filter: id });
        }
        check_test(test, budget.vlan_supported)?;
        if let Some(existing) = self.iter().find(|filter| filter.test == test) {
            return Err(SwitchError::DuplicateFilter { test, existing: existing.id });
        }
        let max = budget.max_filters;
        if self.len() >= usize::try_from(max).unwrap_or(usize::MAX) {
            return Err(SwitchError::NoFreeFilter { max });
        }
        let max = usize::try_from(budget.max_mac_addresses).unwrap_or(usize::MAX);
        check_mac_budget(self.macs().chain(other_macs).chain([test.mac]), max)
    }

    pub(crate) fn insert(&mut self, filter: Filter) {
        self.0.insert(filter.id, filter);
    }

    pub(crate) fn remove(&mut self, id: FilterId) -> Result<Filter, SwitchError> {
        self.0.remove(&id).ok_or(SwitchError::FilterNotFound { filter: id })
    }

    pub(crate) fn get(&self, id: FilterId) -> Option<&Filter> {
        self.0.get(&id)
    }

    /// By ascending id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.0.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The addresses, one for each filter.
    pub(crate) fn macs(&self) -> impl Iterator<Item = MacAddr> + '_ {
        self.iter().map(|filter| filter.test.mac)
    }
}

/// Whether there can be such a filter at all.
pub(crate) fn check_test(test: FilterTest, vlan_supported: bool) -> Result<(), SwitchError> {
    if !test.mac.is_unicast() {
        return Err(SwitchError::FilterMacNotUnicast { mac: test.mac });
    }
    if let VlanTest::Id(vid) = test.vlan {
        if !vlan_supported {
            return Err(SwitchError::VlanNotSupported { vid });
        }
        if !(1..=4094).contains(&vid) {
            return Err(SwitchError::FilterVlanOutOfRange { vid });
        }
    }
    Ok(())
}

/// Distinct addresses of the whole adapter.
pub(crate) fn check_mac_budget(macs: impl Iterator<Item = MacAddr>, max: usize) -> Result<(), SwitchError> {
    let asked = distinct(macs);
    if asked > max { Err(SwitchError::NoFreeMac { asked, max }) } else { Ok(()) }
}
