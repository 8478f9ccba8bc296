//! What a worker keeps between frames: stations, rate limits, meters.

pub(crate) mod journal;
#[cfg(test)]
mod tests;

use port::Cycles;

use crate::extension::acl::Meter;
use crate::extension::limiter::Bucket;
use crate::learning::{Lesson, Station};
use crate::path::{Memos, Path};
use crate::state::journal::{Charge, Journal};
use crate::{DEFAULT_AGEING_SECONDS, Learned, Learning, MAX_LEARNED, MAX_PORTS, PortId};

/// How many stations a port that is not external may have at most.
const QUOTA: u16 = 256;

/// The memory of one worker for the decisions of one switch. Its tables have a fixed size; only when the path is replaced
/// does it make the list of meters anew.
///
/// Rate limits are kept here, so all that a port sends must be decided on with the same `State`. A decision charges limits
/// and meters at once. Of frames that are not delivered after all, and are decided on again, that can be taken back
/// ([`State::take_back`]).
#[derive(Debug, Clone)]
pub struct State {
    /// Of the path that it was last used with.
    pub(crate) generation: Option<u64>,
    pub(crate) learning: Learning,
    pub(crate) ports: Box<[PortMemory]>,
    pub(crate) meters: Vec<Meter>,
    pub(crate) journal: Journal,
    pub(crate) memos: Memos,
    /// A station's entry is refreshed at most once in so many cycles.
    pub(crate) refresh: Cycles,
}

/// What is remembered of a port.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PortMemory {
    /// Which port of this number it is about; 0 for none.
    stamp: u64,
    pub(crate) storm: Bucket,
    pub(crate) bandwidth: Bucket,
    /// The station that sent last, and until when its entry needs no refresh.
    pub(crate) last_source: Option<(Station, Cycles)>,
}

impl State {
    /// For a clock of `cycles_per_second`; stations are forgotten after [`DEFAULT_AGEING_SECONDS`]. `seed`: a random
    /// number that guests do not know.
    #[must_use]
    pub fn new(cycles_per_second: u64, seed: u64) -> Self {
        Self::with_ageing(cycles_per_second, DEFAULT_AGEING_SECONDS, seed)
    }

    /// As [`State::new`]; stations are forgotten after `ageing_seconds`.
    #[must_use]
    pub fn with_ageing(cycles_per_second: u64, ageing_seconds: u32, seed: u64) -> Self {
        Self {
            generation: None,
            learning: Learning::new(cycles_per_second, ageing_seconds, seed),
            ports: vec![PortMemory::default(); MAX_PORTS as usize + 1].into(),
            meters: Vec::new(),
            journal: Journal::new(),
            memos: Memos::new(),
            refresh: cycles_per_second / 8,
        }
    }

    /// The stations.
    #[must_use]
    pub const fn learning(&self) -> &Learning {
        &self.learning
    }

    /// The stations, to take the news of them.
    pub const fn learning_mut(&mut self) -> &mut Learning {
        &mut self.learning
    }

    /// What this worker's meters counted since their ACL was set.
    #[must_use]
    pub fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// What was charged until now stands.
    #[inline]
    pub fn settle(&mut self) {
        self.journal.clear();
    }

    /// How much was charged since [`State::settle`], for [`State::take_back`].
    #[inline]
    #[must_use]
    pub fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Takes back what was charged since [`State::mark`] gave `mark`.
    pub fn take_back(&mut self, mark: usize) {
        while let Some(charge) = self.journal.pop(mark) {
            match charge {
                Charge::Storm { port, before } => self.ports[port.index()].storm = before,
                Charge::Bandwidth { port, before } => self.ports[port.index()].bandwidth = before,
                Charge::Meter { meter, octets } => {
                    if let Some(meter) = self.meters.get_mut(meter) {
                        meter.frames = meter.frames.saturating_sub(1);
                        meter.octets = meter.octets.saturating_sub(octets);
                    }
                }
            }
        }
    }

    /// Takes over what another worker learned. Nothing is taken for a port where `path` does not learn.
    pub fn hear(&mut self, path: &Path, news: Learned, now: Cycles) {
        self.adopt(path);
        if path.may_learn(news) {
            let lesson = self.learning.hear(Station::new(news.mac, news.vlan), news.port, now);
            self.forget_last(lesson);
        }
    }

    /// A frame of `station` came from `port`.
    pub(crate) fn learn(&mut self, station: Station, port: PortId, now: Cycles) -> Lesson {
        let lesson = self.learning.learn(station, port, now);
        self.forget_last(lesson);
        lesson
    }

    /// The next frame from the port that a station has left is to be looked at anew.
    fn forget_last(&mut self, lesson: Lesson) {
        if let Lesson::Moved(old) = lesson {
            self.ports[old.index()].last_source = None;
        }
    }

    /// Forgets what concerns ports that are no more. Cheap while the path is the same.
    #[inline]
    pub(crate) fn adopt(&mut self, path: &Path) {
        if self.generation != Some(path.generation()) {
            self.adopt_changes(path);
        }
    }

    #[cold]
    fn adopt_changes(&mut self, path: &Path) {
        self.generation = Some(path.generation());
        // It names ports and meters of the path before.
        self.journal.clear();
        self.memos.clear();
        let learners = path.learners().filter(|&port| Some(port) != path.external()).count();
        let half = u16::try_from(MAX_LEARNED / 2).unwrap_or(u16::MAX);
        let quota = QUOTA.min(half / u16::try_from(learners.max(1)).unwrap_or(u16::MAX));
        let mut quotas = vec![0; self.ports.len()];
        for port in path.learners() {
            quotas[port.index()] = if Some(port) == path.external() { half } else { quota };
        }
        let mut kept = vec![false; self.ports.len()];
        for (index, memory) in self.ports.iter_mut().enumerate() {
            let stamp = path.stamp(index);
            kept[index] = memory.stamp == stamp && quotas[index] > 0;
            memory.last_source = None;
            if memory.stamp != stamp {
                *memory = PortMemory { stamp, ..PortMemory::default() };
            }
        }
        self.learning.adopt(|port| kept[port.index()], |port| quotas[port.index()]);
        self.adopt_meters(path.meters());
    }

    /// Takes over the counts of meters that are still there. Both lists are ordered by port and rule.
    fn adopt_meters(&mut self, meters: &[Meter]) {
        let mut old = std::mem::replace(&mut self.meters, meters.to_vec()).into_iter().peekable();
        for meter in &mut self.meters {
            let place = |meter: &Meter| (meter.port, meter.rule);
            while old.next_if(|old| place(old) < place(meter)).is_some() {}
            let same = |old: &Meter| place(old) == place(meter) && old.identity == meter.identity;
            if let Some(old) = old.next_if(same) {
                *meter = old;
            }
        }
    }
}
