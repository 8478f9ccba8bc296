//! The control side: the state of the NIC switch and every request that changes it.

mod filters;
mod ports;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

use crate::filter_table::FilterTable;
use crate::{
    Capabilities, Filter, Forwarding, FunctionId, InterruptModeration, PortSecurity, ReceiveMode,
    SwitchError, VPort, VPortId, VPortState, Vf, VfId, VfParameters, VlanTest,
};

/// The longest name of anything, in UTF-16 units (`NDIS_IF_COUNTED_STRING`).
pub const MAX_NAME_UNITS: usize = 256;

/// How a switch is created, `NDIS_NIC_SWITCH_PARAMETERS` (`spec/ndis.md` B.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchParameters {
    /// `NumVFs`: VFs that may be allocated, at most `max_vfs`.
    pub num_vfs: u16,
    /// `NumQueuePairsForDefaultVPort`: fixed for the life of the switch.
    pub queue_pairs_for_default_vport: u32,
    /// `SwitchFriendlyName`, opaque; at most [`MAX_NAME_UNITS`] UTF-16 units.
    pub name: String,
}

/// The switch in numbers, `NDIS_NIC_SWITCH_INFO` (`spec/ndis.md` B.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SwitchInfo {
    /// `NumVFs`.
    pub num_vfs: u16,
    /// `NumAllocatedVFs`.
    pub num_allocated_vfs: usize,
    /// `NumVPorts`: VPorts that can be created, the default one included.
    pub num_vports: u32,
    /// `NumActiveVPorts`: VPorts in the state Activated, the default one included.
    pub num_active_vports: usize,
    /// `NumQueuePairsForDefaultVPort`.
    pub num_queue_pairs_for_default_vport: u32,
    /// `NumQueuePairsForNonDefaultVPorts`: those in use, of all nondefault VPorts together.
    pub num_queue_pairs_for_nondefault_vports: u32,
    /// Distinct addresses of filters on the default VPort.
    pub num_default_vport_macs: usize,
    /// Distinct addresses of filters on nondefault VPorts and of extra addresses granted there.
    pub num_nondefault_vport_macs: usize,
    /// Distinct VLAN ids of filters on the default VPort.
    pub num_default_vport_vlans: usize,
    /// Distinct VLAN ids of filters on nondefault VPorts.
    pub num_nondefault_vport_vlans: usize,
}

/// The NIC switch of an adapter: its VFs, VPorts and receive filters.
///
/// Every request either takes place wholly or is refused with a [`SwitchError`] and changes nothing. What the frames
/// obey is a [`Forwarding`] made by [`NicSwitch::snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicSwitch {
    capabilities: Capabilities,
    num_vfs: u16,
    name: String,
    generation: u64,
    vf_generation: u64,
    vfs: BTreeMap<VfId, Vf>,
    /// Always contains the default VPort.
    vports: BTreeMap<VPortId, VPort>,
    filters: FilterTable,
}

impl NicSwitch {
    /// Creates the switch with its default VPort attached to the PF and activated.
    ///
    /// # Errors
    /// Invalid `capabilities`, or `parameters` beyond them.
    pub fn create(capabilities: Capabilities, parameters: SwitchParameters) -> Result<Self, SwitchError> {
        capabilities.validate()?;
        check_num_vfs(&capabilities, parameters.num_vfs)?;
        check_name(&parameters.name)?;
        let (asked, max) =
            (parameters.queue_pairs_for_default_vport, capabilities.max_queue_pairs_for_default_vport);
        if !(1..=max).contains(&asked) {
            return Err(SwitchError::QueuePairsOutOfRange { vport: VPortId::DEFAULT, asked, max });
        }
        if asked > capabilities.max_queue_pairs {
            return Err(SwitchError::NoFreeQueuePairs { asked, free: capabilities.max_queue_pairs });
        }
        let default_vport = VPort {
            id: VPortId::DEFAULT,
            function: FunctionId::Pf,
            queue_pairs: asked,
            interrupt_moderation: InterruptModeration::Undefined,
            affinity: None,
            name: String::new(),
            state: VPortState::Activated,
            security: PortSecurity::default(),
            receive_mode: ReceiveMode::default(),
        };
        Ok(Self {
            capabilities,
            num_vfs: parameters.num_vfs,
            name: parameters.name,
            generation: 0,
            vf_generation: 0,
            vfs: BTreeMap::new(),
            vports: BTreeMap::from([(VPortId::DEFAULT, default_vport)]),
            filters: FilterTable::default(),
        })
    }

    /// Whether the switch may be deleted, that is dropped: nothing but its default VPort stands.
    ///
    /// # Errors
    /// [`SwitchError::SwitchInUse`] with what still stands.
    pub fn check_deletable(&self) -> Result<(), SwitchError> {
        let (vfs, vports, filters) = (self.vfs.len(), self.vports.len() - 1, self.filters.len());
        if vfs + vports + filters > 0 {
            return Err(SwitchError::SwitchInUse { vfs, vports, filters });
        }
        Ok(())
    }

    /// What the switch can do.
    #[must_use]
    pub const fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Its opaque name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renames the switch, `SWITCH_NAME_CHANGED`.
    ///
    /// # Errors
    /// A name that is too long.
    pub fn set_name(&mut self, name: String) -> Result<(), SwitchError> {
        check_name(&name)?;
        self.name = name;
        Ok(())
    }

    /// VFs that may be allocated.
    #[must_use]
    pub const fn num_vfs(&self) -> u16 {
        self.num_vfs
    }

    /// Sets how many VFs may be allocated from now on.
    ///
    /// VFs in use are not disturbed, even those whose number is no longer below `num_vfs`; freed, they do not return.
    ///
    /// # Errors
    /// More than `max_vfs`.
    pub fn set_num_vfs(&mut self, num_vfs: u16) -> Result<(), SwitchError> {
        check_num_vfs(&self.capabilities, num_vfs)?;
        self.num_vfs = num_vfs;
        Ok(())
    }

    /// A number that grows with every change of what [`NicSwitch::snapshot`] depends on.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The switch in numbers.
    #[must_use]
    pub fn info(&self) -> SwitchInfo {
        let on_default = |filter: &&Filter| filter.vport == VPortId::DEFAULT;
        let elsewhere = |filter: &&Filter| filter.vport != VPortId::DEFAULT;
        let mut nondefault_macs: BTreeSet<_> = self.filters().filter(elsewhere).map(|f| f.test.mac).collect();
        nondefault_macs.extend(self.granted_macs());
        SwitchInfo {
            num_vfs: self.num_vfs,
            num_allocated_vfs: self.vfs.len(),
            num_vports: self.capabilities.max_vports,
            num_active_vports: self.vports().filter(|vport| vport.state == VPortState::Activated).count(),
            num_queue_pairs_for_default_vport: self.vports[&VPortId::DEFAULT].queue_pairs,
            num_queue_pairs_for_nondefault_vports: self
                .nondefault_vports()
                .map(|vport| vport.queue_pairs)
                .sum(),
            num_default_vport_macs: distinct(self.filters().filter(on_default).map(|f| f.test.mac)),
            num_nondefault_vport_macs: nondefault_macs.len(),
            num_default_vport_vlans: distinct(self.filters().filter(on_default).filter_map(vlan_id)),
            num_nondefault_vport_vlans: distinct(self.filters().filter(elsewhere).filter_map(vlan_id)),
        }
    }

    /// Allocates the lowest free VF. It has no VPort yet.
    ///
    /// # Errors
    /// No VF free, a name too long, or a group address.
    pub fn allocate_vf(&mut self, parameters: VfParameters) -> Result<VfId, SwitchError> {
        for name in [&parameters.vm_name, &parameters.vm_friendly_name, &parameters.nic_name] {
            check_name(name)?;
        }
        for mac in [parameters.permanent_mac, parameters.current_mac] {
            if mac.is_multicast() {
                return Err(SwitchError::VfMacMulticast { mac });
            }
        }
        let id = (0..self.num_vfs)
            .map(VfId)
            .find(|id| !self.vfs.contains_key(id))
            .ok_or(SwitchError::NoFreeVf { num_vfs: self.num_vfs })?;
        self.vf_generation += 1;
        self.vfs.insert(id, Vf { id, generation: self.vf_generation, parameters });
        Ok(id)
    }

    /// Frees a VF and returns what it was.
    ///
    /// # Errors
    /// The VF is not allocated, or a VPort is attached to it.
    pub fn free_vf(&mut self, vf: VfId) -> Result<Vf, SwitchError> {
        if let Some(vport) = self.vport_of_vf(vf) {
            return Err(SwitchError::VfInUse { vf, vport: vport.id });
        }
        self.vfs.remove(&vf).ok_or(SwitchError::VfNotFound { vf })
    }

    /// The VF, if it is allocated.
    #[must_use]
    pub fn vf(&self, vf: VfId) -> Option<&Vf> {
        self.vfs.get(&vf)
    }

    /// The allocated VFs, by ascending id.
    pub fn vfs(&self) -> impl Iterator<Item = &Vf> {
        self.vfs.values()
    }

    /// The forwarding state for the data path, to be replaced whole when [`NicSwitch::generation`] has grown.
    ///
    /// `physical_port`: whether the adapter has one; without it, frames that no filter matches go to the default VPort
    /// only.
    #[must_use]
    pub fn snapshot(&self, physical_port: bool) -> Forwarding {
        Forwarding::compile(self, physical_port)
    }

    /// Marks that the forwarding state has changed.
    const fn touch(&mut self) {
        self.generation += 1;
    }

    fn nondefault_vports(&self) -> impl Iterator<Item = &VPort> {
        self.vports().filter(|vport| vport.id != VPortId::DEFAULT)
    }

    /// The extra unicast addresses of all VPorts.
    fn granted_macs(&self) -> impl Iterator<Item = MacAddr> {
        self.vports().flat_map(|vport| vport.receive_mode.unicast.iter().copied())
    }
}

pub(crate) fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> usize {
    items.collect::<BTreeSet<_>>().len()
}

fn vlan_id(filter: &Filter) -> Option<u16> {
    match filter.test.vlan {
        VlanTest::Id(vid) => Some(vid),
        VlanTest::Any | VlanTest::UntaggedOrZero => None,
    }
}

fn check_num_vfs(capabilities: &Capabilities, asked: u16) -> Result<(), SwitchError> {
    let max = capabilities.max_vfs;
    if asked > max {
        return Err(SwitchError::TooManyVfs { asked, max });
    }
    Ok(())
}

/// Names are opaque, yet they cost memory and must fit the structures of NDIS.
pub(crate) fn check_name(name: &str) -> Result<(), SwitchError> {
    let units = name.encode_utf16().count();
    if units > MAX_NAME_UNITS {
        return Err(SwitchError::NameTooLong { units });
    }
    Ok(())
}
