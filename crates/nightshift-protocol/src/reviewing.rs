//! What reviewing is about: how large and how sure a delivery is, what waits and in which order, and what reviews came to.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::{CheckTally, PreReviewKind, PullRequestId, PullRequestSummary, RunState, VerdictTally};

/// How large a delivery is, and what it leaves open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryMeasure {
    /// Changed files.
    pub files: u64,
    /// Added lines.
    pub added: u64,
    /// Removed lines.
    pub removed: u64,
    /// The share of the changed lines that the first delivery of the run did not have, or had otherwise, in percent.
    pub reworked_percent: u8,
    /// Acceptance criteria without evidence.
    pub unbacked_criteria: u32,
    /// Whether the agent named something that it could not verify.
    pub not_verified: bool,
    /// Whether a critic found something that is not met, and the agent left it so.
    #[serde(default)]
    pub disputed: bool,
    /// How the checks ended that back it; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<CheckTally>,
    /// What the critic found at last; absent where none looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critic: Option<VerdictTally>,
}

impl DeliveryMeasure {
    /// Added and removed lines together.
    pub fn lines(&self) -> u64 {
        self.added.saturating_add(self.removed)
    }
}

/// What reviewing a run came to so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reviewing {
    /// When the run came into the state it is in.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// The newest delivery; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<DeliveryMeasure>,
    /// The number of its pull request; absent before it is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestId>,
    /// What rules found in the newest delivery.
    #[serde(default)]
    pub findings: Vec<PreReviewKind>,
    /// How often changes were asked for, by people, checks or conflicts.
    #[serde(default)]
    pub rounds: u32,
    /// Milliseconds that its pull request was open for a decision, until each decision; what the agent did in between, and
    /// pauses, are left out.
    #[serde(default)]
    pub review_ms: u64,
    /// Milliseconds that its agent worked, as long as an owner was there.
    #[serde(default)]
    pub agent_ms: u64,
}

impl Default for Reviewing {
    fn default() -> Self {
        Self {
            since: OffsetDateTime::UNIX_EPOCH,
            delivered: None,
            pull_request: None,
            findings: Vec::new(),
            rounds: 0,
            review_ms: 0,
            agent_ms: 0,
        }
    }
}

/// What waits for a review, the one to take first at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewQueue {
    /// How many may wait before new tasks stay queued; `null` means any number.
    pub limit: Option<u32>,
    /// How many wait for a person.
    pub waiting: u32,
    /// Tasks that stay queued because of the limit.
    pub held_back: u32,
    /// The open pull requests.
    pub entries: Vec<ReviewEntry>,
}

/// An open pull request, and why it stands where it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewEntry {
    /// Which one.
    pub pull_request: PullRequestSummary,
    /// Where its run is.
    pub run_state: RunState,
    /// Whether a person can decide now: the agent deals with nothing that was asked for before.
    pub ready: bool,
    /// How much there is to read.
    pub size: ReviewSize,
    /// Changed files.
    pub files: u64,
    /// Changed lines.
    pub lines: u64,
    /// What speaks against merging it at once, in a few words each; none where it is sure.
    pub doubts: Vec<String>,
    /// Since when it is where it is.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Why it stands where it does, in one line.
    pub why: String,
}

/// How much a reviewer has to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReviewSize {
    /// At most 30 changed lines.
    Tiny,
    /// At most 150 changed lines.
    Small,
    /// At most 500 changed lines.
    Medium,
    /// More.
    Large,
}

impl ReviewSize {
    /// The size of so many changed lines.
    pub fn of(lines: u64) -> Self {
        match lines {
            0..=30 => Self::Tiny,
            31..=150 => Self::Small,
            151..=500 => Self::Medium,
            _ => Self::Large,
        }
    }

    /// The size in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// Which pull requests are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AskPullRequests {
    /// Only those that are merged or closed; those that wait are in the review queue too.
    pub decided: bool,
    /// How many at most, the newest first; all if absent.
    pub limit: Option<u32>,
}

/// Which statistics are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AskStatistics {
    /// By what the rows are told apart.
    pub by: StatisticsBy,
    /// Only tasks given since then: a day as `2026-11-01`, or so many days or weeks ago as `30d` or `4w`. All if absent.
    pub since: Option<String>,
}

/// By what statistics are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum StatisticsBy {
    /// By the workflow that a task went through. So far there is one, `default`.
    Blueprint,
    /// By the model, as the task names it.
    Model,
    /// By the repository, as the task names it.
    #[default]
    Repository,
    /// By the week in which the task was given, as `2026-W48` (ISO 8601), in UTC.
    Week,
}

/// What runs and their reviews came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// By what the rows are told apart.
    pub by: StatisticsBy,
    /// Only tasks given since then were counted; `null` means all.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// The rows: the one with most runs first, weeks from the oldest.
    pub rows: Vec<StatisticsRow>,
    /// All together.
    pub total: StatisticsRow,
}

/// What the runs of one kind came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatisticsRow {
    /// What they have in common.
    pub name: String,
    /// Runs.
    pub runs: u64,
    /// Of them: the work was delivered.
    pub delivered: u64,
    /// Of them: merged.
    pub merged: u64,
    /// Of the merged: without significant change, which is less than a tenth of the changed lines after the first delivery.
    pub merged_unchanged: u64,
    /// Of them: closed without merging.
    pub closed: u64,
    /// Of them: failed, or given up before a pull request was open.
    pub given_up: u64,
    /// How often changes were asked for.
    pub rounds: u64,
    /// The median of the seconds that a pull request was open for a decision; `null` where none was decided.
    pub review_seconds: Option<u64>,
    /// The median of the seconds an agent worked on what was delivered; `null` where nothing was.
    pub agent_seconds: Option<u64>,
    /// Money in millionths of a US dollar.
    pub cost_microdollars: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_end_where_they_say() {
        let sizes = [0, 30, 31, 150, 151, 500, 501, u64::MAX].map(ReviewSize::of);
        use ReviewSize::{Large, Medium, Small, Tiny};
        assert_eq!(sizes, [Tiny, Tiny, Small, Small, Medium, Medium, Large, Large]);
        assert_eq!([Tiny, Small, Medium, Large].map(ReviewSize::word), ["tiny", "small", "medium", "large"]);
    }

    #[test]
    fn lines_beyond_all_counting_are_as_many_as_there_are() {
        let measure = DeliveryMeasure { added: u64::MAX, removed: 2, ..DeliveryMeasure::default() };
        assert_eq!(measure.lines(), u64::MAX);
    }

    #[test]
    fn a_run_of_an_older_version_has_nothing_to_tell_of_its_reviews() {
        let read: Reviewing = serde_json::from_str(r#"{"since": "1970-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(read, Reviewing::default());
    }

    #[test]
    fn statistics_are_asked_for_by_repository_unless_something_else_is_named() {
        let read = |text: &str| serde_json::from_str::<AskStatistics>(text);
        assert_eq!(read("{}").unwrap(), AskStatistics { by: StatisticsBy::Repository, since: None });
        let weeks = AskStatistics { by: StatisticsBy::Week, since: Some("4w".to_owned()) };
        assert_eq!(read(r#"{"by": "week", "since": "4w"}"#).unwrap(), weeks);
        assert!(read(r#"{"by": "colour"}"#).is_err() && read(r#"{"until": "4w"}"#).is_err());
    }

    #[test]
    fn statistics_without_a_beginning_are_written_with_none() {
        let statistics = Statistics {
            by: StatisticsBy::Blueprint,
            since: None,
            rows: Vec::new(),
            total: StatisticsRow::default(),
        };
        let written = serde_json::to_value(&statistics).unwrap();
        assert_eq!((&written["by"], &written["since"]), (&"blueprint".into(), &serde_json::Value::Null));
        assert_eq!(written["total"]["reviewSeconds"], serde_json::Value::Null);
        assert_eq!(serde_json::from_value::<Statistics>(written).unwrap(), statistics);
    }
}
