//! The routes, one for each operation.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures_util::{Stream, StreamExt};
use nightshift_api::{Api, Happening};
use nightshift_protocol::{
    ArtifactId, DoctorReport, ErrorCode, Event, MergeReply, PullRequestDetail, PullRequestSummary, RunDetail,
    RunSummary, SubmitReply, SubmitTask, UserError,
};
use serde::Deserialize;
use serde_json::json;

use crate::guard::{self, Guard};
use crate::reply::Refusal;

/// Events of one answer at most.
const PAGE: u32 = 1_000;

type Answer<T> = Result<Json<T>, Refusal>;
type Shared = State<Arc<Api>>;

/// Builds the router over the operations of `api`.
pub fn router(api: Arc<Api>, guard: Guard) -> Router {
    let operations = Router::new()
        .route("/health", get(health))
        .route("/doctor", get(doctor))
        .route("/template", post(prepare_template))
        .route("/tasks", post(submit_task))
        .route("/runs", get(runs))
        .route("/runs/{run}", get(run))
        .route("/runs/{run}/events", get(events))
        .route("/runs/{run}/stream", get(stream))
        .route("/runs/{run}/cancel", post(cancel))
        .route("/runs/{run}/pause", post(pause))
        .route("/runs/{run}/continue", post(continue_run))
        .route("/runs/{run}/messages", post(say))
        .route("/pull-requests", get(pull_requests))
        .route("/pull-requests/{run}", get(pull_request))
        .route("/pull-requests/{run}/diff", get(diff))
        .route("/pull-requests/{run}/merge", post(merge))
        .route("/pull-requests/{run}/close", post(close))
        .route("/artifacts/{id}", get(artifact))
        .fallback(nothing_here)
        .with_state(api);
    Router::new().nest("/api/v1", operations).layer(middleware::from_fn_with_state(guard, guard::check))
}

async fn nothing_here() -> Refusal {
    Refusal(UserError::new(
        ErrorCode::NotFound,
        "there is no such operation",
        "The operations are under /api/v1.",
    ))
}

async fn health() -> Json<serde_json::Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

async fn doctor(State(api): Shared) -> Json<DoctorReport> {
    Json(api.doctor().await)
}

async fn prepare_template(State(api): Shared) -> Answer<serde_json::Value> {
    let key = api.prepare_template().await?;
    Ok(Json(json!({ "template": key })))
}

async fn submit_task(State(api): Shared, Json(request): Json<SubmitTask>) -> Answer<SubmitReply> {
    Ok(Json(api.submit_task(request).await?))
}

async fn runs(State(api): Shared) -> Answer<Vec<RunSummary>> {
    Ok(Json(api.runs().await?))
}

async fn run(State(api): Shared, Path(run): Path<String>) -> Answer<RunDetail> {
    Ok(Json(api.run(&run).await?))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn events(
    State(api): Shared,
    Path(run): Path<String>,
    Query(query): Query<After>,
) -> Answer<Vec<Event>> {
    Ok(Json(api.events(&run, query.after, PAGE).await?))
}

/// Events from `after` on and what passes between them. An event's SSE id is its seq: a client that was cut off
/// asks again with it and misses nothing.
async fn stream(
    State(api): Shared,
    Path(run): Path<String>,
    Query(query): Query<After>,
) -> Result<Sse<impl Stream<Item = Result<axum::response::sse::Event, Infallible>>>, Refusal> {
    let happenings = api.follow(&run, query.after).await?;
    let frames = happenings.filter_map(|happening| async move { frame(&happening).ok().map(Ok) });
    Ok(Sse::new(frames).keep_alive(KeepAlive::default()))
}

fn frame(happening: &Happening) -> Result<axum::response::sse::Event, axum::Error> {
    let frame = axum::response::sse::Event::default();
    match happening {
        Happening::Event(event) => frame.event("event").id(event.seq.to_string()).json_data(event),
        Happening::Live(live) => frame.event("live").json_data(live),
    }
}

async fn cancel(State(api): Shared, Path(run): Path<String>) -> Answer<RunSummary> {
    Ok(Json(api.cancel(&run).await?))
}

async fn pause(State(api): Shared, Path(run): Path<String>) -> Answer<RunSummary> {
    Ok(Json(api.pause(&run).await?))
}

async fn continue_run(State(api): Shared, Path(run): Path<String>) -> Answer<RunSummary> {
    Ok(Json(api.continue_run(&run).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    text: String,
}

async fn say(State(api): Shared, Path(run): Path<String>, Json(said): Json<Said>) -> Answer<RunSummary> {
    Ok(Json(api.say(&run, said.text).await?))
}

async fn pull_requests(State(api): Shared) -> Answer<Vec<PullRequestSummary>> {
    Ok(Json(api.pull_requests().await?))
}

async fn pull_request(State(api): Shared, Path(run): Path<String>) -> Answer<PullRequestDetail> {
    Ok(Json(api.pull_request(&run).await?))
}

async fn diff(State(api): Shared, Path(run): Path<String>) -> Result<Response, Refusal> {
    let diff = api.diff(&run).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], diff).into_response())
}

async fn merge(State(api): Shared, Path(run): Path<String>) -> Answer<MergeReply> {
    Ok(Json(api.merge(&run).await?))
}

async fn close(State(api): Shared, Path(run): Path<String>) -> Answer<PullRequestSummary> {
    Ok(Json(api.close(&run).await?))
}

async fn artifact(State(api): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id: ArtifactId = id.parse().map_err(|error: nightshift_protocol::InvalidId| {
        UserError::new(ErrorCode::InvalidRequest, error.to_string(), "Artifacts are named by their SHA-256.")
    })?;
    let bytes = api.artifact(&id).await?;
    // Whatever the bytes are, a browser must not run them: they may come from a sandbox.
    let headers = [
        (header::CONTENT_TYPE, media_type(&bytes)),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ];
    Ok((headers, bytes).into_response())
}

/// Pictures are shown, everything else is plain bytes.
fn media_type(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        "image/png"
    } else if bytes.len() > 12 && &bytes[..4] == b"RIFF" && &bytes[8..12] == b"WEBP" {
        "image/webp"
    } else {
        "application/octet-stream"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_get_a_type_that_a_browser_shows() {
        assert_eq!(media_type(b"\x89PNG\r\n\x1a\nrest"), "image/png");
        assert_eq!(media_type(b"RIFF\0\0\0\0WEBPVP8L"), "image/webp");
        assert_eq!(media_type(b"<script>alert(1)</script>"), "application/octet-stream");
    }
}
