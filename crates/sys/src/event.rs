//! Eventfds, our own and those that a peer passed to us.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::EventfdFlags;
use rustix::fs::OFlags;

/// The file descriptor that a peer passed is not an eventfd.
#[derive(Debug, thiserror::Error)]
#[error("file descriptor is {found}, not an eventfd")]
pub struct NotAnEventFd {
    found: String,
}

/// An eventfd that never blocks the one who signals it.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new eventfd with count 0.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Takes an eventfd of a peer. Anything else (a pipe, a socket, a file: writing to one may block for ever or
    /// change data) is refused and closed.
    ///
    /// # Errors
    /// [`NotAnEventFd`] names what it is instead.
    pub fn from_peer(fd: OwnedFd) -> Result<Self, NotAnEventFd> {
        let link = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new());
        let found = link.map_or_else(|e| e.to_string(), |l| l.to_string_lossy().into_owned());
        if found != "anon_inode:[eventfd]" {
            return Err(NotAnEventFd { found });
        }
        // The flag is shared with the peer, who would otherwise be able to stall us with a full counter.
        let nonblocking =
            rustix::fs::fcntl_getfl(&fd).and_then(|f| rustix::fs::fcntl_setfl(&fd, f | OFlags::NONBLOCK));
        match nonblocking {
            Ok(()) => Ok(Self(fd)),
            Err(e) => Err(NotAnEventFd { found: format!("{found} that cannot be made non-blocking ({e})") }),
        }
    }

    /// Adds one to the count. A counter that is already full is as signalled as it can be.
    pub fn signal(&self) {
        // The only error left is EAGAIN: the count stands at its maximum, so the reader wakes anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Sets the count to 0; true if it was not.
    pub fn take(&self) -> bool {
        let mut count = [0; 8];
        rustix::io::read(&self.0, &mut count).is_ok()
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests;
