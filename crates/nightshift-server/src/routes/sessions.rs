//! How a browser is let in and out.

use axum::extract::{Extension, Json};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use nightshift_protocol::{ErrorCode, OpenSession, Session, Ticket, UserError};

use super::Answer;
use crate::extract::Body;
use crate::guard::Guard;
use crate::reply::Refusal;

/// Opens a session for a browser by a ticket; the answer sets a cookie.
#[utoipa::path(
    post, path = "/session", tag = "session", request_body = OpenSession,
    responses((status = 200, body = Session)),
)]
pub(super) async fn open(
    Extension(guard): Extension<Guard>,
    Body(wanted): Body<OpenSession>,
) -> Result<Response, Refusal> {
    let Some(session) = guard.open(&wanted.ticket) else {
        return Err(Refusal(UserError::new(
            ErrorCode::NotAuthorized,
            "the ticket was used already, has expired, or is none of this owner",
            "`nightshift open` makes a new one.",
        )));
    };
    let seconds = time::Duration::days(30).whole_seconds();
    let cookie =
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}", guard.cookie(), session.text);
    Ok((set_cookie(&cookie), Json(Session { expires_at: session.expires_at })).into_response())
}

/// Says until when this browser's session lasts.
#[utoipa::path(get, path = "/session", tag = "session", responses((status = 200, body = Session)))]
pub(super) async fn show(Extension(guard): Extension<Guard>, headers: HeaderMap) -> Answer<Session> {
    match guard.session(&headers) {
        Some(expires_at) => Ok(Json(Session { expires_at })),
        None => Err(Refusal(UserError::new(
            ErrorCode::NotFound,
            "the request carries a token and no session",
            "`nightshift open` lets a browser in.",
        ))),
    }
}

/// Ends this browser's session.
#[utoipa::path(delete, path = "/session", tag = "session", responses((status = 204)))]
pub(super) async fn end(Extension(guard): Extension<Guard>) -> Response {
    let cookie = format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", guard.cookie());
    (axum::http::StatusCode::NO_CONTENT, set_cookie(&cookie)).into_response()
}

/// Makes a ticket that lets one browser in, within two minutes.
#[utoipa::path(post, path = "/session/tickets", tag = "session", responses((status = 200, body = Ticket)))]
pub(super) async fn ticket(Extension(guard): Extension<Guard>) -> Json<Ticket> {
    let (ticket, url) = guard.ticket();
    Json(Ticket { ticket: ticket.text, url, expires_at: ticket.expires_at })
}

fn set_cookie(cookie: &str) -> HeaderMap {
    let value = HeaderValue::from_str(cookie).ok();
    value.into_iter().map(|value| (header::SET_COOKIE, value)).collect()
}
