//! One connection.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use super::stall::Stalling;
use super::{Ending, Limits};
use crate::access::Peer;

/// Bytes of a request's head, and of an answer that waits for its reader.
const BUFFER: usize = 64 << 10;

/// What all connections have in common.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) ending: Ending,
}

impl Connections {
    /// Serves `peer` on `stream` until it goes, breaks a bound, or the server ends.
    pub(super) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer) {
        let Self { router, limits, mut ending } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            respond(router.clone(), request)
        });
        let stream = TokioIo::new(Stalling::new(stream, limits.stall));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(BUFFER)
            .serve_connection(stream, service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = ending.begun() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(client = %peer.identity, %error, "a connection of the API ended early");
        }
    }
}

async fn respond(
    router: TowerToHyperService<Router>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    hyper::service::Service::call(&router, request).await
}
