//! xtask: everything that a developer or CI runs on this workspace, as one program.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo xtask ci` | format, lints, unit tests, docs, dependency rules, house rules |
//! | `cargo xtask lab` | makes real guests (stock Debian kernel, stock QEMU) and runs tests in them |
//! | `cargo xtask dpdk` | DPDK's virtio driver against the daemon's synthetic adapters |
//! | `cargo xtask fuzz` | runs the fuzz targets for a while |
//! | `cargo xtask test` | all of it |
//!
//! It drives the product as a user does, by its command line and its sockets, and must never link a product crate: a
//! workspace that does not build must still be able to say so.

mod ci;
mod console;
mod dpdk;
mod fuzz;
mod lab;
mod lints;
mod process;
mod suite;
mod tally;
mod ui;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use tally::Tally;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Checks, lab and fuzzing of softiov")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Format, clippy, unit tests, docs, dependency rules and house rules.
    Ci,
    /// Makes and drives real guests (needs root).
    #[command(subcommand)]
    Lab(lab::Command),
    /// DPDK's virtio driver, in all its forms, against the daemon's synthetic adapters.
    Dpdk,
    /// Runs the fuzz targets, all or one.
    Fuzz {
        /// How long each target runs.
        #[arg(long, default_value_t = fuzz::SECONDS)]
        seconds: u32,
        /// The target to run; all when absent.
        target: Option<String>,
    },
    /// Everything: `ci`, `dpdk`, the lab, and a short run of each fuzz target.
    Test,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().task) {
        Ok(tally) if tally.failed() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            ui::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<Tally> {
    match task {
        Task::Ci => suite::report("ci", ci::run()?),
        Task::Lab(command) => lab::main(command),
        Task::Dpdk => suite::report("dpdk", dpdk::run()?),
        Task::Fuzz { seconds, target } => suite::report("fuzz", fuzz::run(seconds, target.as_deref())?),
        Task::Test => suite::run(),
    }
}
