//! What the tests of several modules share.

pub(crate) mod operation;

use ethernet::MacAddr;

use crate::{
    Capabilities, FilterId, FilterTest, FunctionId, InterruptModeration, NicSwitch, PortSecurity,
    ProcessorAffinity, ReceiveMode, SwitchError, SwitchParameters, VPortChanges, VPortId, VPortParameters,
    VPortState, VfId, VfParameters, VlanTest,
};

/// The `n`-th station.
pub(crate) fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

/// A test of the `n`-th station's address.
pub(crate) fn test(n: u8, vlan: VlanTest) -> FilterTest {
    FilterTest { mac: mac(n), vlan }
}

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        max_vfs: 4,
        max_vports: 8,
        max_queue_pairs: 16,
        max_queue_pairs_per_nondefault_vport: 4,
        max_queue_pairs_for_default_vport: 4,
        max_mac_addresses: 16,
        max_filters: 32,
        vlan_supported: true,
        per_vport_interrupt_moderation: true,
        asymmetric_queue_pairs: false,
        vf_rss: true,
        single_vport_pool: false,
    }
}

pub(crate) fn create(capabilities: Capabilities) -> NicSwitch {
    let num_vfs = capabilities.max_vfs;
    let parameters = SwitchParameters { num_vfs, queue_pairs_for_default_vport: 1, name: "switch".into() };
    NicSwitch::create(capabilities, parameters).unwrap()
}

pub(crate) fn vf_parameters() -> VfParameters {
    VfParameters {
        permanent_mac: MacAddr::ZERO,
        current_mac: MacAddr::ZERO,
        vm_name: "vm".into(),
        vm_friendly_name: "VM".into(),
        nic_name: "nic".into(),
    }
}

pub(crate) fn vport_parameters(id: u32, function: FunctionId) -> VPortParameters {
    VPortParameters {
        id: VPortId(id),
        function,
        queue_pairs: 1,
        interrupt_moderation: InterruptModeration::Undefined,
        affinity: (function == FunctionId::Pf).then_some(ProcessorAffinity { group: 0, mask: 1 }),
        name: "port".into(),
    }
}

/// A switch to which VPorts are added in one line each.
#[derive(Debug, Clone)]
pub(crate) struct Lab {
    pub(crate) switch: NicSwitch,
    last_filter: u32,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(capabilities())
    }

    pub(crate) fn with(capabilities: Capabilities) -> Self {
        Self { switch: create(capabilities), last_filter: 0 }
    }

    /// Adds a VF with its VPort and these filters.
    pub(crate) fn vf(&mut self, vport: u32, tests: &[FilterTest]) -> VfId {
        let vf = self.switch.allocate_vf(vf_parameters()).unwrap();
        self.switch.create_vport(vport_parameters(vport, FunctionId::Vf(vf))).unwrap();
        self.filters(vport, tests);
        vf
    }

    /// Adds a deactivated VPort of the PF with these filters.
    pub(crate) fn pf_vport(&mut self, vport: u32, tests: &[FilterTest]) {
        self.switch.create_vport(vport_parameters(vport, FunctionId::Pf)).unwrap();
        self.filters(vport, tests);
    }

    pub(crate) fn activate(&mut self, vport: u32) {
        let changes = VPortChanges { state: Some(VPortState::Activated), ..VPortChanges::default() };
        self.switch.update_vport(VPortId(vport), changes).unwrap();
    }

    pub(crate) fn filters(&mut self, vport: u32, tests: &[FilterTest]) {
        for &test in tests {
            self.filter(vport, test).unwrap();
        }
    }

    pub(crate) fn filter(&mut self, vport: u32, test: FilterTest) -> Result<FilterId, SwitchError> {
        self.last_filter += 1;
        let id = FilterId(self.last_filter);
        self.switch.set_filter(id, VPortId(vport), test).map(|()| id)
    }

    pub(crate) fn secure(&mut self, vport: u32, change: impl FnOnce(&mut PortSecurity)) {
        let mut security = self.switch.vport(VPortId(vport)).unwrap().security().clone();
        change(&mut security);
        self.switch.set_port_security(VPortId(vport), security).unwrap();
    }

    pub(crate) fn receive(&mut self, vport: u32, change: impl FnOnce(&mut ReceiveMode)) {
        let mut mode = self.switch.vport(VPortId(vport)).unwrap().receive_mode().clone();
        change(&mut mode);
        self.switch.set_receive_mode(VPortId(vport), mode).unwrap();
    }
}
