//! `cargo xtask test`: everything, and one closing line.

use std::thread;

use anyhow::{Result, anyhow};

use crate::lab;
use crate::tally::Tally;
use crate::{ci, dpdk, fuzz, ui};

/// Runs the checks, the scenes with DPDK, the lab, and a short run of each fuzz target. DPDK is installed and the guests'
/// disk is made (mostly downloads) while the checks keep the processors busy; the fuzz targets get what scenes and lab
/// leave of them.
pub(crate) fn run() -> Result<Tally> {
    let setup = thread::spawn(|| {
        // What could not be installed is told of when it is needed.
        let _ = dpdk::install();
        lab::setup::run()
    });
    let mut tally = Tally::default();
    tally.absorb("ci", ci::run());
    let fuzzing = fuzz::Background::start();
    let ready = setup.join().unwrap_or_else(|_| Err(anyhow!("the set-up of the lab panicked")));
    tally.absorb("dpdk", dpdk::run());
    tally.absorb("lab", ready.and_then(|()| lab::run("")));
    tally.absorb("fuzz", fuzzing.and_then(fuzz::Background::finish));
    report("all", tally)
}

/// Prints the closing line of a command.
pub(crate) fn report(what: &str, tally: Tally) -> Result<Tally> {
    ui::line(&format!("{what}: {tally}"));
    Ok(tally)
}
