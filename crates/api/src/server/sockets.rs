//! The sockets, and who is let in.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustls::ServerConfig;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::admission::{Admission, Admitted, Client};
use super::connection::Connections;
use super::router::router;
use super::{Ending, Limits, Shared};
use crate::access::{Access, Identity, Role};
use crate::config::ApiConfig;
use crate::service::Service;
use crate::tls::{self, TlsError};
use crate::types::ErrorView;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 128;
/// Pause when no connection can be accepted: mostly there is no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No socket at the path.
    #[error(transparent)]
    Unix(#[from] sys::BindError),
    /// The mode of its file cannot be set.
    #[error("the mode of the socket {path:?} cannot be set")]
    Mode {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No socket at the address.
    #[error("the API cannot listen at {listen}, the `listen` of [api.tcp]")]
    Tcp {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Certificates or keys are no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The kernel refused.
    #[error("the sockets of the API cannot be served")]
    Io(#[from] io::Error),
}

/// The sockets of the API. Clients wait at them until they are served. The path is removed with this value.
#[derive(Debug)]
pub struct Sockets {
    unix: sys::Listener,
    tcp: Option<(TcpListener, Arc<ServerConfig>)>,
    access: Arc<Access>,
}

impl Sockets {
    /// Listens at `path`, where a dead daemon may have left a socket, and at what `config` says.
    ///
    /// # Errors
    /// What is in the way, and which path, address or file that is.
    pub fn bind(path: &Path, config: &ApiConfig) -> Result<Self, ServeError> {
        let tcp = match &config.tcp {
            None => None,
            Some(tcp) => {
                let tls = tls::server(tcp)?;
                let listener = TcpListener::bind(tcp.listen)
                    .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                    .map_err(|source| ServeError::Tcp { listen: tcp.listen, source })?;
                Some((listener, tls))
            }
        };
        let unix = sys::Listener::bind(path)?;
        rustix::net::listen(&unix, BACKLOG).map_err(io::Error::from)?;
        // It was made for its user only, and is opened wider from there.
        rustix::fs::chmod(path, Mode::from_raw_mode(config.socket_mode.bits()))
            .map_err(|errno| ServeError::Mode { path: path.to_owned(), source: errno.into() })?;
        Ok(Self { unix, tcp, access: Arc::new(Access::new(config)) })
    }

    /// The TCP address that it listens at, if it does.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves `service` until `end` is done. Captures are completed then, and requests that are under way have
    /// [`Limits::farewell`] to come to their end.
    ///
    /// # Errors
    /// The sockets cannot be used. Clients are no reason to fail.
    pub async fn serve(
        &self,
        service: Arc<dyn Service>,
        limits: Limits,
        end: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let (tell, ending) = watch::channel(false);
        let ending = Ending(ending);
        let shared = Shared { service: Arc::clone(&service), limits, ending: ending.clone() };
        let hall = Hall {
            connections: Connections { router: router(shared), limits, ending },
            admission: Admission::new(&limits),
            access: Arc::clone(&self.access),
        };
        let unix = UnixListener::from(self.unix.as_fd().try_clone_to_owned()?);
        let unix = tokio::net::UnixListener::from_std(unix)?;
        let tcp = match &self.tcp {
            Some((listener, tls)) => {
                let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
                Some((listener, TlsAcceptor::from(Arc::clone(tls))))
            }
            None => None,
        };
        let mut clients = JoinSet::new();
        let mut end = std::pin::pin!(end);
        loop {
            let arrived = tokio::select! {
                () = end.as_mut() => break,
                // Those who have gone are forgotten.
                Some(_) = clients.join_next() => continue,
                accepted = unix.accept() => accepted.map(|(stream, _)| hall.unix(stream, &mut clients)),
                accepted = accept(tcp.as_ref()) => {
                    accepted.map(|(stream, from, acceptor)| hall.tcp(stream, from, acceptor, &mut clients))
                }
            };
            if let Err(error) = arrived {
                tracing::debug!(%error, "a client of the API cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
        service.end_captures();
        tell.send_replace(true);
        // Who is not done by then is cut off: dropping the set ends them.
        let all_done = async { while clients.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(limits.farewell, all_done).await;
        Ok(())
    }
}

async fn accept(
    tcp: Option<&(tokio::net::TcpListener, TlsAcceptor)>,
) -> io::Result<(TcpStream, SocketAddr, &TlsAcceptor)> {
    match tcp {
        Some((listener, acceptor)) => listener.accept().await.map(|(stream, from)| (stream, from, acceptor)),
        None => std::future::pending().await,
    }
}

/// Where clients arrive.
struct Hall {
    connections: Connections,
    admission: Admission,
    access: Arc<Access>,
}

impl Hall {
    fn unix(&self, stream: UnixStream, clients: &mut JoinSet<()>) {
        let Ok(credentials) = stream.peer_cred() else { return };
        let uid = credentials.uid();
        let peer = self.access.peer(Identity::Uid(uid));
        match self.admission.admit(Client::User { uid, admin: peer.role == Some(Role::Admin) }) {
            Some(admitted) => {
                let connections = self.connections.clone();
                clients.spawn(hold(admitted, async move { connections.serve(stream, peer).await }));
            }
            None => turn_away(stream),
        }
    }

    fn tcp(&self, stream: TcpStream, from: SocketAddr, acceptor: &TlsAcceptor, clients: &mut JoinSet<()>) {
        // One too many is not worth a handshake.
        let Some(admitted) = self.admission.admit(Client::Address(from.ip())) else { return };
        let (connections, access) = (self.connections.clone(), Arc::clone(&self.access));
        let handshake = tokio::time::timeout(connections.limits.head, acceptor.accept(stream));
        clients.spawn(hold(admitted, async move {
            let stream = match handshake.await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(client = %from, %error, "a client of the API is refused by TLS");
                    return;
                }
                Err(_) => return,
            };
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            if let Some(fingerprint) = certificate.map(|certificate| tls::fingerprint(certificate)) {
                connections.serve(stream, access.peer(Identity::Certificate(fingerprint))).await;
            }
        }));
    }
}

/// Does `work` while `admitted` is counted.
async fn hold(admitted: Admitted, work: impl Future<Output = ()>) {
    work.await;
    drop(admitted);
}

fn turn_away(stream: UnixStream) {
    let refused = ErrorView {
        error: "there are too many connections already: try again later".to_owned(),
        code: "too_many_clients".to_owned(),
    };
    let body = serde_json::to_string(&refused).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A new socket has room for it; and who gets nothing sees at least that the connection ends.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(answer.as_bytes());
    }
}
