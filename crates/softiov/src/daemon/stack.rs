//! Who gets a VF, and the OID requests that give it.
//!
//! The heavier adapter first, of equal ones the one that stands first in the configuration. An adapter without a VF
//! may get a VM queue, in the same way by its own weight: a nondefault VPort of the PF (`spec/ndis.md` 0.4), from which
//! frames go straight to the synthetic adapter. What an adapter does not get it is told why.

use std::sync::Arc;

use miniport::{Action, NewVPort, OidRequest, Payload};
use nic_switch::{
    BumPath, FilterTest, FunctionId, InterruptModeration, PortSecurity, ProcessorAffinity, QueueId,
    QueueParameters, VPortChanges, VPortId, VPortState, VfId, VfParameters, VlanTest,
};
use vswitch::{Direction, Mirroring, PortPolicy, SwitchError, VfPath, VlanPolicy};

use super::adapter::{AdapterService, OidError, STACK};
use super::switchboard::{Switchboard, host_adapters};
use super::vf::VfSpec;
use crate::config::{Config, Name, SwitchKind, VmAdapterConfig, Weight};

/// Why VFs could not be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error(transparent)]
    Oid(#[from] OidError),
    /// The miniport said SUCCESS, but not what came of it.
    #[error("{0} succeeded without a result")]
    Silent(&'static str),
    /// The extensible switch does not know its own NIC.
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

/// A VM network adapter and its VF, or why it has none.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) vm: Name,
    pub(crate) name: Name,
    pub(crate) config: VmAdapterConfig,
    /// Number of its NIC on the extensible switch.
    pub(crate) nic: u32,
    pub(crate) vf: Result<VfSpec, String>,
    pub(crate) queue: Result<VPortId, String>,
}

/// Gives VFs to the adapters of `config`. An OID request that fails for another reason than a lack of VFs ends it:
/// the configuration asks for something that the adapter does not have.
pub(crate) fn place(
    config: &Config,
    adapter: &AdapterService,
    switchboard: &Switchboard,
) -> Result<Vec<Placement>, StackError> {
    let mut placements: Vec<Placement> = Vec::new();
    for vm in &config.vms {
        for (name, adapter) in vm.named_adapters() {
            let nic = u32::try_from(placements.len()).unwrap_or(u32::MAX);
            let (vf, queue) = (Err("iov_weight is 0".to_owned()), Err("it has a VF".to_owned()));
            placements.push(Placement { vm: vm.name.clone(), name, config: adapter.clone(), nic, vf, queue });
        }
    }
    let mut vfs_left = config.num_vfs();
    for index in by_weight(&placements, |config| config.iov_weight) {
        let placement = &mut placements[index];
        placement.vf = match switchboard.with(|switches| switches.forbids_vf(placement.nic)) {
            _ if !config.is_above_adapter(&placement.config) => Err(ELSEWHERE.to_owned()),
            _ if !config.adapter.sriov => Err("SR-IOV is off, the adapter has VM queues".to_owned()),
            Some(reason) => Err(reason.to_string()),
            None if vfs_left == 0 => Err(format!(
                "all {} VFs are taken by adapters of the same or a higher iov_weight",
                config.num_vfs()
            )),
            None => {
                vfs_left -= 1;
                let spec = attach(config, placement, adapter)?;
                switchboard.change(|switches| switches.set_vf(placement.nic, VfPath::Active(BumPath::Vf)))?;
                Ok(spec)
            }
        };
    }
    place_synthetic(config, adapter, switchboard, &mut placements)?;
    Ok(placements)
}

/// Why an adapter has neither VF nor VM queue.
const ELSEWHERE: &str = "its switch is not the external one, above the SR-IOV adapter";

/// The adapters with a weight, heaviest first.
fn by_weight(placements: &[Placement], weight: impl Fn(&VmAdapterConfig) -> Weight) -> Vec<usize> {
    let weight = |index: &usize| weight(&placements[*index].config).0;
    let mut order: Vec<usize> = (0..placements.len()).filter(|index| weight(index) > 0).collect();
    order.sort_by_key(|index| std::cmp::Reverse(weight(index)));
    order
}

/// Gives VM queues to the adapters without VF, and sets the receive filters of all of them.
fn place_synthetic(
    config: &Config,
    adapter: &AdapterService,
    switchboard: &Switchboard,
    placements: &mut [Placement],
) -> Result<(), StackError> {
    let mut queues_left =
        if config.adapter.sriov { config.adapter.pf_vports } else { config.adapter.vm_queues };
    let without_vf = |placement: &Placement| placement.vf.is_err();
    for index in by_weight(placements, |config| config.vmq_weight) {
        let placement = &mut placements[index];
        if !without_vf(placement) {
            continue;
        }
        placement.queue = match needs_switch(&placement.config.policy()) {
            _ if !config.is_above_adapter(&placement.config) => Err(ELSEWHERE.to_owned()),
            Some(reason) => Err(reason.to_owned()),
            None if queues_left == 0 => {
                Err("all VM queues are taken by adapters of the same or a higher vmq_weight".to_owned())
            }
            None => {
                queues_left -= 1;
                let vport = create_queue(config, placement, adapter)?;
                switchboard.change(|switches| switches.lead(vport, placement.nic));
                Ok(vport)
            }
        };
    }
    for placement in placements.iter_mut().filter(|placement| without_vf(placement)) {
        if placement.config.vmq_weight.0 == 0 {
            placement.queue = Err("vmq_weight is 0".to_owned());
        }
        let vport = *placement.queue.as_ref().unwrap_or(&VPortId::DEFAULT);
        if config.is_above_adapter(&placement.config) {
            set_filter(placement, vport, adapter)?;
        }
    }
    // What VFs send to the host is not for the wire.
    let above = |switch: usize| config.switches()[switch].kind == SwitchKind::External;
    for (_, host) in host_adapters(config).filter(|(switch, _)| above(*switch)) {
        let test = FilterTest { mac: host.address(), vlan: vlan_test(&host.policy().vlan) };
        adapter.request(STACK, OidRequest::SetFilter { vport: VPortId::DEFAULT, test })?;
    }
    Ok(())
}

/// Why the frames of an adapter must come through the extensible switch: a VM queue passes it by.
pub(crate) fn needs_switch(policy: &PortPolicy) -> Option<&'static str> {
    let inbound = policy.acl.rules.iter().any(|rule| rule.direction == Direction::Inbound);
    match policy.vlan {
        _ if inbound => {
            Some("its port ACL has rules for what it receives, and a VM queue passes the switch by")
        }
        _ if policy.mirroring != Mirroring::None => {
            Some("its frames are mirrored, and a VM queue passes the switch by")
        }
        VlanPolicy::Trunk { .. } => Some("it is a trunk of VLANs, which a VM queue does not know"),
        VlanPolicy::Private { .. } => Some("it is in a private VLAN, which a VM queue does not know"),
        VlanPolicy::Untagged | VlanPolicy::Access(_) => None,
    }
}

/// A place from which frames go straight to the adapter: with SR-IOV a VPort of the PF (CREATE_VPORT), without a VM queue
/// (`spec/ndis.md` C.9). Both are served by the one worker's CPU.
fn create_queue(
    config: &Config,
    placement: &Placement,
    adapter: &AdapterService,
) -> Result<VPortId, StackError> {
    let affinity = affinity(config.daemon.cpu.unwrap_or(0));
    if !config.adapter.sriov {
        let parameters = QueueParameters {
            affinity,
            suggested_receive_buffers: 0,
            vm_name: placement.vm.0.clone(),
            queue_name: format!("{}-{}", placement.vm, placement.name),
            port_id: placement.nic,
        };
        let queue = match adapter.request(STACK, OidRequest::AllocateQueue(parameters))?.0 {
            Payload::Queue(info) => info.queue,
            _ => return Err(StackError::Silent("ALLOCATE_QUEUE")),
        };
        adapter.request(STACK, OidRequest::CompleteQueueAllocation(vec![queue]))?;
        return Ok(queue.vport());
    }
    let vport = NewVPort {
        function: FunctionId::Pf,
        queue_pairs: 1,
        interrupt_moderation: InterruptModeration::Undefined,
        affinity: Some(affinity),
        name: format!("{}-{}", placement.vm, placement.name),
    };
    let vport = match adapter.request(STACK, OidRequest::CreateVPort(vport))?.0 {
        Payload::VPort(info) => info.vport,
        _ => return Err(StackError::Silent("CREATE_VPORT")),
    };
    // A VPort of the PF is deactivated when it is made, and drops what comes for it (`spec/ndis.md` B.4).
    let changes = VPortChanges { state: Some(VPortState::Activated), ..VPortChanges::default() };
    adapter.request(STACK, OidRequest::SetVPortParameters { vport, changes })?;
    Ok(vport)
}

/// SET_FILTER: frames for the adapter go to `vport`.
fn set_filter(placement: &Placement, vport: VPortId, adapter: &AdapterService) -> Result<(), StackError> {
    let test = FilterTest { mac: placement.config.mac.0, vlan: vlan_test(&placement.config.policy().vlan) };
    adapter.request(STACK, filter_request(adapter, vport, test))?;
    Ok(())
}

/// SET_FILTER on a VPort or, without a NIC switch, on the VM queue that the data path knows as one.
pub(crate) fn filter_request(adapter: &AdapterService, vport: VPortId, test: FilterTest) -> OidRequest {
    match adapter.with(|adapter| adapter.switch().is_some()) {
        true => OidRequest::SetFilter { vport, test },
        false => OidRequest::SetQueueFilter { queue: QueueId(vport.0), test },
    }
}

/// How the NIC switch tests for the VLANs of a port. Those of a trunk are sorted by the VPort's security or the
/// extensible switch, those of a private VLAN by that only.
pub(crate) fn vlan_test(vlan: &VlanPolicy) -> VlanTest {
    match *vlan {
        VlanPolicy::Access(vlan) => VlanTest::Id(vlan),
        VlanPolicy::Untagged => VlanTest::UntaggedOrZero,
        VlanPolicy::Trunk { .. } | VlanPolicy::Private { .. } => VlanTest::Any,
    }
}

/// The CPU number `cpu`.
fn affinity(cpu: usize) -> ProcessorAffinity {
    ProcessorAffinity { group: u16::try_from(cpu / 64).unwrap_or(0), mask: 1 << (cpu % 64) }
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
        allowed_vlans: placement.config.policy().vlan.tagged(),
        ..PortSecurity::default()
    };
    adapter
        .request(STACK, OidRequest::SetPortSecurity { vport: spec.vport, security: Box::new(security) })?;
    set_filter(placement, spec.vport, adapter)?;
    Ok(spec)
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
