//! Which path leads where, and who may go there.

use axum::Router;
use axum::extract::{Extension, MatchedPath, Request};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, patch, post};

use super::Shared;
use super::handlers::{daemon, desired, events, frames, switches, vfs, vms};
use crate::access::{Peer, Role, needed_role};
use crate::error::{ApiError, ErrorKind};

/// All routes. A request must have its [`Peer`] as an extension.
pub(super) fn router(shared: Shared) -> Router {
    let adapter = get(vms::adapter).patch(vms::patch_adapter).delete(vms::delete_adapter);
    Router::new()
        .route("/v1/topology", get(daemon::topology))
        .route("/v1/vms", get(vms::vms).post(vms::create_vm))
        .route("/v1/vms/{vm}", get(vms::vm).patch(vms::patch_vm).delete(vms::delete_vm))
        .route("/v1/vms/{vm}/adapters", post(vms::create_adapter))
        .route("/v1/vms/{vm}/adapters/{adapter}", adapter)
        .route("/v1/vms/{vm}/adapters/{adapter}/explain", get(vms::explain))
        .route("/v1/vms/{vm}/adapters/{adapter}/failover", post(vms::failover))
        .route("/v1/vms/{vm}/qemu-args", get(vms::qemu_args))
        .route("/v1/vfs", get(vfs::vfs))
        .route("/v1/vfs/{vf}/detach", post(vfs::detach_vf))
        .route("/v1/vfs/{vf}/reset", post(vfs::reset_vf))
        .route("/v1/adapter", patch(vfs::set_adapter))
        .route("/v1/events", get(events::events))
        .route("/v1/apply", post(desired::apply))
        .route("/v1/oid", post(daemon::oid))
        .route("/v1/oid-trace", post(daemon::record_oids))
        .route("/v1/pci/{function}", get(daemon::pci_dump))
        .route("/v1/datapath/rebuild", post(daemon::rebuild_data_path))
        .route("/v1/switch/{switch}/fdb", get(switches::fdb).post(switches::change_fdb))
        .route("/v1/port/{adapter}/acl", get(switches::acl))
        .route("/v1/port/{adapter}/policy", post(switches::change_policy))
        .route("/v1/trace", post(frames::trace))
        .route("/v1/capture", post(frames::capture))
        .route("/v1/capture/{id}/end", post(frames::end_capture))
        .route("/metrics", get(daemon::metrics))
        .route("/openapi.json", get(daemon::openapi))
        .route("/healthz", get(daemon::healthz))
        .route_layer(from_fn(check))
        .method_not_allowed_fallback(no_such_method)
        .fallback(no_such_path)
        .with_state(shared)
}

/// Lets a request pass if its sender has the role for it; before anything of its body is read.
async fn check(
    Extension(peer): Extension<Peer>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    peer.check(needed_role(request.method(), path.as_str()))?;
    Ok(next.run(request).await)
}

async fn no_such_path(Extension(peer): Extension<Peer>, uri: Uri) -> ApiError {
    // Strangers do not learn what there is.
    if let Err(refused) = peer.check(Role::Viewer) {
        return refused;
    }
    let message = format!("there is no {}: /openapi.json lists what there is", uri.path());
    ApiError::new(ErrorKind::NotFound, "no_such_path", message)
}

async fn no_such_method(Extension(peer): Extension<Peer>, method: Method, uri: Uri) -> ApiError {
    if let Err(refused) = peer.check(Role::Viewer) {
        return refused;
    }
    let message = format!("{} cannot be asked for with {method}: /openapi.json lists what can", uri.path());
    ApiError::new(ErrorKind::MethodNotAllowed, "no_such_method", message)
}
