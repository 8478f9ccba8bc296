//! Captures: copies of frames for somebody who looks on.
//!
//! ```text
//!   worker:   frame --> taps --> sink, a bounded queue without locks
//!   control:                      +--> Capture::take
//! ```
//!
//! The worker copies what of a frame is wanted into the sink and goes on. What does not fit is counted, never waited for.
//! While no capture runs the worker tests one flag per burst, and no more.
//!
//! A frame is shown as its sender or receiver has it, with its tag, uncut: checksums that the device was to fill in are
//! missing, as on any host that captures its own frames.

mod sink;
mod taps;
mod watch;

use std::sync::Arc;

use port::Cycles;
use vswitch::CaptureId;

use crate::handle::Handle;
use crate::place::Place;

pub(crate) use sink::Sink;
pub(crate) use taps::{Tap, Taps};
pub(crate) use watch::tag_for;

/// The longest part of a frame that can be captured, in bytes.
pub const MAX_SNAPLEN: usize = 1 << 18;

/// Which way a frame goes, from the side of the guest: what the physical port received was "sent" by the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its port sent it.
    Sent,
    /// Its port was to receive it.
    Received,
}

/// What a capture wants to see.
#[derive(Clone, Debug)]
pub struct CaptureSpec {
    /// Where it looks.
    pub points: Vec<Point>,
    /// Only frames that go this way.
    pub way: Option<Way>,
    /// Only frames that are lost. Without it, lost frames are shown where their sender is looked at.
    pub lost_only: bool,
    /// So many bytes of each frame, [`MAX_SNAPLEN`] at most.
    pub snaplen: usize,
}

/// A place where a capture looks. `interface`: the number under which its frames are shown, the caller's choice.
#[derive(Clone, Debug)]
pub enum Point {
    /// What a port sends and receives.
    Port {
        /// The port.
        place: Place,
        /// See [`Point`].
        interface: u32,
    },
    /// What comes to a NIC by its VM queue.
    Queue {
        /// Number of the NIC.
        nic: u32,
        /// See [`Point`].
        interface: u32,
    },
    /// What passes the default VPort, seen from the PF's side.
    DefaultVPort {
        /// See [`Point`].
        interface: u32,
    },
    /// What the capture of an extensible switch is shown.
    Stage {
        /// Number of the switch.
        switch: usize,
        /// The capture, which the caller starts and stops.
        capture: CaptureId,
        /// By the number of the switch's port; see [`Point`].
        interfaces: Vec<Option<u32>>,
    },
}

impl Point {
    /// The interfaces that it names.
    fn interfaces(&self) -> impl Iterator<Item = u32> + '_ {
        let (one, many) = match self {
            Self::Port { interface, .. }
            | Self::Queue { interface, .. }
            | Self::DefaultVPort { interface } => (Some(*interface), &[][..]),
            Self::Stage { interfaces, .. } => (None, &interfaces[..]),
        };
        one.into_iter().chain(many.iter().flatten().copied())
    }
}

/// About a frame that was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Where, by the number that the point has.
    pub interface: u32,
    /// When.
    pub time: Cycles,
    /// Its whole length in bytes, VLAN tag included, frame check sequence not.
    pub length: usize,
    /// Which way it went.
    pub way: Way,
    /// Why it was lost.
    pub lost: Option<&'static str>,
}

/// What an interface of a capture has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// Frames that were to be shown.
    pub seen: u64,
    /// Of them, those for which there was no room.
    pub missed: u64,
}

/// A running capture; it ends with this value.
#[derive(Debug)]
pub struct Capture {
    sink: Arc<Sink>,
    handle: Handle,
    /// A frame of which not all cells have come.
    open: Option<Captured>,
    bytes: Vec<u8>,
}

impl Capture {
    pub(crate) fn new(sink: Arc<Sink>, handle: Handle) -> Self {
        Self { sink, handle, open: None, bytes: Vec::new() }
    }

    /// The next frame, with the bytes that were wanted of it; `None` if there is none now.
    pub fn take(&mut self) -> Option<(Captured, &[u8])> {
        loop {
            let cell = self.sink.pop()?;
            if let Some(head) = cell.head {
                self.bytes.clear();
                self.open = Some(head);
            }
            let wanted = self.open?.length.min(self.sink.snaplen());
            let part = (wanted - self.bytes.len()).min(cell.bytes.len());
            self.bytes.extend_from_slice(&cell.bytes[..part]);
            if self.bytes.len() == wanted {
                return self.open.take().map(|head| (head, &self.bytes[..]));
            }
        }
    }

    /// What each interface has seen, by its number.
    pub fn counts(&self) -> impl Iterator<Item = CaptureCounts> + '_ {
        self.sink.counts()
    }

    /// The worker has ended: nothing comes any more but what is there.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.handle.is_stopped()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.sink.close();
        self.handle.end_captures();
    }
}
