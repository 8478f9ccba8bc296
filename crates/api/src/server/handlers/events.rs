//! What happens.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{BadBody, Refusals};
use crate::error::{ApiError, ErrorKind};
use crate::server::Shared;
use crate::server::extract::Parameters;
use crate::server::sse;
use crate::types::EventList;

/// Which events.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParameters {
    /// Those with a number above this one.
    since: Option<u64>,
    /// Further ones as they happen, which is the default; or only those of the past, as JSON.
    follow: Option<bool>,
}

/// Events: those that are kept, and further ones as they happen, as server-sent events; or with `follow=false`, those
/// that are kept as JSON.
///
/// `id` is the number of an event, `data` is an `EventView`. The header `last-event-id` resumes behind that number, as
/// `since` does. A reader that falls behind what is kept is told so by a comment and dropped.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(
        EventParameters,
        ("last-event-id" = Option<u64>, Header, description = "Number of the last event that was got; before `since`")
    ),
    responses(
        (status = 200, description = "Events", content(
            (EventList = "application/json"), (String = "text/event-stream")
        )),
        BadBody, Refusals
    )
)]
pub(crate) async fn events(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<EventParameters>,
) -> Result<Response, ApiError> {
    let since = last_event_id(&headers)?.or(parameters.since).unwrap_or(0);
    if parameters.follow == Some(false) {
        return Ok(Json(shared.service.events().since(since, usize::MAX)).into_response());
    }
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, sse::follow(&shared, since)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| {
        let message = format!("last-event-id {value:?} is not the number of an event");
        ApiError::new(ErrorKind::Malformed, "bad_last_event_id", message)
    })
}
