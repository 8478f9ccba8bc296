//! Synthetic adapters: to each other, to VFs, to the host.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::capture::{self, Ear};
use super::super::config::{Adapter, Config, Vlans};
use super::super::namespace::Namespace;
use super::super::net::{self, Link};
use super::super::scene::{Lab, Scene};
use super::super::shell::Shell;
use super::super::vm::Vm;

/// The host's adapter on the switch.
const HOST: &str = "vnic0";
/// The host's number in addresses.
const HOST_NUMBER: u8 = 100;
/// Largest frame that fits an MTU of 1500, with a VLAN tag.
const LARGEST_FRAME: u64 = 1518;

/// Two guests on synthetic adapters with two queue pairs each, one on a VF, and the host.
pub(super) fn synthetic_traffic(lab: &Lab) -> Result<()> {
    let two_pairs = |adapter: Adapter| adapter.synthetic().queue_pairs(2);
    let config = Config::plain(3, 1).with(0, 0, two_pairs).with(1, 0, two_pairs).cpus(2).host_adapter(HOST);
    let host = Namespace::new("host", lab.deadline)?;
    let scene = lab.scene_on(&host, &config)?;
    let guests @ [alpha, beta, gamma] = scene.guests::<3>()?;
    let links = net::up_all(guests)?;
    let at_host = net::up_as(&host, HOST, 0, HOST_NUMBER)?;
    let [alpha_link, beta_link, gamma_link] = &links;

    for (from, to) in [(alpha, beta_link), (alpha, gamma_link), (gamma, beta_link)] {
        for address in [&to.v4, &to.v6] {
            net::ping(from, address)?;
        }
    }
    for guest in guests {
        net::ping(guest, &at_host.v4)?;
        net::ping(guest, &at_host.v6)?;
    }
    net::ping(&host, &alpha_link.v4)?;
    net::ping(&host, &gamma_link.v6)?;

    let ears = [
        Ear { place: alpha, dev: &alpha_link.dev, v4: &alpha_link.v4 },
        Ear { place: beta, dev: &beta_link.dev, v4: &beta_link.v4 },
        Ear { place: gamma, dev: &gamma_link.dev, v4: &gamma_link.v4 },
        Ear { place: &host, dev: HOST, v4: &at_host.v4 },
    ];
    for speaker in [0, 2, 3] {
        capture::each_hears_once(&ears, speaker)?;
    }

    both_pairs_and_uncut(&scene, guests, &links)?;
    net::serve_iperf(gamma)?;
    net::iperf(alpha, &gamma_link.v4, "-t 1")?;
    net::iperf(alpha, &gamma_link.v6, "-t 1 -R")?;
    net::serve_iperf(&host)?;
    net::iperf(alpha, &at_host.v4, "-t 1")?;
    net::iperf(gamma, &at_host.v4, "-t 1 -R")?;
    net::udp(alpha, &gamma_link.v4)?;
    for (place, dev) in ears.iter().map(|ear| (ear.place, ear.dev)) {
        let errors = net::checksum_errors(place, dev)?;
        ensure!(errors == 0, "{} has counted {errors} checksum errors", place.name());
    }
    scene.finish()
}

/// Streams from alpha to beta use both queue pairs of both, and their TSO frames stay whole on the way.
fn both_pairs_and_uncut(scene: &Scene, guests: &[Vm; 3], links: &[Link; 3]) -> Result<()> {
    let [alpha, beta, _] = guests;
    net::serve_iperf(beta)?;
    let before = scene.synthetic("beta", 0)?;
    net::iperf(alpha, &links[1].v4, "-t 1 -P 8")?;
    let after = scene.synthetic("beta", 0)?;
    let average = (after.octets - before.octets) / (after.frames - before.frames).max(1);
    ensure!(
        average > LARGEST_FRAME,
        "beta receives frames of {average} bytes: TSO frames are cut on the way"
    );
    net::iperf(alpha, &links[1].v6, "-t 1 -P 8 -R")?;
    for (guest, Link { dev, .. }) in guests.iter().zip(links).take(2) {
        let interrupts = guest.sh("grep input /proc/interrupts")?;
        let queues = guest.sh(&format!("tc -s qdisc show dev {dev}"))?;
        for queue in 0..2 {
            let count = interrupts_of(&interrupts, &format!("input.{queue}"))
                .with_context(|| format!("{} has no receive queue {queue}: {interrupts}", guest.name()))?;
            ensure!(count > 10, "{}: receive queue {queue} is idle: {interrupts}", guest.name());
            let frames = sent_by(&queues, &format!("parent :{} ", queue + 1))
                .with_context(|| format!("{} has no transmit queue {queue}: {queues}", guest.name()))?;
            ensure!(frames > 10, "{}: transmit queue {queue} is idle: {queues}", guest.name());
        }
    }
    Ok(())
}

/// Interrupts on all processors of the vector whose name ends in `name`, out of lines of `/proc/interrupts`.
fn interrupts_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.trim_end().ends_with(name))?;
    Some(line.split_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok()).sum())
}

/// Frames that the queueing discipline with `parent` in its first line has sent: ` Sent 1234 bytes 56 pkt (...)`.
fn sent_by(text: &str, parent: &str) -> Option<u64> {
    let mut lines = text.lines().skip_while(|line| !format!("{line} ").contains(parent)).skip(1);
    lines.next()?.split_whitespace().nth(3)?.parse().ok()
}

/// MTU 9000 in a VLAN: an access adapter, one whose guest tags, and a VF.
pub(super) fn synthetic_mtu_vlan(lab: &Lab) -> Result<()> {
    const WHOLE: [(&str, u32); 2] = [("-4", 8972), ("-6", 8952)];
    let config = Config::plain(3, 1)
        .with(0, 0, |adapter| adapter.synthetic().access(10).mtu(9000))
        .with(1, 0, |adapter| adapter.synthetic().trunk(vec![Vlans::One(10), Vlans::One(20)]))
        .with(2, 0, |adapter| adapter.access(10));
    let scene = lab.scene(&config)?;
    let guests @ [alpha, beta, gamma] = scene.guests::<3>()?;
    for guest in guests {
        guest.sh(&format!("ip link set {} mtu 9000", guest.netdev(0)?))?;
    }
    let [alpha_link, beta_link, gamma_link] = net::up_all(guests)?;
    alpha.refuses(&format!("ip link set {} mtu 9001", alpha_link.dev))?;
    beta.sh(&format!(
        "ip addr flush dev {0}; ip link add link {0} name vlan10 type vlan id 10",
        beta_link.dev
    ))?;
    let in_vlan = net::up_as(beta, "vlan10", 0, beta.number())?;

    for (from, to) in [(alpha, &in_vlan), (alpha, &gamma_link), (gamma, &in_vlan)] {
        for ((family, size), address) in WHOLE.into_iter().zip([&to.v4, &to.v6]) {
            net::ping_with(from, &format!("{family} -M do -s {size}"), address)?;
        }
    }
    net::serve_iperf(beta)?;
    net::iperf(alpha, &in_vlan.v4, "-t 1")?;
    net::iperf(gamma, &in_vlan.v6, "-t 1 -R")?;

    // Who tags another VLAN, or none, is not in this one.
    beta.sh(&format!("ip link del vlan10; ip link add link {} name vlan20 type vlan id 20", beta_link.dev))?;
    net::up_as(beta, "vlan20", 0, beta.number())?;
    net::unreachable(alpha, &alpha_link, &in_vlan.v4)?;
    net::unreachable(gamma, &gamma_link, &in_vlan.v4)?;
    for (guest, link) in guests.iter().zip([&alpha_link, &beta_link, &gamma_link]) {
        let errors = net::checksum_errors(guest, &link.dev)?;
        ensure!(errors == 0, "{} has counted {errors} checksum errors", guest.name());
    }
    scene.finish()
}

/// What a synthetic adapter has received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) frames: u64,
    pub(super) octets: u64,
    /// Of the frames, those for nobody else.
    pub(super) unicast: u64,
    /// Of the frames, those that did not pass the extensible switch.
    pub(super) direct: u64,
}

impl Scene {
    /// What adapter `index` of a VM has received by its synthetic path.
    pub(super) fn synthetic(&self, vm: &str, index: usize) -> Result<Received> {
        let show = self.daemon.show()?;
        let vm = show["vms"].as_array().and_then(|vms| vms.iter().find(|of| of["name"] == vm));
        let adapter = &vm.context("the VM is not shown")?["adapters"][index]["synthetic"];
        received(adapter).with_context(|| format!("the synthetic adapter shows no counters: {adapter}"))
    }
}

fn received(counters: &Value) -> Option<Received> {
    let received = |name: &str| counters["received"][name].as_u64();
    Some(Received {
        frames: received("frames")?,
        octets: received("octets")?,
        unicast: received("frames")? - received("multicast")? - received("broadcast")?,
        direct: counters["direct"].as_u64()?,
    })
}
