//! The lab: real guests on an emulated processor, against the real daemon.
//!
//! A guest is a stock Debian kernel with a small initramfs, run by a stock QEMU that lives in a Debian root of its own
//! (`target/lab/root`, made once by [`setup`]). [`runner`] enters a [`sandbox`] of private namespaces, so that neither
//! a mount nor a process nor a frame can outlive or leave a run, and calls the [`cases`], two at a time. What a case
//! leaves behind (consoles, the daemon's log and configuration) is kept in `target/lab/run/<case>`.

mod agent;
mod capture;
mod cases;
mod config;
mod daemon;
mod datagrams;
mod deadline;
mod lines;
mod namespace;
mod net;
mod qmp;
mod recording;
mod runner;
mod sandbox;
mod scene;
pub(crate) mod setup;
mod shell;
mod vm;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::tally::Tally;
use crate::{suite, ui, workspace};

pub(crate) use runner::run;

/// `cargo xtask lab ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes the guests' kernel and disk, the root that QEMU runs in, and `guest`, by which a person boots one.
    Setup,
    /// Lists the cases.
    List,
    /// Runs the cases whose name contains FILTER, or all but the long ones, which run by their whole name only.
    Run {
        /// Part of the names of the cases to run.
        #[arg(default_value = "")]
        filter: String,
    },
    /// Starts one guest without a network and gives you its shell.
    Shell,
    /// Runs cases in the sandbox that `run` has entered.
    #[command(hide = true)]
    Inside {
        /// Number of the lane.
        #[arg(long)]
        lane: u32,
        /// The filter of `run`.
        #[arg(default_value = "")]
        filter: String,
    },
    /// Starts the shell in the sandbox that `shell` has entered.
    #[command(hide = true)]
    InsideShell,
}

/// Runs a command of the lab.
pub(crate) fn main(command: Command) -> Result<Tally> {
    match command {
        Command::Setup => {
            setup::run()?;
            ui::line(&format!("{} boots a guest; its arguments go to QEMU", dir().join("guest").display()));
        }
        Command::List => {
            for case in cases::ALL {
                ui::line(&format!("{:<26} {}", case.name, case.shows));
            }
        }
        Command::Run { filter } => {
            setup::run()?;
            return suite::report("lab", run(&filter)?);
        }
        Command::Shell => {
            setup::run()?;
            sandbox::enter(&["lab", "inside-shell"])?;
        }
        Command::Inside { lane, filter } => return runner::run_inside(lane, &filter),
        Command::InsideShell => runner::shell_inside()?,
    }
    Ok(Tally::default())
}

/// Everything that the lab makes and keeps.
fn dir() -> PathBuf {
    workspace::target_dir().join("lab")
}

/// The Debian root that QEMU runs in.
fn root() -> PathBuf {
    dir().join("root")
}
