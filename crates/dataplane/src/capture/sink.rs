//! The queue between the worker and one who looks on.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use ethernet::{TPID_8021Q, VLAN_TAG_LEN, VlanTag};
use port::Frame;

use super::{CaptureCounts, Captured};
use crate::counters::Counter;

/// Bytes of a frame in one cell: most small frames take one.
const CELL: usize = 192;

/// Cells of a sink: 8 MiB together.
const CELLS: usize = 1 << 15;

/// Where an 802.1Q tag stands in a frame.
const TAG_AT: usize = 12;

/// A part of a frame; the cells of one frame follow each other, for one thread fills the queue and one empties it.
#[derive(Debug)]
pub(crate) struct Cell {
    /// In the first cell of a frame.
    pub(super) head: Option<Captured>,
    pub(super) bytes: [u8; CELL],
}

#[derive(Debug, Default)]
struct Counters {
    seen: Counter,
    missed: Counter,
}

/// What the worker fills and a [`super::Capture`] empties.
#[derive(Debug)]
pub(crate) struct Sink {
    cells: ArrayQueue<Cell>,
    snaplen: usize,
    /// By interface.
    counters: Box<[Counters]>,
    closed: AtomicBool,
}

impl Sink {
    pub(super) fn new(snaplen: usize, interfaces: usize) -> Self {
        Self {
            cells: ArrayQueue::new(CELLS),
            snaplen,
            counters: (0..interfaces).map(|_| Counters::default()).collect(),
            closed: AtomicBool::new(false),
        }
    }

    /// Shows a frame with its tag, if there is room for it. Called by the worker alone.
    pub(super) fn show(&self, about: Captured, frame: &Frame<'_>, tag: Option<VlanTag>) {
        let Some(counters) = self.counters.get(about.interface as usize) else { return };
        counters.seen.add(1);
        let wanted = about.length.min(self.snaplen);
        let needed = wanted.div_ceil(CELL).max(1);
        if self.cells.capacity() - self.cells.len() < needed {
            counters.missed.add(1);
            return;
        }
        let mut head = Some(about);
        for number in 0..needed {
            let from = number * CELL;
            let mut cell = Cell { head: head.take(), bytes: [0; CELL] };
            let part = &mut cell.bytes[..CELL.min(wanted - from)];
            // Memory that its guest takes away meanwhile reads as zeros.
            let _ = match tag {
                None => frame.read(from, part),
                Some(tag) if number == 0 => first_with_tag(frame, tag, part),
                Some(_) => frame.read(from - VLAN_TAG_LEN, part),
            };
            // There is room: nobody else fills the queue.
            let _ = self.cells.push(cell);
        }
    }

    pub(super) fn pop(&self) -> Option<Cell> {
        self.cells.pop()
    }

    pub(super) fn snaplen(&self) -> usize {
        self.snaplen
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = CaptureCounts> + '_ {
        self.counters.iter().map(|one| CaptureCounts { seen: one.seen.get(), missed: one.missed.get() })
    }

    /// Nobody looks on any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// The beginning of a frame whose tag is out of band, with the tag at its place.
fn first_with_tag(frame: &Frame<'_>, tag: VlanTag, to: &mut [u8]) -> Result<(), port::Refusal> {
    let Some((addresses, rest)) = to.split_at_mut_checked(TAG_AT) else { return frame.read(0, to) };
    frame.read(0, addresses)?;
    let [a, b] = TPID_8021Q.to_be_bytes();
    let [c, d] = tag.0.to_be_bytes();
    let bytes = [a, b, c, d];
    let (in_tag, behind) = rest.split_at_mut(rest.len().min(VLAN_TAG_LEN));
    in_tag.copy_from_slice(&bytes[..in_tag.len()]);
    frame.read(TAG_AT, behind)
}
