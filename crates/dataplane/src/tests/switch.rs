//! A NIC switch for the tests and the benchmark: VFs with an address each.

use ethernet::MacAddr;
use nic_switch::{
    Capabilities, FilterId, FilterTest, Forwarding, FunctionId, InterruptModeration, NicSwitch,
    SwitchParameters, VPortId, VPortParameters, VfParameters, VlanTest,
};

/// The address of VPort number `vport`.
pub fn mac(vport: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, u8::try_from(vport).unwrap()])
}

pub fn capabilities() -> Capabilities {
    Capabilities {
        max_vfs: 15,
        max_vports: 16,
        max_queue_pairs: 64,
        max_queue_pairs_per_nondefault_vport: 4,
        max_queue_pairs_for_default_vport: 4,
        max_mac_addresses: 64,
        max_filters: 64,
        vlan_supported: true,
        per_vport_interrupt_moderation: false,
        asymmetric_queue_pairs: true,
        vf_rss: true,
        single_vport_pool: false,
    }
}

/// What a worker decides by: [`forwarding`], and no extensible switch.
pub fn snapshot(vports: usize) -> crate::Snapshot {
    let extent = crate::Extent { vports: capabilities().max_vports as usize, nics: 0 };
    crate::Snapshot::new(extent, forwarding(vports))
}

/// What a switch with VFs on the VPorts 1 to `vports` decides by.
pub fn forwarding(vports: usize) -> Forwarding {
    nic_switch(vports).snapshot(false)
}

/// A switch with VFs on the VPorts 1 to `vports`, each with a filter of its number.
pub fn nic_switch(vports: usize) -> NicSwitch {
    let capabilities = capabilities();
    let parameters = SwitchParameters {
        num_vfs: capabilities.max_vfs,
        queue_pairs_for_default_vport: 1,
        name: "switch".into(),
    };
    let mut switch = NicSwitch::create(capabilities, parameters).unwrap();
    for vport in 1..=vports {
        let name = || "name".to_owned();
        let vf = VfParameters {
            permanent_mac: mac(vport),
            current_mac: mac(vport),
            vm_name: name(),
            vm_friendly_name: name(),
            nic_name: name(),
        };
        let function = FunctionId::Vf(switch.allocate_vf(vf).unwrap());
        let number = u32::try_from(vport).unwrap();
        let id = VPortId(number);
        let interrupt_moderation = InterruptModeration::Undefined;
        let parameters = VPortParameters {
            id,
            function,
            queue_pairs: 1,
            interrupt_moderation,
            affinity: None,
            name: name(),
        };
        switch.create_vport(parameters).unwrap();
        let test = FilterTest { mac: mac(vport), vlan: VlanTest::UntaggedOrZero };
        switch.set_filter(FilterId(number), id, test).unwrap();
    }
    switch
}
