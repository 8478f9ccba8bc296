//! The data half: a [`Port`] whose frames come from and go to virtqueues.
//!
//! In a round the worker fetches, completes and puts, then flushes. Guest memory, features and offloads are looked at
//! from the first of these on; the flush shows the driver what was done and lets go of the memory. All that must survive
//! this object lies in the [`AdapterState`]: another `Queues` over the same state goes on where this one was dropped.
//!
//! While the worker looks by itself the driver need not kick ([`Port::ask_for_doorbells`]). A receive ring without room
//! for a frame that waits asks for a kick as well.

use std::sync::Arc;

use ethernet::VlanTag;
use guest_memory::{DmaDomain, Gather, MemoryView};
use port::{Burst, Consumed, Cycles, Frame, Malformed, Port, Put, Refusal};

use crate::dirty::{DirtyLog, DirtyLogSlot};
use crate::features::Features;
use crate::notify::Notify;
use crate::ring::RingMemory;
use crate::rss::Steering;
use crate::rx::{self, Job, RxQueue};
use crate::state::AdapterState;
use crate::tx::{self, Dropped, TxQueue};
use crate::virtqueue::Virtqueue;

/// Bytes of an Ethernet header.
const ETHERNET: usize = ethernet::ETHERNET_HEADER_LEN;
/// Parts of a ring.
const PARTS: usize = 3;

/// How the device behaves, whatever the driver wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Least time between two interrupts of a ring; 0 for no limit but one per round.
    pub call_interval: Cycles,
}

/// The queue pairs of a synthetic adapter.
#[derive(Debug)]
pub struct Queues {
    state: AdapterState,
    domain: Arc<DmaDomain>,
    notify: Arc<dyn Notify>,
    log: DirtyLogSlot,
    profile: Profile,
    tx: Box<[TxQueue]>,
    rx: Box<[RxQueue]>,
    steering: Steering,
    round: Option<Round>,
    /// The rings' memory, from the first use of a round to its flush.
    rings: Gather,
    /// The transmit queue that the last fetch looked at.
    fetched: usize,
    /// The worker may be asleep when something comes, and wants kicks.
    doorbells: bool,
    /// Something came while drivers were asked to kick: when the worker must look again.
    again: Option<Cycles>,
    dropped: Dropped,
}

/// What is looked at once per round.
#[derive(Debug)]
struct Round {
    view: MemoryView,
    log: Option<Arc<DirtyLog>>,
    tx: tx::Setting,
    rx: rx::Setting,
    link_up: bool,
    /// Queue pairs in use.
    pairs: usize,
}

impl Queues {
    /// The queues of the adapter with `state`, in the memory of `domain`. What is written is logged in `log`, if there
    /// is one in it.
    #[must_use]
    pub fn new(
        state: AdapterState,
        domain: Arc<DmaDomain>,
        notify: Arc<dyn Notify>,
        log: DirtyLogSlot,
        profile: Profile,
    ) -> Self {
        let pairs = usize::from(state.max_pairs());
        Self {
            tx: (0..pairs).map(|n| TxQueue::new(Virtqueue::new(&state, 2 * n + 1))).collect(),
            rx: (0..pairs).map(|n| RxQueue::new(Virtqueue::new(&state, 2 * n))).collect(),
            state,
            domain,
            notify,
            log,
            profile,
            steering: Steering::new(),
            round: None,
            rings: Gather::new(2 * PARTS * pairs),
            fetched: 0,
            doorbells: true,
            again: None,
            dropped: [0; Malformed::ALL.len()],
        }
    }

    /// Opens the guest's memory for this round; false if it is no longer the guest's.
    #[inline]
    fn open(&mut self) -> bool {
        self.round.is_some() || self.begin()
    }

    fn begin(&mut self) -> bool {
        if self.domain.faulted() {
            return false;
        }
        let features = self.state.features();
        let header = features.header_len();
        self.rings.begin(self.domain.view());
        self.steering.sync(&self.state);
        self.round = Some(Round {
            view: self.domain.view(),
            log: self.log.load_full(),
            tx: tx::Setting { features, header, offloads: features.intersects(Features::HOST_OFFLOADS) },
            rx: rx::Setting {
                offloads: self.state.guest_offloads(),
                header,
                mergeable: features.contains(Features::MRG_RXBUF),
                longest: usize::from(self.state.mtu()) + ETHERNET,
            },
            link_up: self.state.link_up(),
            pairs: usize::from(self.state.pairs()),
        });
        true
    }

    /// Ends the round: shows the drivers what was done and lets go of their memory.
    fn close(&mut self) {
        let Some(round) = self.round.take() else { return };
        let rings = self.rx.iter_mut().map(|queue| &mut queue.ring);
        for ring in rings.chain(self.tx.iter_mut().map(|queue| &mut queue.ring)) {
            ring.end_round(&self.rings, round.log.as_deref());
        }
        self.rings.clear();
    }

    /// Calls `each` for the receive queues that senders wait for.
    fn for_each_starved(&mut self, mut each: impl FnMut(&mut RxQueue, &RingMemory<'_>)) {
        let Some(round) = &self.round else { return };
        for queue in self.rx.iter_mut().filter(|queue| queue.starved().is_some()) {
            if queue.ring.open(&mut self.rings, round.tx.features, &*self.notify)
                && let Some(memory) = queue.ring.memory(&self.rings, round.log.as_deref())
            {
                each(queue, &memory);
            }
        }
    }

    /// The receive queue that `frame` goes to: where it is steered, or the first one that runs.
    #[inline]
    fn steer(&mut self, frame: &Frame<'_>, pairs: usize, features: Features) -> Option<usize> {
        let wanted = if pairs > 1 { self.steering.receive(frame, pairs) } else { 0 };
        let (rx, rings, notify) = (&mut self.rx, &mut self.rings, &*self.notify);
        let mut opens = |index: usize| rx[index].ring.open(rings, features, notify);
        if opens(wanted) { Some(wanted) } else { (0..pairs).find(|&index| opens(index)) }
    }
}

impl Port for Queues {
    fn fetch(&mut self, burst: &mut Burst, _now: Cycles) {
        if !self.open() {
            return;
        }
        let Some(round) = &self.round else { return };
        if !round.link_up {
            return;
        }
        for turn in 1..=round.pairs {
            let pair = (self.fetched + turn) % round.pairs;
            let queue = &mut self.tx[pair];
            if !queue.ring.open(&mut self.rings, round.tx.features, &*self.notify) {
                continue;
            }
            let Some(memory) = queue.ring.memory(&self.rings, round.log.as_deref()) else { continue };
            burst.begin(self.domain.view());
            self.fetched = pair;
            let fetched = queue.fetch(&memory, &round.view, round.tx, burst, &mut self.dropped);
            if let Err(error) = fetched {
                queue.ring.fail(error, &*self.notify);
            }
            if !self.doorbells {
                queue.ring.disarm(&memory);
            }
            if !burst.is_empty() {
                if round.pairs > 1 {
                    for index in 0..burst.len() {
                        self.steering.sent(&burst.frame(index), pair);
                    }
                }
                return;
            }
        }
    }

    fn resume(&self) -> u32 {
        self.tx[self.fetched].ring.resume()
    }

    fn complete(&mut self, _burst: &Burst, consumed: Consumed, _now: Cycles) {
        // Still open from the fetch, in the same round.
        let Some(round) = &self.round else { return };
        let queue = &mut self.tx[self.fetched];
        if let Some(memory) = queue.ring.memory(&self.rings, round.log.as_deref()) {
            queue.complete(&memory, round.tx.features, consumed, &mut self.dropped);
        }
    }

    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        const NOT_READY: Put = Put::Refused(Refusal::NotReady);
        if !self.open() {
            return NOT_READY;
        }
        let Some((pairs, features)) =
            self.round.as_ref().filter(|round| round.link_up).map(|round| (round.pairs, round.tx.features))
        else {
            return NOT_READY;
        };
        let Some(index) = self.steer(frame, pairs, features) else { return NOT_READY };
        let (Some(round), queue) = (&self.round, &mut self.rx[index]) else { return NOT_READY };
        let Some(memory) = queue.ring.memory(&self.rings, round.log.as_deref()) else { return NOT_READY };
        queue.put(&memory, &round.view, &round.rx, Job { frame, tag, from }).unwrap_or_else(|error| {
            queue.ring.fail(error, &*self.notify);
            NOT_READY
        })
    }

    fn flush(&mut self, now: Cycles) {
        let (doorbells, mut more) = (self.doorbells, false);
        self.for_each_starved(|queue, memory| {
            if doorbells {
                queue.ask_for_room(memory);
            }
            more |= queue.has_new_room(memory);
        });
        if let Some(round) = self.round.as_ref().filter(|_| doorbells) {
            // Each chain that was taken used up what the driver was asked for before.
            for queue in &mut self.tx {
                let at = queue.ring.next();
                if let Some(memory) = queue.ring.memory(&self.rings, round.log.as_deref()) {
                    queue.ring.arm(&memory, at);
                    more |= queue.ring.is_waiting(&memory, at);
                }
            }
        }
        self.again = more.then_some(now);
        self.close();
        let rings = self.rx.iter_mut().map(|queue| &mut queue.ring);
        for ring in rings.chain(self.tx.iter_mut().map(|queue| &mut queue.ring)) {
            ring.call(&*self.notify, self.profile.call_interval, now);
        }
    }

    fn has_work(&self) -> bool {
        if !self.state.link_up() || self.domain.faulted() {
            return false;
        }
        let starved = self.rx.iter().filter_map(|queue| Some((&queue.ring, queue.starved()?)));
        let tx = self.tx.iter().take(usize::from(self.state.pairs()));
        let (mut view, features) = (None, self.state.features());
        tx.map(|queue| (&queue.ring, queue.ring.next())).chain(starved).any(|(ring, at)| {
            match ring.memory(&self.rings, None) {
                Some(memory) => ring.is_waiting(&memory, at),
                None => {
                    let view = view.get_or_insert_with(|| self.domain.view());
                    ring.is_waiting_closed(view, features, at)
                }
            }
        })
    }

    fn ask_for_doorbells(&mut self, wanted: bool) {
        self.doorbells = wanted;
        let was_open = self.round.is_some();
        if !self.open() {
            return;
        }
        if let Some(round) = &self.round {
            for queue in self.tx.iter_mut().take(round.pairs) {
                if !queue.ring.open(&mut self.rings, round.tx.features, &*self.notify) {
                    continue;
                }
                let Some(memory) = queue.ring.memory(&self.rings, round.log.as_deref()) else { continue };
                match wanted {
                    true => queue.ring.arm(&memory, queue.ring.next()),
                    false => queue.ring.disarm(&memory),
                }
            }
        }
        if wanted {
            self.for_each_starved(RxQueue::ask_for_room);
        }
        if !was_open {
            self.close();
        }
    }

    fn deadline(&self) -> Option<Cycles> {
        let rings = self.rx.iter().map(|queue| &queue.ring).chain(self.tx.iter().map(|queue| &queue.ring));
        rings.filter_map(Virtqueue::deadline).chain(self.again).min()
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        for reason in Malformed::ALL {
            let n = std::mem::take(&mut self.dropped[reason.index()]);
            if n > 0 {
                count(*reason, n);
            }
        }
    }
}

#[cfg(test)]
mod tests;
