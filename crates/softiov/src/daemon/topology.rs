//! Everything there is to show.

mod network;

use std::collections::BTreeMap;

use miniport::Adapter;
use nic_switch::{FunctionId, NicSwitch, VPort, VPortId};

use super::error::DaemonError;
use super::stack::Placement;
use super::{Changing, Daemon};
use crate::config::{Config, VfModel};
use crate::view::{
    AdapterView, CountersView, FilterView, PathView, SyntheticDeviceView, SyntheticView, TopologyView,
    VPortView, VfDeviceView, VfView, VmAdapterView, VmView, WorkerView,
};

impl Daemon {
    /// The adapter, its VFs and VPorts, the extensible switches, and the VMs, as they stand.
    pub(crate) fn topology(&self) -> Result<TopologyView, DaemonError> {
        let changing = self.lock();
        let (devices, mut synthetic, handle) = match &changing.data_path {
            Some(path) => (path.bus.inspect()?, path.netvsp.inspect()?, Some(path.worker.handle())),
            None => Default::default(),
        };
        let worker = handle.as_ref().map(dataplane::Handle::statistics).unwrap_or_default();
        let worker = WorkerView {
            frames: worker.frames,
            bursts: worker.bursts,
            busy_cycles: worker.busy_cycles,
            sleeps: worker.sleeps,
        };
        let model = self.config.adapter.vf_model;
        let default_vport = network::counters_view(&self.parts.default_vport);
        let vfs = network::vfs_by_nic(&changing.placements);
        let vms = self.vm_views(&changing.placements, &mut synthetic);
        let uplink = network::uplink_view(&self.config, &self.parts.outside);
        let link_up = self.parts.outside.is_running();
        let hosts = network::host_views(&self.config, &self.parts.outside);
        let switches = network::switch_views(
            &self.config,
            &self.parts.switchboard,
            handle.as_ref(),
            &self.parts.default_vport,
            &vfs,
        );
        Ok(self.parts.adapter.with(|adapter| TopologyView {
            adapter: adapter_view(adapter, link_up),
            worker,
            vfs: vf_views(adapter, model, devices),
            vports: self.vport_views(adapter, &changing, &default_vport),
            vms,
            uplink,
            default_vport,
            queues: network::queue_views(adapter),
            switches,
            hosts,
        }))
    }

    fn vport_views(
        &self,
        adapter: &Adapter,
        changing: &Changing,
        default_vport: &CountersView,
    ) -> Vec<VPortView> {
        let Some(switch) = adapter.switch() else { return Vec::new() };
        let views = switch.vports().map(|vport| {
            let (function_id, spec) = match vport.function() {
                FunctionId::Pf => ("PF".to_owned(), None),
                FunctionId::Vf(vf) => (vf.0.to_string(), changing.spec(vf)),
            };
            let counters = match spec {
                Some(spec) => network::counters_view(&spec.counters),
                None if vport.id() == VPortId::DEFAULT => default_vport.clone(),
                None => self.counters_of_queue(vport.id()),
            };
            vport_view(switch, vport, function_id, counters)
        });
        views.collect()
    }

    /// What came by a VPort of the PF that leads straight to a NIC.
    fn counters_of_queue(&self, vport: VPortId) -> CountersView {
        let mut view = CountersView::default();
        self.parts.switchboard.with(|board| {
            view.received.frames = board.behind(vport).map_or(0, |nic| nic.counters.read().direct);
        });
        view
    }

    fn vm_views(
        &self,
        placements: &[Placement],
        synthetic: &mut BTreeMap<u32, SyntheticDeviceView>,
    ) -> Vec<VmView> {
        let mut adapters = |vm: &str| {
            let own = placements.iter().filter(|placement| placement.vm.0 == vm);
            own.map(|placement| self.adapter_of_vm(placement, synthetic.remove(&placement.nic))).collect()
        };
        let vms = self.config.vms.iter();
        vms.map(|vm| VmView { name: vm.name.0.clone(), adapters: adapters(&vm.name.0) }).collect()
    }

    fn adapter_of_vm(&self, placement: &Placement, device: Option<SyntheticDeviceView>) -> VmAdapterView {
        let config: &Config = &self.config;
        let (switch, port, counters) = self.parts.switchboard.with(|board| {
            let nic = &board.nics[placement.nic as usize];
            let switch = board.switches[nic.switch].parameters().name.clone();
            (switch, nic.port, network::counters_view(&nic.counters))
        });
        VmAdapterView {
            name: placement.name.0.clone(),
            mac: placement.config.mac.0,
            vlan: network::vlan_text(&placement.config.policy().vlan),
            iov_weight: placement.config.iov_weight.0,
            vf: placement.vf.as_ref().ok().map(|spec| spec.vf.0),
            socket: placement.vf.is_ok().then(|| config.socket_path(&placement.vm, &placement.name)),
            no_vf: placement.vf.as_ref().err().cloned(),
            no_queue: placement.queue.as_ref().err().filter(|_| placement.vf.is_err()).cloned(),
            path: match (&placement.vf, &placement.queue) {
                (Ok(spec), _) => PathView::Vf(spec.vf.0),
                (Err(_), Ok(vport)) => PathView::Queue(vport.0),
                (Err(_), Err(_)) => PathView::Switch,
            },
            synthetic: SyntheticView {
                switch,
                port: port.0,
                socket: config.vhost_user_path(&placement.vm, &placement.name),
                device,
                counters,
            },
        }
    }
}

fn adapter_view(adapter: &Adapter, link_up: bool) -> AdapterView {
    let function = adapter.function();
    let info = adapter.switch().map(NicSwitch::info);
    AdapterView {
        pf: function.rid().to_string(),
        mode: format!("{:?}", adapter.mode()),
        link_up,
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

fn vport_view(switch: &NicSwitch, vport: &VPort, function_id: String, counters: CountersView) -> VPortView {
    let filters = switch.filters_on(vport.id()).map(|filter| FilterView {
        filter_id: filter.id().0,
        vport_id: vport.id().0,
        mac: filter.test().mac,
        vlan: network::vlan_test_text(filter.test().vlan),
    });
    VPortView {
        vport_id: vport.id().0,
        name: vport.name().to_owned(),
        function_id,
        num_queue_pairs: vport.queue_pairs(),
        interrupt_moderation: format!("{:?}", vport.interrupt_moderation()),
        state: format!("{:?}", vport.state()),
        filters: filters.collect(),
        sent: counters.sent,
        received: counters.received,
        held: counters.held,
        drops: counters.drops,
    }
}
