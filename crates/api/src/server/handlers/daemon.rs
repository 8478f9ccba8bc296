//! The daemon as a whole.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::{Answer, BadBody, NoSuch, Refusals, ask};
use crate::error::{ApiError, ErrorKind};
use crate::metrics;
use crate::openapi::OPENAPI;
use crate::server::Shared;
use crate::server::extract::{Json as Body, Segments};
use crate::service::{PciFunction, Service};
use crate::types::{OidView, TextView, TopologyView};

/// Everything: the adapter, its switches, the VMs, counters, drops by reason.
#[utoipa::path(
    get, path = "/v1/topology", tag = "daemon", responses((status = 200, body = TopologyView), Refusals)
)]
pub(crate) async fn topology(State(shared): State<Shared>) -> Answer<TopologyView> {
    ask(&shared, Service::topology).await.map(Json)
}

/// Issues an OID request to the miniport, such as `"EnumVfs"` or `{"ResetVf":0}`.
#[utoipa::path(
    post, path = "/v1/oid", tag = "daemon",
    request_body(content = serde_json::Value, description = "A name, or an object where it has parameters",
        example = json!({"ResetVf": 0})),
    responses((status = 200, body = OidView), BadBody, Refusals)
)]
pub(crate) async fn oid(
    State(shared): State<Shared>,
    Body(request): Body<serde_json::Value>,
) -> Answer<OidView> {
    ask(&shared, move |service| service.oid(request)).await.map(Json)
}

/// Records every OID request and its answer into a new file of the daemon's host; `null` ends that.
#[utoipa::path(
    post, path = "/v1/oid-trace", tag = "daemon",
    request_body(content = Option<String>, description = "Path of the file, which must not exist yet",
        example = json!("/var/log/softiov/oids.json")),
    responses((status = 200, body = TextView), BadBody, Refusals)
)]
pub(crate) async fn record_oids(
    State(shared): State<Shared>,
    Body(file): Body<Option<PathBuf>>,
) -> Answer<TextView> {
    ask(&shared, move |service| service.record_oids(file)).await.map(Json)
}

/// Config space of a PCI function, as `lspci -F` reads it.
#[utoipa::path(
    get, path = "/v1/pci/{function}", tag = "daemon",
    params(("function" = String, Path, description = "`pf`, or the number of a VF")),
    responses((status = 200, body = TextView), NoSuch, Refusals)
)]
pub(crate) async fn pci_dump(
    State(shared): State<Shared>,
    Segments(function): Segments<String>,
) -> Answer<TextView> {
    let function = match function.as_str() {
        "pf" => PciFunction::Pf,
        number => PciFunction::Vf(number.parse().map_err(|_| {
            let message = format!("there is no function {number:?}: it is \"pf\" or the number of a VF");
            ApiError::new(ErrorKind::NotFound, "no_such_function", message)
        })?),
    };
    ask(&shared, move |service| service.pci_dump(function)).await.map(Json)
}

/// Drops the data path and builds it anew from what outlives it. Guests notice a pause.
#[utoipa::path(
    post, path = "/v1/datapath/rebuild", tag = "daemon",
    responses((status = 200, body = TextView), Refusals)
)]
pub(crate) async fn rebuild_data_path(State(shared): State<Shared>) -> Answer<TextView> {
    ask(&shared, Service::rebuild_data_path).await.map(Json)
}

/// Metrics for Prometheus: in the OpenMetrics format if the header `accept` asks for it, else in the older one.
#[utoipa::path(
    get, path = "/metrics", tag = "daemon",
    responses(
        (status = 200, description = "All metrics", content(
            (String = "text/plain"), (String = "application/openmetrics-text")
        )),
        Refusals
    )
)]
pub(crate) async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, ApiError> {
    let snapshot = ask(&shared, Service::metrics).await?;
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    Ok(if accept.contains("application/openmetrics-text") {
        ([(CONTENT_TYPE, metrics::OPEN_METRICS)], metrics::open_metrics(snapshot)).into_response()
    } else {
        ([(CONTENT_TYPE, metrics::CLASSIC)], metrics::classic(snapshot)).into_response()
    })
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "daemon",
    responses((status = 200, description = "OpenAPI 3.1", body = Object), Refusals)
)]
pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI.as_str()).into_response()
}

/// Whether the daemon answers.
#[utoipa::path(get, path = "/healthz", tag = "daemon", responses((status = 200, body = TextView), Refusals))]
pub(crate) async fn healthz() -> Json<TextView> {
    Json(TextView { text: "ok".to_owned() })
}
