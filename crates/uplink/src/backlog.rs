//! Frames that were received and that the worker has not finished with.

use port::{BURST, Burst, Consumed, Malformed, Spec};

use crate::syscall::Span;

/// A frame in a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) span: Span,
    pub(crate) spec: Spec,
}

/// The frames of one burst. Those that the worker gives back unfinished are offered again before new ones are received,
/// so that there is never more than one burst of them.
#[derive(Debug)]
pub(crate) struct Backlog {
    frames: Vec<Received>,
    /// Pieces of the first that were delivered.
    resume: u32,
    malformed: [u64; Malformed::ALL.len()],
}

impl Backlog {
    pub(crate) fn new() -> Self {
        Self { frames: Vec::with_capacity(BURST), resume: 0, malformed: [0; Malformed::ALL.len()] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() == BURST
    }

    /// Adds a frame that was received just now. False if it makes no sense: it is counted and forgotten.
    pub(crate) fn add(&mut self, burst: &mut Burst, received: Received) -> bool {
        match commit(burst, &received) {
            Ok(()) => {
                self.frames.push(received);
                true
            }
            Err(reason) => {
                self.count(reason);
                false
            }
        }
    }

    /// Counts a frame that made no sense before it came to a burst.
    pub(crate) fn count(&mut self, reason: Malformed) {
        self.malformed[reason.index()] += 1;
    }

    /// Offers again what was not finished.
    pub(crate) fn offer(&mut self, burst: &mut Burst) {
        for received in &self.frames {
            let committed = commit(burst, received);
            debug_assert!(committed.is_ok(), "a frame in private memory makes as much sense as before");
        }
    }

    pub(crate) fn resume(&self) -> u32 {
        self.resume
    }

    /// Forgets the frames that are finished, and hands each to `finished`.
    pub(crate) fn complete(&mut self, consumed: Consumed, mut finished: impl FnMut(Received)) {
        let count = consumed.frames.min(self.frames.len());
        self.frames.drain(..count).for_each(&mut finished);
        self.resume = if self.frames.is_empty() { 0 } else { consumed.pieces };
    }

    pub(crate) fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        for (reason, n) in Malformed::ALL.iter().zip(&mut self.malformed) {
            let n = std::mem::take(n);
            if n > 0 {
                count(*reason, n);
            }
        }
    }
}

fn commit(burst: &mut Burst, received: &Received) -> Result<(), Malformed> {
    let Span { at, len } = received.span;
    burst.gather(at as u64, len)?;
    burst.commit(&received.spec)
}
