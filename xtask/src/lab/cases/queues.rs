//! VM queues: who gets one, and which way the frames from outside go then.

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity};
use serde_json::{Value, json};

use super::super::config::Config;
use super::super::daemon::Daemon;
use super::super::net;
use super::super::recording::{Recording, Way};
use super::super::scene::{Lab, Scene};
use super::super::shell::Shell;
use super::super::vm::Vm;
use super::outside::{Site, UPLINK, send_raw};

/// The VLAN of the second adapters.
const VLAN: u16 = 30;
/// Where the frames come from by which a way is told: nobody's address.
const SOURCE: &str = "02:00:00:00:00:99";
const FRAMES: usize = 20;

/// An adapter without SR-IOV whose two queues go to beta, who is heavier, though alpha stands first.
pub(super) fn vm_queues(lab: &Lab) -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cpu = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu)).context("there is a CPU")?;
    let site = Site::new(lab, UPLINK)?;
    let config = Config::plain(2, 2)
        .vm_queues(2)
        .worker_on(cpu)
        .uplink("packet", UPLINK)
        .with(0, 0, |adapter| adapter.vmq_weight(10))
        .with(0, 1, |adapter| adapter.vmq_weight(0).access(VLAN))
        .with(1, 0, |adapter| adapter.vmq_weight(90))
        .with(1, 1, |adapter| adapter.vmq_weight(80).access(VLAN));
    let scene = lab.scene_on(&site.host, &config)?;
    let guests @ [alpha, beta] = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    for guest in guests {
        net::up(guest, 1)?;
    }
    given(&scene.daemon, beta, cpu)?;

    for (guest, own) in guests.iter().zip(&links) {
        for (there, here) in [(&site.link.v4, &own.v4), (&site.link.v6, &own.v6)] {
            net::ping(guest, there)?;
            net::ping(&site.outside, here)?;
        }
        net::serve_iperf(guest)?;
        net::iperf(&site.outside, &own.v4, "-t 1")?;
        net::iperf(&site.outside, &own.v6, "-t 1 -R")?;
    }
    let [light, heavy] = [scene.synthetic("alpha", 0)?, scene.synthetic("beta", 0)?];
    ensure!(light.direct == 0 && light.unicast > 100, "without a queue, alpha has received {light:?}");
    ensure!(heavy.direct == heavy.unicast && heavy.direct > 100, "with a queue, beta has received {heavy:?}");

    let receiver = |guest, adapter| Receiver { guest, adapter, vlan: (adapter == 1).then_some(VLAN) };
    for adapter in [0, 1] {
        // One with a tag and one without.
        let (queued, other) = (receiver(beta, adapter), receiver(alpha, 1 - adapter));
        past_the_switch(lab, &site, &scene, &format!("queue {}", adapter + 1), &queued, &other)?;
    }
    let (may, was) = scene.daemon.cpus_of("worker")?;
    ensure!(
        may == cpu.to_string() && was == may,
        "the worker of CPU {cpu} may run on {may}, and was on {was}"
    );
    scene.finish()
}

/// `softiov queue` shows two running queues, both of beta's, and `softiov show` why alpha has none.
fn given(daemon: &Daemon, beta: &Vm, cpu: usize) -> Result<()> {
    let queues: Value = serde_json::from_str(&daemon.call(&["queue", "-o", "json"])?)?;
    // The first one is the default queue.
    let queues = queues.as_array().map_or(&[][..], |queues| queues.get(1..).unwrap_or_default());
    ensure!(queues.len() == 2, "two VM queues were to be given: {queues:#?}");
    let affinity = format!("{}:0x{:x}", cpu / 64, 1_u64 << (cpu % 64));
    for ((index, queue), vlan) in queues.iter().enumerate().zip(["untagged".to_owned(), VLAN.to_string()]) {
        let expected = [
            ("queue_id", json!(index + 1)),
            ("state", json!("Running")),
            ("affinity", json!(affinity)),
            ("vm", json!("beta")),
            ("queue_name", json!(format!("beta-net{index}"))),
        ];
        for (name, value) in expected {
            ensure!(queue[name] == value, "{name} of queue {} is not {value}: {queue}", index + 1);
        }
        let filter = &queue["filters"][0];
        let is_own = filter["mac"] == beta.mac(index) && filter["vlan"] == vlan;
        ensure!(is_own && queue["filters"][1].is_null(), "the filters of queue {} are {queue}", index + 1);
    }
    let show = daemon.show()?;
    for (adapter, reason) in [(0, "all VM queues are taken"), (1, "vmq_weight is 0")] {
        let why = &show["vms"][0]["adapters"][adapter]["no_queue"];
        ensure!(why.as_str().is_some_and(|why| why.contains(reason)), "alpha has no queue because {why}");
    }
    Ok(())
}

/// An adapter of a guest, as it is found from outside.
pub(super) struct Receiver<'a> {
    pub(super) guest: &'a Vm,
    pub(super) adapter: usize,
    /// The tag that its frames have on the wire.
    pub(super) vlan: Option<u16>,
}

impl Receiver<'_> {
    fn mac(&self) -> &str {
        self.guest.mac(self.adapter)
    }

    /// Frames for it, in hexadecimal digits.
    fn frames(&self) -> impl Iterator<Item = String> {
        let tag = self.vlan.map_or_else(String::new, |vlan| format!("8100{vlan:04x}"));
        let head = format!("{}{}{tag}88b5", self.mac(), SOURCE).replace(':', "");
        (0..FRAMES).map(move |number| format!("{head}{number:04x}{}", "00".repeat(44)))
    }

    /// Those frames, as tcpdump looks for them, with or without tag.
    fn filter(&self) -> String {
        format!("ether src {SOURCE} and ether dst {}", self.mac())
    }
}

/// Frames from outside come to `queued` by `point`, a queue or VPort of its own, with no stop in the extensible switch,
/// and to `other` through that: counters and captures say so.
pub(super) fn past_the_switch(
    lab: &Lab,
    site: &Site,
    scene: &Scene,
    point: &str,
    queued: &Receiver<'_>,
    other: &Receiver<'_>,
) -> Result<()> {
    let received = || -> Result<_> {
        let of = |receiver: &Receiver<'_>| scene.synthetic(receiver.guest.name(), receiver.adapter);
        Ok((of(queued)?, of(other)?))
    };
    let words: Vec<&str> = point.split(' ').collect();
    let by_point = Recording::start(lab, &scene.daemon, &point.replace(' ', "-"), &words)?;
    let by_switch =
        Recording::start(lab, &scene.daemon, &point.replace(' ', "-not-"), &["switch", "default"])?;
    let before = received()?;
    send_raw(&site.outside, &queued.frames().chain(other.frames()).collect::<Vec<_>>())?;
    by_point.await_frames(&queued.filter(), FRAMES)?;
    by_switch.await_frames(&other.filter(), FRAMES)?;
    let after = received()?;
    let (by_point, by_switch) = (by_point.end()?, by_switch.end()?);

    let straight = after.0.direct - before.0.direct;
    ensure!(straight >= FRAMES as u64, "of {FRAMES} frames, {straight} came by {point}");
    ensure!(
        after.1.direct == before.1.direct && after.1.unicast - before.1.unicast >= FRAMES as u64,
        "past {point} came {before:?}, {after:?}"
    );
    let shown = [
        (&by_point, queued.filter(), FRAMES),
        (&by_point, format!("not ether dst {}", queued.mac()), 0),
        (&by_switch, queued.filter(), 0),
        (&by_switch, other.filter(), FRAMES),
    ];
    for (record, filter, expected) in shown {
        let frames = record.frames(&filter)?;
        ensure!(frames == expected, "tcpdump reads {frames} frames `{filter}` where {expected} are");
    }
    let seen = by_point.seen(&format!("eth.src == {SOURCE}"))?;
    let all = seen.iter().all(|frame| {
        frame.interface.eq_ignore_ascii_case(point) && frame.way == Way::In && frame.comment.is_empty()
    });
    ensure!(all && seen.len() == FRAMES, "tshark reads what came by {point} as {seen:#?}");
    Ok(())
}
