//! `cargo xtask test`: everything, and one closing line.

use std::thread;

use anyhow::{Result, anyhow};

use crate::lab;
use crate::tally::Tally;
use crate::{ci, fuzz, ui};

/// Runs the checks, the lab and a short run of each fuzz target. The guests' disk is made (mostly a download) while
/// the checks keep the processors busy.
pub(crate) fn run() -> Result<Tally> {
    let setup = thread::spawn(lab::setup::run);
    let mut tally = Tally::default();
    tally.absorb("ci", ci::run());
    let ready = setup.join().unwrap_or_else(|_| Err(anyhow!("the set-up of the lab panicked")));
    tally.absorb("lab", ready.and_then(|()| lab::run("")));
    tally.absorb("fuzz", fuzz::run(fuzz::SECONDS, None));
    report("all", tally)
}

/// Prints the closing line of a command.
pub(crate) fn report(what: &str, tally: Tally) -> Result<Tally> {
    ui::line(&format!("{what}: {tally}"));
    Ok(tally)
}
