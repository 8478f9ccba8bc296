//! MAC addresses: which a guest may use, and whose frames it sees.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::config::{Adapter, Config};
use super::super::net;
use super::super::scene::Lab;
use super::super::shell::Shell;
use super::super::vm::Vm;

/// How long a capture may take to start or to end.
const CAPTURE: Duration = Duration::from_secs(30);

pub(super) fn mac_change(lab: &Lab) -> Result<()> {
    const OTHER: &str = "02:00:00:00:99:99";
    let scene = lab.scene(&Config::pair().with(1, 0, Adapter::trusted))?;
    let guests @ [plain, trusted] = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    net::ping(plain, &links[1].v4)?;

    let (mine, yours) = (&links[0].dev, &links[1].dev);
    plain.refuses(&format!("ip link set {mine} address {OTHER}"))?;
    let unchanged = plain.sh(&format!("cat /sys/class/net/{mine}/address"))?;
    ensure!(unchanged == plain.mac(0), "the refused address is in use: {unchanged}");
    net::ping(plain, &links[1].v4)?;

    trusted.sh(&format!("ip link set {yours} address {OTHER}"))?;
    plain.sh(&format!("ip neigh flush dev {mine}"))?;
    net::ping(plain, &links[1].v4)?;
    let neighbour = plain.sh(&format!("ip neigh show {}", links[1].v4))?;
    ensure!(neighbour.contains(OTHER), "the new address was not learned: {neighbour}");
    // The old address is nobody's now.
    plain.sh(&format!(
        "ip neigh replace {} lladdr {} dev {mine} nud permanent",
        links[1].v4,
        trusted.mac(0)
    ))?;
    plain.refuses(&format!("ping -n -q -c 2 -w 3 {}", links[1].v4))?;
    scene.finish()
}

/// Size of the ping that ends a capture; no other frame has it.
const LAST_PING: &str = "-s 777";

/// Starts to capture the frames of a device that match `filter`, as a promiscuous listener, and waits until it hears.
fn start_capture(guest: &Vm, dev: &str, filter: &str) -> Result<()> {
    let tcpdump = format!("tcpdump -Z root --immediate-mode -U -i {dev} -w /tmp/capture.pcap '{filter}'");
    guest.start("capture", &tcpdump)?;
    guest.until("grep -q 'listening on' /tmp/capture.out", CAPTURE).map(drop)
}

/// Ends the capture with a ping to `own` that must be in it, so that whatever came before is in it too.
fn stop_capture(guest: &Vm, from: &Vm, own: &str) -> Result<()> {
    net::ping_with(from, LAST_PING, own)?;
    guest
        .until(&format!("{} | grep -q 'length 785'", read_capture("icmp")), CAPTURE)
        .context("the capture misses the last ping")?;
    guest.sh("kill -INT $(pidof tcpdump)")?;
    guest.finish("capture", CAPTURE).map(drop)
}

/// No captured frame matches the filter.
fn captured_none(guest: &Vm, filter: &str) -> Result<()> {
    let frames = guest.sh(&format!("{} | head -n 5", read_capture(filter)))?;
    ensure!(frames.is_empty(), "{} received frames that are none of its business: {frames}", guest.name());
    Ok(())
}

fn read_capture(filter: &str) -> String {
    format!("tcpdump -Z root -n -e -r /tmp/capture.pcap '{filter}' 2>/dev/null")
}

pub(super) fn promiscuous_shows_nothing(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::plain(3, 1))?;
    let guests @ [alpha, beta, gamma] = scene.guests::<3>()?;
    let [_, beta_link, gamma_link] = net::up_all(guests)?;
    net::ping(alpha, &gamma_link.v4)?;
    net::serve_iperf(beta)?;

    start_capture(gamma, &gamma_link.dev, "not ether multicast")?;
    net::ping(alpha, &beta_link.v4)?;
    net::ping(alpha, &beta_link.v6)?;
    net::iperf(alpha, &beta_link.v4, "-t 1")?;
    stop_capture(gamma, alpha, &gamma_link.v4)?;
    captured_none(gamma, &format!("not ether host {}", gamma.mac(0)))?;
    scene.finish()
}

/// A bridge in the guest joins its VF with a device that has an address of its own: frames from that one leave by the
/// VF with a foreign source.
pub(super) fn spoofed_source_dropped(lab: &Lab) -> Result<()> {
    const FOREIGN: &str = "02:00:00:00:66:66";
    let scene = lab.scene(&Config::pair())?;
    let guests @ [alpha, beta] = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    net::ping(alpha, &links[1].v4)?;
    let before = scene.daemon.counted("spoof")?;

    let (dev, own) = (&links[0].dev, alpha.mac(0));
    // Without a VLAN of its own: VLAN 1, a bridge's default, is none that this adapter may use.
    alpha.sh(&format!("ip link add br0 address {own} type bridge vlan_default_pvid 0"))?;
    alpha.sh(&format!("ip addr flush dev {dev}"))?;
    alpha.sh(&format!("ip link add out type veth peer name in address {FOREIGN}"))?;
    alpha.sh(&format!("ip link set {dev} master br0 && ip link set out master br0"))?;
    alpha.sh("ip link set out up && ip link set in up && ip link set br0 up")?;
    alpha.sh(&format!("ip addr add {}/24 dev br0 && ip addr add 10.0.0.66/32 dev in", links[0].v4))?;

    start_capture(beta, &links[1].dev, "ip or arp")?;
    // The foreign address does not pass; the adapter's own does, in the ping that ends the capture.
    net::unanswered(alpha, "in", "10.0.0.66", &links[1].v4)?;
    stop_capture(beta, alpha, &links[1].v4)?;
    captured_none(beta, &format!("ether src {FOREIGN}"))?;
    let counted = scene.daemon.counted("spoof")? - before;
    ensure!(counted >= 3, "the daemon counts {counted} spoofed frames after 3 spoofed requests");
    scene.finish()
}
