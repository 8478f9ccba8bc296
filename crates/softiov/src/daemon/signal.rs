//! How the interrupts of a VF leave softiov.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use sys::EventFd;
use vf82599::Signal;
use vf82599::registers::VECTORS;

/// The bus thread's alarm: something is to be done on it.
#[derive(Clone, Debug)]
pub(crate) struct Alarm(Arc<EventFd>);

impl Alarm {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(EventFd::new()?)))
    }

    pub(crate) fn event(&self) -> &EventFd {
        &self.0
    }

    pub(crate) fn ring(&self) {
        self.0.signal();
    }
}

/// Where the vectors of one VF go: to the eventfd that the VMM gave for each, or, if it gave none, to the bus thread,
/// which writes the message of the VF's own MSI-X table into the guest.
#[derive(Debug)]
pub(crate) struct Vectors {
    eventfds: [ArcSwapOption<EventFd>; VECTORS as usize],
    /// Vectors for the bus thread, a bit each.
    relayed: AtomicU32,
    alarm: Alarm,
}

impl Vectors {
    pub(crate) fn new(alarm: Alarm) -> Arc<Self> {
        let eventfds = std::array::from_fn(|_| ArcSwapOption::empty());
        Arc::new(Self { eventfds, relayed: AtomicU32::new(0), alarm })
    }

    /// Connects a vector, or disconnects it.
    pub(crate) fn connect(&self, vector: u32, eventfd: Option<EventFd>) {
        if let Some(slot) = self.eventfds.get(vector as usize) {
            slot.store(eventfd.map(Arc::new));
        }
    }

    /// Disconnects all vectors and forgets what waits.
    pub(crate) fn reset(&self) {
        for slot in &self.eventfds {
            slot.store(None);
        }
        self.relayed.store(0, Ordering::SeqCst);
    }

    /// Sends the message of `vector`.
    pub(crate) fn signal(&self, vector: u32) {
        let Some(slot) = self.eventfds.get(vector as usize) else { return };
        match &*slot.load() {
            Some(eventfd) => eventfd.signal(),
            None => {
                // Only the first of several needs to ring.
                if self.relayed.fetch_or(1 << vector, Ordering::SeqCst) == 0 {
                    self.alarm.ring();
                }
            }
        }
    }

    /// Takes the vectors that wait for the bus thread.
    pub(crate) fn take_relayed(&self) -> impl Iterator<Item = u16> + use<> {
        let relayed = match self.relayed.load(Ordering::SeqCst) {
            0 => 0,
            _ => self.relayed.swap(0, Ordering::SeqCst),
        };
        (0..16).filter(move |vector| relayed & (1 << vector) != 0)
    }
}

/// The side of [`Vectors`] that the device signals.
#[derive(Debug)]
pub(crate) struct VectorSignal(pub(crate) Arc<Vectors>);

impl Signal for VectorSignal {
    fn signal(&self, vector: u32) {
        self.0.signal(vector);
    }
}
