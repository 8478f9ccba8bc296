//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, each for a bounded time.

mod background;

use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::tally::Tally;
use crate::{process, ui, workspace};

pub(crate) use background::Background;

/// How long a target runs unless told otherwise.
pub(crate) const SECONDS: u32 = 10;

const CARGO_FUZZ: &str = "0.13.2";

/// Runs one target or all; each that finds nothing counts as passed.
pub(crate) fn run(seconds: u32, target: Option<&str>) -> Result<Tally> {
    let all = targets()?;
    let chosen: Vec<&String> = match target {
        None => all.iter().collect(),
        Some(name) => match all.iter().find(|known| *known == name) {
            Some(known) => vec![known],
            None => bail!("there is no fuzz target `{name}`; there are: {}", all.join(", ")),
        },
    };
    let tally = Tally::default();
    if chosen.is_empty() {
        ui::line("there are no fuzz targets in fuzz/fuzz_targets");
        return Ok(tally);
    }
    if !process::exists("cargo-fuzz") {
        ui::line(&format!("installing cargo-fuzz {CARGO_FUZZ} (once)"));
        let install = ["install", "cargo-fuzz", "--debug", "--locked", "--quiet", "--version", CARGO_FUZZ];
        process::run(Command::new(workspace::cargo()).args(install))
            .context("cargo-fuzz is missing and could not be installed")?;
    }
    let fuzzer = Fuzzer { nightly: has_nightly(), seconds };
    ui::step("building the fuzz targets");
    process::run(fuzzer.cargo().args(["fuzz", "build"])).context("the fuzz targets do not build")?;
    ui::step(&format!("fuzzing each of {} targets for {seconds} s", chosen.len()));
    // A target keeps a processor busy; three share one, so that a short run of all is short.
    let workers = 3 * thread::available_parallelism().map_or(1, NonZero::get);
    let waiting = Mutex::new(chosen.into_iter());
    let tally = Mutex::new(tally);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(name) = next(&waiting) {
                    let began = Instant::now();
                    let result = fuzzer.run(name);
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    ui::verdict(result.is_ok(), name, began.elapsed());
                    tally.count(name, result);
                }
            });
        }
    });
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The next target to run; the lock is not held while it runs.
fn next<'a>(waiting: &Mutex<impl Iterator<Item = &'a String>>) -> Option<&'a String> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// The names of the targets: the files in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let dir = workspace::root().join("fuzz/fuzz_targets");
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// How targets are run.
struct Fuzzer {
    nightly: bool,
    seconds: u32,
}

impl Fuzzer {
    /// A cargo with the unstable flags for sanitizers and coverage.
    fn cargo(&self) -> Command {
        // By rustup's own `cargo`: only that one understands `+nightly`.
        let mut command = Command::new("cargo");
        // Both name the toolchain of the cargo that runs xtask, and would win over `+nightly`.
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").current_dir(workspace::root());
        // Of a crash, cargo-fuzz would show its own stack last.
        command.env("RUST_LIB_BACKTRACE", "0");
        if self.nightly {
            command.arg("+nightly");
        } else {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// Runs one target, with its chatter in a log.
    fn run(&self, name: &str) -> Result<()> {
        let dir = workspace::target_dir().join("fuzz");
        // What the fuzzer finds goes into the first corpus; the seeds in the source tree stay as they are.
        let found = dir.join(name);
        fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        let mut command = self.cargo();
        command.args(["fuzz", "run", name]).arg(&found);
        let seeds = workspace::root().join("fuzz/corpus").join(name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        // By the clock, not by the processor: a run in the background may wait long for one.
        command.args(["--", "-timeout=30", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        command.arg(format!("-max_total_time={}", self.seconds));
        let log = dir.join(format!("{name}.log"));
        fs::write(&log, "")?;
        process::run_logged(&mut command, &log)
    }
}

fn has_nightly() -> bool {
    process::capture(Command::new("rustup").args(["toolchain", "list"]))
        .is_ok_and(|list| list.lines().any(|line| line.starts_with("nightly")))
}
