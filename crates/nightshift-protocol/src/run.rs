//! A run's states.
//!
//! ```text
//! queued ─▶ preparing ─▶ working ⇄ waiting          ─▶ delivering ─▶ inReview ─▶ merged | closed
//!    └──────────┴───────────┴──▶ paused ─▶ (back)    any ──▶ cancelled | failed
//! ```

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    Attempt, Image, PullRequestId, Reviewing, RunId, SandboxId, StepId, SubagentSummary, Task, Usage,
    UserError,
};

/// Where a run is. The supervisor's `transition` is the only place that makes the next one from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RunState {
    /// Waits for room.
    Queued {
        /// Why it has to wait.
        reason: QueueReason,
    },
    /// Its sandbox is being made ready.
    Preparing {
        /// What is being done.
        phase: PreparingPhase,
    },
    /// The agent works.
    Working,
    /// The agent asked a person something.
    Waiting {
        /// The question.
        question: String,
        /// The step that needs a yes or a no, if that is the question; words are no answer then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<StepId>,
    },
    /// The work travels out of the sandbox and becomes a pull request.
    Delivering,
    /// A pull request waits for a person.
    InReview {
        /// Which one.
        pull_request: PullRequestId,
    },
    /// Stopped for now; the sandbox is kept.
    Paused {
        /// Why.
        reason: PauseReason,
    },
    /// The pull request was merged.
    Merged {
        /// Which one.
        pull_request: PullRequestId,
    },
    /// The pull request was closed without merging.
    Closed {
        /// Which one.
        pull_request: PullRequestId,
    },
    /// A person cancelled it.
    Cancelled,
    /// It cannot go on.
    Failed {
        /// Why, and what to do next.
        reason: FailureReason,
    },
}

impl RunState {
    /// The names of all states, in the order of a run's life.
    pub const NAMES: [&str; 11] = [
        "queued",
        "preparing",
        "working",
        "waiting",
        "paused",
        "delivering",
        "inReview",
        "merged",
        "closed",
        "cancelled",
        "failed",
    ];

    /// Whether nothing will happen any more unless a person starts something new.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Merged { .. } | Self::Closed { .. } | Self::Cancelled | Self::Failed { .. } => true,
            Self::Queued { .. }
            | Self::Preparing { .. }
            | Self::Working
            | Self::Waiting { .. }
            | Self::Delivering
            | Self::InReview { .. }
            | Self::Paused { .. } => false,
        }
    }

    /// The state's name on the wire and in lists.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Preparing { .. } => "preparing",
            Self::Working => "working",
            Self::Waiting { .. } => "waiting",
            Self::Delivering => "delivering",
            Self::InReview { .. } => "inReview",
            Self::Paused { .. } => "paused",
            Self::Merged { .. } => "merged",
            Self::Closed { .. } => "closed",
            Self::Cancelled => "cancelled",
            Self::Failed { .. } => "failed",
        }
    }

    /// The state as people read it, at the end of a sentence: "the run is in review".
    pub fn words(&self) -> &'static str {
        match self {
            Self::InReview { .. } => "in review",
            Self::Queued { .. }
            | Self::Preparing { .. }
            | Self::Working
            | Self::Waiting { .. }
            | Self::Delivering
            | Self::Paused { .. }
            | Self::Merged { .. }
            | Self::Closed { .. }
            | Self::Cancelled
            | Self::Failed { .. } => self.name(),
        }
    }
}

/// Why a run has to wait for its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum QueueReason {
    /// It was just submitted.
    Submitted,
    /// As many sandboxes run as may.
    SandboxLimit {
        /// How many may run at once.
        limit: u32,
    },
    /// People or checks had something to say about its pull request.
    Feedback,
    /// As many pull requests wait for a review as may.
    ReviewLimit {
        /// How many may wait.
        limit: u32,
    },
    /// The host's memory is used up for now.
    Memory {
        /// What must be available, in MiB.
        needed_mib: u64,
    },
    /// The host's processors have enough to do.
    Processors,
    /// The disk is nearly full.
    Disk {
        /// What must be free, in MiB.
        needed_mib: u64,
    },
}

impl QueueReason {
    /// The reason in a few words.
    pub fn words(&self) -> String {
        match self {
            Self::Feedback => "feedback to deal with".to_owned(),
            Self::Submitted => "just submitted".to_owned(),
            Self::ReviewLimit { limit: 1 } => "a pull request waits for your review".to_owned(),
            Self::ReviewLimit { limit } => format!("{limit} pull requests wait for your review"),
            Self::SandboxLimit { limit: 1 } => "another sandbox runs".to_owned(),
            Self::SandboxLimit { limit } => format!("{limit} sandboxes run already"),
            Self::Memory { needed_mib } => format!("less than {needed_mib} MiB of memory are available"),
            Self::Processors => "the processors have enough to do".to_owned(),
            Self::Disk { needed_mib } => format!("less than {needed_mib} MiB are free on the disk"),
        }
    }
}

/// What is done before the agent can work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PreparingPhase {
    /// The guest image is built (once).
    Image,
    /// The template is booted and frozen (once).
    Template,
    /// The sandbox is cloned.
    Sandbox,
    /// The repository is packed into the sandbox.
    Repository,
}

/// Why a run is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PauseReason {
    /// A person asked for it.
    Person,
    /// A limit of the task was reached.
    Limit {
        /// Which one, in words.
        limit: String,
    },
    /// Something that may pass: the provider is down, the key is wrong, the disk is full.
    Trouble {
        /// What it is and what to do.
        error: UserError,
    },
}

/// Why a run cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureReason {
    /// What failed, why, what to do next.
    pub error: UserError,
}

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// Its id.
    pub run: RunId,
    /// The task it is an attempt at.
    pub task: Task,
    /// Which attempt it is, where the task was given to several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The run it was forked from, if it is a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<RunId>,
    /// Where it is.
    pub state: RunState,
    /// Its sandbox, once it has one.
    pub sandbox: Option<SandboxId>,
    /// Whether the sandbox is suspended to disk.
    #[serde(default)]
    pub suspended: bool,
    /// The branch its work is on.
    pub branch: String,
    /// Model calls of its own agent so far.
    pub turns: u32,
    /// Tool calls so far, those of subagents included.
    pub steps: u32,
    /// Tokens and money so far, those of subagents included.
    pub usage: Usage,
    /// The subagents that its agent started, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subagents: Vec<SubagentSummary>,
    /// What a wall of runs shows of it.
    pub glance: Glance,
    /// What reviewing it came to so far.
    #[serde(default)]
    pub reviewing: Reviewing,
    /// The number of its newest event.
    pub last_seq: u64,
    /// When its newest event happened.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// What is seen of a run at a glance: how far its plan is, what it does, the newest picture of its screen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Glance {
    /// The plan's steps, dropped ones left out.
    pub plan_steps: u32,
    /// How many of them are done.
    pub plan_done: u32,
    /// The title of the step under way, cut to 200 characters; empty when there is none.
    pub doing: String,
    /// The newest recorded picture of the screen.
    pub screen: Option<Image>,
}
