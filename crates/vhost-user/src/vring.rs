//! One ring: what the front end has said of it, and what follows from that.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sys::EventFd;

use crate::backend::{Ring, RingPosition};
use crate::memory::{Table, log_bytes};
use crate::protocol::{self, VRING_LOG, features};
use crate::reason::Reason;

/// Addresses as SET_VRING_ADDR has them: the front end's own, but for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    descriptors: u64,
    driver: u64,
    device: u64,
    log: Option<u64>,
}

impl Addresses {
    pub(crate) fn from_wire(wire: &protocol::VringAddr) -> Result<Self, Reason> {
        let flags = wire.flags.get();
        if flags & !VRING_LOG != 0 {
            return Err(Reason::VringFlags);
        }
        let addresses = Self {
            descriptors: wire.descriptors.get(),
            driver: wire.available.get(),
            device: wire.used.get(),
            log: (flags & VRING_LOG != 0).then(|| wire.log.get()),
        };
        // What split and packed rings have in common; the rest is judged when it is known which it is.
        if addresses.parts().iter().zip([16, 2, 4]).any(|(start, alignment)| start % alignment != 0) {
            return Err(Reason::VringAddress);
        }
        Ok(addresses)
    }

    /// Whether each part begins in guest memory.
    pub(crate) fn begin_in(&self, memory: &Table) -> bool {
        self.parts().iter().all(|&start| memory.translate(start, 1).is_some())
    }

    fn parts(&self) -> [u64; 3] {
        [self.descriptors, self.driver, self.device]
    }
}

/// What SET_VRING_KICK has said since the ring was stopped last.
#[derive(Clone, Debug, Default)]
pub(crate) enum Kick {
    /// Nothing: the ring is stopped.
    #[default]
    Stopped,
    /// The ring is to be polled.
    Poll,
    /// The front end signals this.
    Event(Arc<EventFd>),
}

impl Kick {
    pub(crate) fn event(&self) -> Option<&Arc<EventFd>> {
        match self {
            Self::Event(event) => Some(event),
            Self::Stopped | Self::Poll => None,
        }
    }
}

/// What of the session matters to all rings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions<'a> {
    /// Features of the driver; none before SET_FEATURES.
    pub(crate) features: Option<u64>,
    pub(crate) memory: &'a Table,
    pub(crate) log: LogState,
}

/// Whether writes are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogState {
    Off,
    /// They should be, but there is no log: nothing may be written.
    Missing,
    /// In a log of this many bytes.
    On(u64),
}

/// A ring of the session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vring {
    pub(crate) size: Option<u16>,
    pub(crate) addresses: Option<Addresses>,
    /// Where it goes on, as SET_VRING_BASE has it: how to read it depends on features that may come later.
    pub(crate) base: Option<u32>,
    pub(crate) kick: Kick,
    pub(crate) call: Option<Arc<EventFd>>,
    pub(crate) err: Option<Arc<EventFd>>,
    /// What SET_VRING_ENABLE has said last.
    pub(crate) enabled: bool,
    /// Guest addresses of the parts while the device serves the ring.
    pub(crate) running: Option<[u64; 3]>,
}

impl Vring {
    /// Whether frames pass: without protocol features, rings have no switch (protocol, "Ring states").
    pub(crate) fn is_enabled(&self, features: u64) -> bool {
        self.enabled || features & features::PROTOCOL_FEATURES == 0
    }

    /// The ring as the device is to serve it; none while something is missing. What belongs together is judged only
    /// once the ring has been kicked: until then the front end may replace it piece by piece, in any order.
    pub(crate) fn ready(&self, conditions: Conditions<'_>) -> Result<Option<Ring>, Reason> {
        let (Some(features), Some(size), Some(addresses)) = (conditions.features, self.size, self.addresses)
        else {
            return Ok(None);
        };
        let waits = conditions.memory.regions().is_empty() || conditions.log == LogState::Missing;
        if waits || matches!(self.kick, Kick::Stopped) {
            return Ok(None);
        }
        check_size(size.into(), Some(features))?;
        let layout = layout(size, features);
        check_addresses(&addresses, layout)?;
        let mut guest = [0; 3];
        for ((guest, user), (bytes, _)) in guest.iter_mut().zip(addresses.parts()).zip(layout) {
            *guest = conditions.memory.translate(user, bytes).ok_or(Reason::VringUnmapped)?;
        }
        let position = self.position(size, features)?;
        if let LogState::On(bytes) = conditions.log {
            let device_log = match addresses.log {
                Some(log) => log_bytes(log.checked_add(layout[2].0 - 1).ok_or(Reason::LogSize)?),
                None => 0,
            };
            if device_log.max(conditions.memory.log_size()) > bytes {
                return Err(Reason::LogSize);
            }
        }
        let [descriptors, driver, device] = guest;
        Ok(Some(Ring {
            size,
            descriptors,
            driver,
            device,
            position,
            enabled: self.is_enabled(features),
            kick: self.kick.event().map(Arc::clone),
            call: self.call.as_ref().map(Arc::clone),
            err: self.err.as_ref().map(Arc::clone),
            device_log: addresses.log,
        }))
    }

    /// Where writes to the device area are logged.
    pub(crate) fn device_log(&self) -> Option<u64> {
        self.addresses.and_then(|addresses| addresses.log)
    }

    /// True if `addresses` differ from those known in nothing but the log.
    pub(crate) fn is_at(&self, addresses: &Addresses) -> bool {
        self.addresses.is_some_and(|known| known.parts() == addresses.parts())
    }

    /// A packed ring's used half is not looked at: nothing is in flight, so it can only be the same, and some front
    /// ends leave it 0.
    fn position(&self, size: u16, features: u64) -> Result<RingPosition, Reason> {
        let packed = features & features::RING_PACKED != 0;
        let Some(base) = self.base else {
            return Ok(if packed {
                RingPosition::Packed { index: 0, wrap: true }
            } else {
                RingPosition::Split(0)
            });
        };
        if !packed {
            return u16::try_from(base).map(RingPosition::Split).map_err(|_| Reason::VringBase);
        }
        let index = u16::try_from(base & 0x7fff).expect("15 bits fit in 16");
        if index >= size {
            return Err(Reason::VringBase);
        }
        Ok(RingPosition::Packed { index, wrap: base & 0x8000 != 0 })
    }
}

/// Whether a ring can have this size. Before SET_FEATURES it may still become a packed ring, which can have any.
pub(crate) fn check_size(size: u32, features: Option<u64>) -> Result<(), Reason> {
    let split = features.is_some_and(|features| features & features::RING_PACKED == 0);
    if size == 0 || split && !size.is_power_of_two() {
        return Err(Reason::VringSize);
    }
    Ok(())
}

/// Bytes and alignment of descriptors, driver area and device area (virtio, "Virtqueues").
fn layout(size: u16, features: u64) -> [(u64, u64); 3] {
    let size = u64::from(size);
    if features & features::RING_PACKED != 0 {
        return [(16 * size, 16), (4, 4), (4, 4)];
    }
    let event = if features & features::EVENT_IDX != 0 { 2 } else { 0 };
    [(16 * size, 16), (4 + 2 * size + event, 2), (4 + 8 * size + event, 4)]
}

fn check_addresses(addresses: &Addresses, layout: [(u64, u64); 3]) -> Result<(), Reason> {
    let mut parts = [(0, 0); 3];
    for ((part, start), (bytes, alignment)) in parts.iter_mut().zip(addresses.parts()).zip(layout) {
        let end = start.checked_add(bytes).filter(|_| start.is_multiple_of(alignment));
        *part = (start, end.ok_or(Reason::VringAddress)?);
    }
    parts.sort_unstable();
    if parts.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(Reason::VringOverlap);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
