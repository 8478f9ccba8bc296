//! Statistics of a port: what it sent, what it received, and why frames were lost.

use std::sync::atomic::{AtomicU64, Ordering};

use nic_switch::DropReason;
use port::{Malformed, Refusal};

/// A counter that one worker writes and anyone reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// There is one writer, so that no atomic addition is needed.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Frames of one direction, as counters.
#[derive(Debug, Default)]
pub struct TrafficCounters {
    frames: Counter,
    octets: Counter,
    multicast: Counter,
    broadcast: Counter,
}

/// Frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames; one that is segmented on its way counts once.
    pub frames: u64,
    /// Octets, without VLAN tag and frame check sequence.
    pub octets: u64,
    /// Of the frames, those to a multicast address.
    pub multicast: u64,
    /// Of the frames, those to the broadcast address.
    pub broadcast: u64,
}

impl TrafficCounters {
    #[inline]
    pub(crate) fn count(&self, frame: &port::Frame<'_>) {
        self.frames.add(1);
        self.octets.add(frame.len() as u64);
        let destination = frame.destination();
        if destination.is_multicast() {
            if destination.is_broadcast() { self.broadcast.add(1) } else { self.multicast.add(1) }
        }
    }

    fn read(&self) -> Traffic {
        Traffic {
            frames: self.frames.get(),
            octets: self.octets.get(),
            multicast: self.multicast.get(),
            broadcast: self.broadcast.get(),
        }
    }
}

/// The counters of one port. "Sent" and "received" are meant from the guest's side.
#[derive(Debug)]
pub struct PortCounters {
    pub(crate) sent: TrafficCounters,
    pub(crate) received: TrafficCounters,
    pub(crate) malformed: [Counter; Malformed::ALL.len()],
    pub(crate) dropped: [Counter; DropReason::ALL.len()],
    pub(crate) dropped_by_switch: [Counter; vswitch::DropReason::ALL.len()],
    pub(crate) refused: [Counter; Refusal::ALL.len()],
    /// Times that a frame waited for room at its receiver, or for bandwidth.
    pub(crate) held: Counter,
    /// Frames received from the NIC switch with no stop in the extensible switch.
    pub(crate) direct: Counter,
}

impl Default for PortCounters {
    fn default() -> Self {
        Self {
            sent: TrafficCounters::default(),
            received: TrafficCounters::default(),
            malformed: std::array::from_fn(|_| Counter::default()),
            dropped: std::array::from_fn(|_| Counter::default()),
            dropped_by_switch: std::array::from_fn(|_| Counter::default()),
            refused: std::array::from_fn(|_| Counter::default()),
            held: Counter::default(),
            direct: Counter::default(),
        }
    }
}

/// The counters of a port at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortStatistics {
    /// What the guest sent and the switch took.
    pub sent: Traffic,
    /// What was put into the guest's buffers.
    pub received: Traffic,
    /// Times that the guest's frames waited for room at their receiver, or for bandwidth.
    pub held: u64,
    /// Of the frames received, those that came by a VM queue: from the NIC switch with no stop in the extensible
    /// switch.
    pub direct: u64,
    /// Frames lost, by the name of the reason; those of which none was lost are left out.
    pub drops: Vec<(&'static str, u64)>,
}

impl PortCounters {
    /// The counters as they stand. Not one instant for all of them.
    #[must_use]
    pub fn read(&self) -> PortStatistics {
        let malformed = Malformed::ALL.iter().map(|r| r.as_str()).zip(&self.malformed);
        let dropped = DropReason::ALL.iter().map(|r| r.as_str()).zip(&self.dropped);
        let by_switch = vswitch::DropReason::ALL.iter().map(|r| r.as_str()).zip(&self.dropped_by_switch);
        let refused = Refusal::ALL.iter().map(|r| r.as_str()).zip(&self.refused);
        let all = malformed
            .chain(dropped)
            .chain(by_switch)
            .chain(refused)
            .map(|(name, counter)| (name, counter.get()));
        PortStatistics {
            sent: self.sent.read(),
            received: self.received.read(),
            held: self.held.get(),
            direct: self.direct.get(),
            drops: all.filter(|(_, n)| *n > 0).collect(),
        }
    }
}
