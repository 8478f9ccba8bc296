//! The command line's side.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

use super::CAPTURE_ID;
use crate::view::{CaptureRequest, ErrorView};

/// How long the daemon may take to complete a capture.
const FAREWELL: Duration = Duration::from_secs(3);

/// Whether more of a capture is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appetite {
    More,
    Sated,
}

/// A daemon to talk to.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, Bytes::new())
    }

    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.call(Method::POST, path, serde_json::to_vec(body)?.into())
    }

    /// `text` as one segment of a path.
    pub(crate) fn segment(text: &str) -> String {
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

    /// Runs a capture, and hands on its parts as they come. SIGINT and SIGTERM have the daemon complete it; so does
    /// `take` when it wants no more.
    pub(crate) fn capture(
        &self,
        request: &CaptureRequest,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<Appetite>,
    ) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            // Before the capture starts: a signal that comes early must not leave half a file.
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let response = self.send(Method::POST, "/v1/capture", serde_json::to_vec(request)?.into()).await?;
            let id = response.headers().get(CAPTURE_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
            if !response.status().is_success() {
                return Err(refusal(response.status(), &response.into_body().collect().await?.to_bytes()));
            }
            let mut body = response.into_body();
            let mut deadline = None;
            loop {
                let told = async {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                };
                let patience = async {
                    match deadline {
                        Some(deadline) => tokio::time::sleep_until(deadline).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    frame = body.frame() => {
                        let Some(frame) = frame else { return Ok(()) };
                        let part = frame.context("the daemon has gone away: what it captured until then is kept")?;
                        if let Some(data) = part.data_ref()
                            && take(data)? == Appetite::Sated
                        {
                            return Ok(());
                        }
                    }
                    () = told, if deadline.is_none() => {
                        deadline = Some(tokio::time::Instant::now() + FAREWELL);
                        if let Some(id) = &id {
                            let path = format!("/v1/capture/{id}/end");
                            self.send(Method::POST, &path, Bytes::new()).await?;
                        }
                    }
                    () = patience => anyhow::bail!("the daemon does not complete the capture: what came is kept"),
                }
            }
        })
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, body) = runtime.block_on(self.exchange(method, path, body))?;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body)
            .context("the daemon's answer makes no sense: is it of the same version?")
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await.with_context(|| {
            format!(
                "no softiov answers at {}: start one with `softiov run -c FILE`, or name its socket with --control",
                self.socket.display()
            )
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer, or with this program.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "softiov")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        Ok(sender.send_request(request).await?)
    }
}

/// What the daemon refuses, in its words.
fn refusal(status: StatusCode, body: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<ErrorView>(body) {
        Ok(view) => anyhow!("{}", view.error),
        Err(_) => anyhow!("{status}: {}", String::from_utf8_lossy(body)),
    }
}
