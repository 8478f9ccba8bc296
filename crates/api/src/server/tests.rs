//! The server with real sockets and a service in memory.

mod admission;
mod answers;
mod captures;
mod events;
mod greedy;
mod http;
mod memory;
mod refusals;
mod roles;
mod table;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::memory::Memory;
use super::connection::Connections;
use super::router::router;
use super::{Ending, Limits, Shared};
use crate::access::{Identity, Peer, Role};

/// Long enough that no test waits for it, unless it is what the test is about.
pub(super) const LIMITS: Limits = Limits {
    connections: 8,
    connections_each: 4,
    head: Duration::from_secs(60),
    body: Duration::from_secs(60),
    stall: Duration::from_secs(60),
    keep_alive: Duration::from_secs(60),
    farewell: Duration::from_secs(60),
};

/// What handlers share; the server ends with the sender.
fn shared(service: Arc<Memory>, limits: Limits) -> (Shared, watch::Sender<bool>) {
    let (tell, ending) = watch::channel(false);
    (Shared { service, limits, ending: Ending(ending) }, tell)
}

/// A connection to a server that takes its client for one of `role`.
fn connect(service: &Arc<Memory>, role: Option<Role>, limits: Limits) -> tokio::net::UnixStream {
    let (shared, tell) = shared(Arc::clone(service), limits);
    let ending = shared.ending.clone();
    let connections = Connections { router: router(shared), limits, ending };
    let (here, there) = tokio::net::UnixStream::pair().unwrap();
    let peer = Peer { identity: Identity::Uid(1000), role };
    tokio::spawn(async move {
        connections.serve(there, peer).await;
        drop(tell);
    });
    here
}
