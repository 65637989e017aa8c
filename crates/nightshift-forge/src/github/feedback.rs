//! What people and checks say about a pull request.

use nightshift_protocol::{CommitId, PullRequestId};
use serde_json::{Value, json};

use super::call::Change;
use super::issues::Association;
use super::wire;
use super::{GitHubError, Remote};

/// Where a pull request is at its site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteState {
    /// Open.
    Open,
    /// Merged.
    Merged {
        /// The merge commit, where the site names it.
        commit: Option<CommitId>,
    },
    /// Closed without merging.
    Closed,
}

/// A thread of comments on a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewThread {
    /// The comment that began it.
    pub comment: u64,
    /// The file.
    pub path: String,
    /// The line; `None` for the file as a whole, or for a line that is gone.
    pub line: Option<u64>,
    /// All that was said in it, oldest first.
    pub said: Vec<ThreadComment>,
}

/// A comment in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadComment {
    /// Its id; later ones have higher ids.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// What they are to the repository.
    pub association: Association,
    /// The words.
    pub words: String,
}

/// Words about a pull request as a whole: a comment, or what a review says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id; reviews and comments count apart.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// What they are to the repository.
    pub association: Association,
    /// The words.
    pub words: String,
    /// Whether it is a review that asks for changes.
    pub asks_for_changes: bool,
    /// Whether it is a review that approves.
    pub approves: bool,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFailure {
    /// Its name.
    pub name: String,
    /// How it ended, for example `failure` or `timed_out`.
    pub conclusion: String,
    /// What it says of the failure.
    pub summary: String,
    /// Where people look at it.
    pub url: String,
}

impl Remote {
    /// Reads the threads on lines, in the order they were begun.
    pub async fn review_threads(&self, number: PullRequestId) -> Result<Vec<ReviewThread>, GitHubError> {
        let rest = format!("pulls/{number}/comments");
        let comments: Vec<wire::ReviewComment> = self.list("reading review comments", &rest).await?;
        Ok(threads(comments))
    }

    /// Reads what reviews say, leaving out those that say nothing and ask for nothing.
    pub async fn reviews(&self, number: PullRequestId) -> Result<Vec<Conversation>, GitHubError> {
        let reviews: Vec<wire::Review> =
            self.list("reading reviews", &format!("pulls/{number}/reviews")).await?;
        let read = |review: wire::Review| Conversation {
            id: review.id,
            author: login(review.user),
            association: Association::of(review.author_association.as_deref()),
            words: review.body.unwrap_or_default(),
            asks_for_changes: review.state == "CHANGES_REQUESTED",
            approves: review.state == "APPROVED",
        };
        let says = |one: &Conversation| one.asks_for_changes || !one.words.trim().is_empty();
        Ok(reviews.into_iter().map(read).filter(says).collect())
    }

    /// Reads the comments in the conversation of a pull request or issue.
    pub async fn conversation(&self, number: PullRequestId) -> Result<Vec<Conversation>, GitHubError> {
        let rest = format!("issues/{number}/comments");
        let comments: Vec<wire::IssueComment> = self.list("reading comments", &rest).await?;
        let read = |comment: wire::IssueComment| Conversation {
            id: comment.id,
            author: login(comment.user),
            association: Association::of(comment.author_association.as_deref()),
            words: comment.body.unwrap_or_default(),
            asks_for_changes: false,
            approves: false,
        };
        Ok(comments.into_iter().map(read).collect())
    }

    /// Reads the checks of a commit: those that failed, or `None` while some still run.
    pub async fn check_failures(&self, head: &CommitId) -> Result<Option<Vec<CheckFailure>>, GitHubError> {
        let rest = format!("commits/{head}/check-runs?per_page=100");
        let runs: wire::CheckRuns = self.get("reading checks", &rest).await?;
        Ok(failures(runs.check_runs))
    }

    /// Answers in the thread of a comment.
    pub async fn reply(&self, number: PullRequestId, comment: u64, words: &str) -> Result<u64, GitHubError> {
        let rest = format!("pulls/{number}/comments/{comment}/replies");
        let request = json!({ "body": words });
        let written: wire::WithId = self.send("answering a comment", Change::Post, &rest, &request).await?;
        Ok(written.id)
    }

    /// Writes in the conversation of a pull request or issue.
    pub async fn comment(&self, number: PullRequestId, words: &str) -> Result<u64, GitHubError> {
        let rest = format!("issues/{number}/comments");
        let request = json!({ "body": words });
        let written: wire::WithId = self.send("writing a comment", Change::Post, &rest, &request).await?;
        Ok(written.id)
    }

    /// Marks the thread that a comment began as resolved; one that is resolved stays so.
    pub async fn resolve(&self, number: PullRequestId, comment: u64) -> Result<(), GitHubError> {
        const THREADS: &str = "query($owner: String!, $name: String!, $number: Int!, $after: String) { \
            repository(owner: $owner, name: $name) { pullRequest(number: $number) { \
            reviewThreads(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes { \
            id isResolved comments(first: 1) { nodes { databaseId } } } } } } }";
        const RESOLVE: &str = "mutation($id: ID!) { resolveReviewThread(input: { threadId: $id }) \
                               { thread { id isResolved } } }";
        let what = "resolving a thread";
        let mut after = Value::Null;
        loop {
            let variables = json!({
                "owner": self.address.owner, "name": self.address.name, "number": number, "after": after,
            });
            let data = self.github.graphql(&self.address, what, THREADS, variables).await?;
            let threads = &data["repository"]["pullRequest"]["reviewThreads"];
            let nodes = threads["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ours = |node: &&Value| node["comments"]["nodes"][0]["databaseId"] == json!(comment);
            if let Some(thread) = nodes.iter().find(ours) {
                if thread["isResolved"] != true {
                    let variables = json!({ "id": thread["id"] });
                    self.github.graphql(&self.address, what, RESOLVE, variables).await?;
                }
                return Ok(());
            }
            if threads["pageInfo"]["hasNextPage"] != true {
                return Err(GitHubError::NotFound { host: self.github.host().to_owned(), what });
            }
            after = threads["pageInfo"]["endCursor"].clone();
        }
    }
}

fn login(user: Option<wire::User>) -> String {
    // An account that was deleted is shown as "ghost".
    user.map_or_else(|| "ghost".to_owned(), |user| user.login)
}

fn threads(comments: Vec<wire::ReviewComment>) -> Vec<ReviewThread> {
    let mut threads: Vec<ReviewThread> = Vec::new();
    for comment in comments {
        let said = ThreadComment {
            id: comment.id,
            author: login(comment.user),
            association: Association::of(comment.author_association.as_deref()),
            words: comment.body,
        };
        let first = comment.in_reply_to_id.unwrap_or(comment.id);
        match threads.iter_mut().find(|thread| thread.comment == first) {
            Some(thread) => thread.said.push(said),
            // An answer whose beginning is gone begins a thread of its own.
            None => threads.push(ReviewThread {
                comment: first,
                path: comment.path,
                line: comment.line,
                said: vec![said],
            }),
        }
    }
    threads
}

fn failures(runs: Vec<wire::CheckRun>) -> Option<Vec<CheckFailure>> {
    if runs.iter().any(|run| run.status != "completed") {
        return None;
    }
    let failed = |run: &wire::CheckRun| {
        matches!(run.conclusion.as_deref(), Some("failure" | "timed_out" | "startup_failure"))
    };
    let read = |run: wire::CheckRun| {
        let output = run.output.unwrap_or(wire::CheckOutput { title: None, summary: None });
        let summary = output.summary.or(output.title).unwrap_or_default();
        CheckFailure {
            name: run.name,
            conclusion: run.conclusion.unwrap_or_default(),
            summary,
            url: run.html_url.unwrap_or_default(),
        }
    };
    Some(runs.into_iter().filter(failed).map(read).collect())
}
