//! Runs the cases, one after another: two guests fill a machine of two processors.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use super::cases::{self, Case};
use super::scene::Lab;
use super::{daemon, dir, sandbox, vm};
use crate::tally::Tally;
use crate::{process, ui};

/// How much of each log a failed case shows.
const TAIL: usize = 25;

/// Builds the daemon and runs the cases whose name contains `filter` in a sandbox.
pub(crate) fn run(filter: &str) -> Result<Tally> {
    if !cases::ALL.iter().any(|case| case.name.contains(filter)) {
        bail!("no case of the lab has `{filter}` in its name; `cargo xtask lab list` shows them");
    }
    ui::step("lab: building the daemon");
    daemon::build().context("the daemon does not build")?;
    let result = result_file();
    fs::remove_file(&result).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let status = sandbox::enter(&["lab", "inside", filter])?;
    let text =
        fs::read_to_string(&result).with_context(|| format!("the lab ended with {status} and no result"))?;
    let mut counts = text.split_whitespace().map(str::parse::<u32>);
    match (counts.next(), counts.next()) {
        (Some(Ok(passed)), Some(Ok(failed))) => Ok(Tally::new(passed, failed)),
        _ => bail!("{} holds no result: {text}", result.display()),
    }
}

/// Runs the cases; called in the sandbox.
pub(super) fn run_inside(filter: &str) -> Result<Tally> {
    let run_dir = dir().join("run");
    sandbox::mount(&run_dir)?;
    let (mut passed, mut failed) = (0, 0);
    for case in cases::ALL.iter().filter(|case| case.name.contains(filter)) {
        if run_case(case, &run_dir.join(case.name))? {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    fs::write(result_file(), format!("{passed} {failed}\n"))?;
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

/// Where the sandbox leaves the counts for the process that made it.
fn result_file() -> PathBuf {
    dir().join("result")
}
