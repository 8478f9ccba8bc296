//! Several queues as one port.

#[cfg(test)]
mod tests;

use ethernet::VlanTag;
use port::{Burst, Consumed, Cycles, Frame, Malformed, Port, Put};

/// The queues that one worker serves. They are fetched from in turn; frames are put into the first, so that they stay in
/// order.
#[derive(Debug)]
pub(crate) struct Bundle<Q> {
    first: Q,
    others: Vec<Q>,
    /// Queue that was fetched from last.
    turn: usize,
    /// It was not finished with.
    held: bool,
}

impl<Q: Port> Bundle<Q> {
    pub(crate) fn new(first: Q, others: Vec<Q>) -> Self {
        Self { first, others, turn: 0, held: false }
    }

    fn queues(&self) -> impl Iterator<Item = &Q> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn queues_mut(&mut self) -> impl Iterator<Item = &mut Q> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    fn last(&mut self) -> &mut Q {
        match self.turn.checked_sub(1) {
            None => &mut self.first,
            Some(other) => &mut self.others[other],
        }
    }
}

impl<Q: Port> Port for Bundle<Q> {
    fn fetch(&mut self, burst: &mut Burst, now: Cycles) {
        if self.held {
            return self.last().fetch(burst, now);
        }
        for _ in 0..=self.others.len() {
            self.turn = if self.turn == self.others.len() { 0 } else { self.turn + 1 };
            self.last().fetch(burst, now);
            if !burst.is_empty() {
                return;
            }
        }
    }

    fn resume(&self) -> u32 {
        self.queues().nth(self.turn).map_or(0, Port::resume)
    }

    fn complete(&mut self, burst: &Burst, consumed: Consumed, now: Cycles) {
        self.held = consumed.frames < burst.len();
        self.last().complete(burst, consumed, now);
    }

    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        self.first.put(frame, tag, from)
    }

    fn flush(&mut self, now: Cycles) {
        self.queues_mut().for_each(|queue| queue.flush(now));
    }

    fn has_work(&self) -> bool {
        self.queues().any(Port::has_work)
    }

    fn deadline(&self) -> Option<Cycles> {
        self.queues().filter_map(Port::deadline).min()
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        self.queues_mut().for_each(|queue| queue.take_malformed(count));
    }
}
