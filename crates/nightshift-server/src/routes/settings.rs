//! What a person sets of the owner, and keys. A key goes in and never comes out.

use axum::Json;
use axum::extract::State;
use nightshift_protocol::{ChangeSettings, KeepKey, KeySummary, Restarting, Settings};

use super::{Answer, Shared};
use crate::extract::{Body, Path};

/// Reads the settings, and tells which keys there are.
#[utoipa::path(
    get, path = "/settings", tag = "settings", operation_id = "settings",
    responses((status = 200, body = Settings)),
)]
pub(super) async fn settings(State(api): Shared) -> Answer<Settings> {
    Ok(Json(api.settings().await?))
}

/// Checks and keeps other settings; the owner takes them up when it starts again.
#[utoipa::path(
    put, path = "/settings", tag = "settings", operation_id = "changeSettings", request_body = ChangeSettings,
    responses((status = 200, body = Settings)),
)]
pub(super) async fn change_settings(
    State(api): Shared,
    Body(wish): Body<ChangeSettings>,
) -> Answer<Settings> {
    Ok(Json(api.change_settings(wish).await?))
}

/// Takes the last change of the settings back; asked for twice, it is made again.
#[utoipa::path(
    post, path = "/settings/undo", tag = "settings", operation_id = "undoSettings",
    responses((status = 200, body = Settings)),
)]
pub(super) async fn undo_settings(State(api): Shared) -> Answer<Settings> {
    Ok(Json(api.undo_settings().await?))
}

/// Keeps a key in the desktop's key ring, or in a file that only its owner may read where there is none.
#[utoipa::path(
    put, path = "/keys/{name}", tag = "settings", operation_id = "keepKey", request_body = KeepKey,
    params(("name" = String, Path, description = "The variable it is known by, such as ANTHROPIC_API_KEY")),
    responses((status = 200, body = KeySummary)),
)]
pub(super) async fn keep_key(
    State(api): Shared,
    Path(name): Path<String>,
    Body(key): Body<KeepKey>,
) -> Answer<KeySummary> {
    Ok(Json(api.keep_key(&name, key).await?))
}

/// Forgets a key that was kept; one of the owner's environment stays there.
#[utoipa::path(
    delete, path = "/keys/{name}", tag = "settings", operation_id = "forgetKey",
    params(("name" = String, Path, description = "The variable it is known by, such as ANTHROPIC_API_KEY")),
    responses((status = 200, body = KeySummary)),
)]
pub(super) async fn forget_key(State(api): Shared, Path(name): Path<String>) -> Answer<KeySummary> {
    Ok(Json(api.forget_key(&name).await?))
}

/// Starts the owner again, with the settings and keys as they are kept. Runs go on.
#[utoipa::path(
    post, path = "/restart", tag = "owner", operation_id = "restart",
    responses((status = 200, body = Restarting)),
)]
pub(super) async fn restart(State(api): Shared) -> Answer<Restarting> {
    Ok(Json(api.restart().await?))
}
