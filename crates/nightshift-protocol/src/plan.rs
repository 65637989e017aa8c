//! The agent's plan, as data.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the agent means to do, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps in order.
    pub steps: Vec<PlanStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    /// What is to be done.
    pub title: String,
    /// How far it is.
    pub state: PlanStepState,
}

/// How far a plan's step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlanStepState {
    /// Not begun.
    Pending,
    /// Under way.
    Active,
    /// Finished.
    Done,
    /// Given up, or no longer needed.
    Dropped,
}
