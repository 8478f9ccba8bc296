//! A daemon and the guests that its configuration names.

use std::time::Duration;

use anyhow::{Context, Result};

use super::config::Config;
use super::daemon::Daemon;
use super::deadline::Deadline;
use super::namespace::Namespace;
use super::sandbox;
use super::vm::{Booting, Kind, Nic, Vm, VmSpec};

/// What a case runs in: its directory and the time that it has.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) case: &'static str,
    pub(super) deadline: Deadline,
}

/// A daemon with its guests.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) daemon: Daemon,
    pub(super) guests: Vec<Vm>,
}

impl Lab {
    pub(super) fn new(case: &'static str, limit: Duration) -> Self {
        Self { case, deadline: Deadline::after(limit) }
    }

    /// The case's directory, the same path for the daemon and for QEMU.
    pub(super) fn dir(&self) -> String {
        format!("{}/{}", sandbox::RUN, self.case)
    }

    /// Starts a daemon, and one guest for each VM with a VF or a synthetic adapter for each adapter; with the synthetic
    /// one, and a place for a VF, if the daemon has the VM's monitor.
    pub(super) fn scene(&self, config: &Config) -> Result<Scene> {
        self.scene_without(config, &[])
    }

    /// The same, but these adapters (guest, adapter) are not plugged at the start.
    pub(super) fn scene_without(&self, config: &Config, later: &[(usize, usize)]) -> Result<Scene> {
        let daemon = Daemon::start(&self.dir(), config, self.deadline)?;
        let guests = self.boot(self.specs(config, later))?;
        Ok(Scene { daemon, guests })
    }

    /// A daemon on a host of its own, and its guests.
    pub(super) fn scene_on(&self, host: &Namespace, config: &Config) -> Result<Scene> {
        let daemon = Daemon::start_on(host, &self.dir(), config, self.deadline)?;
        let guests = self.boot(self.specs(config, &[]))?;
        Ok(Scene { daemon, guests })
    }

    /// The guests of a configuration.
    pub(super) fn specs(&self, config: &Config, later: &[(usize, usize)]) -> Vec<VmSpec> {
        let specs = config.vms.iter().enumerate().map(|(vm, of)| VmSpec {
            cpus: of.cpus,
            monitor: of.qmp.clone(),
            nics: of
                .adapters
                .iter()
                .enumerate()
                .map(|(index, adapter)| {
                    let synthetic = adapter.is_synthetic() || of.qmp.is_some();
                    let (kind, socket) = if synthetic { (Kind::Synthetic, "net") } else { (Kind::Vf, "vf") };
                    Nic {
                        kind,
                        queue_pairs: adapter.queue_pairs.unwrap_or(1),
                        mtu: adapter.mtu,
                        standby: of.qmp.is_some(),
                        id: adapter.name.clone(),
                        mac: adapter.mac.clone(),
                        socket: format!("{}/{}-{}.{socket}", self.dir(), of.name, adapter.name),
                        plugged: !later.contains(&(vm, index)),
                    }
                })
                .collect(),
            ..VmSpec::new(&of.name, u8::try_from(vm + 1).expect("a case has few guests"))
        });
        specs.collect()
    }

    /// Starts guests, all at once, and waits for each.
    pub(super) fn boot(&self, specs: Vec<VmSpec>) -> Result<Vec<Vm>> {
        let booting: Vec<Booting> =
            specs.into_iter().map(|spec| spec.launch(&self.dir(), self.deadline)).collect::<Result<_>>()?;
        booting.into_iter().map(Booting::await_ready).collect()
    }
}

impl Scene {
    /// The guests, as many as the case names.
    pub(super) fn guests<const N: usize>(&self) -> Result<&[Vm; N]> {
        self.guests
            .as_slice()
            .try_into()
            .with_context(|| format!("the scene has {} guests", self.guests.len()))
    }

    /// Ends the guests, then the daemon, which must have come through unharmed.
    pub(super) fn finish(self) -> Result<()> {
        for guest in self.guests {
            guest.quit()?;
        }
        self.daemon.stop()
    }
}
