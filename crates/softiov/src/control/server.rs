//! The daemon's side.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::{UnixListener, UnixStream};

use crate::daemon::{Daemon, DaemonError, parse_oid};
use crate::view::{ErrorView, OidView, TextView, TopologyView};

type Shared = State<Arc<Daemon>>;

/// Serves `daemon` at `path` until `end` is done.
pub(crate) async fn serve(
    daemon: Arc<Daemon>,
    path: &Path,
    ready: impl FnOnce(),
    end: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = bind(path).await?;
    let routes = Router::new()
        .route("/v1/topology", get(topology))
        .route("/v1/oid", post(oid))
        .route("/v1/trace", post(trace))
        .route("/v1/pci/{function}", get(pci))
        .route("/v1/vm/{name}/qemu-args", get(qemu_args))
        .route("/v1/datapath/rebuild", post(rebuild))
        .with_state(daemon);
    ready();
    let served = axum::serve(listener, routes).with_graceful_shutdown(end).await;
    // Best effort: a socket that is left is found stale by the next daemon.
    let _ = std::fs::remove_file(path);
    Ok(served?)
}

/// Listens at `path`, where a dead daemon may have left a socket.
async fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    if UnixStream::connect(path).await.is_ok() {
        anyhow::bail!(
            "another softiov serves {}: stop it, or choose another daemon.runtime_dir",
            path.display()
        );
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(anyhow::Error::new(error).context(format!("cannot replace {}", path.display())));
        }
        _ => {}
    }
    // The socket must not be open to others for even a moment.
    let mask = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let bound = UnixListener::bind(path);
    rustix::process::umask(mask);
    let listener =
        bound.map_err(|e| anyhow::Error::new(e).context(format!("cannot listen at {}", path.display())))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl IntoResponse for DaemonError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let error = format!("{:#}", anyhow::Error::new(self));
        (status, Json(ErrorView { error })).into_response()
    }
}

/// Runs what may wait for the bus thread off the thread that serves the others.
async fn blocking<T: Send + 'static>(
    daemon: Arc<Daemon>,
    work: impl FnOnce(&Daemon) -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    let done = tokio::task::spawn_blocking(move || work(&daemon)).await;
    done.map_err(|error| {
        DaemonError::BadRequest(format!("the request ended in an error of softiov: {error}"))
    })?
}

async fn topology(State(daemon): Shared) -> Result<Json<TopologyView>, DaemonError> {
    blocking(daemon, Daemon::topology).await.map(Json)
}

async fn oid(
    State(daemon): Shared,
    Json(request): Json<serde_json::Value>,
) -> Result<Json<OidView>, DaemonError> {
    let request = parse_oid(request)?;
    blocking(daemon, move |daemon| daemon.oid(request.into())).await.map(Json)
}

async fn trace(
    State(daemon): Shared,
    Json(path): Json<Option<PathBuf>>,
) -> Result<Json<TextView>, DaemonError> {
    let text = match &path {
        Some(path) => format!("recording OID requests in {}", path.display()),
        None => "recording ended".to_owned(),
    };
    blocking(daemon, move |daemon| daemon.trace(path.as_deref())).await?;
    Ok(Json(TextView { text }))
}

async fn pci(
    State(daemon): Shared,
    UrlPath(function): UrlPath<String>,
) -> Result<Json<TextView>, DaemonError> {
    let vf = match function.as_str() {
        "pf" => None,
        number => Some(number.parse().map_err(|_| {
            DaemonError::BadRequest(format!("{function:?} is no function: \"pf\", or the number of a VF"))
        })?),
    };
    let text = blocking(daemon, move |daemon| daemon.pci_dump(vf)).await?;
    Ok(Json(TextView { text }))
}

async fn qemu_args(
    State(daemon): Shared,
    UrlPath(name): UrlPath<String>,
) -> Result<Json<Vec<String>>, DaemonError> {
    blocking(daemon, move |daemon| daemon.qemu_args(&name)).await.map(Json)
}

async fn rebuild(State(daemon): Shared) -> Result<Json<TextView>, DaemonError> {
    blocking(daemon, Daemon::rebuild).await?;
    Ok(Json(TextView { text: "data path rebuilt".to_owned() }))
}
