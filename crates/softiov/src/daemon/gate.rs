//! Holds the guests back until the data path stands.
//!
//! The worker runs while VFs are given to it one after the other. Without more, the frames of the first would be
//! forwarded, and lost, before their receivers are there. A rebuild must lose nothing, so nothing is fetched before
//! all are there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ethernet::VlanTag;
use port::{Burst, Consumed, Cycles, Frame, Malformed, Port, Put};

/// Whether guests may send; all clones are one gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    /// Lets guests send from now on; ports have to be kicked, for what they were told of before was passed over.
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    #[inline]
    fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A port behind a gate: it receives at any time, and sends while the gate is open.
pub(crate) struct GatedPort<P> {
    port: P,
    gate: Gate,
}

impl<P: Port> GatedPort<P> {
    pub(crate) fn new(port: P, gate: Gate) -> Self {
        Self { port, gate }
    }
}

impl<P: Port> Port for GatedPort<P> {
    #[inline]
    fn fetch(&mut self, burst: &mut Burst, now: Cycles) {
        if self.gate.is_open() {
            self.port.fetch(burst, now);
        }
    }

    #[inline]
    fn resume(&self) -> u32 {
        self.port.resume()
    }

    #[inline]
    fn complete(&mut self, burst: &Burst, consumed: Consumed, now: Cycles) {
        self.port.complete(burst, consumed, now);
    }

    #[inline]
    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        self.port.put(frame, tag, from)
    }

    #[inline]
    fn flush(&mut self, now: Cycles) {
        self.port.flush(now);
    }

    #[inline]
    fn has_work(&self) -> bool {
        self.gate.is_open() && self.port.has_work()
    }

    #[inline]
    fn deadline(&self) -> Option<Cycles> {
        self.port.deadline()
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        self.port.take_malformed(count);
    }
}
