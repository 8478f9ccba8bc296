//! The control socket: HTTP with JSON over a unix socket that only the daemon's user may open.

pub(crate) mod client;
mod server;

pub(crate) use server::ControlSocket;

/// Header of an answer that is a capture: the number by which it can be ended.
const CAPTURE_ID: &str = "softiov-capture";

/// Name of the socket in the runtime folder.
pub(crate) const SOCKET: &str = "control.sock";
