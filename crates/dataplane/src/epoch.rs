//! The worker's quiescent points, counted.
//!
//! A control thread stores what must stop the worker (a queue disabled, memory unmapped), then waits until the worker
//! has passed a point at which it holds nothing of before. Why that is enough:
//!
//! * *The round that goes on meanwhile is over.* The worker stores the next number with release at the end of its
//!   round; the control thread that loads it with acquire comes after all accesses of that round.
//! * *The round that comes next sees what was stored.* Both sides have a sequentially consistent fence between their
//!   two accesses: the control thread between its store and its look at the number, the worker between its new number
//!   and its look at the store. Of two such fences one comes first. If it is the worker's, the control thread has seen
//!   the new number and waits for the one after that; if it is the control thread's, the worker sees the store.
//!
//! A worker that sleeps is at such a point; the flag by which it says so (`Sleeper`) takes the place of the number.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Number of quiescent points that the worker has passed.
#[derive(Debug, Default)]
pub(crate) struct Epoch(AtomicU64);

impl Epoch {
    /// The worker holds nothing, and begins anew.
    #[inline]
    pub(crate) fn pass(&self) {
        // One thread writes it, so that no atomic addition is needed.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// The number to wait for the end of. What this thread stored before is seen by the worker after that.
    pub(crate) fn begin_wait(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed)
    }

    /// True when the worker has passed the point after `number`.
    pub(crate) fn is_past(&self, number: u64) -> bool {
        self.0.load(Ordering::Acquire) != number
    }
}
