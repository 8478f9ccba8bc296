//! The seam between the switches and the devices.
//!
//! A device (a VF, later a synthetic adapter or the physical port) is a [`Port`]: the worker that owns it fetches what
//! its guest sends into a [`Burst`], asks a switch where each [`Frame`] goes, puts it into the ports found, and
//! completes it. A frame is a scatter list in the sender's memory plus a private copy of its headers: what was decided
//! on is what is delivered, whatever the guest writes meanwhile. The bytes behind the headers are copied once, from
//! the sender's buffers into the receiver's ([`Piece::write`]), and on that way cut into segments, checksummed and
//! tagged as the receiver needs them.
//!
//! ```text
//!   sender's ring --fetch--> Burst { header copy | scatter list | FrameMeta }
//!                              |                        |
//!                        switch decides            one copy, with
//!                        on the header             checksum, segments
//!                              v                        v
//!                            put(frame) ----------> receiver's ring --flush--> write-back, interrupt
//!   sender's ring <--complete-- done / held (receiver full)
//! ```
//!
//! The crate knows no switch, no policy and no device; it depends on frame views and guest memory only.
#![forbid(unsafe_code)]

mod burst;
mod frame;
mod piece;
mod reason;
mod request;
#[cfg(test)]
mod testing;
mod whole;

pub use burst::{BURST, Burst, Spec};
pub use frame::{Checksum, Frame, FrameMeta, HEADER_MAX, Kept, Segmentation};
pub use piece::{Piece, Pieces};
pub use reason::{Malformed, Refusal};
pub use request::{GuestReply, GuestRequest, Reception};
pub use whole::{PartialChecksum, Whole};

use ethernet::VlanTag;

/// Time stamp counter cycles: the data path's clock.
pub type Cycles = u64;

/// What became of a frame that was put into a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// All of it was delivered.
    Done,
    /// The receiver has no room for piece number `next` and those after it; the pieces before it were delivered.
    Full {
        /// First piece not delivered.
        next: u32,
    },
    /// The receiver cannot take it at all.
    Refused(Refusal),
}

/// How the frames of a burst ended, from the first on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Frames that are finished: delivered or dropped. Those after them are fetched again.
    pub frames: usize,
    /// Pieces of the first unfinished frame that were delivered already.
    pub pieces: u32,
}

/// The data-path half of a device, owned by one worker.
pub trait Port: Send {
    /// Fills `burst`, which comes empty, with frames that the guest wants sent, all from one queue.
    fn fetch(&mut self, burst: &mut Burst, now: Cycles);

    /// Pieces of the first frame of the last fetch that were delivered before, when the receiver had no more room.
    fn resume(&self) -> u32;

    /// Gives back what the last [`Port::fetch`] took. Must follow every fetch that brought a frame.
    fn complete(&mut self, burst: &Burst, consumed: Consumed, now: Cycles);

    /// Copies `frame` into the guest's receive buffers, from piece number `from` on; `tag` is what the guest shall see
    /// of VLANs.
    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put;

    /// Publishes what was put and completed since the last flush, and raises the interrupts that are due. After it the
    /// port holds no view of guest memory.
    fn flush(&mut self, now: Cycles);

    /// True if [`Port::fetch`] would bring frames: the look before a worker goes to sleep.
    fn has_work(&self) -> bool;

    /// Whether the guest shall ring its doorbell for what it wants sent: asked for before a worker goes to sleep, and
    /// followed by [`Port::has_work`]. While the worker is awake it looks by itself. A port whose doorbells cannot be
    /// silenced has nothing to do.
    fn ask_for_doorbells(&mut self, _wanted: bool) {}

    /// When [`Port::flush`] must be called next though no frame comes: a moderated interrupt is due.
    fn deadline(&self) -> Option<Cycles>;

    /// Hands over how many frames made no sense, by reason, since it was last asked.
    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64));
}
