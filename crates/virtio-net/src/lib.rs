//! The synthetic adapter's device: virtqueues, offloads and control queue of virtio-net (VIRTIO 1.3 section 5.1).
//!
//! ```text
//!   control thread                                     worker
//!   front end (vhost-user) --> AdapterState <-------- Queues: port::Port
//!     features, rings, link,     two pages of             fetch  chains -> frames          tx, ring
//!     MTU, pairs                 a memfd                  put    frames -> chains          rx, ring
//!   ControlQueue --GuestRequest-->                        flush  used entries, interrupts  virtqueue -> Notify
//! ```
//!
//! [`AdapterState`] holds what the front end set and how far the device is; it outlives the process. [`Queues`] is the
//! data path, owned by one worker. [`ControlQueue`] serves the control queue, for front ends that leave it to the
//! device: QEMU and DPDK's virtio-user serve it themselves when their back end is vhost-user, and only tell the back
//! end which rings are enabled. [`Features`] says what is offered, [`config_space()`] what the driver reads.
//!
//! A driver is not trusted: what it makes available is copied or translated once, checked, and bounded. A ring whose
//! structure lies is broken until it is set up anew ([`RingError`]); a frame that makes no sense is counted
//! ([`port::Malformed`]) and its buffers go back.
//!
//! The crate knows no protocol, switch or policy. It does no system call: interrupts leave through [`Notify`].
#![forbid(unsafe_code)]

mod config_space;
mod control;
mod dirty;
mod features;
mod header;
mod notify;
mod queues;
mod ring;
mod rss;
mod rx;
mod state;
mod tx;
mod virtqueue;

#[cfg(test)]
mod testing;

pub use config_space::{CONFIG_BYTES, config_space};
pub use control::ControlQueue;
pub use dirty::{DirtyLog, DirtyLogSlot};
pub use features::{Features, Offer};
pub use notify::Notify;
pub use queues::{Profile, Queues};
pub use ring::RingError;
pub use state::{AdapterState, MAX_PAIRS, Position, RingConfig, RingSetupError, StateError};
