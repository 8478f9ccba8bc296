//! Virtual machines and their adapters.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use virt_stack::desired::{AdapterSpec, VmSpec};

use super::{Answer, BadBody, Contradiction, NoSuch, Refusals, ask};
use crate::error::{ApiError, ErrorKind};
use crate::merge_patch::MergePatch;
use crate::openapi::{AdapterPatchSchema, VmPatchSchema};
use crate::server::Shared;
use crate::server::extract::{Json as Body, Segments};
use crate::service::Service;
use crate::types::{ExplainView, FailoverRequest, TextView, VmAdapterView, VmView};

/// The VMs.
#[utoipa::path(get, path = "/v1/vms", tag = "vms", responses((status = 200, body = [VmView]), Refusals))]
pub(crate) async fn vms(State(shared): State<Shared>) -> Answer<Vec<VmView>> {
    ask(&shared, Service::vms).await.map(Json)
}

/// A further VM.
#[utoipa::path(
    post, path = "/v1/vms", tag = "vms", request_body = VmSpec,
    responses(
        (status = 201, description = "It is there, and its header `location` says where", body = VmView),
        BadBody, Contradiction, Refusals
    )
)]
pub(crate) async fn create_vm(
    State(shared): State<Shared>,
    Body(vm): Body<VmSpec>,
) -> Result<Response, ApiError> {
    let path = format!("/v1/vms/{}", vm.name);
    let vm = ask(&shared, move |service| service.create_vm(vm)).await?;
    Ok(created(path, vm))
}

/// A VM.
#[utoipa::path(
    get, path = "/v1/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Its name")),
    responses((status = 200, body = VmView), NoSuch, Refusals)
)]
pub(crate) async fn vm(State(shared): State<Shared>, Segments(vm): Segments<String>) -> Answer<VmView> {
    ask(&shared, move |service| service.vm(&vm)).await.map(Json)
}

/// Changes a VM. JSON merge patch: `null` sets a member back to its default; lists are replaced whole.
#[utoipa::path(
    patch, path = "/v1/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Its name")),
    request_body(content = VmPatchSchema, content_type = "application/merge-patch+json"),
    responses((status = 200, body = VmView), NoSuch, BadBody, Contradiction, Refusals)
)]
pub(crate) async fn patch_vm(
    State(shared): State<Shared>,
    Segments(vm): Segments<String>,
    Body(patch): Body<MergePatch>,
) -> Answer<VmView> {
    keeps_name(&patch, &vm)?;
    ask(&shared, move |service| service.patch_vm(&vm, &patch)).await.map(Json)
}

/// Removes a VM.
#[utoipa::path(
    delete, path = "/v1/vms/{vm}", tag = "vms", params(("vm" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"), NoSuch, Contradiction, Refusals)
)]
pub(crate) async fn delete_vm(
    State(shared): State<Shared>,
    Segments(vm): Segments<String>,
) -> Result<StatusCode, ApiError> {
    ask(&shared, move |service| service.delete_vm(&vm)).await.map(|()| StatusCode::NO_CONTENT)
}

/// A further adapter of a VM.
#[utoipa::path(
    post, path = "/v1/vms/{vm}/adapters", tag = "adapters",
    params(("vm" = String, Path, description = "Name of the VM")), request_body = AdapterSpec,
    responses(
        (status = 201, description = "It is there, and its header `location` says where", body = VmAdapterView),
        NoSuch, BadBody, Contradiction, Refusals
    )
)]
pub(crate) async fn create_adapter(
    State(shared): State<Shared>,
    Segments(vm): Segments<String>,
    Body(adapter): Body<AdapterSpec>,
) -> Result<Response, ApiError> {
    let path = format!("/v1/vms/{vm}/adapters");
    let adapter = ask(&shared, move |service| service.create_adapter(&vm, adapter)).await?;
    Ok(created(format!("{path}/{}", adapter.name), adapter))
}

/// An adapter of a VM.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/adapters/{adapter}", tag = "adapters",
    params(("vm" = String, Path, description = "Name of the VM"), ("adapter" = String, Path, description = "Its name")),
    responses((status = 200, body = VmAdapterView), NoSuch, Refusals)
)]
pub(crate) async fn adapter(
    State(shared): State<Shared>,
    Segments((vm, adapter)): Segments<(String, String)>,
) -> Answer<VmAdapterView> {
    ask(&shared, move |service| service.adapter(&vm, &adapter)).await.map(Json)
}

/// Changes an adapter. JSON merge patch: `null` sets a member back to its default; lists are replaced whole.
#[utoipa::path(
    patch, path = "/v1/vms/{vm}/adapters/{adapter}", tag = "adapters",
    params(("vm" = String, Path, description = "Name of the VM"), ("adapter" = String, Path, description = "Its name")),
    request_body(content = AdapterPatchSchema, content_type = "application/merge-patch+json"),
    responses((status = 200, body = VmAdapterView), NoSuch, BadBody, Contradiction, Refusals)
)]
pub(crate) async fn patch_adapter(
    State(shared): State<Shared>,
    Segments((vm, adapter)): Segments<(String, String)>,
    Body(patch): Body<MergePatch>,
) -> Answer<VmAdapterView> {
    keeps_name(&patch, &adapter)?;
    ask(&shared, move |service| service.patch_adapter(&vm, &adapter, &patch)).await.map(Json)
}

/// Removes an adapter.
#[utoipa::path(
    delete, path = "/v1/vms/{vm}/adapters/{adapter}", tag = "adapters",
    params(("vm" = String, Path, description = "Name of the VM"), ("adapter" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"), NoSuch, Contradiction, Refusals)
)]
pub(crate) async fn delete_adapter(
    State(shared): State<Shared>,
    Segments((vm, adapter)): Segments<(String, String)>,
) -> Result<StatusCode, ApiError> {
    ask(&shared, move |service| service.delete_adapter(&vm, &adapter)).await.map(|()| StatusCode::NO_CONTENT)
}

/// Why an adapter is on its path, and what would have to change.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/adapters/{adapter}/explain", tag = "adapters",
    params(("vm" = String, Path, description = "Name of the VM"), ("adapter" = String, Path, description = "Its name")),
    responses((status = 200, body = ExplainView), NoSuch, Refusals)
)]
pub(crate) async fn explain(
    State(shared): State<Shared>,
    Segments((vm, adapter)): Segments<(String, String)>,
) -> Answer<ExplainView> {
    ask(&shared, move |service| service.explain(&vm, &adapter)).await.map(Json)
}

/// Moves an adapter to its VF or its synthetic part. The answer says what was begun; events say what came of it.
#[utoipa::path(
    post, path = "/v1/vms/{vm}/adapters/{adapter}/failover", tag = "adapters",
    params(("vm" = String, Path, description = "Name of the VM"), ("adapter" = String, Path, description = "Its name")),
    request_body(content = FailoverRequest, example = json!({"to": "synthetic"})),
    responses(
        (status = 202, description = "It has begun", body = TextView), NoSuch, BadBody, Contradiction, Refusals
    )
)]
pub(crate) async fn failover(
    State(shared): State<Shared>,
    Segments((vm, adapter)): Segments<(String, String)>,
    Body(request): Body<FailoverRequest>,
) -> Result<(StatusCode, Json<TextView>), ApiError> {
    let begun = ask(&shared, move |service| service.failover(&vm, &adapter, request.to)).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// The arguments that attach a QEMU guest.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/qemu-args", tag = "vms", params(("vm" = String, Path, description = "Its name")),
    responses((status = 200, body = [String]), NoSuch, Refusals)
)]
pub(crate) async fn qemu_args(
    State(shared): State<Shared>,
    Segments(vm): Segments<String>,
) -> Answer<Vec<String>> {
    ask(&shared, move |service| service.qemu_args(&vm)).await.map(Json)
}

fn created(path: String, body: impl serde::Serialize) -> Response {
    (StatusCode::CREATED, [(LOCATION, path)], Json(body)).into_response()
}

/// Sockets, ports and events have the name: it cannot be changed.
fn keeps_name(patch: &MergePatch, name: &str) -> Result<(), ApiError> {
    match patch.member("name") {
        Some(other) if other.as_str() != Some(name) => Err(ApiError::new(
            ErrorKind::Invalid,
            "name_is_fixed",
            format!("the name {name:?} cannot be changed to {other}: remove it and add another"),
        )),
        _ => Ok(()),
    }
}
