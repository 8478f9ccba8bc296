//! Rings: set up in any order, served as soon as nothing is missing, and only as long.

use std::sync::Arc;

use sys::EventFd;

use super::state::{State, refused};
use crate::backend::{Backend, RingEvent, RingPosition};
use crate::protocol::features;
use crate::reason::{Counters, Reason};
use crate::vring::{Addresses, Kick, Vring, check_size};

impl State {
    /// The number of a ring that exists.
    pub(super) fn ring_index(&self, index: u32) -> Result<u16, Reason> {
        u16::try_from(index)
            .ok()
            .filter(|&index| usize::from(index) < self.rings.len())
            .ok_or(Reason::VringIndex)
    }

    pub(super) fn is_running(&self) -> bool {
        self.rings.iter().any(|ring| ring.running.is_some())
    }

    pub(super) fn set_ring_size(
        &mut self,
        index: u32,
        size: u32,
        backend: &mut dyn Backend,
    ) -> Result<(), Reason> {
        self.ring_index(index)?;
        check_size(size, self.features)?;
        if size > self.limits.ring_size() {
            return Err(Reason::VringSize);
        }
        let size = u16::try_from(size).map_err(|_| Reason::VringSize)?;
        self.change_ring(index, backend, |ring| ring.size = Some(size))
    }

    /// The addresses of a running ring stay; where its writes are logged may change, as it does when a migration
    /// begins or ends.
    pub(super) fn set_ring_addresses(
        &mut self,
        index: u32,
        addresses: Addresses,
        backend: &mut dyn Backend,
    ) -> Result<(), Reason> {
        let number = self.ring_index(index)?;
        if !self.memory.regions().is_empty() && !addresses.begin_in(&self.memory) {
            return Err(Reason::VringUnmapped);
        }
        let ring = &self.rings[usize::from(number)];
        if ring.running.is_none() || !ring.is_at(&addresses) {
            return self.change_ring(index, backend, |ring| ring.addresses = Some(addresses));
        }
        let changed = Vring { addresses: Some(addresses), ..ring.clone() };
        changed.ready(self.conditions())?;
        if changed.device_log() != ring.device_log() {
            backend.set_device_log(number, changed.device_log());
        }
        self.rings[usize::from(number)] = changed;
        Ok(())
    }

    /// Changes what a ring that does not run is made of. If that makes it whole, it starts; if it makes it impossible,
    /// nothing has changed.
    pub(super) fn change_ring(
        &mut self,
        index: u32,
        backend: &mut dyn Backend,
        change: impl FnOnce(&mut Vring),
    ) -> Result<(), Reason> {
        let number = self.ring_index(index)?;
        let ring = &mut self.rings[usize::from(number)];
        if ring.running.is_some() {
            return Err(Reason::VringRunning);
        }
        let before = ring.clone();
        change(ring);
        self.start(number, backend).inspect_err(|_| self.rings[usize::from(number)] = before)
    }

    /// A kick eventfd, or word that the ring is to be polled, starts the ring. The protocol has it start with the first
    /// signal. Front ends send the eventfd when the driver is ready, and a driver that has just migrated, or whose back
    /// end has restarted, need not signal what it did before: so the ring starts here, as in other back ends.
    pub(super) fn kick_ring(
        &mut self,
        index: u32,
        kick: Kick,
        backend: &mut dyn Backend,
    ) -> Result<(), Reason> {
        let number = self.ring_index(index)?;
        let ring = &mut self.rings[usize::from(number)];
        if ring.running.is_none() {
            return self.change_ring(index, backend, |ring| ring.kick = kick);
        }
        ring.kick = kick;
        backend.set_event(number, RingEvent::Kick, ring.kick.event().map(Arc::clone));
        Ok(())
    }

    /// Exchanges the call or error event of a ring, running or not.
    pub(super) fn set_ring_event(
        &mut self,
        index: u32,
        which: RingEvent,
        place: impl FnOnce(&mut Vring) -> &mut Option<Arc<EventFd>>,
        event: Option<EventFd>,
        backend: &mut dyn Backend,
    ) -> Result<(), Reason> {
        let number = self.ring_index(index)?;
        let event = event.map(Arc::new);
        let ring = &mut self.rings[usize::from(number)];
        if ring.running.is_some() {
            backend.set_event(number, which, event.as_ref().map(Arc::clone));
        }
        *place(ring) = event;
        Ok(())
    }

    /// QEMU enables the first pair before it has sent features, so this is taken at any time.
    pub(super) fn enable_ring(
        &mut self,
        index: u32,
        enabled: bool,
        backend: &mut dyn Backend,
    ) -> Result<(), Reason> {
        let number = self.ring_index(index)?;
        self.switch_ring(number, enabled, backend);
        Ok(())
    }

    pub(super) fn disable_rings(&mut self, backend: &mut dyn Backend) {
        for number in self.numbers() {
            self.switch_ring(number, false, backend);
        }
    }

    fn switch_ring(&mut self, number: u16, enabled: bool, backend: &mut dyn Backend) {
        let features = self.features.unwrap_or(0);
        let ring = &mut self.rings[usize::from(number)];
        let before = ring.is_enabled(features);
        ring.enabled = enabled;
        let after = ring.is_enabled(features);
        if ring.running.is_some() && before != after {
            backend.set_enabled(number, after);
        }
    }

    /// Stops a ring for the front end, until it kicks it again. Returns where the ring stands.
    pub(super) fn halt(&mut self, number: u16, backend: &mut dyn Backend) -> u32 {
        self.pause(number, backend);
        let packed = self.features.is_some_and(|features| features & features::RING_PACKED != 0);
        let ring = &mut self.rings[usize::from(number)];
        ring.kick = Kick::Stopped;
        let first =
            if packed { RingPosition::Packed { index: 0, wrap: true } } else { RingPosition::Split(0) };
        ring.base.unwrap_or_else(|| first.to_wire())
    }

    pub(super) fn halt_all(&mut self, backend: &mut dyn Backend) {
        for number in self.numbers() {
            self.halt(number, backend);
        }
    }

    pub(crate) fn pause_all(&mut self, backend: &mut dyn Backend) {
        for number in self.numbers() {
            self.pause(number, backend);
        }
    }

    /// Pauses the rings that have lost their memory or their log, or found them elsewhere.
    pub(super) fn stop_unfit(&mut self, backend: &mut dyn Backend) {
        for number in self.numbers() {
            let ring = &self.rings[usize::from(number)];
            let Some(running) = ring.running else { continue };
            let ready = ring.ready(self.conditions());
            if !ready.is_ok_and(|ring| {
                ring.is_some_and(|ring| [ring.descriptors, ring.driver, ring.device] == running)
            }) {
                self.pause(number, backend);
            }
        }
    }

    /// Starts the rings for which nothing is missing. What is wrong with one is not the fault of the message at hand,
    /// so it is counted, and the ring waits.
    pub(super) fn start_fit(&mut self, backend: &mut dyn Backend, counters: &mut Counters) {
        for number in self.numbers() {
            if let Err(reason) = self.start(number, backend) {
                counters.count(reason);
            }
        }
    }

    fn start(&mut self, number: u16, backend: &mut dyn Backend) -> Result<(), Reason> {
        let ring = &self.rings[usize::from(number)];
        if ring.running.is_some() {
            return Ok(());
        }
        let Some(ready) = ring.ready(self.conditions())? else { return Ok(()) };
        let running = [ready.descriptors, ready.driver, ready.device];
        backend.start(number, ready).map_err(refused)?;
        self.rings[usize::from(number)].running = Some(running);
        Ok(())
    }

    fn pause(&mut self, number: u16, backend: &mut dyn Backend) {
        let ring = &mut self.rings[usize::from(number)];
        if ring.running.take().is_some() {
            ring.base = Some(backend.stop(number).to_wire());
        }
    }

    fn numbers(&self) -> std::ops::Range<u16> {
        0..self.limits.rings()
    }
}
