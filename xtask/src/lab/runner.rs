//! Runs the cases in two lanes, each a sandbox of its own: guests wait for each other and for timers much of the time.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use super::cases::{self, Case};
use super::scene::Lab;
use super::{dir, sandbox, vm};
use crate::tally::Tally;
use crate::{process, ui, workspace};

/// How much of each log a failed case shows.
const TAIL: usize = 25;

/// Builds the daemon and runs the cases whose name contains `filter` in a sandbox.
pub(crate) fn run(filter: &str) -> Result<Tally> {
    if !cases::ALL.iter().any(|case| case.is_meant(filter)) {
        bail!("no case of the lab has `{filter}` in its name; `cargo xtask lab list` shows them");
    }
    ui::step("lab: building the daemon");
    workspace::build_daemon().context("the daemon does not build")?;
    let lanes = lanes_dir();
    if lanes.exists() {
        fs::remove_dir_all(&lanes)?;
    }
    fs::create_dir_all(&lanes)?;
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let lanes = [0, 1].map(|lane| scope.spawn(move || run_lane(lane, filter)));
        for lane in lanes {
            tally.absorb("lab", lane.join().unwrap_or_else(|_| Err(anyhow!("a lane of the lab panicked"))));
        }
    });
    Ok(tally)
}

/// Runs a lane in a sandbox.
fn run_lane(lane: u32, filter: &str) -> Result<Tally> {
    let status = sandbox::enter(&["lab", "inside", &format!("--lane={lane}"), filter])?;
    let text = fs::read_to_string(result_file(lane))
        .with_context(|| format!("the lab ended with {status} and no result"))?;
    let mut counts = text.split_whitespace().map(str::parse::<u32>);
    match (counts.next(), counts.next()) {
        (Some(Ok(passed)), Some(Ok(failed))) => Ok(Tally::new(passed, failed)),
        _ => bail!("{} holds no result: {text}", result_file(lane).display()),
    }
}

/// Runs those cases that no other lane has begun; called in the sandbox.
pub(super) fn run_inside(lane: u32, filter: &str) -> Result<Tally> {
    let run_dir = dir().join("run");
    sandbox::mount(&run_dir)?;
    let (mut passed, mut failed) = (0, 0);
    for case in cases::ALL.iter().filter(|case| case.is_meant(filter)) {
        // Whoever makes this file has the case.
        if fs::File::create_new(lanes_dir().join(case.name)).is_err() {
            continue;
        }
        if run_case(case, &run_dir.join(case.name))? {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    fs::write(result_file(lane), format!("{passed} {failed}\n"))?;
    Ok(Tally::new(passed, failed))
}

/// Runs one case and says whether it passed.
fn run_case(case: &Case, kept: &Path) -> Result<bool> {
    if kept.exists() {
        fs::remove_dir_all(kept)?;
    }
    fs::create_dir_all(kept)?;
    let began = Instant::now();
    let lab = Lab::new(case.name, case.limit);
    // What the case holds (guests, daemon) is dropped, and so killed, in the unwinding too.
    let result = catch_unwind(AssertUnwindSafe(|| (case.run)(&lab)))
        .unwrap_or_else(|_| Err(anyhow!("the case panicked")));
    ui::verdict(result.is_ok(), case.name, began.elapsed());
    if let Err(error) = &result {
        ui::failure(&format!("{error:#}"));
        show_logs(kept)?;
    }
    Ok(result.is_ok())
}

fn show_logs(kept: &Path) -> Result<()> {
    let mut logs: Vec<PathBuf> = fs::read_dir(kept)?.flatten().map(|entry| entry.path()).collect();
    logs.sort();
    for log in logs {
        if ["log", "console", "qemu"]
            .iter()
            .any(|kind| log.extension().is_some_and(|extension| extension == *kind))
        {
            let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
            ui::tail(&log.display().to_string(), &text, TAIL);
        }
    }
    Ok(())
}

/// Gives the terminal to the shell of a guest; called in the sandbox.
pub(super) fn shell_inside() -> Result<()> {
    sandbox::mount(&dir().join("run"))?;
    process::run(sandbox::chroot("qemu-system-x86_64").args(vm::shell_arguments()))
}

/// Where a sandbox leaves the counts for the process that made it.
fn result_file(lane: u32) -> PathBuf {
    lanes_dir().join(format!("result.{lane}"))
}

/// Which lane has what.
fn lanes_dir() -> PathBuf {
    dir().join("lanes")
}
