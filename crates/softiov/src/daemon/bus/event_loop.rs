//! The bus thread.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use miniport::Action;
use nic_switch::VfId;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use sys::Listener;
use vf82599::VfState;

use super::station::{Next, Station};
use super::{BusError, Mail, Order};
use crate::daemon::containment::{Panicked, contain};
use crate::daemon::vf::{Surroundings, Vf, VfSpec};

/// How often clients are looked at whose guest's memory may have vanished.
const FAULT_CHECK: Duration = Duration::from_millis(250);
/// How long no client is accepted after there was no file descriptor left for one.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Events taken from the kernel at a time.
const EVENTS: usize = 64;

pub(super) struct EventLoop {
    epoll: OwnedFd,
    pub(super) stations: BTreeMap<u16, Station>,
    orders: Receiver<Mail>,
    pub(super) around: Surroundings,
    /// Clients with more to read than one turn allows.
    pub(super) busy: Vec<u16>,
    /// Listeners that nobody looks at, and until when.
    paused: Vec<(Instant, u16)>,
}

/// Epoll tokens: what the descriptor is, and whose.
const ALARM: u64 = 0;
const LISTENER: u64 = 1 << 32;
const CLIENT: u64 = 2 << 32;
const LINK: u64 = 3 << 32;

impl EventLoop {
    pub(super) fn new(around: Surroundings, orders: Receiver<Mail>) -> Result<Self, BusError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let (stations, busy, paused) = (BTreeMap::new(), Vec::new(), Vec::new());
        let bus = Self { epoll, stations, orders, around, busy, paused };
        bus.watch(bus.around.alarm.event(), ALARM)?;
        bus.around.outside.with(|exits| {
            let mut watched = (0..).zip(&*exits).filter_map(|(number, exit)| Some((number, exit.watched()?)));
            watched.try_for_each(|(number, watched)| bus.watch(watched, LINK | number))
        })?;
        Ok(bus)
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
        } else {
            self.stations.values_mut().for_each(Station::hang_up);
        }
    }

    /// Waits, and does what there is to do then. `Some` to end, with whether to leave the VFs to a successor.
    fn turn(&mut self, events: &mut Vec<Event>) -> Option<bool> {
        let timeout = self.patience();
        events.clear();
        if let Err(error) = epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref())
            && error != Errno::INTR
        {
            tracing::error!(%error, "the bus cannot wait for events");
            return Some(false);
        }
        for id in std::mem::take(&mut self.busy) {
            self.serve(id, Station::read);
        }
        if let Some(leave) = events.iter().find_map(|event| self.dispatch(event)) {
            return Some(leave);
        }
        self.relay();
        self.end_faulted();
        self.resume_accepting();
        None
    }

    /// How long there is nothing to do unless something happens.
    fn patience(&self) -> Option<Timespec> {
        let now = Instant::now();
        let work = (!self.busy.is_empty()).then_some(Duration::ZERO);
        let clients = self.stations.values().any(|station| station.connection.is_some());
        let faults = clients.then_some(FAULT_CHECK);
        let listeners = self.paused.iter().map(|(until, _)| until.saturating_duration_since(now)).min();
        let publication = self.around.adapter.publish_changes();
        let first = [work, faults, listeners, publication].into_iter().flatten().min();
        first.and_then(|wait| Timespec::try_from(wait).ok())
    }

    /// Handles an event. `Some` to end, with whether to leave the VFs to a successor.
    fn dispatch(&mut self, event: &Event) -> Option<bool> {
        let (data, flags) = (event.data, event.flags);
        let token = data.u64();
        let id = u16::try_from(token & 0xffff).unwrap_or(u16::MAX);
        match token & !0xffff {
            LISTENER => self.accept(id),
            LINK => self.follow_link(id.into()),
            CLIENT => {
                if flags.contains(EventFlags::OUT) {
                    self.serve(id, Station::write);
                }
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    self.serve(id, Station::read);
                }
            }
            _ => {
                self.around.alarm.event().take();
                return self.obey();
            }
        }
        None
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
                    station.withdraw();
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

    /// The state of a netdev has changed. That of the physical port is the link of the VFs.
    fn follow_link(&mut self, exit: usize) {
        if !self.around.outside.take_changes(exit) {
            return;
        }
        for action in self.around.adapter.set_link(self.around.outside.is_running()) {
            if let Action::LinkChanged { vf, up, .. } = action {
                self.with(vf, |vf| vf.set_link(up));
            }
        }
    }

    fn with(&mut self, vf: VfId, action: impl FnOnce(&mut Vf)) {
        if let Some(station) = self.stations.get_mut(&vf.0) {
            action(&mut station.vf);
        }
    }

    fn offer(&mut self, spec: VfSpec, state: VfState, path: &Path) -> Result<(), BusError> {
        let id = spec.vf.0;
        let listener = Listener::bind(path)?;
        let kept = listener.as_fd().try_clone_to_owned()?;
        self.watch_listener(id, &listener)?;
        let vf = Vf::new(spec, state, &self.around)?;
        let name = format!("{}listener", VfSpec::store_prefix(vf.spec.vf));
        self.around.store.put(&name, kept, &path.to_string_lossy());
        self.stations.insert(id, Station::new(vf, listener));
        Ok(())
    }

    fn accept(&mut self, id: u16) {
        let Some(station) = self.stations.get_mut(&id) else { return };
        match station.accept(self.around.share.dma_maps) {
            Ok(true) => {
                let client = self.stations[&id].connection.as_ref();
                if let Some(Err(error)) = client.map(|client| self.watch_client(id, client)) {
                    self.close(id, error);
                }
            }
            Ok(false) => {}
            Err(error) => {
                station.vf.log.warn(format_args!("cannot accept a client: {error}"));
                // The client still waits, and would be told of without end.
                let _ =
                    epoll::modify(&self.epoll, &station.listener, token(LISTENER, id), EventFlags::empty());
                self.paused.push((Instant::now() + ACCEPT_PAUSE, id));
            }
        }
    }

    /// Looks at listeners again whose pause is over.
    fn resume_accepting(&mut self) {
        if self.paused.is_empty() {
            return;
        }
        let now = Instant::now();
        let (epoll, stations) = (&self.epoll, &self.stations);
        self.paused.retain(|(until, id)| {
            let over = *until <= now;
            if let (true, Some(station)) = (over, stations.get(id)) {
                // It was watched before, so that this cannot fail for want of anything.
                let _ = epoll::modify(epoll, &station.listener, token(LISTENER, *id), EventFlags::IN);
            }
            !over
        });
    }

    /// Does something for a client, and waits for what comes next. If that panics, it costs nobody but the client.
    fn serve(&mut self, id: u16, action: impl FnOnce(&mut Station) -> Next) {
        let Some(station) = self.stations.get_mut(&id) else { return };
        match contain(|| action(station)) {
            Ok(Next::Again) => self.busy.push(id),
            Ok(Next::Wait(flags)) => self.rewatch(id, flags),
            Ok(Next::Closed) => {}
            Err(Panicked) => station.abandon(),
        }
    }

    /// Writes the messages of raised vectors into their guests.
    fn relay(&mut self) {
        let mut blocked = Vec::new();
        for (id, station) in &mut self.stations {
            match contain(|| station.relay()) {
                Ok(true) => blocked.push(*id),
                Ok(false) => {}
                Err(Panicked) => station.abandon(),
            }
        }
        for id in blocked {
            self.serve(id, |station| station.wants());
        }
    }

    fn end_faulted(&mut self) {
        for station in self.stations.values_mut().filter(|station| station.has_faulted()) {
            station.close("guest memory vanished from under the device, as its file was truncated");
        }
    }

    pub(super) fn watch_listener(&self, id: u16, listener: &Listener) -> Result<(), BusError> {
        self.watch(listener, LISTENER | u64::from(id))
    }

    pub(super) fn watch_client(&self, id: u16, client: impl AsFd) -> Result<(), BusError> {
        self.watch(client, CLIENT | u64::from(id))
    }

    fn watch(&self, fd: impl AsFd, token: u64) -> Result<(), BusError> {
        let added = epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN);
        Ok(added.map_err(io::Error::from)?)
    }

    fn rewatch(&mut self, id: u16, flags: EventFlags) {
        let Some(Station { connection: Some(client), .. }) = self.stations.get(&id) else { return };
        if let Err(error) = epoll::modify(&self.epoll, client, token(CLIENT, id), flags) {
            self.close(id, error);
        }
    }

    /// Ends a session.
    pub(super) fn close(&mut self, id: u16, why: impl Display) {
        if let Some(station) = self.stations.get_mut(&id) {
            station.close(why);
        }
    }
}

fn token(kind: u64, id: u16) -> EventData {
    EventData::new_u64(kind | u64::from(id))
}
