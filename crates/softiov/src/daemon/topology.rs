//! Everything there is to show.

mod life;
mod network;

use std::collections::BTreeMap;

use api::types::{
    AdapterView, CountersView, FilterView, PathView, SyntheticDeviceView, SyntheticView, TopologyView,
    VPortView, VfDeviceView, VfLifeView, VfView, VmAdapterView, VmView, WorkerView,
};
use miniport::Adapter;
use nic_switch::{FunctionId, NicSwitch, VPort, VPortId};
use virt_stack::AdapterId;
use virt_stack::desired::VmSpec;

use self::life::{lives, vmm_view};
use super::error::DaemonError;
use super::members::Member;
use super::switchboard::cycles_per_second;
use super::{Changing, Core};
use crate::config::{Config, VfModel};

pub(super) use self::life::{life_view, no_vf_view, path_view, state_text, word};

impl Core {
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
            cycles_per_second: cycles_per_second(),
            sleeps: worker.sleeps,
        };
        let model = self.config.adapter.vf_model;
        let default_vport = network::counters_view(&self.parts.default_vport);
        let vfs = network::vfs_by_nic(&changing);
        let vms = self.vm_views(&changing, &mut synthetic);
        let lives = lives(&changing);
        let num_vfs = self.config.adapter.sriov.then(|| changing.stack.num_vfs());
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
            adapter: adapter_view(adapter, link_up, num_vfs),
            worker,
            vfs: vf_views(adapter, model, devices, lives),
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

    pub(super) fn vm_views(
        &self,
        changing: &Changing,
        synthetic: &mut BTreeMap<u32, SyntheticDeviceView>,
    ) -> Vec<VmView> {
        let mut adapters = |vm: &VmSpec| {
            let own =
                vm.named_adapters().filter_map(|(name, _)| changing.member(vm.name.as_str(), name.as_str()));
            own.map(|(id, member)| self.adapter_of_vm(changing, id, member, synthetic.remove(&id.0)))
                .collect()
        };
        let vms = changing.vms.iter();
        vms.map(|vm| VmView {
            name: vm.name.to_string(),
            vmm: vmm_view(changing, vm),
            adapters: adapters(vm),
        })
        .collect()
    }

    fn adapter_of_vm(
        &self,
        changing: &Changing,
        id: AdapterId,
        member: &Member,
        device: Option<SyntheticDeviceView>,
    ) -> VmAdapterView {
        let config: &Config = &self.config;
        let life = changing.stack.adapter(id);
        let path = path_view(life.as_ref(), member);
        let (switch, port, counters) = self.parts.switchboard.with(|board| {
            let nic = &board.nics[&id.0];
            let switch = board.switches[nic.switch].parameters().name.clone();
            (switch, nic.port, network::counters_view(&nic.counters))
        });
        VmAdapterView {
            name: member.name.to_string(),
            desired: member.spec.clone(),
            path,
            vf: member.vf.as_ref().map(|vf| vf.spec.vf.0),
            vf_life: life.as_ref().and_then(|life| life_view(changing, life)),
            vf_socket: member.vf.is_some().then(|| config.socket_path(&member.vm, &member.name)),
            no_vf: no_vf_view(life.as_ref()),
            no_queue: member.queue.as_ref().err().filter(|_| !matches!(path, PathView::Vf(_))).cloned(),
            synthetic: SyntheticView {
                switch,
                port: port.0,
                socket: config.vhost_user_path(&member.vm, &member.name),
                device,
                counters,
            },
        }
    }
}

fn adapter_view(adapter: &Adapter, link_up: bool, num_vfs: Option<u16>) -> AdapterView {
    let function = adapter.function();
    let info = adapter.switch().map(NicSwitch::info);
    AdapterView {
        pf: function.rid().to_string(),
        mode: format!("{:?}", adapter.mode()),
        link_up,
        switch_name: adapter.switch().map_or_else(String::new, |s| s.name().to_owned()),
        total_vfs: function.sriov().total_vfs,
        num_vfs: num_vfs.unwrap_or_else(|| function.num_vfs()),
        num_allocated_vfs: info.map_or(0, |i| i.num_allocated_vfs),
        num_vports: info.map_or(0, |i| i.num_vports),
        num_active_vports: info.map_or(0, |i| i.num_active_vports),
        num_queue_pairs_for_default_vport: info.map_or(0, |i| i.num_queue_pairs_for_default_vport),
        num_queue_pairs_for_nondefault_vports: info.map_or(0, |i| i.num_queue_pairs_for_nondefault_vports),
        num_nondefault_vport_macs: info.map_or(0, |i| i.num_nondefault_vport_macs),
    }
}

fn vf_views(
    adapter: &Adapter,
    model: VfModel,
    mut devices: BTreeMap<u16, VfDeviceView>,
    mut lives: BTreeMap<u16, VfLifeView>,
) -> Vec<VfView> {
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
            life: lives.remove(&id.0),
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
