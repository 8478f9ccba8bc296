//! The adapter that a configuration describes.

use dataplane::Extent;
use miniport::{Adapter, AdapterConfig, Keywords, OidRequest, SwitchCreation};
use nic_switch::{Capabilities, SwitchParameters, VPortId};
use pcie::{PfProfile, PfStorage, PhysicalFunction, Rid};
use vf82599::VfState;
use virt_stack::Budgets;

use super::adapter::{AdapterService, STACK};
use super::error::{DaemonError, StackError};
use super::members::filter_test;
use super::switchboard::host_adapters;
use crate::config::{Config, SwitchKind, UplinkConfig};

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
    let nics = config.hosts() as usize + config.daemon.max_adapters as usize;
    Extent { vports: capabilities(config).max_vports as usize, nics }
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

/// What the NIC has for VFs, if all that the PF may have is set aside for it.
pub(super) fn budgets(config: &Config) -> Budgets {
    let capabilities = capabilities(config);
    Budgets {
        enabled_vfs: if config.adapter.sriov { config.num_vfs() } else { 0 },
        pf_vports: 0,
        pf_queue_pairs: 1,
        pf_vport_queue_pairs: None,
        capabilities,
    }
}

/// What VFs send to the host is not for the wire: its addresses have receive filters on the default VPort.
pub(super) fn set_host_filters(config: &Config, adapter: &AdapterService) -> Result<(), StackError> {
    let switches = config.switches();
    let above = |switch: usize| switches[switch].kind == SwitchKind::External;
    for (_, host) in host_adapters(config).filter(|(switch, _)| above(*switch)) {
        let test = filter_test(host.address(), &host.policy());
        adapter.request(STACK, OidRequest::SetFilter { vport: VPortId::DEFAULT, test })?;
    }
    Ok(())
}
