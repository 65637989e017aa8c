//! What a person asked for.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{Approval, CommitId, TaskId};

/// A piece of work in one repository, as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The description, in the person's words.
    pub description: String,
    /// How one sees that it is done, each in one sentence; evidence names them by their numbers, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<String>,
    /// Path or URL of the repository.
    pub repository: String,
    /// The branch the work starts from and goes back to.
    pub base_branch: String,
    /// The commit the work starts from.
    pub base_commit: CommitId,
    /// The model, by the provider's name.
    pub model: String,
    /// What the task may use.
    pub limits: Limits,
    /// How often a critic may look at the finished work before it is delivered.
    #[serde(default)]
    pub self_review_rounds: u32,
    /// Which commands need a person's yes.
    #[serde(default)]
    pub approval: Approval,
    /// The foreign agent that works on it; our own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The issue that asked for it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<IssueReference>,
    /// When it was submitted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// An issue at the remote forge that the task's repository is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssueReference {
    /// Its number.
    pub number: u64,
    /// Where people look at it.
    pub url: String,
    /// The comment that asked for the task; `None` when it was a label, or a person here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<u64>,
}

impl Task {
    /// The first line of the description, cut to 100 characters: what a list shows.
    pub fn title(&self) -> String {
        let line = self
            .description
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("(no description)");
        if line.chars().count() <= 100 {
            line.to_owned()
        } else {
            line.chars().take(99).chain(['…']).collect()
        }
    }
}

/// What a task may use; of several attempts at it, each by itself. At a limit the run pauses; it is not lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Model calls, at most 9,000.
    pub turns: u32,
    /// Tokens of all model calls together, cached ones included.
    pub tokens: u64,
    /// Money in millionths of a US dollar.
    pub cost_microdollars: u64,
    /// Seconds of wall time while the run works; time in a queue or paused does not count.
    pub seconds: u64,
}

impl Limits {
    /// The most model calls that a task may have. The run's own agent and its critics number theirs below
    /// [`TURNS_OF_SUBAGENT`](crate::TURNS_OF_SUBAGENT), and some numbers are of calls that did not count.
    pub const MOST_TURNS: u32 = 9_000;
}

impl Default for Limits {
    /// Two hours, 200 turns, 20 million tokens, 10 US dollars: above what a well-scoped task needs.
    fn default() -> Self {
        Self { turns: 200, tokens: 20_000_000, cost_microdollars: 10_000_000, seconds: 7_200 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(description: &str) -> Task {
        Task {
            id: "task-0000000000".parse().unwrap(),
            description: description.to_owned(),
            criteria: Vec::new(),
            repository: "/src/app".to_owned(),
            base_branch: "main".to_owned(),
            base_commit: "a".repeat(40).parse().unwrap(),
            model: "claude-sonnet-5-5".to_owned(),
            limits: Limits::default(),
            self_review_rounds: 0,
            approval: Approval::default(),
            engine: None,
            issue: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_title_is_the_first_line_with_something_in_it() {
        assert_eq!(task("\n  Add dark mode  \nPersist it.").title(), "Add dark mode");
    }

    #[test]
    fn a_long_title_is_cut_on_a_character_and_says_so() {
        let title = task(&"ä".repeat(300)).title();
        assert_eq!(title.chars().count(), 100);
        assert!(title.ends_with('…'));
    }

    #[test]
    fn a_title_of_a_hundred_characters_is_whole() {
        let line = "x".repeat(100);
        assert_eq!(task(&format!("{line}\nand more")).title(), line);
    }

    #[test]
    fn a_description_without_words_has_a_title_that_says_so() {
        for empty in ["", "\n\n", " \t \n"] {
            assert_eq!(task(empty).title(), "(no description)");
        }
    }
}
