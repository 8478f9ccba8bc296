//! A VF as the daemon has it: the control half, the data half with its worker, and what stands between them.
//!
//! Both halves run in one thread. A worker's round is open from its first fetch or put to its flush, and whatever the
//! control half does meanwhile happens at that point of the round; only [`Host::quiesce`] waits for the round's end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use ethernet::{MacAddr, VlanTag};
use guest_memory::{DmaDomain, Limits};
use pcie::{ConfigLayout, ConfigSpace};
use port::{Burst, Consumed, Cycles, Frame, GuestReply, GuestRequest, Port, Put, Reception};
use sys::EventFd;
use vf82599::registers::{BAH, BAL, CONTROL, ENABLE, HEAD, LEN, TAIL, VECTORS, VFMAILBOX, VFMBMEM};
use vf82599::{Control, Host, Identity, Interrupts, Profile, QueueProfile, Queues, Signal, VfState};

/// The address that the PF assigned.
pub const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// Bytes of a descriptor.
pub const DESCRIPTOR: usize = 16;

const QUEUE_PAIRS: u32 = 2;
const CYCLES_PER_MICROSECOND: u64 = 10;

static LAYOUT: LazyLock<Arc<ConfigLayout>> =
    LazyLock::new(|| Arc::new(Profile::X550.function().layout().expect("the profile has a layout")));

/// Where the messages of the VF's vectors go: to an eventfd where the VMM connected one, else they are kept.
#[derive(Debug, Default)]
pub struct Vectors {
    connected: Mutex<[Option<EventFd>; VECTORS as usize]>,
    kept: AtomicU32,
}

#[derive(Debug)]
struct Sender(Arc<Vectors>);

impl Signal for Sender {
    fn signal(&self, vector: u32) {
        assert!(vector < VECTORS, "the VF has no vector {vector}");
        let connected = self.0.connected.lock().unwrap_or_else(PoisonError::into_inner);
        match &connected[vector as usize] {
            Some(eventfd) => eventfd.signal(),
            None => drop(self.0.kept.fetch_or(1 << vector, Ordering::Relaxed)),
        }
    }
}

impl Vectors {
    /// Connects an eventfd, or takes it away.
    pub fn connect(&self, vector: usize, eventfd: Option<EventFd>) {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)[vector % VECTORS as usize] = eventfd;
    }

    /// The vectors that were signalled and not connected, since the last call.
    pub fn take(&self) -> impl Iterator<Item = u16> {
        let kept = self.kept.swap(0, Ordering::Relaxed);
        [0, 1, 2].into_iter().filter(move |vector| kept >> vector & 1 == 1)
    }
}

/// The worker, and the physical function.
#[derive(Debug)]
pub struct Worker {
    queues: Queues,
    /// What was fetched in this round.
    pub burst: Burst,
    /// The time.
    pub now: Cycles,
    /// The physical function refuses what it may refuse.
    pub refuses: bool,
    /// The most that the physical function lets the guest hear.
    pub most: Reception,
    /// What the guest asked of the physical function.
    pub requests: Vec<GuestRequest>,
}

impl Worker {
    /// Ends the round, then fetches.
    pub fn fetch(&mut self) {
        self.end_round();
        self.queues.fetch(&mut self.burst, self.now);
    }

    /// Gives back what was fetched.
    pub fn complete(&mut self, consumed: Consumed) {
        if !self.burst.is_empty() {
            self.queues.complete(&self.burst, consumed, self.now);
            self.burst.clear();
        }
    }

    /// Delivers a frame from elsewhere.
    pub fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        self.queues.put(frame, tag, from)
    }

    /// Delivers all that was fetched to the VF itself; a frame without room is held.
    pub fn loop_back(&mut self) {
        let mut resume = self.queues.resume();
        let mut consumed = Consumed { frames: self.burst.len(), pieces: 0 };
        for index in 0..self.burst.len() {
            let frame = self.burst.frame(index);
            if let Put::Full { next } = self.queues.put(&frame, frame.meta().tag, std::mem::take(&mut resume))
            {
                consumed = Consumed { frames: index, pieces: next };
                break;
            }
        }
        self.complete(consumed);
    }

    /// Ends the round. What was fetched and not completed is fetched again.
    pub fn end_round(&mut self) {
        self.complete(Consumed::default());
        self.burst.clear();
        self.queues.flush(self.now);
        // As the dataplane does: the look before going to sleep.
        let _ = (self.queues.has_work(), self.queues.deadline());
        self.queues.take_malformed(&mut |_, count| assert!(count > 0));
    }
}

impl Host for Worker {
    fn quiesce(&mut self) {
        self.end_round();
    }

    fn kick(&mut self) {}

    fn request(&mut self, request: GuestRequest) -> GuestReply {
        let reply = match request {
            GuestRequest::Reset => GuestReply::Granted,
            _ if self.refuses => GuestReply::Refused,
            GuestRequest::SetReception(asked) => GuestReply::Reception(asked.min(self.most)),
            _ => GuestReply::Granted,
        };
        self.requests.push(request);
        reply
    }

    fn now(&self) -> Cycles {
        self.now
    }
}

/// A VF, an X550 one with two queue pairs.
#[derive(Debug)]
pub struct Vf {
    /// Its pages.
    pub state: VfState,
    /// The control half.
    pub control: Control,
    /// The data half.
    pub worker: Worker,
    /// The memory that it can reach.
    pub domain: Arc<DmaDomain>,
    /// Where its messages go.
    pub vectors: Arc<Vectors>,
}

/// A descriptor ring to be set up.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// Register block, by `registers::rx` or `registers::tx`.
    pub block: u32,
    /// Bus address.
    pub base: u64,
    /// Descriptors.
    pub size: u32,
    /// Head and tail to begin with.
    pub head: u32,
    /// As above.
    pub tail: u32,
    /// Bits of the control register besides ENABLE.
    pub control: u32,
}

impl Default for Vf {
    fn default() -> Self {
        Self::new(Profile::X550, Self::identity())
    }
}

impl Vf {
    /// What the PF settled for the VF.
    #[must_use]
    pub fn identity() -> Identity {
        Identity { mac: Some(MAC), queue_pairs: QUEUE_PAIRS, ..Identity::default() }
    }

    /// A VF after power-on. Its config space is that of an X550 VF whatever the profile.
    ///
    /// # Panics
    /// If the system has no memory left.
    #[must_use]
    pub fn new(profile: Profile, identity: Identity) -> Self {
        let state = VfState::create("vf").expect("pages can be made");
        let config = ConfigSpace::create(Arc::clone(&LAYOUT), state.config_words()).expect("it fits");
        let (domain, vectors) = (Arc::new(DmaDomain::new(Limits::default())), Arc::default());
        let (worker, interrupts) = data_half(&state, &domain, &vectors);
        let control = Control::new(state.clone(), profile, identity, interrupts, config).expect("it fits");
        Self { state, control, worker, domain, vectors }
    }

    /// The VF after a restart of the data path.
    ///
    /// # Panics
    /// If the state is not accepted, which is a fault of `vf82599`.
    #[must_use]
    pub fn restart(self, identity: Identity) -> Self {
        let Self { state, control, worker: before, domain, vectors } = self;
        drop(control);
        let Worker { now, refuses, most, requests, .. } = before;
        let (worker, interrupts) = data_half(&state, &domain, &vectors);
        let mut worker = Worker { now, refuses, most, requests, ..worker };
        let config = ConfigSpace::attach(Arc::clone(&LAYOUT), state.config_words()).expect("its own state");
        let control =
            Control::attach(state.clone(), Profile::X550, identity, interrupts, config, &mut worker)
                .expect("its own state");
        Self { state, control, worker, domain, vectors }
    }

    /// What firmware, bus and driver do first: BARs and bus mastering on, link up, RESET, API 1.7, the largest frame.
    pub fn start(&mut self) {
        self.config_write(4, &[6, 0]);
        self.control.set_link(true, &mut self.worker);
        for message in [&[1][..], &[8, 8], &[5, 9728]] {
            self.message(message);
        }
        self.worker.requests.clear();
    }

    /// Reads a register.
    pub fn read(&mut self, offset: u32) -> u32 {
        let mut bytes = [0; 4];
        self.control.bar0_read(offset.into(), &mut bytes, &self.worker);
        u32::from_le_bytes(bytes)
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u32, value: u32) {
        self.control.bar0_write(offset.into(), &value.to_le_bytes(), &mut self.worker);
    }

    /// Reads a word of config space.
    #[must_use]
    pub fn config_read(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.control.config_read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Writes config space.
    pub fn config_write(&mut self, offset: u64, bytes: &[u8]) {
        self.control.config_write(offset, bytes, &mut self.worker);
    }

    /// Sends a mailbox message in the legacy framing; the reply is left in the buffer.
    pub fn message(&mut self, words: &[u32]) {
        self.write(VFMAILBOX, 4);
        for (at, word) in (VFMBMEM..).step_by(4).zip(words) {
            self.write(at, *word);
        }
        for value in [1, 4, 2] {
            self.write(VFMAILBOX, value);
        }
    }

    /// Sets a ring up, as drivers do, and enables it.
    pub fn enable(&mut self, ring: &Ring) {
        let Ring { block, base, size, head, tail, control } = *ring;
        let [a, b, c, d, e, f, g, h] = base.to_le_bytes();
        self.write(block + CONTROL, 0);
        for (register, value) in [
            (BAL, u32::from_le_bytes([a, b, c, d])),
            (BAH, u32::from_le_bytes([e, f, g, h])),
            (LEN, size * 16),
            (HEAD, head),
            (TAIL, tail),
            (CONTROL, ENABLE | control),
        ] {
            self.write(block + register, value);
        }
    }

    /// The head of the ring with this register block.
    #[must_use]
    pub fn head(&self, block: u32) -> u32 {
        self.state.register(block + HEAD)
    }
}

fn data_half(state: &VfState, domain: &Arc<DmaDomain>, vectors: &Arc<Vectors>) -> (Worker, Arc<Interrupts>) {
    let sender = Box::new(Sender(Arc::clone(vectors)));
    let interrupts = Arc::new(Interrupts::new(state.clone(), CYCLES_PER_MICROSECOND, sender));
    let profile = QueueProfile { queue_pairs: QUEUE_PAIRS, limits_length: true };
    let queues = Queues::new(state.clone(), Arc::clone(domain), Arc::clone(&interrupts), profile);
    let worker = Worker {
        queues,
        burst: Burst::new(),
        now: 1 << 32,
        refuses: false,
        most: Reception::Promiscuous,
        requests: Vec::new(),
    };
    (worker, interrupts)
}
