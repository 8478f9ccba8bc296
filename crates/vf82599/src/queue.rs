//! The data half: a [`Port`] whose frames come from and go to descriptor rings in guest memory.
//!
//! | file | concern |
//! |---|---|
//! | `descriptor` | formats of descriptors |
//! | `ring` | where a ring lies and how far the device is in it |
//! | `tx` | descriptors to frames, and giving them back |
//! | `offload` | what the descriptors of a frame ask for |
//! | `rx` | frames into buffers |
//! | `rss` | which queue a frame goes to |
//!
//! In a round the worker fetches, completes and puts, then flushes. Guest memory and registers are looked at from the
//! first of these on; the flush lets go of the memory. Whoever changes registers in a way that must stop the device
//! waits until the round is over ([`crate::Host::quiesce`]).
//!
//! All that must survive this object (heads, contexts, how much of a held frame was delivered, statistics) lies in the
//! [`VfState`]: another `Queues` over the same state goes on where this one was dropped.

mod descriptor;
mod offload;
mod ring;
mod rss;
mod rx;
mod statistics;
mod tx;

use std::sync::Arc;

use arrayvec::ArrayVec;
use ethernet::VlanTag;
use guest_memory::{DmaDomain, MemoryView};
use port::{Burst, Consumed, Cycles, Frame, Malformed, Port, Put, Refusal};

use self::rss::Rss;
use self::rx::{Job, Received, RxQueue};
use self::statistics::Delta;
use self::tx::TxQueue;
use crate::interrupts::Interrupts;
use crate::registers::{IVAR_VALID, QUEUES, VTIVAR};
use crate::state::{VfState, word};

/// What the data half must know of the kind of VF.
#[derive(Clone, Copy, Debug)]
pub struct QueueProfile {
    /// Queue pairs that the VF's VPort has, 1 to 8; other values count as the nearest of these.
    pub queue_pairs: u32,
    /// The length limit of RXDCTL holds (X540, X550).
    pub limits_length: bool,
}

/// The queues of a VF.
#[derive(Debug)]
pub struct Queues {
    state: VfState,
    domain: Arc<DmaDomain>,
    interrupts: Arc<Interrupts>,
    tx: ArrayVec<TxQueue, { QUEUES as usize }>,
    rx: ArrayVec<RxQueue, { QUEUES as usize }>,
    rss: Rss,
    /// The guest's memory, from the first use of a round to its flush.
    view: Option<MemoryView>,
    /// The link, in this round.
    link_up: bool,
    /// The transmit queue that the last fetch looked at.
    fetched: usize,
    /// Queues whose interrupt cause is due at the flush: bit n receive queue n, bit 8 + n transmit queue n.
    events: u32,
    malformed: [u64; Malformed::ALL.len()],
    delta: Delta,
}

impl Queues {
    /// The queues of the VF with `state`, in the memory of `domain`.
    #[must_use]
    pub fn new(
        state: VfState,
        domain: Arc<DmaDomain>,
        interrupts: Arc<Interrupts>,
        profile: QueueProfile,
    ) -> Self {
        let pairs = profile.queue_pairs.clamp(1, QUEUES);
        Self {
            tx: (0..pairs).map(TxQueue::new).collect(),
            rx: (0..pairs).map(|n| RxQueue::new(n, profile.limits_length)).collect(),
            state,
            domain,
            interrupts,
            rss: Rss::new(),
            view: None,
            link_up: false,
            fetched: 0,
            events: 0,
            malformed: [0; Malformed::ALL.len()],
            delta: Delta::default(),
        }
    }

    /// False while the function must not touch memory: bus mastering off, powered down, or the memory is no longer the
    /// guest's.
    fn may_reach_memory(&self) -> bool {
        self.state.private.load(word::DMA_ENABLED) != 0 && !self.domain.faulted()
    }

    /// Opens the guest's memory for this round; false if there is none to be reached.
    fn open(&mut self) -> bool {
        if self.view.is_none() && self.may_reach_memory() {
            self.view = Some(self.domain.view());
            self.link_up = self.state.private.load(word::LINK) != 0;
            self.rss.sync(&self.state);
        }
        self.view.is_some()
    }

    /// Vectors of the queues in `events`, by VTIVAR.
    fn causes(&self, mut events: u32) -> u32 {
        let mut causes = 0;
        while events != 0 {
            let event = events.trailing_zeros();
            events &= events - 1;
            let (queue, transmit) = (event % QUEUES, event / QUEUES);
            let shift = 16 * (queue % 2) + 8 * transmit;
            let vector = self.state.register(VTIVAR + 4 * (queue / 2)) >> shift & 0xff;
            if vector & IVAR_VALID != 0 {
                causes |= 1 << (vector & 3);
            }
        }
        causes
    }
}

impl Port for Queues {
    fn fetch(&mut self, burst: &mut Burst, _now: Cycles) {
        for turn in 1..=self.tx.len() {
            let queue = (self.fetched + turn) % self.tx.len();
            if !self.tx[queue].is_waiting(&self.state) {
                continue;
            }
            if !self.open() {
                return;
            }
            let Some(view) = &self.view else { return };
            burst.begin(self.domain.view());
            let malformed = &mut self.malformed;
            self.fetched = queue;
            self.tx[queue].fetch(&self.state, view, burst, &mut |reason| malformed[reason.index()] += 1);
            if !burst.is_empty() {
                return;
            }
        }
    }

    fn resume(&self) -> u32 {
        self.tx[self.fetched].resume(&self.state)
    }

    fn complete(&mut self, _burst: &Burst, consumed: Consumed, _now: Cycles) {
        // Still open from the fetch, in the same round.
        let Some(view) = &self.view else { return };
        let sent = self.tx[self.fetched].complete(&self.state, view, consumed);
        self.delta.sent(sent.packets, sent.octets);
        if sent.reported {
            self.events |= 1 << (QUEUES as usize + self.fetched);
        }
    }

    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        if !self.open() {
            return Put::Refused(Refusal::NotReady);
        }
        if !self.link_up {
            return Put::Refused(Refusal::LinkDown);
        }
        let (hash, queue) = self.rss.steer(&self.state, frame);
        let (Some(view), Some(rx)) = (&self.view, self.rx.get_mut(queue as usize)) else {
            return Put::Refused(Refusal::NotReady);
        };
        let mut received = Received::default();
        let put = rx.put(&self.state, view, &Job { frame, tag, from, hash }, &mut received);
        if received.packets > 0 {
            self.delta.received(received.packets, received.octets, frame.destination().is_multicast());
            self.events |= 1 << queue;
        }
        put
    }

    fn flush(&mut self, now: Cycles) {
        if let Some(view) = self.view.take() {
            for rx in &mut self.rx {
                rx.end_round(&self.state, &view);
            }
        }
        self.delta.flush(&self.state);
        let events = std::mem::take(&mut self.events);
        if events != 0 {
            self.interrupts.raise(self.causes(events), now);
        }
        if self.interrupts.deadline().is_some_and(|due| due <= now) {
            self.interrupts.release(now);
        }
    }

    fn has_work(&self) -> bool {
        self.may_reach_memory() && self.tx.iter().any(|queue| queue.has_work(&self.state))
    }

    fn deadline(&self) -> Option<Cycles> {
        self.interrupts.deadline()
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        for reason in Malformed::ALL {
            let n = std::mem::take(&mut self.malformed[reason.index()]);
            if n > 0 {
                count(*reason, n);
            }
        }
    }
}

#[cfg(test)]
mod tests;
