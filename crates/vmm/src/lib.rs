//! The driver of a virtual machine's monitor: QEMU's machine protocol (QMP) over a unix socket.
//!
//! The stack above plugs a VF into a running guest and takes it out again. QEMU does both on request, and tells by
//! events what the guest makes of it:
//!
//! ```text
//!   Vmm (handles) --requests--> driver task --Command--> Session --lines--> socket --> QEMU
//!                 <--answers---             <--Incoming--         <-bytes--
//!   updates (mpsc) <---events--
//! ```
//!
//! - [`Command`], [`Event`], [`Greeting`]: what is said, as types.
//! - [`Session`] is the protocol as a state machine without I/O: bytes in; greeting, answers and events out.
//! - [`spawn`] starts the task that keeps a connection to one monitor, and tries again when it breaks. [`Vmm`] is the
//!   handle to ask it; [`Update`]s are what it tells by itself.
//! - [`msix_mode`] says how a VF must deliver its interrupts to this QEMU.
//!
//! QEMU serves one client per monitor: softiov needs a `-qmp` of its own beside that of libvirt or an operator.
//!
//! The VMM is not trusted: it is the process that a guest breaks out into. A line is bounded by [`MAX_LINE`], commands
//! under way by [`MAX_OUTSTANDING`], texts by [`MAX_TEXT`] and freed of control characters; events that nobody takes
//! make the driver stop reading; whatever breaks the protocol ends the connection with a [`Violation`]. Nothing is
//! logged.
//!
//! The crate knows no VF, adapter or policy, and must not depend on a crate that does.

#![forbid(unsafe_code)]

mod command;
mod driver;
mod error;
mod event;
mod message;
mod monitor;
mod session;
mod version;

pub use command::Command;
pub use driver::{Settings, State, Update, Vmm, spawn};
pub use error::{CommandError, ErrorClass, Refusal, Unreachable, Violation};
pub use event::{Event, MigrationStatus};
pub use message::{Greeting, MAX_TEXT};
pub use monitor::{Device, PlugOutcome, RunState, UnplugOutcome, VfioUserDevice};
pub use session::{CommandId, Incoming, MAX_LINE, MAX_OUTSTANDING, Session};
pub use version::{MsixMode, Version, msix_mode};

#[cfg(test)]
mod tests;
