//! Failover by the daemon itself: it plugs a stock guest's VF in and out, and the guest's net_failover follows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::config::{Adapter, Config};
use super::super::daemon::Daemon;
use super::super::datagrams::Watched;
use super::super::deadline::await_that;
use super::super::net;
use super::super::scene::Lab;
use super::super::shell::Shell;
use super::super::vm::Vm;
use crate::ui;

/// The adapter that is moved.
pub(super) const MOVED: &str = "alpha/net0";
/// How long a guest may take to bind a driver, on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The devices below net_failover's, while it has a VF and without.
pub(super) const ON_VF: &str = "ixgbevf virtio_net";
pub(super) const SYNTHETIC: &str = "virtio_net";

/// Alpha is moved to its synthetic adapter and back for a while.
pub(super) fn failover_planned(lab: &Lab) -> Result<()> {
    const TURNING: Duration = Duration::from_secs(15);
    const MOVES: usize = 10;
    planned(lab, |moves, took| moves >= MOVES && took >= TURNING)
}

/// The same, two hundred times.
pub(super) fn failover_200(lab: &Lab) -> Result<()> {
    const MOVES: usize = 200;
    planned(lab, |moves, _| moves >= MOVES)
}

/// Alpha is moved there and back until it is `enough`, while streams go both ways.
fn planned(lab: &Lab, enough: impl Fn(usize, Duration) -> bool) -> Result<()> {
    let monitor = format!("{}/alpha.monitor", lab.dir());
    let config = Config::pair().with(1, 0, Adapter::synthetic).monitored(0, monitor);
    let scene = lab.scene(&config)?;
    let (guests @ [alpha, beta], daemon) = (scene.guests::<2>()?, &scene.daemon);
    let [here, there] = net::up_all(guests)?;

    let came = await_move(daemon, 0, true).context("the VF does not come")?;
    ensure!(!is_vf(&came["failover"]["from"]), "the guest did not start by its synthetic adapter: {came}");
    net::await_drivers(alpha, &here.dev, ON_VF)?;
    net::ping(alpha, &there.v4)?;
    net::ping(beta, &here.v6)?;

    let datagrams =
        Watched::start(lab, daemon, Some(alpha), &[(alpha, beta, &there.v4), (beta, alpha, &here.v4)])?;
    let connections = Connections::start(alpha, beta, &there.v4)?;
    let (began, mut moves) = (Instant::now(), Vec::new());
    while !enough(moves.len(), began.elapsed()) {
        for (to, vf) in [("synthetic", false), ("auto", true)] {
            let turn = moves.len() / 2 + 1;
            let moved = order(daemon, to, vf).with_context(|| format!("to {to} in turn {turn}"))?;
            if turn == 1 {
                carries(alpha, &here.dev, if vf { "ixgbevf" } else { SYNTHETIC })?;
            }
            moves.push(moved);
        }
    }
    report(&moves, began.elapsed())?;
    net::await_drivers(alpha, &here.dev, ON_VF)?;
    connections.stop()?;
    datagrams.stop()?;

    order(daemon, "synthetic", false)?;
    net::await_drivers(alpha, &here.dev, SYNTHETIC)?;
    net::ping(alpha, &there.v6)?;
    for (guest, link) in guests.iter().zip([&here, &there]) {
        let errors = net::checksum_errors(guest, &link.dev)?;
        ensure!(errors == 0, "{} has counted {errors} checksum errors", guest.name());
    }
    scene.finish()
}

/// Four TCP streams each way between two guests.
pub(super) struct Connections<'a> {
    guests: [&'a Vm; 2],
    /// Both ends of each.
    ends: String,
    /// What the guests had counted as reset before.
    resets: u64,
}

impl<'a> Connections<'a> {
    /// From `alpha` to `beta` at its address.
    pub(super) fn start(alpha: &'a Vm, beta: &'a Vm, v4: &str) -> Result<Self> {
        net::serve_iperf(beta)?;
        // Until it is told to end. As fast as it can, it would leave an emulated processor no time for anything else.
        net::start_iperf(alpha, v4, "-t 0 -P 4 --bidir -b 2M")?;
        // Both ways, and the control connection.
        alpha.until("test $(ss -Htn state established dport = 5201 | wc -l) = 9", PATIENCE)?;
        let guests = [alpha, beta];
        Ok(Self { guests, ends: ends(alpha)?, resets: resets(guests)? })
    }

    /// Each must be there still, and none have been reset.
    pub(super) fn check(&self) -> Result<()> {
        let after = ends(self.guests[0])?;
        ensure!(after == self.ends, "the connections were `{}`, and are `{after}`", self.ends);
        let resets = resets(self.guests)? - self.resets;
        ensure!(resets == 0, "{resets} TCP connections were reset or given up");
        Ok(())
    }

    /// The same, and ends them.
    pub(super) fn stop(self) -> Result<()> {
        self.check()?;
        net::stop_iperf(self.guests[0])
    }
}

/// Both ends of each connection to iperf3's server.
fn ends(guest: &Vm) -> Result<String> {
    guest.sh("ss -Htn state established dport = 5201 | awk '{ print $3, $4 }' | sort")
}

/// TCP connections that ended as they should not.
fn resets(guests: [&Vm; 2]) -> Result<u64> {
    guests.into_iter().map(|guest| net::tcp_resets(guest)).sum()
}

/// Orders a failover, and waits until the daemon tells what it cost.
pub(super) fn order(daemon: &Daemon, to: &str, vf: bool) -> Result<Value> {
    let since = latest(daemon)?;
    daemon.call(&["vm", "failover", MOVED, "--to", to])?;
    await_move(daemon, since, vf)
}

/// Waits until the daemon tells that the adapter has moved to a VF, or away from one.
pub(super) fn await_move(daemon: &Daemon, since: u64, vf: bool) -> Result<Value> {
    await_event(daemon, since, |event| event["failover"].is_object() && is_vf(&event["failover"]["to"]) == vf)
}

/// Waits for an event, and returns the first such.
pub(super) fn await_event(daemon: &Daemon, since: u64, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut found = None;
    let looked = await_that(|| {
        let events = events(daemon, since)?;
        found = events["events"].as_array().into_iter().flatten().find(|event| wanted(event)).cloned();
        Ok(found.is_some())
    });
    looked.with_context(|| format!("{}", events(daemon, since).unwrap_or_default()))?;
    found.context("an event was found")
}

/// The number of the latest event.
pub(super) fn latest(daemon: &Daemon) -> Result<u64> {
    events(daemon, 0)?["latest"].as_u64().context("events have a latest number")
}

fn events(daemon: &Daemon, since: u64) -> Result<Value> {
    let text = daemon.call(&["events", "-o", "json", "--since", &since.to_string()])?;
    serde_json::from_str(&text)
        .with_context(|| format!("`softiov events -o json` does not print JSON: {text}"))
}

/// Whether a path leads by a VF.
fn is_vf(path: &Value) -> bool {
    path["vf"].is_u64()
}

/// The device with this driver below net_failover's.
pub(super) fn device(guest: &Vm, dev: &str, driver: &str) -> Result<String> {
    let devices = guest.sh(&format!(
        "for d in /sys/class/net/{dev}/lower_*; do \
         echo $(basename $(readlink -f $d/device/driver)) ${{d##*/lower_}}; done"
    ))?;
    let device = devices.lines().find_map(|line| line.strip_prefix(driver)?.strip_prefix(' '));
    device.map(str::to_owned).with_context(|| format!("{driver} is not below {dev}: {devices}"))
}

/// Waits until the device with this driver below net_failover's has received and sent more than a few packets.
fn carries(guest: &Vm, dev: &str, driver: &str) -> Result<()> {
    let device = device(guest, dev, driver)?;
    let count = |counter| -> Result<u64> {
        // Of virtio_net, ethtool shows all counters but these.
        match driver {
            SYNTHETIC => {
                Ok(guest.sh(&format!("cat /sys/class/net/{device}/statistics/{counter}"))?.parse()?)
            }
            _ => net::driver_counter(guest, &device, counter),
        }
    };
    for counter in ["rx_packets", "tx_packets"] {
        let before = count(counter)?;
        await_that(|| Ok(count(counter)? > before + 100))
            .with_context(|| format!("{}: packets pass {driver} by", guest.name()))?;
    }
    Ok(())
}

/// Shows what the moves cost; none may cost a frame.
fn report(moves: &[Value], took: Duration) -> Result<()> {
    ui::line(&format!("     {} failovers in {:.1} s", moves.len(), took.as_secs_f64()));
    for (way, to_vf) in [("to synthetic", false), ("to VF", true)] {
        let these: Vec<&Value> = moves
            .iter()
            .map(|event| &event["failover"])
            .filter(|moved| is_vf(&moved["to"]) == to_vf)
            .collect();
        for (what, name) in [("gap_us", "gap"), ("duration_us", "duration")] {
            let of =
                these.iter().map(|moved| moved[what].as_u64().context("a failover says how long it took"));
            show(way, &format!("{name} in us"), of.collect::<Result<_>>()?);
        }
        let of = |what| move |moved: &&Value| moved["frames"][what].as_u64();
        for what in ["held", "lost", "duplicated", "reordered"] {
            let counts: Option<Vec<u64>> = these.iter().map(of(what)).collect();
            show(way, what, counts.with_context(|| format!("a failover has no count of frames: {these:?}"))?);
        }
        let cost = |moved: &&&Value| {
            moved["expired"] != false
                || ["lost", "duplicated", "reordered"].iter().any(|what| of(what)(moved) != Some(0))
        };
        let costly = these.iter().filter(cost).collect::<Vec<_>>();
        ensure!(costly.is_empty(), "frames are lost, came twice or in another order {way}: {costly:?}");
    }
    Ok(())
}

/// A line with some percentiles of values.
fn show(way: &str, what: &str, mut values: Vec<u64>) {
    values.sort_unstable();
    // The smallest value that so many percent do not exceed.
    let percentile =
        |of: usize| values.get((values.len() * of).div_ceil(100).saturating_sub(1)).unwrap_or(&0);
    ui::line(&format!(
        "     {way}: {what}: p50 {}, p99 {}, max {}",
        percentile(50),
        percentile(99),
        percentile(100)
    ));
}
