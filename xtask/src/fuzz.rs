//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, each for a bounded time.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::tally::Tally;
use crate::{process, ui, workspace};

/// How long a target runs unless told otherwise.
pub(crate) const SECONDS: u32 = 30;

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
    let mut tally = Tally::default();
    if chosen.is_empty() {
        ui::line("there are no fuzz targets in fuzz/fuzz_targets");
        return Ok(tally);
    }
    if !process::exists("cargo-fuzz") {
        ui::line(&format!("installing cargo-fuzz {CARGO_FUZZ} (once)"));
        let install = ["install", "cargo-fuzz", "--locked", "--quiet", "--version", CARGO_FUZZ];
        process::run(Command::new(workspace::cargo()).args(install))
            .context("cargo-fuzz is missing and could not be installed")?;
    }
    let nightly = has_nightly();
    for name in chosen {
        ui::step(&format!("fuzz {name} for {seconds} s"));
        let began = Instant::now();
        let result = fuzz(nightly, name, seconds);
        ui::verdict(result.is_ok(), name, began.elapsed());
        tally.count(name, result);
    }
    Ok(tally)
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

fn fuzz(nightly: bool, name: &str, seconds: u32) -> Result<()> {
    // By rustup's own `cargo`: only that one understands `+nightly`.
    let mut command = Command::new("cargo");
    // Both name the toolchain of the cargo that runs xtask, and would win over `+nightly`.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    if nightly {
        command.arg("+nightly");
    } else {
        // The sanitizer and coverage flags are unstable; the stable compiler has them too.
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command.current_dir(workspace::root()).args(["fuzz", "run", name]);
    // What the fuzzer finds goes into the first corpus; the seeds in the source tree stay as they are.
    let found = workspace::target_dir().join("fuzz-corpus").join(name);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    command.arg(found);
    let seeds = workspace::root().join("fuzz/corpus").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command.args(["--", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0", "-print_final_stats=1"]);
    process::run(command.arg(format!("-max_total_time={seconds}")))
}

fn has_nightly() -> bool {
    process::capture(Command::new("rustup").args(["toolchain", "list"]))
        .is_ok_and(|list| list.lines().any(|line| line.starts_with("nightly")))
}
