//! Virtual functions and their adapter.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Answer, BadBody, Contradiction, NoSuch, Refusals, ask};
use crate::error::ApiError;
use crate::server::Shared;
use crate::server::extract::{Json as Body, Segments};
use crate::service::Service;
use crate::types::{AdapterChange, AdapterView, TextView, VfView};

/// The VFs.
#[utoipa::path(get, path = "/v1/vfs", tag = "vfs", responses((status = 200, body = [VfView]), Refusals))]
pub(crate) async fn vfs(State(shared): State<Shared>) -> Answer<Vec<VfView>> {
    ask(&shared, Service::vfs).await.map(Json)
}

/// Takes a VF from its VM. The answer says what was begun; events say what came of it.
#[utoipa::path(
    post, path = "/v1/vfs/{vf}/detach", tag = "vfs", params(("vf" = u16, Path, description = "Its number")),
    responses((status = 202, description = "It has begun", body = TextView), NoSuch, Contradiction, Refusals)
)]
pub(crate) async fn detach_vf(
    State(shared): State<Shared>,
    Segments(vf): Segments<u16>,
) -> Result<(StatusCode, Json<TextView>), ApiError> {
    let begun = ask(&shared, move |service| service.detach_vf(vf)).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Resets a VF. The answer says what was begun; events say what came of it.
#[utoipa::path(
    post, path = "/v1/vfs/{vf}/reset", tag = "vfs", params(("vf" = u16, Path, description = "Its number")),
    responses((status = 202, description = "It has begun", body = TextView), NoSuch, Contradiction, Refusals)
)]
pub(crate) async fn reset_vf(
    State(shared): State<Shared>,
    Segments(vf): Segments<u16>,
) -> Result<(StatusCode, Json<TextView>), ApiError> {
    let begun = ask(&shared, move |service| service.reset_vf(vf)).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Changes the SR-IOV adapter: how many VFs are enabled. VFs in use are not disturbed.
#[utoipa::path(
    patch, path = "/v1/adapter", tag = "vfs", request_body = AdapterChange,
    responses((status = 200, body = AdapterView), BadBody, Contradiction, Refusals)
)]
pub(crate) async fn set_adapter(
    State(shared): State<Shared>,
    Body(change): Body<AdapterChange>,
) -> Answer<AdapterView> {
    ask(&shared, move |service| service.set_adapter(&change)).await.map(Json)
}
