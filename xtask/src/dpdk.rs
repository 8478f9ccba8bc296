//! `cargo xtask dpdk`: DPDK's virtio driver against the synthetic adapters of the real daemon.
//!
//! `dpdk-testpmd` plays two guests at once, by its `virtio_user` ports: it reads frames from pcap files, sends them as
//! the one guest, and writes what the other receives to pcap files. Its driver knows forms of rings that Linux does not
//! use (in order, vectorised), and speaks vhost-user itself. Each of the [`scenes`] sends all [`frames`] through one
//! form of the rings, and all must arrive, in order and unchanged, and be counted.
//!
//! It needs no huge pages and no network, and leaves nothing behind.

mod client;
mod daemon;
mod frames;
mod install;
mod pcap;
mod scenes;

use std::time::Instant;

use anyhow::{Context, Result};

use self::daemon::Daemon;
use crate::tally::Tally;
use crate::{ui, workspace};

/// Installs DPDK if it is missing.
pub(crate) fn install() -> Result<()> {
    install::make_sure().context("DPDK is missing and could not be installed")
}

/// Runs every scene against one daemon.
pub(crate) fn run() -> Result<Tally> {
    install()?;
    ui::step("dpdk: building the daemon");
    workspace::build_daemon().context("the daemon does not build")?;
    ui::step(&format!("dpdk: {} scenes", scenes::ALL.len()));
    let dir = tempfile::Builder::new().prefix("softiov-dpdk").tempdir().context("cannot make a directory")?;
    let mut tally = Tally::default();
    let daemon = Daemon::start(dir.path(), &scenes::pairs())?;
    for scene in &scenes::ALL {
        let began = Instant::now();
        let result = scene.run(&daemon);
        ui::verdict(result.is_ok(), scene.name, began.elapsed());
        tally.count(scene.name, result);
    }
    tally.count("the daemon gives everything back and ends", daemon.stop());
    if tally.failed() > 0 {
        daemon::show_logs(dir.path());
    }
    Ok(tally)
}
