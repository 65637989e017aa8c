//! What a request is answered with.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use super::answer::Event;
use super::police::Breach;
use super::protocol::Protocol;

/// What a request is answered with.
#[derive(Debug)]
pub(super) enum Reply {
    /// A stream of events.
    Stream { events: Vec<Event>, end: End, breach: Option<Breach> },
    /// A JSON document.
    Document(Value),
    /// An error that the client did not cause.
    Error { status: StatusCode, kind: &'static str, message: String, retry_after: Option<String> },
    /// An error that the client caused against the rules.
    Breach { status: StatusCode, kind: &'static str, breach: Breach },
}

/// How a stream ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Whole,
    Cut,
    Stall,
    Drip(Duration),
}

impl Reply {
    pub(super) fn breach_of(breach: Breach) -> Self {
        Self::Breach { status: StatusCode::BAD_REQUEST, kind: "invalid_request_error", breach }
    }

    pub(super) fn error(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self::Error { status, kind, message: message.into(), retry_after: None }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Stream { .. } | Self::Document(_) => StatusCode::OK,
            Self::Error { status, .. } | Self::Breach { status, .. } => *status,
        }
    }

    pub(super) fn breach(&self) -> Option<&Breach> {
        match self {
            Self::Stream { breach, .. } => breach.as_ref(),
            Self::Breach { breach, .. } => Some(breach),
            Self::Document(_) | Self::Error { .. } => None,
        }
    }

    pub(super) fn into_response(self, protocol: Protocol) -> Response {
        let status = self.status();
        match self {
            Self::Stream { events, end, .. } => {
                ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], stream_body(events, end))
                    .into_response()
            }
            Self::Document(document) => axum::Json(document).into_response(),
            Self::Error { kind, message, retry_after, .. } => {
                let mut response = (status, axum::Json(protocol.error(kind, &message))).into_response();
                if let Some(value) = retry_after.and_then(|wait| wait.parse().ok()) {
                    response.headers_mut().insert(RETRY_AFTER, value);
                }
                response
            }
            Self::Breach { kind, breach, .. } => {
                (status, axum::Json(protocol.error(kind, &breach.0))).into_response()
            }
        }
    }
}

fn stream_body(events: Vec<Event>, end: End) -> Body {
    let frames = events.into_iter().map(|event| Bytes::from(frame(&event)));
    let frames = stream::iter(frames.map(Ok::<_, std::io::Error>));
    match end {
        End::Whole => Body::from_stream(frames),
        End::Cut => Body::from_stream(frames.chain(stream::once(async {
            // The server sends what it has while it waits; an error in the body then makes it close the connection.
            tokio::task::yield_now().await;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }))),
        End::Stall => Body::from_stream(frames.chain(stream::pending())),
        End::Drip(wait) => Body::from_stream(frames.then(move |frame| async move {
            tokio::time::sleep(wait).await;
            frame
        })),
    }
}

/// An event as it is written. The Chat API names no events, and its last is no JSON.
fn frame((name, data): &Event) -> String {
    match (*name, data) {
        ("", Value::String(word)) => format!("data: {word}\n\n"),
        ("", data) => format!("data: {data}\n\n"),
        (name, data) => format!("event: {name}\ndata: {data}\n\n"),
    }
}
