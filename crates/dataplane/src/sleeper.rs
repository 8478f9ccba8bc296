//! How an idle worker sleeps and is woken.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use sys::EventFd;

/// The event of whoever wakes the worker by [`Sleeper::wake`]; all others are numbers of ports.
const WAKE: u64 = u64::MAX;
/// Doorbells that are heard at once.
const EVENTS: usize = 64;

/// The bed of one worker.
#[derive(Debug)]
pub(crate) struct Sleeper {
    asleep: AtomicBool,
    event: EventFd,
    epoll: OwnedFd,
}

impl Sleeper {
    pub(crate) fn new() -> io::Result<Self> {
        let (event, epoll) = (EventFd::new()?, epoll::create(CreateFlags::CLOEXEC)?);
        epoll::add(&epoll, &event, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self { asleep: AtomicBool::new(false), event, epoll })
    }

    /// Lets `doorbell`, whenever it becomes readable, wake the worker for port number `port`. Only the change counts
    /// (edge-triggered): nobody has to read the doorbell, and one that stays readable wakes nobody again.
    pub(crate) fn listen(&self, doorbell: impl AsFd, port: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::ET;
        Ok(epoll::add(&self.epoll, doorbell, EventData::new_u64(port as u64), flags)?)
    }

    /// Undoes [`Sleeper::listen`]. Closing the descriptor would not do: others have duplicates of it.
    pub(crate) fn ignore(&self, doorbell: impl AsFd) {
        // The only failure is that it is not listened to.
        let _ = epoll::delete(&self.epoll, doorbell);
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

    /// Sleeps until woken, at most for `limit`, unless `stay` says that there is something to do; `rung` is told of each
    /// port whose doorbell was rung. `stay` is asked after the worker counts as asleep, so that nothing that happens meanwhile is missed: who gives the
    /// worker something to do stores that and then looks whether it sleeps; the worker does it the other way round;
    /// all four accesses are sequentially consistent, so that at least one sees what the other did.
    pub(crate) fn sleep(
        &self,
        limit: Option<Duration>,
        stay: impl FnOnce() -> bool,
        mut rung: impl FnMut(usize),
    ) {
        self.asleep.store(true, Ordering::SeqCst);
        if stay() {
            self.asleep.store(false, Ordering::SeqCst);
            return;
        }
        let timeout = limit.and_then(|l| Timespec::try_from(l).ok());
        let mut space = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        // An error leaves the worker awake, which is right, if not restful.
        let events =
            epoll::wait(&self.epoll, &mut space, timeout.as_ref()).map_or(&[][..], |(events, _)| events);
        self.asleep.store(false, Ordering::SeqCst);
        for event in events {
            match usize::try_from(event.data.u64()) {
                Ok(port) if event.data.u64() != WAKE => rung(port),
                // A signal that comes only now cuts the next sleep short, which does no harm.
                _ => _ = self.event.take(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
