//! What a remote forge tells by itself.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use nightshift_api::Webhook;

use super::Shared;
use crate::extract::Content;
use crate::reply::Refusal;

/// Takes a webhook of GitHub. It carries no token but a signature, and leads to nothing but a look at the site.
#[utoipa::path(
    post, path = "/webhooks/github", tag = "review",
    request_body(content = String, content_type = "application/json", description = "The event"),
    responses((status = 202, description = "It is looked at")),
)]
pub(super) async fn github(
    State(api): Shared,
    headers: HeaderMap,
    Content(body): Content,
) -> Result<StatusCode, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let webhook = Webhook {
        event: text("x-github-event"),
        delivery: text("x-github-delivery"),
        signature: text("x-hub-signature-256"),
        body: &body,
    };
    api.take_webhook(&webhook)?;
    Ok(StatusCode::ACCEPTED)
}
