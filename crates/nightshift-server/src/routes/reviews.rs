//! Pull requests and their reviews.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use nightshift_protocol::{
    Approve, AskForChanges, ChangedFiles, MergeReply, NewComment, PullRequestDetail, PullRequestSummary,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::host::inert;
use super::{Answer, Shared};
use crate::extract::{Body, Parameters};
use crate::reply::Refusal;

/// Lists pull requests of all repositories, the newest first.
#[utoipa::path(
    get, path = "/pull-requests", tag = "review",
    responses((status = 200, body = Vec<PullRequestSummary>)),
)]
pub(super) async fn pull_requests(State(api): Shared) -> Answer<Vec<PullRequestSummary>> {
    Ok(Json(api.pull_requests().await?))
}

/// Shows a run's pull request.
#[utoipa::path(
    get, path = "/pull-requests/{run}", tag = "review",
    params(("run" = String, Path, description = "The run that made it")),
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn pull_request(State(api): Shared, Path(run): Path<String>) -> Answer<PullRequestDetail> {
    Ok(Json(api.pull_request(&run).await?))
}

/// Lists the files a run's pull request changes.
#[utoipa::path(
    get, path = "/pull-requests/{run}/files", tag = "review",
    params(("run" = String, Path, description = "The run that made it")),
    responses((status = 200, body = ChangedFiles)),
)]
pub(super) async fn files(State(api): Shared, Path(run): Path<String>) -> Answer<ChangedFiles> {
    Ok(Json(api.changed_files(&run).await?))
}

/// Which part of a diff is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InDiff {
    /// Only this file; all if absent.
    path: Option<String>,
}

/// Gives the diff of a run's pull request against its base as git writes it, or of one of its files.
#[utoipa::path(
    get, path = "/pull-requests/{run}/diff", tag = "review",
    params(("run" = String, Path, description = "The run that made it"), InDiff),
    responses((status = 200, content_type = "text/plain", body = String)),
)]
pub(super) async fn diff(
    State(api): Shared,
    Path(run): Path<String>,
    Parameters(wanted): Parameters<InDiff>,
) -> Result<Response, Refusal> {
    let diff = api.diff(&run, wanted.path.as_deref()).await?;
    Ok(inert("text/plain; charset=utf-8", "private, no-cache", diff))
}

/// Comments on a line of a run's pull request. The comment waits until changes are asked for.
#[utoipa::path(
    post, path = "/pull-requests/{run}/comments", tag = "review",
    params(("run" = String, Path, description = "The run that made it")),
    request_body = NewComment,
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn comment(
    State(api): Shared,
    Path(run): Path<String>,
    Body(comment): Body<NewComment>,
) -> Answer<PullRequestDetail> {
    Ok(Json(api.comment(&run, comment).await?))
}

/// Takes a comment back that was not sent.
#[utoipa::path(
    delete, path = "/pull-requests/{run}/comments/{comment}", tag = "review",
    params(
        ("run" = String, Path, description = "The run that made it"),
        ("comment" = String, Path, description = "The comment's name, for example f2"),
    ),
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn withdraw(
    State(api): Shared,
    Path((run, comment)): Path<(String, String)>,
) -> Answer<PullRequestDetail> {
    Ok(Json(api.withdraw_comment(&run, &comment).await?))
}

/// Asks for changes to a run's pull request. Its agent goes on with the words and all comments that wait.
#[utoipa::path(
    post, path = "/pull-requests/{run}/ask", tag = "review",
    params(("run" = String, Path, description = "The run that made it")),
    request_body = AskForChanges,
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn ask(
    State(api): Shared,
    Path(run): Path<String>,
    Body(ask): Body<AskForChanges>,
) -> Answer<PullRequestDetail> {
    Ok(Json(api.ask_for_changes(&run, ask).await?))
}

/// Notes that a person found the work good. It is merged by a call of its own.
#[utoipa::path(
    post, path = "/pull-requests/{run}/approve", tag = "review",
    params(("run" = String, Path, description = "The run that made it")),
    request_body = Approve,
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn approve(
    State(api): Shared,
    Path(run): Path<String>,
    Body(approve): Body<Approve>,
) -> Answer<PullRequestDetail> {
    Ok(Json(api.approve(&run, &approve.words).await?))
}

/// Merges a run's pull request into its base branch.
#[utoipa::path(
    post, path = "/pull-requests/{run}/merge", tag = "review",
    params(("run" = String, Path, description = "The run that made it")),
    responses((status = 200, body = MergeReply)),
)]
pub(super) async fn merge(State(api): Shared, Path(run): Path<String>) -> Answer<MergeReply> {
    Ok(Json(api.merge(&run).await?))
}

/// Closes a run's pull request without merging; its branch is kept.
#[utoipa::path(
    post, path = "/pull-requests/{run}/close", tag = "review",
    params(("run" = String, Path, description = "The run that made it")),
    responses((status = 200, body = PullRequestSummary)),
)]
pub(super) async fn close(State(api): Shared, Path(run): Path<String>) -> Answer<PullRequestSummary> {
    Ok(Json(api.close(&run).await?))
}
