//! The adapter that a configuration describes.

use dataplane::Extent;
use miniport::{Adapter, AdapterConfig, Keywords, SwitchCreation};
use nic_switch::{Capabilities, SwitchParameters};
use pcie::{PfProfile, PfStorage, PhysicalFunction, Rid};
use vf82599::VfState;

use super::error::DaemonError;
use crate::config::{Config, UplinkConfig};

/// The adapter whose VFs have these states.
pub(super) fn make_adapter(config: &Config, states: &[VfState]) -> Result<Adapter, DaemonError> {
    let profile = PfProfile::x550(config.adapter.total_vfs.0, config.adapter.vf_model.profile().function());
    let storage = PfStorage {
        physical: sys::Words::heap(pcie::ConfigSpace::WORDS),
        virtuals: states.iter().map(VfState::config_words).collect(),
    };
    let rid = Rid::new(1, 0, 0).expect("01:00.0 is a function");
    let function = PhysicalFunction::create(rid, &profile, storage)?;
    let adapter = AdapterConfig {
        keywords: Keywords { sriov: config.adapter.sriov, ..Keywords::default() },
        capabilities: capabilities(config),
        switch: SwitchParameters {
            num_vfs: config.num_vfs(),
            queue_pairs_for_default_vport: 1,
            name: "Default Switch".to_owned(),
        },
        creation: SwitchCreation::Dynamic,
        physical_port: !matches!(config.uplink, UplinkConfig::None),
        luid: 1,
    };
    Ok(Adapter::initialize(adapter, function)?.0)
}

/// How many ports of each kind there can be.
pub(super) fn extent(config: &Config) -> Extent {
    let of_vms: usize = config.vms.iter().map(|vm| vm.adapters.len()).sum();
    let of_host = config.switches.iter().map(|switch| switch.hosts.len()).sum::<usize>();
    Extent { vports: capabilities(config).max_vports as usize, nics: of_vms + of_host }
}

/// What the NIC switch of such an adapter can do: enough of everything for each VF to have all it may ask for.
pub(super) fn capabilities(config: &Config) -> Capabilities {
    let vfs = u32::from(config.adapter.total_vfs.0);
    // The data path knows VM queues as VPorts.
    let vports = match config.adapter.sriov {
        true => 1 + vfs + config.adapter.pf_vports,
        false => 1 + vfs.max(config.adapter.vm_queues),
    };
    Capabilities {
        max_vfs: config.adapter.total_vfs.0,
        max_vports: vports,
        max_queue_pairs: 8 * vports,
        max_queue_pairs_per_nondefault_vport: 8,
        max_queue_pairs_for_default_vport: 8,
        max_mac_addresses: 16 * vports,
        max_filters: 64 * vports,
        vlan_supported: true,
        per_vport_interrupt_moderation: true,
        asymmetric_queue_pairs: true,
        vf_rss: true,
        single_vport_pool: config.adapter.single_vport_pool,
    }
}
