//! The daemon ends, in order or not, and another one takes its place; guests go on.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::super::config::Config;
use super::super::daemon::Daemon;
use super::super::deadline::await_that;
use super::super::net::{self, Link};
use super::super::scene::{Lab, Scene};
use super::super::vm::Vm;

/// Alpha is a VM of the configuration file, beta one that a command made.
pub(super) fn daemon_restart(lab: &Lab) -> Result<()> {
    let monitor = |vm: &str| format!("{}/{vm}.monitor", lab.dir());
    let all = Config::pair().monitored(0, monitor("alpha")).monitored(1, monitor("beta"));
    let mut file = all.clone();
    let of_beta = file.vms.pop().map(|vm| format!("mac={},iov-weight=70", vm.adapters[0].mac));

    let daemon = Daemon::start(&lab.dir(), &file, lab.deadline)?;
    daemon.call(&[
        "vm",
        "add",
        "beta",
        "--qmp",
        &monitor("beta"),
        "--adapter",
        &of_beta.unwrap_or_default(),
    ])?;
    // Of VMs made by commands, this is the first one after a restart: beta's number is another then.
    daemon.call(&["vm", "add", "aaron", "--adapter", "mac=02:00:00:00:09:00,iov-weight=0"])?;
    let wanted = wanted(&daemon)?;
    let scene = Scene { daemon, guests: lab.boot(lab.specs(&all, &[]))? };
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    served(guests, &links)?;

    // In order: VFs are unplugged first, so that the guests are well without a daemon and with the next one.
    let Scene { daemon, guests } = scene;
    daemon.end(Signal::TERM)?;
    for (guest, link) in guests.iter().zip(&links) {
        net::await_drivers(guest, &link.dev, "virtio_net")?;
    }
    let daemon = Daemon::start(&lab.dir(), &file, lab.deadline)?;
    let scene = Scene { daemon, guests };
    ensure!(self::wanted(&scene.daemon)? == wanted, "VMs are not as they were wanted before the restart");
    served(scene.guests::<2>()?, &links)?;

    // Not in order. QEMU aborts if the socket of a VF closes with something in it that the guest has written and the
    // daemon has not read, so the guests are kept from writing. The VFs are dead then: until the next daemon has them
    // unplugged, the guests hear nothing.
    let Scene { daemon, guests } = scene;
    guests.iter().try_for_each(Vm::pause)?;
    daemon.show()?;
    daemon.end(Signal::KILL)?;
    guests.iter().try_for_each(Vm::resume)?;
    let daemon = Daemon::start(&lab.dir(), &file, lab.deadline)?;
    let scene = Scene { daemon, guests };
    ensure!(
        self::wanted(&scene.daemon)? == wanted,
        "VMs are not as they were wanted before the daemon was killed"
    );
    for vm in ["alpha/net0", "beta/net0"] {
        await_that(|| Ok(scene.daemon.json(&["vm", "explain", vm])?[0]["path"]["vf"].is_u64()))
            .with_context(|| format!("{vm} does not get a VF again"))?;
    }
    served(scene.guests::<2>()?, &links)?;
    scene.finish()
}

/// What is wanted of all VMs.
fn wanted(daemon: &Daemon) -> Result<Vec<Value>> {
    let vms = daemon.json(&["vm", "show"])?;
    let of = |vm: &Value| serde_json::json!([vm["name"], vm["vmm"]["qmp"], vm["adapters"][0]["desired"]]);
    let mut wanted: Vec<Value> = vms.as_array().into_iter().flatten().map(of).collect();
    wanted.sort_by_key(Value::to_string);
    Ok(wanted)
}

/// The guests are on VFs and reach each other.
fn served(guests: &[Vm; 2], links: &[Link; 2]) -> Result<()> {
    for (guest, link) in guests.iter().zip(links) {
        net::await_drivers(guest, &link.dev, "ixgbevf virtio_net")?;
    }
    for (from, to) in [(0, 1), (1, 0)] {
        net::ping(&guests[from], &links[to].v4)?;
        net::ping(&guests[from], &links[to].v6)?;
    }
    Ok(())
}
