//! The other role: the front end listens (QEMU with `server=on`) and we connect to it, again and again.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Delay after the first failure; doubled with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(10);

/// The longest delay. QEMU waits for its back end when it starts, and a guest without network waits for us.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// A connection that lasted this long was a good one: after it the delays begin anew. A listener that is about to die
/// accepts, too (connect succeeds, the first message fails), and must not make us spin.
const GOOD_AFTER: Duration = Duration::from_secs(1);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Try [`connect`], and say how it went by [`Connector::connected`] or [`Connector::failed`].
    Connect,
    /// Nothing before this time.
    WaitUntil(Instant),
    /// There is a connection.
    Connected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { until: Option<Instant> },
    Connected { since: Instant },
}

/// When to connect to the front end's socket. Knows no socket and no clock: the owner connects and brings the time.
#[derive(Debug)]
pub struct Connector {
    path: PathBuf,
    state: State,
    delay: Duration,
    failures: u64,
}

impl Connector {
    /// Nothing was tried yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, state: State::Waiting { until: None }, delay: FIRST_DELAY, failures: 0 }
    }

    /// The connector of a predecessor of this process, whose connection was handed over at `now`.
    #[must_use]
    pub fn handed_over(path: PathBuf, now: Instant) -> Self {
        Self { state: State::Connected { since: now }, ..Self::new(path) }
    }

    /// The front end's socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is to be done at `now`.
    #[must_use]
    pub fn step(&self, now: Instant) -> Step {
        match self.state {
            State::Connected { .. } => Step::Connected,
            State::Waiting { until: Some(until) } if now < until => Step::WaitUntil(until),
            State::Waiting { .. } => Step::Connect,
        }
    }

    /// The attempt has succeeded.
    pub fn connected(&mut self, now: Instant) {
        self.state = State::Connected { since: now };
    }

    /// The attempt has failed.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.retry_later(now);
    }

    /// The connection has ended. After a good one the next attempt is due at once: QEMU listens again as soon as it
    /// has noticed, and the guest is without network until then.
    pub fn lost(&mut self, now: Instant) {
        match self.state {
            State::Connected { since } if now.saturating_duration_since(since) >= GOOD_AFTER => {
                self.delay = FIRST_DELAY;
                self.state = State::Waiting { until: None };
            }
            _ => self.retry_later(now),
        }
    }

    /// Attempts that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    fn retry_later(&mut self, now: Instant) {
        self.state = State::Waiting { until: Some(now + self.delay) };
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }
}

/// Why there is no connection to a front end's socket. None of it is final: QEMU may not have started yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The path cannot be a socket's.
    #[error("{path:?} cannot be the path of a socket; it has to be short and without a NUL")]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// Nobody listens there.
    #[error("no front end listens at {path:?}")]
    NobodyListens {
        /// The path.
        path: PathBuf,
    },
    /// It has more callers than it takes.
    #[error("the front end at {path:?} is busy with others")]
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("the socket {path:?} cannot be connected to")]
    Socket {
        /// The path.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
}

/// Connects to a front end's socket; never blocks.
///
/// # Errors
/// [`ConnectError`]; try again later.
pub fn connect(path: &Path) -> Result<UnixStream, ConnectError> {
    let address = SocketAddrUnix::new(path).map_err(|_| ConnectError::Path { path: path.into() })?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: Result<OwnedFd, Errno> =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let connected = socket.and_then(|socket| rustix::net::connect(&socket, &address).map(|()| socket));
    connected.map(UnixStream::from).map_err(|errno| match errno {
        Errno::NOENT | Errno::CONNREFUSED => ConnectError::NobodyListens { path: path.into() },
        // A connect to a unix socket is done at once or not at all.
        Errno::AGAIN => ConnectError::Busy { path: path.into() },
        source => ConnectError::Socket { path: path.into(), source },
    })
}

#[cfg(test)]
mod tests;
