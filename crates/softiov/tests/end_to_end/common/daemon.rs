//! The daemon as a process.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, wait_for, wait_until};

/// The file of the desired state, in the folder of the sockets.
pub(crate) const STATE: &str = "state.redb";
const PROGRAM: &str = env!("CARGO_BIN_EXE_softiov");

/// A folder for a daemon: configuration, sockets, log.
pub(crate) struct Host {
    folder: TempDir,
    runtime_dir: PathBuf,
}

impl Host {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { runtime_dir: folder.path().join("run"), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the sockets.
    pub(crate) fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// A command line that speaks to the daemon of this host.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.program(Command::new(PROGRAM), arguments)
    }

    /// Runs a command to its end, which must come soon.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        let mut timeout = Command::new("timeout");
        timeout.args([&PATIENCE.as_secs().to_string(), PROGRAM]);
        self.program(timeout, arguments).output().unwrap()
    }

    fn program(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.env_remove("SOFTIOV_LOG").arg("--control").arg(self.runtime_dir().join("control.sock"));
        command.args(arguments);
        command
    }

    /// The standard error of a command that must fail with exit code 1 and say nothing else.
    pub(crate) fn refusal(&self, arguments: &[&str]) -> String {
        self.failure(arguments, 1)
    }

    /// The standard error of a command that must fail with this exit code and say nothing else.
    pub(crate) fn failure(&self, arguments: &[&str], code: i32) -> String {
        let Output { status, stdout, stderr } = self.cli(arguments);
        assert_eq!(status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        assert_eq!(String::from_utf8(stdout).unwrap(), "", "{arguments:?}");
        String::from_utf8(stderr).unwrap()
    }

    /// Writes a configuration; `text` goes behind the section that names the folder of the sockets.
    pub(crate) fn configure(&self, text: &str) -> PathBuf {
        let path = self.path("softiov.toml");
        let daemon = format!("[daemon]\nruntime_dir = {:?}\n", self.runtime_dir());
        std::fs::write(&path, daemon + text).unwrap();
        path
    }

    /// What a daemon says that does not start.
    pub(crate) fn start_refused(&self, config: &Path) -> String {
        self.refusal(&["run", "-c", config.to_str().unwrap()])
    }

    /// The files in the folder of the sockets, without that of the desired state.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.runtime_dir()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != STATE);
        names.sort();
        names
    }
}

/// A configuration of VMs `vm0`, `vm1` ... with an adapter `net0` each, whose lines are `lines`.
pub(crate) fn vms(count: usize, adapter: &str, lines: &str) -> String {
    let mut text = format!("[adapter]\n{adapter}\n");
    for n in 0..count {
        let mac = super::frames::mac(n).map(|byte| format!("{byte:02x}")).join(":");
        write!(text, "[[vm]]\nname = \"vm{n}\"\n[[vm.adapter]]\nmac = \"{mac}\"\n{lines}\n").unwrap();
    }
    text
}

/// A running daemon, ended with this value. If it has panicked, or does not end in order, the test fails.
pub(crate) struct Daemon {
    pub(crate) host: Arc<Host>,
    /// From the start of the process to its "ready".
    pub(crate) ready_after: Duration,
    child: Child,
    ended: bool,
}

impl Daemon {
    /// Starts a daemon for `count` VMs as [`vms`] describes them.
    pub(crate) fn with_vms(count: usize, adapter: &str, lines: &str) -> Self {
        Self::start(Host::new(), &vms(count, adapter, lines))
    }

    /// As [`start`](Self::start), with sockets in another folder.
    pub(crate) fn with_runtime_dir(mut host: Host, folder: &Path, config: &str) -> Self {
        host.runtime_dir = folder.to_owned();
        Self::start(host, config)
    }

    /// Starts a daemon with this configuration, and waits until it is ready.
    pub(crate) fn start(host: Host, config: &str) -> Self {
        std::fs::create_dir_all(host.runtime_dir()).unwrap();
        let config = host.configure(config);
        let log = File::create(host.path("log")).unwrap();
        let began = Instant::now();
        let mut child = host
            .command(&["run", "-c", config.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready_after = began.elapsed();
        let daemon = Self { host: Arc::new(host), ready_after, child, ended: false };
        assert!(line.starts_with("ready: "), "{line:?}\n{}", daemon.log());
        daemon
    }

    /// The socket of the VF of VM number `n`.
    pub(crate) fn socket(&self, n: usize) -> PathBuf {
        self.host.runtime_dir().join(format!("vm{n}-net0.vf"))
    }

    /// The answer of a command that must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.host.cli(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The device of the VF of VM number `n`, as `softiov vf` has it.
    pub(crate) fn device(&self, n: usize) -> Value {
        let vfs = self.json(&["vf"]);
        let own = vfs.as_array().unwrap().iter().find(|vf| vf["vm"] == format!("vm{n}"));
        own.unwrap_or_else(|| panic!("vm{n} has no VF"))["device"].clone()
    }

    /// The VPort of VM number `n`, as `softiov vport` has it.
    pub(crate) fn vport(&self, n: usize) -> Value {
        let vports = self.json(&["vport"]);
        let own = vports.as_array().unwrap().iter().find(|vport| vport["name"] == format!("vm{n}-net0"));
        own.unwrap_or_else(|| panic!("vm{n} has no VPort")).clone()
    }

    /// Waits until the frames for an address go to a VF, whose guest has enabled a receive queue.
    pub(crate) fn wait_until_on_vf(&self, mac: [u8; 6]) {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        wait_until(&format!("{mac} is behind a VF"), || {
            let filters = self.json(&["filter"]);
            let mut filters = filters.as_array().unwrap().iter();
            filters.any(|filter| filter["mac"] == *mac && filter["vport_id"] != 0)
        });
    }

    /// Frames that VM number `n` lost for `reason`.
    pub(crate) fn drops(&self, n: usize, reason: &str) -> u64 {
        let vport = self.vport(n);
        let drops = vport["drops"].as_array().unwrap().iter().find(|drop| drop["reason"] == reason);
        drops.map_or(0, |drop| drop["count"].as_u64().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.host.path("log")).unwrap()
    }

    /// Waits for a line in the log that has all of `parts`.
    pub(crate) fn wait_for_log(&self, parts: &[&str]) {
        wait_until(&format!("a log line with {parts:?}"), || {
            self.log().lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// Open file descriptors, once connections of command lines that have ended are closed.
    pub(crate) fn fds(&self) -> usize {
        let count = || std::fs::read_dir(self.proc("fd")).unwrap().count();
        wait_for("the number of descriptors settles", || {
            let before = count();
            std::thread::sleep(Duration::from_millis(20));
            (count() == before).then_some(before)
        })
    }

    /// Forbids the daemon new descriptors from number `limit` on; the limit before.
    pub(crate) fn limit_fds(&self, limit: u64) -> u64 {
        let pid = Some(Pid::from_child(&self.child));
        let maximum = getrlimit(Resource::Nofile).maximum;
        let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
        before.current.unwrap_or(u64::MAX)
    }

    /// Mappings of guest memory: of files called `guest`.
    pub(crate) fn guest_mappings(&self) -> usize {
        let maps = std::fs::read_to_string(self.proc("maps")).unwrap();
        maps.lines().filter(|line| line.contains("/memfd:guest")).count()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// CPU time that was used so far, in all threads.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(self.proc("stat")).unwrap();
        // Behind the name, which is in parentheses: utime and stime are the 14th and the 15th field of all.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        // Linux shows user space 100 ticks a second, whatever its own are.
        Duration::from_millis(ticks * 10)
    }

    /// Ends the daemon and starts it again, with a configuration for the same folder.
    pub(crate) fn restart(self, config: &str) -> Self {
        let (host, _) = self.end();
        Self::start(Arc::into_inner(host).expect("the daemon that had it has ended"), config)
    }

    /// Ends the daemon and returns how it ended, and its log.
    pub(crate) fn end(mut self) -> (Arc<Host>, String) {
        self.stop();
        (Arc::clone(&self.host), self.log())
    }

    fn stop(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "the daemon has ended by itself: {status:?}\n{}", self.log());
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let mut status = None;
        wait_until("the daemon ends when told to", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What went wrong is known; what it left must not outlive the test.
            let _ = self.child.kill();
            let _ = self.child.wait();
            #[expect(clippy::print_stderr, reason = "it stands beside the message of the panic")]
            {
                eprintln!("--- log of the daemon ---\n{}", self.log());
            }
            return;
        }
        self.stop();
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}
