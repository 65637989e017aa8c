//! Lists, counts, and what is found by searching.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::{RunId, RunSummary};

/// Which runs are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ListRuns {
    /// Names of states joined by commas, for example `working,waiting`; `unfinished` stands for all that are not
    /// final. Every state if absent.
    pub state: Option<String>,
    /// The repository, as the task names it.
    pub repository: Option<String>,
    /// Words of the task's description or repository, the last one as a beginning.
    pub text: Option<String>,
    /// Where to go on: `next` of the part before.
    pub cursor: Option<String>,
    /// How many at most, from 1 to 500; 100 if absent.
    pub limit: Option<u32>,
}

/// A part of a list of runs, the newest submitted first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunList {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// Where the next part begins: the `cursor` to ask with. `null` after the last.
    pub next: Option<String>,
}

/// How many runs are in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunCounts {
    /// Wait for room.
    pub queued: u64,
    /// Their sandbox is being made ready.
    pub preparing: u64,
    /// Their agent works.
    pub working: u64,
    /// Their agent asked a person something.
    pub waiting: u64,
    /// Stopped for now.
    pub paused: u64,
    /// Their work becomes a pull request.
    pub delivering: u64,
    /// Their pull request waits for a person.
    pub in_review: u64,
    /// Their pull request was merged.
    pub merged: u64,
    /// Their pull request was closed.
    pub closed: u64,
    /// Given up by a person.
    pub cancelled: u64,
    /// Cannot go on.
    pub failed: u64,
}

/// What a person sees of everything at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The position of the newest event that is counted in here; `/stream` goes on after it.
    pub position: u64,
    /// How many runs are in each state.
    pub counts: RunCounts,
    /// How many wait for a person: questions, pauses that need a decision, reviews.
    pub waits_for_you: u64,
}

/// A run that changed, as the stream of everything tells it. Several changes shortly after one another are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunChanged {
    /// The position of its newest event: go on after it when the stream was cut.
    pub position: u64,
    /// The run as it is now.
    pub run: RunSummary,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchFor {
    /// Words that must all be there, the last one as a beginning.
    pub q: String,
    /// Where to go on: `next` of the part before.
    pub cursor: Option<String>,
    /// How many at most, from 1 to 100; 20 if absent.
    pub limit: Option<u32>,
}

/// What a search found, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchReply {
    /// The finds.
    pub hits: Vec<SearchHit>,
    /// Where the next part begins: the `cursor` to ask with. `null` after the last.
    pub next: Option<String>,
}

/// One find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchHit {
    /// The run it is in.
    pub run: RunId,
    /// The title of the run's task.
    pub title: String,
    /// The event it is in.
    pub seq: u64,
    /// The event's type, for example `personSaid`; `runSubmitted` is the task's description.
    pub kind: String,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// A piece of the text around the first match, in parts.
    pub excerpt: Vec<ExcerptPart>,
}

/// A part of an excerpt. It is plain text and must be shown as such: it may come from a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExcerptPart {
    /// The text.
    pub text: String,
    /// Whether it is what was searched for.
    pub is_match: bool,
}
