//! A port whose guest is the test: what it sends is queued, what it receives is kept.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ethernet::{MacAddr, VlanTag};
use guest_memory::{Access, DmaDomain, Limits, MapRequest};
use port::{BURST, Burst, Consumed, Cycles, Frame, HEADER_MAX, Malformed, Pieces, Port, Put, Spec};
use rustix::fs::MemfdFlags;

const STRIDE: u64 = 256;

/// The guest's side of a [`TestPort`].
#[derive(Debug, Default)]
pub(super) struct Guest {
    pub(super) outbox: Mutex<VecDeque<Vec<u8>>>,
    /// Two ports of one guest may have one inbox.
    pub(super) inbox: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Frames that may still be put.
    pub(super) room: AtomicUsize,
    /// The port must not touch anything: looked at before each access.
    pub(super) stopped: AtomicBool,
    /// No access may go on any more.
    pub(super) forbidden: AtomicBool,
    pub(super) violations: AtomicU64,
    pub(super) visits: AtomicU64,
    /// When a flush is due, 0 for never, and how many came in time.
    pub(super) deadline: AtomicU64,
    pub(super) released: AtomicU64,
    pub(super) dropped: AtomicBool,
    pub(super) panics: AtomicBool,
    /// The guest was told that it need not ring.
    pub(super) silent: AtomicBool,
}

impl Guest {
    pub(super) fn with_room(room: usize) -> Arc<Self> {
        let guest = Self::default();
        guest.room.store(room, Ordering::SeqCst);
        Arc::new(guest)
    }

    /// A guest whose frames come into the inbox of `other`.
    pub(super) fn sharing_with(other: &Self) -> Arc<Self> {
        let guest = Self { inbox: Arc::clone(&other.inbox), ..Self::default() };
        guest.room.store(usize::MAX, Ordering::SeqCst);
        Arc::new(guest)
    }

    pub(super) fn port(self: &Arc<Self>) -> Box<TestPort> {
        Box::new(TestPort { guest: Arc::clone(self), domain: memory(), malformed: 0, looked_at: 0 })
    }

    pub(super) fn received(&self) -> Vec<Vec<u8>> {
        self.inbox.lock().unwrap().clone()
    }

    /// An access to guest memory: must neither begin nor go on when it is forbidden.
    fn access(&self) -> bool {
        if self.stopped.load(Ordering::Acquire) {
            return false;
        }
        for _ in 0..100 {
            std::hint::spin_loop();
        }
        if self.forbidden.load(Ordering::SeqCst) {
            self.violations.fetch_add(1, Ordering::SeqCst);
        }
        true
    }
}

#[derive(Debug)]
pub(super) struct TestPort {
    guest: Arc<Guest>,
    domain: DmaDomain,
    malformed: u64,
    looked_at: usize,
}

impl Drop for TestPort {
    fn drop(&mut self) {
        self.guest.dropped.store(true, Ordering::SeqCst);
    }
}

fn memory() -> DmaDomain {
    let domain = DmaDomain::new(Limits::default());
    let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, 0x10000).unwrap();
    let request =
        MapRequest { iova: 0, size: 0x10000, offset: 0, writable: true, readable: true, fd: fd.as_fd() };
    domain.map(request).unwrap();
    domain
}

impl Port for TestPort {
    fn fetch(&mut self, burst: &mut Burst, _now: Cycles) {
        self.guest.visits.fetch_add(1, Ordering::SeqCst);
        assert!(!self.guest.panics.load(Ordering::SeqCst), "told to");
        if !self.guest.access() {
            return;
        }
        burst.begin(self.domain.view());
        self.looked_at = 0;
        let mut outbox = self.guest.outbox.lock().unwrap();
        while burst.len() < BURST
            && let Some(frame) = outbox.get(self.looked_at)
        {
            let address = self.looked_at as u64 * STRIDE;
            self.domain.view().write_bytes(address, frame).unwrap();
            burst.gather(address, frame.len()).unwrap();
            if burst.commit(&Spec::default()).is_ok() {
                self.looked_at += 1;
            } else {
                outbox.remove(self.looked_at);
                self.malformed += 1;
            }
        }
    }

    fn resume(&self) -> u32 {
        0
    }

    fn complete(&mut self, burst: &Burst, consumed: Consumed, _now: Cycles) {
        assert_eq!(burst.len(), self.looked_at);
        self.guest.outbox.lock().unwrap().drain(..consumed.frames);
    }

    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        if !self.guest.access() {
            return Put::Refused(port::Refusal::NotReady);
        }
        if self.guest.room.load(Ordering::SeqCst) == 0 {
            return Put::Full { next: from };
        }
        self.guest.room.fetch_sub(1, Ordering::SeqCst);
        let pieces = Pieces::new(frame).unwrap();
        let mut scratch = [0; HEADER_MAX + 4];
        let piece = pieces.get(from, tag, &mut scratch);
        let (view, mut bytes) = (self.domain.view(), vec![0; piece.len()]);
        piece.write(&[view.slice(0x8000, bytes.len(), Access::Write).unwrap()]).unwrap();
        view.read_bytes(0x8000, &mut bytes).unwrap();
        self.guest.inbox.lock().unwrap().push(bytes);
        Put::Done
    }

    fn flush(&mut self, now: Cycles) {
        let deadline = self.guest.deadline.load(Ordering::SeqCst);
        if deadline != 0 && deadline <= now {
            self.guest.deadline.store(0, Ordering::SeqCst);
            self.guest.released.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn has_work(&self) -> bool {
        !self.guest.stopped.load(Ordering::Acquire) && !self.guest.outbox.lock().unwrap().is_empty()
    }

    fn ask_for_doorbells(&mut self, wanted: bool) {
        self.guest.silent.store(!wanted, Ordering::SeqCst);
    }

    fn deadline(&self) -> Option<Cycles> {
        Some(self.guest.deadline.load(Ordering::SeqCst)).filter(|at| *at != 0)
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        count(Malformed::TooShort, std::mem::take(&mut self.malformed));
    }
}

/// A frame with a number in it.
pub(super) fn frame(source: MacAddr, destination: MacAddr, number: u32) -> Vec<u8> {
    let mut frame = [destination.0, source.0].concat();
    frame.extend([0x88, 0xb5]);
    frame.extend(number.to_be_bytes());
    frame.resize(64, 0x5a);
    frame
}

/// Waits for something that must come; gives up only when the machine cannot be that slow.
pub(super) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        std::thread::yield_now();
    }
}
