//! Answers: JSON, and errors as `{code, message, hint}` with the status that fits.

use axum::Json;
use axum::http::StatusCode;
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
        (status(self.0.code), Json(self.0)).into_response()
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
    fn what_is_the_caller_s_to_mend_is_no_server_error() {
        for code in [ErrorCode::InvalidRequest, ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::WrongKey]
        {
            assert!(status(code).is_client_error(), "{code:?}");
        }
        assert!(status(ErrorCode::Internal).is_server_error());
    }
}
