//! What happens between the end of the work and the merge: checks, pictures, the way to a forge, and what people
//! and checks say about it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ArtifactId, CommitId};

/// Where a run's work is delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryTarget {
    /// The built-in forge on this machine.
    Local,
    /// A repository on GitHub.
    GitHub,
}

/// Something that a reviewer should know of the diff before reading it, found by rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreReviewFinding {
    /// What it is about.
    pub kind: PreReviewKind,
    /// The files it is about, at most nine; empty when it is about all.
    pub paths: Vec<String>,
    /// One sentence.
    pub words: String,
}

/// What a finding is about. The order is that of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PreReviewKind {
    /// Paths that agents may not change: nothing is delivered.
    ForbiddenPath,
    /// What looks like a secret and may be none; only the place is named.
    PossibleSecret,
    /// The repository's lint failed on the work.
    LintFailed,
    /// Files that decide over access, deployment or data.
    Sensitive,
    /// A licence was changed or came in.
    Licence,
    /// Tests were deleted.
    TestsDeleted,
    /// Tests lost more lines than they won.
    TestsChanged,
    /// Large binary files.
    LargeBinary,
    /// Many changed lines.
    Size,
    /// Files made by programs.
    Generated,
    /// Code changed and no test did.
    NoTests,
    /// The repository's lint passed, or none was run.
    Lint,
}

/// A picture or recording as it may leave the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreparedPicture {
    /// The picture as it was taken; the body names it. For a recording: the recording itself.
    pub artifact: ArtifactId,
    /// What leaves the machine in its place: without what looks like a secret. `None` when nothing does.
    pub prepared: Option<ArtifactId>,
    /// `image/png`, `image/gif` or `video/mp4`.
    pub media_type: String,
    /// How many areas were masked.
    pub masked: u32,
    /// Why it stays on this machine, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_because: Option<String>,
}

/// Something that people or checks said about a pull request, and that the run has to deal with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackItem {
    /// A short name within the run, for the agent: `f1`, `f2` and so on.
    pub name: String,
    /// Where it comes from.
    pub source: FeedbackSource,
    /// The words, cut to 4,000 characters. They are data: whoever wrote them does not instruct Nightshift.
    pub words: String,
}

/// Where feedback comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FeedbackSource {
    /// A comment on a line.
    Thread {
        /// The comment that began the thread.
        comment: u64,
        /// The newest comment in it that was read.
        newest: u64,
        /// The file.
        path: String,
        /// The line, where it still exists.
        line: Option<u64>,
        /// Who wrote it.
        author: String,
    },
    /// A comment in the conversation.
    Comment {
        /// Its id.
        comment: u64,
        /// Who wrote it.
        author: String,
    },
    /// A comment on a line, given on this machine.
    Line {
        /// The file.
        path: String,
        /// The line.
        line: u64,
        /// Which side of the diff the line is on.
        side: DiffSide,
        /// The line's text, so that the agent knows what was meant wherever it is by then; possibly empty.
        quote: String,
    },
    /// A review that says something, or asks for changes.
    Review {
        /// Its id; 0 for one that was given in the app.
        review: u64,
        /// Who wrote it.
        author: String,
    },
    /// A check that failed.
    Check {
        /// Its name.
        check: String,
        /// The commit it looked at.
        head: crate::CommitId,
    },
    /// The base branch has gone on, and the work does not fit any more.
    Conflict {
        /// The base branch's newest commit.
        base: crate::CommitId,
    },
}

/// What the agent answers to a piece of feedback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackAnswer {
    /// The feedback's name.
    pub name: String,
    /// What is said to whoever wrote it.
    pub words: String,
    /// Whether it is settled, so that its thread can be closed.
    pub settled: bool,
}

/// A side of a diff.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum DiffSide {
    /// The file as it was.
    Before,
    /// The file as the work leaves it.
    #[default]
    After,
}

/// A comment on a line of a pull request's diff. It waits until changes are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewComment {
    /// A file that the pull request changes.
    pub path: String,
    /// The line, from 1.
    pub line: u64,
    /// Which side of the diff the line is on.
    #[serde(default)]
    pub side: DiffSide,
    /// The line's text, if it is known; at most 500 characters are kept.
    #[serde(default)]
    pub quote: String,
    /// What is to be different, at most 4,000 characters.
    pub words: String,
}

/// A wish for changes to a pull request: words, comments on lines, or both. Comments that wait are sent along.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AskForChanges {
    /// What is to be different, at most 4,000 characters; may be empty where there are comments.
    #[serde(default)]
    pub words: String,
    /// Comments on lines, beside those that wait.
    #[serde(default)]
    pub comments: Vec<NewComment>,
}

/// That a pull request is good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approve {
    /// Words for the record; may be empty.
    #[serde(default)]
    pub words: String,
}

/// That a pull request is to be merged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Merge {
    /// The newest commit that was reviewed: if there is another by now, nothing is merged. Whatever is there if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<CommitId>,
}

/// Something that was said about a pull request, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewRemark {
    /// What was said, and where.
    pub feedback: FeedbackItem,
    /// Where it is.
    pub state: RemarkState,
    /// What the agent answered, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// Where a remark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RemarkState {
    /// It waits until changes are asked for.
    Pending,
    /// The agent has it and has not answered.
    Asked,
    /// The agent answered and leaves it open.
    Answered,
    /// The agent dealt with it.
    Resolved,
}
