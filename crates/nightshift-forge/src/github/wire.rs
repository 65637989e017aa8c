//! The parts of a site's answers that are read.

use nightshift_protocol::OffsetDateTime;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct WithId {
    pub(super) id: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct InstallationToken {
    pub(super) token: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) expires_at: OffsetDateTime,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) login: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Branch {
    #[serde(rename = "ref")]
    pub(super) name: String,
    pub(super) sha: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullRequest {
    pub(super) number: u64,
    pub(super) node_id: String,
    pub(super) html_url: String,
    pub(super) state: String,
    pub(super) draft: Option<bool>,
    pub(super) body: Option<String>,
    pub(super) title: String,
    pub(super) head: Branch,
    pub(super) base: Branch,
    pub(super) merged_at: Option<String>,
    pub(super) merge_commit_sha: Option<String>,
    pub(super) mergeable: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Merged {
    pub(super) sha: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Review {
    pub(super) id: u64,
    pub(super) state: String,
    pub(super) body: Option<String>,
    pub(super) user: Option<User>,
    pub(super) author_association: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReviewComment {
    pub(super) id: u64,
    pub(super) in_reply_to_id: Option<u64>,
    pub(super) path: String,
    pub(super) line: Option<u64>,
    pub(super) body: String,
    pub(super) user: Option<User>,
    pub(super) author_association: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct IssueComment {
    pub(super) id: u64,
    pub(super) body: Option<String>,
    pub(super) user: Option<User>,
    pub(super) author_association: Option<String>,
    pub(super) issue_url: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) created_at: OffsetDateTime,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRuns {
    pub(super) check_runs: Vec<CheckRun>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRun {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) conclusion: Option<String>,
    pub(super) output: Option<CheckOutput>,
    pub(super) html_url: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(super) completed_at: Option<OffsetDateTime>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CombinedStatus {
    pub(super) statuses: Vec<CommitStatus>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CommitStatus {
    pub(super) context: String,
    pub(super) state: String,
    pub(super) description: Option<String>,
    pub(super) target_url: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(super) updated_at: Option<OffsetDateTime>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckOutput {
    pub(super) title: Option<String>,
    pub(super) summary: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) html_url: String,
    pub(super) user: Option<User>,
    pub(super) author_association: Option<String>,
    pub(super) pull_request: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Permission {
    pub(super) permission: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Label {
    #[expect(dead_code, reason = "a list of labels is only looked at for being one")]
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Upload {
    pub(super) url: String,
}
