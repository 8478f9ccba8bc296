//! What handlers read of a request, with refusals in the API's own words.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{MAX_BODY, Shared};
use crate::error::{ApiError, ErrorKind};

/// The variable segments of the path.
pub(crate) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, shared).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(error) => Err(ApiError::new(
                ErrorKind::Malformed,
                "bad_path",
                format!("the path {} makes no sense: {}", parts.uri.path(), error.body_text()),
            )),
        }
    }
}

/// What stands behind the question mark.
pub(crate) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, shared).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => Err(ApiError::new(ErrorKind::Malformed, "bad_query", error.body_text())),
        }
    }
}

/// A body of JSON, of bounded length and in bounded time.
pub(crate) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, ApiError> {
        let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or("?").to_owned());
        if !kind.as_deref().is_some_and(is_json) {
            return Err(ApiError::new(
                ErrorKind::NotJson,
                "not_json",
                format!(
                    "the body is {}: send JSON with the header `content-type: application/json`",
                    kind.as_deref().unwrap_or("of no content type")
                ),
            ));
        }
        let body = Limited::new(request.into_body(), MAX_BODY).collect();
        let patience = shared.limits.body;
        let body = match tokio::time::timeout(patience, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(ApiError::new(
                    ErrorKind::TooLarge,
                    "too_large",
                    format!("the body is too large: {MAX_BODY} bytes are possible"),
                ));
            }
            Ok(Err(error)) => {
                let message = format!("the body did not come to its end: {error}");
                return Err(ApiError::new(ErrorKind::Malformed, "bad_body", message));
            }
            Err(_) => {
                let message = format!("the body did not come to its end in {} s", patience.as_secs_f32());
                return Err(ApiError::new(ErrorKind::TimedOut, "timed_out", message));
            }
        };
        serde_json::from_slice(&body).map(Self).map_err(|error| match error.classify() {
            Category::Data => ApiError::new(ErrorKind::Invalid, "invalid", error.to_string()),
            Category::Syntax | Category::Eof | Category::Io => {
                ApiError::new(ErrorKind::Malformed, "malformed", format!("the body is no JSON: {error}"))
            }
        })
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or(kind).trim();
    kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("application/merge-patch+json")
}
