//! Who may do what.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{ApiConfig, Fingerprint};
use crate::error::{ApiError, ErrorKind};

/// What a user may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything, and changes nothing.
    Viewer,
    /// Moves adapters between their paths, detaches and resets VFs, sets policies of ports, captures and traces frames.
    Operator,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// Who asks, as the kernel or TLS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// The user at the other end of a unix socket (`SO_PEERCRED`).
    Uid(u32),
    /// The certificate at the other end of a TLS connection.
    Certificate(Fingerprint),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "uid {uid}"),
            Self::Certificate(fingerprint) => write!(f, "the certificate with the fingerprint {fingerprint}"),
        }
    }
}

/// Somebody who is connected, with what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub identity: Identity,
    /// What it may do; none if it is not listed.
    pub role: Option<Role>,
}

impl Peer {
    /// Lets it pass if it has `needed` or more.
    ///
    /// # Errors
    /// `forbidden`, with who it is, what it has and what it needs.
    pub fn check(&self, needed: Role) -> Result<(), ApiError> {
        let identity = self.identity;
        let message = match self.role {
            Some(role) if role >= needed => return Ok(()),
            Some(role) => format!("{identity} has the role {role}; this needs the role {needed}"),
            None => {
                let table = match identity {
                    Identity::Uid(_) => "[[api.user]]",
                    Identity::Certificate(_) => "[[api.tcp.client]]",
                };
                format!(
                    "{identity} has no role here; this needs the role {needed}: an administrator can give it one with \
                     {table}"
                )
            }
        };
        Err(ApiError::new(ErrorKind::Forbidden, "forbidden", message))
    }
}

/// The list of who has which role.
#[derive(Clone, Debug)]
pub struct Access {
    users: BTreeMap<u32, Role>,
    certificates: BTreeMap<Fingerprint, Role>,
}

impl Access {
    /// Those of `config`; and root and the user of this process, who are admins whatever it says.
    #[must_use]
    pub fn new(config: &ApiConfig) -> Self {
        let mut users: BTreeMap<u32, Role> = config.users.iter().map(|user| (user.uid, user.role)).collect();
        users.insert(0, Role::Admin);
        users.insert(rustix::process::geteuid().as_raw(), Role::Admin);
        let clients = config.tcp.iter().flat_map(|tcp| &tcp.clients);
        Self { users, certificates: clients.map(|client| (client.fingerprint, client.role)).collect() }
    }

    /// Who `identity` is here.
    #[must_use]
    pub fn peer(&self, identity: Identity) -> Peer {
        let role = match &identity {
            Identity::Uid(uid) => self.users.get(uid),
            Identity::Certificate(fingerprint) => self.certificates.get(fingerprint),
        };
        Peer { identity, role: role.copied() }
    }
}

/// The role that `method` on the route `path` needs. What is not said here is for admins: a route that is forgotten is
/// closed.
#[must_use]
pub fn needed_role(method: &Method, path: &str) -> Role {
    if method == Method::GET || method == Method::HEAD {
        return Role::Viewer;
    }
    match path {
        "/v1/vms/{vm}/adapters/{adapter}/failover"
        | "/v1/vfs/{vf}/detach"
        | "/v1/vfs/{vf}/reset"
        | "/v1/trace"
        | "/v1/capture"
        | "/v1/capture/{id}/end"
        | "/v1/port/{adapter}/policy"
            if method == Method::POST =>
        {
            Role::Operator
        }
        _ => Role::Admin,
    }
}

#[cfg(test)]
mod tests;
