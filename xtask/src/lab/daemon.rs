//! The daemon under test: started as a user starts it, and looked at from outside.

use std::fs::{self, File};
use std::ops::Add;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open};
use serde_json::Value;

use super::config::Config;
use super::deadline::Deadline;
use super::namespace::Namespace;
use super::vm::Killed;
use crate::{process, workspace};

/// How long the daemon may take to start, to give back what a guest used, and to end.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at a state that nothing announces.
const PERIOD: Duration = Duration::from_millis(5);

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Open file descriptors.
    pub(super) fds: usize,
    /// Mappings of guests' memory (and of the daemon's own memory files).
    pub(super) memory_maps: usize,
}

impl Add for Footprint {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { fds: self.fds + more.fds, memory_maps: self.memory_maps + more.memory_maps }
    }
}

/// How a call of the command line ended.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A running daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Killed,
    control: String,
    log: PathBuf,
    /// What it held when it was ready and no guest had come.
    idle: Footprint,
    /// The time from its start until its control socket answered.
    pub(super) ready_after: Duration,
    deadline: Deadline,
}

impl Daemon {
    /// Starts the daemon with a configuration, its sockets and logs in `dir`, and waits until it answers.
    pub(super) fn start(dir: &str, config: &Config, deadline: Deadline) -> Result<Self> {
        Self::launch(Command::new(workspace::daemon()), dir, config, deadline)
    }

    /// The same, on a host of its own.
    pub(super) fn start_on(host: &Namespace, dir: &str, config: &Config, deadline: Deadline) -> Result<Self> {
        let mut command = host.network();
        command.arg(workspace::daemon());
        Self::launch(command, dir, config, deadline)
    }

    fn launch(mut command: Command, dir: &str, config: &Config, deadline: Deadline) -> Result<Self> {
        let file = format!("{dir}/softiov.toml");
        fs::write(&file, config.file(dir))?;
        let control = format!("{dir}/control.sock");
        let log_path = Path::new(dir).join("daemon.log");
        // Of one after the other, if the case has several.
        let log = File::options().create(true).append(true).open(&log_path)?;
        command.args(["run", "-c", &file, "--control", &control]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let began = Instant::now();
        let mut process =
            Killed(command.spawn().with_context(|| format!("cannot run {}", process::shown(&command)))?);
        let until = deadline.within(LIMIT);
        while UnixStream::connect(&control).is_err() {
            if let Some(status) = process.0.try_wait()? {
                bail!("the daemon ended with {status} before it was ready");
            }
            ensure!(Instant::now() < until, "the daemon's control socket {control} does not answer");
            thread::sleep(PERIOD);
        }
        let ready_after = began.elapsed();
        let idle = Footprint { fds: 0, memory_maps: 0 };
        let mut daemon = Self { process, control, log: log_path, idle, ready_after, deadline };
        // A first call, so that whatever the control socket needs for good is part of the idle footprint.
        daemon.show()?;
        daemon.idle = daemon.footprint()?;
        Ok(daemon)
    }

    /// Calls the command line against this daemon, however it ends.
    pub(super) fn try_call(&self, arguments: &[&str]) -> Result<Call> {
        call(&[arguments, &["--control", &self.control]].concat())
    }

    /// Starts a call of the command line that goes on until it is told to end.
    pub(super) fn spawn(&self, arguments: &[&str]) -> Result<Killed> {
        let mut command = Command::new(workspace::daemon());
        command.args(arguments).args(["--control", &self.control]).stdin(Stdio::null());
        Ok(Killed(command.spawn().with_context(|| format!("cannot run `{}`", process::shown(&command)))?))
    }

    /// Calls the command line, which must succeed, and returns what it printed.
    pub(super) fn call(&self, arguments: &[&str]) -> Result<String> {
        let call = self.try_call(arguments)?;
        ensure!(call.success, "`softiov {}` failed: {}", arguments.join(" "), call.stderr);
        Ok(call.stdout)
    }

    /// Calls the command line, which must succeed, and returns the JSON that it printed.
    pub(super) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.call(&[arguments, &["-o", "json"]].concat())?;
        let shown = || format!("`softiov {} -o json` does not print JSON: {text}", arguments.join(" "));
        serde_json::from_str(&text).with_context(shown)
    }

    /// The state of everything.
    pub(super) fn show(&self) -> Result<Value> {
        self.json(&["show"])
    }

    /// The sum of all counters whose name contains `word`.
    pub(super) fn counted(&self, word: &str) -> Result<u64> {
        Ok(sum_of(&self.show()?, word))
    }

    /// Resident memory in KiB.
    pub(super) fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the daemon has no VmRSS")?;
        line.split_whitespace().next().context("VmRSS has a value")?.parse().context("VmRSS is a number")
    }

    /// Of the thread with this name: the CPUs that it may run on, as `/proc` lists them, and the one that it was on last.
    pub(super) fn cpus_of(&self, thread: &str) -> Result<(String, String)> {
        for task in
            fs::read_dir(format!("/proc/{}/task", self.process.0.id())).context("the daemon is gone")?
        {
            let read = |path: &Path, file| fs::read_to_string(path.join(file)).context("a thread is gone");
            let task = task?.path();
            if read(&task, "comm")?.trim_end() == thread {
                let (status, stat) = (read(&task, "status")?, read(&task, "stat")?);
                let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
                // The 39th field of all, of which two come before the end of the name.
                let last = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(36));
                let found = allowed.zip(last).context("/proc does not show a thread's CPUs")?;
                return Ok((found.0.trim().to_owned(), found.1.to_owned()));
            }
        }
        bail!("the daemon has no thread {thread}")
    }

    /// Shuts down the connections that the daemon has accepted on the Unix socket at `path`: both ends find that the
    /// other one has gone.
    pub(super) fn cut(&self, path: &str) -> Result<()> {
        let pid = Pid::from_child(&self.process.0);
        let proc = format!("/proc/{}", self.process.0.id());
        let table = fs::read_to_string(format!("{proc}/net/unix")).context("the daemon is gone")?;
        // Number, references, protocol, flags, type, state (03: connected), inode, path.
        let sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let connected = sockets.filter(|words| words.get(5) == Some(&"03") && words.get(7) == Some(&path));
        let names: Vec<String> = connected.map(|words| format!("socket:[{}]", words[6])).collect();
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let mut cut = 0;
        for entry in fs::read_dir(format!("{proc}/fd"))? {
            let entry = entry?.path();
            // One that was closed meanwhile is none of those.
            let is_one =
                fs::read_link(&entry).is_ok_and(|target| names.iter().any(|name| target == Path::new(name)));
            let number = entry.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let (true, Some(number)) = (is_one, number) {
                shutdown(pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())?, Shutdown::Both)?;
                cut += 1;
            }
        }
        ensure!(cut > 0, "nobody is connected to {path}: {table}");
        Ok(())
    }

    /// What the daemon holds now.
    pub(super) fn footprint(&self) -> Result<Footprint> {
        let pid = self.process.0.id();
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).context("the daemon is gone")?.count();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).context("the daemon is gone")?;
        Ok(Footprint { fds, memory_maps: maps.lines().filter(|line| line.contains("/memfd:")).count() })
    }

    /// Waits until the daemon holds no more than `expected`; more for long is a leak.
    pub(super) fn await_footprint(&self, expected: Footprint) -> Result<()> {
        let until = self.deadline.within(LIMIT);
        loop {
            let now = self.footprint()?;
            if now.fds <= expected.fds && now.memory_maps <= expected.memory_maps {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "the daemon leaks: it holds {now:?} and should hold {expected:?}"
            );
            thread::sleep(PERIOD);
        }
    }

    /// From now on the daemon may hold this much more, also when all guests have gone.
    pub(super) fn may_keep(&mut self, more: Footprint) {
        self.idle = self.idle + more;
    }

    /// After all guests have gone: the daemon has given everything back, has not panicked, and ends when told to.
    pub(super) fn stop(self) -> Result<()> {
        self.await_footprint(self.idle)?;
        self.end(Signal::TERM)
    }

    /// Ends the daemon by a signal, whoever uses it. By any but SIGKILL it ends in order.
    pub(super) fn end(mut self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.process.0);
        if let Some(status) = self.process.0.try_wait()? {
            bail!("the daemon ended with {status} during the case");
        }
        kill_process(pid, signal)?;
        match process::wait_until(&mut self.process.0, self.deadline.within(LIMIT))? {
            Some(status) if status.success() || signal == Signal::KILL => {}
            Some(status) => bail!("the daemon ended with {status} after {signal:?}"),
            None => bail!("the daemon does not end on {signal:?}"),
        }
        let log = fs::read_to_string(&self.log).context("the daemon has no log")?;
        ensure!(!log.contains("panicked at"), "a thread of the daemon panicked, see {}", self.log.display());
        Ok(())
    }
}

impl Drop for Daemon {
    /// A case that fails leaves beside the log what the daemon showed last.
    fn drop(&mut self) {
        if let (Ok(None), Ok(Call { success: true, stdout, .. })) =
            (self.process.0.try_wait(), self.try_call(&["show", "-o", "json"]))
        {
            // It only helps to find the cause; the case has failed already.
            let _ = fs::write(self.log.with_file_name("show.json"), stdout);
        }
    }
}

/// Calls softiov's command line with a limit.
pub(super) fn call(arguments: &[&str]) -> Result<Call> {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "20"]).arg(workspace::daemon()).args(arguments).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run `{}`", process::shown(&command)))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Call { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// Sums counters, which are members of objects (`"frames": 3`), or named by a member and counted by another
/// (`"reason": "source_mac_spoofed", "count": 3`).
fn sum_of(value: &Value, word: &str) -> u64 {
    let counter = |name: &str, value: &Value| match value.as_u64() {
        Some(count) if name.contains(word) => count,
        _ => sum_of(value, word),
    };
    match value {
        Value::Array(values) => values.iter().map(|value| sum_of(value, word)).sum(),
        Value::Object(members) => match (members.get("reason"), members.get("count")) {
            (Some(Value::String(reason)), Some(count)) => counter(reason, count),
            _ => members.iter().map(|(name, value)| counter(name, value)).sum(),
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
