//! The physical port and the host's own adapter: tap, packet sockets, AF_XDP.
//!
//! [`open()`] makes [`port::Port`]s that lead out of the switch: to the host's network stack (a tap netdev), or to a netdev
//! and what is behind it (packet sockets, or AF_XDP where speed matters).
//!
//! ```text
//!              worker: fetch, put, flush                    control thread
//!   Port  <- Bundle of queues, each with a Pool <--reads--- LinkCell <--writes-- LinkWatcher <- rtnetlink
//!     |            |
//!     |            +- tap: read, write          frame behind a vnet header: the kernel's checksum and
//!     |            +- packet: ring, sendmmsg    segmentation offloads, both ways
//!     |            +- xdp: four rings           frames as on the wire
//!     +- Wake: readable as long as frames wait
//! ```
//!
//! Frames of the kernel lie in a `Pool`, private memory in a DMA domain of its own, so that the rest of the data path
//! needs to know nothing of it.
//!
//! # How it is driven
//! The worker polls the port. Before it sleeps it waits for the port's [`Wake`] too: a tap cannot be looked at without a
//! system call, so that its `has_work` only knows what the last fetch saw. A control thread takes the events of the
//! [`LinkWatcher`] whenever that is readable; the ports go by what it heard last.
//!
//! ```no_run
//! use std::num::NonZeroUsize;
//! use uplink::{Backend, Config, NewTap, open};
//!
//! let backend = Backend::Tap { name: "vnic0".into(), new: Some(NewTap::default()) };
//! let mut host = open(&Config { backend, queues: NonZeroUsize::MIN, ports: NonZeroUsize::MIN })?;
//! for end in host.ports.drain(..) {
//!     // To a worker: end.port to be polled, end.wake to be waited for.
//! }
//! if let Some(watcher) = &mut host.watcher {
//!     while let Some(event) = watcher.next_event() {
//!         // To whoever shows the state of the link.
//!     }
//! }
//! # Ok::<(), uplink::OpenError>(())
//! ```
//!
//! # Threads and namespaces
//! [`open()`] works in the network namespace of the thread that calls it. What was opened works from any.
//!
//! Two modules have unsafe code: `mapping`, memory shared with the kernel, and `syscall`. The crate must never depend on
//! a device, a switch or policy.

mod backlog;
mod bundle;
mod config;
mod error;
mod link;
mod losses;
mod mapping;
mod netlink;
mod none;
mod offload;
mod open;
mod outlet;
mod packet;
mod pool;
mod syscall;
mod tap;
mod vnet;
mod wake;
mod xdp;

#[cfg(test)]
mod tests;

pub use config::{Backend, Config, NewTap, XdpMode};
pub use error::OpenError;
pub use link::{LinkEvent, LinkState, LinkWatcher};
pub use losses::Losses;
pub use open::{Uplink, UplinkPort, open};
pub use wake::Wake;
