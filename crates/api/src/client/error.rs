//! Why there is no answer.

use std::io;
use std::path::PathBuf;

use hyper::StatusCode;

use crate::tls::TlsError;
use crate::types::ErrorView;

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the socket, or not for this user.
    #[error(
        "no softiov answers at {path}: start one with `softiov run -c FILE`, or name its socket with --control",
        path = path.display()
    )]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody listens at the address, or it is not the daemon that it should be.
    #[error("no softiov answers at {address}")]
    NoServer {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key is no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The name of the server cannot be one.
    #[error("{name:?} is not the name or address of a server")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The connection ended before the answer did.
    #[error("the daemon has gone away, or refuses to speak with this client")]
    Lost(#[source] hyper::Error),
    /// The daemon refuses.
    #[error("{message}")]
    Refused {
        /// Status of HTTP.
        status: u16,
        /// The word for programs.
        code: String,
        /// The sentence for people.
        message: String,
    },
    /// The path is none.
    #[error("{path:?} cannot be asked for: {reason}")]
    BadRequest {
        /// The path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer is not what it should be.
    #[error("the daemon's answer makes no sense: is it of the same version? {reason}")]
    Nonsense {
        /// What is wrong.
        reason: String,
    },
    /// The daemon was asked to complete a capture and does not.
    #[error("the daemon does not complete the capture: what came is kept")]
    Incomplete,
    /// This process cannot wait for an answer.
    #[error("this process cannot wait for answers")]
    Runtime(#[source] io::Error),
}

/// What the daemon refuses, in its words.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    let view = serde_json::from_slice(body).unwrap_or_else(|_| ErrorView {
        error: format!("{status}: {}", String::from_utf8_lossy(body)),
        code: "unknown".to_owned(),
    });
    ClientError::Refused { status: status.as_u16(), code: view.code, message: view.error }
}
