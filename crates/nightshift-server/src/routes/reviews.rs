//! Pull requests and their reviews.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use nightshift_protocol::{
    Approve, AskForChanges, AskPullRequests, AskStatistics, AttemptList, ChangedFiles, Merge, MergeReply,
    NewComment, OthersClosed, PullRequestDetail, PullRequestSummary, ReviewQueue, Statistics, UserError,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::host::inert;
use super::{Answer, Shared};
use crate::extract::{Body, Parameters, Path};
use crate::reply::Refusal;

/// The pull request of a run.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfRun {
    /// The run that made it
    run: String,
}

/// A comment that waits to be sent.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfComment {
    /// The run that made it
    run: String,
    /// The comment's name, for example f2
    comment: String,
}

/// What an operation answers, as JSON.
async fn answer<T>(operation: impl Future<Output = Result<T, UserError>>) -> Answer<T> {
    Ok(Json(operation.await?))
}

/// Tells the open pull requests in the order in which they are to be reviewed, and how many more may wait.
#[utoipa::path(
    get, path = "/reviews", tag = "review",
    responses((status = 200, body = ReviewQueue)),
)]
pub(super) async fn queue(State(api): Shared) -> Answer<ReviewQueue> {
    answer(api.review_queue()).await
}

/// Sums up what runs and their reviews came to.
#[utoipa::path(
    get, path = "/statistics", tag = "review",
    params(AskStatistics),
    responses((status = 200, body = Statistics)),
)]
pub(super) async fn statistics(
    State(api): Shared,
    Parameters(ask): Parameters<AskStatistics>,
) -> Answer<Statistics> {
    answer(api.statistics(&ask)).await
}

/// Lists pull requests of all repositories, the newest first.
#[utoipa::path(
    get, path = "/pull-requests", tag = "review",
    params(AskPullRequests),
    responses((status = 200, body = Vec<PullRequestSummary>)),
)]
pub(super) async fn pull_requests(
    State(api): Shared,
    Parameters(ask): Parameters<AskPullRequests>,
) -> Answer<Vec<PullRequestSummary>> {
    answer(api.pull_requests(&ask)).await
}

/// Shows a run's pull request.
#[utoipa::path(
    get, path = "/pull-requests/{run}", tag = "review",
    params(OfRun),
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn pull_request(
    State(api): Shared,
    Path(OfRun { run }): Path<OfRun>,
) -> Answer<PullRequestDetail> {
    answer(api.pull_request(&run)).await
}

/// Lists the files a run's pull request changes.
#[utoipa::path(
    get, path = "/pull-requests/{run}/files", tag = "review",
    params(OfRun),
    responses((status = 200, body = ChangedFiles)),
)]
pub(super) async fn files(State(api): Shared, Path(OfRun { run }): Path<OfRun>) -> Answer<ChangedFiles> {
    answer(api.changed_files(&run)).await
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
    params(OfRun, InDiff),
    responses((status = 200, content_type = "text/plain", body = String)),
)]
pub(super) async fn diff(
    State(api): Shared,
    Path(OfRun { run }): Path<OfRun>,
    Parameters(wanted): Parameters<InDiff>,
) -> Result<Response, Refusal> {
    let diff = api.diff(&run, wanted.path.as_deref()).await?;
    Ok(inert("text/plain; charset=utf-8", "private, no-cache", diff))
}

/// Comments on a line of a run's pull request. The comment waits until changes are asked for.
#[utoipa::path(
    post, path = "/pull-requests/{run}/comments", tag = "review",
    params(OfRun),
    request_body = NewComment,
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn comment(
    State(api): Shared,
    Path(OfRun { run }): Path<OfRun>,
    Body(comment): Body<NewComment>,
) -> Answer<PullRequestDetail> {
    answer(api.comment(&run, comment)).await
}

/// Takes a comment back that was not sent.
#[utoipa::path(
    delete, path = "/pull-requests/{run}/comments/{comment}", tag = "review",
    params(OfComment),
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn withdraw(
    State(api): Shared,
    Path(OfComment { run, comment }): Path<OfComment>,
) -> Answer<PullRequestDetail> {
    answer(api.withdraw_comment(&run, &comment)).await
}

/// Asks for changes to a run's pull request. Its agent goes on with the words and all comments that wait.
#[utoipa::path(
    post, path = "/pull-requests/{run}/ask", tag = "review",
    params(OfRun),
    request_body = AskForChanges,
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn ask(
    State(api): Shared,
    Path(OfRun { run }): Path<OfRun>,
    Body(ask): Body<AskForChanges>,
) -> Answer<PullRequestDetail> {
    answer(api.ask_for_changes(&run, ask)).await
}

/// Notes that a person found the work good. It is merged by a call of its own.
#[utoipa::path(
    post, path = "/pull-requests/{run}/approve", tag = "review",
    params(OfRun),
    request_body = Approve,
    responses((status = 200, body = PullRequestDetail)),
)]
pub(super) async fn approve(
    State(api): Shared,
    Path(OfRun { run }): Path<OfRun>,
    Body(approve): Body<Approve>,
) -> Answer<PullRequestDetail> {
    answer(api.approve(&run, &approve.words)).await
}

/// Merges a run's pull request into its base branch; a conflict if `head` is not its newest commit any more.
#[utoipa::path(
    post, path = "/pull-requests/{run}/merge", tag = "review",
    params(OfRun),
    request_body = Option<Merge>,
    responses((status = 200, body = MergeReply)),
)]
pub(super) async fn merge(
    State(api): Shared,
    Path(OfRun { run }): Path<OfRun>,
    merge: Option<Body<Option<Merge>>>,
) -> Answer<MergeReply> {
    answer(api.merge(&run, merge.and_then(|Body(merge)| merge).unwrap_or_default())).await
}

/// Closes a run's pull request without merging; its branch is kept.
#[utoipa::path(
    post, path = "/pull-requests/{run}/close", tag = "review",
    params(OfRun),
    responses((status = 200, body = PullRequestSummary)),
)]
pub(super) async fn close(
    State(api): Shared,
    Path(OfRun { run }): Path<OfRun>,
) -> Answer<PullRequestSummary> {
    answer(api.close(&run)).await
}

/// Tells what came of the attempts at a task, and how they rank.
#[utoipa::path(
    get, path = "/tasks/{task}/attempts", tag = "review",
    params(("task" = String, Path, description = "A task's or run's id, or how one begins")),
    responses((status = 200, body = AttemptList)),
)]
pub(super) async fn attempts(State(api): Shared, Path(task): Path<String>) -> Answer<AttemptList> {
    answer(api.attempts(&task)).await
}

/// Gives up every other attempt at a run's task: open pull requests are closed and their branches kept, unfinished runs are
/// cancelled. Done again it does what is left.
#[utoipa::path(
    post, path = "/runs/{run}/others/close", tag = "review",
    params(("run" = String, Path, description = "The run that is kept")),
    responses((status = 200, body = OthersClosed)),
)]
pub(super) async fn close_others(State(api): Shared, Path(run): Path<String>) -> Answer<OthersClosed> {
    answer(api.close_others(&run)).await
}
