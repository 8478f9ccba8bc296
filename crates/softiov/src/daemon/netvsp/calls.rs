//! How the interrupts of a front end's rings leave softiov.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use sys::EventFd;
use virtio_net::Notify;

/// The eventfds that a front end gave for its rings. It may exchange them at any time.
#[derive(Debug)]
pub(super) struct Calls(Box<[RingEvents]>);

#[derive(Debug, Default)]
struct RingEvents {
    call: ArcSwapOption<EventFd>,
    err: ArcSwapOption<EventFd>,
}

impl Calls {
    pub(super) fn new(rings: usize) -> Arc<Self> {
        Arc::new(Self((0..rings).map(|_| RingEvents::default()).collect()))
    }

    /// Sets what is signalled when ring number `ring` has used buffers.
    pub(super) fn set_call(&self, ring: usize, event: Option<Arc<EventFd>>) {
        if let Some(events) = self.0.get(ring) {
            events.call.store(event);
        }
    }

    /// Sets what is signalled when ring number `ring` is broken.
    pub(super) fn set_err(&self, ring: usize, event: Option<Arc<EventFd>>) {
        if let Some(events) = self.0.get(ring) {
            events.err.store(event);
        }
    }
}

impl Notify for Calls {
    fn call(&self, ring: usize) {
        if let Some(events) = self.0.get(ring)
            && let Some(event) = &*events.call.load()
        {
            event.signal();
        }
    }

    fn error(&self, ring: usize) {
        if let Some(events) = self.0.get(ring)
            && let Some(event) = &*events.err.load()
        {
            event.signal();
        }
    }
}
