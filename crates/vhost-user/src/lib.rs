//! The vhost-user protocol: codec and back end of one network device.
//!
//! A virtual machine monitor (QEMU), or another program with a virtio driver in it (DPDK), shares its virtqueues over a
//! unix socket: it is the front end. This crate is the back end's side of the socket, for one device and one front end:
//!
//! ```text
//!   socket --recvmsg--> Decoder --Message--> Session --ready rings, memory, log--> dyn Backend
//!                                               |
//!   socket <--sendmsg-- Output <----reply-------'
//!   \____________ Connection ___________________/
//! ```
//!
//! - [`sys::Listener`] owns a socket path and hands out front ends that connect; [`Connector`] says when to [`connect`]
//!   to a front end that listens. A connection is the same either way.
//! - [`Connection`] moves bytes and file descriptors, never blocks, and does a bounded amount of work per call. The
//!   owner brings the event loop, and takes the connection apart and together again over a restart.
//! - [`Session`] is the protocol as a state machine without I/O. It collects what the front end says of each ring, in
//!   whatever order, and lets the device serve a [`Ring`] only while nothing of it is missing. What it refuses has a
//!   [`Reason`] and a counter.
//! - [`Backend`] is implemented by whoever owns the device model. It gets only requests that are well-formed, in range
//!   and allowed.
//!
//! The front end is not trusted. Memory is bounded by one message, the memory table and
//! [`OUTPUT_BOUND`] replies, whatever it sends or fails to read; a refused request is answered where the protocol has an
//! answer, and the stream goes on.
//!
//! Requests of the back end, address translation, post-copy migration, config space and in-band notifications are not
//! offered. The crate knows nothing of networking or of how guest memory is mapped, and must not depend on crates that
//! do.

#![forbid(unsafe_code)]

mod backend;
mod connection;
mod connector;
mod decoder;
mod handover;
mod inflight;
mod memory;
mod output;
pub mod protocol;
mod reason;
mod request;
mod session;
mod vring;

pub use backend::{Backend, FileRange, Limits, MemoryChange, Ring, RingEvent, RingPosition};
pub use connection::{Closed, Connection, Progress};
pub use connector::{ConnectError, Connector, Step, connect};
pub use decoder::{BadHeader, Decoder, Fds, Message};
pub use handover::{RestoreError, SessionState};
pub use inflight::InflightShape;
pub use memory::{MemoryRegion, SharedRegion};
pub use output::{OUTPUT_BOUND, Output};
pub use reason::{Counters, Reason};
pub use rustix::io::Errno;
pub use session::Session;

#[cfg(test)]
mod tests;
