//! The control side's grip on a worker.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use crossbeam_utils::{Backoff, CachePadded};
use nic_switch::{Capabilities, Deliveries, Forwarding};
use port::Port;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::counters::PortCounters;
use crate::ready::ReadySet;
use crate::sleeper::Sleeper;
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
#[derive(Debug)]
pub enum Doorbell {
    /// Somebody hears of it and calls [`Kick::kick`].
    Kick,
    /// It stands in memory, where the worker looks all the time.
    Memory,
    /// One of these descriptors becomes readable, which wakes a worker that sleeps; one that is awake looks all the time.
    Readable(Vec<OwnedFd>),
}

/// What the worker is told between two rounds.
pub(crate) enum Command {
    Attach { index: usize, attachment: Attachment },
    Detach { index: usize },
    StartFetching,
    Stop,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Attach { index, .. } => write!(f, "attach {index}"),
            Self::Detach { index } => write!(f, "detach {index}"),
            Self::StartFetching => f.write_str("start fetching"),
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
    /// Starts a worker for the VPorts of an adapter with `capabilities`.
    ///
    /// # Errors
    /// No thread, or not on the CPU wanted.
    pub fn start(
        config: Config,
        capabilities: &Capabilities,
        forwarding: Forwarding,
    ) -> Result<Self, StartError> {
        let ports = capabilities.max_vports as usize;
        let shared = Arc::new(Shared {
            forwarding: Arc::new(ArcSwap::from_pointee(forwarding)),
            commands: Mutex::default(),
            ports,
            ready: ReadySet::new(ports),
            sleeper: Sleeper::new()?,
            attention: AtomicBool::new(false),
            obeyed: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            epoch: CachePadded::default(),
            work: CachePadded::new(Work::default()),
        });
        let worker =
            Worker::new(Arc::clone(&shared), ports, Deliveries::for_adapter(capabilities), config.paused);
        let (started, pinned) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            let set = config.cpu.map_or(Ok(()), pin);
            // Also when it ends by a panic, those who wait for it must not wait for ever.
            let _stopped = Stopped(worker.shared());
            let pinned = set.is_ok();
            if started.send(set).is_ok() && pinned {
                worker.run(config.poll);
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
    /// Gives a port to the worker, as that of VPort number `index`. A port that was there before is dropped; so is this
    /// one if the worker has ended.
    ///
    /// # Errors
    /// One of its doorbells cannot be waited for. Nothing has changed.
    ///
    /// # Panics
    /// If the adapter has no such VPort.
    pub fn attach(&self, index: usize, attachment: Attachment) -> io::Result<()> {
        assert!(index < self.shared.ports, "VPort {index} of {}", self.shared.ports);
        if let Doorbell::Readable(doorbells) = &attachment.doorbell {
            for (number, doorbell) in doorbells.iter().enumerate() {
                self.shared.sleeper.listen(doorbell, index).inspect_err(|_| {
                    doorbells[..number].iter().for_each(|earlier| self.shared.sleeper.ignore(earlier));
                })?;
            }
        }
        self.carry_out(Command::Attach { index, attachment });
        Ok(())
    }

    /// Takes the port of VPort number `index` away and drops it.
    pub fn detach(&self, index: usize) {
        self.carry_out(Command::Detach { index });
    }

    /// Ends the pause that the worker was started with.
    pub fn start_fetching(&self) {
        self.carry_out(Command::StartFetching);
    }

    /// Replaces the forwarding state. Frames that are being handled meanwhile are decided by the old one; wait for
    /// [`Handle::quiesce`] where that matters.
    pub fn publish(&self, forwarding: Forwarding) {
        self.shared.forwarding.store(Arc::new(forwarding));
    }

    /// Waits until the worker has begun a round after this call (or sleeps): what was taken away before is used by
    /// it no more. A round is short, whatever guests do.
    pub fn quiesce(&self) {
        let epoch = self.shared.epoch.begin_wait();
        self.wait(|shared| shared.epoch.is_past(epoch) || shared.sleeper.is_asleep());
    }

    /// A kick for the port of VPort number `index`.
    #[must_use]
    pub fn kick(&self, index: usize) -> Kick {
        Kick { shared: Arc::clone(&self.shared), index }
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

    fn carry_out(&self, command: Command) {
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
