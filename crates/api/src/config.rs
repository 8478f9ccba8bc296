//! `[api]` of the configuration: who may use the API, and how it is reached.

mod values;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub use self::values::{Fingerprint, SocketMode};
use crate::access::Role;

/// `[api]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Mode of the socket's file: who may connect at all.
    pub socket_mode: SocketMode,
    /// `[[api.user]]`: who may do what. root and the daemon's own user may do everything.
    #[serde(rename = "user", deserialize_with = "users")]
    pub users: Vec<UserConfig>,
    /// `[api.tcp]`: TLS over TCP, for clients with a certificate only.
    pub tcp: Option<TcpConfig>,
}

/// `[[api.user]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The user, as the kernel tells it of the other end of the socket.
    pub uid: u32,
    /// What it may do.
    pub role: Role,
}

/// `[api.tcp]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpConfig {
    /// Address and port to listen at.
    pub listen: SocketAddr,
    /// The certificate of the server with the chain to its authority, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authority that clients' certificates must come from, PEM.
    pub client_ca: PathBuf,
    /// `[[api.tcp.client]]`: who may do what.
    #[serde(rename = "client", default, deserialize_with = "clients")]
    pub clients: Vec<ClientConfig>,
}

/// `[[api.tcp.client]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// SHA-256 of its certificate, as `openssl x509 -noout -fingerprint -sha256` prints it.
    pub fingerprint: Fingerprint,
    /// What it may do.
    pub role: Role,
}

fn users<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<UserConfig>, D::Error> {
    let users = Vec::<UserConfig>::deserialize(deserializer)?;
    let mut seen = BTreeSet::new();
    match users.iter().find(|user| !seen.insert(user.uid)) {
        Some(user) => Err(D::Error::custom(format!("uid {} is listed twice: once is enough", user.uid))),
        None => Ok(users),
    }
}

fn clients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ClientConfig>, D::Error> {
    let clients = Vec::<ClientConfig>::deserialize(deserializer)?;
    let mut seen = BTreeSet::new();
    match clients.iter().find(|client| !seen.insert(client.fingerprint)) {
        Some(client) => Err(D::Error::custom(format!(
            "the fingerprint {} is listed twice: once is enough",
            client.fingerprint
        ))),
        None => Ok(clients),
    }
}

#[cfg(test)]
mod tests;
