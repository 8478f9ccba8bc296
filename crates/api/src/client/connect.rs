//! How the daemon is reached.

use std::fmt;
use std::io;
use std::path::PathBuf;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::ClientError;
use crate::tls;

/// The daemon of another host, and how it and this client prove who they are.
#[derive(Clone, Debug)]
pub struct TcpServer {
    /// Name or address, as its certificate has it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The authority of its certificate, PEM.
    pub ca: PathBuf,
    /// This client's certificate, PEM.
    pub cert: PathBuf,
    /// The private key of that, PEM.
    pub key: PathBuf,
}

/// Where the daemon is.
#[derive(Clone)]
pub(super) enum Server {
    Unix(PathBuf),
    Tcp { host: String, port: u16, name: ServerName<'static>, tls: TlsConnector },
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Self::Tcp { host, port, .. } => f.debug_tuple("Tcp").field(host).field(port).finish(),
        }
    }
}

impl Server {
    pub(super) fn tcp(server: TcpServer) -> Result<Self, ClientError> {
        let TcpServer { host, port, ca, cert, key } = server;
        let name =
            ServerName::try_from(host.clone()).map_err(|_| ClientError::ServerName { name: host.clone() })?;
        Ok(Self::Tcp { tls: tls::connector(&ca, &cert, &key)?, host, port, name })
    }

    /// What the header `host` says.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Unix(_) => "softiov",
            Self::Tcp { host, .. } => host,
        }
    }

    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                speak(stream.map_err(|source| ClientError::NoDaemon { path: path.clone(), source })?).await
            }
            Self::Tcp { host, port, name, tls } => {
                let stream = async {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    tls.connect(name.clone(), stream).await
                };
                let failed =
                    |source: io::Error| ClientError::NoServer { address: format!("{host}:{port}"), source };
                speak(stream.await.map_err(failed)?).await
            }
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(ClientError::Lost)?;
    // It ends with the answer, or with the runtime of the call.
    tokio::spawn(connection);
    Ok(sender)
}
