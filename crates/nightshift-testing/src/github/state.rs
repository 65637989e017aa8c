//! What the fake knows: repositories, pull requests, issues, comments, checks, uploads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use serde_json::Value;

/// What kind of token a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A person's, of the classic or the fine-grained kind.
    Personal,
    /// An installation of an App. It may not upload attachments.
    Installation,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq)]
pub struct PullRequest {
    /// Its number, which it shares with issues.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Body.
    pub body: String,
    /// The branch with the work.
    pub head: String,
    /// The branch it is to go into.
    pub base: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// Where it is.
    pub state: PullRequestState,
    /// Names of its labels.
    pub labels: BTreeSet<String>,
    /// Who was asked to review it.
    pub reviewers: BTreeSet<String>,
    /// Whether it can be merged; `None` while GitHub finds out.
    pub mergeable: Option<bool>,
}

/// Where a pull request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullRequestState {
    /// Open.
    Open,
    /// Closed without merging.
    Closed,
    /// Merged, by this commit.
    Merged(String),
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Its id.
    pub id: u64,
    /// The pull request.
    pub pull_request: u64,
    /// `APPROVED`, `CHANGES_REQUESTED` or `COMMENTED`.
    pub state: String,
    /// What it says.
    pub body: String,
    /// Who wrote it.
    pub user: String,
}

/// A comment on lines of a file, in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewComment {
    /// Its id.
    pub id: u64,
    /// The pull request.
    pub pull_request: u64,
    /// The review it belongs to.
    pub review: Option<u64>,
    /// The comment that began the thread; `None` for that one itself.
    pub in_reply_to: Option<u64>,
    /// The file.
    pub path: String,
    /// The line.
    pub line: u64,
    /// What it says.
    pub body: String,
    /// Who wrote it.
    pub user: String,
}

/// A comment on an issue or in the conversation of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueComment {
    /// Its id.
    pub id: u64,
    /// The issue or pull request.
    pub number: u64,
    /// What it says.
    pub body: String,
    /// Who wrote it.
    pub user: String,
    /// What they are to the repository, for example `MEMBER` or `NONE`.
    pub association: String,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its number.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Body.
    pub body: String,
    /// Names of its labels.
    pub labels: BTreeSet<String>,
    /// Who wrote it.
    pub user: String,
    /// What they are to the repository.
    pub association: String,
}

/// A check of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// Its id.
    pub id: u64,
    /// The commit.
    pub sha: String,
    /// Its name.
    pub name: String,
    /// `None` while it runs; else `success`, `failure` and so on.
    pub conclusion: Option<String>,
    /// What it says.
    pub summary: String,
}

/// A status of a commit, as programs set it that have no checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// The commit.
    pub sha: String,
    /// What it is about, for example `ci/jenkins`.
    pub context: String,
    /// `error`, `failure`, `pending` or `success`.
    pub state: String,
    /// What it says.
    pub description: String,
}

#[derive(Debug)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) git_dir: PathBuf,
    pub(super) default_branch: String,
    pub(super) pull_requests: Vec<PullRequest>,
    pub(super) issues: Vec<Issue>,
    pub(super) reviews: Vec<Review>,
    pub(super) review_comments: Vec<ReviewComment>,
    pub(super) issue_comments: Vec<IssueComment>,
    /// Ids of the first comments of the threads that are resolved.
    pub(super) resolved: BTreeSet<u64>,
    pub(super) check_runs: Vec<CheckRun>,
    pub(super) statuses: Vec<CommitStatus>,
    /// What people may do, by login in small letters; whoever is not here may write.
    pub(super) permissions: BTreeMap<String, String>,
    /// What was done to issues since they were opened, oldest first.
    pub(super) deeds: Vec<Deed>,
}

/// Something that was done to an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) issue: u64,
    pub(super) by: String,
    /// The label that was set; `None` where the text was changed.
    pub(super) label: Option<String>,
}

impl Repository {
    pub(super) fn next_number(&self) -> u64 {
        let pulls = self.pull_requests.iter().map(|pull_request| pull_request.number);
        let issues = self.issues.iter().map(|issue| issue.number);
        pulls.chain(issues).max().unwrap_or(0) + 1
    }

    pub(super) fn pull_request(&mut self, number: u64) -> Option<&mut PullRequest> {
        self.pull_requests.iter_mut().find(|pull_request| pull_request.number == number)
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The first comment of the thread that a comment is in.
    pub(super) fn thread_of(&self, comment: u64) -> Option<u64> {
        let found = self.review_comments.iter().find(|one| one.id == comment)?;
        Some(found.in_reply_to.unwrap_or(found.id))
    }
}

/// A picture that was uploaded.
#[derive(Debug, Clone)]
pub(super) struct Asset {
    pub(super) name: String,
    pub(super) content_type: String,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) repositories: Vec<Repository>,
    pub(super) tokens: HashMap<String, (Token, String)>,
    pub(super) assets: BTreeMap<String, Asset>,
    pub(super) breaches: Vec<String>,
    pub(super) requests: Vec<String>,
    pub(super) remaining: u64,
    pub(super) issued: Vec<String>,
    pub(super) last_id: u64,
}

impl State {
    pub(super) fn repository(&mut self, owner: &str, name: &str) -> Option<&mut Repository> {
        self.repositories.iter_mut().find(|repository| {
            repository.owner.eq_ignore_ascii_case(owner) && repository.name.eq_ignore_ascii_case(name)
        })
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Whether a saved text cites an upload: before that nobody is shown it.
    pub(super) fn cites(&self, url: &str) -> bool {
        self.repositories.iter().any(|repository| {
            let bodies = repository.pull_requests.iter().map(|one| &one.body);
            let comments = repository.issue_comments.iter().map(|one| &one.body);
            let replies = repository.review_comments.iter().map(|one| &one.body);
            bodies.chain(comments).chain(replies).any(|body| body.contains(url))
        })
    }
}

/// Writes the members of `over` into `into`, and into objects within it; lists are replaced whole.
pub(super) fn overlay(into: &mut Value, over: Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                overlay(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, over) => *into = over,
    }
}
