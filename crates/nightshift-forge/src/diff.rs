//! What a pull request changes.

use nightshift_protocol::{CommitId, OffsetDateTime};
use serde::{Deserialize, Serialize};

use crate::git::Place;
use crate::{GitError, PullRequest, Repository};

/// A file that differs. Renames are a removed and an added file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileChange {
    /// Its path; invalid UTF-8 is replaced.
    pub path: String,
    /// How many lines were added and removed; `None` for binary files.
    pub lines: Option<LineCounts>,
}

/// How many lines of a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineCounts {
    /// Added lines.
    pub added: u64,
    /// Removed lines.
    pub removed: u64,
}

impl FileChange {
    /// Added and removed lines together; 0 for binary files.
    pub fn size(&self) -> u64 {
        self.lines.map_or(0, |lines| lines.added.saturating_add(lines.removed))
    }
}

/// A diff as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffText {
    /// The diff, in git's form; invalid UTF-8 is replaced.
    pub text: String,
    /// Whether there is more of it than was asked for.
    pub cut: bool,
}

/// A commit of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitFacts {
    /// Its name.
    pub id: CommitId,
    /// The first line of its message.
    pub title: String,
    /// Who wrote it, as the commit says.
    pub author: String,
    /// When, as the commit says.
    pub at: OffsetDateTime,
}

/// More than the commits that are taken from a sandbox have in their first lines.
const LOG_LIMIT: usize = 16 << 20;

impl Repository {
    /// The diff of a pull request against where its work started, cut after `limit` bytes.
    pub async fn diff(&self, pull_request: &PullRequest, limit: usize) -> Result<DiffText, GitError> {
        self.diff_between(&pull_request.base_commit, &pull_request.head, limit).await
    }

    /// The diff between two commits, cut after `limit` bytes.
    pub async fn diff_between(
        &self,
        base: &CommitId,
        head: &CommitId,
        limit: usize,
    ) -> Result<DiffText, GitError> {
        let compare = ["diff-tree", "-p", "-r", "--no-color", "--no-ext-diff", "--no-textconv", "-M"];
        let compare = compare.into_iter().chain([base.as_str(), head.as_str()]);
        let bare = self.bare_repository();
        let output = self.git.call(Place::Ours(&bare), compare).output_limit(limit).run().await?;
        if output.code != Some(0) && !output.cut {
            return Err(output.failed("diff-tree"));
        }
        Ok(DiffText { text: String::from_utf8_lossy(&output.stdout).into_owned(), cut: output.cut })
    }

    /// The changes that each commit between two makes, cut after `limit` bytes; those of a merge are what it has beside
    /// what both sides brought.
    ///
    /// What one commit adds and a later one takes away is in no diff of the whole, and is pushed all the same. Files that
    /// git takes for binary are shown as text: a single zero byte would hide them otherwise.
    pub async fn history_between(
        &self,
        base: &CommitId,
        head: &CommitId,
        limit: usize,
    ) -> Result<DiffText, GitError> {
        let range = format!("{base}..{head}");
        let log = [
            "log",
            "-p",
            "--remerge-diff",
            "--text",
            "--format=",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
        ];
        let log = log.into_iter().chain(["--no-renames", range.as_str(), "--"]);
        let bare = self.bare_repository();
        let output = self.git.call(Place::Ours(&bare), log).output_limit(limit).run().await?;
        if output.code != Some(0) && !output.cut {
            return Err(output.failed("log"));
        }
        Ok(DiffText { text: String::from_utf8_lossy(&output.stdout).into_owned(), cut: output.cut })
    }

    /// The files a pull request changes, ordered by path.
    pub async fn diff_stat(&self, pull_request: &PullRequest) -> Result<Vec<FileChange>, GitError> {
        self.changed_files(&pull_request.base_commit, &pull_request.head).await
    }

    /// The files that differ between two commits, ordered by path.
    pub async fn changed_files(&self, base: &CommitId, head: &CommitId) -> Result<Vec<FileChange>, GitError> {
        let compare =
            ["diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv"];
        let compare = compare.into_iter().chain([base.as_str(), head.as_str()]);
        let bare = self.bare_repository();
        let listed = self.git.call(Place::Ours(&bare), compare).output_limit(LOG_LIMIT).bytes().await?;
        parse_numstat(&listed).ok_or_else(|| GitError::Nonsense { command: "diff-tree".to_owned() })
    }

    /// The messages of the commits between two, with the names of their authors.
    pub async fn messages(&self, base: &CommitId, head: &CommitId) -> Result<String, GitError> {
        let range = format!("{base}..{head}");
        let log = ["log", "--no-decorate", "--format=%an <%ae>%n%B", &range, "--"];
        let bare = self.bare_repository();
        self.git.call(Place::Ours(&bare), log).output_limit(LOG_LIMIT).text().await
    }

    /// The sizes of these files at a commit, in bytes; a file that is not there is left out.
    pub async fn file_sizes(
        &self,
        head: &CommitId,
        paths: &[String],
    ) -> Result<Vec<(String, u64)>, GitError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let bare = self.bare_repository();
        let list = ["ls-tree", "-r", "-l", "-z", head.as_str()];
        let listed = self.git.call(Place::Ours(&bare), list).output_limit(64 << 20).bytes().await?;
        let text = String::from_utf8_lossy(&listed);
        let size = |entry: &str| {
            let (facts, path) = entry.split_once('\t')?;
            let size = facts.split_whitespace().nth(3)?.parse().ok()?;
            paths.iter().any(|wanted| wanted == path).then(|| (path.to_owned(), size))
        };
        Ok(text.split('\0').filter_map(size).collect())
    }

    /// The commits of a pull request, oldest first.
    pub async fn commits(&self, pull_request: &PullRequest) -> Result<Vec<CommitFacts>, GitError> {
        let range = format!("{}..{}", pull_request.base_commit, pull_request.head);
        let format = "--format=%H%x00%s%x00%an%x00%at";
        let log = ["log", "-z", "--reverse", "--topo-order", "--no-decorate", format, &range, "--"];
        let bare = self.bare_repository();
        let listed = self.git.call(Place::Ours(&bare), log).output_limit(LOG_LIMIT).bytes().await?;
        parse_log(&listed).ok_or_else(|| GitError::Nonsense { command: "log".to_owned() })
    }
}

/// Reads what `--numstat -z --no-renames` writes: `ADDED TAB REMOVED TAB PATH NUL`, hyphens for binary files.
pub(crate) fn parse_numstat(listed: &[u8]) -> Option<Vec<FileChange>> {
    let entries = listed.split(|&byte| byte == 0).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let text = String::from_utf8_lossy(entry);
            let mut parts = text.splitn(3, '\t');
            let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
            let lines = match (added, removed) {
                ("-", "-") => None,
                (added, removed) => {
                    Some(LineCounts { added: added.parse().ok()?, removed: removed.parse().ok()? })
                }
            };
            Some(FileChange { path: path.to_owned(), lines })
        })
        .collect()
}

fn parse_log(listed: &[u8]) -> Option<Vec<CommitFacts>> {
    let text = String::from_utf8_lossy(listed);
    if text.is_empty() {
        return Some(Vec::new());
    }
    let fields: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    fields
        .chunks(4)
        .map(|fields| match fields {
            [id, title, author, seconds] => Some(CommitFacts {
                id: id.parse().ok()?,
                title: (*title).to_owned(),
                author: (*author).to_owned(),
                // A commit may claim any time; one that is none is shown as the beginning of all times.
                at: seconds
                    .parse()
                    .ok()
                    .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
                    .unwrap_or(OffsetDateTime::UNIX_EPOCH),
            }),
            _ => None,
        })
        .collect()
}
