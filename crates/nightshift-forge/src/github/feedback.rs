//! What people and checks say about a pull request.

use nightshift_protocol::{CommitId, OffsetDateTime, PullRequestId};
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

/// What the checks of a commit say: runs of checks, and the older statuses that other programs set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// Those that failed.
    pub failures: Vec<CheckFailure>,
    /// How many passed, or were skipped.
    pub passed: usize,
    /// Whether some have not ended.
    pub running: bool,
    /// Whether the rest does not tell that all is well: a kind of them may not be read by this token, or some ended neither
    /// well nor badly, for example `cancelled`, `stale` or `action_required`.
    pub unclear: bool,
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
    /// When it ended, as the site has it.
    pub at: Option<OffsetDateTime>,
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

    /// Reads the checks of a commit, up to 1,000 of each kind. A kind that the token may not see makes them unclear.
    pub async fn checks(&self, head: &CommitId) -> Result<Checks, GitHubError> {
        let (runs, statuses) = (format!("commits/{head}/check-runs"), format!("commits/{head}/status"));
        let runs = self.pages("reading checks", &runs, |page: &wire::CheckRuns| page.check_runs.len()).await;
        let of = |page: &wire::CombinedStatus| page.statuses.len();
        let statuses = self.pages("reading statuses", &statuses, of).await;
        let (runs, statuses) = (seen(runs)?, seen(statuses)?);
        let unseen = runs.is_none() || statuses.is_none();
        let runs = runs.into_iter().flatten().flat_map(|page| page.check_runs).collect();
        let statuses = statuses.into_iter().flatten().flat_map(|page| page.statuses).collect();
        let read = checks(runs, statuses);
        Ok(Checks { unclear: read.unclear || unseen, ..read })
    }

    /// Tells who the account is, as its comments show it; an App's login is `slug[bot]`. It is asked for once.
    pub async fn login(&self) -> Result<String, GitHubError> {
        let what = "asking who the account is";
        let ask = async || {
            // GraphQL says it to every kind of token; REST's `/user` only to those of people.
            let data =
                self.github.graphql(&self.address, what, "query { viewer { login } }", json!({})).await?;
            let login = data["viewer"]["login"].as_str().map(str::to_owned);
            login.ok_or_else(|| self.github.nonsense(what))
        };
        self.github.inner.login.get_or_try_init(ask).await.cloned()
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

/// What was read; `None` where the token may not.
fn seen<T>(read: Result<Vec<T>, GitHubError>) -> Result<Option<Vec<T>>, GitHubError> {
    match read {
        Err(GitHubError::NoPermission { .. } | GitHubError::NotFound { .. }) => Ok(None),
        read => read.map(Some),
    }
}

fn checks(runs: Vec<wire::CheckRun>, statuses: Vec<wire::CommitStatus>) -> Checks {
    let running = runs.iter().any(|run| run.status != "completed")
        || statuses.iter().any(|status| status.state == "pending");
    let good =
        |run: &&wire::CheckRun| matches!(run.conclusion.as_deref(), Some("success" | "neutral" | "skipped"));
    let passed =
        runs.iter().filter(good).count() + statuses.iter().filter(|status| status.state == "success").count();
    let failed = |run: &wire::CheckRun| {
        run.status == "completed"
            && matches!(run.conclusion.as_deref(), Some("failure" | "timed_out" | "startup_failure"))
    };
    let unclear = runs.iter().any(|run| run.status == "completed" && !good(&run) && !failed(run));
    let read = |run: wire::CheckRun| {
        let output = run.output.unwrap_or(wire::CheckOutput { title: None, summary: None });
        CheckFailure {
            name: run.name,
            conclusion: run.conclusion.unwrap_or_default(),
            summary: output.summary.or(output.title).unwrap_or_default(),
            url: run.html_url.unwrap_or_default(),
            at: run.completed_at,
        }
    };
    let of_status = |status: wire::CommitStatus| CheckFailure {
        name: status.context,
        conclusion: status.state,
        summary: status.description.unwrap_or_default(),
        url: status.target_url.unwrap_or_default(),
        at: status.updated_at,
    };
    let runs = runs.into_iter().filter(failed).map(read);
    let statuses = statuses.into_iter().filter(|one| matches!(one.state.as_str(), "failure" | "error"));
    Checks { failures: runs.chain(statuses.map(of_status)).collect(), passed, running, unclear }
}
