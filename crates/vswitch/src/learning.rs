//! The stations that a worker has seen behind ports: those of guests that bridge, and those of the wire.
//!
//! Open addressing with linear probing in twice as many slots as there may be entries, so that a walk is short; the hash
//! is keyed, so that nobody can choose what collides. What a hostile port can do to others is bounded: each port has a
//! quota, the quotas of all ports together fit into the table, and no entry is evicted while it is fresh. A station
//! moves to another port at most once in [`MOVE_HOLD_MILLISECONDS`].

#[cfg(test)]
mod tests;

use ethernet::MacAddr;
use port::Cycles;
use serde::Serialize;

use crate::{MAX_PORTS, PortId};

/// The most stations that a worker knows.
pub const MAX_LEARNED: usize = 8192;

/// Seconds without a frame after which a station is forgotten, if nothing else is said.
pub const DEFAULT_AGEING_SECONDS: u32 = 300;

/// A station that came to a port stays there at least as long: two ports that show the same address are a loop or an
/// attack, not a station that moves.
pub const MOVE_HOLD_MILLISECONDS: u64 = 1000;

/// Stations that were learned but not yet taken by [`Learning::take_news`].
const MAX_NEWS: usize = 64;

const SLOTS: usize = MAX_LEARNED * 2;
const SHIFT: u32 = u64::BITS - SLOTS.trailing_zeros();

/// Entries looked at for ageing each time that there is no room for a new one.
const SWEEP: usize = 16;

/// A station of a VLAN, packed: the VLAN in bits 59:48, the address below, and a bit that no vacant slot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Station(u64);

impl Station {
    const VACANT: Self = Self(0);

    #[inline]
    pub(crate) const fn new(mac: MacAddr, vlan: u16) -> Self {
        Self(1 << 63 | (vlan as u64 & 0xfff) << 48 | mac.to_u64())
    }

    const fn mac(self) -> MacAddr {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        MacAddr([a, b, c, d, e, f])
    }

    const fn vlan(self) -> u16 {
        (self.0 >> 48 & 0xfff) as u16
    }
}

/// A station that was learned, as one worker tells it to the others and to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Learned {
    /// Its address.
    pub mac: MacAddr,
    /// Its VLAN; of a private VLAN the primary one; 0 for none.
    pub vlan: u16,
    /// Where it is.
    pub port: PortId,
}

/// What [`Learning`] says to a frame of a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// It is known to be there.
    Known,
    /// It is new.
    Learned,
    /// It was elsewhere until now.
    Moved(PortId),
    /// It is at another port, and came there so short a time ago that this may be a loop or a forgery.
    Refused(PortId),
    /// There is no room for it.
    Full,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    station: Station,
    port: PortId,
    seen: Cycles,
    arrived: Cycles,
}

const VACANT: Entry = Entry { station: Station::VACANT, port: PortId::NONE, seen: 0, arrived: 0 };

/// The table of one worker. Made once; nothing is allocated after that.
#[derive(Debug, Clone)]
pub struct Learning {
    multiplier: u64,
    ageing: Cycles,
    hold: Cycles,
    slots: Box<[Entry]>,
    used: Box<[u16]>,
    total: usize,
    quotas: Box<[u16]>,
    cursor: usize,
    news: Vec<Learned>,
    /// A station that goes on sending is told again every 2^`retell` cycles, before the other workers forget it.
    retell: u32,
}

impl Learning {
    /// An empty table. `seed`: a random number that guests do not know.
    pub(crate) fn new(cycles_per_second: u64, ageing_seconds: u32, seed: u64) -> Self {
        let ports = MAX_PORTS as usize + 1;
        let ageing = cycles_per_second.saturating_mul(u64::from(ageing_seconds));
        Self {
            multiplier: (seed ^ 0x9e37_79b9_7f4a_7c15) | 1,
            ageing,
            hold: cycles_per_second.saturating_mul(MOVE_HOLD_MILLISECONDS) / 1000,
            slots: vec![VACANT; SLOTS].into(),
            used: vec![0; ports].into(),
            total: 0,
            quotas: vec![0; ports].into(),
            cursor: 0,
            news: Vec::with_capacity(MAX_NEWS),
            retell: (ageing / 2).max(1).ilog2(),
        }
    }

    /// Where a station is.
    #[inline]
    pub(crate) fn find(&self, station: Station, now: Cycles) -> Option<PortId> {
        let entry = &self.slots[self.walk(station)];
        (entry.station == station && !self.is_stale(entry, now)).then_some(entry.port)
    }

    /// A frame of `station` came from `port`.
    pub(crate) fn learn(&mut self, station: Station, port: PortId, now: Cycles) -> Lesson {
        let index = self.walk(station);
        let entry = self.slots[index];
        if entry.station != station {
            return self.insert(station, port, now);
        }
        if entry.port == port {
            self.slots[index].seen = entry.seen.max(now);
            if (entry.seen ^ now) >> self.retell != 0 {
                self.tell(station, port);
            }
            return Lesson::Known;
        }
        let stale = self.is_stale(&entry, now);
        if !stale && now.saturating_sub(entry.arrived) < self.hold {
            return Lesson::Refused(entry.port);
        }
        if !self.is_below_quota(port) {
            self.sweep(now);
            return Lesson::Full;
        }
        self.used[entry.port.index()] -= 1;
        self.used[port.index()] += 1;
        self.slots[index] = Entry { station, port, seen: now, arrived: now };
        self.tell(station, port);
        if stale { Lesson::Learned } else { Lesson::Moved(entry.port) }
    }

    /// Another worker says that a frame of `station` came from `port`. That is not told on.
    pub(crate) fn hear(&mut self, station: Station, port: PortId, now: Cycles) -> Lesson {
        let told = self.news.len();
        let lesson = self.learn(station, port, now);
        self.news.truncate(told);
        lesson
    }

    /// Forgets what is known behind ports of which `keep` is not true, and sets how many stations each port may have.
    pub(crate) fn adopt(&mut self, keep: impl Fn(PortId) -> bool, quota: impl Fn(PortId) -> u16) {
        for (port, limit) in (0..).map(PortId).zip(self.quotas.iter_mut()) {
            *limit = quota(port);
        }
        let gone = |entry: &Entry| entry.station != Station::VACANT && !keep(entry.port);
        let mut index = 0;
        while index < SLOTS {
            // A removal may move another entry here, even one from the beginning of the table.
            if gone(&self.slots[index]) { self.remove(index) } else { index += 1 }
        }
    }

    /// Takes what was learned since it was last asked, a bounded number of stations: for the other workers, which would
    /// flood to stations that only this one has seen.
    pub fn take_news(&mut self) -> impl Iterator<Item = Learned> + '_ {
        self.news.drain(..)
    }

    /// The stations that are known at `now`.
    pub fn entries(&self, now: Cycles) -> impl Iterator<Item = Learned> + '_ {
        let live = move |entry: &&Entry| entry.station != Station::VACANT && !self.is_stale(entry, now);
        self.slots.iter().filter(live).map(|entry| Learned {
            mac: entry.station.mac(),
            vlan: entry.station.vlan(),
            port: entry.port,
        })
    }

    /// Stations that take up room, those not yet forgotten included; at most [`MAX_LEARNED`].
    #[must_use]
    pub const fn len(&self) -> usize {
        self.total
    }

    /// Whether no station takes up room.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn insert(&mut self, station: Station, port: PortId, now: Cycles) -> Lesson {
        if !self.has_room(port) {
            self.sweep(now);
            if !self.has_room(port) {
                return Lesson::Full;
            }
        }
        let index = self.walk(station);
        self.slots[index] = Entry { station, port, seen: now, arrived: now };
        self.used[port.index()] += 1;
        self.total += 1;
        self.tell(station, port);
        Lesson::Learned
    }

    fn has_room(&self, port: PortId) -> bool {
        // The quotas may have been larger when the present entries came.
        self.total < MAX_LEARNED && self.is_below_quota(port)
    }

    fn is_below_quota(&self, port: PortId) -> bool {
        let index = port.index();
        self.used.get(index).zip(self.quotas.get(index)).is_some_and(|(used, quota)| used < quota)
    }

    fn tell(&mut self, station: Station, port: PortId) {
        if self.news.len() < MAX_NEWS {
            self.news.push(Learned { mac: station.mac(), vlan: station.vlan(), port });
        }
    }

    /// Forgets stale entries among the next few.
    fn sweep(&mut self, now: Cycles) {
        for _ in 0..SWEEP {
            let entry = &self.slots[self.cursor];
            if entry.station != Station::VACANT && self.is_stale(entry, now) {
                self.remove(self.cursor);
            } else {
                self.cursor = (self.cursor + 1) % SLOTS;
            }
        }
    }

    fn is_stale(&self, entry: &Entry, now: Cycles) -> bool {
        now.saturating_sub(entry.seen) > self.ageing
    }

    /// The slot of the station, or the vacant one where it would stand. At most half of the slots are used, so there is
    /// one.
    #[inline]
    fn walk(&self, station: Station) -> usize {
        let mut index = self.home(station);
        while self.slots[index].station != station && self.slots[index].station != Station::VACANT {
            index = (index + 1) % SLOTS;
        }
        index
    }

    #[inline]
    const fn home(&self, station: Station) -> usize {
        let folded = station.0 ^ station.0 >> 29;
        (folded.wrapping_mul(self.multiplier) >> SHIFT) as usize
    }

    /// Empties a slot, and closes the gap in the walks that led over it.
    fn remove(&mut self, index: usize) {
        self.used[self.slots[index].port.index()] -= 1;
        self.total -= 1;
        let mut gap = index;
        let mut next = (gap + 1) % SLOTS;
        while self.slots[next].station != Station::VACANT {
            let home = self.home(self.slots[next].station);
            let reach = (next + SLOTS - home) % SLOTS;
            if reach >= (next + SLOTS - gap) % SLOTS {
                self.slots[gap] = self.slots[next];
                gap = next;
            }
            next = (next + 1) % SLOTS;
        }
        self.slots[gap] = VACANT;
    }
}
