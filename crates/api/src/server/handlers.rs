//! What each route does: values in, the service asked, values out. The attributes are the API's description.

pub(crate) mod daemon;
pub(crate) mod desired;
pub(crate) mod events;
pub(crate) mod frames;
pub(crate) mod switches;
pub(crate) mod vfs;
pub(crate) mod vms;

use std::sync::Arc;

use axum::Json;
use utoipa::IntoResponses;

use super::Shared;
use crate::error::{ApiError, ErrorKind};
use crate::service::Service;
use crate::types::ErrorView;

/// An answer, or a refusal.
type Answer<T> = Result<Json<T>, ApiError>;

/// Asks the service where it holds no other request up.
async fn ask<T: Send + 'static>(
    shared: &Shared,
    question: impl FnOnce(&dyn Service) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let service = Arc::clone(&shared.service);
    let asked = tokio::task::spawn_blocking(move || question(service.as_ref())).await;
    asked.unwrap_or_else(|_| {
        let message = "the daemon failed at this request: its log says where";
        Err(ApiError::new(ErrorKind::Failed, "failed", message))
    })
}

/// What every request can be refused for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers, it is none")]
pub(crate) enum Refusals {
    /// The user has no role, or not the one that this needs.
    #[response(status = 403)]
    Forbidden(ErrorView),
    /// The daemon failed.
    #[response(status = 500)]
    Failed(ErrorView),
    /// The daemon cannot do this now, or has too many clients.
    #[response(status = 503)]
    Unavailable(ErrorView),
}

/// What a request about something by name can be refused for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers, it is none")]
pub(crate) enum NoSuch {
    /// The path makes no sense.
    #[response(status = 400)]
    Malformed(ErrorView),
    /// There is nothing of that name or number.
    #[response(status = 404)]
    NotFound(ErrorView),
}

/// What a request with a body can be refused for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers, it is none")]
pub(crate) enum BadBody {
    /// The body is no JSON, or the path or query makes no sense.
    #[response(status = 400)]
    Malformed(ErrorView),
    /// The body did not come to its end in time.
    #[response(status = 408)]
    TimedOut(ErrorView),
    /// The body has more than 1 MiB.
    #[response(status = 413)]
    TooLarge(ErrorView),
    /// The body is not said to be JSON.
    #[response(status = 415)]
    NotJson(ErrorView),
    /// The body has an unknown key, or a value that cannot be.
    #[response(status = 422)]
    Invalid(ErrorView),
}

/// What a change can be refused for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers, it is none")]
pub(crate) enum Contradiction {
    /// It contradicts what there is: a name or address that is taken, something that is in use.
    #[response(status = 409)]
    Conflict(ErrorView),
}
