//! VMMs come and go.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::common::daemon::Daemon;
use crate::common::driver::Guest;
use crate::common::frames::numbered;
use crate::common::stream::Stream;
use crate::common::vmm::{Failure, Vmm, region};
use crate::common::wait_until;

fn wait_until_disconnected(daemon: &Daemon, n: usize) {
    wait_until("the daemon sees that the client has gone", || daemon.device(n)["connected"] == false);
}

#[test]
fn a_hundred_clients_one_after_the_other_leave_nothing_behind() {
    let daemon = Daemon::with_vms(2, "", "");
    let mut other = Guest::boot(&daemon.socket(1));
    daemon.wait_until_on_vf(other.mac);
    let before = (daemon.fds(), daemon.guest_mappings());
    for number in 0..100 {
        let mut guest = Guest::boot(&daemon.socket(0));
        guest.send(&numbered(other.mac, guest.mac, number, 100));
        assert_eq!(other.receive(), numbered(other.mac, guest.mac, number, 100));
        drop(guest);
        // The next one finds either the daemon waiting or the socket's backlog; both must do.
        if number % 2 == 0 {
            wait_until_disconnected(&daemon, 0);
        } else {
            wait_until("the memory of the client is given back", || daemon.guest_mappings() == before.1);
        }
    }
    wait_until_disconnected(&daemon, 0);
    // Since its first client the adapter has a buffer for frames of a guest between two paths, in a memfd.
    let allowed = before.0 + 1;
    wait_until("nothing is left behind", || daemon.fds() <= allowed && daemon.guest_mappings() == before.1);
}

#[test]
fn the_device_is_as_after_power_on_for_each_client() {
    let daemon = Daemon::with_vms(1, "", "");
    let registers = |vmm: &mut Vmm| {
        // Without memory space enabled there is nothing to be read but config space.
        let config = vmm.read(region::CONFIG, 0, 256).unwrap();
        vmm.write(region::CONFIG, 4, &2_u16.to_le_bytes()).unwrap();
        // Not VFFRTIMER, which is the time.
        let pages = [(0, 0x48), (0x4c, 0xfb4), (0x1000, 0x1000), (0x2000, 0x1000), (0x3000, 0x1000)];
        let bar = pages.map(|(offset, count)| vmm.read(region::BAR0, offset, count).unwrap());
        (config, bar, vmm.read(region::BAR3, 0, 64).unwrap())
    };
    let first = registers(&mut Vmm::connect(&daemon.socket(0)).unwrap());
    wait_until_disconnected(&daemon, 0);
    let mut guest = Guest::boot(&daemon.socket(0));
    guest.send(&numbered([0xff; 6], guest.mac, 1, 60));
    wait_until("the frame is counted", || {
        daemon.vport(0)["sent"]["frames"] != 0 || daemon.drops(0, "forwarding:no_destination") == 1
    });
    assert_eq!(daemon.device(0)["driver_ready"], true);
    drop(guest);
    wait_until_disconnected(&daemon, 0);
    let device = daemon.device(0);
    assert_eq!((&device["driver_ready"], &device["mapped_bytes"]), (&false.into(), &0.into()));
    assert!(registers(&mut Vmm::connect(&daemon.socket(0)).unwrap()) == first);
}

#[test]
fn a_second_client_is_turned_away_and_the_first_goes_on() {
    let daemon = Daemon::with_vms(2, "", "");
    let stream = Stream::start(Guest::boot(&daemon.socket(0)), Guest::boot(&daemon.socket(1)));
    let fds = daemon.fds();
    for _ in 0..20 {
        assert_eq!(Vmm::connect(&daemon.socket(0)).err(), Some(Failure::Closed));
        stream.advance(10);
    }
    assert_eq!(daemon.fds(), fds);
    stream.stop();
    daemon.wait_for_log(&["WARN", "a second client was turned away"]);
}

#[test]
fn a_client_killed_in_mid_traffic_costs_the_others_nothing() {
    let daemon = Daemon::with_vms(3, "", "");
    let stream = Stream::start(Guest::boot(&daemon.socket(0)), Guest::boot(&daemon.socket(1)));
    let before = (daemon.fds(), daemon.guest_mappings());
    for _ in 0..10 {
        let mut victim = Guest::boot(&daemon.socket(2));
        for number in 0..100 {
            victim.send(&numbered(crate::common::frames::mac(1), victim.mac, number, 1000));
        }
        // The connection goes on in another process, as long as that lives.
        let socket = OwnedFd::from(victim.vmm.stream().try_clone().unwrap());
        let mut process = Command::new("sleep").arg("1000").stdin(Stdio::from(socket)).spawn().unwrap();
        drop(victim);
        stream.advance(10);
        assert_eq!(daemon.device(2)["connected"], true);
        process.kill().unwrap();
        process.wait().unwrap();
        wait_until_disconnected(&daemon, 2);
        stream.advance(10);
    }
    assert!(stream.stop().frames > 100);
    drop(Guest::boot(&daemon.socket(2)));
    wait_until_disconnected(&daemon, 0);
    wait_until_disconnected(&daemon, 1);
    wait_until_disconnected(&daemon, 2);
    // Two guests less than before.
    assert_eq!(daemon.guest_mappings(), before.1 - 2);
}

#[test]
fn ends_in_order_with_clients_connected_and_takes_its_sockets_along() {
    let daemon = Daemon::with_vms(2, "", "");
    assert_eq!(
        daemon.host.sockets(),
        ["control.sock", "vm0-net0.net", "vm0-net0.vf", "vm1-net0.net", "vm1-net0.vf"]
    );
    let mut guest = Guest::boot(&daemon.socket(0));
    let (host, log) = daemon.end();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    assert_eq!(host.sockets(), Vec::<String>::new());
    assert!(guest.vmm.is_closed());
}
