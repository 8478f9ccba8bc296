//! What there is to show around the adapter: extensible switches, the physical port, the host's adapters, VM queues.

use std::collections::BTreeMap;

use api::types::{
    CountersView, FilterView, HostAdapterView, LinkView, PortView, QueueView, ReasonCount, SwitchView,
    TrafficView, UplinkView,
};
use dataplane::{Handle, Place, PortCounters};
use miniport::{Adapter, FilterInfo};
use nic_switch::VlanTest;
use vswitch::{SwitchPort, VSwitch};

use crate::config::{Config, UplinkConfig};
use crate::daemon::Changing;
use crate::daemon::outside::{Exit, Outside};
use crate::daemon::switchboard::{Inner, Switchboard, host_adapters};
use crate::words::vlan_text;

/// Which VF the NIC of each number has.
pub(super) fn vfs_by_nic(changing: &Changing) -> BTreeMap<u32, u16> {
    let members = changing.members.iter();
    members.filter_map(|(id, member)| Some((id.0, member.vf.as_ref()?.spec.vf.0))).collect()
}

/// The extensible switches. `worker`: asked for what it has learned.
pub(super) fn switch_views(
    config: &Config,
    switchboard: &Switchboard,
    worker: Option<&Handle>,
    default_vport: &PortCounters,
    vfs: &BTreeMap<u32, u16>,
) -> Vec<SwitchView> {
    let stations = |number| worker.map_or(0, |worker| worker.report(number).stations.len());
    let configs = config.switches();
    // Asked before the lock is taken: the worker answers in its own time.
    let stations: Vec<usize> = (0..configs.len()).map(stations).collect();
    switchboard.with(|board| {
        let switches = board.switches.iter().zip(configs).zip(stations).enumerate();
        let views = switches.map(|(number, ((switch, config), stations))| SwitchView {
            name: switch.parameters().name.clone(),
            kind: config_name(switch.parameters().kind),
            ageing: config.ageing,
            stations,
            extensions: switch.view().extensions.into_iter().map(|extension| extension.name).collect(),
            ports: switch
                .ports()
                .map(|port| port_view(board, number, switch, port, default_vport, vfs))
                .collect(),
        });
        views.collect()
    })
}

fn port_view(
    board: &Inner,
    number: usize,
    switch: &VSwitch,
    port: &SwitchPort,
    default_vport: &PortCounters,
    vfs: &BTreeMap<u32, u16>,
) -> PortView {
    let nic = board.nics.iter().find(|(_, nic)| nic.switch == number && nic.port == port.id());
    let counters = match nic {
        Some((_, nic)) => counters_view(&nic.counters),
        // What the PF receives on the default VPort comes into the switch by its external port.
        None => swapped(counters_view(default_vport)),
    };
    let policy = port.policy();
    PortView {
        port: port.id().0,
        name: port.parameters().name.clone(),
        kind: config_name(port.parameters().kind),
        nic: port.nic().map(|nic| config_name(nic.parameters().kind)),
        state: match port.nic() {
            None => "no NIC".to_owned(),
            Some(nic) if nic.suspension().is_some() => "suspended".to_owned(),
            Some(nic) => config_name(nic.state()),
        },
        mac: port
            .nic()
            .map(|nic| nic.parameters().current_mac(&policy.security))
            .filter(|mac| !mac.is_zero()),
        vlan: vlan_text(&policy.vlan),
        policy: policy.clone(),
        vf: nic.and_then(|(number, _)| vfs.get(number).copied()),
        forbids_vf: switch.policy_needs_removal_of_vf(port.id()).map(|reason| reason.to_string()),
        counters,
    }
}

/// A unit variant as the configuration writes it.
fn config_name(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "-".to_owned(),
    }
}

/// Counters as they are shown.
pub(super) fn counters_view(counters: &PortCounters) -> CountersView {
    let statistics = counters.read();
    CountersView {
        sent: traffic(statistics.sent),
        received: traffic(statistics.received),
        direct: statistics.direct,
        held: statistics.held,
        drops: statistics.drops.into_iter().map(|(name, n)| (name.to_owned(), n).into()).collect(),
    }
}

fn traffic(traffic: dataplane::Traffic) -> TrafficView {
    let dataplane::Traffic { frames, octets, multicast, broadcast } = traffic;
    TrafficView { frames, octets, multicast, broadcast }
}

fn swapped(counters: CountersView) -> CountersView {
    CountersView { sent: counters.received, received: counters.sent, ..counters }
}

/// The physical port.
pub(super) fn uplink_view(config: &Config, outside: &Outside) -> UplinkView {
    let kind = match config.uplink {
        UplinkConfig::None => "none",
        UplinkConfig::Tap { .. } => "tap",
        UplinkConfig::Packet { .. } => "packet",
        UplinkConfig::Xdp { .. } => "xdp",
    };
    let mut view = UplinkView {
        kind: kind.to_owned(),
        interface: None,
        link: LinkView::default(),
        counters: CountersView::default(),
        losses: Vec::new(),
    };
    outside.with(|exits| {
        let Some(exit) = exits.iter_mut().find(|exit| exit.place == Place::Physical) else { return };
        view.interface = Some(exit.name.clone());
        view.link = link_view(exit);
        view.counters = counters_view(&exit.counters);
        view.losses = losses(exit);
    });
    view
}

/// The adapters of the host.
pub(super) fn host_views(config: &Config, outside: &Outside) -> Vec<HostAdapterView> {
    let switches = config.switches();
    let hosts = host_adapters(config).map(|(switch, host)| {
        let mut view = HostAdapterView {
            interface: host.interface.0.clone(),
            switch: switches[switch].name.to_string(),
            mac: host.address(),
            vlan: vlan_text(&host.policy().vlan),
            link: LinkView::default(),
            counters: CountersView::default(),
            losses: Vec::new(),
        };
        outside.with(|exits| {
            let mine = |exit: &&mut Exit| exit.name == view.interface && exit.place != Place::Physical;
            let Some(exit) = exits.iter_mut().find(mine) else { return };
            view.link = link_view(exit);
            view.counters = counters_view(&exit.counters);
            view.losses = losses(exit);
        });
        view
    });
    hosts.collect()
}

fn link_view(exit: &Exit) -> LinkView {
    exit.link().map_or_else(LinkView::default, |link| LinkView {
        up: link.is_running(),
        mtu: Some(link.mtu),
        address: Some(link.address),
    })
}

fn losses(exit: &mut Exit) -> Vec<ReasonCount> {
    let lost = exit.losses.read().into_iter().filter(|(_, n)| *n > 0);
    lost.map(|(name, n)| (name.to_owned(), n).into()).collect()
}

/// The VM queues of an adapter without SR-IOV.
pub(super) fn queue_views(adapter: &Adapter) -> Vec<QueueView> {
    let queues = adapter.queues().into_iter().map(|queue| QueueView {
        queue_id: queue.queue.0,
        state: format!("{:?}", queue.state),
        affinity: queue.affinity.map(|affinity| format!("{}:0x{:x}", affinity.group, affinity.mask)),
        vm: queue.vm_name,
        queue_name: queue.queue_name,
        filters: queue.filters.iter().map(filter_info_view).collect(),
    });
    queues.collect()
}

fn filter_info_view(info: &FilterInfo) -> FilterView {
    FilterView {
        filter_id: info.filter.0,
        vport_id: info.vport.0,
        mac: info.test.mac,
        vlan: vlan_test_text(info.test.vlan),
    }
}

/// The VLAN that a filter tests for.
pub(super) fn vlan_test_text(test: VlanTest) -> String {
    match test {
        VlanTest::Any => "any".to_owned(),
        VlanTest::UntaggedOrZero => "untagged".to_owned(),
        VlanTest::Id(id) => id.to_string(),
    }
}
