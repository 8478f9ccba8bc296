//! What is behind the physical port: guests on a synthetic adapter and on a VF reach another machine by a tap netdev,
//! by packet sockets, and by AF_XDP.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::capture::{self, Ear};
use super::super::config::{Adapter, Config};
use super::super::namespace::Namespace;
use super::super::net::{self, Link};
use super::super::scene::{Lab, Scene};
use super::super::shell::Shell;
use super::super::vm::Vm;
use super::queues::{Receiver, past_the_switch};

/// The netdev that the physical port leads to.
pub(super) const UPLINK: &str = "uplink0";
/// The machine outside, its device and its number in addresses.
const OUTSIDE: &str = "outside";
pub(super) const OUTSIDE_DEV: &str = "eth0";
const OUTSIDE_NUMBER: u8 = 100;
/// How long a state may take to reach a guest on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The host that the daemon runs on, and a machine outside.
pub(super) struct Site {
    pub(super) host: Namespace,
    pub(super) outside: Namespace,
    pub(super) link: Link,
}

impl Site {
    /// The host and the machine, joined by a cable from `port` of the host.
    pub(super) fn new(lab: &Lab, port: &str) -> Result<Self> {
        let [host, outside] = ["host", OUTSIDE].map(|name| Namespace::new(name, lab.deadline));
        let (host, outside) = (host?, outside?);
        host.cable(port, &outside, OUTSIDE_DEV)?;
        let link = net::up_as(&outside, OUTSIDE_DEV, 0, OUTSIDE_NUMBER)?;
        Ok(Self { host, outside, link })
    }
}

/// Guests and the machine outside reach each other; what is for all reaches each once; no checksum is wrong.
fn traffic(site: &Site, guests: &[Vm; 2], links: &[Link; 2]) -> Result<()> {
    let Site { outside, link, .. } = site;
    for (guest, own) in guests.iter().zip(links) {
        for (there, here) in [(&link.v4, &own.v4), (&link.v6, &own.v6)] {
            net::ping(guest, there)?;
            net::ping(outside, here)?;
        }
    }
    net::ping(&guests[0], &links[1].v4)?;

    let ears = [
        Ear { place: &guests[0], dev: &links[0].dev, v4: &links[0].v4 },
        Ear { place: &guests[1], dev: &links[1].dev, v4: &links[1].v4 },
        Ear { place: outside, dev: OUTSIDE_DEV, v4: &link.v4 },
    ];
    for speaker in 0..ears.len() {
        capture::each_hears_once(&ears, speaker)?;
    }

    net::serve_iperf(outside)?;
    for guest in guests {
        net::iperf(guest, &link.v4, "-t 1")?;
        net::iperf(guest, &link.v6, "-t 1 -R")?;
        net::udp(guest, &link.v4)?;
    }
    for ear in &ears {
        let errors = net::checksum_errors(ear.place, ear.dev)?;
        ensure!(errors == 0, "{} has counted {errors} checksum errors", ear.place.name());
    }
    Ok(())
}

/// Frames as large as `mtu` pass between the guests and the machine outside, once all netdevs on the way allow them.
fn large_frames(site: &Site, guests: &[Vm; 2], mtu: u32, on_host: &[&str]) -> Result<()> {
    for dev in on_host {
        site.host.sh(&format!("ip link set {dev} mtu {mtu}"))?;
    }
    site.outside.sh(&format!("ip link set {OUTSIDE_DEV} mtu {mtu}"))?;
    for guest in guests {
        let dev = guest.netdev(0)?;
        guest.sh(&format!("ip link set {dev} mtu {mtu}"))?;
        net::up(guest, 0)?;
        net::ping_with(guest, &format!("-4 -M do -s {}", mtu - 28), &site.link.v4)?;
        net::ping_with(guest, &format!("-6 -M do -s {}", mtu - 48), &site.link.v6)?;
        net::iperf(guest, &site.link.v4, "-t 1")?;
    }
    Ok(())
}

/// A synthetic adapter and a VF.
fn synthetic_and_vf() -> Config {
    Config::pair().with(0, 0, Adapter::synthetic)
}

/// By a tap netdev in a bridge: what the host's stack can segment later is not segmented before.
pub(super) fn outside_tap(lab: &Lab) -> Result<()> {
    let site = Site::new(lab, "cable0")?;
    site.host.sh(&format!(
        "ip tuntap add {UPLINK} mode tap && ip link set {UPLINK} up && ip link add br0 type bridge && \
         ip link set {UPLINK} master br0 && ip link set cable0 master br0 && ip link set br0 up"
    ))?;
    let scene = lab.scene_on(&site.host, &synthetic_and_vf().uplink("tap", UPLINK))?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    traffic(&site, guests, &links)?;

    let arrived = || -> Result<[u64; 2]> {
        let count = |name| -> Result<u64> {
            let path = format!("/sys/class/net/{OUTSIDE_DEV}/statistics/rx_{name}");
            site.outside.sh(&format!("cat {path}"))?.parse().context("a counter is a number")
        };
        Ok([count("bytes")?, count("packets")?])
    };
    let before = arrived()?;
    net::iperf(&guests[0], &site.link.v4, "-t 1")?;
    let after = arrived()?;
    let average = (after[0] - before[0]) / (after[1] - before[1]).max(1);
    ensure!(
        average > 1518,
        "frames of {average} bytes arrive outside: TSO frames are cut before the tap netdev"
    );

    large_frames(&site, guests, 9000, &[UPLINK, "cable0", "br0"])?;
    scene.finish()
}

/// By packet sockets on a veth device, with VM queues, VLANs, and a link that goes down.
pub(super) fn outside_packet(lab: &Lab) -> Result<()> {
    let site = Site::new(lab, UPLINK)?;
    let mut config = Config::plain(2, 2)
        .with(0, 0, Adapter::synthetic)
        .with(0, 1, |adapter| adapter.synthetic().vmq_weight(0))
        .with(1, 1, |adapter| adapter.access(30))
        .uplink("packet", UPLINK);
    config = config.with(0, 1, |adapter| adapter.access(30));
    let scene = lab.scene_on(&site.host, &config)?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    traffic(&site, guests, &links)?;
    vm_queues(lab, &site, &scene, &guests[0])?;
    tags(&site, &scene, guests)?;
    link_state(&site, &scene, guests)?;
    large_frames(&site, guests, 9000, &[UPLINK])?;
    scene.finish()
}

/// Unicast from outside came to the adapter with a VM queue straight, to the other through the extensible switch.
fn vm_queues(lab: &Lab, site: &Site, scene: &Scene, alpha: &Vm) -> Result<()> {
    let queued = scene.synthetic("alpha", 0)?;
    ensure!(queued.direct > 100, "streams to an adapter with a VM queue took the switch: {queued:?}");
    let show = scene.daemon.show()?;
    let adapters = &show["vms"][0]["adapters"];
    ensure!(adapters[0]["path"]["queue"].is_u64(), "alpha's first adapter has no queue: {}", adapters[0]);
    ensure!(adapters[1]["path"] == "switch", "alpha's second adapter has a queue: {}", adapters[1]);
    let vports = show["vports"].as_array().context("VPorts are shown")?;
    let own =
        vports.iter().find(|vport| vport["name"] == "alpha-net0").context("the queue's VPort is shown")?;
    ensure!(own["function_id"] == "PF" && own["state"] == "Activated", "the VPort of the queue is {own}");
    ensure!(own["interrupt_moderation"].is_string(), "no interrupt moderation is shown: {own}");
    ensure!(own["received"]["frames"] == queued.direct, "the VPort counts otherwise than the adapter: {own}");
    net::up(alpha, 1)?;
    let [queued, other] =
        [(0, None), (1, Some(30))].map(|(adapter, vlan)| Receiver { guest: alpha, adapter, vlan });
    past_the_switch(lab, site, scene, &format!("vport {}", own["vport_id"]), &queued, &other)
}

/// Adapters in VLAN 30, of which their guests know nothing: outside, the tag is seen; from outside, it is needed.
fn tags(site: &Site, scene: &Scene, guests: &[Vm; 2]) -> Result<()> {
    const REQUEST: &str = "arp and arp[6:2] == 1";
    let [alpha, beta] = guests;
    let [inside, by_vf] = [net::up(alpha, 1)?, net::up(beta, 1)?];
    net::ping(alpha, &by_vf.v4)?;

    let ear = Ear { place: &site.outside, dev: OUTSIDE_DEV, v4: &site.link.v4 };
    ear.listen(&format!("vlan 30 and {REQUEST}"))?;
    net::unreachable(alpha, &inside, "10.0.1.77")?;
    net::unreachable(beta, &by_vf, "10.0.1.78")?;
    ear.stop(alpha)?;
    for address in ["10.0.1.77", "10.0.1.78"] {
        let heard = ear.heard(&format!("vlan 30 and {REQUEST} and dst host {address}"))?;
        ensure!(heard.len() == 3, "of 3 requests for {address}, outside hears {heard:#?}");
    }

    // A broadcast with the tag 30 is for the adapters in that VLAN, without their guests seeing the tag.
    let ears = [
        (Ear { place: alpha, dev: &inside.dev, v4: &inside.v4 }, 1),
        (Ear { place: beta, dev: &by_vf.dev, v4: &by_vf.v4 }, 1),
    ];
    let before = scene.synthetic("alpha", 1)?;
    for (ear, _) in &ears {
        ear.listen("ether proto 0x88b5")?;
    }
    let tagged = format!("ffffffffffff0200000000998100001e88b5{}", "00".repeat(46));
    let untagged = format!("ffffffffffff02000000009988b5{}", "11".repeat(46));
    send_raw(&site.outside, &[tagged, untagged])?;
    for ((ear, expected), by) in ears.iter().zip([beta, alpha]) {
        ear.stop(by)?;
        let heard = ear.heard("ether proto 0x88b5")?;
        ensure!(heard.len() == *expected, "{} hears {heard:#?} in its VLAN", ear.place.name());
    }
    let after = scene.synthetic("alpha", 1)?;
    ensure!(
        after.direct == before.direct && after.frames > before.frames,
        "by a queue: {before:?}, {after:?}"
    );
    Ok(())
}

/// Sends frames, in hexadecimal digits, from the machine outside.
pub(super) fn send_raw(outside: &Namespace, frames: &[String]) -> Result<()> {
    let frames = frames.join(" ");
    // AF_PACKET, SOCK_RAW; struct sockaddr_ll with the index of the device.
    let script = format!(
        "socket(S, 17, 3, 0) or die $!; open(I, q(/sys/class/net/{OUTSIDE_DEV}/ifindex)) or die $!; $dev = <I>; \
         for (qw({frames})) {{ \
         send(S, pack(q(H*), $_), 0, pack(q(SnlSCCa8), 17, 0, $dev, 0, 0, 6, q())) or die $! }}"
    );
    outside.sh(&format!("perl -e '{script}'")).map(drop)
}

/// The cable outside is pulled and put back: `softiov show` and the VF's guest are told of both.
fn link_state(site: &Site, scene: &Scene, guests: &[Vm; 2]) -> Result<()> {
    let beta = &guests[1];
    for (order, carrier) in [("down", false), ("up", true)] {
        site.outside.sh(&format!("ip link set {OUTSIDE_DEV} {order}"))?;
        let dev = beta.netdev(0)?;
        beta.until(&format!("grep -q {} /sys/class/net/{dev}/carrier", u8::from(carrier)), PATIENCE)?;
        let show = scene.daemon.show()?;
        for link in [&show["uplink"]["link"]["up"], &show["adapter"]["link_up"]] {
            ensure!(link == carrier, "the cable is {order}, and the link up is shown as {link}");
        }
    }
    net::up_as(&site.outside, OUTSIDE_DEV, 0, OUTSIDE_NUMBER)?;
    for guest in guests {
        net::ping(guest, &site.link.v4)?;
    }
    Ok(())
}

/// The largest MTU with which a frame fits a page, which is all that a veth device hands to XDP.
const LARGEST_XDP: u32 = 3498;

/// By AF_XDP on a veth device.
pub(super) fn outside_xdp(lab: &Lab) -> Result<()> {
    let site = Site::new(lab, UPLINK)?;
    // A veth device hands frames over with their checksums not yet made, and AF_XDP cannot say so.
    site.outside.sh(&format!("ethtool -K {OUTSIDE_DEV} tx off"))?;
    // The buffers are as large as the netdev needs them when the daemon starts.
    site.host.sh(&format!("ip link set {UPLINK} mtu {LARGEST_XDP}"))?;
    let scene = lab.scene_on(&site.host, &synthetic_and_vf().uplink("xdp", UPLINK))?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    traffic(&site, guests, &links)?;
    large_frames(&site, guests, LARGEST_XDP, &[])?;
    scene.finish()
}
