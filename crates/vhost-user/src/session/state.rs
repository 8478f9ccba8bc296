//! What the front end has said, and the dispatch of its requests.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::answer::Answer;
use crate::backend::{Backend, FileRange, Limits, MemoryChange, RingEvent};
use crate::inflight::InflightShape;
use crate::memory::Table;
use crate::protocol::{self, features, protocol_features};
use crate::reason::{Counters, Reason};
use crate::request::{InflightRequest, LogFile, Request, is_file_range};
use crate::vring::{Conditions, Kick, LogState, Vring};

/// Bit of the device status: the driver's features are accepted (virtio, "Device Status Field").
const STATUS_FEATURES_OK: u8 = 8;

/// The memory of a session.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) limits: Limits,
    /// Those of the protocol included; none before SET_FEATURES.
    pub(crate) features: Option<u64>,
    pub(crate) protocol_features: u64,
    pub(crate) status: u8,
    pub(crate) mtu: Option<u16>,
    pub(crate) memory: Table,
    pub(crate) rings: Vec<Vring>,
    /// Written only while the features have LOG_ALL.
    pub(crate) log: Option<LogFile>,
    pub(crate) inflight: Option<InflightArea>,
}

/// Where buffers in flight are recorded.
#[derive(Debug)]
pub(crate) struct InflightArea {
    pub(crate) shape: InflightShape,
    pub(crate) fd: OwnedFd,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl InflightArea {
    fn range(&self) -> FileRange<'_> {
        FileRange { fd: self.fd.as_fd(), offset: self.offset, size: self.size }
    }
}

impl State {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            features: None,
            protocol_features: 0,
            status: 0,
            mtu: None,
            memory: Table::default(),
            rings: vec![Vring::default(); limits.rings().into()],
            log: None,
            inflight: None,
        }
    }

    /// Carries out a request.
    pub(super) fn execute(
        &mut self,
        request: Request,
        backend: &mut dyn Backend,
        counters: &mut Counters,
    ) -> Result<Answer, Reason> {
        match request {
            Request::GetFeatures => return Ok(Answer::Number(offered(backend))),
            Request::GetProtocolFeatures => return Ok(Answer::Number(protocol_features::OFFERED)),
            Request::GetMaxMemSlots => return Ok(Answer::Number(self.limits.memory_slots.into())),
            Request::GetQueueNum => return Ok(Answer::Number(u64::from(self.limits.rings() / 2))),
            Request::GetStatus => return Ok(Answer::Number(self.status.into())),
            Request::GetVringBase { index } => {
                let ring = self.ring_index(index)?;
                let num = self.halt(ring, backend).into();
                return Ok(Answer::Vring(protocol::VringState { index: index.into(), num }));
            }
            Request::SetLogBase(file) => return self.set_log_base(file, backend, counters),
            Request::GetInflightFd(request) => return self.get_inflight(request, backend),
            // The session has begun with the connection. That the log was changed need not be told.
            Request::SetOwner | Request::SetLogFd => {}
            Request::ResetOwner => self.disable_rings(backend),
            Request::ResetDevice => self.reset(backend),
            Request::SetFeatures(features) => self.set_features(features, backend, counters)?,
            Request::SetProtocolFeatures(features) => self.set_protocol_features(features)?,
            Request::SetMemTable(regions) => self.set_mem_table(regions, backend, counters)?,
            Request::AddMemReg(region) => self.add_region(region, backend, counters)?,
            Request::RemMemReg(name) => self.remove_region(&name, backend, counters)?,
            Request::SetVringNum { index, size } => self.set_ring_size(index, size, backend)?,
            Request::SetVringAddr { index, addresses } => {
                self.set_ring_addresses(index, addresses, backend)?;
            }
            Request::SetVringBase { index, base } => {
                self.change_ring(index, backend, |ring| ring.base = Some(base))?;
            }
            Request::SetVringEnable { index, enabled } => self.enable_ring(index, enabled, backend)?,
            Request::SetVringKick { index, event } => {
                let kick = event.map_or(Kick::Poll, |event| Kick::Event(Arc::new(event)));
                self.kick_ring(index, kick, backend)?;
            }
            Request::SetVringCall { index, event } => {
                self.set_ring_event(index, RingEvent::Call, |ring| &mut ring.call, event, backend)?;
            }
            Request::SetVringErr { index, event } => {
                self.set_ring_event(index, RingEvent::Err, |ring| &mut ring.err, event, backend)?;
            }
            Request::SetInflightFd(request, fd) => self.set_inflight(request, fd, backend)?,
            Request::NetSetMtu(mtu) => {
                backend.set_mtu(mtu).map_err(refused)?;
                self.mtu = Some(mtu);
            }
            Request::SendRarp(mac) => backend.announce(mac).map_err(refused)?,
            Request::SetStatus(status) => self.set_status(status, backend),
        }
        Ok(Answer::Done)
    }

    /// Whether writes are to be logged, and can be.
    pub(super) fn log_state(&self) -> LogState {
        match (self.wants_log(), &self.log) {
            (false, _) => LogState::Off,
            (true, None) => LogState::Missing,
            (true, Some(log)) => LogState::On(log.size),
        }
    }

    pub(super) fn wants_log(&self) -> bool {
        self.features.is_some_and(|features| features & features::LOG_ALL != 0)
    }

    pub(super) fn conditions(&self) -> Conditions<'_> {
        Conditions { features: self.features, memory: &self.memory, log: self.log_state() }
    }

    /// Features may be sent again at any time, but only LOG_ALL may change while a ring runs: that is how a migration
    /// begins and ends.
    fn set_features(
        &mut self,
        new: u64,
        backend: &mut dyn Backend,
        counters: &mut Counters,
    ) -> Result<(), Reason> {
        if new & !offered(backend) != 0 {
            return Err(Reason::FeatureNotOffered);
        }
        let changed = self.features.map_or(u64::MAX, |old| old ^ new);
        if changed & !features::LOG_ALL != 0 && self.is_running() {
            return Err(Reason::FeaturesLocked);
        }
        let (before, logged) = (self.features, self.wants_log());
        self.features = Some(new);
        self.stop_unfit(backend);
        if self.wants_log() != logged
            && let Err(reason) = self.switch_log(backend)
        {
            self.features = before;
            self.start_fit(backend, counters);
            return Err(reason);
        }
        if changed & !features::LOG_ALL != 0 {
            backend.set_features(for_device(new));
        }
        self.start_fit(backend, counters);
        Ok(())
    }

    /// QEMU sends them once for each queue pair.
    fn set_protocol_features(&mut self, new: u64) -> Result<(), Reason> {
        if new & !protocol_features::OFFERED != 0 {
            return Err(Reason::FeatureNotOffered);
        }
        if new != self.protocol_features && self.is_running() {
            return Err(Reason::FeaturesLocked);
        }
        self.protocol_features = new;
        Ok(())
    }

    fn set_status(&mut self, status: u8, backend: &mut dyn Backend) {
        // A driver learns that its features were refused by the bit that does not stay.
        let accepted = if self.features.is_some() { u8::MAX } else { !STATUS_FEATURES_OK };
        self.status = status & accepted;
        if status == 0 {
            self.halt_all(backend);
        }
        backend.set_status(self.status);
    }

    fn reset(&mut self, backend: &mut dyn Backend) {
        self.halt_all(backend);
        if self.log.take().is_some() && self.wants_log() {
            self.end_log(backend);
        }
        self.rings.fill(Vring::default());
        self.features = None;
        self.status = 0;
        self.mtu = None;
        self.inflight = None;
        backend.reset();
    }

    /// The end of the session.
    pub(super) fn close(&mut self, backend: &mut dyn Backend) {
        self.reset(backend);
        self.memory = Table::default();
        // Taking everything back cannot fail.
        let _ = backend.change_memory(MemoryChange::Replace(&[]));
    }

    fn get_inflight(
        &mut self,
        request: InflightRequest,
        backend: &mut dyn Backend,
    ) -> Result<Answer, Reason> {
        let shape = self.inflight_shape(&request)?;
        let fd = backend.create_inflight(shape).map_err(refused)?;
        let area = protocol::Inflight { size: shape.size().into(), offset: 0.into(), ..request.wire };
        Ok(Answer::Inflight { area, payload: request.payload, fd })
    }

    fn set_inflight(
        &mut self,
        request: InflightRequest,
        fd: OwnedFd,
        backend: &mut dyn Backend,
    ) -> Result<(), Reason> {
        let shape = self.inflight_shape(&request)?;
        let (offset, size) = (request.wire.offset.get(), request.wire.size.get());
        if !is_file_range(offset, size) || size < shape.size() {
            return Err(Reason::InflightRange);
        }
        let area = InflightArea { shape, fd, offset, size };
        backend.set_inflight(shape, area.range()).map_err(refused)?;
        self.inflight = Some(area);
        Ok(())
    }

    fn inflight_shape(&self, request: &InflightRequest) -> Result<InflightShape, Reason> {
        let (queues, queue_size) = (request.wire.queues.get(), request.wire.queue_size.get());
        let packed = self.features.is_some_and(|features| features & features::RING_PACKED != 0);
        let shape = InflightShape { queues, queue_size, packed };
        if self.can_have(shape) { Ok(shape) } else { Err(Reason::InflightShape) }
    }

    /// Whether there are so many rings, and so large ones.
    pub(crate) fn can_have(&self, shape: InflightShape) -> bool {
        (1..=self.limits.rings()).contains(&shape.queues)
            && (1..=self.limits.ring_size()).contains(&shape.queue_size.into())
    }

    /// Tells a device that knows nothing yet all that the front end has said.
    pub(crate) fn replay(&mut self, backend: &mut dyn Backend, counters: &mut Counters) -> Result<(), Errno> {
        if let Some(features) = self.features {
            backend.set_features(for_device(features));
        }
        backend.change_memory(MemoryChange::Replace(self.memory.regions()))?;
        if let Some(log) = self.log.as_ref().filter(|_| self.wants_log()) {
            backend.set_log(Some(log.range()))?;
        }
        if let Some(area) = &self.inflight {
            backend.set_inflight(area.shape, area.range())?;
        }
        if let Some(mtu) = self.mtu {
            backend.set_mtu(mtu)?;
        }
        backend.set_status(self.status);
        self.start_fit(backend, counters);
        Ok(())
    }
}

/// What GET_FEATURES says. Addresses that the front end would have to translate are not supported.
pub(crate) fn offered(backend: &dyn Backend) -> u64 {
    let device = backend.features() & !features::ACCESS_PLATFORM;
    device | features::LOG_ALL | features::PROTOCOL_FEATURES
}

/// The features without those of the protocol.
fn for_device(features: u64) -> u64 {
    features & !(features::LOG_ALL | features::PROTOCOL_FEATURES)
}

/// The device's errno says nothing to the front end; it is counted.
pub(super) fn refused(_: Errno) -> Reason {
    Reason::Backend
}
