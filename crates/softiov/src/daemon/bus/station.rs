//! One VF on the bus.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use api::types::VfDeviceView;
use rustix::event::epoll::EventFlags;
use sys::Listener;
use vfio_user::{Closed, Connection, DmaWriteError, Progress};

use crate::daemon::containment::{self, contain};
use crate::daemon::vf::Vf;

/// A VF with its socket and its client.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) vf: Vf,
    pub(super) listener: Listener,
    pub(super) connection: Option<Connection>,
    /// What VMMs that are gone asked in vain.
    refused: BTreeMap<&'static str, u64>,
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
    pub(super) fn new(vf: Vf, listener: Listener) -> Self {
        Self { vf, listener, connection: None, refused: BTreeMap::new() }
    }

    /// Takes the client that waits at the listener, if there is one; true if it stays.
    pub(super) fn accept(&mut self, max_dma_maps: u32) -> io::Result<bool> {
        if self.connection.is_some() {
            if self.listener.accept_second()? {
                self.vf.log.warn("a second client was turned away: a VF has one");
            }
            return Ok(false);
        }
        let Some(stream) = self.listener.accept()? else { return Ok(false) };
        self.vf.keep_client(stream.as_fd().try_clone_to_owned()?, "");
        self.connection = Some(Connection::new(stream, max_dma_maps));
        self.vf.log.info("client connected");
        self.vf.note_client(true);
        Ok(true)
    }

    /// Reads and handles what the client sent.
    pub(super) fn read(&mut self) -> Next {
        let Some(connection) = &mut self.connection else { return Next::Closed };
        match connection.on_readable(&mut self.vf) {
            Ok(Progress::More) => Next::Again,
            Ok(Progress::Idle | Progress::Blocked) => self.wants(),
            Err(closed) => self.close_for(&closed),
        }
    }

    /// Sends what waits for the client.
    pub(super) fn write(&mut self) -> Next {
        let Some(connection) = &mut self.connection else { return Next::Closed };
        match connection.on_writable() {
            Ok(()) => self.wants(),
            Err(closed) => self.close_for(&closed),
        }
    }

    /// Writes the messages of raised vectors into the guest. Those for which there is no room, because the VMM does
    /// not read, stay raised. True if something waits to be sent now.
    pub(super) fn relay(&mut self) -> bool {
        let Some(connection) = self.connection.as_mut().filter(|c| c.wants_read()) else { return false };
        for (vector, message) in self.vf.take_messages() {
            // A client that has not agreed on a version yet has no driver that waits.
            if let Err(DmaWriteError::Full { .. }) =
                connection.dma_write(message.address, &message.data.to_le_bytes())
            {
                self.vf.raise(vector);
            }
        }
        connection.wants_write()
    }

    /// True if the memory of the client is not what it said.
    pub(super) fn has_faulted(&self) -> bool {
        self.connection.is_some() && self.vf.has_faulted()
    }

    /// Ends the session, for a reason that a person should look at.
    pub(super) fn close(&mut self, why: impl fmt::Display) {
        self.vf.log.warn(format_args!("client disconnected: {why}"));
        self.disconnect();
    }

    /// Lets the client go whose message made softiov panic, and makes the device anew.
    pub(super) fn abandon(&mut self) {
        self.vf
            .log
            .error("client disconnected: softiov has panicked over one of its messages, which is a bug");
        *self.refused.entry(containment::REASON).or_default() += 1;
        self.keep_refusals();
        let connection = self.connection.take();
        let _ = contain(|| connection.map(Connection::close));
        if self.vf.abandoned().is_err() {
            self.vf.log.error("it cannot be reset and passes no frames until softiov starts again");
        }
    }

    fn close_for(&mut self, closed: &Closed) -> Next {
        match closed {
            Closed::ByClient => {
                self.vf.log.info("client disconnected");
                self.disconnect();
            }
            why => self.close(why),
        }
        Next::Closed
    }

    /// Takes the VF away, and its VMM's socket.
    pub(super) fn withdraw(mut self) {
        self.hang_up();
        self.vf.withdraw();
    }

    fn disconnect(&mut self) {
        self.keep_refusals();
        self.hang_up();
        self.vf.disconnected();
        self.vf.note_client(false);
    }

    /// Ends the connection, if there is one.
    pub(super) fn hang_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }

    fn keep_refusals(&mut self) {
        for (reason, count) in self.refusals() {
            *self.refused.entry(reason).or_default() += count;
        }
    }

    /// What the present VMM asked in vain.
    fn refusals(&self) -> Vec<(&'static str, u64)> {
        let counters = self.connection.iter().flat_map(|connection| connection.session().counters().iter());
        counters.filter(|(_, count)| *count > 0).map(|(reason, count)| (reason.as_str(), count)).collect()
    }

    pub(super) fn wants(&self) -> Next {
        let Some(connection) = &self.connection else { return Next::Closed };
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, connection.wants_read());
        flags.set(EventFlags::OUT, connection.wants_write());
        Next::Wait(flags)
    }

    pub(super) fn view(&self) -> VfDeviceView {
        let control = self.vf.control();
        let by_device = control.rejections().iter().filter(|(_, count)| *count > 0);
        let mut by_server = self.refused.clone();
        for (reason, count) in self.refusals() {
            *by_server.entry(reason).or_default() += count;
        }
        let rejections = by_device.map(|(reason, count)| (reason.as_str().to_owned(), count));
        let by_server = by_server.into_iter().map(|(reason, count)| (format!("vfio_user_{reason}"), count));
        VfDeviceView {
            socket: self.listener.path().to_owned(),
            connected: self.connection.is_some(),
            driver_ready: control.is_receiving(),
            mapped_bytes: self.vf.mapped_bytes(),
            rejections: rejections.chain(by_server).map(Into::into).collect(),
        }
    }
}
