//! Several attempts at one task: which run is which, what each came to, and giving the others up once one is chosen.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{RunId, RunSummary, TaskId, UserError};

/// Attempts at one task at most.
pub const MOST_ATTEMPTS: u32 = 8;

/// Which attempt at its task a run is, where the task was given to several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its number, from 1. A fork has that of the run it was made of.
    pub number: u32,
    /// How many were asked for.
    pub of: u32,
}

/// An attempt that was just submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmittedAttempt {
    /// The run.
    pub run: RunId,
    /// The branch its work will be on.
    pub branch: String,
}

/// How the checks ended that back a delivery: the commands named as evidence and the repository's lint. Of a command that
/// was named several times, the last time counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckTally {
    /// How many ended with exit code 0.
    pub passed: u32,
    /// How many ended otherwise.
    pub failed: u32,
}

/// What the last critic found of a delivery's acceptance criteria. Those it came to no verdict about are in `of` alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictTally {
    /// How many are met.
    pub met: u32,
    /// How many are not met.
    pub not_met: u32,
    /// How many cannot be told in the sandbox.
    pub not_verifiable: u32,
    /// How many there are. A task without criteria has one: that it is done as described.
    pub of: u32,
}

/// The attempts at a task, and how they rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptList {
    /// The task.
    pub task: TaskId,
    /// Every run of it in the order of submission, forks included.
    pub attempts: Vec<AttemptSummary>,
}

/// What came of one attempt, as of its newest delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptSummary {
    /// Its place in the order of submission, from 1.
    pub number: u32,
    /// The run as lists show it.
    pub run: RunSummary,
    /// The run it was forked from, if it is a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_of: Option<RunId>,
    /// How much it changes; absent before it delivered something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<AttemptChange>,
    /// How the checks ended that back it; absent where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<CheckTally>,
    /// What the critic found at last; absent where none looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critic: Option<VerdictTally>,
    /// Its place among those that delivered something, from 1; equal ones share a place. Checks count first, then what the
    /// critic found, then the smaller change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Why it stands where it does, in one line.
    pub why: String,
}

/// How much an attempt changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptChange {
    /// Changed files.
    pub files: u64,
    /// Added lines.
    pub added: u64,
    /// Removed lines.
    pub removed: u64,
}

/// What became of the other attempts at a run's task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OthersClosed {
    /// The run that is kept.
    pub kept: RunId,
    /// The others, in the order of submission.
    pub others: Vec<OtherAttempt>,
}

/// What became of one of the other attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtherAttempt {
    /// Its place in the order of submission, from 1.
    pub number: u32,
    /// The run.
    pub run: RunId,
    /// What was done, or why nothing was.
    pub outcome: GivenUp,
}

/// What was done to give an attempt up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum GivenUp {
    /// Its pull request was closed; the branch is kept.
    PullRequestClosed,
    /// It was cancelled, and its sandbox is removed.
    Cancelled,
    /// Nothing: it was over before.
    OverBefore {
        /// The name of the state it is in: `merged`, `closed`, `cancelled` or `failed`.
        state: String,
    },
    /// Nothing, because it could not be done.
    Refused {
        /// Why, and what to do next.
        error: UserError,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorCode;

    #[test]
    fn what_was_done_to_give_an_attempt_up_is_told_by_its_type() {
        let error = UserError::new(ErrorCode::Conflict, "it is ending", "Try again.");
        for (outcome, wire) in [
            (GivenUp::PullRequestClosed, json!({"type": "pullRequestClosed"})),
            (GivenUp::Cancelled, json!({"type": "cancelled"})),
            (
                GivenUp::OverBefore { state: "merged".to_owned() },
                json!({"type": "overBefore", "state": "merged"}),
            ),
            (GivenUp::Refused { error: error.clone() }, json!({"type": "refused", "error": error})),
        ] {
            assert_eq!(serde_json::to_value(&outcome).unwrap(), wire);
            assert_eq!(serde_json::from_value::<GivenUp>(wire).unwrap(), outcome);
        }
    }

    #[test]
    fn tallies_are_counted_in_camel_case() {
        let found = VerdictTally { met: 1, not_met: 2, not_verifiable: 3, of: 6 };
        let wire = json!({"met": 1, "notMet": 2, "notVerifiable": 3, "of": 6});
        assert_eq!(serde_json::to_value(found).unwrap(), wire);
        assert_eq!(serde_json::to_value(CheckTally::default()).unwrap(), json!({"passed": 0, "failed": 0}));
    }
}
