//! Refusals: what a client gets that asks for something that cannot be.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::types::ErrorView;

/// Why a request is not done: a status for HTTP, a word for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    kind: ErrorKind,
    code: &'static str,
    message: String,
}

/// What sort of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// 400: the request is no JSON, or its path or query makes no sense.
    Malformed,
    /// 403: not for this user.
    Forbidden,
    /// 404: what it is about is not there.
    NotFound,
    /// 405: there is something, but not this method of it.
    MethodNotAllowed,
    /// 408: it did not come to its end in time.
    TimedOut,
    /// 409: it contradicts what there is: a name or address that is taken, a VM in use.
    Conflict,
    /// 413: its body is too large.
    TooLarge,
    /// 415: its body is not said to be JSON.
    NotJson,
    /// 422: its body is JSON with an unknown key, or a value that cannot be.
    Invalid,
    /// 500: the daemon failed.
    Failed,
    /// 503: not now.
    Unavailable,
}

impl ErrorKind {
    /// The status of HTTP.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl ApiError {
    /// A refusal: `code` is a word in snake case that does not change, `message` a sentence.
    #[must_use]
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into() }
    }

    /// What sort it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// As it travels.
    #[must_use]
    pub fn view(&self) -> ErrorView {
        ErrorView { error: self.message.clone(), code: self.code.to_owned() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.kind.status(), Json(self.view())).into_response()
    }
}
