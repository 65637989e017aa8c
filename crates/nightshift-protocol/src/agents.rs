//! Definitions of agents in a repository, as they were found.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::CommitId;

/// Where to look for definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LookForAgents {
    /// The repository, as tasks name it.
    pub repository: String,
    /// The branch; the one that is checked out if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// The agents that a task in a repository could start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentsFound {
    /// The repository, as history names it.
    pub repository: String,
    /// The branch that was looked at.
    pub branch: String,
    /// Its newest commit.
    pub commit: CommitId,
    /// The definitions, those of the repository first; of several of one name the first that can be used counts.
    pub agents: Vec<AgentFound>,
    /// The rules by which agents are chosen, in the order of their numbers.
    pub rules: Vec<String>,
}

/// One file with a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentFound {
    /// Whose it is.
    pub owner: AgentOwner,
    /// The file: below the repository; of the person's below `~/.claude/agents`, or `agents` beside the configuration.
    pub file: String,
    /// What it says; `None` when it cannot be used as it is.
    pub definition: Option<AgentSummary>,
    /// The file whose definition of the same name counts instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadowed_by: Option<String>,
    /// What is wrong with it, by line.
    pub findings: Vec<AgentFinding>,
}

/// Whose a definition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AgentOwner {
    /// The repository's.
    Repository,
    /// The person's, for every repository.
    Person,
}

/// What a definition says, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentSummary {
    /// Its name.
    pub name: String,
    /// When it is to be used.
    pub description: String,
    /// Its model as the file names it; that of whoever starts it if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The tools it may use; all if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Model calls it may make; the default if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Whether it works beside the agent that starts it.
    pub background: bool,
}

/// Something that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentFinding {
    /// The line, from 1.
    pub line: u32,
    /// The character in that line, from 1.
    pub column: u32,
    /// Whether the definition cannot be used because of it.
    pub is_error: bool,
    /// What is wrong, and what to do about it.
    pub message: String,
}
