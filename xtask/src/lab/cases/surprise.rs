//! VFs that go without a word, guests that do not let go of them, and guests that go themselves: alpha has its VF again
//! each time, and nobody else notices.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::config::{Adapter, Config};
use super::super::daemon::Daemon;
use super::super::datagrams::Watched;
use super::super::net;
use super::super::scene::{Lab, Scene};
use super::super::shell::Shell;
use super::super::vm::Vm;
use super::failover::{
    Connections, MOVED, ON_VF, PATIENCE, SYNTHETIC, await_event, await_move, device, latest, order,
};
use crate::ui;

/// From when a loss is known until the guest's frames go to its synthetic adapter: aimed at is a tenth, but this
/// machine may have more to do.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// Alpha with a VF of the daemon's, beta with a synthetic adapter, and gamma with a VF of its own.
fn start(lab: &Lab) -> Result<(Daemon, [Vm; 3])> {
    let monitor = format!("{}/alpha.monitor", lab.dir());
    let config = Config::plain(3, 1).with(1, 0, Adapter::synthetic).monitored(0, monitor);
    let Scene { daemon, guests } = lab.scene(&config)?;
    let guests = guests.try_into().ok().context("the scene has three guests")?;
    Ok((daemon, guests))
}

/// The VF's socket breaks, the guest does not let go, its driver begins anew.
pub(super) fn failover_surprise(lab: &Lab) -> Result<()> {
    let (daemon, guests) = start(lab)?;
    let [here, there, _] = net::up_all(&guests)?;
    let [alpha, beta, gamma] = &guests;
    net::await_drivers(alpha, &here.dev, ON_VF)?;
    net::ping(alpha, &there.v4)?;
    net::ping(gamma, &there.v4)?;

    let bystander = Watched::start(lab, &daemon, None, &[(gamma, beta, &there.v4)])?;
    let connections = Connections::start(alpha, beta, &there.v4)?;
    for (what, happens) in [
        ("the VF's socket breaks", socket_breaks as fn(&Lab, &Daemon, &Vm, &str) -> Result<()>),
        ("the guest does not let go", unplug_is_ignored),
        ("the guest's driver begins anew", driver_begins_anew),
    ] {
        happens(lab, &daemon, alpha, &here.dev).with_context(|| format!("when {what}"))?;
        net::await_drivers(alpha, &here.dev, ON_VF)?;
        connections.check().with_context(|| format!("after {what}"))?;
    }
    connections.stop()?;
    bystander.stop()?;
    guests.into_iter().try_for_each(Vm::quit)?;
    daemon.stop()
}

/// The connection between QEMU and the VF is shut down.
fn socket_breaks(lab: &Lab, daemon: &Daemon, alpha: &Vm, _: &str) -> Result<()> {
    let since = latest(daemon)?;
    daemon.cut(&format!("{}/alpha-net0.vf", lab.dir()))?;
    back(daemon, since, "the VF's socket broke")?;
    let moved = await_move(daemon, since, false)?;
    let took = Duration::from_micros(moved["failover"]["duration_us"].as_u64().unwrap_or(u64::MAX));
    ui::line(&format!("     {}: served again after {took:.1?}", alpha.name()));
    ensure!(took < BACK_WITHIN, "the guest was not served for {took:?}: {moved}");
    // Its VF comes back by itself.
    await_move(daemon, since, true).map(drop)
}

/// The guest does not hear that it is to give the VF up, until softiov has taken that.
fn unplug_is_ignored(_: &Lab, daemon: &Daemon, alpha: &Vm, dev: &str) -> Result<()> {
    /// The event by which ACPI tells of hot-plug.
    const EVENT: &str = "/sys/firmware/acpi/interrupts/gpe01";
    let since = latest(daemon)?;
    alpha.sh(&format!("echo mask > {EVENT}"))?;
    daemon.call(&["vm", "failover", MOVED, "--to", "synthetic"])?;
    back(daemon, since, "the guest did not let go")?;
    // As long as it has the VF, it hears nothing by its synthetic adapter.
    alpha.sh(&format!("echo unmask > {EVENT}"))?;
    await_move(daemon, since, false)?;
    net::await_drivers(alpha, dev, SYNTHETIC)?;
    order(daemon, "auto", true).map(drop)
}

/// The VF is taken down and up, and given to its driver anew.
fn driver_begins_anew(_: &Lab, daemon: &Daemon, alpha: &Vm, dev: &str) -> Result<()> {
    let vf = device(alpha, dev, "ixgbevf")?;
    let since = latest(daemon)?;
    alpha.sh(&format!("ip link set {vf} down && ip link set {vf} up"))?;
    await_move(daemon, since, true)?;

    let driver = "/sys/bus/pci/drivers/ixgbevf";
    let slot = alpha.sh(&format!("basename $(readlink -f /sys/class/net/{vf}/device)"))?;
    let since = latest(daemon)?;
    alpha.sh(&format!("echo {slot} > {driver}/unbind"))?;
    await_move(daemon, since, false)?;
    let since = latest(daemon)?;
    alpha.sh(&format!("echo {slot} > {driver}/bind"))?;
    await_move(daemon, since, true).map(drop)
}

/// Waits until a VF was taken by surprise and its filter is back, and shows how long that took.
fn back(daemon: &Daemon, since: u64, what: &str) -> Result<()> {
    let at = |words: &str| -> Result<u64> {
        let event = await_event(daemon, since, |event| {
            event["text"].as_str().is_some_and(|text| text.contains(words))
        })
        .with_context(|| format!("no event tells `{words}`"))?;
        event["time_ms"].as_u64().context("an event has a time")
    };
    let took = Duration::from_millis(at("surprise -> tearing_down")?.saturating_sub(at("-> surprise")?));
    ui::line(&format!("     {what}: on the synthetic path {took:?} after that was known"));
    ensure!(took < BACK_WITHIN, "{what}: the synthetic path was taken {took:?} later");
    Ok(())
}

/// The guest reboots, and then its QEMU is killed and another one started.
pub(super) fn failover_guest_restarts(lab: &Lab) -> Result<()> {
    let (daemon, [alpha, beta, gamma]) = start(lab)?;
    let here = net::up(&alpha, 0)?;
    let there = net::up(&beta, 0)?;
    net::up(&gamma, 0)?;
    net::await_drivers(&alpha, &here.dev, ON_VF)?;
    net::ping(&gamma, &there.v4)?;
    let bystander = Watched::start(lab, &daemon, None, &[(&gamma, &beta, &there.v4)])?;

    net::serve_iperf(&beta)?;
    let load = |guest: &Vm| -> Result<()> {
        net::start_iperf(guest, &there.v4, "-t 0 -P 4 --bidir -b 2M")?;
        guest.until("ss -Htn dport = 5201 | grep -q ESTAB", PATIENCE).map(drop)
    };
    load(&alpha)?;
    let since = latest(&daemon)?;
    alpha.reboot()?;
    returned(&daemon, since, &alpha, &there.v4)?;
    // Its peer does not know that the first stream is over.
    beta.sh("kill -9 $(pidof iperf3)")?;
    net::serve_iperf(&beta)?;
    load(&alpha)?;
    let since = latest(&daemon)?;
    let alpha = alpha.start_anew("alpha-anew", &lab.dir())?;
    returned(&daemon, since, &alpha, &there.v4)?;

    bystander.stop()?;
    [alpha, beta, gamma].into_iter().try_for_each(Vm::quit)?;
    daemon.stop()
}

/// A guest that has started anew has its VF and reaches the others.
fn returned(daemon: &Daemon, since: u64, alpha: &Vm, peer: &str) -> Result<()> {
    // A VF is not opened before net_failover's device is.
    let link = net::up(alpha, 0)?;
    await_move(daemon, since, true).context("the VF does not come back")?;
    net::await_drivers(alpha, &link.dev, ON_VF)?;
    net::ping(alpha, peer)
}
