//! Environments of repositories.

use axum::Json;
use axum::extract::State;
use nightshift_protocol::{
    EnvironmentLog, EnvironmentSummary, ListEnvironments, PlannedEnvironment, ReadLog, SetUpEnvironment,
};

use super::{Answer, Shared};
use crate::extract::{Body, Parameters, Path};

/// Says how a repository would be set up, and does nothing.
#[utoipa::path(
    post, path = "/environments/plan", tag = "environments", request_body = SetUpEnvironment,
    responses((status = 200, body = PlannedEnvironment)),
)]
pub(super) async fn plan_environment(
    State(api): Shared,
    Body(wish): Body<SetUpEnvironment>,
) -> Answer<PlannedEnvironment> {
    Ok(Json(api.plan_environment(wish).await?))
}

/// Has a repository set up, in the background.
#[utoipa::path(
    post, path = "/environments", tag = "environments", request_body = SetUpEnvironment,
    responses((status = 200, body = EnvironmentSummary)),
)]
pub(super) async fn set_up_environment(
    State(api): Shared,
    Body(wish): Body<SetUpEnvironment>,
) -> Answer<EnvironmentSummary> {
    Ok(Json(api.set_up_environment(wish).await?))
}

/// Lists environments, the newest first.
#[utoipa::path(
    get, path = "/environments", tag = "environments", params(ListEnvironments),
    responses((status = 200, body = Vec<EnvironmentSummary>)),
)]
pub(super) async fn list_environments(
    State(api): Shared,
    Parameters(wish): Parameters<ListEnvironments>,
) -> Answer<Vec<EnvironmentSummary>> {
    Ok(Json(api.environments(wish.all).await?))
}

/// Gives one environment.
#[utoipa::path(
    get, path = "/environments/{environment}", tag = "environments",
    params(("environment" = String, Path, description = "Its id, or how it begins")),
    responses((status = 200, body = EnvironmentSummary)),
)]
pub(super) async fn show_environment(
    State(api): Shared,
    Path(environment): Path<String>,
) -> Answer<EnvironmentSummary> {
    Ok(Json(api.environment(&environment).await?))
}

/// Gives a piece of an environment's log.
#[utoipa::path(
    get, path = "/environments/{environment}/log", tag = "environments",
    params(("environment" = String, Path, description = "Its id, or how it begins"), ReadLog),
    responses((status = 200, body = EnvironmentLog)),
)]
pub(super) async fn environment_log(
    State(api): Shared,
    Path(environment): Path<String>,
    Parameters(wish): Parameters<ReadLog>,
) -> Answer<EnvironmentLog> {
    Ok(Json(api.environment_log(&environment, wish.after).await?))
}

/// Tries the phase that failed again, on the machine as it is.
#[utoipa::path(
    post, path = "/environments/{environment}/retry", tag = "environments",
    params(("environment" = String, Path, description = "Its id, or how it begins")),
    responses((status = 200, body = EnvironmentSummary)),
)]
pub(super) async fn retry_environment(
    State(api): Shared,
    Path(environment): Path<String>,
) -> Answer<EnvironmentSummary> {
    Ok(Json(api.retry_environment(&environment).await?))
}

/// Removes an environment with its machine and its template; sandboxes that started from it go on.
#[utoipa::path(
    delete, path = "/environments/{environment}", tag = "environments",
    params(("environment" = String, Path, description = "Its id, or how it begins")),
    responses((status = 200, body = EnvironmentSummary)),
)]
pub(super) async fn remove_environment(
    State(api): Shared,
    Path(environment): Path<String>,
) -> Answer<EnvironmentSummary> {
    Ok(Json(api.remove_environment(&environment).await?))
}
