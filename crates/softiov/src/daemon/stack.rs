//! Who gets a VF, and the OID requests that give it.
//!
//! The heavier adapter first, of equal ones the one that stands first in the configuration. An adapter without a VF
//! is told why.

use std::sync::Arc;

use miniport::{Action, NewVPort, OidRequest};
use nic_switch::{
    FilterTest, FunctionId, InterruptModeration, PortSecurity, VfId, VfParameters, VlanSet, VlanTest,
};

use super::adapter::{AdapterService, OidError, STACK};
use super::vf::VfSpec;
use crate::config::{Config, Name, Trunk, VmAdapterConfig};

/// Why VFs could not be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error(transparent)]
    Oid(#[from] OidError),
    /// The miniport said SUCCESS, but not what came of it.
    #[error("{0} succeeded without a result")]
    Silent(&'static str),
}

/// A VM network adapter and its VF, or why it has none.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) vm: Name,
    pub(crate) name: Name,
    pub(crate) config: VmAdapterConfig,
    pub(crate) vf: Result<VfSpec, String>,
}

/// Gives VFs to the adapters of `config`. An OID request that fails for another reason than a lack of VFs ends it:
/// the configuration asks for something that the adapter does not have.
pub(crate) fn place(config: &Config, adapter: &AdapterService) -> Result<Vec<Placement>, StackError> {
    let mut placements: Vec<Placement> = Vec::new();
    for vm in &config.vms {
        for (name, adapter) in vm.named_adapters() {
            let vf = Err("iov_weight is 0".to_owned());
            placements.push(Placement { vm: vm.name.clone(), name, config: adapter.clone(), vf });
        }
    }
    let mut order: Vec<usize> =
        (0..placements.len()).filter(|n| placements[*n].config.iov_weight.0 > 0).collect();
    order.sort_by_key(|n| std::cmp::Reverse(placements[*n].config.iov_weight.0));
    for (rank, index) in order.into_iter().enumerate() {
        let placement = &mut placements[index];
        placement.vf = if rank < usize::from(config.num_vfs()) {
            Ok(attach(config, placement, adapter)?)
        } else {
            Err(format!(
                "all {} VFs are taken by adapters of the same or a higher iov_weight",
                config.num_vfs()
            ))
        };
    }
    Ok(placements)
}

/// Notes that an operator has taken a VF away.
pub(crate) fn withdrawn(placements: &mut [Placement], vf: VfId) {
    for placement in placements {
        if placement.vf.as_ref().is_ok_and(|spec| spec.vf == vf) {
            placement.vf = Err("taken away by an operator".to_owned());
        }
    }
}

/// ALLOCATE_VF, CREATE_VPORT, what the guest may do, and the receive filter, in the order of ndis.md C.3.
fn attach(config: &Config, placement: &Placement, adapter: &AdapterService) -> Result<VfSpec, StackError> {
    let mac = placement.config.mac.0;
    let parameters = VfParameters {
        permanent_mac: mac,
        current_mac: mac,
        vm_name: placement.vm.0.clone(),
        vm_friendly_name: placement.vm.0.clone(),
        nic_name: placement.name.0.clone(),
    };
    let (_, exposed) = adapter.request(STACK, OidRequest::AllocateVf(parameters))?;
    let vf = exposed.iter().find_map(|action| match action {
        Action::ExposeVf { vf, .. } => Some(*vf),
        _ => None,
    });
    let vport = NewVPort {
        function: FunctionId::Vf(vf.ok_or(StackError::Silent("ALLOCATE_VF"))?),
        queue_pairs: placement.config.iov_queue_pairs.0,
        interrupt_moderation: InterruptModeration::Undefined,
        affinity: None,
        name: format!("{}-{}", placement.vm, placement.name),
    };
    let (_, attached) = adapter.request(STACK, OidRequest::CreateVPort(vport))?;
    let spec = attached.iter().find_map(|action| spec_of(action, config, adapter));
    let spec = spec.ok_or(StackError::Silent("CREATE_VPORT"))?;
    let security = PortSecurity {
        trusted: placement.config.trusted,
        mac_spoof_check: !placement.config.trusted,
        allowed_vlans: allowed_vlans(placement.config.trunk.as_ref()),
        ..PortSecurity::default()
    };
    adapter
        .request(STACK, OidRequest::SetPortSecurity { vport: spec.vport, security: Box::new(security) })?;
    let vlan = match (placement.config.vlan, &placement.config.trunk) {
        (Some(vlan), _) => VlanTest::Id(vlan.0),
        (None, Some(_)) => VlanTest::Any,
        (None, None) => VlanTest::UntaggedOrZero,
    };
    adapter.request(STACK, OidRequest::SetFilter { vport: spec.vport, test: FilterTest { mac, vlan } })?;
    Ok(spec)
}

fn allowed_vlans(trunk: Option<&Trunk>) -> VlanSet {
    match trunk {
        None => VlanSet::EMPTY,
        Some(Trunk::All) => VlanSet::all(),
        Some(Trunk::Vlans(vlans)) => VlanSet::of(vlans.iter().copied()).unwrap_or(VlanSet::EMPTY),
    }
}

fn spec_of(action: &Action, config: &Config, adapter: &AdapterService) -> Option<VfSpec> {
    let Action::AttachVf { vf, generation, vport, mac, queue_pairs, link_up, .. } = *action else {
        return None;
    };
    let function = adapter.with(|a| a.function().virtual_function(vf.0).map(|f| f.config().clone()).ok())?;
    Some(VfSpec {
        vf,
        generation,
        vport,
        mac: Some(mac).filter(|mac| !mac.is_zero()),
        queue_pairs,
        link_up,
        model: config.adapter.vf_model,
        msix: config.adapter.msix,
        doorbells: config.adapter.doorbells,
        config: function,
        counters: Arc::default(),
    })
}
