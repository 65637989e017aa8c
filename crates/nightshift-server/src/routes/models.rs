//! Models and engines: which there are, and whether they work.

use axum::Json;
use axum::extract::State;
use nightshift_protocol::{DoctorReport, EngineList, ModelList, TryModel};

use super::{Answer, Shared};
use crate::extract::Body;

/// Lists the models of all providers.
#[utoipa::path(get, path = "/models", tag = "models", responses((status = 200, body = ModelList)))]
pub(super) async fn models(State(api): Shared) -> Answer<ModelList> {
    Ok(Json(api.models().await?))
}

/// Lists the agents that may work on tasks: our own and foreign ones, with what stands in the way of those that cannot now.
#[utoipa::path(get, path = "/engines", tag = "models", responses((status = 200, body = EngineList)))]
pub(super) async fn engines(State(api): Shared) -> Json<EngineList> {
    Json(api.engines())
}

/// Asks a model one small thing, and says what works with it: streaming, tools, pictures.
#[utoipa::path(
    post, path = "/models/try", tag = "models", request_body = TryModel,
    responses((status = 200, body = DoctorReport)),
)]
pub(super) async fn try_model(State(api): Shared, Body(request): Body<TryModel>) -> Json<DoctorReport> {
    Json(api.try_model(request.model).await)
}
