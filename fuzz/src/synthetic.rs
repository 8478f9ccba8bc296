//! A synthetic adapter as the daemon has it, and a guest that owns its rings.
//!
//! All happens in one thread; a worker's round is open from its first fetch or put to its flush. The guest's memory has
//! four parts: two regions for the device, one behind the other, one that the device may only read, and one that it
//! cannot reach.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ethernet::MacAddr;
use guest_memory::{DmaDomain, Limits};
use port::{Burst, Consumed, Port, Put};
use virtio_net::{AdapterState, DirtyLogSlot, Features, Notify, Position, Profile, Queues, RingConfig};

use crate::memory::{PAGE, Ram, Window};

/// Number of the receive ring, and of the transmit ring.
pub const RINGS: [usize; 2] = [RECEIVE, TRANSMIT];
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Bytes that the device may write, from bus address 0 on: offsets and bus addresses are the same there.
pub const WRITABLE: usize = 24 * PAGE;
/// Where the first of the two regions ends.
const SECOND: usize = 16 * PAGE;
/// Bus address of what the device may read only.
pub const READ_ONLY: u64 = 0x10_0000;
const READ_ONLY_BYTES: usize = 4 * PAGE;
const PAGES: usize = 32;

/// Counts interrupts and errors by ring.
#[derive(Debug, Default)]
pub struct Counts {
    calls: [AtomicU32; 3],
    errors: [AtomicU32; 3],
}

impl Notify for Counts {
    fn call(&self, ring: usize) {
        self.calls[ring].fetch_add(1, Ordering::Relaxed);
    }

    fn error(&self, ring: usize) {
        self.errors[ring].fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    /// Interrupts of a ring so far.
    #[must_use]
    pub fn calls(&self, ring: usize) -> u32 {
        self.calls[ring].load(Ordering::Relaxed)
    }

    /// Errors of a ring so far.
    #[must_use]
    pub fn errors(&self, ring: usize) -> u32 {
        self.errors[ring].load(Ordering::Relaxed)
    }
}

/// The adapter, with one queue pair, and the worker's half of it.
#[derive(Debug)]
pub struct Adapter {
    /// The guest's memory.
    pub ram: Ram,
    /// What the front end set.
    pub state: AdapterState,
    /// The data half.
    pub queues: Queues,
    /// What reached the guest.
    pub counts: Arc<Counts>,
    /// What was fetched in this round.
    pub burst: Burst,
    /// The time.
    pub now: u64,
    /// Frames of the guest that made no sense.
    pub malformed: u64,
    domain: Arc<DmaDomain>,
}

impl Adapter {
    /// An adapter whose link is up and whose driver chose `features`.
    ///
    /// # Panics
    /// If the system has no memory left.
    #[must_use]
    pub fn new(features: Features) -> Self {
        let (ram, domain) = (Ram::new(PAGES), Arc::new(DmaDomain::new(Limits::default())));
        let region = |range: Range<usize>, iova, writable| {
            let window = Window { iova, offset: range.start, len: range.len(), readable: true, writable };
            ram.map(&domain, window).expect("a memfd can be mapped");
        };
        region(0..SECOND, 0, true);
        region(SECOND..WRITABLE, SECOND as u64, true);
        region(WRITABLE..WRITABLE + READ_ONLY_BYTES, READ_ONLY, false);
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let state = AdapterState::create("adapter", 1, mac, 9000).expect("pages can be made");
        state.set_link_up(true);
        state.set_features(features);
        let counts = Arc::<Counts>::default();
        let queues = queues(&state, &domain, &counts);
        Self { ram, state, queues, counts, burst: Burst::new(), now: 0, malformed: 0, domain }
    }

    /// Sets a ring up, if there can be one like that, and enables it.
    pub fn start(&self, ring: usize, config: RingConfig, position: Position) -> bool {
        let started = self.state.start_ring(ring, config, position).is_ok();
        self.state.enable_ring(ring, started);
        started
    }

    /// Ends the data half, and goes on with another.
    pub fn restart(&mut self) {
        self.burst.clear();
        self.queues = queues(&self.state, &self.domain, &self.counts);
    }

    /// Ends the last round, if it has not ended, and fetches.
    pub fn fetch(&mut self) {
        self.end_round();
        self.queues.fetch(&mut self.burst, self.now);
    }

    /// Delivers what was fetched to the adapter itself; what has no room is held.
    pub fn loop_back(&mut self) {
        let mut resume = self.queues.resume();
        let mut consumed = Consumed { frames: self.burst.len(), pieces: 0 };
        for index in 0..self.burst.len() {
            let frame = self.burst.frame(index);
            let put = self.queues.put(&frame, frame.meta().tag, std::mem::take(&mut resume));
            if let Put::Full { next } = put {
                consumed = Consumed { frames: index, pieces: next };
                break;
            }
        }
        self.complete(consumed);
    }

    /// Gives back what was fetched.
    pub fn complete(&mut self, consumed: Consumed) {
        if !self.burst.is_empty() {
            self.queues.complete(&self.burst, consumed, self.now);
            self.burst.clear();
        }
    }

    /// Ends the round. What was fetched and not completed is fetched again.
    pub fn end_round(&mut self) {
        self.complete(Consumed::default());
        self.burst.clear();
        self.queues.flush(self.now);
        self.now += 1;
        // As the dataplane does: the look before going to sleep.
        let _ = (self.queues.has_work(), self.queues.deadline());
        self.queues.take_malformed(&mut |_, count| {
            assert!(count > 0);
            self.malformed += count;
        });
    }
}

fn queues(state: &AdapterState, domain: &Arc<DmaDomain>, counts: &Arc<Counts>) -> Queues {
    let notify: Arc<dyn Notify> = Arc::<Counts>::clone(counts);
    let log = DirtyLogSlot::default();
    Queues::new(state.clone(), Arc::clone(domain), notify, log, Profile::default())
}
