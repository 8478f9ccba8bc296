//! Traffic in the background, in which nothing may be missing, doubled or out of order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::driver::Guest;
use super::frames::{number, numbered};
use super::{PATIENCE, wait_until};

/// Frames under way at most: well below what the receiver has buffers for.
const WINDOW: u64 = 64;

/// A stream from one guest to another.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    thread: JoinHandle<Outcome>,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Frames that were sent, all of which have arrived.
    pub(crate) frames: u64,
    /// The longest time without a frame.
    pub(crate) gap: Duration,
}

impl Stream {
    pub(crate) fn start(from: Guest, to: Guest) -> Self {
        let (stop, received) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (told, count) = (Arc::clone(&stop), Arc::clone(&received));
        let thread = std::thread::spawn(move || run(from, to, &told, &count));
        let stream = Self { stop, received, thread };
        stream.advance(1);
        stream
    }

    /// Waits until `frames` more have arrived.
    pub(crate) fn advance(&self, frames: u64) {
        let goal = self.received.load(Ordering::Relaxed) + frames;
        let reached = || self.received.load(Ordering::Relaxed) >= goal || self.thread.is_finished();
        wait_until("the stream goes on", reached);
    }

    /// Waits until all that is under way has arrived.
    pub(crate) fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn run(mut from: Guest, mut to: Guest, stop: &AtomicBool, received: &AtomicU64) -> Outcome {
    let (mut sent, mut next) = (0, 0);
    let (mut last, mut gap) = (Instant::now(), Duration::ZERO);
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        if stopping && next == sent {
            return Outcome { frames: sent, gap };
        }
        if !stopping && sent - next < WINDOW {
            from.send(&numbered(to.mac, from.mac, sent, 60 + (sent % 1400) as usize));
            sent += 1;
        }
        while let Some(frame) = to.received() {
            // Others may send to this guest as well.
            if frame[6..12] == from.mac {
                assert_eq!(number(&frame), next, "the frame that comes next");
                next += 1;
                received.store(next, Ordering::Relaxed);
                gap = gap.max(last.elapsed());
                last = Instant::now();
            }
        }
        assert!(last.elapsed() < PATIENCE, "frame {next} of {sent} does not arrive");
    }
}
