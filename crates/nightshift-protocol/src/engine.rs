//! A foreign agent that works in a run's sandbox in the place of our own: what is known of what it does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Usage, UserError};

/// Steps that a foreign agent takes by our tools are numbered behind this one within its turn. Before it are those that its
/// turn ends with.
pub const STEPS_OF_ENGINE: u32 = 100;

/// The name of our own agent, where an engine is named.
pub const OWN_ENGINE: &str = "nightshift";

/// The agents that may work on a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineList {
    /// All of them, our own first, the others by name.
    pub engines: Vec<EngineSummary>,
    /// The engine of a task that names none.
    pub default_engine: String,
}

/// An agent that may work on a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineSummary {
    /// The name to give to a task.
    pub name: String,
    /// The provider whose models it uses; any of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether a task may name its model.
    pub takes_model: bool,
    /// The step of a repository's environment that puts it into the sandbox, where it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
    /// Why it cannot work on a task now, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<UserError>,
}

/// What a foreign agent does by a tool of its own, as it tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineAction {
    /// Its number within the turn, from 1. The same number tells later what became of it.
    pub number: u32,
    /// Of what kind it is.
    pub kind: EngineActionKind,
    /// What it is, in the agent's words; at most 300 characters.
    pub title: String,
    /// How far it is.
    pub status: EngineActionStatus,
    /// The files it is about; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The beginning of what it led to, at most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Kinds of what a foreign agent does, as the Agent Client Protocol has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum EngineActionKind {
    /// It reads files.
    Read,
    /// It changes files.
    Edit,
    /// It removes files.
    Delete,
    /// It moves files.
    Move,
    /// It searches.
    Search,
    /// It runs a command.
    Execute,
    /// It reasons.
    Think,
    /// It reads from the network.
    Fetch,
    /// Something else.
    Other,
}

/// How far something is that a foreign agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum EngineActionStatus {
    /// It was begun.
    Begun,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

/// A model call that a foreign agent is about to make through the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineModelRequest {
    /// Its number among those of the run, from 1.
    pub number: u32,
    /// The provider.
    pub provider: String,
    /// The model, as the request names it.
    pub model: String,
    /// What it may use at worst, which is counted where what came of it is never known.
    pub worst: Usage,
}

/// A model call that a foreign agent made through the owner, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineModelCall {
    /// Its number among those of the run that were made; 0 where it was not made.
    #[serde(default)]
    pub number: u32,
    /// The provider.
    pub provider: String,
    /// The model, as the answer names it, or else the request.
    pub model: String,
    /// The HTTP status of the answer; `None` when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it was not made, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What it used.
    pub usage: Usage,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}
