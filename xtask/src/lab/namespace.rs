//! A network namespace: the host that the daemon runs on, or a machine that is reached through its physical port.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::agent::{COMMAND, Output};
use super::deadline::Deadline;
use super::sandbox;
use super::shell::Shell;
use super::vm::Killed;
use crate::process;

/// A network namespace with the Debian root's tools in it. It ends, with its processes and netdevs, when this is
/// dropped.
#[derive(Debug)]
pub(super) struct Namespace {
    name: &'static str,
    /// `unshare`, which is in the namespace itself and whose child holds its processes together.
    holder: Killed,
    deadline: Deadline,
}

impl Namespace {
    /// A namespace in which there is only the loopback device.
    pub(super) fn new(name: &'static str, deadline: Deadline) -> Result<Self> {
        let in_root = |path| sandbox::in_root(path).display().to_string();
        let script = format!(
            "mount -t tmpfs tmp {} && mount -t sysfs sys {} && mount --bind /dev {} && \
             chroot {} ip link set lo up && echo ready && exec sleep infinity",
            in_root("tmp"),
            in_root("sys"),
            in_root("dev"),
            in_root("/"),
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
        unshare.arg(format!("--mount-proc={}", in_root("proc"))).args(["--", "sh", "-c", &script]);
        unshare.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder =
            Killed(unshare.spawn().with_context(|| format!("cannot run {}", process::shown(&unshare)))?);
        let mut line = String::new();
        let stdout = holder.0.stdout.take().context("the holder's output is piped")?;
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "the network namespace {name} cannot be made");
        Ok(Self { name, holder, deadline })
    }

    /// A command whose network is this namespace's, and nothing else of it; give it a program.
    pub(super) fn network(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.0.id())).arg("--");
        command
    }

    /// Joins two namespaces by a pair of veth devices: `dev` here, `peer` there.
    pub(super) fn cable(&self, dev: &str, there: &Self, peer: &str) -> Result<()> {
        let pid = there.holder.0.id().to_string();
        let mut ip = self.network();
        ip.arg("chroot").arg(super::root());
        ip.args(["ip", "link", "add", dev, "type", "veth", "peer", "name", peer, "netns", &pid]);
        process::capture(&mut ip)?;
        self.sh(&format!("ip link set {dev} up"))?;
        there.sh(&format!("ip link set {peer} up")).map(drop)
    }
}

impl Shell for Namespace {
    fn name(&self) -> &str {
        self.name
    }

    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn try_sh(&self, command: &str) -> Result<Output> {
        let pid = self.holder.0.id();
        let mut nsenter = Command::new("nsenter");
        for (option, namespace) in [("net", "net"), ("mount", "mnt"), ("pid", "pid_for_children")] {
            nsenter.arg(format!("--{option}=/proc/{pid}/ns/{namespace}"));
        }
        nsenter.args(["--", "chroot"]).arg(super::root());
        nsenter.args([
            "timeout",
            &COMMAND.as_secs().to_string(),
            "sh",
            "-c",
            &format!("exec 2>&1; {command}"),
        ]);
        nsenter.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let output =
            nsenter.output().with_context(|| format!("cannot run `{}`", process::shown(&nsenter)))?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Output { status: output.status.code().unwrap_or(-1), text })
    }
}
