//! What the operations of the API take and answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    ApprovalPolicy, CommitId, Evidence, IssueReference, Limits, Plan, PullRequestId, ReviewRemark, RunId,
    RunState, RunSummary, SelfReview, SubmittedAttempt, Suspension, TaskId, UserError,
};

/// A wish for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitTask {
    /// What is to be done.
    pub description: String,
    /// How one sees that it is done; if absent, what the description lists under acceptance criteria.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<String>,
    /// Absolute path or URL of the repository.
    pub repository: String,
    /// The branch to start from; the checked-out one if absent.
    #[serde(default)]
    pub base_branch: Option<String>,
    /// The model; the configured one if absent.
    #[serde(default)]
    pub model: Option<String>,
    /// What the task may use; of several attempts, each by itself. What is absent is as configured.
    #[serde(default, skip_serializing_if = "RaiseLimits::is_empty")]
    pub limits: RaiseLimits,
    /// How many runs attempt it, each in a sandbox and on a branch of its own, 1 to 8; one if absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schema(minimum = 1, maximum = 8)]
    pub attempts: u32,
    /// How often a critic may look at the finished work before it is delivered, 0 to 5; if absent, as often as
    /// configured where the task has acceptance criteria, and else never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_review_rounds: Option<u32>,
    /// Which commands need a person's yes; as configured if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
    /// The agent that works on it: `nightshift`, or a foreign one as the list of engines has it; the configured one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The issue that asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<IssueReference>,
    /// What to do when the working tree has changes that are not committed, which the agent would not see.
    #[serde(default)]
    pub uncommitted: Uncommitted,
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

/// What to do about changes that are not committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Uncommitted {
    /// Refuse the task.
    #[default]
    Refuse,
    /// Start from the last commit without them.
    LeaveOut,
}

/// A first task for somebody who is new: an example repository, and what would be asked for in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExampleTask {
    /// The folder of the repository.
    pub repository: String,
    /// What would be asked for.
    pub description: String,
    /// How one sees that it is done.
    pub criteria: Vec<String>,
}

/// What a run is taken up again with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResumeRun {
    /// What its agent is told.
    pub text: String,
}

/// The task and the runs that were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitReply {
    /// The task.
    pub task: TaskId,
    /// Its first run.
    pub run: RunId,
    /// The branch the first run's work will be on.
    pub branch: String,
    /// All its runs, the first included.
    pub attempts: Vec<SubmittedAttempt>,
    /// What whoever gave the task should know of it, each in a sentence or two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A run with what a person wants to see of it first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunDetail {
    /// The run as lists show it.
    pub summary: RunSummary,
    /// The agent's plan.
    pub plan: Plan,
    /// The evidence noted so far.
    pub evidence: Vec<Evidence>,
    /// What the critic found of the work that is delivered or about to be, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub self_reviews: Vec<SelfReview>,
    /// Its pull request, once there is one.
    pub pull_request: Option<PullRequestSummary>,
    /// Where and why its sandbox is suspended to disk, if it is.
    #[serde(default)]
    pub suspension: Option<Suspension>,
}

/// Where a pull request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PullRequestState {
    /// Waits for a review.
    Open,
    /// Its branch is in the base branch.
    Merged {
        /// The merge commit.
        commit: CommitId,
    },
    /// Closed without merging.
    Closed,
}

/// A pull request as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestSummary {
    /// The run that made it; pull requests are named by it across repositories.
    pub run: RunId,
    /// Its number in its repository.
    pub number: PullRequestId,
    /// Where people look at it, when it is at a remote forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Title.
    pub title: String,
    /// The repository the task named.
    pub repository: String,
    /// The branch with the work.
    pub branch: String,
    /// The branch it is to go into.
    pub base: String,
    /// The newest commit.
    pub head: CommitId,
    /// Where it is.
    pub state: PullRequestState,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A pull request with all there is to review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestDetail {
    /// As lists show it.
    pub summary: PullRequestSummary,
    /// The body, Markdown; pictures are named `artifact:ID`.
    pub body: String,
    /// Titles of its commits, oldest first.
    pub commits: Vec<String>,
    /// The evidence.
    pub evidence: Vec<Evidence>,
    /// What was said about it, oldest first, and what became of it.
    #[serde(default)]
    pub remarks: Vec<ReviewRemark>,
    /// Whether a person found it good, and nothing was asked for since.
    #[serde(default)]
    pub approved: bool,
    /// Where its run is: the agent may be dealing with what was asked for.
    pub run_state: RunState,
    /// The bare repository that has the branch.
    #[schema(value_type = String)]
    pub bare_repository: PathBuf,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeReply {
    /// The merge commit.
    pub commit: CommitId,
    /// The branch it is on.
    pub base: String,
    /// The bare repository that has it.
    #[schema(value_type = String)]
    pub bare_repository: PathBuf,
}

/// That an owner is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Its version.
    pub version: String,
}

/// A template that sandboxes can be cloned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReady {
    /// Its key.
    pub template: String,
}

/// What opens a session for a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenSession {
    /// A ticket, as the address that `nightshift open` prints has it behind `#ticket=`.
    pub ticket: String,
}

/// That a browser is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// When it has to be opened anew.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Something that opens one session, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// The ticket.
    pub ticket: String,
    /// Where a browser begins: the owner's address with the ticket behind `#`, which is sent to nobody.
    pub url: String,
    /// Until when it can be used.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// What a person says to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SayToRun {
    /// The words.
    pub text: String,
    /// When the agent reads them.
    #[serde(default)]
    pub delivery: MessageDelivery,
}

/// When an agent reads what a person writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum MessageDelivery {
    /// At the next boundary: after the tool calls of its present answer.
    #[default]
    Steer,
    /// Now: what is under way is stopped.
    Interrupt,
    /// When it is done with what it does.
    Queue,
}

/// Limits of a task that are named; those that are absent stay as they are, or as they are configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RaiseLimits {
    /// Model calls, at most 9,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u32>,
    /// Tokens of all model calls together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_microdollars: Option<u64>,
    /// Seconds of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl RaiseLimits {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The limits with these in the place of the old ones.
    pub fn over(self, limits: Limits) -> Limits {
        Limits {
            turns: self.turns.unwrap_or(limits.turns),
            tokens: self.tokens.unwrap_or(limits.tokens),
            cost_microdollars: self.cost_microdollars.unwrap_or(limits.cost_microdollars),
            seconds: self.seconds.unwrap_or(limits.seconds),
        }
    }
}

impl From<Limits> for RaiseLimits {
    /// All of them.
    fn from(limits: Limits) -> Self {
        let Limits { turns, tokens, cost_microdollars, seconds } = limits;
        Self {
            turns: Some(turns),
            tokens: Some(tokens),
            cost_microdollars: Some(cost_microdollars),
            seconds: Some(seconds),
        }
    }
}

/// What `doctor` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DoctorReport {
    /// Each check, in the order a person should mend them.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at, for example `acceleration`.
    pub name: String,
    /// What was found.
    pub outcome: CheckOutcome,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CheckOutcome {
    /// As it should be.
    Good {
        /// The finding.
        found: String,
    },
    /// It works, and could be better.
    Weak {
        /// The finding.
        found: String,
        /// What to do.
        hint: String,
    },
    /// Tasks cannot run until it is mended.
    Bad {
        /// What is wrong and what to do.
        error: UserError,
    },
}

/// Where a running owner listens; kept in a file of mode 0600.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerAddress {
    /// Its process.
    pub pid: u32,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The token every request carries.
    pub token: String,
    /// Its version.
    pub version: String,
}
