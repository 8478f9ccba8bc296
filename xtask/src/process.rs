//! Running other programs: errors name the command line, waits have an end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::ui;

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a command that speaks for itself; fails unless it exits with success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", shown(command)))?;
    check(command, status)
}

/// Runs a command and returns what it wrote to its standard output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed with {}: {}", shown(command), output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a chatty command with its output in a log file, and shows the log's end when it fails.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write the log {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !status.success() {
        ui::tail(&log.display().to_string(), &fs::read_to_string(log).unwrap_or_default(), 20);
    }
    check(command, status)
}

/// Runs a command, passes its standard error on line by line, and returns those lines too, whatever its exit status.
pub(crate) fn run_read_stderr(command: &mut Command) -> Result<(ExitStatus, Vec<String>)> {
    let mut child =
        command.stderr(Stdio::piped()).spawn().with_context(|| format!("cannot run `{}`", shown(command)))?;
    let stderr = child.stderr.take().context("the child's standard error is piped")?;
    let mut lines = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        ui::line(&line);
        lines.push(line);
    }
    Ok((child.wait()?, lines))
}

/// Whether a program of this name can be found.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Waits for a child to exit, at most until `deadline`; `None` when it still runs then.
pub(crate) fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    poll_one(&PollFd::new(&pidfd, PollFlags::IN), deadline)?;
    Ok(child.try_wait()?)
}

/// Waits until one descriptor is ready or the deadline has come; says whether it is ready.
pub(crate) fn poll_one(fd: &PollFd<'_>, deadline: Instant) -> Result<bool> {
    Ok(poll(&mut [fd.clone()], Some(&time_left(deadline)))? > 0)
}

/// The time to a deadline as `poll` takes it.
pub(crate) fn time_left(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(3600));
    Timespec::try_from(left).expect("an hour fits a timespec")
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed with {status}", shown(command));
    }
    Ok(())
}
