//! One synthetic adapter: its socket, and the front ends at it.
//!
//! There can be two front ends for a while: when a VM migrates from one VMM to another on this host, both are connected.
//! The one that connected last and whose rings are ready has the adapter.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::types::SyntheticDeviceView;
use rustix::event::epoll::EventFlags;
use sys::Listener;
use vhost_user::{Closed, Connection, Connector, Limits, Progress, SessionState, Step};
use virt_stack::desired::VhostUser;
use virtio_net::AdapterState;

use super::front_end::FrontEnd;
use super::{NetVspError, SyntheticSpec};
use crate::daemon::containment::{self, contain};
use crate::daemon::peer_log::PeerLog;
use crate::daemon::vf::Surroundings;

/// Front ends of an adapter at a time.
const MOST_FRONT_ENDS: usize = 2;
/// Largest ring.
const QUEUE_SIZE: u16 = 4096;

/// How front ends come.
#[derive(Debug)]
pub(super) enum Socket {
    Listener(Listener),
    Connector(Connector),
}

/// A front end with its socket.
pub(super) struct Client {
    pub(super) serial: u32,
    pub(super) connection: Connection,
    pub(super) device: FrontEnd,
}

pub(super) struct Station {
    pub(super) spec: SyntheticSpec,
    pub(super) socket: Socket,
    /// In the order in which they came.
    pub(super) clients: Vec<Client>,
    next_serial: u32,
    link_up: bool,
    /// There is a guest whose driver has run the rings.
    present: bool,
    pub(super) log: PeerLog,
    pub(super) around: Surroundings,
    /// What front ends that are gone asked in vain.
    refused: std::collections::BTreeMap<&'static str, u64>,
}

/// What is to be waited for after a client was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: there is more to do at once.
    Again,
    /// These events.
    Wait(EventFlags),
    /// The client is gone.
    Closed,
}

impl Station {
    /// An adapter, with what an earlier NetVSP left of it in the fd store.
    pub(super) fn new(spec: &SyntheticSpec, around: &Surroundings) -> Result<Self, NetVspError> {
        let prefix = spec.store_prefix();
        let kept = around.store.entries(&format!("{prefix}listener")).into_iter().next();
        let socket = match (spec.role, kept) {
            (VhostUser::Server, Some(kept)) => {
                Socket::Listener(Listener::from_parts(kept.fd.try_clone()?, spec.path.clone()))
            }
            (VhostUser::Server, None) => {
                let listener = Listener::bind(&spec.path)?;
                let kept = listener.as_fd().try_clone_to_owned()?;
                around.store.put(&format!("{prefix}listener"), kept, "");
                Socket::Listener(listener)
            }
            (VhostUser::Client, _) => Socket::Connector(Connector::new(spec.path.clone())),
        };
        let link_up = around.outside.is_running();
        let mut station = Self {
            spec: spec.clone(),
            socket,
            clients: Vec::new(),
            next_serial: 0,
            link_up,
            present: false,
            log: PeerLog::new(spec.name.clone()),
            around: around.clone(),
            refused: std::collections::BTreeMap::new(),
        };
        station.take_over()?;
        Ok(station)
    }

    fn limits(&self) -> Limits {
        let memory_slots = self.around.share.memory_slots;
        Limits { queue_pairs: self.spec.queue_pairs, queue_size: QUEUE_SIZE, memory_slots }
    }

    /// Takes the client that waits at the listener, if there is one; its serial number.
    pub(super) fn accept(&mut self) -> io::Result<Option<u32>> {
        let Socket::Listener(listener) = &self.socket else { return Ok(None) };
        let Some(stream) = listener.accept()? else { return Ok(None) };
        if self.clients.len() == MOST_FRONT_ENDS {
            self.log
                .warn("a third front end was turned away: an adapter has two at most, while its VM migrates");
            return Ok(None);
        }
        self.admit(stream).map(Some)
    }

    /// Connects if it is time to; the serial number of the new client, or when to come again.
    pub(super) fn connect(&mut self, now: Instant) -> Result<u32, Option<Duration>> {
        let Socket::Connector(connector) = &mut self.socket else { return Err(None) };
        match connector.step(now) {
            Step::Connected => Err(None),
            Step::WaitUntil(until) => Err(Some(until.saturating_duration_since(now))),
            Step::Connect => match vhost_user::connect(connector.path()) {
                Ok(stream) => {
                    connector.connected(now);
                    self.admit(stream).map_err(|error| {
                        self.log.warn(format_args!("cannot serve the front end: {error}"));
                        self.lost(now);
                        Some(Duration::ZERO)
                    })
                }
                Err(error) => {
                    if connector.failures() == 0 {
                        self.log.info(format_args!("{error}; trying again and again"));
                    }
                    connector.failed(now);
                    Err(Some(Duration::ZERO))
                }
            },
        }
    }

    fn lost(&mut self, now: Instant) {
        if let Socket::Connector(connector) = &mut self.socket {
            connector.lost(now);
        }
    }

    fn admit(&mut self, stream: UnixStream) -> io::Result<u32> {
        let state = FrontEnd::new_state(&self.spec, self.link_up).map_err(io::Error::other)?;
        let limits = self.limits();
        let device = FrontEnd::new(&self.spec, state, &self.around, limits.memory_slots);
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        self.clients.push(Client { serial, connection: Connection::new(stream, limits), device });
        self.log.info("front end connected");
        self.around.switchboard.set_connected(self.spec.nic, true);
        Ok(serial)
    }

    pub(super) fn client(&self, serial: u32) -> Option<&Client> {
        self.clients.iter().find(|client| client.serial == serial)
    }

    /// Reads and handles what a client sent.
    pub(super) fn read(&mut self, serial: u32) -> Next {
        let next = self.serve(serial, |client| match client.connection.on_readable(&mut client.device)? {
            Progress::More => Ok(Next::Again),
            Progress::Idle | Progress::Blocked => Ok(client.wants()),
        });
        self.choose();
        next
    }

    /// Sends what waits for a client.
    pub(super) fn write(&mut self, serial: u32) -> Next {
        self.serve(serial, |client| client.connection.on_writable().map(|()| client.wants()))
    }

    fn serve(&mut self, serial: u32, action: impl FnOnce(&mut Client) -> Result<Next, Closed>) -> Next {
        let Some(client) = self.clients.iter_mut().find(|client| client.serial == serial) else {
            return Next::Closed;
        };
        match action(client) {
            Ok(next) => next,
            Err(closed) => {
                match closed {
                    Closed::ByPeer => self.log.info("front end disconnected"),
                    why => self.log.warn(format_args!("front end disconnected: {why}")),
                }
                self.remove(serial);
                Next::Closed
            }
        }
    }

    /// Gives the adapter to the newest front end whose rings are ready.
    fn choose(&mut self) {
        let chosen =
            self.clients.iter().rev().find(|client| client.device.is_ready()).map(|client| client.serial);
        // Whoever gets ready takes the adapter at once, even if it is not the newest.
        let taken =
            self.clients.iter().any(|client| Some(client.serial) != chosen && client.device.is_attached());
        if chosen.is_some() {
            self.note_presence(true);
        }
        for client in &mut self.clients {
            let stale = client.device.take_stale();
            if Some(client.serial) != chosen {
                // Whoever has the adapter next takes it from the worker's hand; if nobody has, it is taken here.
                if chosen.is_some() { client.device.replaced() } else { client.device.detach() }
            } else if stale || taken || !client.device.is_attached() {
                client.device.attach();
            }
        }
    }

    /// Ends the sessions of front ends whose guest's memory is not what they said.
    pub(super) fn end_faulted(&mut self) {
        let faulted: Vec<u32> = self
            .clients
            .iter()
            .filter(|client| client.device.has_faulted())
            .map(|client| client.serial)
            .collect();
        for serial in faulted {
            self.close(serial, "guest memory vanished from under the device, as its file was truncated");
        }
    }

    /// Ends a session, for a reason that a person should look at.
    pub(super) fn close(&mut self, serial: u32, why: impl Display) {
        self.log.warn(format_args!("front end disconnected: {why}"));
        self.remove(serial);
    }

    fn remove(&mut self, serial: u32) {
        let Some(Client { connection, mut device, .. }) = self.take(serial) else { return };
        connection.close(&mut device);
        drop(device);
        self.removed();
    }

    /// Lets a client go whose message made softiov panic: neither session nor device is asked for anything any more.
    pub(super) fn abandon(&mut self, serial: u32) {
        self.log
            .error("front end disconnected: softiov has panicked over one of its messages, which is a bug");
        *self.refused.entry(containment::REASON).or_default() += 1;
        if let Some(Client { connection, device, .. }) = self.take(serial) {
            // The device first: with it, the worker lets go of rings and memory.
            let _ = contain(|| drop(device));
            let _ = contain(|| drop(connection));
        }
        self.removed();
    }

    fn take(&mut self, serial: u32) -> Option<Client> {
        let index = self.clients.iter().position(|client| client.serial == serial)?;
        let client = self.clients.remove(index);
        for (reason, count) in client.connection.session().counters().iter() {
            *self.refused.entry(reason.as_str()).or_default() += count;
        }
        Some(client)
    }

    /// A client is gone.
    fn removed(&mut self) {
        self.choose();
        if self.clients.is_empty() {
            self.around.switchboard.set_connected(self.spec.nic, false);
            self.note_presence(false);
        }
        self.lost(Instant::now());
    }

    /// A guest is there from when its driver first runs the rings until its VMM leaves: it may reboot in between.
    fn note_presence(&mut self, present: bool) {
        if std::mem::replace(&mut self.present, present) != present {
            self.around.notices.present(self.spec.nic, present);
        }
    }

    pub(super) fn set_link(&mut self, up: bool) {
        if std::mem::replace(&mut self.link_up, up) != up {
            self.clients.iter().for_each(|client| client.device.set_link(up));
        }
    }

    /// Ends all sessions and the socket.
    pub(super) fn withdraw(mut self) {
        while let Some(Client { serial, .. }) = self.clients.first() {
            self.remove(*serial);
        }
        self.around.store.remove(&self.spec.store_prefix());
    }

    /// Leaves sockets and sessions to a successor.
    pub(super) fn leave(self) {
        let (store, prefix) = (&self.around.store, self.spec.store_prefix());
        for (number, client) in self.clients.into_iter().enumerate() {
            let Client { connection, mut device, .. } = client;
            let Ok(state) = device.state().as_fd().try_clone_to_owned() else { continue };
            let Ok((stream, session, fds)) = connection.into_parts(&mut device) else { continue };
            // The state is plain data: it always has a JSON form.
            let note = serde_json::to_string(&session).unwrap_or_default();
            store.put(&format!("{prefix}client/{number:04}"), stream.into(), &note);
            store.put(&format!("{prefix}device/{number:04}"), state, "");
            for (place, fd) in fds.into_iter().enumerate() {
                store.put(&format!("{prefix}fds/{number:04}/{place:04}"), fd, "");
            }
        }
        if let Socket::Listener(listener) = self.socket {
            // The path stays; the socket is in the store.
            let _ = listener.into_parts();
        }
    }

    fn take_over(&mut self) -> Result<(), NetVspError> {
        let (store, prefix) = (Arc::clone(&self.around.store), self.spec.store_prefix());
        let clients = store.entries(&format!("{prefix}client/"));
        for client in &clients {
            let devices = store.entries(&format!("{prefix}device/{}", client.name));
            let Some(device) = devices.into_iter().next() else { continue };
            let fds = store.entries(&format!("{prefix}fds/{}/", client.name));
            let fds = fds.iter().map(|entry| entry.fd.try_clone()).collect::<Result<Vec<OwnedFd>, _>>()?;
            let stream = UnixStream::from(client.fd.try_clone()?);
            if let Err(error) = self.resume(stream, &client.note, device.fd.try_clone()?, fds) {
                self.log.warn(format_args!("front end disconnected: {error}"));
            }
        }
        for what in ["client/", "device/", "fds/"] {
            store.remove(&format!("{prefix}{what}"));
        }
        if let (Socket::Connector(connector), true) = (&mut self.socket, !self.clients.is_empty()) {
            *connector = Connector::handed_over(self.spec.path.clone(), Instant::now());
        }
        self.choose();
        Ok(())
    }

    fn resume(
        &mut self,
        stream: UnixStream,
        note: &str,
        device: OwnedFd,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let session: SessionState = serde_json::from_str(note)?;
        let state = AdapterState::open(device)?;
        let mut device = FrontEnd::new(&self.spec, state, &self.around, self.limits().memory_slots);
        let connection = Connection::from_parts(stream, session, fds, &mut device)?;
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        self.clients.push(Client { serial, connection, device });
        Ok(())
    }

    pub(super) fn view(&self) -> SyntheticDeviceView {
        let mut rejections = self.refused.clone();
        for client in &self.clients {
            for (reason, count) in client.connection.session().counters().iter() {
                *rejections.entry(reason.as_str()).or_default() += count;
            }
        }
        let serving = self.clients.iter().find(|client| client.device.is_attached());
        SyntheticDeviceView {
            socket: self.spec.path.clone(),
            connected: !self.clients.is_empty(),
            driver_ready: serving.is_some(),
            mapped_bytes: self.clients.iter().map(|client| client.device.mapped_bytes()).sum(),
            features: serving.map_or(0, |client| client.device.state().features().bits()),
            rings: serving.map_or(0, |client| client.connection.session().running_rings()),
            broken_rings: serving.map_or_else(Vec::new, |client| client.device.broken_rings()),
            rejections: rejections
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(reason, count)| (format!("vhost_user_{reason}"), count).into())
                .collect(),
        }
    }
}

impl Client {
    pub(super) fn wants(&self) -> Next {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.connection.wants_read());
        flags.set(EventFlags::OUT, self.connection.wants_write());
        Next::Wait(flags)
    }
}
