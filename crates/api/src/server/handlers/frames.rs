//! Frames: what would become of them, and what they are.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::{Answer, BadBody, NoSuch, Refusals, ask};
use crate::CAPTURE_ID;
use crate::error::ApiError;
use crate::server::Shared;
use crate::server::extract::{Json as Body, Segments};
use crate::types::{CaptureRequest, FrameRequest, TraceView};

/// What would become of a frame, and why. No frame is sent, nothing is counted.
#[utoipa::path(
    post, path = "/v1/trace", tag = "frames", request_body = FrameRequest,
    responses((status = 200, body = TraceView), NoSuch, BadBody, Refusals)
)]
pub(crate) async fn trace(
    State(shared): State<Shared>,
    Body(frame): Body<FrameRequest>,
) -> Answer<TraceView> {
    ask(&shared, move |service| service.trace(&frame)).await.map(Json)
}

/// Captures frames as pcapng. The header `softiov-capture` is the number by which the capture is ended.
#[utoipa::path(
    post, path = "/v1/capture", tag = "frames", request_body = CaptureRequest,
    responses(
        (status = 200, description = "The file, as it comes into being", content_type = "application/octet-stream",
            headers(("softiov-capture" = u64, description = "Number of the capture"))),
        NoSuch, BadBody, Refusals
    )
)]
pub(crate) async fn capture(
    State(shared): State<Shared>,
    Body(request): Body<CaptureRequest>,
) -> Result<Response, ApiError> {
    let capture = ask(&shared, move |service| service.capture(&request)).await?;
    let kind = (CONTENT_TYPE, "application/octet-stream");
    Ok(([(CAPTURE_ID, capture.id.to_string())], [kind], capture.file).into_response())
}

/// Has a capture completed: its file ends after what was captured until now.
#[utoipa::path(
    post, path = "/v1/capture/{id}/end", tag = "frames",
    params(("id" = u64, Path, description = "Number of the capture")),
    responses((status = 200, description = "It is being completed"), NoSuch, Refusals)
)]
pub(crate) async fn end_capture(State(shared): State<Shared>, Segments(id): Segments<u64>) -> Answer<()> {
    ask(&shared, move |service| service.end_capture(id)).await.map(Json)
}
