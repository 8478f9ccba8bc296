//! The log of events: the latest ones, numbered.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::types::{EventList, EventView};

/// The latest events. It is the only place where they wait for readers, so that readers, however many and slow, take no
/// memory: who falls behind its oldest event has lost some and is told so.
#[derive(Debug)]
pub struct EventLog {
    events: Mutex<VecDeque<EventView>>,
    capacity: usize,
    latest: watch::Sender<u64>,
}

impl EventLog {
    /// A log that keeps the latest `capacity` events, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { events: Mutex::new(VecDeque::new()), capacity: capacity.max(1), latest: watch::Sender::new(0) }
    }

    /// Adds an event; its number is set here and returned. Waits for nothing but other calls of this log.
    pub fn push(&self, mut event: EventView) -> u64 {
        let mut events = self.lock();
        let sequence = *self.latest.borrow() + 1;
        event.sequence = sequence;
        if events.len() == self.capacity {
            events.pop_front();
        }
        events.push_back(event);
        // Under the lock: readers that wake up find it, and numbers are told in their order.
        self.latest.send_replace(sequence);
        sequence
    }

    /// At most `limit` events, the first of them the oldest that is kept and has a number above `since`.
    #[must_use]
    pub fn since(&self, since: u64, limit: usize) -> EventList {
        let events = self.lock();
        let latest = *self.latest.borrow();
        let oldest = events.front().map_or(latest + 1, |event| event.sequence);
        let skip = since.saturating_add(1).saturating_sub(oldest);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        EventList { events: events.iter().skip(skip).take(limit).cloned().collect(), oldest, latest }
    }

    /// Tells the number of the latest event, whenever there is a further one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<EventView>> {
        // Nothing that panics happens under the lock, and a deque is whole after every call.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
