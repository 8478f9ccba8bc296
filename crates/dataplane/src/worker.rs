//! The worker thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use crossbeam_utils::CachePadded;
use nic_switch::{Capabilities, Deliveries};
use port::{BURST, Burst, Cycles, Port};
use sys::clock;

use crate::capture::Taps;
use crate::counters::PortCounters;
use crate::epoch::Epoch;
use crate::gap::Gaps;
use crate::handle::{Attachment, Command, Commands, Doorbell};
use crate::hold::Allowance;
use crate::place::{Extent, Place};
use crate::ready::{PortSet, ReadySet};
use crate::route::{Decision, Router};
use crate::sleeper::Sleeper;
use crate::snapshot::Snapshot;

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PollMode {
    /// Looks again for some 50 us, then sleeps until a doorbell wakes it.
    #[default]
    Adaptive,
    /// Never sleeps.
    Busy,
    /// Sleeps at once.
    Interrupt,
}

/// How a worker runs.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// CPU that it is pinned to.
    pub cpu: Option<usize>,
    /// What it does when there is nothing to do.
    pub poll: PollMode,
    /// It starts without fetching from any port, until [`Handle::start_fetching`](crate::Handle::start_fetching): no
    /// frame is lost because its receiver is not attached yet.
    pub paused: bool,
    /// The extensible switches that there are, by number: seconds after which each forgets a station.
    pub ageing_seconds: Vec<u32>,
    /// A random number that guests do not know: nobody can choose addresses that collide in a table.
    pub seed: u64,
    /// Counts what passes the default VPort.
    pub default_vport: Arc<PortCounters>,
}

/// How long an adaptive worker looks for work before it sleeps, in microseconds.
const LINGER: u64 = 50;
/// How often a sleeping worker looks at ports whose doorbells are plain memory, which cannot wake it.
const DOORBELL_POLL: Duration = Duration::from_micros(200);

/// How often a sleeping worker looks at a receiver that has no room for what was kept for it: it need not ring for
/// that.
const DRAIN_POLL: u64 = 1000;

/// What a worker shares with its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    /// Commands, in the order given; locked only while `attention` is set.
    pub(crate) commands: Mutex<Commands>,
    /// Commands carried out.
    pub(crate) obeyed: AtomicU64,
    /// The thread has ended.
    pub(crate) stopped: AtomicBool,
    pub(crate) extent: Extent,
    pub(crate) ready: ReadySet,
    pub(crate) sleeper: Sleeper,
    /// Set when there are commands.
    pub(crate) attention: AtomicBool,
    pub(crate) epoch: CachePadded<Epoch>,
    pub(crate) work: CachePadded<Work>,
}

/// What a worker did, for whoever wants to know how busy it is.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) frames: AtomicU64,
    pub(crate) bursts: AtomicU64,
    pub(crate) busy_cycles: AtomicU64,
    pub(crate) sleeps: AtomicU64,
}

/// A port with what the worker keeps for it.
pub(crate) struct Slot {
    pub(crate) port: Box<dyn Port>,
    pub(crate) counters: Arc<PortCounters>,
    /// The guest was asked to ring.
    rings: bool,
    /// How much longer it may hold senders back when it has no room.
    pub(crate) allowance: Allowance,
    /// How much longer it lets itself be held back, by whichever receivers.
    pub(crate) patience: Allowance,
    /// Its first frame has to wait no longer than this.
    pub(crate) held_until: Option<Cycles>,
    /// It was put to or completed since the last flush.
    pub(crate) touched: bool,
    /// A gap takes frames for it, or may begin to.
    pub(crate) guarded: bool,
    /// Of the two paths of its guest, if it has two, this is the one by which it sent last.
    sent_last: bool,
}

/// All that the thread owns.
pub(crate) struct Worker {
    pub(crate) snapshot: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    pub(crate) extent: Extent,
    /// By the number of the port's place.
    pub(crate) slots: Vec<Option<Slot>>,
    /// By the number of the place: the other path of the guest, from NIC to VF and back.
    partners: Box<[Option<usize>]>,
    pub(crate) router: Router,
    /// Guests between two paths.
    pub(crate) gaps: Gaps,
    /// What passes the default VPort.
    pub(crate) default_vport: Arc<PortCounters>,
    /// Who looks on.
    pub(crate) taps: Taps,
    /// Of the frames of the burst.
    pub(crate) decisions: Vec<Decision>,
    /// Ports to be flushed.
    pub(crate) touched: Vec<usize>,
    shared: Arc<Shared>,
    /// Ports to be looked at in this round, or while `paused` in the first one after.
    due: PortSet,
    /// No port is fetched from.
    paused: bool,
    /// Ports that nobody kicks: looked at in every round.
    polled: PortSet,
    /// Of those, the ones that cannot wake a worker that sleeps.
    silent: PortSet,
    /// Ports whose first frame waits for room, or for bandwidth: looked at in every round.
    pub(crate) held: PortSet,
    /// Ports with an interrupt that moderation holds, and when it is due.
    timers: Vec<(Cycles, usize)>,
    cycles_per_microsecond: u64,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, config: &Config, capabilities: &Capabilities) -> Self {
        let places = shared.extent.places();
        let states = config.ageing_seconds.iter().map(|seconds| {
            vswitch::State::with_ageing(clock::cycles_per_microsecond() * 1_000_000, *seconds, config.seed)
        });
        Self {
            snapshot: Cache::new(Arc::clone(&shared.snapshot)),
            extent: shared.extent,
            slots: (0..places).map(|_| None).collect(),
            partners: vec![None; places].into(),
            router: Router::new(Deliveries::for_adapter(capabilities), places, states.collect()),
            gaps: Gaps::new(places, shared.extent.nics),
            default_vport: Arc::clone(&config.default_vport),
            taps: Taps::default(),
            decisions: Vec::with_capacity(BURST),
            touched: Vec::with_capacity(places),
            due: PortSet::new(places),
            paused: config.paused,
            polled: PortSet::new(places),
            silent: PortSet::new(places),
            held: PortSet::new(places),
            timers: Vec::with_capacity(places),
            cycles_per_microsecond: clock::cycles_per_microsecond(),
            shared,
        }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self, poll: PollMode) {
        let linger = match poll {
            PollMode::Adaptive => Some(LINGER * self.cycles_per_microsecond),
            PollMode::Busy => None,
            PollMode::Interrupt => Some(0),
        };
        let mut burst = Burst::new();
        let mut last_work = clock::tsc();
        loop {
            self.shared.epoch.pass();
            if self.shared.attention.load(Ordering::Acquire) && !self.obey(&mut burst) {
                return;
            }
            let began = clock::tsc();
            let frames = self.round(&mut burst, began);
            if frames > 0 {
                last_work = clock::tsc();
                count(&self.shared.work.frames, frames);
                count(&self.shared.work.busy_cycles, last_work.wrapping_sub(began));
            } else if linger.is_some_and(|l| began.saturating_sub(last_work) >= l) {
                if self.paused || self.ask_for_doorbells() {
                    self.sleep(began);
                }
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Carries out the commands; false to stop.
    fn obey(&mut self, burst: &mut Burst) -> bool {
        // First the flag, then the commands: one that comes in between sets it again.
        self.shared.attention.store(false, Ordering::SeqCst);
        let commands = self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        for command in commands {
            match command {
                Command::Attach { index, attachment } => {
                    drop(self.detach(index));
                    self.attach(index, attachment);
                }
                Command::Detach { index, to } => {
                    if let (Some(to), Some(port)) = (to, self.detach(index)) {
                        // Whoever asked may have given up.
                        let _ = to.send(port);
                    }
                }
                Command::Gap { nic, place, command } => self.obey_gap(nic, place, *command),
                Command::SendAs { index, frame } => self.send_as(index, &frame, burst),
                Command::StartFetching => self.paused = false,
                Command::Report { switch, reply } => {
                    // Whoever asked may have given up.
                    let _ = reply.send(self.router.report(switch, clock::tsc()));
                }
                Command::StartCapture(tap) => self.taps.add(*tap),
                Command::Pair { nic, vf } => self.pair(nic, vf),
                Command::EndCaptures => self.taps.sweep(),
                Command::Stop => return false,
            }
            self.shared.obeyed.fetch_add(1, Ordering::SeqCst);
        }
        true
    }

    fn attach(&mut self, index: usize, attachment: Attachment) {
        let full = Allowance::new(self.cycles_per_microsecond, clock::tsc());
        let Some(entry) = self.slots.get_mut(index) else { return };
        let Attachment { port, counters, doorbell } = attachment;
        match doorbell {
            Doorbell::Kick => {}
            Doorbell::Readable => self.polled.insert(index),
            Doorbell::Memory => {
                self.polled.insert(index);
                self.silent.insert(index);
            }
        }
        *entry = Some(Slot {
            port,
            counters,
            rings: true,
            allowance: full,
            patience: full,
            held_until: None,
            touched: false,
            guarded: self.gaps.guards(index),
            sent_last: false,
        });
        // What it was told of before it came is still to be done.
        self.due.insert(index);
    }

    /// The ports at numbers `nic` and `vf` are the two paths of one guest.
    fn pair(&mut self, nic: usize, vf: usize) {
        for index in [nic, vf] {
            if let Some(before) = self.partners[index].take() {
                self.partners[before] = None;
            }
        }
        (self.partners[nic], self.partners[vf]) = (Some(vf), Some(nic));
        self.taps.pair(nic, vf);
    }

    fn detach(&mut self, index: usize) -> Option<Box<dyn Port>> {
        let slot = self.slots.get_mut(index)?.take()?;
        self.polled.remove(index);
        self.silent.remove(index);
        self.held.remove(index);
        self.timers.retain(|&(_, i)| i != index);
        Some(slot.port)
    }

    /// Looks once at every port that is due; the number of frames that were handled.
    fn round(&mut self, burst: &mut Burst, now: Cycles) -> u64 {
        self.collect_due(now);
        let mut frames = if self.gaps.is_draining() { self.drain_gaps(burst, now) } else { 0 };
        while !self.paused
            && let Some(index) = self.due.take_first()
        {
            frames += self.visit(index, burst, now);
        }
        self.flush(now);
        frames
    }

    fn collect_due(&mut self, now: Cycles) {
        self.shared.ready.drain(&mut self.due);
        let due = &mut self.due;
        self.timers.retain(|&(at, index)| {
            let later = at > now;
            if !later {
                due.insert(index);
            }
            later
        });
        self.due.insert_all(&self.polled);
        self.due.insert_all(&self.held);
    }

    /// Moves one burst of frames that the port sends. If its guest has sent by its other path before, and not all of
    /// that is taken, then of those: a guest that changes its path uses the new one while frames wait on the old one.
    fn visit(&mut self, index: usize, burst: &mut Burst, now: Cycles) -> u64 {
        let Some(before) = self.sends_before(index) else {
            return self.take(index, burst, now).unwrap_or(0);
        };
        if let Some(handled) = self.take(before, burst, now) {
            self.shared.ready.set(index);
            return handled;
        }
        self.take(index, burst, now).unwrap_or(0)
    }

    /// The other path of the guest whose port has something to send, if it was the last one by which it sent.
    fn sends_before(&self, index: usize) -> Option<usize> {
        let other = self.partners[index]?;
        let [Some(slot), Some(before)] = [self.slots.get(index)?, self.slots.get(other)?] else {
            return None;
        };
        (before.sent_last && slot.port.has_work()).then_some(other)
    }

    /// Moves one burst of frames that the port sends; `None` if it sends none.
    fn take(&mut self, index: usize, burst: &mut Burst, now: Cycles) -> Option<u64> {
        let was_held = self.held.remove(index);
        if let Place::Nic(nic) = self.extent.place(index)
            && let Some(until) = self.router.rests_until(self.snapshot.load(), nic, now)
            && let Some(Some(slot)) = self.slots.get_mut(index)
        {
            slot.held_until = Some(until);
            self.held.insert(index);
            return Some(0);
        }
        self.touch(index);
        let Some(Some(slot)) = self.slots.get_mut(index) else { return None };
        slot.port.fetch(burst, now);
        let mut handled = None;
        if !burst.is_empty() {
            slot.sent_last = true;
            if std::mem::take(&mut slot.rings) {
                slot.port.ask_for_doorbells(false);
            }
            if let Some(Some(other)) = self.partners[index].and_then(|other| self.slots.get_mut(other)) {
                other.sent_last = false;
            }
            handled = Some(self.forward(index, burst, was_held, now));
            count(&self.shared.work.bursts, 1);
        }
        // Nothing of the guest's memory is held beyond this.
        burst.clear();
        if !self.held.contains(index)
            && let Some(Some(slot)) = self.slots.get_mut(index)
        {
            slot.held_until = None;
            slot.patience.took();
            if slot.port.has_work() {
                self.shared.ready.set(index);
            }
        }
        handled
    }

    /// Notes that a port has something to publish.
    #[inline]
    pub(crate) fn touch(&mut self, index: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && !slot.touched
        {
            slot.touched = true;
            self.touched.push(index);
        }
    }

    /// Publishes what was done in this round, and notes when ports want to be called again.
    fn flush(&mut self, now: Cycles) {
        while let Some(index) = self.touched.pop() {
            let Some(Some(slot)) = self.slots.get_mut(index) else { continue };
            let Slot { port, counters, touched, .. } = slot;
            *touched = false;
            port.flush(now);
            port.take_malformed(&mut |reason, n| counters.malformed[reason.index()].add(n));
            if let Some(at) = port.deadline() {
                self.timers.retain(|&(_, i)| i != index);
                self.timers.push((at, index));
            }
        }
    }

    fn sleep(&mut self, now: Cycles) {
        let held = self.slots.iter().flatten().filter_map(|s| s.held_until);
        let drain = self.gaps.is_draining().then(|| now + DRAIN_POLL * self.cycles_per_microsecond);
        let next = self.timers.iter().map(|&(at, _)| at).chain(held).chain(drain).min();
        let micros = next
            .map(|at| Duration::from_micros(at.saturating_sub(now).div_ceil(self.cycles_per_microsecond)));
        let limit = match self.silent.is_empty() {
            true => micros,
            false => Some(micros.map_or(DOORBELL_POLL, |m| m.min(DOORBELL_POLL))),
        };
        let shared = &self.shared;
        let stay = || {
            let stay = !shared.ready.is_empty() || shared.attention.load(Ordering::SeqCst);
            count(&shared.work.sleeps, u64::from(!stay));
            stay
        };
        let due = &mut self.due;
        shared.sleeper.sleep(limit, stay, |port| due.insert(port));
    }

    /// Asks all guests to ring for what they send from now on; false if one has sent something meanwhile.
    fn ask_for_doorbells(&mut self) -> bool {
        let mut idle = true;
        for index in self.polled.iter() {
            let Some(Some(slot)) = self.slots.get_mut(index) else { continue };
            if !std::mem::replace(&mut slot.rings, true) {
                slot.port.ask_for_doorbells(true);
            }
            // A port that is held back has something to send, and is looked at when its wait is over.
            if !self.held.contains(index) && slot.port.has_work() {
                self.due.insert(index);
                idle = false;
            }
        }
        idle
    }
}

/// Adds to a counter that this thread alone writes.
fn count(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}
