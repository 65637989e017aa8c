//! Subagents: agents that a run's agent starts within its sandbox.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::StepId;

/// Turns and steps of a run's subagent number N are numbered from N times this on; those of the run's own agent are below.
/// A step's number so names one step of the run, whoever took it, however many work at once.
pub const TURNS_OF_SUBAGENT: u32 = 10_000;

/// The number of the subagent whose call number `turn` is, from 1; `None` where it is the run's own agent's.
pub fn subagent_of(turn: u32) -> Option<u32> {
    Some(turn / TURNS_OF_SUBAGENT).filter(|number| *number > 0)
}

/// A subagent as it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubagentStart {
    /// Its number in the run, from 1.
    pub number: u32,
    /// Its name in the run: its definition's and its number, for example `reviewer-1`.
    pub name: String,
    /// The definition's name.
    pub agent: String,
    /// The file that defines it; `None` for the one that is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The step that started it.
    pub step: StepId,
    /// What it is to do, in a few words.
    pub title: String,
    /// The routing rule that it was started for, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Its model.
    pub model: String,
    /// What a token that the model reads may cost at most, in thousandths of a US dollar for a million, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_price: Option<u64>,
    /// What a token that it writes may cost at most, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_price: Option<u64>,
    /// Tokens of its model's window that it may use, where that is another model than the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// The tools it has.
    pub tools: Vec<String>,
    /// Whether the agent which started it goes on meanwhile.
    pub background: bool,
    /// Model calls it may make.
    pub max_turns: u32,
    /// Tokens of the task's that it may use, where it has a smaller share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// US cents of the task's money that it may cost, where it has a smaller share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cents: Option<u32>,
    /// Minutes of the task's work that it may take, where it has a smaller share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<u32>,
    /// Its own working tree, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_tree: Option<WorkingTree>,
    /// What is otherwise than its definition says, each in a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A working tree of the run's repository in its sandbox, beside the agent's own (git-worktree(1)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkingTree {
    /// Its folder.
    pub folder: String,
    /// The branch that is checked out in it.
    pub branch: String,
}

/// How a subagent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SubagentOutcome {
    /// It reported.
    Reported,
    /// It came to no report.
    GaveUp {
        /// Why, in one sentence.
        reason: String,
    },
}

/// What became of the commits in a subagent's own working tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SubagentWork {
    /// There are none.
    Nothing,
    /// They are on the run's branch.
    Joined {
        /// How many there are.
        commits: u32,
    },
    /// They do not fit the run's branch as they are, and are on the subagent's.
    Apart {
        /// How many there are.
        commits: u32,
        /// What git said, shortened.
        why: String,
    },
}

/// How a subagent stands, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubagentSummary {
    /// Its number in the run, from 1.
    pub number: u32,
    /// Its name in the run.
    pub name: String,
    /// What it is to do, in a few words.
    pub title: String,
    /// Whether the agent which started it goes on meanwhile.
    pub background: bool,
    /// How it ended; `None` while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<SubagentOutcome>,
    /// Model calls so far.
    pub turns: u32,
    /// Tool calls so far.
    pub steps: u32,
    /// When it was started.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
}

impl SubagentSummary {
    /// Where it stands, in a word or two.
    pub fn state(&self) -> &'static str {
        match self.outcome {
            None => "working",
            Some(SubagentOutcome::Reported) => "reported",
            Some(SubagentOutcome::GaveUp { .. }) => "gave up",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_below_the_first_band_is_the_agent_s_own_and_every_other_has_its_subagent() {
        let of = [1, 9_999, 10_000, 10_001, 19_999, 20_000, u32::MAX].map(subagent_of);
        assert_eq!(of, [None, None, Some(1), Some(1), Some(1), Some(2), Some(429_496)]);
    }

    #[test]
    fn a_subagent_stands_as_it_ended() {
        let summary = |outcome| SubagentSummary {
            number: 1,
            name: "reviewer-1".to_owned(),
            title: "Review".to_owned(),
            background: true,
            outcome,
            turns: 0,
            steps: 0,
            started_at: OffsetDateTime::UNIX_EPOCH,
        };
        let gave_up = SubagentOutcome::GaveUp { reason: "It went in circles.".to_owned() };
        let said =
            [None, Some(SubagentOutcome::Reported), Some(gave_up)].map(|outcome| summary(outcome).state());
        assert_eq!(said, ["working", "reported", "gave up"]);
    }
}
