//! The task that keeps a connection to one monitor.

mod connection;
mod retry;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::command::Command;
use crate::error::{CommandError, Unreachable};
use crate::event::Event;
use crate::message::Greeting;

/// Updates that wait for whoever takes them. When there are as many, the VMM is not listened to until some are taken.
const UPDATES: usize = 64;

/// Requests that wait for the driver, which takes each at once.
const REQUESTS: usize = 16;

/// Which monitor, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket on which QEMU listens.
    pub path: PathBuf,
    /// How long connection, greeting and negotiation may take.
    pub greeting: Duration,
    /// How long a command may take. QEMU itself waits up to 5 s for a vfio-user server before it answers `device_add`.
    pub command: Duration,
    /// The delay after a first failure; doubled with each further one.
    pub first_delay: Duration,
    /// The longest delay, and how long a connection must last to be a good one, after which the delays begin anew.
    pub longest_delay: Duration,
}

impl Settings {
    /// The usual times: 5 s for the greeting, 15 s for a command, delays of 100 ms to 5 s.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            greeting: Duration::from_secs(5),
            command: Duration::from_secs(15),
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(5),
        }
    }
}

/// What the driver tells by itself, in order.
#[derive(Clone, Debug)]
pub enum Update {
    /// There is a connection. Events of the time before are lost: ask which devices there are.
    Connected(Greeting),
    /// The guest or its VMM did something. Events that mean nothing to this crate are left out.
    Event(Event),
    /// The connection is gone; the driver tries for a new one. Commands that were under way have failed.
    Lost(Arc<Unreachable>),
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub enum State {
    /// There is one.
    Up(Greeting),
    /// There is none: how the last attempt or the last connection ended.
    Down(Arc<Unreachable>),
}

/// A command and where its answer goes.
#[derive(Debug)]
struct Request {
    command: Command,
    answer: oneshot::Sender<Result<Value, CommandError>>,
}

/// A handle to the driver of one monitor. The driver ends when the last handle is dropped, or its updates are.
#[derive(Clone, Debug)]
pub struct Vmm {
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<State>,
}

/// Starts a driver on the current runtime. It tries again and again until it is dropped.
///
/// The updates must be taken, and not by whoever waits for an answer: a full queue of updates delays answers.
///
/// # Panics
///
/// Panics outside of a tokio runtime.
#[must_use]
pub fn spawn(settings: Settings) -> (Vmm, mpsc::Receiver<Update>) {
    let (requests, incoming) = mpsc::channel(REQUESTS);
    let (updates, outgoing) = mpsc::channel(UPDATES);
    let down = State::Down(Arc::new(Unreachable::NotYet(settings.path.clone())));
    let (publish, state) = watch::channel(down);
    tokio::spawn(connection::drive(settings, incoming, updates, publish));
    (Vmm { requests, state }, outgoing)
}

impl Vmm {
    /// Whether there is a connection now, and if not, why.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Gives a command and waits for what it returns. The other methods do the same with what it means.
    ///
    /// # Errors
    ///
    /// See [`CommandError`].
    pub async fn run(&self, command: Command) -> Result<Value, CommandError> {
        let (answer, outcome) = oneshot::channel();
        self.requests.send(Request { command, answer }).await.map_err(|_| CommandError::Ended)?;
        outcome.await.unwrap_or(Err(CommandError::Ended))
    }
}

#[cfg(test)]
mod tests;
