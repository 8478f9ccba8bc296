//! Captures, as they come.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Bytes;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::{Appetite, Client, ClientError, json, runtime, streaming};
use crate::CAPTURE_ID;
use crate::types::CaptureRequest;

/// How long the daemon may take to complete a capture.
const FAREWELL: Duration = Duration::from_secs(3);

impl Client {
    /// Runs a capture, and hands on its parts as they come. SIGINT and SIGTERM have the daemon complete it; it
    /// also ends when `take` wants no more.
    ///
    /// # Errors
    /// The daemon does not answer, refuses, goes away or does not complete it; or what `take` says.
    pub fn capture<E: From<ClientError>>(
        &self,
        request: &CaptureRequest,
        mut take: impl FnMut(&[u8]) -> Result<Appetite, E>,
    ) -> Result<(), E> {
        runtime()?.block_on(async {
            // Before the capture starts: a signal that comes early must not leave half a file.
            let mut interrupt = signal(SignalKind::interrupt()).map_err(ClientError::Runtime)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(ClientError::Runtime)?;
            let response = self.send(Method::POST, "/v1/capture", json(request)?).await?;
            let response = streaming(response).await?;
            let id = response.headers().get(CAPTURE_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
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
                        let part = frame.map_err(ClientError::Lost)?;
                        if let Some(data) = part.data_ref()
                            && take(data)? == Appetite::Sated
                        {
                            return Ok(());
                        }
                    }
                    () = told, if deadline.is_none() => {
                        deadline = Some(Instant::now() + FAREWELL);
                        if let Some(id) = &id {
                            self.send(Method::POST, &format!("/v1/capture/{id}/end"), Bytes::new()).await?;
                        }
                    }
                    () = patience => return Err(ClientError::Incomplete.into()),
                }
            }
        })
    }
}
