//! Checkpoints of a run.

use axum::Json;
use axum::extract::State;
use nightshift_protocol::{CheckpointSummary, ForkReply, ForkRun, RewindRun, RunSummary};

use super::{Answer, Shared};
use crate::extract::{Body, Path};

/// Lists a run's checkpoints, the oldest first.
#[utoipa::path(
    get, path = "/runs/{run}/checkpoints", tag = "checkpoints",
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = Vec<CheckpointSummary>)),
)]
pub(super) async fn checkpoints(
    State(api): Shared,
    Path(run): Path<String>,
) -> Answer<Vec<CheckpointSummary>> {
    Ok(Json(api.checkpoints(&run).await?))
}

/// Saves a checkpoint, after the step that is being taken; answers when that is done.
#[utoipa::path(
    post, path = "/runs/{run}/checkpoints", tag = "checkpoints",
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = CheckpointSummary)),
)]
pub(super) async fn save_checkpoint(
    State(api): Shared,
    Path(run): Path<String>,
) -> Answer<CheckpointSummary> {
    Ok(Json(api.save_checkpoint(&run).await?))
}

/// Removes a checkpoint that the run does not rest on; answers with those that are left.
#[utoipa::path(
    delete, path = "/runs/{run}/checkpoints/{checkpoint}", tag = "checkpoints",
    params(
        ("run" = String, Path, description = "The run"),
        ("checkpoint" = String, Path, description = "The checkpoint's id, how it begins, or its step"),
    ),
    responses((status = 200, body = Vec<CheckpointSummary>)),
)]
pub(super) async fn remove_checkpoint(
    State(api): Shared,
    Path((run, checkpoint)): Path<(String, String)>,
) -> Answer<Vec<CheckpointSummary>> {
    Ok(Json(api.remove_checkpoint(&run, &checkpoint).await?))
}

/// Lets a run go back to a checkpoint: sandbox, files and conversation are what they were then. What they are now is saved
/// first, unless it is to be discarded.
#[utoipa::path(
    post, path = "/runs/{run}/rewind", tag = "checkpoints", request_body = RewindRun,
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = RunSummary)),
)]
pub(super) async fn rewind(
    State(api): Shared,
    Path(run): Path<String>,
    Body(wish): Body<RewindRun>,
) -> Answer<RunSummary> {
    Ok(Json(api.rewind(&run, &wish).await?))
}

/// Makes runs that go on from a checkpoint, each with a sandbox and a branch of its own.
#[utoipa::path(
    post, path = "/runs/{run}/fork", tag = "checkpoints", request_body = ForkRun,
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = ForkReply)),
)]
pub(super) async fn fork(
    State(api): Shared,
    Path(run): Path<String>,
    Body(wish): Body<ForkRun>,
) -> Answer<ForkReply> {
    Ok(Json(api.fork(&run, wish).await?))
}

/// Suspends the sandbox of a paused run to disk; answers when its memory is given back. `continue` brings it back.
#[utoipa::path(
    post, path = "/runs/{run}/suspend", tag = "checkpoints",
    params(("run" = String, Path, description = "The run")),
    responses((status = 200, body = CheckpointSummary)),
)]
pub(super) async fn suspend(State(api): Shared, Path(run): Path<String>) -> Answer<CheckpointSummary> {
    Ok(Json(api.suspend(&run).await?))
}
