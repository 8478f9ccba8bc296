//! The NetVSP thread.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use super::station::{Next, Socket, Station};
use super::{NetVspError, Order, SyntheticSpec};
use crate::daemon::containment::{Panicked, contain};
use crate::daemon::vf::Surroundings;

/// How often front ends are looked at whose guest's memory may have vanished.
const FAULT_CHECK: Duration = Duration::from_millis(250);
/// How long no front end is accepted after there was no file descriptor left for one.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Events taken from the kernel at a time.
const EVENTS: usize = 64;

pub(super) struct EventLoop {
    epoll: OwnedFd,
    stations: BTreeMap<u32, Station>,
    orders: Receiver<Order>,
    around: Surroundings,
    /// Clients with more to read than one turn allows: NIC and serial number.
    busy: Vec<(u32, u32)>,
    /// Listeners that nobody looks at, and until when.
    paused: Vec<(Instant, u32)>,
}

/// Epoll tokens: what the descriptor is, and whose. A client's serial number is in the lower half.
const ALARM: u64 = 0;
const LISTENER: u64 = 1 << 62;
const CLIENT: u64 = 2 << 62;
const KIND: u64 = 3 << 62;

impl EventLoop {
    pub(super) fn new(around: Surroundings, orders: Receiver<Order>) -> Result<Self, NetVspError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let (stations, busy, paused) = (BTreeMap::new(), Vec::new(), Vec::new());
        let netvsp = Self { epoll, stations, orders, around, busy, paused };
        netvsp.watch(netvsp.around.alarm.event(), ALARM)?;
        Ok(netvsp)
    }

    /// Serves one more adapter.
    pub(super) fn add(&mut self, spec: &SyntheticSpec) -> Result<(), NetVspError> {
        let station = Station::new(spec, &self.around)?;
        if let Socket::Listener(listener) = &station.socket {
            self.watch(listener, LISTENER | u64::from(spec.nic) << 32)?;
        }
        for client in &station.clients {
            self.watch(&client.connection, client_token(spec.nic, client.serial))?;
            self.busy.push((spec.nic, client.serial));
        }
        self.stations.insert(spec.nic, station);
        Ok(())
    }

    fn remove(&mut self, nic: u32) {
        if let Some(station) = self.stations.remove(&nic) {
            station.withdraw();
        }
        self.busy.retain(|(of, _)| *of != nic);
        self.paused.retain(|(_, of)| *of != nic);
    }

    /// Ends, leaving sockets and sessions to a successor.
    pub(super) fn leave(self) {
        for station in self.stations.into_values() {
            station.leave();
        }
    }

    /// Serves until told to end.
    pub(super) fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        let leave = loop {
            if let Some(leave) = self.turn(&mut events) {
                break leave;
            }
        };
        if leave {
            self.leave();
        }
    }

    /// Waits, and does what there is to do then. `Some` to end, with whether to leave the adapters to a successor.
    fn turn(&mut self, events: &mut Vec<Event>) -> Option<bool> {
        let timeout = self.patience();
        events.clear();
        if let Err(error) = epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref())
            && error != Errno::INTR
        {
            tracing::error!(%error, "NetVSP cannot wait for events");
            return Some(false);
        }
        for (nic, serial) in std::mem::take(&mut self.busy) {
            self.serve(nic, serial, Station::read);
        }
        if let Some(leave) = events.iter().find_map(|event| self.dispatch(event)) {
            return Some(leave);
        }
        self.stations.values_mut().for_each(Station::end_faulted);
        self.resume_accepting();
        None
    }

    /// How long there is nothing to do unless something happens. Connects where it is time to.
    fn patience(&mut self) -> Option<Timespec> {
        let now = Instant::now();
        let connection = self.connect(now);
        let work = (!self.busy.is_empty()).then_some(Duration::ZERO);
        let clients = self.stations.values().any(|station| !station.clients.is_empty());
        let faults = clients.then_some(FAULT_CHECK);
        let listeners = self.paused.iter().map(|(until, _)| until.saturating_duration_since(now)).min();
        let publication = self.around.switchboard.publish_changes();
        let first = [connection, work, faults, listeners, publication].into_iter().flatten().min();
        first.and_then(|wait| Timespec::try_from(wait).ok())
    }

    fn connect(&mut self, now: Instant) -> Option<Duration> {
        let mut next = None;
        let mut connected = Vec::new();
        for (nic, station) in &mut self.stations {
            match station.connect(now) {
                Ok(serial) => connected.push((*nic, serial)),
                Err(wait) => next = [next, wait].into_iter().flatten().min(),
            }
        }
        for (nic, serial) in connected {
            self.watch_client(nic, serial);
        }
        next
    }

    /// Handles an event. `Some` to end, with whether to leave the adapters to a successor.
    fn dispatch(&mut self, event: &Event) -> Option<bool> {
        let (data, flags) = (event.data, event.flags);
        let token = data.u64();
        let half =
            |shift: u32| u32::try_from(token >> shift & 0xffff_ffff & !(KIND >> 32)).unwrap_or(u32::MAX);
        match token & KIND {
            LISTENER => self.accept(half(32)),
            CLIENT => {
                let (nic, serial) = (half(32), u32::try_from(token & 0xffff_ffff).unwrap_or(u32::MAX));
                if flags.contains(EventFlags::OUT) {
                    self.serve(nic, serial, Station::write);
                }
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    self.serve(nic, serial, Station::read);
                }
            }
            _ => {
                self.around.alarm.event().take();
                self.follow_link();
                return self.obey();
            }
        }
        None
    }

    /// Carries out what waits in the inbox. `Some` to end, with whether to leave the adapters to a successor.
    fn obey(&mut self) -> Option<bool> {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                // Whoever asked waits; that it is gone means that softiov ends.
                Order::Add(spec, reply) => drop(reply.send(self.add(&spec))),
                Order::Remove(nic, reply) => {
                    self.remove(nic);
                    let _ = reply.send(Ok(()));
                }
                Order::Inspect(reply) => {
                    let views = self.stations.iter().map(|(nic, station)| (*nic, station.view())).collect();
                    // Whoever asked may have given up.
                    let _ = reply.send(views);
                }
                Order::Stop { leave } => return Some(leave),
            }
        }
        None
    }

    /// The links of all adapters are up while that of the physical port is.
    fn follow_link(&mut self) {
        let up = self.around.outside.is_running();
        self.stations.values_mut().for_each(|station| station.set_link(up));
    }

    fn accept(&mut self, nic: u32) {
        let Some(station) = self.stations.get_mut(&nic) else { return };
        match station.accept() {
            Ok(Some(serial)) => self.watch_client(nic, serial),
            Ok(None) => {}
            Err(error) => {
                station.log.warn(format_args!("cannot accept a front end: {error}"));
                // It still waits, and would be told of without end.
                self.listen(nic, EventFlags::empty());
                self.paused.push((Instant::now() + ACCEPT_PAUSE, nic));
            }
        }
    }

    /// Looks at listeners again whose pause is over.
    fn resume_accepting(&mut self) {
        let now = Instant::now();
        let over: Vec<u32> =
            self.paused.iter().filter(|(until, _)| *until <= now).map(|(_, nic)| *nic).collect();
        self.paused.retain(|(until, _)| *until > now);
        for nic in over {
            self.listen(nic, EventFlags::IN);
        }
    }

    fn listen(&self, nic: u32, flags: EventFlags) {
        if let Some(Station { socket: Socket::Listener(listener), .. }) = self.stations.get(&nic) {
            let token = EventData::new_u64(LISTENER | u64::from(nic) << 32);
            // It is watched already, so that this cannot fail for want of anything.
            let _ = epoll::modify(&self.epoll, listener, token, flags);
        }
    }

    /// Does something for a client, and waits for what comes next. If that panics, it costs nobody but the client.
    fn serve(&mut self, nic: u32, serial: u32, action: impl FnOnce(&mut Station, u32) -> Next) {
        let Some(station) = self.stations.get_mut(&nic) else { return };
        match contain(|| action(station, serial)) {
            Ok(Next::Again) => self.busy.push((nic, serial)),
            Ok(Next::Wait(flags)) => self.rewatch(nic, serial, flags),
            Ok(Next::Closed) => {}
            Err(Panicked) => station.abandon(serial),
        }
    }

    fn watch(&self, fd: impl AsFd, token: u64) -> Result<(), NetVspError> {
        let added = epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN);
        Ok(added.map_err(io::Error::from)?)
    }

    fn watch_client(&mut self, nic: u32, serial: u32) {
        let client = self.stations.get(&nic).and_then(|station| station.client(serial));
        let Some(client) = client else { return };
        if let Err(error) = self.watch(&client.connection, client_token(nic, serial)) {
            self.close(nic, serial, &error);
        }
    }

    fn rewatch(&mut self, nic: u32, serial: u32, flags: EventFlags) {
        let client = self.stations.get(&nic).and_then(|station| station.client(serial));
        let Some(client) = client else { return };
        let token = EventData::new_u64(client_token(nic, serial));
        if let Err(error) = epoll::modify(&self.epoll, &client.connection, token, flags) {
            self.close(nic, serial, &error);
        }
    }

    fn close(&mut self, nic: u32, serial: u32, why: &dyn std::error::Error) {
        if let Some(station) = self.stations.get_mut(&nic) {
            station.close(serial, why);
        }
    }
}

fn client_token(nic: u32, serial: u32) -> u64 {
    CLIENT | u64::from(nic) << 32 | u64::from(serial)
}
