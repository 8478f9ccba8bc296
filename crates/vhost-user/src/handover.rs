//! A connection in a form that outlives the process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::EventFd;

use crate::backend::{Backend, Limits};
use crate::decoder::{Decoder, Fds};
use crate::inflight::InflightShape;
use crate::memory::{MemoryRegion, SharedRegion, Table};
use crate::protocol::MAX_MSG_FDS;
use crate::request::{LogFile, is_file_range};
use crate::session::Session;
use crate::session::state::{InflightArea, State, offered};
use crate::vring::{Addresses, Kick, Vring};

/// What a successor must know to go on in the middle of the stream, file descriptors apart. Counters start anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    pub(crate) limits: Limits,
    pub(crate) features: Option<u64>,
    pub(crate) protocol_features: u64,
    pub(crate) status: u8,
    pub(crate) mtu: Option<u16>,
    pub(crate) memory: Vec<MemoryRegion>,
    pub(crate) rings: Vec<RingState>,
    pub(crate) log: Option<LogArea>,
    pub(crate) inflight: Option<InflightState>,
    /// The first bytes of a message that is not complete yet.
    pub(crate) input: Vec<u8>,
    /// Descriptors that came with them.
    pub(crate) input_fds: usize,
    /// More came than a message may have.
    pub(crate) surplus_fds: bool,
    /// What waits for the front end.
    pub(crate) output: Vec<OutputState>,
}

/// One ring; flags where there is a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RingState {
    pub(crate) size: Option<u16>,
    pub(crate) addresses: Option<Addresses>,
    pub(crate) base: Option<u32>,
    pub(crate) kicked: bool,
    pub(crate) kick: bool,
    pub(crate) call: bool,
    pub(crate) err: bool,
    pub(crate) enabled: bool,
}

/// A part of the log file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogArea {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// A part of the inflight file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InflightState {
    pub(crate) shape: InflightShape,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// A reply, or the rest of one, that waits for the front end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutputState {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fd: bool,
}

/// Saved state that no session can have had, descriptors that do not belong to it, or a device that does not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Descriptors are missing or left over.
    #[error("the saved session goes with {expected} file descriptors, but {found} came")]
    FdCount {
        /// Descriptors that the state speaks of.
        expected: usize,
        /// Descriptors given.
        found: usize,
    },
    /// The unread bytes are a whole message or more, have an impossible header, or are none and yet have descriptors.
    #[error("the {length} unread bytes of the saved session are not the beginning of one message")]
    Input {
        /// Their number.
        length: usize,
    },
    /// Regions overlap.
    #[error("the saved session has memory regions that overlap")]
    Memory,
    /// Rings are missing, left over, or too large.
    #[error("the saved session has rings that its limits do not allow")]
    Rings,
    /// A descriptor stands where an eventfd should be.
    #[error("a file descriptor of the saved session should be an eventfd and is not")]
    NotAnEventFd,
    /// The log or the inflight area is impossible.
    #[error("the saved session has a log or an inflight area that no file can hold or no session can have")]
    Area,
    /// The device does not offer what the driver uses.
    #[error("the saved session uses features {missing:#x}, which the device does not offer")]
    Features {
        /// The bits.
        missing: u64,
    },
    /// A waiting reply is empty or too long, or there are too many.
    #[error("the saved session has replies waiting that no session can have")]
    Output,
    /// The device refused memory, log, inflight area or MTU.
    #[error("the device does not take what the saved session has")]
    Backend(#[source] Errno),
}

impl SessionState {
    /// Takes a session and its decoder apart. The rings pause, so that their positions are final.
    ///
    /// The descriptors are those of the unread message, then of the memory regions, the rings (kick, call, error of
    /// each), the log, the inflight area and the waiting replies.
    pub(crate) fn save(
        session: Session,
        mut decoder: Decoder,
        backend: &mut dyn Backend,
    ) -> io::Result<(Self, Vec<OwnedFd>)> {
        let (mut state, mut output) = session.into_parts();
        state.pause_all(backend);
        let input = decoder.unread().to_vec();
        let (input_fds, surplus_fds) = decoder.take_fds();
        let mut saved = Self {
            limits: state.limits,
            features: state.features,
            protocol_features: state.protocol_features,
            status: state.status,
            mtu: state.mtu,
            memory: state.memory.regions().iter().map(|shared| shared.region).collect(),
            rings: Vec::with_capacity(state.rings.len()),
            log: state.log.as_ref().map(|log| LogArea { offset: log.offset, size: log.size }),
            inflight: state.inflight.as_ref().map(|area| {
                let InflightArea { shape, offset, size, .. } = *area;
                InflightState { shape, offset, size }
            }),
            input,
            input_fds: input_fds.len(),
            surplus_fds,
            output: Vec::new(),
        };
        let mut fds: Vec<OwnedFd> = input_fds.into_iter().collect();
        fds.extend(state.memory.into_regions().into_iter().map(|shared| shared.fd));
        for ring in &state.rings {
            let events = [ring.kick.event(), ring.call.as_ref(), ring.err.as_ref()];
            saved.rings.push(RingState {
                size: ring.size,
                addresses: ring.addresses,
                base: ring.base,
                kicked: !matches!(ring.kick, Kick::Stopped),
                kick: events[0].is_some(),
                call: events[1].is_some(),
                err: events[2].is_some(),
                enabled: ring.enabled,
            });
            for event in events.into_iter().flatten() {
                fds.push(event.as_fd().try_clone_to_owned()?);
            }
        }
        fds.extend(state.log.map(|log| log.fd));
        fds.extend(state.inflight.map(|area| area.fd));
        for (bytes, fd) in output.take_frames() {
            saved.output.push(OutputState { bytes, fd: fd.is_some() });
            fds.extend(fd);
        }
        Ok((saved, fds))
    }

    /// Descriptors that go with the state.
    fn fd_count(&self) -> usize {
        let rings = self.rings.iter().flat_map(|ring| [ring.kick, ring.call, ring.err]);
        let areas = [self.log.is_some(), self.inflight.is_some()];
        let replies = self.output.iter().map(|reply| reply.fd);
        let flags = rings.chain(areas).chain(replies).filter(|&flag| flag).count();
        self.input_fds.saturating_add(self.memory.len()).saturating_add(flags)
    }

    /// Puts session and decoder together again, and tells the device what the front end has said.
    pub(crate) fn restore(
        self,
        fds: Vec<OwnedFd>,
        backend: &mut dyn Backend,
    ) -> Result<(Session, Decoder), RestoreError> {
        let (expected, found) = (self.fd_count(), fds.len());
        if expected != found || self.input_fds > MAX_MSG_FDS {
            return Err(RestoreError::FdCount { expected, found });
        }
        let missing = self.features.unwrap_or(0) & !offered(backend);
        if missing != 0 {
            return Err(RestoreError::Features { missing });
        }
        let mut fds = fds.into_iter();
        let input_fds: Fds = fds.by_ref().take(self.input_fds).collect();
        let decoder = Decoder::restore(&self.input, input_fds, self.surplus_fds)
            .ok_or(RestoreError::Input { length: self.input.len() })?;

        let mut state = State::new(self.limits);
        state.features = self.features;
        state.protocol_features = self.protocol_features;
        state.status = self.status;
        state.mtu = self.mtu;
        let regions = self.memory.into_iter().zip(fds.by_ref());
        state.memory = Table::new(regions.map(|(region, fd)| SharedRegion { region, fd }))
            .map_err(|_| RestoreError::Memory)?;
        if self.rings.len() != state.rings.len() {
            return Err(RestoreError::Rings);
        }
        for (ring, saved) in state.rings.iter_mut().zip(self.rings) {
            if saved.size.is_some_and(|size| u32::from(size) > self.limits.ring_size()) {
                return Err(RestoreError::Rings);
            }
            let kick = next_event(saved.kick, &mut fds)?;
            *ring = Vring {
                size: saved.size,
                addresses: saved.addresses,
                base: saved.base,
                kick: match (saved.kicked, kick) {
                    (_, Some(event)) => Kick::Event(event),
                    (true, None) => Kick::Poll,
                    (false, None) => Kick::Stopped,
                },
                call: next_event(saved.call, &mut fds)?,
                err: next_event(saved.err, &mut fds)?,
                enabled: saved.enabled,
                running: None,
            };
        }
        if let Some(LogArea { offset, size }) = self.log {
            if !is_file_range(offset, size) {
                return Err(RestoreError::Area);
            }
            state.log = fds.next().map(|fd| LogFile { fd, offset, size });
        }
        if let Some(InflightState { shape, offset, size }) = self.inflight {
            if !is_file_range(offset, size) || !state.can_have(shape) || size < shape.size() {
                return Err(RestoreError::Area);
            }
            state.inflight = fds.next().map(|fd| InflightArea { shape, fd, offset, size });
        }
        let mut session = Session::from_state(state);
        for reply in self.output {
            let fd = if reply.fd { fds.next() } else { None };
            if !session.output_mut().push_rest(&reply.bytes, fd) {
                return Err(RestoreError::Output);
            }
        }
        let (state, counters) = session.state_mut();
        state.replay(backend, counters).map_err(RestoreError::Backend)?;
        Ok((session, decoder))
    }
}

/// The next descriptor as an eventfd, if the state says that there is one.
fn next_event(
    expected: bool,
    fds: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Option<Arc<EventFd>>, RestoreError> {
    let fd = if expected { fds.next() } else { None };
    let event = fd.map(EventFd::from_peer).transpose().map_err(|_| RestoreError::NotAnEventFd)?;
    Ok(event.map(Arc::new))
}
