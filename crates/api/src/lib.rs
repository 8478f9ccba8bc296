//! The API of softiov: HTTP with JSON over a unix socket, and over TCP with TLS and client certificates only.
//!
//! - [`types`] is what travels, for the daemon, the command line and everybody else: version 1.
//! - [`Service`] is what the daemon implements. [`Sockets`] listen and serve it, within [`Limits`]: whoever may connect
//!   gets a role ([`access`]), and neither many, slow, silent nor greedy clients hold more than their share.
//! - [`EventLog`] keeps the latest events for those who follow them; [`metrics`] is what Prometheus reads.
//! - [`openapi()`] is the description of it all, made from the same types and handlers. It is checked in.
//! - [`Client`] is the other side, for programs that wait for their answers.
//!
//! A change ([`MergePatch`]) names what is to be different; unknown keys are refused everywhere.
//!
//! The crate must never depend on the data path or on the daemon, and decides nothing about networks: it carries
//! questions to the service and answers back.

pub mod access;
pub mod client;
pub mod config;
pub mod error;
mod event_log;
mod merge_patch;
pub mod metrics;
mod openapi;
pub mod server;
mod service;
mod tls;
pub mod types;

pub use self::client::Client;
pub use self::config::ApiConfig;
pub use self::error::{ApiError, ErrorKind};
pub use self::event_log::EventLog;
pub use self::merge_patch::MergePatch;
pub use self::openapi::openapi;
pub use self::server::{Limits, ServeError, Sockets};
pub use self::service::{Capture, PciFunction, Service};
pub use self::tls::TlsError;

/// Body of an answer that comes piece by piece.
pub use axum::body::Body;

/// Header of an answer that is a capture: the number by which it can be ended.
pub const CAPTURE_ID: &str = "softiov-capture";

/// Name of the unix socket in the runtime folder.
pub const SOCKET: &str = "control.sock";
