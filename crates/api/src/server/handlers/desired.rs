//! All that is wanted at once.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::{Answer, BadBody, Contradiction, Refusals, ask};
use crate::server::Shared;
use crate::server::extract::{Json as Body, Parameters};
use crate::types::{DesiredState, PlanView};

/// How to apply.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApplyParameters {
    /// Changes nothing, and tells what would be changed.
    #[param(required = false)]
    dry_run: bool,
}

/// Makes this all that is wanted: what is not in it is removed. All of it is done or nothing.
#[utoipa::path(
    post, path = "/v1/apply", tag = "desired state", params(ApplyParameters), request_body = DesiredState,
    responses((status = 200, body = PlanView), BadBody, Contradiction, Refusals)
)]
pub(crate) async fn apply(
    State(shared): State<Shared>,
    Parameters(parameters): Parameters<ApplyParameters>,
    Body(desired): Body<DesiredState>,
) -> Answer<PlanView> {
    ask(&shared, move |service| service.apply(&desired, parameters.dry_run)).await.map(Json)
}
