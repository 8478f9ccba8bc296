//! One front end of a synthetic adapter: what it says about memory and rings becomes the state of a virtio-net device.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use dataplane::{Attachment, Doorbell, Place};
use guest_memory::{DmaDomain, Limits, MapRequest};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use sys::{EventFd, SharedPages, Words};
use vhost_user::{
    Backend, FileRange, InflightShape, MemoryChange, Ring, RingEvent, RingPosition, SharedRegion,
};
use virtio_net::{
    AdapterState, DirtyLog, DirtyLogSlot, Features, Offer, Position, Profile, Queues, RingConfig,
};

use super::SyntheticSpec;
use super::calls::Calls;
use crate::daemon::peer_log::PeerLog;
use crate::daemon::vf::Surroundings;

/// MTU of an adapter for which none is configured: whatever the guest sends passes.
const ANY_MTU: u16 = u16::MAX;

/// Bytes of a log of written pages at most: that of 4 TiB of guest memory.
const MOST_LOG: usize = 128 << 20;

/// The device that one front end drives.
pub(super) struct FrontEnd {
    spec: SyntheticSpec,
    state: AdapterState,
    domain: Arc<DmaDomain>,
    log: DirtyLogSlot,
    calls: Arc<Calls>,
    kicks: Box<[Kick]>,
    around: Surroundings,
    /// The worker has its queues.
    attached: bool,
    /// What its rings need of the worker has changed.
    stale: bool,
    pub(super) messages: PeerLog,
}

/// How a ring's guest tells of new buffers.
#[derive(Debug, Default)]
enum Kick {
    #[default]
    Stopped,
    /// It does not: the ring has to be looked at.
    Polled,
    Event(Arc<EventFd>),
}

impl fmt::Debug for FrontEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontEnd")
            .field("spec", &self.spec)
            .field("attached", &self.attached)
            .finish_non_exhaustive()
    }
}

impl FrontEnd {
    pub(super) fn new(spec: &SyntheticSpec, state: AdapterState, around: &Surroundings, slots: u16) -> Self {
        let rings = state.ring_count();
        let limits = Limits { max_regions: slots.into(), max_bytes: around.share.bytes };
        Self {
            spec: spec.clone(),
            state,
            domain: Arc::new(DmaDomain::new(limits)),
            log: DirtyLogSlot::default(),
            calls: Calls::new(rings),
            kicks: (0..rings).map(|_| Kick::default()).collect(),
            around: around.clone(),
            attached: false,
            stale: false,
            messages: PeerLog::new(spec.name.clone()),
        }
    }

    /// State of a device that nobody has driven yet.
    pub(super) fn new_state(spec: &SyntheticSpec, link_up: bool) -> Result<AdapterState, sys::PagesError> {
        let mtu = spec.mtu.unwrap_or(ANY_MTU);
        let state =
            AdapterState::create(&format!("softiov-net{}", spec.nic), spec.queue_pairs, spec.mac, mtu)?;
        state.set_link_up(link_up);
        state.set_pairs(spec.queue_pairs);
        Ok(state)
    }

    pub(super) fn state(&self) -> &AdapterState {
        &self.state
    }

    /// True if frames can pass: a receive and a transmit ring run.
    pub(super) fn is_ready(&self) -> bool {
        let runs = |odd: usize| {
            let mut kicks = self.kicks.iter().skip(odd).step_by(2);
            kicks.any(|kick| !matches!(kick, Kick::Stopped))
        };
        runs(0) && runs(1)
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached
    }

    /// True once if the worker has to be told of something: a ring without doorbell came or went.
    pub(super) fn take_stale(&mut self) -> bool {
        std::mem::take(&mut self.stale)
    }

    fn place(&self) -> Place {
        Place::Nic(self.spec.nic)
    }

    /// Gives the queues to the worker, in the place of those that it may have.
    pub(super) fn attach(&mut self) {
        self.around.switchboard.publish_waiting();
        let notify: Arc<Calls> = Arc::clone(&self.calls);
        let queues = Queues::new(
            self.state.clone(),
            Arc::clone(&self.domain),
            notify,
            Arc::clone(&self.log),
            Profile::default(),
        );
        let polled = self.kicks.iter().any(|kick| matches!(kick, Kick::Polled));
        let attachment = Attachment {
            port: Box::new(queues),
            counters: Arc::clone(&self.spec.counters),
            doorbell: if polled { Doorbell::Memory } else { Doorbell::Readable },
        };
        self.around.dataplane.attach(self.place(), attachment);
        self.attached = true;
    }

    /// The worker has the queues of another front end, or none.
    pub(super) fn replaced(&mut self) {
        self.attached = false;
    }

    /// Takes the queues away from the worker.
    pub(super) fn detach(&mut self) {
        if std::mem::take(&mut self.attached) {
            self.around.dataplane.detach(self.place());
        }
    }

    pub(super) fn set_link(&self, up: bool) {
        self.state.set_link_up(up);
        self.around.dataplane.kick(self.place()).kick();
    }

    /// Memory of the guest has vanished from under a mapping.
    pub(super) fn has_faulted(&self) -> bool {
        self.domain.faulted()
    }

    pub(super) fn mapped_bytes(&self) -> u64 {
        self.domain.mapped_bytes()
    }

    /// Rings whose content made no sense, with what was wrong.
    pub(super) fn broken_rings(&self) -> Vec<(usize, String)> {
        let broken = |ring| Some((ring, self.state.broken(ring)?.to_string()));
        (0..self.state.ring_count()).filter_map(broken).collect()
    }

    fn quiesce(&self) {
        self.around.dataplane.quiesce();
    }

    fn map(&self, region: &SharedRegion) -> Result<(), Errno> {
        let SharedRegion { region, fd } = region;
        let request = MapRequest {
            iova: region.guest(),
            size: region.size(),
            offset: region.offset(),
            writable: true,
            readable: true,
            fd: fd.as_fd(),
        };
        self.domain.map(request).map_err(|error| {
            self.messages.warn(format_args!(
                "guest memory cannot be used: {error}; QEMU needs -object memory-backend-memfd,id=mem,size=...,share=on and -machine memory-backend=mem"
            ));
            Errno::INVAL
        })
    }

    fn unmap_all(&self) {
        let retired = self.domain.unmap_all();
        self.quiesce();
        drop(retired);
    }

    /// Hears the doorbell of a ring from now on.
    fn listen(&mut self, ring: usize, event: Option<Arc<EventFd>>) -> Result<(), Errno> {
        // Doorbells of receive rings say that there is room: a sender may wait for that.
        let polled = event.is_none();
        if let Some(event) = &event {
            self.around.dataplane.listen(self.place(), event).map_err(|_| Errno::NOSPC)?;
        }
        if let Some(kick) = self.kicks.get_mut(ring) {
            *kick = event.map_or(Kick::Polled, Kick::Event);
        }
        self.stale |= polled;
        Ok(())
    }

    fn ignore(&mut self, ring: usize) {
        let Some(kick) = self.kicks.get_mut(ring) else { return };
        match std::mem::take(kick) {
            Kick::Event(event) => self.around.dataplane.ignore(&*event),
            Kick::Polled => self.stale = true,
            Kick::Stopped => {}
        }
    }
}

impl Backend for FrontEnd {
    fn features(&self) -> u64 {
        // The front end serves the control queue itself.
        let offer = Offer { multiqueue: self.spec.queue_pairs > 1, control_queue: false };
        Features::offered(offer).bits()
    }

    fn set_features(&mut self, features: u64) {
        self.state.set_features(Features::from_bits_truncate(features));
    }

    fn change_memory(&mut self, change: MemoryChange<'_>) -> Result<(), Errno> {
        match change {
            MemoryChange::Replace(regions) => {
                self.unmap_all();
                let mapped = regions.iter().try_for_each(|region| self.map(region));
                mapped.inspect_err(|_| self.unmap_all())
            }
            MemoryChange::Add(region) => self.map(region),
            MemoryChange::Remove(region) => {
                let retired = self.domain.unmap(region.guest(), region.size()).map_err(|_| Errno::INVAL)?;
                self.quiesce();
                drop(retired);
                Ok(())
            }
        }
    }

    fn start(&mut self, index: u16, ring: Ring) -> Result<(), Errno> {
        let number = usize::from(index);
        let config = RingConfig {
            size: ring.size,
            descriptors: ring.descriptors,
            driver: ring.driver,
            device: ring.device,
        };
        self.calls.set_call(number, ring.call);
        self.calls.set_err(number, ring.err);
        self.state.enable_ring(number, ring.enabled);
        self.state.start_ring(number, config, position(ring.position)).map_err(|error| {
            self.messages.warn(format_args!("ring {number} cannot be served: {error}"));
            Errno::INVAL
        })?;
        self.listen(number, ring.kick).inspect_err(|_| self.state.stop_ring(number))?;
        if self.is_ready() && !self.attached {
            // Now, not when the messages behind this one are handled: the guest may be heard and spoken to.
            self.attach();
        }
        self.around.dataplane.kick(self.place()).kick();
        Ok(())
    }

    fn stop(&mut self, index: u16) -> RingPosition {
        let number = usize::from(index);
        self.state.stop_ring(number);
        self.quiesce();
        self.ignore(number);
        let at = self.state.position(number).unwrap_or_else(|| Position::initial(self.state.features()));
        if self.state.features().contains(Features::RING_PACKED) {
            RingPosition::Packed { index: at.available & 0x7fff, wrap: at.available & 0x8000 != 0 }
        } else {
            RingPosition::Split(at.available)
        }
    }

    fn set_enabled(&mut self, index: u16, enabled: bool) {
        self.state.enable_ring(index.into(), enabled);
        self.around.dataplane.kick(self.place()).kick();
    }

    fn set_event(&mut self, index: u16, event: RingEvent, fd: Option<Arc<EventFd>>) {
        let ring = usize::from(index);
        match event {
            RingEvent::Call => self.calls.set_call(ring, fd),
            RingEvent::Err => self.calls.set_err(ring, fd),
            RingEvent::Kick => {
                self.ignore(ring);
                if self.listen(ring, fd).is_err() {
                    // Slow, but it works.
                    let _ = self.listen(ring, None);
                }
            }
        }
    }

    fn set_device_log(&mut self, _index: u16, _address: Option<u64>) {
        // While there is a log, the device logs all that it writes, used rings too.
    }

    fn set_log(&mut self, log: Option<FileRange<'_>>) -> Result<(), Errno> {
        let made = log.map(|range| {
            let fd = range.fd.try_clone_to_owned().map_err(|_| Errno::NFILE)?;
            let length =
                usize::try_from(range.size).ok().filter(|bytes| *bytes <= MOST_LOG).ok_or(Errno::FBIG)?;
            let pages = SharedPages::open_part(fd, range.offset, length).map_err(|error| {
                self.messages.warn(format_args!("the log of written pages cannot be used: {error}"));
                Errno::INVAL
            })?;
            Ok(Arc::new(DirtyLog::new(Words::new(Arc::new(pages)))))
        });
        let made = made.transpose();
        self.log.store(made.as_ref().ok().cloned().flatten());
        self.quiesce();
        made.map(drop)
    }

    fn create_inflight(&mut self, shape: InflightShape) -> Result<OwnedFd, Errno> {
        let fd = rustix::fs::memfd_create("inflight", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&fd, shape.size())?;
        Ok(fd)
    }

    fn set_inflight(&mut self, _shape: InflightShape, _area: FileRange<'_>) -> Result<(), Errno> {
        // No buffer is ever in flight: a frame is copied and its buffer used in one go.
        Ok(())
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), Errno> {
        if mtu < 68 || self.spec.mtu.is_some_and(|most| mtu > most) {
            return Err(Errno::INVAL);
        }
        self.state.set_mtu(mtu);
        Ok(())
    }

    fn announce(&mut self, mac: [u8; 6]) -> Result<(), Errno> {
        if mac != self.spec.mac.0 {
            return Err(Errno::INVAL);
        }
        self.around.dataplane.send_as(self.place(), reverse_arp(mac));
        Ok(())
    }

    fn set_status(&mut self, _status: u8) {
        // Rings and features say all that the device needs to know.
    }

    fn reset(&mut self) {
        let (up, pairs) = (self.state.link_up(), self.spec.queue_pairs);
        self.state.reset();
        self.state.set_link_up(up);
        self.state.set_pairs(pairs);
        self.state.set_mtu(self.spec.mtu.unwrap_or(ANY_MTU));
    }
}

impl Drop for FrontEnd {
    fn drop(&mut self) {
        self.detach();
        for ring in 0..self.kicks.len() {
            self.ignore(ring);
        }
    }
}

fn position(at: RingPosition) -> Position {
    match at {
        // The used ring has its index in memory.
        RingPosition::Split(index) => Position { available: index, used: index },
        // Nothing is in flight.
        RingPosition::Packed { index, wrap } => {
            let bits = index & 0x7fff | u16::from(wrap) << 15;
            Position { available: bits, used: bits }
        }
    }
}

/// The broadcast by which switches learn where a guest has gone (RFC 903 format, as QEMU's own announcements).
fn reverse_arp(mac: [u8; 6]) -> Vec<u8> {
    const REVERSE_ARP: [u8; 2] = [0x80, 0x35];
    const ETHERNET_IPV4_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 3];
    let mut frame = Vec::with_capacity(60);
    frame.extend([0xff; 6]);
    frame.extend(mac);
    frame.extend(REVERSE_ARP);
    frame.extend(ETHERNET_IPV4_REQUEST);
    for _ in 0..2 {
        frame.extend(mac);
        frame.extend([0; 4]);
    }
    frame.resize(60, 0);
    frame
}
