//! What is shown with real guests. Each case is a function that fails with the reason.

mod addresses;
mod basics;
mod cli;
mod failover;
mod lifecycle;
mod migration;
mod outside;
mod oversubscription;
mod policies;
mod queues;
mod quickstart;
mod restart;
mod selfcheck;
mod surprise;
mod synthetic;
mod throughput;
mod vlan;

use std::time::Duration;

use anyhow::Result;

use super::scene::Lab;

/// A test in the lab.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What it shows, in one line.
    pub(super) shows: &'static str,
    /// How long it may take, on a busy machine.
    pub(super) limit: Duration,
    pub(super) run: fn(&Lab) -> Result<()>,
    /// It takes long and shows little more than another: it runs only when its whole name is given.
    named_only: bool,
}

impl Case {
    /// Whether it is one of those that `filter` asks for: part of their names, or nothing for all.
    pub(super) fn is_meant(&self, filter: &str) -> bool {
        self.name == filter || (self.name.contains(filter) && !self.named_only)
    }

    const fn named_only(self) -> Self {
        Self { named_only: true, ..self }
    }
}

const fn case(name: &'static str, minutes: u64, run: fn(&Lab) -> Result<()>, shows: &'static str) -> Case {
    Case { name, shows, limit: Duration::from_secs(60 * minutes), run, named_only: false }
}

/// Every case, in the order in which they run: the plain ones first.
pub(super) const ALL: &[Case] = &[
    case(
        "lab_self_check",
        4,
        selfcheck::lab_self_check,
        "a guest boots, answers, reboots and ends, without softiov",
    ),
    case(
        "bad_input",
        2,
        cli::bad_input,
        "wrong configurations and commands fail with a sentence that names the cause",
    ),
    case(
        "memory_and_start",
        2,
        cli::memory_and_start,
        "64 idle VFs take under 64 MiB, 256 VFs are ready in under 1 s",
    ),
    case("two_guests_basics", 4, basics::two_guests_basics, "ixgbevf binds, link is 10G, IPv4 and IPv6 pass"),
    case(
        "lspci_decodes",
        4,
        basics::lspci_decodes,
        "a guest's lspci reads the whole configuration space without complaint",
    ),
    case("driver_reload", 4, basics::driver_reload, "the driver can be unloaded and loaded again"),
    case("guest_reboot", 5, basics::guest_reboot, "a guest that reboots finds its VF working"),
    case(
        "iperf3_tcp_udp",
        5,
        throughput::iperf3_tcp_udp,
        "TCP both ways and UDP pass without a checksum error",
    ),
    case(
        "mtu_jumbo",
        4,
        throughput::mtu_jumbo,
        "frames of 9000 and 9710 bytes pass, a larger MTU is refused",
    ),
    case(
        "offload_toggles",
        5,
        throughput::offload_toggles,
        "streams pass with each offload off and on again",
    ),
    case(
        "rss_two_queues",
        4,
        throughput::rss_two_queues,
        "several flows reach both receive queues of a guest",
    ),
    case("ring_resize", 4, throughput::ring_resize, "rings can be resized under traffic"),
    case(
        "vlan_in_guest",
        4,
        vlan::vlan_in_guest,
        "guests on trunk adapters tag the VLANs they are allowed, and no other",
    ),
    case(
        "eight_vfs_all_pairs",
        6,
        vlan::eight_vfs_all_pairs,
        "four guests with two VFs reach each other in a VLAN and not across",
    ),
    case(
        "synthetic_traffic",
        5,
        synthetic::synthetic_traffic,
        "synthetic adapters with two queue pairs, a VF and the host reach each other, TSO frames stay whole",
    ),
    case(
        "synthetic_mtu_vlan",
        4,
        synthetic::synthetic_mtu_vlan,
        "9000 bytes pass in a VLAN between synthetic adapters and a VF",
    ),
    case(
        "outside_tap",
        5,
        outside::outside_tap,
        "a synthetic adapter and a VF reach a machine behind a tap netdev, TSO frames stay whole",
    ),
    case(
        "outside_packet",
        6,
        outside::outside_packet,
        "the same behind a packet socket, with VM queues, VLANs, and a link that goes down and up",
    ),
    case(
        "vm_queues",
        5,
        queues::vm_queues,
        "without SR-IOV, VM queues go to the heaviest adapters and lead past the switch, on the worker's CPU",
    ),
    case("outside_xdp", 5, outside::outside_xdp, "the same behind AF_XDP"),
    case("mac_change_refused", 4, addresses::mac_change, "only a trusted adapter may change its MAC address"),
    case(
        "promiscuous_shows_nothing",
        4,
        addresses::promiscuous_shows_nothing,
        "a guest never sees the unicast of two others",
    ),
    case(
        "spoofed_source_dropped",
        4,
        addresses::spoofed_source_dropped,
        "frames from a foreign MAC address are dropped and counted",
    ),
    case(
        "hotplug_100_cycles",
        12,
        lifecycle::hotplug_100_cycles,
        "a VF comes and goes 100 times beside traffic, and nothing leaks",
    ),
    case(
        "datapath_rebuild_20x",
        5,
        lifecycle::datapath_rebuild_20x,
        "a stream survives 20 rebuilds of the data path",
    ),
    case(
        "failover_planned",
        6,
        failover::failover_planned,
        "the daemon moves a guest between its VF and its synthetic adapter under TCP and UDP, and no frame is lost",
    ),
    case("failover_200", 15, failover::failover_200, "the same 200 times; runs only by its whole name")
        .named_only(),
    case(
        "failover_surprise",
        6,
        surprise::failover_surprise,
        "a VF whose socket breaks, a guest that does not let go, and a driver that begins anew cost no connection",
    ),
    case(
        "failover_guest_restarts",
        6,
        surprise::failover_guest_restarts,
        "a guest that reboots, and one whose QEMU is killed, have their VF again",
    ),
    case(
        "oversubscription",
        6,
        oversubscription::oversubscription,
        "of eight guests the three heaviest have the VFs, whatever changes, and each other is told why it has none",
    ),
    case(
        "daemon_restart",
        6,
        restart::daemon_restart,
        "the daemon is ended and started again: VMs are as wanted, synthetic adapters reconnect, VFs return",
    ),
    case(
        "quickstart",
        6,
        quickstart::quickstart,
        "each command of docs/quickstart.md does what the page says",
    ),
    case(
        "port_security",
        5,
        policies::port_security,
        "ACL, DHCP guard and router guard stop a guest's own servers, and permit what they should",
    ),
    case(
        "port_policies",
        6,
        policies::port_policies,
        "mirror, spoof guard, bandwidth, storm limit, private VLANs, and a guest with 10,000 addresses",
    ),
    case(
        "live_migration",
        6,
        migration::live_migration,
        "a guest migrates under TCP and UDP, and a migration that fails or is given up leaves no trace",
    ),
];
