//! How an idle worker sleeps and is woken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sys::EventFd;

/// The bed of one worker.
#[derive(Debug)]
pub(crate) struct Sleeper {
    asleep: AtomicBool,
    event: EventFd,
}

impl Sleeper {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { asleep: AtomicBool::new(false), event: EventFd::new()? })
    }

    /// Wakes the worker if it sleeps. Must come after the store that gives it something to do.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.event.signal();
        }
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::SeqCst)
    }

    /// Sleeps until woken, at most for `limit`, unless `stay` says that there is something to do. It
    /// is asked after the worker counts as asleep, so that nothing that happens meanwhile is missed: who gives the
    /// worker something to do stores that and then looks whether it sleeps; the worker does it the other way round;
    /// all four accesses are sequentially consistent, so that at least one sees what the other did.
    pub(crate) fn sleep(&self, limit: Option<Duration>, stay: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        let sleeps = !stay();
        if sleeps {
            let timeout = limit.and_then(|l| Timespec::try_from(l).ok());
            // An error leaves the worker awake, which is right, if not restful.
            let _ = poll(&mut [PollFd::new(&self.event, PollFlags::IN)], timeout.as_ref());
        }
        self.asleep.store(false, Ordering::SeqCst);
        if sleeps {
            // A signal that comes only now cuts the next sleep short, which does no harm.
            self.event.take();
        }
    }
}

#[cfg(test)]
mod tests;
