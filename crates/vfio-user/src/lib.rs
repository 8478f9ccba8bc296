//! The vfio-user protocol: codec and server of one device socket.
//!
//! A virtual machine monitor (QEMU) drives a PCI device that lives in another process over a unix socket. This crate
//! is that process's side of the socket, for one device and one client:
//!
//! ```text
//!   socket --recvmsg--> Decoder --Message--> Session --Request--> dyn Device
//!                                               |
//!   socket <--sendmsg-- Output <--reply, DMA_WRITE
//!   \____________ Connection ___________________/
//! ```
//!
//! - [`sys::Listener`] owns the socket path and hands out one client at a time.
//! - [`Connection`] moves bytes and file descriptors, never blocks, and does a bounded amount of work per call. The
//!   owner brings the event loop, and takes the connection apart and together again over a restart.
//! - [`Session`] is the protocol as a state machine without I/O. What it refuses has a [`Reason`] and a counter.
//! - [`Device`] is implemented by whoever owns the device model. It gets only requests that are well-formed, in range
//!   and allowed.
//!
//! The client is not trusted. Memory is bounded by one message in each direction plus [`OUTPUT_BOUND`], whatever it
//! sends or fails to read; a malformed message is answered with an errno and the stream goes on.
//!
//! Migration, dirty page logging, ioeventfds of regions and twin sockets are not offered. The crate knows nothing of
//! PCI, of networking or of guest memory, and must not depend on crates that do.

#![forbid(unsafe_code)]

mod connection;
mod decoder;
mod device;
mod handover;
mod output;
pub mod protocol;
mod reason;
mod request;
mod session;
mod version;

pub use connection::{Closed, Connection, Progress};
pub use decoder::{BadSize, Decoder, Fds, Message};
pub use device::{
    Device, DeviceFlags, DeviceInfo, DmaMap, DmaRange, DmaUnmap, EventFds, IrqAction, IrqData, IrqFlags,
    IrqInfo, Mapping, MmapArea, RegionInfo, SetIrqs,
};
pub use handover::{RestoreError, SessionState};
pub use output::{OUTPUT_BOUND, Output};
pub use reason::{Counters, Reason};
pub use request::Request;
pub use rustix::io::Errno;
pub use session::{DEFAULT_MAX_DMA_MAPS, DmaWriteError, Session, UnsolicitedReply};
pub use version::Negotiated;

#[cfg(test)]
mod tests;
