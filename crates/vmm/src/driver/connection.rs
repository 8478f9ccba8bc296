//! One connection after the other.

use std::future::Future;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{self, Instant};

use super::retry::Retry;
use super::waiting::Waiting;
use super::{Request, Settings, State, Update};
use crate::error::{CommandError, Unreachable, Violation};
use crate::event::Event;
use crate::message::Greeting;
use crate::session::{Incoming, Session};

/// What is read from the socket at once, in bytes.
const READ: usize = 16 * 1024;

/// Nobody is there any more to do anything for: handles or updates are dropped.
struct Unwanted;

struct Driver {
    settings: Settings,
    requests: mpsc::Receiver<Request>,
    updates: mpsc::Sender<Update>,
    state: watch::Sender<State>,
    /// How the last attempt or connection ended.
    down: Arc<Unreachable>,
}

/// Keeps a connection until nobody wants it.
pub(super) async fn drive(
    settings: Settings,
    requests: mpsc::Receiver<Request>,
    updates: mpsc::Sender<Update>,
    state: watch::Sender<State>,
) {
    let mut retry = Retry::new(settings.first_delay, settings.longest_delay);
    let down = Arc::new(Unreachable::NotYet(settings.path.clone()));
    let mut driver = Driver { settings, requests, updates, state, down };
    while driver.once(&mut retry).await.is_ok() {}
}

impl Driver {
    /// One attempt, the connection if it succeeds, and the delay after it.
    async fn once(&mut self, retry: &mut Retry) -> Result<(), Unwanted> {
        match self.meanwhile(establish(self.settings.clone())).await? {
            Err(unreachable) => self.set_down(Arc::new(unreachable)),
            Ok((stream, session, greeting)) => {
                let since = Instant::now();
                let unreachable = self.serve(stream, session, greeting).await?;
                retry.lasted(since.elapsed());
                self.set_down(Arc::clone(&unreachable));
                let updates = self.updates.clone();
                let told = async move { updates.send(Update::Lost(unreachable)).await };
                self.meanwhile(told).await?.map_err(|_| Unwanted)?;
            }
        }
        self.meanwhile(time::sleep(retry.delay())).await
    }

    fn set_down(&mut self, why: Arc<Unreachable>) {
        self.state.send_replace(State::Down(Arc::clone(&why)));
        self.down = why;
    }

    /// Awaits something without a connection: commands are refused.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Unwanted> {
        tokio::pin!(future);
        loop {
            tokio::select! {
                output = &mut future => return Ok(output),
                () = self.updates.closed() => return Err(Unwanted),
                request = self.requests.recv() => {
                    let request = request.ok_or(Unwanted)?;
                    let why = Arc::clone(&self.down);
                    // Whoever asked may have gone.
                    let _ = request.answer.send(Err(CommandError::Unreachable(why)));
                }
            }
        }
    }

    /// Serves a connection until it ends, and says how.
    async fn serve(
        &mut self,
        mut stream: UnixStream,
        mut session: Session,
        greeting: Greeting,
    ) -> Result<Arc<Unreachable>, Unwanted> {
        self.state.send_replace(State::Up(greeting.clone()));
        let mut update = Some(Update::Connected(greeting));
        let mut waiting = Waiting::new(self.settings.command);
        let mut buffer = vec![0; READ];
        let (mut reader, mut writer) = stream.split();
        let end = loop {
            // An update that is not taken stops everything behind it: the VMM's own socket is the queue.
            if update.is_none() {
                match next_event(&mut session, &mut waiting) {
                    Ok(event) => update = event.map(Update::Event),
                    Err(source) => break Unreachable::Protocol { path: self.settings.path.clone(), source },
                }
            }
            let deadline = waiting.deadline();
            tokio::select! {
                permit = self.updates.reserve(), if update.is_some() => {
                    let permit = permit.map_err(|_| Unwanted)?;
                    if let Some(update) = update.take() {
                        permit.send(update);
                    }
                }
                () = self.updates.closed() => return Err(Unwanted),
                request = self.requests.recv() => waiting.give(&mut session, request.ok_or(Unwanted)?),
                read = reader.read(&mut buffer), if update.is_none() => match read {
                    Ok(0) => break Unreachable::Closed(self.settings.path.clone()),
                    Ok(len) => session.receive(&buffer[..len]),
                    Err(source) => break Unreachable::Socket { path: self.settings.path.clone(), source },
                },
                written = writer.write(session.output()), if !session.output().is_empty() => match written {
                    Ok(len) => session.sent(len),
                    Err(source) => break Unreachable::Socket { path: self.settings.path.clone(), source },
                },
                () = until(deadline) => waiting.expire(Instant::now()),
            }
        };
        let end = Arc::new(end);
        waiting.lose(&end);
        Ok(end)
    }
}

/// Connects and negotiates.
async fn establish(settings: Settings) -> Result<(UnixStream, Session, Greeting), Unreachable> {
    let Settings { path, greeting: within, .. } = settings;
    let negotiation = async {
        let failed = |source| Unreachable::Socket { path: path.clone(), source };
        let connected = UnixStream::connect(&path).await;
        let mut stream = connected.map_err(|source| Unreachable::Connect { path: path.clone(), source })?;
        let mut session = Session::new();
        let mut buffer = vec![0; READ];
        loop {
            match session.poll() {
                Ok(Some(Incoming::Ready(greeting))) => return Ok((stream, session, greeting)),
                Ok(Some(_)) => {}
                Ok(None) if !session.output().is_empty() => {
                    let len = stream.write(session.output()).await.map_err(failed)?;
                    session.sent(len);
                }
                Ok(None) => match stream.read(&mut buffer).await.map_err(failed)? {
                    0 => return Err(Unreachable::Closed(path.clone())),
                    len => session.receive(&buffer[..len]),
                },
                Err(source) => return Err(Unreachable::Protocol { path: path.clone(), source }),
            }
        }
    };
    let silent = Unreachable::Silent { path: path.clone(), within };
    time::timeout(within, negotiation).await.unwrap_or(Err(silent))
}

/// Hands out answers until there is an event to tell.
fn next_event(session: &mut Session, waiting: &mut Waiting) -> Result<Option<Event>, Violation> {
    while let Some(incoming) = session.poll()? {
        match incoming {
            Incoming::Answer { id, outcome } => waiting.answer(id, outcome),
            Incoming::Ready(_) | Incoming::Event(Event::Other(_)) => {}
            Incoming::Event(event) => return Ok(Some(event)),
        }
    }
    Ok(None)
}

/// Waits until then; for ever without a deadline.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
