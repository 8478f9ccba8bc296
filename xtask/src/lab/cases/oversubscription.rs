//! More guests than VFs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::config::{Adapter, Config};
use super::super::daemon::Daemon;
use super::super::deadline::await_that;
use super::super::net;
use super::super::scene::{Lab, Scene};
use super::super::vm::Vm;

const VFS: usize = 3;
const GUESTS: usize = 8;

/// What each guest is to have, from its weight.
#[derive(Debug)]
struct Line {
    /// By guest; none of one that does not run.
    weights: [Option<u8>; GUESTS],
}

impl Line {
    /// The guests with VFs, the heaviest first. No two that are in line have one weight.
    fn holders(&self) -> Vec<usize> {
        let mut line: Vec<usize> =
            (0..GUESTS).filter(|guest| self.weights[*guest].unwrap_or(0) > 0).collect();
        line.sort_by_key(|guest| std::cmp::Reverse(self.weights[*guest]));
        line.truncate(VFS);
        line
    }

    /// Why a guest has no VF: the word, and what the sentence must hold.
    fn reason(&self, names: &[String], guest: usize) -> (&'static str, String) {
        match self.weights[guest] {
            None => ("vm_not_running", "does not run".to_owned()),
            Some(0) => ("weight_zero", "iov_weight is 0".to_owned()),
            Some(_) => {
                let lightest = self.holders().last().copied().unwrap_or_default();
                let weight = self.weights[lightest].unwrap_or_default();
                ("all_taken", format!("{}/net0 with iov_weight {weight}", names[lightest]))
            }
        }
    }
}

/// A guest that runs.
struct Guest {
    vm: Vm,
    /// Its network device.
    dev: String,
}

/// What is changed, and how.
enum Change {
    Weight(usize, u8),
    Stop(usize),
}

pub(super) fn oversubscription(lab: &Lab) -> Result<()> {
    use Change::{Stop, Weight};
    const CHANGES: [Change; 7] = [
        // A heavier one takes the VF of the lightest.
        Weight(7, 100),
        // Weight 0 takes it away, and the next in line has it.
        Weight(0, 0),
        // A holder becomes the lightest.
        Weight(1, 5),
        Weight(7, 0),
        // A VM that stops frees its VF.
        Stop(3),
        Weight(2, 1),
        // Another order among holders and among those that wait moves nothing.
        Weight(4, 99),
    ];
    let mut line = Line { weights: [80, 70, 60, 50, 40, 30, 20, 10].map(Some) };
    let mut config = Config::plain(8, 1).vfs(3);
    for (guest, weight) in line.weights.iter().enumerate() {
        let name = config.vms[guest].name.clone();
        config = config
            .with(guest, 0, |adapter: Adapter| adapter.iov_weight(weight.unwrap_or_default()))
            .monitored(guest, format!("{}/{name}.monitor", lab.dir()));
    }
    let names: Vec<String> = config.vms.iter().map(|vm| vm.name.clone()).collect();

    let daemon = Daemon::start(&lab.dir(), &config, lab.deadline)?;
    let mut specs = lab.specs(&config, &[]);
    specs.iter_mut().for_each(|spec| spec.memory_mib = 192);
    let mut guests = Vec::new();
    for vm in lab.boot(specs)? {
        let dev = net::up(&vm, 0)?.dev;
        guests.push(Some(Guest { vm, dev }));
    }
    is_so(&daemon, &guests, &names, &line).context("at the start")?;
    for (number, change) in CHANGES.iter().enumerate() {
        match *change {
            Weight(guest, weight) => {
                line.weights[guest] = Some(weight);
                daemon.call(&["vm", "set", &names[guest], &format!("iov-weight={weight}")])?;
            }
            Stop(guest) => {
                line.weights[guest] = None;
                guests[guest].take().context("a guest is stopped once")?.vm.quit()?;
            }
        }
        is_so(&daemon, &guests, &names, &line).with_context(|| format!("after change {}", number + 1))?;
    }
    let guests = guests.into_iter().flatten().map(|guest| guest.vm).collect();
    Scene { daemon, guests }.finish()
}

/// Waits until the daemon and each guest are as the weights have it.
fn is_so(daemon: &Daemon, guests: &[Option<Guest>], names: &[String], line: &Line) -> Result<()> {
    let holders = line.holders();
    let expected: BTreeSet<&str> = holders.iter().map(|guest| names[*guest].as_str()).collect();
    let mut shown = Value::Null;
    let settled = await_that(|| {
        shown = daemon.json(&["vm", "show"])?;
        let vms = || shown.as_array().into_iter().flatten();
        let on_vf = vms().filter(|vm| vm["adapters"][0]["path"]["vf"].is_u64());
        let all_others_wait = vms().all(|vm| {
            let adapter = &vm["adapters"][0];
            let guest = names.iter().position(|name| *name == vm["name"]);
            let reason = guest.map(|guest| line.reason(names, guest).0);
            adapter["path"]["vf"].is_u64() || adapter["no_vf"]["code"].as_str() == reason
        });
        Ok(all_others_wait && on_vf.filter_map(|vm| vm["name"].as_str()).collect::<BTreeSet<_>>() == expected)
    });
    settled.with_context(|| format!("{expected:?} should have the VFs: {shown}"))?;

    for (guest, name) in names.iter().enumerate() {
        let holds = holders.contains(&guest);
        if let Some(Guest { vm, dev }) = &guests[guest] {
            let drivers = if holds { "ixgbevf virtio_net" } else { "virtio_net" };
            net::await_drivers(vm, dev, drivers)?;
        }
        let text = daemon.call(&["vm", "explain", name])?;
        let explained = daemon.json(&["vm", "explain", name])?;
        let adapter = &explained[0];
        if holds {
            ensure!(text.contains("is on VF") && adapter["no_vf"].is_null(), "{name} has a VF: {text}");
            continue;
        }
        let (code, part) = line.reason(names, guest);
        ensure!(adapter["no_vf"]["code"] == code, "{name} should have no VF by {code}: {adapter}");
        let remedy = adapter["no_vf"]["remedy"].as_str().unwrap_or_default();
        ensure!(
            text.contains(&part) && !remedy.is_empty() && text.contains(remedy),
            "{name} is not told that `{part}`, and what would change that: {text}"
        );
        let told = adapter["holders"].as_array().into_iter().flatten();
        let told: BTreeSet<String> =
            told.filter_map(|holder| Some(holder["adapter"].as_str()?.to_owned())).collect();
        let of_all: BTreeSet<String> = expected.iter().map(|name| format!("{name}/net0")).collect();
        ensure!(told == of_all, "{name} is told of other holders: {told:?}");
    }
    Ok(())
}
