//! What xtask says to the person, or the CI log, that runs it. The only module that prints.
#![expect(clippy::print_stdout, reason = "a build tool speaks on its standard output")]

use std::time::Duration;

/// Says that a step begins.
pub(crate) fn step(what: &str) {
    println!("==> {what}");
}

/// Passes a line on as it is: output of a tool, a row of a list.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Says how a test or check ended and how long it took.
pub(crate) fn verdict(passed: bool, name: &str, took: Duration) {
    println!("{} [{:>6.1}s] {name}", if passed { "PASS" } else { "FAIL" }, took.as_secs_f64());
}

/// Says what went wrong.
pub(crate) fn failure(text: &str) {
    println!("error: {text}");
}

/// Shows the end of a log under a title.
pub(crate) fn tail(title: &str, log: &str, lines: usize) {
    println!("--- {title}");
    let all: Vec<&str> = log.lines().collect();
    for line in &all[all.len().saturating_sub(lines)..] {
        println!("    {line}");
    }
}
