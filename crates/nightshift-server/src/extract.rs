//! What a request carries, read so that a mistake in it is answered like every other error.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use nightshift_protocol::{ErrorCode, UserError};
use serde::de::DeserializeOwned;

use crate::reply::Refusal;

/// The body of a request, JSON.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        // A list of values in the right order would be taken for an object, and fields then be mixed up.
        let read = Json::<serde_json::Map<String, serde_json::Value>>::from_request(request, state).await;
        let Json(fields) = read.map_err(|why| body(&why))?;
        serde_json::from_value(fields.into()).map(Self).map_err(|why| unfit(why.to_string()))
    }
}

/// An empty body is none, whatever the request says of it.
impl<S: Send + Sync, T: DeserializeOwned> axum::extract::OptionalFromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Refusal> {
        let (parts, content) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), content);
        let Content(content) = <Content as FromRequest<S>>::from_request(whole, state).await?;
        if content.is_empty() {
            return Ok(None);
        }
        let request = Request::from_parts(parts, content.into());
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

fn body(why: &JsonRejection) -> Refusal {
    if why.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large("Put long material into a file of the repository and name it.");
    }
    let hint = match why {
        JsonRejection::MissingJsonContentType(_) => {
            "Send JSON with the header content-type: application/json."
        }
        _ => return unfit(why.body_text()),
    };
    Refusal(UserError::new(ErrorCode::InvalidRequest, why.body_text(), hint))
}

fn too_large(hint: &str) -> Refusal {
    Refusal(UserError::new(ErrorCode::TooLarge, "the request's body is too large", hint))
}

/// The body of a request as it is.
pub(crate) struct Content(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Content {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read = Bytes::from_request(request, state).await;
        read.map(Self).map_err(|why: BytesRejection| match why.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large("Send at most 1 MiB at a time."),
            _ => unfit(why.body_text()),
        })
    }
}

/// What the path of a request names.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(named)| Self(named))
            .map_err(|why: PathRejection| unfit(why.body_text()))
    }
}

fn unfit(why: String) -> Refusal {
    let hint = "The document at /api/v1/openapi.json says what the operation takes.";
    Refusal(UserError::new(ErrorCode::InvalidRequest, why, hint))
}

/// The parameters behind the `?` of a request.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(parameters)| Self(parameters)).map_err(|why: QueryRejection| {
            Refusal(UserError::new(
                ErrorCode::InvalidRequest,
                why.body_text(),
                "The document at /api/v1/openapi.json says which parameters there are.",
            ))
        })
    }
}
