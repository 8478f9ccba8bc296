//! The virtual function: an Intel X550 VF (8086:1565) or 82599 VF (8086:10ed), register by register.
//!
//! The device has two halves that work on the same [`VfState`] pages:
//!
//! * [`Control`], on the thread that serves the VF's vfio-user socket: register, config and MSI-X accesses, mailbox,
//!   resets, link.
//! * [`Queues`], a [`port::Port`] owned by a worker: descriptor rings, offloads, statistics.
//!
//! They meet in registers (a doorbell is a word that the worker looks at), in [`Interrupts`], and at the worker's
//! quiescent points: a write that must stop DMA is answered only when [`Host::quiesce`] has returned.
//!
//! The crate knows no switch, no policy, no socket: what the guest asks of the physical function goes out as a
//! [`port::GuestRequest`].
#![forbid(unsafe_code)]

mod control;
mod host;
mod interrupts;
mod mailbox;
mod profile;
mod queue;
mod register_map;
pub mod registers;
mod rejection;
mod sign;
mod state;

pub use control::{Control, ResetKind};
pub use host::Host;
pub use interrupts::{Interrupts, Signal};
pub use mailbox::MailboxApi;
pub use profile::{Identity, MsixExposure, Profile};
pub use queue::{QueueProfile, Queues};
pub use rejection::{Rejection, Rejections};
pub use sign::{GuestSign, GuestSigns};
pub use state::{RINGS, StateError, VfState};

#[cfg(test)]
mod rig;
