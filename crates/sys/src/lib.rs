//! What softiov needs of the operating system and no crate offers safely.
//!
//! * [`SharedPages`]: pages of 32-bit atomic words in a memfd. What must outlive a crash of the data path (registers,
//!   ring positions, PCI config space) lives there, never on the heap. [`Words`] is a window of them.
//! * [`EventFd`]: an eventfd that came from a peer, checked to be one, so that signalling it cannot block.
//! * [`Listener`]: a Unix socket at a path of its own, open to nobody else, removed with it.
//! * [`clock`]: the time stamp counter and its rate.
//!
//! One of the three crates with unsafe code (the others are `guest-memory` and `uplink`). It knows nothing of devices,
//! guests or protocols and depends on no other crate of the workspace.

pub mod clock;
mod event;
mod listener;
mod pages;

pub use event::{EventFd, NotAnEventFd};
pub use listener::{BindError, Listener, hang_up};
pub use pages::{PagesError, SharedPages, Words};
