//! A guest: one QEMU process, its agent and its monitor.

mod args;
mod migration;

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;

use super::agent::{Agent, COMMAND, Output};
use super::deadline::Deadline;
use super::qmp::Qmp;
use super::sandbox;
use super::shell::Shell;
use crate::process;

/// How long a guest may take to start: 3 s on an idle machine, much longer beside others on a busy one.
const BOOT: Duration = Duration::from_secs(120);
/// How long a guest may take to give a device back, or QEMU to end.
const LEAVE: Duration = Duration::from_secs(30);

/// What a guest is made of.
#[derive(Debug, Clone)]
pub(super) struct VmSpec {
    pub(super) name: String,
    /// The guest's number, from 1: its part of its addresses.
    pub(super) number: u8,
    pub(super) memory_mib: u32,
    pub(super) cpus: u8,
    pub(super) nics: Vec<Nic>,
    /// A monitor besides the lab's own, on which QEMU listens: the daemon's.
    pub(super) monitor: Option<String>,
    /// Where it waits for a guest that migrates, instead of starting one: a socket.
    pub(super) incoming: Option<String>,
}

/// What a guest has of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Vf,
    Synthetic,
}

/// An adapter of a guest; each has a root port of its own.
#[derive(Debug, Clone)]
pub(super) struct Nic {
    pub(super) kind: Kind,
    /// Queue pairs of a synthetic adapter.
    pub(super) queue_pairs: u16,
    /// Largest MTU of a synthetic adapter that the guest is told of, if it is told of one.
    pub(super) mtu: Option<u16>,
    /// Whether a synthetic adapter stands by for a VF, which comes to a root port of its own.
    pub(super) standby: bool,
    /// QEMU's id of the device.
    pub(super) id: String,
    pub(super) mac: String,
    /// The socket of the VF, or of the synthetic adapter.
    pub(super) socket: String,
    /// Whether it is there at the guest's start; otherwise it is hot-plugged.
    pub(super) plugged: bool,
}

/// A guest whose QEMU runs and that is on its way up.
#[derive(Debug)]
pub(super) struct Booting {
    spec: VmSpec,
    process: Killed,
    agent: UnixListener,
    qmp: UnixListener,
    deadline: Deadline,
}

/// A guest that serves commands.
#[derive(Debug)]
pub(super) struct Vm {
    spec: VmSpec,
    process: Killed,
    agent: RefCell<Agent>,
    qmp: RefCell<Qmp>,
    deadline: Deadline,
}

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Killed(pub(super) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails only when the process has ended already, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl VmSpec {
    /// A guest without a network.
    pub(super) fn new(name: &str, number: u8) -> Self {
        Self {
            name: name.to_owned(),
            number,
            memory_mib: 256,
            cpus: 1,
            nics: Vec::new(),
            monitor: None,
            incoming: None,
        }
    }

    /// Starts the guest's QEMU. `dir` is the same path here and in QEMU's root.
    pub(super) fn launch(self, dir: &str, deadline: Deadline) -> Result<Booting> {
        let listen = |kind: &str| {
            let path = format!("{dir}/{}.{kind}", self.name);
            UnixListener::bind(&path).with_context(|| format!("cannot listen on {path}"))
        };
        let (agent, qmp) = (listen("agent")?, listen("qmp")?);
        let log = File::create(format!("{dir}/{}.qemu", self.name))?;
        let mut qemu = sandbox::chroot("qemu-system-x86_64");
        qemu.args(args::driven(&self, dir)).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        fs::write(format!("{dir}/{}.command", self.name), process::shown(&qemu))?;
        let process =
            Killed(qemu.spawn().with_context(|| format!("cannot start the QEMU of {}", self.name))?);
        Ok(Booting { spec: self, process, agent, qmp, deadline })
    }
}

impl Booting {
    /// Waits until the guest serves commands.
    pub(super) fn await_ready(self) -> Result<Vm> {
        let until = self.deadline.within(BOOT);
        let vm = self.await_qemu()?;
        vm.agent.borrow_mut().await_ready(until).with_context(|| format!("guest {}", vm.name()))?;
        Ok(vm)
    }

    /// Waits until QEMU is there. One that waits for a guest serves commands from when that has come.
    pub(super) fn await_qemu(mut self) -> Result<Vm> {
        let until = self.deadline.within(BOOT);
        let mut connect = || -> Result<(Agent, Qmp)> {
            let agent = Agent::new(accept(&mut self.process.0, &self.agent, until)?)?;
            let qmp = Qmp::new(accept(&mut self.process.0, &self.qmp, until)?, self.deadline)?;
            Ok((agent, qmp))
        };
        let (agent, qmp) = connect().with_context(|| format!("QEMU of {}", self.spec.name))?;
        let (agent, qmp) = (RefCell::new(agent), RefCell::new(qmp));
        Ok(Vm { spec: self.spec, process: self.process, agent, qmp, deadline: self.deadline })
    }
}

impl Shell for Vm {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn try_sh(&self, command: &str) -> Result<Output> {
        let until = self.deadline.within(COMMAND);
        self.agent.borrow_mut().run(command, until).with_context(|| format!("guest {}", self.name()))
    }
}

impl Vm {
    pub(super) fn number(&self) -> u8 {
        self.spec.number
    }

    /// The MAC address of adapter `index`.
    pub(super) fn mac(&self, index: usize) -> &str {
        &self.spec.nics[index].mac
    }

    /// The name of the network device that adapter `index` has in the guest, once it is there.
    pub(super) fn netdev(&self, index: usize) -> Result<String> {
        let mac = self.mac(index);
        let find = format!(
            "( for d in /sys/class/net/*/device; do n=${{d%/device}}; \
             if grep -qi {mac} $n/address; then basename $n; exit 0; fi; done; exit 1 ) 2>/dev/null"
        );
        self.until(&find, Duration::from_secs(30))
            .with_context(|| format!("no network device has the address {mac}"))
    }

    /// Restarts the guest from within, as its user would.
    pub(super) fn reboot(&self) -> Result<()> {
        let until = self.deadline.within(BOOT);
        self.agent.borrow_mut().restart("reboot -f", until).with_context(|| format!("guest {}", self.name()))
    }

    /// Kills QEMU, and starts another one for the same guest, under another name.
    pub(super) fn start_anew(self, name: &str, dir: &str) -> Result<Self> {
        let (spec, deadline) = (VmSpec { name: name.to_owned(), ..self.spec.clone() }, self.deadline);
        self.kill();
        spec.launch(dir, deadline)?.await_ready()
    }

    /// Hot-plugs adapter `index`.
    pub(super) fn plug(&self, index: usize) -> Result<()> {
        let device = args::device(&self.spec.nics[index], index);
        self.qmp.borrow_mut().execute("device_add", &device).map(drop)
    }

    /// Takes adapter `index` out and waits until the guest has let go of it.
    pub(super) fn unplug(&self, index: usize) -> Result<()> {
        let id = &self.spec.nics[index].id;
        let mut qmp = self.qmp.borrow_mut();
        qmp.execute("device_del", &json!({ "id": id }))?;
        qmp.await_event("DEVICE_DELETED", &json!({ "device": id }), LEAVE).map(drop)
    }

    /// What QEMU says of the guest: `running`, `paused`, ...
    pub(super) fn status(&self) -> Result<String> {
        let status = self.qmp.borrow_mut().execute("query-status", &json!({}))?;
        Ok(status["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Stops the guest's processors.
    pub(super) fn pause(&self) -> Result<()> {
        self.qmp.borrow_mut().execute("stop", &json!({})).map(drop)
    }

    /// Lets them go on.
    pub(super) fn resume(&self) -> Result<()> {
        self.qmp.borrow_mut().execute("cont", &json!({})).map(drop)
    }

    /// Ends QEMU; an abort of QEMU on the way is a failure.
    pub(super) fn quit(mut self) -> Result<()> {
        self.qmp.borrow_mut().execute("quit", &json!({}))?;
        match process::wait_until(&mut self.process.0, self.deadline.within(LEAVE))? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("QEMU of {} ended with {status}", self.name()),
            None => bail!("QEMU of {} does not end", self.name()),
        }
    }
}

/// The command line of a guest without a network whose console is this terminal.
pub(super) fn shell_arguments() -> Vec<String> {
    let mut arguments = args::machine(512, 2, "quiet lab.shell");
    arguments.extend(["-serial", "mon:stdio", "-no-reboot"].map(str::to_owned));
    arguments
}

/// Takes the one connection that a listener waits for, unless the process that should connect ends before.
fn accept(peer: &mut Child, listener: &UnixListener, until: Instant) -> Result<UnixStream> {
    let pidfd = pidfd_open(Pid::from_child(peer), PidfdFlags::empty())?;
    let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&process::time_left(until)))?;
    if !fds[0].revents().is_empty() {
        return Ok(listener.accept()?.0);
    }
    match peer.try_wait()? {
        Some(status) => bail!("it ended with {status} before it connected"),
        None => bail!("it did not connect in time"),
    }
}
