//! Answers: JSON, and errors as `{code, message, hint}` with the status that fits.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nightshift_protocol::{ErrorCode, UserError};

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) UserError);

impl From<UserError> for Refusal {
    fn from(error: UserError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let too_large = self.0.code == ErrorCode::TooLarge;
        let mut response = (status(self.0.code), Json(self.0)).into_response();
        if too_large {
            // The rest of the body was not read: nothing else can come over this connection.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidRequest
        | ErrorCode::NotARepository
        | ErrorCode::EmptyRepository
        | ErrorCode::UnknownModel
        | ErrorCode::ModelRefused
        | ErrorCode::DeliveryRefused
        | ErrorCode::ForgeRefused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::NotAuthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::NotFound | ErrorCode::RepositoryNotFound | ErrorCode::BranchNotFound => {
            StatusCode::NOT_FOUND
        }
        ErrorCode::Conflict | ErrorCode::MergeConflict | ErrorCode::OwnerRunning => StatusCode::CONFLICT,
        ErrorCode::DiskFull | ErrorCode::OutOfMemory => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::MissingKey | ErrorCode::WrongKey | ErrorCode::LimitReached => StatusCode::FORBIDDEN,
        ErrorCode::ModelUnavailable
        | ErrorCode::ForgeUnavailable
        | ErrorCode::QemuMissing
        | ErrorCode::ToolMissing
        | ErrorCode::OwnerUnreachable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::SandboxFailed | ErrorCode::ImageFailed | ErrorCode::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_status_that_fits() {
        use ErrorCode::*;
        let table = [
            (
                422,
                &[
                    InvalidRequest,
                    NotARepository,
                    EmptyRepository,
                    UnknownModel,
                    ModelRefused,
                    DeliveryRefused,
                    ForgeRefused,
                ][..],
            ),
            (413, &[TooLarge]),
            (401, &[NotAuthorized]),
            (404, &[NotFound, RepositoryNotFound, BranchNotFound]),
            (409, &[Conflict, MergeConflict, OwnerRunning]),
            (507, &[DiskFull, OutOfMemory]),
            (403, &[MissingKey, WrongKey, LimitReached]),
            (503, &[ModelUnavailable, ForgeUnavailable, QemuMissing, ToolMissing, OwnerUnreachable]),
            (500, &[SandboxFailed, ImageFailed, Internal]),
        ];
        for (expected, codes) in table {
            for code in codes {
                assert_eq!(status(*code).as_u16(), expected, "{code:?}");
            }
        }
    }

    #[test]
    fn an_error_leaves_as_json() {
        let response = Refusal(UserError::new(ErrorCode::NotFound, "no run", "Look.")).into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(!response.headers().contains_key(header::CONNECTION));
    }

    #[test]
    fn a_connection_with_an_unread_body_is_not_used_again() {
        let response = Refusal(UserError::new(ErrorCode::TooLarge, "too large", "Less.")).into_response();
        assert_eq!(response.headers()[header::CONNECTION], "close");
    }
}
