//! The server: sockets, connections, and what each of them may take.

mod admission;
mod body;
mod connection;
mod extract;
pub(crate) mod handlers;
mod router;
mod sockets;
mod sse;
mod stall;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use self::sockets::{ServeError, Sockets};
use crate::service::Service;

/// Largest body of a request, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, over all sockets. A quarter of them is kept for admins.
    pub connections: usize,
    /// Connections of one user, or from one address, at a time.
    pub connections_each: usize,
    /// Time for the head of a request, for a handshake of TLS, and between requests.
    pub head: Duration,
    /// Time for the body of a request.
    pub body: Duration,
    /// Time in which a client must take some of what it is sent.
    pub stall: Duration,
    /// Time without an event after which a reader of events gets a comment, so that it is noticed when it is gone.
    pub keep_alive: Duration,
    /// Time for requests that are under way when the server ends.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            connections_each: 16,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            farewell: Duration::from_secs(2),
        }
    }
}

/// What every request needs.
#[derive(Clone)]
pub(crate) struct Shared {
    service: Arc<dyn Service>,
    limits: Limits,
    ending: Ending,
}

/// Tells when the server ends.
#[derive(Clone, Debug)]
pub(crate) struct Ending(watch::Receiver<bool>);

impl Ending {
    /// Waits until it does.
    async fn begun(&mut self) {
        // An error means that the other end was dropped: the end, too.
        let _ = self.0.wait_for(|ending| *ending).await;
    }
}

#[cfg(test)]
mod tests;
