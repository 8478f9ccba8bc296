//! The daemon's side.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sys::Listener;
use tokio::net::UnixListener;

use super::CAPTURE_ID;
use crate::daemon::{Daemon, DaemonError, parse_oid};
use crate::view::{
    AclRuleView, AddressChange, AddressView, CaptureRequest, ErrorView, FrameRequest, OidView, PolicyChange,
    TextView, TopologyView, TraceView,
};

type Shared = State<Arc<Daemon>>;

/// Clients that may wait to be served.
const BACKLOG: i32 = 128;
/// How long requests that are under way may take when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// The control socket, open to nobody but this user. It is removed with this value.
#[derive(Debug)]
pub(crate) struct ControlSocket(Listener);

impl ControlSocket {
    /// Listens at `path`, where a dead daemon may have left a socket. Clients wait until they are served.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<Self> {
        let listener = Listener::bind(path)?;
        // More than for a VF, which has one client.
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(Self(listener))
    }

    /// Serves `daemon` until `end` is done.
    pub(crate) async fn serve(
        &self,
        daemon: Arc<Daemon>,
        end: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let listener = std::os::unix::net::UnixListener::from(self.0.as_fd().try_clone_to_owned()?);
        let listener = UnixListener::from_std(listener)?;
        let routes = Router::new()
            .route("/v1/topology", get(topology))
            .route("/v1/oid", post(oid))
            .route("/v1/trace", post(trace))
            .route("/v1/pci/{function}", get(pci))
            .route("/v1/vm/{name}/qemu-args", get(qemu_args))
            .route("/v1/datapath/rebuild", post(rebuild))
            .route("/v1/switch/{name}/fdb", get(fdb).post(change_fdb))
            .route("/v1/port/{adapter}/acl", get(acl))
            .route("/v1/port/{adapter}/policy", post(change_policy))
            .route("/v1/explain", post(explain))
            .route("/v1/capture", post(capture))
            .route("/v1/capture/{id}/end", post(end_capture))
            .with_state(Arc::clone(&daemon));
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let serving = axum::serve(listener, routes).with_graceful_shutdown(async {
            // An error means that the other end was dropped: the end, too.
            let _ = told.await;
        });
        let ending = async {
            end.await;
            // Their files are completed; other requests end by themselves.
            daemon.end_captures();
            drop(tell);
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            served = serving.into_future() => Ok(served?),
            () = ending => Ok(()),
        }
    }
}

impl IntoResponse for DaemonError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoSuchVf { .. } | Self::NoSuchVm { .. } | Self::NoSuchFunction(_) | Self::Lookup(_) => {
                StatusCode::NOT_FOUND
            }
            Self::NoSuchRequest(_)
            | Self::Trace { .. }
            | Self::Policy(_)
            | Self::Frame(_)
            | Self::Capture(_) => StatusCode::BAD_REQUEST,
            Self::NoDataPath => StatusCode::SERVICE_UNAVAILABLE,
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
    tokio::task::spawn_blocking(move || work(&daemon)).await.unwrap_or(Err(DaemonError::Panicked))
}

async fn topology(State(daemon): Shared) -> Result<Json<TopologyView>, DaemonError> {
    blocking(daemon, Daemon::topology).await.map(Json)
}

async fn oid(
    State(daemon): Shared,
    Json(request): Json<serde_json::Value>,
) -> Result<Json<OidView>, DaemonError> {
    let request = parse_oid(request)?;
    blocking(daemon, move |daemon| daemon.oid(request)).await.map(Json)
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
        number => Some(number.parse().map_err(|_| DaemonError::NoSuchFunction(number.to_owned()))?),
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

async fn fdb(
    State(daemon): Shared,
    UrlPath(switch): UrlPath<String>,
) -> Result<Json<Vec<AddressView>>, DaemonError> {
    blocking(daemon, move |daemon| daemon.fdb(&switch)).await.map(Json)
}

async fn change_fdb(
    State(daemon): Shared,
    UrlPath(switch): UrlPath<String>,
    Json(change): Json<AddressChange>,
) -> Result<Json<()>, DaemonError> {
    blocking(daemon, move |daemon| daemon.change_fdb(&switch, &change)).await.map(Json)
}

async fn acl(
    State(daemon): Shared,
    UrlPath(adapter): UrlPath<String>,
) -> Result<Json<Vec<AclRuleView>>, DaemonError> {
    blocking(daemon, move |daemon| daemon.acl(&adapter)).await.map(Json)
}

async fn change_policy(
    State(daemon): Shared,
    UrlPath(adapter): UrlPath<String>,
    Json(change): Json<PolicyChange>,
) -> Result<Json<Vec<String>>, DaemonError> {
    blocking(daemon, move |daemon| daemon.change_policy(&adapter, &change)).await.map(Json)
}

async fn explain(
    State(daemon): Shared,
    Json(request): Json<FrameRequest>,
) -> Result<Json<TraceView>, DaemonError> {
    blocking(daemon, move |daemon| daemon.explain(&request)).await.map(Json)
}

async fn capture(
    State(daemon): Shared,
    Json(request): Json<CaptureRequest>,
) -> Result<Response, DaemonError> {
    let stream = blocking(daemon, move |daemon| daemon.capture(&request)).await?;
    let id = stream.id().to_string();
    Ok(([(CAPTURE_ID, id)], Body::new(stream)).into_response())
}

async fn end_capture(State(daemon): Shared, UrlPath(id): UrlPath<u64>) -> Result<Json<()>, DaemonError> {
    blocking(daemon, move |daemon| daemon.end_capture(id)).await.map(Json)
}
