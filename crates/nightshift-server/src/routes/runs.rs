//! Tasks and runs.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::response::sse::{KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use nightshift_api::Happening;
use nightshift_protocol::{
    DecideApproval, Event, ExampleTask, ListRuns, RaiseLimits, ResumeRun, RunDetail, RunList, RunSummary,
    SayToRun, SubmitReply, SubmitTask, Tree,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::host::inert;
use super::{Answer, Shared};
use crate::extract::{Body, Parameters, Path};
use crate::reply::Refusal;

/// Events of one answer at most.
const PAGE: u32 = 1_000;

/// Takes a task in. When it answers, the run is in the history and will be worked on.
#[utoipa::path(
    post, path = "/tasks", tag = "runs", request_body = SubmitTask,
    responses((status = 200, body = SubmitReply)),
)]
pub(super) async fn submit_task(State(api): Shared, Body(request): Body<SubmitTask>) -> Answer<SubmitReply> {
    Ok(Json(api.submit_task(request).await?))
}

/// Says that a task is being written: a sandbox is made that waits for it, so that none has to be waited for once it is
/// submitted. It goes when no task comes within half an hour, or when memory is short.
#[utoipa::path(
    post, path = "/tasks/expected", tag = "runs", responses((status = 204, description = "It is seen to")),
)]
pub(super) async fn expect_task(State(api): Shared) -> Result<StatusCode, Refusal> {
    api.expect_task().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes an example repository on this machine, and says what a first task in it would be; nothing is submitted.
#[utoipa::path(post, path = "/example", tag = "runs", responses((status = 200, body = ExampleTask)))]
pub(super) async fn example(State(api): Shared) -> Answer<ExampleTask> {
    Ok(Json(api.example().await?))
}

/// Lists runs, the newest submitted first.
#[utoipa::path(get, path = "/runs", tag = "runs", params(ListRuns), responses((status = 200, body = RunList)))]
pub(super) async fn runs(State(api): Shared, Parameters(wanted): Parameters<ListRuns>) -> Answer<RunList> {
    Ok(Json(api.runs(&wanted).await?))
}

/// Shows one run.
#[utoipa::path(
    get, path = "/runs/{run}", tag = "runs",
    params(("run" = String, Path, description = "A run's or task's id, or how one begins")),
    responses((status = 200, body = RunDetail)),
)]
pub(super) async fn run(State(api): Shared, Path(run): Path<String>) -> Answer<RunDetail> {
    Ok(Json(api.run(&run).await?))
}

/// Which events are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventRange {
    /// Only events with a greater `seq`; all if absent.
    #[serde(default)]
    after: u64,
    /// How many at most, from 1 to 1000.
    limit: Option<u32>,
}

/// Lists events of a run in order.
#[utoipa::path(
    get, path = "/runs/{run}/events", tag = "runs",
    params(("run" = String, Path, description = "The run"), EventRange),
    responses((status = 200, body = Vec<Event>)),
)]
pub(super) async fn events(
    State(api): Shared,
    Path(run): Path<String>,
    Parameters(range): Parameters<EventRange>,
) -> Answer<Vec<Event>> {
    let limit = range.limit.unwrap_or(PAGE).clamp(1, PAGE);
    Ok(Json(api.events(&run, range.after, limit).await?))
}

/// Where a stream begins.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Only events with a greater `seq`; all if absent.
    #[serde(default)]
    after: u64,
}

/// Follows a run by server-sent events: `event` with an `Event` for what is in the history, `live` with a `Live` for
/// what passes between. The SSE id of an `event` is its seq: a client that was cut off asks again with it, by
/// `after` or the header `last-event-id`, and misses nothing.
#[utoipa::path(
    get, path = "/runs/{run}/stream", tag = "runs",
    params(("run" = String, Path, description = "The run"), After),
    responses((status = 200, content_type = "text/event-stream", body = String)),
)]
pub(super) async fn stream(
    State(api): Shared,
    Path(run): Path<String>,
    Parameters(query): Parameters<After>,
    headers: axum::http::HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<axum::response::sse::Event, Infallible>>>, Refusal> {
    let after = last_event_id(&headers).unwrap_or(query.after);
    let happenings = api.follow(&run, after).await?;
    let frames = happenings.filter_map(|happening| async move { frame(&happening).ok().map(Ok) });
    Ok(Sse::new(frames).keep_alive(KeepAlive::default()))
}

/// Where a browser that reconnects by itself says that it was (HTML, "server-sent events").
pub(super) fn last_event_id(headers: &axum::http::HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

fn frame(happening: &Happening) -> Result<axum::response::sse::Event, axum::Error> {
    let frame = axum::response::sse::Event::default();
    match happening {
        Happening::Event(event) => frame.event("event").id(event.seq.to_string()).json_data(event),
        Happening::Live(live) => frame.event("live").json_data(live),
    }
}

/// Gives a run up.
#[utoipa::path(
    post, path = "/runs/{run}/cancel", tag = "runs",
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn cancel(State(api): Shared, Path(run): Path<String>) -> Answer<RunSummary> {
    Ok(Json(api.cancel(&run).await?))
}

/// Stops a run for now; its sandbox is kept.
#[utoipa::path(
    post, path = "/runs/{run}/pause", tag = "runs",
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn pause(State(api): Shared, Path(run): Path<String>) -> Answer<RunSummary> {
    Ok(Json(api.pause(&run).await?))
}

/// Lets a paused run go on.
#[utoipa::path(
    post, path = "/runs/{run}/continue", tag = "runs",
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn continue_run(State(api): Shared, Path(run): Path<String>) -> Answer<RunSummary> {
    Ok(Json(api.continue_run(&run).await?))
}

/// Writes to a run without stopping it, or answers its question.
#[utoipa::path(
    post, path = "/runs/{run}/messages", tag = "runs", request_body = SayToRun,
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn say(
    State(api): Shared,
    Path(run): Path<String>,
    Body(said): Body<SayToRun>,
) -> Answer<RunSummary> {
    Ok(Json(api.say(&run, said).await?))
}

/// Says yes or no to the command that a run waits with; it goes on, and on a no its agent is told.
#[utoipa::path(
    post, path = "/runs/{run}/approval", operation_id = "decideApproval", tag = "runs", request_body = DecideApproval,
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn decide(
    State(api): Shared,
    Path(run): Path<String>,
    Body(decided): Body<DecideApproval>,
) -> Answer<RunSummary> {
    Ok(Json(api.decide(&run, decided).await?))
}

/// Takes a run up again with a person's words: one that works is told, one that asked is answered, one that was paused
/// goes on, one in review goes back to work, and a suspended sandbox comes back.
#[utoipa::path(
    post, path = "/runs/{run}/resume", tag = "runs", request_body = ResumeRun,
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn resume_run(
    State(api): Shared,
    Path(run): Path<String>,
    Body(words): Body<ResumeRun>,
) -> Answer<RunSummary> {
    Ok(Json(api.resume_run(&run, words).await?))
}

/// Stops what a run does now: a tool is ended and keeps its output, a model call is made again.
#[utoipa::path(
    post, path = "/runs/{run}/interrupt", tag = "runs",
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn interrupt(State(api): Shared, Path(run): Path<String>) -> Answer<RunSummary> {
    Ok(Json(api.interrupt(&run).await?))
}

/// Changes what a run's task may use; one that is paused at a limit can go on then.
#[utoipa::path(
    post, path = "/runs/{run}/limits", tag = "runs", request_body = RaiseLimits,
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn raise_limits(
    State(api): Shared,
    Path(run): Path<String>,
    Body(limits): Body<RaiseLimits>,
) -> Answer<RunSummary> {
    Ok(Json(api.raise_limits(&run, limits).await?))
}

/// Which file or folder is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InCommit {
    /// The path from the repository's top; the top itself if absent.
    #[serde(default)]
    path: String,
    /// The commit; if absent the newest that was delivered, else the one the work started from.
    commit: Option<String>,
}

/// Lists a folder of a run's branch.
#[utoipa::path(
    get, path = "/runs/{run}/tree", tag = "files",
    params(("run" = String, Path, description = "The run"), InCommit),
    responses((status = 200, body = Tree)),
)]
pub(super) async fn tree(
    State(api): Shared,
    Path(run): Path<String>,
    Parameters(wanted): Parameters<InCommit>,
) -> Answer<Tree> {
    Ok(Json(api.tree(&run, wanted.commit.as_deref(), &wanted.path).await?))
}

/// Gives a file of a run's branch, at most 16 MiB.
#[utoipa::path(
    get, path = "/runs/{run}/blob", tag = "files",
    params(("run" = String, Path, description = "The run"), InCommit),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)),
)]
pub(super) async fn blob(
    State(api): Shared,
    Path(run): Path<String>,
    Parameters(wanted): Parameters<InCommit>,
) -> Result<Response, Refusal> {
    let bytes = api.blob(&run, wanted.commit.as_deref(), &wanted.path).await?;
    let media_type = match super::host::media_type(&bytes) {
        "application/octet-stream" if !bytes.contains(&0) => "text/plain; charset=utf-8",
        known => known,
    };
    Ok(inert(media_type, "private, no-cache", bytes))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    #[test]
    fn a_browser_that_comes_back_says_where_it_was_and_nonsense_is_no_place() {
        let id = |value: &str| {
            let headers: HeaderMap =
                [("last-event-id".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
            last_event_id(&headers)
        };
        assert_eq!(id("17"), Some(17));
        for odd in ["", "-1", "x", "1.5", "99999999999999999999999"] {
            assert_eq!(id(odd), None, "{odd}");
        }
        assert_eq!(last_event_id(&HeaderMap::new()), None);
    }
}
