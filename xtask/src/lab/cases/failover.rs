//! Failover by the daemon itself: it plugs a stock guest's VF in and out, and the guest's net_failover follows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::config::{Adapter, Config};
use super::super::daemon::Daemon;
use super::super::deadline::await_that;
use super::super::net;
use super::super::scene::Lab;
use super::super::shell::Shell;
use super::super::vm::Vm;
use crate::ui;

/// The adapter that is moved.
const MOVED: &str = "alpha/net0";
/// How long a guest may take to bind a driver, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Alpha is moved to its synthetic adapter and back, again and again, while streams go both ways.
pub(super) fn failover_planned(lab: &Lab) -> Result<()> {
    /// Turns, there and back, at least; and how long new ones begin.
    const TURNS: usize = 5;
    const TURNING: Duration = Duration::from_secs(40);
    const STREAM: &str = "-t 90 -P 4 --bidir";
    let monitor = format!("{}/alpha.monitor", lab.dir());
    let config = Config::pair().with(1, 0, Adapter::synthetic).monitored(0, monitor);
    let scene = lab.scene(&config)?;
    let (guests @ [alpha, beta], daemon) = (scene.guests::<2>()?, &scene.daemon);
    let [here, there] = net::up_all(guests)?;

    let came = await_move(daemon, 0, true).context("the VF does not come")?;
    ensure!(!is_vf(&came["failover"]["from"]), "the guest did not start by its synthetic adapter: {came}");
    await_drivers(alpha, &here.dev, "ixgbevf virtio_net")?;
    net::ping(alpha, &there.v4)?;
    net::ping(beta, &here.v6)?;

    net::serve_iperf(beta)?;
    net::start_iperf(alpha, &there.v4, STREAM)?;
    // Both ways, and the control connection.
    alpha.until("test $(ss -Htn state established dport = 5201 | wc -l) = 9", PATIENCE)?;
    let before = connections(alpha)?;
    let (began, mut moves) = (Instant::now(), Vec::new());
    while moves.len() < 2 * TURNS || began.elapsed() < TURNING {
        for (to, vf) in [("synthetic", false), ("auto", true)] {
            let turn = moves.len() / 2 + 1;
            let moved = order(daemon, to, vf).with_context(|| format!("to {to} in turn {turn}"))?;
            moves.push(moved);
        }
    }
    let took = began.elapsed();
    let after = connections(alpha)?;
    ensure!(after == before, "the connections were `{before}` before the failovers, and are `{after}`");
    report(&moves, took)?;
    await_drivers(alpha, &here.dev, "ixgbevf virtio_net")?;
    net::finish_iperf(alpha, STREAM)?;

    order(daemon, "synthetic", false)?;
    await_drivers(alpha, &here.dev, "virtio_net")?;
    net::ping(alpha, &there.v6)?;
    for (guest, link) in guests.iter().zip([&here, &there]) {
        let errors = net::checksum_errors(guest, &link.dev)?;
        ensure!(errors == 0, "{} has counted {errors} checksum errors", guest.name());
    }
    scene.finish()
}

/// Orders a failover, and waits until the daemon tells what it cost.
fn order(daemon: &Daemon, to: &str, vf: bool) -> Result<Value> {
    let since = events(daemon, 0)?["latest"].as_u64().context("events have a latest number")?;
    daemon.call(&["vm", "failover", MOVED, "--to", to])?;
    await_move(daemon, since, vf)
}

/// Waits until the daemon tells that the adapter has moved to a VF, or away from one.
fn await_move(daemon: &Daemon, since: u64, vf: bool) -> Result<Value> {
    let mut found = None;
    let looked = await_that(|| {
        let events = events(daemon, since)?;
        let mut moves = events["events"].as_array().into_iter().flatten();
        found = moves
            .find(|event| event["failover"].is_object() && is_vf(&event["failover"]["to"]) == vf)
            .cloned();
        Ok(found.is_some())
    });
    looked.with_context(|| format!("{}", events(daemon, since).unwrap_or_default()))?;
    found.context("a move was found")
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

/// Waits until the devices below net_failover's have these drivers, in the order of the alphabet.
fn await_drivers(guest: &Vm, dev: &str, drivers: &str) -> Result<()> {
    let list = format!(
        "for d in /sys/class/net/{dev}/lower_*; do basename $(readlink -f $d/device/driver); done | sort | xargs"
    );
    guest.until(&format!("test \"$({list})\" = '{drivers}'"), PATIENCE).map(drop)
}

/// Both ends of each connection to iperf3's server.
fn connections(guest: &Vm) -> Result<String> {
    guest.sh("ss -Htn state established dport = 5201 | awk '{ print $3, $4 }' | sort")
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
        let lost = these.iter().filter(|moved| of("lost")(moved) != Some(0)).collect::<Vec<_>>();
        ensure!(lost.is_empty(), "frames are lost {way}: {lost:?}");
    }
    Ok(())
}

/// A line with the median and the largest of some values.
fn show(way: &str, what: &str, mut values: Vec<u64>) {
    values.sort_unstable();
    let (middle, most) = (values.get(values.len() / 2), values.last());
    ui::line(&format!("     {way}: {what}: p50 {}, max {}", middle.unwrap_or(&0), most.unwrap_or(&0)));
}
