//! Sandboxes that no run has, lent to programs that want a desktop to work in.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use nightshift_protocol::{
    BorrowSandbox, CommandAnswer, RunCommand, SandboxFile, SandboxLoan, ScreenAction, ScreenAnswer,
};

use super::host::inert;
use super::{Answer, Shared};
use crate::extract::{Body, Content, Parameters, Path};
use crate::reply::Refusal;

/// Lists the sandboxes that are lent.
#[utoipa::path(get, path = "/sandboxes", tag = "sandboxes", responses((status = 200, body = Vec<SandboxLoan>)))]
pub(super) async fn sandboxes(State(api): Shared) -> Json<Vec<SandboxLoan>> {
    Json(api.lent_sandboxes())
}

/// Lends a sandbox without an agent: a desktop of its own, without a way out. It is closed when it is neither used nor
/// renewed for as long as its lease, and when the owner ends.
#[utoipa::path(
    post, path = "/sandboxes", tag = "sandboxes", request_body = BorrowSandbox,
    responses((status = 200, body = SandboxLoan)),
)]
pub(super) async fn borrow_sandbox(
    State(api): Shared,
    Body(wish): Body<BorrowSandbox>,
) -> Answer<SandboxLoan> {
    Ok(Json(api.borrow_sandbox(wish).await?))
}

/// Closes a lent sandbox; what is in it is gone. Answers with those that are left.
#[utoipa::path(
    delete, path = "/sandboxes/{sandbox}", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "The sandbox")),
    responses((status = 200, body = Vec<SandboxLoan>)),
)]
pub(super) async fn close_sandbox(
    State(api): Shared,
    Path(sandbox): Path<String>,
) -> Answer<Vec<SandboxLoan>> {
    Ok(Json(api.close_sandbox(&sandbox).await?))
}

/// Lets a loan last for its lease from now on.
#[utoipa::path(
    post, path = "/sandboxes/{sandbox}/lease", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "The sandbox")),
    responses((status = 200, body = SandboxLoan)),
)]
pub(super) async fn renew_sandbox(State(api): Shared, Path(sandbox): Path<String>) -> Answer<SandboxLoan> {
    Ok(Json(api.renew_sandbox(&sandbox)?))
}

/// Does one action on a lent sandbox's screen, and answers with the screen once it has settled.
#[utoipa::path(
    post, path = "/sandboxes/{sandbox}/actions", tag = "sandboxes", request_body = ScreenAction,
    params(("sandbox" = String, Path, description = "The sandbox")),
    responses((status = 200, body = ScreenAnswer)),
)]
pub(super) async fn act_on_screen(
    State(api): Shared,
    Path(sandbox): Path<String>,
    Body(action): Body<ScreenAction>,
) -> Answer<ScreenAnswer> {
    Ok(Json(api.act_on_screen(&sandbox, action).await?))
}

/// Runs a command in a lent sandbox to its end. A client that goes away meanwhile ends it.
#[utoipa::path(
    post, path = "/sandboxes/{sandbox}/commands", tag = "sandboxes", request_body = RunCommand,
    params(("sandbox" = String, Path, description = "The sandbox")),
    responses((status = 200, body = CommandAnswer)),
)]
pub(super) async fn run_command(
    State(api): Shared,
    Path(sandbox): Path<String>,
    Body(command): Body<RunCommand>,
) -> Answer<CommandAnswer> {
    Ok(Json(api.run_command(&sandbox, command).await?))
}

/// Gives a file of a lent sandbox, at most 1 MiB.
#[utoipa::path(
    get, path = "/sandboxes/{sandbox}/file", tag = "sandboxes",
    params(("sandbox" = String, Path, description = "The sandbox"), SandboxFile),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)),
)]
pub(super) async fn read_lent_file(
    State(api): Shared,
    Path(sandbox): Path<String>,
    Parameters(file): Parameters<SandboxFile>,
) -> Result<Response, Refusal> {
    let bytes = api.read_lent_file(&sandbox, &file.path).await?;
    Ok(inert("application/octet-stream", "no-store", bytes))
}

/// Writes a file of a lent sandbox whole, with the folders above it; at most 1 MiB.
#[utoipa::path(
    put, path = "/sandboxes/{sandbox}/file", tag = "sandboxes",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(("sandbox" = String, Path, description = "The sandbox"), SandboxFile),
    responses((status = 200, body = SandboxLoan)),
)]
pub(super) async fn write_lent_file(
    State(api): Shared,
    Path(sandbox): Path<String>,
    Parameters(file): Parameters<SandboxFile>,
    Content(content): Content,
) -> Answer<SandboxLoan> {
    api.write_lent_file(&sandbox, &file.path, &content).await?;
    Ok(Json(api.renew_sandbox(&sandbox)?))
}
