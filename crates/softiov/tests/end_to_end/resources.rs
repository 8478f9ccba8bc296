//! What the daemon takes of the machine, and what it records.

use std::time::Duration;

use miniport::{Adapter, AdapterConfig, Keywords, NewVPort, OidRequest, SwitchCreation, trace};
use nic_switch::{
    Capabilities, FilterTest, FunctionId, InterruptModeration, SwitchParameters, VPortId, VfId, VfParameters,
    VlanTest,
};
use pcie::{PfProfile, PfStorage, PhysicalFunction, Rid};
use vf82599::Profile;

use crate::common::daemon::{Daemon, Host};
use crate::common::driver::Guest;
use crate::common::frames::{BROADCAST, mac, numbered};
use crate::common::front_end::SyntheticGuest;

#[test]
fn sixty_four_vfs_without_guests_take_less_than_64_mib() {
    let daemon = Daemon::with_vms(64, "total_vfs = 64", "");
    let resident = daemon.resident_kib();
    println!("{resident} KiB resident");
    assert!(resident < 64 * 1024, "{resident} KiB");
}

#[test]
fn two_hundred_and_fifty_six_vfs_are_there_at_once() {
    let daemon = Daemon::with_vms(256, "total_vfs = 256", "");
    println!("ready after {:?}, {} KiB resident", daemon.ready_after, daemon.resident_kib());
    // The goal is one second. The machine of a test may have other things to do.
    assert!(daemon.ready_after < Duration::from_secs(5), "{:?}", daemon.ready_after);
    let [mut first, mut last] = [0, 255].map(|n| Guest::boot(&daemon.socket(n)));
    first.send(&numbered(last.mac, first.mac, 1, 60));
    assert_eq!(last.receive(), numbered(last.mac, first.mac, 1, 60));
    assert_eq!(daemon.json(&["vf"]).as_array().unwrap().len(), 256);
}

/// Something may go on for a while in a daemon that has nothing to do: of two measurements, one must be below `most`, a
/// share of a CPU.
fn assert_idle(daemon: &Daemon, period: Duration, most: f64) {
    let share = |_| {
        let before = daemon.cpu_time();
        std::thread::sleep(period);
        (daemon.cpu_time() - before).as_secs_f64() / period.as_secs_f64()
    };
    let idle = (0..2).map(share).any(|share| share < most);
    assert!(idle, "twice not less than {most} of a CPU");
}

#[test]
fn idle_guests_cost_less_than_two_percent_of_a_cpu() {
    let daemon = Daemon::with_vms(2, "", "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::boot(&daemon.socket(n)));
    a.send(&numbered(b.mac, a.mac, 1, 60));
    b.receive();
    assert_idle(&daemon, Duration::from_secs(2), 0.02);
}

#[test]
fn thirty_two_idle_synthetic_guests_cost_less_than_three_percent_of_a_cpu() {
    let daemon = Daemon::with_vms(32, "", "iov_weight = 0");
    let socket = |n| daemon.host.runtime_dir().join(format!("vm{n}-net0.net"));
    let mut guests: Vec<_> = (0..32).map(|n| SyntheticGuest::boot(&socket(n), mac(n))).collect();
    // The rings of all run.
    guests[0].send(&numbered(BROADCAST, mac(0), 1, 60));
    for guest in &mut guests[1..] {
        assert_eq!(guest.receive(), numbered(BROADCAST, mac(0), 1, 60));
    }
    assert_idle(&daemon, Duration::from_secs(5), 0.03);
}

/// The adapter of a daemon with `total_vfs = 4` and no VMs.
fn same_adapter() -> Adapter {
    let profile = PfProfile::x550(4, Profile::X550.function());
    let function =
        PhysicalFunction::create(Rid::new(1, 0, 0).unwrap(), &profile, PfStorage::heap(4)).unwrap();
    let vports = 1 + 4 + 64;
    let config = AdapterConfig {
        keywords: Keywords::default(),
        capabilities: Capabilities {
            max_vfs: 4,
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
            single_vport_pool: false,
        },
        switch: SwitchParameters {
            num_vfs: 4,
            queue_pairs_for_default_vport: 1,
            name: "Default Switch".to_owned(),
        },
        creation: SwitchCreation::Dynamic,
        physical_port: false,
        luid: 1,
    };
    let (mut adapter, _) = Adapter::initialize(config, function).unwrap();
    adapter.set_link(true);
    adapter
}

#[test]
fn an_oid_trace_replays_without_a_difference() {
    let daemon = Daemon::start(Host::new(), "[adapter]\ntotal_vfs = 4\n");
    let file = daemon.host.path("trace");
    daemon.json(&["oid", "trace", file.to_str().unwrap()]);
    let mac = ethernet::MacAddr::from(mac(0));
    let parameters = VfParameters {
        permanent_mac: mac,
        current_mac: mac,
        vm_name: "operators".to_owned(),
        vm_friendly_name: "operators".to_owned(),
        nic_name: "net0".to_owned(),
    };
    let vport = NewVPort {
        function: FunctionId::Vf(VfId(0)),
        queue_pairs: 2,
        interrupt_moderation: InterruptModeration::Undefined,
        affinity: None,
        name: "of the operator".to_owned(),
    };
    let requests = [
        OidRequest::AllocateVf(parameters),
        OidRequest::CreateVPort(vport),
        OidRequest::SetFilter { vport: VPortId(1), test: FilterTest { mac, vlan: VlanTest::UntaggedOrZero } },
        OidRequest::ResetVf(VfId(0)),
        OidRequest::EnumVfs,
        // Refusals are recorded as well.
        OidRequest::FreeVf(VfId(0)),
        OidRequest::FreeVf(VfId(3)),
    ];
    for request in &requests {
        daemon.host.cli(&["oid", "request", &serde_json::to_string(request).unwrap()]);
    }
    assert_eq!(daemon.json(&["vf"])[0]["vm"], "operators");
    daemon.json(&["oid", "trace"]);
    daemon.json(&["oid", "request", "EnumVfs"]);
    let trace = std::fs::read_to_string(&file).unwrap();
    let mut adapter = same_adapter();
    let report = trace::replay(&trace, &mut adapter).unwrap();
    assert_eq!(report.records, requests.len());
    assert_eq!(adapter.switch().unwrap().filters().count(), 1);
}

#[test]
fn operators_reach_vfs_through_oid_requests() {
    let daemon = Daemon::with_vms(2, "", "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::boot(&daemon.socket(n)));
    let numbered = |a: &Guest, b: &Guest, number| numbered(b.mac, a.mac, number, 60);
    // Powered down a VF does nothing and hears nothing, until it is powered up and its driver starts over.
    daemon.json(&["oid", "request", r#"{"SetVfPowerState":{"vf":1,"state":"d3","wake_enable":false}}"#]);
    assert_eq!(daemon.device(1)["driver_ready"], false);
    a.send(&numbered(&a, &b, 1));
    assert_eq!(b.received(), None);
    daemon.json(&["oid", "request", r#"{"SetVfPowerState":{"vf":1,"state":"d0","wake_enable":false}}"#]);
    drop(b);
    let mut b = crate::common::wait_for("a new client", || {
        Guest::try_boot(&daemon.socket(1), crate::common::driver::Msix::Relayed).ok()
    });
    a.send(&numbered(&a, &b, 2));
    let frame = b.receive();
    // Whether the first was held for so long is left open.
    let frame = if frame == numbered(&a, &b, 1) { b.receive() } else { frame };
    assert_eq!(frame, numbered(&a, &b, 2));
    // A reset by the PF stops the driver's queues.
    daemon.json(&["oid", "request", r#"{"ResetVf":1}"#]);
    assert_eq!(daemon.device(1)["driver_ready"], false);
    assert_eq!(daemon.device(0)["driver_ready"], true);
}
