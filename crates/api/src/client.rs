//! The client's side, for programs that wait for their answers.

mod capture;
mod connect;
mod error;
mod events;

use std::path::PathBuf;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::connect::Server;
pub use self::connect::TcpServer;
pub use self::error::ClientError;
use self::error::refusal;
pub use self::events::Notice;

/// The most that is read of an answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Whether more is wanted of what comes piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// More.
    More,
    /// Enough.
    Sated,
}

/// A daemon to talk to. Each call is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    server: Server,
}

impl Client {
    /// The daemon whose socket is at `path`.
    #[must_use]
    pub fn unix(path: PathBuf) -> Self {
        Self { server: Server::Unix(path) }
    }

    /// The daemon of another host.
    ///
    /// # Errors
    /// A file of `server` is no use.
    pub fn tcp(server: TcpServer) -> Result<Self, ClientError> {
        Ok(Self { server: Server::tcp(server)? })
    }

    /// Asks for what is at `path`.
    ///
    /// # Errors
    /// The daemon does not answer, or refuses.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Bytes::new())
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// The daemon does not answer, or refuses.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.call(Method::POST, path, json(body)?)
    }

    /// Changes what is at `path`; see [`MergePatch`](crate::MergePatch).
    ///
    /// # Errors
    /// The daemon does not answer, or refuses.
    pub fn patch<T: DeserializeOwned>(&self, path: &str, patch: &impl Serialize) -> Result<T, ClientError> {
        self.call(Method::PATCH, path, json(patch)?)
    }

    /// Removes what is at `path`.
    ///
    /// # Errors
    /// The daemon does not answer, or refuses.
    pub fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, path, Bytes::new())
    }

    /// Asks for a text that is no JSON, such as `/metrics`.
    ///
    /// # Errors
    /// The daemon does not answer, or refuses.
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        let body = self.exchange(Method::GET, path, Bytes::new())?;
        String::from_utf8(body.into())
            .map_err(|_| ClientError::Nonsense { reason: "it is no text".to_owned() })
    }

    /// `text` as one segment of a path.
    #[must_use]
    pub fn segment(text: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        text.bytes().fold(String::new(), |mut segment, byte| {
            if plain(byte) {
                segment.push(char::from(byte));
            } else {
                segment.push_str(&format!("%{byte:02X}"));
            }
            segment
        })
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, ClientError> {
        let body = self.exchange(method, path, body)?;
        // No content is the answer of removals.
        let body = if body.is_empty() { &b"null"[..] } else { &body[..] };
        serde_json::from_slice(body).map_err(|error| ClientError::Nonsense { reason: error.to_string() })
    }

    fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        runtime()?.block_on(async { accepted(self.send(method, path, body).await?).await })
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, ClientError> {
        let mut sender = self.server.connect().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.server.host())
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::BadRequest { path: path.to_owned(), reason: error.to_string() })?;
        sender.send_request(request).await.map_err(ClientError::Lost)
    }
}

/// The body of an answer that is no refusal.
async fn accepted(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| ClientError::Nonsense { reason: error.to_string() })?.to_bytes();
    if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
}

/// `response`, if it is no refusal.
async fn streaming(response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
    if response.status() == StatusCode::OK {
        Ok(response)
    } else {
        Err(accepted(response)
            .await
            .err()
            .unwrap_or_else(|| ClientError::Nonsense { reason: "it has no content".to_owned() }))
    }
}

fn json(body: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| ClientError::Nonsense { reason: error.to_string() })
}

fn runtime() -> Result<tokio::runtime::Runtime, ClientError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClientError::Runtime)
}
