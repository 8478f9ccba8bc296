//! The daemon under test.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;

use crate::{process, ui, workspace};

/// How long the daemon may take for anything.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at a state that nothing announces.
const PERIOD: Duration = Duration::from_millis(5);

/// Two VMs with a synthetic adapter each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    /// Last byte of the address of the first one; the second has the next one.
    pub(super) first: u8,
    /// The client makes the sockets, and the daemon connects.
    pub(super) client_listens: bool,
    pub(super) queues: u16,
}

impl Pair {
    /// The names of the VMs.
    pub(super) fn vms(self) -> [String; 2] {
        [self.first, self.first + 1].map(|number| format!("vm{number}"))
    }

    /// The names of their sockets.
    pub(super) fn sockets(self) -> [String; 2] {
        self.vms().map(|vm| format!("{vm}-net0.net"))
    }
}

#[derive(Serialize)]
struct Config {
    daemon: DaemonConfig,
    vm: Vec<Vm>,
}

#[derive(Serialize)]
struct DaemonConfig {
    runtime_dir: PathBuf,
}

#[derive(Serialize)]
struct Vm {
    name: String,
    adapter: [Adapter; 1],
}

#[derive(Serialize)]
struct Adapter {
    mac: String,
    iov_weight: u32,
    vmq_weight: u32,
    queue_pairs: u16,
    vhost_user: &'static str,
}

fn config(dir: &Path, pairs: &[Pair]) -> Config {
    let vms = pairs.iter().flat_map(|pair| {
        pair.vms().into_iter().zip(pair.first..).map(|(name, number)| Vm {
            name,
            adapter: [Adapter {
                mac: format!("02:00:00:00:00:{number:02x}"),
                iov_weight: 0,
                vmq_weight: 0,
                queue_pairs: pair.queues,
                vhost_user: if pair.client_listens { "client" } else { "server" },
            }],
        })
    });
    Config { daemon: DaemonConfig { runtime_dir: dir.to_owned() }, vm: vms.collect() }
}

/// What a synthetic adapter has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) sent_octets: u64,
    pub(super) received: u64,
    pub(super) received_octets: u64,
    /// Frames lost on either way, and rings that were found broken.
    pub(super) lost: u64,
    pub(super) connected: bool,
    /// Rings in use.
    pub(super) rings: u64,
}

/// A running daemon; it is killed if this is dropped, or if this process dies.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Child,
    dir: PathBuf,
    /// Descriptors that it held when it was ready.
    idle: usize,
}

fn log_of(dir: &Path) -> PathBuf {
    dir.join("daemon.log")
}

/// Shows the end of what the daemon said.
pub(super) fn show_logs(dir: &Path) {
    ui::tail("the daemon's log", &fs::read_to_string(log_of(dir)).unwrap_or_default(), 40);
}

impl Daemon {
    /// Starts the daemon with these adapters, all its files in `dir`, and waits until it answers.
    pub(super) fn start(dir: &Path, pairs: &[Pair]) -> Result<Self> {
        let file = dir.join("softiov.toml");
        fs::write(&file, toml::to_string(&config(dir, pairs))?)?;
        let log = File::create(log_of(dir))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(workspace::daemon()).args(["run", "-c"]).arg(&file);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process =
            command.spawn().with_context(|| format!("cannot run `{}`", process::shown(&command)))?;
        let mut daemon = Self { process, dir: dir.to_owned(), idle: 0 };
        let until = Instant::now() + LIMIT;
        while UnixStream::connect(daemon.control()).is_err() {
            if let Some(status) = daemon.process.try_wait()? {
                show_logs(dir);
                bail!("the daemon ended with {status} before it was ready");
            }
            ensure!(Instant::now() < until, "the daemon's control socket does not answer");
            thread::sleep(PERIOD);
        }
        // A first call, so that whatever the control socket needs for good is there.
        daemon.show()?;
        daemon.idle = daemon.descriptors()?;
        Ok(daemon)
    }

    /// The folder of its sockets.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn control(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    fn show(&self) -> Result<Value> {
        let mut command = Command::new(workspace::daemon());
        command.args(["show", "-o", "json", "--control"]).arg(self.control());
        serde_json::from_str(&process::capture(&mut command)?).context("`softiov show` does not print JSON")
    }

    fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.process.id())).context("the daemon is gone")?.count())
    }

    /// What the adapters of a pair have done.
    pub(super) fn counts(&self, pair: Pair) -> Result<[Counts; 2]> {
        let topology = self.show()?;
        let [one, other] = pair.vms().map(|vm| counts_of(&topology, &vm));
        Ok([one?, other?])
    }

    /// Waits until `reached` is true of what the adapters of a pair have done.
    pub(super) fn await_counts(
        &self,
        pair: Pair,
        what: &str,
        reached: impl Fn(&[Counts; 2]) -> bool,
    ) -> Result<[Counts; 2]> {
        let until = Instant::now() + LIMIT;
        loop {
            let counts = self.counts(pair)?;
            if reached(&counts) {
                return Ok(counts);
            }
            ensure!(Instant::now() < until, "{what} was waited for in vain: {counts:?}");
            thread::sleep(PERIOD);
        }
    }

    /// With no client left: the daemon has given everything back, has not panicked, and ends when told to.
    pub(super) fn stop(mut self) -> Result<()> {
        let until = Instant::now() + LIMIT;
        while self.descriptors()? > self.idle {
            let (now, idle) = (self.descriptors()?, self.idle);
            ensure!(
                Instant::now() < until,
                "the daemon leaks: {now} descriptors are open, {idle} at its start"
            );
            thread::sleep(PERIOD);
        }
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        match process::wait_until(&mut self.process, until)? {
            Some(status) => ensure!(status.success(), "the daemon ended with {status} after SIGTERM"),
            None => bail!("the daemon does not end on SIGTERM"),
        }
        let log = fs::read_to_string(log_of(&self.dir))?;
        ensure!(!log.contains("panicked at"), "a thread of the daemon panicked");
        Ok(())
    }
}

fn counts_of(topology: &Value, vm: &str) -> Result<Counts> {
    let vms = topology["vms"].as_array().context("`softiov show` lists no VMs")?;
    let view = vms.iter().find(|view| view["name"] == vm).with_context(|| format!("there is no VM {vm}"))?;
    let view = &view["adapters"][0]["synthetic"];
    let number = |value: &Value| value.as_u64().with_context(|| format!("a counter of {vm} is {value}"));
    let mut lost = view["device"]["broken_rings"].as_array().map_or(0, |rings| rings.len() as u64);
    for drop in view["drops"].as_array().context("an adapter shows what it lost")? {
        lost += number(&drop["count"])?;
    }
    Ok(Counts {
        sent: number(&view["sent"]["frames"])?,
        sent_octets: number(&view["sent"]["octets"])?,
        received: number(&view["received"]["frames"])?,
        received_octets: number(&view["received"]["octets"])?,
        lost,
        connected: view["device"]["connected"].as_bool().unwrap_or(false),
        rings: view["device"]["rings"].as_u64().unwrap_or(0),
    })
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended already need not be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
