//! The connections that the stateful rules of one port allowed.
//!
//! The frames of a connection's two directions are decided on by the workers of their senders, so the table is shared.
//! It has a fixed size, and each port has its own: nobody can use up the connections of another. A connection is known
//! by a keyed 64-bit fingerprint; an entry is two atomics, and what a race can cost is that one frame is judged by the
//! rules instead.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use port::Cycles;

/// Connections of a port.
pub const MAX_CONNECTIONS: usize = SETS * WAYS;

const SETS: usize = 128;
const WAYS: usize = 8;

/// No connection; fingerprints are odd.
const VACANT: u64 = 0;

/// Both ends of a connection, the port's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) protocol: u8,
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
}

#[derive(Debug)]
struct Slot {
    fingerprint: AtomicU64,
    seen: AtomicU64,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Connections {
    key: u64,
    idle: Cycles,
    slots: Box<[Slot]>,
}

/// A connection that another host knew: its fingerprint, and the cycles since its last frame.
pub(crate) type Saved = (u64, Cycles);

impl Connections {
    /// An empty table whose entries are forgotten after `idle` cycles. `key` is random, so that nobody can choose what
    /// collides.
    pub(crate) fn new(key: u64, idle: Cycles) -> Self {
        let vacant = || Slot { fingerprint: AtomicU64::new(VACANT), seen: AtomicU64::new(0) };
        Self { key, idle, slots: (0..MAX_CONNECTIONS).map(|_| vacant()).collect() }
    }

    /// The same connections, forgotten after `idle` cycles from now on.
    pub(crate) fn with_idle(&self, idle: Cycles) -> Self {
        let copy = |number: &AtomicU64| AtomicU64::new(number.load(Ordering::Relaxed));
        let slots = self.slots.iter();
        let slots = slots.map(|slot| Slot { fingerprint: copy(&slot.fingerprint), seen: copy(&slot.seen) });
        Self { key: self.key, idle, slots: slots.collect() }
    }

    pub(crate) const fn key(&self) -> u64 {
        self.key
    }

    pub(crate) const fn idle(&self) -> Cycles {
        self.idle
    }

    /// Whether the connection is known.
    pub(crate) fn knows(&self, connection: &Connection, now: Cycles) -> bool {
        self.find(connection).is_some_and(|slot| !self.is_stale(slot, now))
    }

    /// A known connection lives on.
    pub(crate) fn refresh(&self, connection: &Connection, now: Cycles) {
        if let Some(slot) = self.find(connection) {
            slot.seen.store(now, Ordering::Relaxed);
        }
    }

    fn find(&self, connection: &Connection) -> Option<&Slot> {
        let fingerprint = self.fingerprint(connection);
        self.set(fingerprint).iter().find(|slot| slot.holds(fingerprint))
    }

    /// Remembers a connection. If there is no room, those that are known stay, and the new one is not.
    pub(crate) fn insert(&self, connection: &Connection, now: Cycles) {
        self.put(self.fingerprint(connection), now, now);
    }

    /// What is known at `now`.
    pub(crate) fn save(&self, now: Cycles) -> Vec<Saved> {
        let live = |slot: &&Slot| !slot.holds(VACANT) && !self.is_stale(slot, now);
        let save = |slot: &Slot| {
            let age = now.saturating_sub(slot.seen.load(Ordering::Relaxed));
            (slot.fingerprint.load(Ordering::Relaxed), age)
        };
        self.slots.iter().filter(live).map(save).collect()
    }

    /// Takes back an entry that was saved from a table of the same key.
    pub(crate) fn restore(&self, (fingerprint, age): Saved, now: Cycles) {
        if age <= self.idle {
            self.put(fingerprint | 1, now.saturating_sub(age), now);
        }
    }

    fn put(&self, fingerprint: u64, seen: Cycles, now: Cycles) {
        let set = self.set(fingerprint);
        if let Some(slot) = set.iter().find(|slot| slot.holds(fingerprint)) {
            slot.seen.store(seen, Ordering::Relaxed);
            return;
        }
        for slot in set {
            let old = slot.fingerprint.load(Ordering::Relaxed);
            let free = old == VACANT || self.is_stale(slot, now);
            let order = Ordering::Relaxed;
            if free && slot.fingerprint.compare_exchange(old, fingerprint, order, order).is_ok() {
                slot.seen.store(seen, Ordering::Relaxed);
                return;
            }
        }
    }

    fn is_stale(&self, slot: &Slot, now: Cycles) -> bool {
        now.saturating_sub(slot.seen.load(Ordering::Relaxed)) > self.idle
    }

    fn set(&self, fingerprint: u64) -> &[Slot] {
        let set = (fingerprint >> 1) as usize % SETS;
        &self.slots[set * WAYS..(set + 1) * WAYS]
    }

    fn fingerprint(&self, connection: &Connection) -> u64 {
        let Connection { protocol, local, remote } = *connection;
        let ports = u64::from(local.1) << 24 | u64::from(remote.1) << 8 | u64::from(protocol);
        let words = [words(local.0), words(remote.0)].into_iter().flatten().chain([ports]);
        words.fold(self.key, |hash, word| fold(hash ^ word, self.key | 1)) | 1
    }
}

impl Slot {
    fn holds(&self, fingerprint: u64) -> bool {
        self.fingerprint.load(Ordering::Relaxed) == fingerprint
    }
}

fn words(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    halves(bits)
}

#[expect(clippy::cast_possible_truncation, reason = "takes the number apart")]
const fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}

/// Multiplies and folds the halves of the product together, twice, so that every bit of the input reaches all of the
/// output.
fn fold(word: u64, key: u64) -> u64 {
    let mix = |a: u64, b: u64| {
        let [high, low] = halves(u128::from(a) * u128::from(b));
        high ^ low
    };
    mix(
        mix(word ^ 0x9e37_79b9_7f4a_7c15, key ^ 0xd6e8_feb8_6659_fd93) ^ word.rotate_left(32),
        0xa076_1d64_78bd_642f,
    )
}
