//! The control side's grip on a worker.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use crossbeam_utils::{Backoff, CachePadded};
use nic_switch::{Capabilities, Forwarding};
use port::Port;
use rustix::thread::{CpuSet, sched_setaffinity};
use vswitch::{Learned, Meter};

use crate::capture::{Capture, CaptureSpec, Tap};
use crate::counters::PortCounters;
use crate::gap::GapCommand;
use crate::place::Place;
use crate::ready::ReadySet;
use crate::sleeper::Sleeper;
use crate::snapshot::{Snapshot, Switches};
use crate::worker::{Config, Shared, Work, Worker};

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread or file descriptor left.
    #[error("cannot start the worker thread")]
    Os(#[from] io::Error),
    /// The CPU to be pinned to is not there.
    #[error("cannot pin the worker to CPU {cpu}: it is not one that this process may use")]
    Cpu {
        /// The CPU asked for.
        cpu: usize,
    },
}

/// A port for the worker.
pub struct Attachment {
    /// The port.
    pub port: Box<dyn Port>,
    /// Where it is counted.
    pub counters: Arc<PortCounters>,
    /// How the worker learns that there is something to fetch.
    pub doorbell: Doorbell,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment").field("doorbell", &self.doorbell).finish_non_exhaustive()
    }
}

/// How a worker learns that a port has something to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doorbell {
    /// Somebody hears of it and calls [`Kick::kick`].
    Kick,
    /// It stands in memory, where the worker looks all the time.
    Memory,
    /// A descriptor becomes readable ([`Handle::listen`]), which wakes a worker that sleeps; one that is awake looks all
    /// the time.
    Readable,
}

/// What the worker is told between two rounds.
pub(crate) enum Command {
    Attach {
        index: usize,
        attachment: Attachment,
    },
    /// The port goes to `to`, or is dropped.
    Detach {
        index: usize,
        to: Option<Sender<Box<dyn Port>>>,
    },
    /// About the gap of NIC number `nic`, which stands at number `place`.
    Gap {
        nic: usize,
        place: usize,
        command: Box<GapCommand>,
    },
    SendAs {
        index: usize,
        frame: Vec<u8>,
    },
    StartFetching,
    Report {
        switch: usize,
        reply: Sender<SwitchReport>,
    },
    StartCapture(Box<Tap>),
    /// The ports at these numbers are the two paths of one guest.
    Pair {
        nic: usize,
        vf: usize,
    },
    /// Those that nobody looks at any more.
    EndCaptures,
    Stop,
}

/// What a worker has learned of an extensible switch.
#[derive(Clone, Debug, Default)]
pub struct SwitchReport {
    /// Stations, in no order.
    pub stations: Vec<Learned>,
    /// Meters of ACL rules.
    pub meters: Vec<Meter>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Attach { index, .. } => write!(f, "attach {index}"),
            Self::Detach { index, .. } => write!(f, "detach {index}"),
            Self::Gap { nic, .. } => write!(f, "gap of NIC {nic}"),
            Self::SendAs { index, .. } => write!(f, "send as {index}"),
            Self::StartFetching => f.write_str("start fetching"),
            Self::Report { switch, .. } => write!(f, "report {switch}"),
            Self::StartCapture(_) => f.write_str("start a capture"),
            Self::Pair { nic, vf } => write!(f, "pair {nic} with {vf}"),
            Self::EndCaptures => f.write_str("end captures"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

/// Commands that wait to be carried out.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    waiting: Vec<Command>,
    given: u64,
    /// Nobody takes commands any more.
    closed: bool,
}

impl Commands {
    pub(crate) fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.waiting)
    }

    /// Takes no further commands, and drops those that wait.
    fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }
}

/// A running worker. Dropping it stops the thread and drops its ports.
#[derive(Debug)]
pub struct Dataplane {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// A grip on a worker that can be handed round.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// Tells the worker that one port has something to do.
#[derive(Clone, Debug)]
pub struct Kick {
    shared: Arc<Shared>,
    index: usize,
}

/// What a worker did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerStatistics {
    /// Frames handled.
    pub frames: u64,
    /// Bursts that they came in.
    pub bursts: u64,
    /// Time stamp counter cycles spent in rounds that handled frames.
    pub busy_cycles: u64,
    /// Times that it went to sleep.
    pub sleeps: u64,
}

impl Dataplane {
    /// Starts a worker for the ports of an adapter with `capabilities`, that decides by `snapshot` until another is
    /// published.
    ///
    /// # Errors
    /// No thread, or not on the CPU wanted.
    pub fn start(
        config: &Config,
        capabilities: &Capabilities,
        snapshot: Snapshot,
    ) -> Result<Self, StartError> {
        let extent = snapshot.extent;
        let shared = Arc::new(Shared {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            commands: Mutex::default(),
            extent,
            ready: ReadySet::new(extent.places()),
            sleeper: Sleeper::new()?,
            attention: AtomicBool::new(false),
            obeyed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            epoch: CachePadded::default(),
            work: CachePadded::new(Work::default()),
        });
        let worker = Worker::new(Arc::clone(&shared), config, capabilities);
        let (started, pinned) = std::sync::mpsc::sync_channel(1);
        let (cpu, poll) = (config.cpu, config.poll);
        let run = move || {
            let set = cpu.map_or(Ok(()), pin);
            // Also when it ends by a panic, those who wait for it must not wait for ever.
            let _stopped = Stopped(worker.shared());
            let pinned = set.is_ok();
            if started.send(set).is_ok() && pinned {
                worker.run(poll);
            }
        };
        let thread = std::thread::Builder::new().name("worker".into()).spawn(run)?;
        pinned.recv().unwrap_or(Ok(()))?;
        Ok(Self { handle: Handle { shared }, thread: Some(thread) })
    }

    /// A grip on the worker.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        self.handle.command(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has said so; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}

/// Marks the worker as ended when it is dropped.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.commands.lock().unwrap_or_else(PoisonError::into_inner).close();
        self.0.stopped.store(true, Ordering::SeqCst);
    }
}

fn pin(cpu: usize) -> Result<(), StartError> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(StartError::Cpu { cpu });
    }
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|_| StartError::Cpu { cpu })
}

impl Handle {
    /// Gives a port to the worker, to stand at `place`. A port that was there before is dropped; so is this one if the
    /// worker has ended.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn attach(&self, place: Place, attachment: Attachment) {
        let index = self.shared.extent.index(place);
        self.carry_out(Command::Attach { index, attachment });
    }

    /// The port at `vf` is, or is to be, the VF of NIC number `nic`: two paths of one guest. What the guest sends by
    /// one of them before it sends by the other is taken before, and captures that look at the NIC see its VF as well,
    /// under the interface of the NIC.
    ///
    /// # Panics
    /// If there is no such place, or no such NIC.
    pub fn pair(&self, vf: Place, nic: u32) {
        let [vf, nic] = [vf, Place::Nic(nic)].map(|place| self.shared.extent.index(place));
        self.carry_out(Command::Pair { nic, vf });
    }

    /// Whenever `doorbell` becomes readable, a worker that sleeps looks at the port at `place`. Only the change counts:
    /// nobody has to read the doorbell.
    ///
    /// # Errors
    /// It is no descriptor that can be waited for, or is listened to already, or the system's bound is reached.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn listen(&self, place: Place, doorbell: impl AsFd) -> io::Result<()> {
        self.shared.sleeper.listen(doorbell, self.shared.extent.index(place))?;
        // It may have been rung before.
        self.kick(place).kick();
        Ok(())
    }

    /// Undoes [`Handle::listen`]. To be called before `doorbell` is closed: a peer that has a duplicate could go on
    /// ringing.
    pub fn ignore(&self, doorbell: impl AsFd) {
        self.shared.sleeper.ignore(doorbell);
    }

    /// Takes the port at `place` away and drops it.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn detach(&self, place: Place) {
        self.carry_out(Command::Detach { index: self.shared.extent.index(place), to: None });
    }

    /// Takes the port at `place` back, for another worker; `None` if there is none.
    ///
    /// # Panics
    /// If there is no such place.
    #[must_use]
    pub fn take(&self, place: Place) -> Option<Box<dyn Port>> {
        let (to, port) = std::sync::mpsc::channel();
        self.carry_out(Command::Detach { index: self.shared.extent.index(place), to: Some(to) });
        port.try_recv().ok()
    }

    /// Sends `frame` as if the port at `place` had sent it. The rest beyond [`port::HEADER_MAX`] bytes is cut off.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn send_as(&self, place: Place, frame: Vec<u8>) {
        self.carry_out(Command::SendAs { index: self.shared.extent.index(place), frame });
    }

    /// Ends the pause that the worker was started with.
    pub fn start_fetching(&self) {
        self.carry_out(Command::StartFetching);
    }

    /// Replaces the state of the NIC switch. Frames that are being handled meanwhile are decided by the old one; wait
    /// for [`Handle::quiesce`] where that matters.
    pub fn publish_nic_switch(&self, forwarding: Forwarding) {
        let forwarding = Arc::new(forwarding);
        self.shared.snapshot.rcu(|old| old.with_nic_switch(Arc::clone(&forwarding)));
    }

    /// Replaces the state of the extensible switches, likewise.
    pub fn publish_switches(&self, switches: &Arc<Switches>) {
        self.shared.snapshot.rcu(|old| old.with_switches(Arc::clone(switches)));
    }

    /// Replaces both in one: no frame is decided by one of them and not the other.
    pub fn publish(&self, forwarding: Forwarding, switches: &Arc<Switches>) {
        let forwarding = Arc::new(forwarding);
        self.shared
            .snapshot
            .rcu(|old| old.with_nic_switch(Arc::clone(&forwarding)).with_switches(Arc::clone(switches)));
    }

    /// What the worker has learned of extensible switch number `switch`; nothing if there is none.
    #[must_use]
    pub fn report(&self, switch: usize) -> SwitchReport {
        let (reply, report) = std::sync::mpsc::channel();
        self.carry_out(Command::Report { switch, reply });
        report.try_recv().unwrap_or_default()
    }

    /// Shows frames from now on, until the capture is dropped.
    ///
    /// # Panics
    /// If it names a place that there is not.
    #[must_use]
    pub fn capture(&self, spec: &CaptureSpec) -> Capture {
        let (tap, sink) = Tap::new(spec, self.shared.extent);
        self.carry_out(Command::StartCapture(Box::new(tap)));
        Capture::new(sink, self.clone())
    }

    /// Has the worker forget captures that have ended; does not wait for it.
    pub(crate) fn end_captures(&self) {
        self.command(Command::EndCaptures);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::SeqCst)
    }

    /// Waits until the worker has begun a round after this call (or sleeps): what was taken away before is used by
    /// it no more. A round is short, whatever guests do.
    pub fn quiesce(&self) {
        let epoch = self.shared.epoch.begin_wait();
        self.wait(|shared| shared.epoch.is_past(epoch) || shared.sleeper.is_asleep());
    }

    /// A kick for the port at `place`.
    ///
    /// # Panics
    /// If there is no such place.
    #[must_use]
    pub fn kick(&self, place: Place) -> Kick {
        Kick { shared: Arc::clone(&self.shared), index: self.shared.extent.index(place) }
    }

    /// What the worker did.
    #[must_use]
    pub fn statistics(&self) -> WorkerStatistics {
        let Work { frames, bursts, busy_cycles, sleeps } = &*self.shared.work;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerStatistics {
            frames: get(frames),
            bursts: get(bursts),
            busy_cycles: get(busy_cycles),
            sleeps: get(sleeps),
        }
    }

    /// Gives a command; the number of commands given so far.
    fn command(&self, command: Command) -> u64 {
        let mut commands = self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if !commands.closed {
            commands.waiting.push(command);
        }
        commands.given += 1;
        let given = commands.given;
        drop(commands);
        self.shared.attention.store(true, Ordering::SeqCst);
        self.shared.sleeper.wake();
        given
    }

    pub(crate) fn carry_out(&self, command: Command) {
        let ticket = self.command(command);
        self.wait(|shared| shared.obeyed.load(Ordering::SeqCst) >= ticket);
    }

    fn wait(&self, done: impl Fn(&Shared) -> bool) {
        let backoff = Backoff::new();
        while !done(&self.shared) && !self.shared.stopped.load(Ordering::SeqCst) {
            backoff.snooze();
        }
    }
}

impl Kick {
    /// The port has something to do.
    #[inline]
    pub fn kick(&self) {
        self.shared.ready.set(self.index);
        self.shared.sleeper.wake();
    }
}
