//! What wakes a sleeping worker when frames arrive.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// A descriptor that is readable as long as one of a port's queues has frames. It is an epoll instance, so that it
/// keeps no queue alive: the queues are the port's, and with the port they are gone.
#[derive(Clone, Debug)]
pub struct Wake(Arc<OwnedFd>);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(epoll::create(CreateFlags::CLOEXEC)?)))
    }

    /// Lets `queue` wake the worker.
    pub(crate) fn add(&self, queue: impl AsFd) -> io::Result<()> {
        Ok(epoll::add(&*self.0, queue, EventData::new_u64(0), EventFlags::IN)?)
    }

    /// Lets `queue` wake the worker no more: its netdev is gone, which counts as readable for ever.
    pub(crate) fn remove(&self, queue: impl AsFd) {
        // It fails only for a queue that is not in it, which is what is wanted.
        let _ = epoll::delete(&*self.0, queue);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
