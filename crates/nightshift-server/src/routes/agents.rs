//! Definitions of agents.

use axum::Json;
use axum::extract::State;
use nightshift_protocol::{AgentsFound, LookForAgents};

use super::{Answer, Shared};
use crate::extract::Body;

/// Finds the agents that a task in a repository could start, with what is wrong with their definitions.
#[utoipa::path(
    post, path = "/agents/look", tag = "agents", request_body = LookForAgents,
    responses((status = 200, body = AgentsFound)),
)]
pub(super) async fn look_for_agents(
    State(api): Shared,
    Body(wish): Body<LookForAgents>,
) -> Answer<AgentsFound> {
    Ok(Json(api.agents(wish).await?))
}
