//! `cargo xtask ci`: what must hold for every commit, the same here and in CI.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::tally::Tally;
use crate::{lints, process, ui, workspace};

/// The version of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";

/// Runs all checks, also after one has failed, so that one run shows everything there is to mend.
pub(crate) fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    check(&mut tally, "format", || process::run(cargo().args(["fmt", "--all", "--check"])));
    check(&mut tally, "house rules", lints::run);
    check(&mut tally, "clippy", || {
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        process::run(cargo().args(clippy))
    });
    ui::step("unit tests");
    tally.absorb("unit tests", unit_tests());
    check(&mut tally, "documentation", || {
        let doc = ["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"];
        process::run(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    check(&mut tally, "dependency rules", dependency_rules);
    Ok(tally)
}

fn check(tally: &mut Tally, name: &str, run: impl FnOnce() -> Result<()>) {
    ui::step(name);
    let began = Instant::now();
    let result = run();
    ui::verdict(result.is_ok(), name, began.elapsed());
    tally.count(name, result);
}

/// The unit tests by cargo-nextest, and the examples in the documentation, which nextest does not run.
fn unit_tests() -> Result<Tally> {
    if !process::exists("cargo-nextest") {
        bail!("cargo-nextest is missing: `cargo install cargo-nextest --locked` installs it");
    }
    let mut nextest = cargo();
    nextest.args(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "fail"]);
    let (status, lines) = process::run_read_stderr(&mut nextest)?;
    let mut tally = lines
        .iter()
        .rev()
        .find_map(|line| nextest_summary(line))
        .with_context(|| format!("cargo nextest ended with {status} and no summary"))?;
    if !status.success() && tally.failed() == 0 {
        bail!("cargo nextest failed with {status}");
    }
    let doctests = process::capture(cargo().args(["test", "--doc", "--workspace", "--quiet"]));
    tally.count("examples in the documentation", doctests.map(drop));
    Ok(tally)
}

/// Reads `Summary [   1.2s] 12 tests run: 11 passed (1 slow), 1 failed, 0 skipped`.
fn nextest_summary(line: &str) -> Option<Tally> {
    let counts = line.trim_start().strip_prefix("Summary [")?.split_once(" run: ")?.1;
    let count = |word: &str| {
        let of = counts.split(", ").find(|part| part.split_whitespace().nth(1) == Some(word))?;
        of.split_whitespace().next()?.parse::<u32>().ok()
    };
    let bad = ["failed", "timed", "exec"].iter().filter_map(|word| count(word)).sum();
    Some(Tally::new(count("passed").unwrap_or(0), bad))
}

fn dependency_rules() -> Result<()> {
    if !process::exists("cargo-deny") {
        ui::line(&format!("installing cargo-deny {CARGO_DENY} (once)"));
        let install = ["install", "cargo-deny", "--debug", "--locked", "--quiet", "--version", CARGO_DENY];
        process::run(cargo().env("CARGO_PROFILE_DEV_DEBUG", "0").args(install))
            .context("cargo-deny is missing and could not be installed")?;
    }
    process::run(cargo().args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))
}

fn cargo() -> Command {
    let mut command = Command::new(workspace::cargo());
    command.current_dir(workspace::root());
    command
}

#[cfg(test)]
mod tests;
