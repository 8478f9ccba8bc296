//! The bus: the thread that serves the sockets of all VFs.
//!
//! A VMM waits for the answer to each of its messages, and a QEMU that waited for 5 seconds gives the device up. So
//! this thread does nothing else, never blocks but on its epoll, and handles a bounded number of messages of one VMM
//! before it looks at the next.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nic_switch::VfId;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use vf82599::VfState;
use vfio_user::{Closed, Connection, DEFAULT_MAX_DMA_MAPS, Listener, Progress, SessionState};

use super::rate_limit::RateLimit;
use super::signal::Alarm;
use super::vf::{Surroundings, Vf, VfError, VfSpec};
use crate::view::VfDeviceView;

/// How often connections are looked at whose guest's memory may have vanished.
const FAULT_CHECK: Duration = Duration::from_millis(250);
/// Events taken from the kernel at a time.
const EVENTS: usize = 64;

/// What the bus is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Offer a VF at a socket.
    Offer { spec: Box<VfSpec>, state: VfState, path: PathBuf },
    /// Take a VF away.
    Withdraw(VfId),
    /// Function level reset by the PF.
    Reset(VfId),
    /// The PF wrote config space.
    ConfigChanged(VfId, Vec<pcie::ConfigEffect>),
    /// Link up or down.
    SetLink(VfId, bool),
    /// Describe the devices.
    Inspect(Sender<BTreeMap<u16, VfDeviceView>>),
    /// End; with `leave`, everything stays in the fd store for a successor.
    Stop { leave: bool },
}

/// A running bus.
#[derive(Debug)]
pub(crate) struct Bus {
    orders: Sender<(Order, Sender<Result<(), BusError>>)>,
    alarm: Alarm,
    thread: Option<JoinHandle<()>>,
}

/// Why an order could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    #[error(transparent)]
    Bind(#[from] vfio_user::BindError),
    #[error(transparent)]
    Vf(#[from] VfError),
    #[error("cannot watch the socket")]
    Os(#[from] io::Error),
    #[error("the bus thread has ended")]
    Gone,
}

/// A VF with its socket.
#[derive(Debug)]
struct Station {
    vf: Vf,
    listener: Listener,
    connection: Option<Connection>,
}

struct Loop {
    epoll: std::os::fd::OwnedFd,
    stations: BTreeMap<u16, Station>,
    orders: Receiver<(Order, Sender<Result<(), BusError>>)>,
    around: Surroundings,
    /// Connections with more to read than one turn allows.
    busy: Vec<u16>,
}

/// Epoll tokens: what the descriptor is, and whose.
const ALARM: u64 = 0;
const LISTENER: u64 = 1 << 32;
const CLIENT: u64 = 2 << 32;

impl Bus {
    /// Starts the thread. With `rebuild` it takes over the VFs that an earlier bus left in the fd store.
    pub(crate) fn start(around: Surroundings, rebuild: &[VfSpec]) -> Result<Self, BusError> {
        let (orders, inbox) = channel();
        let alarm = around.alarm.clone();
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let readable = EventFlags::IN;
        epoll::add(&epoll, alarm.event(), EventData::new_u64(ALARM), readable).map_err(io::Error::from)?;
        let mut bus = Loop { epoll, stations: BTreeMap::new(), orders: inbox, around, busy: Vec::new() };
        for spec in rebuild {
            bus.take_over(spec)?;
        }
        let thread = std::thread::Builder::new().name("bus".into()).spawn(move || bus.run())?;
        Ok(Self { orders, alarm, thread: Some(thread) })
    }

    /// Has an order carried out.
    pub(crate) fn order(&self, order: Order) -> Result<(), BusError> {
        let (reply, answer) = channel();
        self.orders.send((order, reply)).map_err(|_| BusError::Gone)?;
        self.alarm.ring();
        answer.recv().map_err(|_| BusError::Gone)?
    }

    /// The devices as they stand.
    pub(crate) fn inspect(&self) -> Result<BTreeMap<u16, VfDeviceView>, BusError> {
        let (reply, answer) = channel();
        self.order(Order::Inspect(reply))?;
        answer.recv().map_err(|_| BusError::Gone)
    }
}

impl Bus {
    /// Ends the bus. Its VFs and their VMMs wait in the fd store for the next one.
    pub(crate) fn leave(mut self) {
        self.stop(true);
    }

    fn stop(&mut self, leave: bool) {
        // A bus that has ended needs no telling.
        let _ = self.order(Order::Stop { leave });
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop(false);
        }
    }
}

impl Loop {
    fn run(mut self) {
        let mut events = Vec::<Event>::with_capacity(EVENTS);
        loop {
            events.clear();
            let timeout = if self.busy.is_empty() { self.patience() } else { Some(Timespec::default()) };
            if let Err(error) = epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref())
                && error != rustix::io::Errno::INTR
            {
                tracing::error!(%error, "the bus cannot wait for events");
                return;
            }
            for id in std::mem::take(&mut self.busy) {
                self.read(id);
            }
            for event in &events {
                let data = event.data;
                let token = data.u64();
                let id = u16::try_from(token & 0xffff).unwrap_or(u16::MAX);
                match token & !0xffff {
                    LISTENER => self.accept(id),
                    CLIENT => {
                        let flags = event.flags;
                        if flags.contains(EventFlags::OUT) {
                            self.write(id);
                        }
                        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                            self.read(id);
                        }
                    }
                    _ => {
                        self.around.alarm.event().take();
                        match self.obey() {
                            Some(true) => return self.leave(),
                            Some(false) => return,
                            None => {}
                        }
                    }
                }
            }
            self.relay();
            self.end_faulted();
        }
    }

    /// Without clients there is nothing to look after.
    fn patience(&self) -> Option<Timespec> {
        let clients = self.stations.values().any(|s| s.connection.is_some());
        if clients { Timespec::try_from(FAULT_CHECK).ok() } else { None }
    }

    /// Carries out what waits in the inbox. `Some` to end, with whether to leave the VFs to a successor.
    fn obey(&mut self) -> Option<bool> {
        while let Ok((order, reply)) = self.orders.try_recv() {
            let end = match order {
                Order::Stop { leave } => Some(leave),
                _ => None,
            };
            let done = self.carry_out(order);
            // Whoever asked may have given up.
            let _ = reply.send(done);
            if end.is_some() {
                return end;
            }
        }
        None
    }

    fn carry_out(&mut self, order: Order) -> Result<(), BusError> {
        match order {
            Order::Offer { spec, state, path } => self.offer(*spec, state, &path)?,
            Order::Withdraw(vf) => {
                if let Some(station) = self.stations.remove(&vf.0) {
                    drop(station.connection);
                    station.vf.withdraw();
                }
            }
            Order::Reset(vf) => self.with(vf, Vf::reset_by_pf),
            Order::ConfigChanged(vf, effects) => self.with(vf, |vf| vf.config_changed(&effects)),
            Order::SetLink(vf, up) => self.with(vf, |vf| vf.set_link(up)),
            Order::Inspect(reply) => {
                let views = self.stations.iter().map(|(id, station)| (*id, station.view())).collect();
                // Whoever asked may have given up.
                let _ = reply.send(views);
            }
            Order::Stop { .. } => {}
        }
        Ok(())
    }

    fn with(&mut self, vf: VfId, action: impl FnOnce(&mut Vf)) {
        if let Some(station) = self.stations.get_mut(&vf.0) {
            action(&mut station.vf);
        }
    }

    fn offer(&mut self, spec: VfSpec, state: VfState, path: &std::path::Path) -> Result<(), BusError> {
        let id = spec.vf.0;
        let listener = Listener::bind(path)?;
        let vf = Vf::new(spec, state, &self.around)?;
        self.watch(&listener, LISTENER | u64::from(id))?;
        let name = format!("{}listener", VfSpec::store_prefix(vf.spec.vf));
        self.around.store.put(&name, listener.as_fd(), &path.to_string_lossy());
        self.stations.insert(id, Station { vf, listener, connection: None });
        Ok(())
    }

    /// Makes a VF from what an earlier bus left.
    fn take_over(&mut self, spec: &VfSpec) -> Result<(), BusError> {
        let prefix = VfSpec::store_prefix(spec.vf);
        let store = Arc::clone(&self.around.store);
        let one = |name: &str| store.entries(&format!("{prefix}{name}")).into_iter().next();
        let (Some(state), Some(listener)) = (one("state"), one("listener")) else { return Ok(()) };
        let state = VfState::open(state.fd).map_err(|e| VfError::State(spec.vf, e))?;
        let vf = Vf::attach(spec.clone(), state, &self.around)?;
        let listener = Listener::from_parts(listener.fd, PathBuf::from(listener.note));
        self.watch(&listener, LISTENER | u64::from(spec.vf.0))?;
        let mut station = Station { vf, listener, connection: None };
        if let Some(client) = one("client") {
            let fds = store.entries(&format!("{prefix}pending/")).into_iter().map(|e| e.fd).collect();
            store.remove(&format!("{prefix}pending/"));
            let state: Option<SessionState> = serde_json::from_str(&client.note).ok();
            match state.map(|state| Connection::from_parts(client.fd.into(), state, fds)) {
                Some(Ok(connection)) => {
                    self.watch(&connection, CLIENT | u64::from(spec.vf.0))?;
                    station.connection = Some(connection);
                    self.busy.push(spec.vf.0);
                }
                _ => station.vf.disconnected(),
            }
        }
        self.stations.insert(spec.vf.0, station);
        Ok(())
    }

    /// Ends, leaving sockets and sessions to a successor.
    fn leave(self) {
        for station in self.stations.into_values() {
            let prefix = VfSpec::store_prefix(station.vf.spec.vf);
            let store = &self.around.store;
            if let Some(connection) = station.connection {
                let (stream, state, fds) = connection.into_parts();
                let note = serde_json::to_string(&state).unwrap_or_default();
                store.put(&format!("{prefix}client"), stream.as_fd(), &note);
                for (number, fd) in fds.iter().enumerate() {
                    store.put(&format!("{prefix}pending/{number:04}"), fd.as_fd(), "");
                }
            }
            // The path stays; the socket is in the store.
            let _ = station.listener.into_parts();
        }
    }

    fn accept(&mut self, id: u16) {
        let Some(station) = self.stations.get_mut(&id) else { return };
        if station.connection.is_some() {
            if station.listener.accept_second().unwrap_or(false) {
                warn(id, "a second client was turned away: a VF has one");
            }
            return;
        }
        match station.listener.accept() {
            Ok(Some(stream)) => {
                let connection = Connection::new(stream, DEFAULT_MAX_DMA_MAPS);
                let name = format!("{}client", VfSpec::store_prefix(station.vf.spec.vf));
                self.around.store.put(&name, connection.as_fd(), "");
                station.connection = Some(connection);
                let station = &self.stations[&id];
                if let Some(connection) = &station.connection
                    && self.watch(connection, CLIENT | u64::from(id)).is_err()
                {
                    self.close(id, None);
                    return;
                }
                tracing::info!(vf = id, "client connected");
            }
            Ok(None) => {}
            Err(error) => warn(id, &format!("cannot accept a client: {error}")),
        }
    }

    fn read(&mut self, id: u16) {
        let Some(Station { vf, connection: Some(connection), .. }) = self.stations.get_mut(&id) else {
            return;
        };
        match connection.on_readable(vf) {
            Ok(Progress::More) => self.busy.push(id),
            Ok(Progress::Idle | Progress::Blocked) => self.rewatch(id),
            Err(closed) => self.close(id, Some(&closed)),
        }
    }

    fn write(&mut self, id: u16) {
        let Some(Station { connection: Some(connection), .. }) = self.stations.get_mut(&id) else { return };
        match connection.on_writable() {
            Ok(()) => self.rewatch(id),
            Err(closed) => self.close(id, Some(&closed)),
        }
    }

    /// Writes the messages of raised vectors into their guests.
    fn relay(&mut self) {
        let mut blocked = Vec::new();
        for (id, station) in &mut self.stations {
            let Some(connection) = &mut station.connection else { continue };
            for message in station.vf.messages() {
                // A VMM that does not read has no more room: its guest misses an interrupt, as if it were stopped.
                let _ = connection.dma_write(message.address, &message.data.to_le_bytes());
            }
            if connection.wants_write() {
                blocked.push(*id);
            }
        }
        for id in blocked {
            self.rewatch(id);
        }
    }

    fn end_faulted(&mut self) {
        let faulted = |s: &Station| s.connection.is_some() && s.vf.has_faulted();
        let ids: Vec<_> = self.stations.iter().filter(|(_, s)| faulted(s)).map(|(id, _)| *id).collect();
        for id in ids {
            warn(id, "guest memory vanished from under the device: its file was truncated");
            self.close(id, None);
        }
    }

    fn close(&mut self, id: u16, why: Option<&Closed>) {
        let Some(station) = self.stations.get_mut(&id) else { return };
        station.connection = None;
        station.vf.disconnected();
        match why {
            Some(Closed::ByClient) | None => tracing::info!(vf = id, "client disconnected"),
            Some(why) => warn(id, &why.to_string()),
        }
    }

    fn watch(&self, fd: impl AsFd, token: u64) -> Result<(), BusError> {
        let added = epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN);
        Ok(added.map_err(io::Error::from)?)
    }

    /// Waits for what the connection waits for.
    fn rewatch(&mut self, id: u16) {
        let Some(Station { connection: Some(connection), .. }) = self.stations.get(&id) else { return };
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, connection.wants_read());
        flags.set(EventFlags::OUT, connection.wants_write());
        let data = EventData::new_u64(CLIENT | u64::from(id));
        if epoll::modify(&self.epoll, connection, data, flags).is_err() {
            self.close(id, None);
        }
    }
}

impl Station {
    fn view(&self) -> VfDeviceView {
        let control = self.vf.control();
        VfDeviceView {
            socket: self.listener.path().to_owned(),
            connected: self.connection.is_some(),
            driver_ready: control.is_receiving(),
            mapped_bytes: self.vf.mapped_bytes(),
            rejections: control
                .rejections()
                .iter()
                .filter(|(_, n)| *n > 0)
                .map(|(reason, n)| (reason.as_str().to_owned(), n))
                .collect(),
        }
    }
}

fn warn(vf: u16, what: &str) {
    static LIMIT: RateLimit = RateLimit::new();
    if LIMIT.allow() {
        tracing::warn!(vf, "{what}");
    }
}
