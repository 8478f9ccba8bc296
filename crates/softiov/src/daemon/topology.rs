//! Everything there is to show.

use std::collections::BTreeMap;

use miniport::Adapter;
use nic_switch::{FunctionId, NicSwitch, VPort, VlanTest};

use super::error::DaemonError;
use super::stack::Placement;
use super::vf::VfSpec;
use super::{Changing, Daemon};
use crate::config::{Config, VfModel};
use crate::view::{
    AdapterView, FilterView, TopologyView, TrafficView, VPortView, VfDeviceView, VfView, VmAdapterView,
    VmView, WorkerView,
};

impl Daemon {
    /// The adapter, its VFs and VPorts, and the VMs, as they stand.
    pub(crate) fn topology(&self) -> Result<TopologyView, DaemonError> {
        let changing = self.lock();
        let (devices, worker) = match &changing.data_path {
            Some(path) => (path.bus.inspect()?, path.worker.handle().statistics()),
            None => Default::default(),
        };
        let worker = WorkerView {
            frames: worker.frames,
            bursts: worker.bursts,
            busy_cycles: worker.busy_cycles,
            sleeps: worker.sleeps,
        };
        let model = self.config.adapter.vf_model;
        let vms = vm_views(&self.config, &changing.placements);
        Ok(self.adapter.with(|adapter| TopologyView {
            adapter: adapter_view(adapter),
            worker,
            vfs: vf_views(adapter, model, devices),
            vports: vport_views(adapter, &changing),
            vms,
        }))
    }
}

fn adapter_view(adapter: &Adapter) -> AdapterView {
    let function = adapter.function();
    let info = adapter.switch().map(NicSwitch::info);
    AdapterView {
        pf: function.rid().to_string(),
        mode: format!("{:?}", adapter.mode()),
        link_up: true,
        switch_name: adapter.switch().map_or_else(String::new, |s| s.name().to_owned()),
        total_vfs: function.sriov().total_vfs,
        num_vfs: function.num_vfs(),
        num_allocated_vfs: info.map_or(0, |i| i.num_allocated_vfs),
        num_vports: info.map_or(0, |i| i.num_vports),
        num_active_vports: info.map_or(0, |i| i.num_active_vports),
        num_queue_pairs_for_default_vport: info.map_or(0, |i| i.num_queue_pairs_for_default_vport),
        num_queue_pairs_for_nondefault_vports: info.map_or(0, |i| i.num_queue_pairs_for_nondefault_vports),
        num_nondefault_vport_macs: info.map_or(0, |i| i.num_nondefault_vport_macs),
    }
}

fn vf_views(adapter: &Adapter, model: VfModel, mut devices: BTreeMap<u16, VfDeviceView>) -> Vec<VfView> {
    let model = match model {
        VfModel::X550 => "x550",
        VfModel::I82599 => "82599",
    };
    let Some(switch) = adapter.switch() else { return Vec::new() };
    let views = switch.vfs().map(|vf| {
        let (id, parameters) = (vf.id(), vf.parameters());
        VfView {
            function_id: id.0,
            requester_id: adapter
                .function()
                .vf_rid(id.0)
                .map_or_else(|e| e.to_string(), |rid| rid.to_string()),
            vm: parameters.vm_name.clone(),
            nic: parameters.nic_name.clone(),
            permanent_mac: parameters.permanent_mac,
            current_mac: parameters.current_mac,
            vport_id: switch.vport_of_vf(id).map(|vport| vport.id().0),
            model: model.to_owned(),
            device: devices.remove(&id.0),
        }
    });
    views.collect()
}

fn vport_views(adapter: &Adapter, changing: &Changing) -> Vec<VPortView> {
    let Some(switch) = adapter.switch() else { return Vec::new() };
    let views = switch.vports().map(|vport| {
        let (function_id, spec) = match vport.function() {
            FunctionId::Pf => ("PF".to_owned(), None),
            FunctionId::Vf(vf) => (vf.0.to_string(), changing.spec(vf)),
        };
        vport_view(switch, vport, function_id, spec)
    });
    views.collect()
}

fn vport_view(switch: &NicSwitch, vport: &VPort, function_id: String, spec: Option<&VfSpec>) -> VPortView {
    let statistics = spec.map(|spec| spec.counters.read()).unwrap_or_default();
    let filters = switch.filters_on(vport.id()).map(|filter| FilterView {
        filter_id: filter.id().0,
        vport_id: vport.id().0,
        mac: filter.test().mac,
        vlan: match filter.test().vlan {
            VlanTest::Any => "any".to_owned(),
            VlanTest::UntaggedOrZero => "untagged".to_owned(),
            VlanTest::Id(id) => id.to_string(),
        },
    });
    VPortView {
        vport_id: vport.id().0,
        name: vport.name().to_owned(),
        function_id,
        num_queue_pairs: vport.queue_pairs(),
        interrupt_moderation: format!("{:?}", vport.interrupt_moderation()),
        state: format!("{:?}", vport.state()),
        filters: filters.collect(),
        sent: traffic(statistics.sent),
        received: traffic(statistics.received),
        held: statistics.held,
        drops: statistics.drops.into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
    }
}

fn traffic(traffic: dataplane::Traffic) -> TrafficView {
    let dataplane::Traffic { frames, octets, multicast, broadcast } = traffic;
    TrafficView { frames, octets, multicast, broadcast }
}

fn vm_views(config: &Config, placements: &[Placement]) -> Vec<VmView> {
    let adapters = |vm: &str| {
        let own = placements.iter().filter(|placement| placement.vm.0 == vm);
        own.map(|placement| adapter_of_vm(config, placement)).collect()
    };
    let views =
        config.vms.iter().map(|vm| VmView { name: vm.name.0.clone(), adapters: adapters(&vm.name.0) });
    views.collect()
}

fn adapter_of_vm(config: &Config, placement: &Placement) -> VmAdapterView {
    VmAdapterView {
        name: placement.name.0.clone(),
        mac: placement.config.mac.0,
        vlan: match (placement.config.vlan, &placement.config.trunk) {
            (Some(vlan), _) => format!("access {}", vlan.0),
            (None, Some(_)) => "trunk".to_owned(),
            (None, None) => "untagged".to_owned(),
        },
        iov_weight: placement.config.iov_weight.0,
        vf: placement.vf.as_ref().ok().map(|spec| spec.vf.0),
        socket: placement.vf.is_ok().then(|| config.socket_path(&placement.vm, &placement.name)),
        no_vf: placement.vf.as_ref().err().cloned(),
    }
}
