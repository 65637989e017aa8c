//! Merging a pull request, in the bare repository and without a working tree.
//!
//! The branch moves in one step, and the record is written after it. A crash in between is healed by the next
//! attempt, which finds its merge commit in the branch and makes no second one.

use nightshift_protocol::{CommitId, OffsetDateTime, PullRequestId};

use crate::git::{LONG, Place};
use crate::pull_request::{PullRequestAction, one_line};
use crate::{
    BranchName, GitError, LedgerError, PullRequest, PullRequestError, PullRequestState, Repository,
    TransitionRefused,
};

/// How far back an interrupted merge is looked for, in commits of the base branch itself.
const LOOK_BACK: &str = "--max-count=1000";

/// Who is named in a merge commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The pull request as it is now.
    pub pull_request: PullRequest,
    /// The merge commit.
    pub commit: CommitId,
}

/// Whether a pull request could be merged now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mergeable {
    /// It could.
    Clean,
    /// Both sides changed the same places.
    Conflict {
        /// In these files.
        files: Vec<String>,
    },
}

/// Why a pull request was not merged. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is none of that number.
    #[error("there is no pull request {0}")]
    NotFound(PullRequestId),
    /// It is merged.
    #[error("the pull request is merged already, by commit {commit}")]
    AlreadyMerged {
        /// The merge commit.
        commit: CommitId,
    },
    /// It is closed.
    #[error("the pull request is closed")]
    Closed,
    /// Its newest commit is not the one that was reviewed.
    #[error("the work has changed since it was reviewed: its newest commit is {newest}")]
    Changed {
        /// The newest commit.
        newest: CommitId,
    },
    /// Both sides changed the same places.
    #[error("the branches conflict in {}", files.join(", "))]
    Conflict {
        /// In these files.
        files: Vec<String>,
    },
    /// The base branch is gone.
    #[error("there is no branch \"{branch}\" to merge into")]
    BaseMissing {
        /// The branch.
        branch: BranchName,
    },
    /// Somebody else moved the base branch at the same moment; trying again is safe.
    #[error("\"{branch}\" moved while the pull request was being merged")]
    BaseMoved {
        /// The branch.
        branch: BranchName,
    },
    /// The records failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl From<PullRequestError> for MergeError {
    fn from(error: PullRequestError) -> Self {
        match error {
            PullRequestError::NotFound(id) => Self::NotFound(id),
            PullRequestError::Refused(TransitionRefused::AlreadyMerged { commit }) => {
                Self::AlreadyMerged { commit }
            }
            // `Open` is the refusal to reopen, which a merge never asks for.
            PullRequestError::Refused(TransitionRefused::Closed | TransitionRefused::Open) => Self::Closed,
            PullRequestError::Ledger(error) => Self::Ledger(error),
        }
    }
}

/// What merging two commits gives.
enum Tree {
    Clean(String),
    Conflict(Vec<String>),
}

impl Repository {
    /// Merges an open pull request into its base branch by a merge commit of `who` at `at`, if its newest commit is the one
    /// that was `reviewed`; whatever it is without one. Both branches stay.
    pub async fn merge(
        &self,
        id: PullRequestId,
        reviewed: Option<&CommitId>,
        who: &Identity,
        at: OffsetDateTime,
    ) -> Result<Merged, MergeError> {
        let _lock = self.lock().await.map_err(LedgerError::from)?;
        let mut pull_request = self.pull_request(id).await?;
        match &pull_request.state {
            PullRequestState::Open => {}
            PullRequestState::Closed { .. } => return Err(MergeError::Closed),
            PullRequestState::Merged { commit, .. } => {
                return Err(MergeError::AlreadyMerged { commit: commit.clone() });
            }
        }
        if reviewed.is_some_and(|reviewed| *reviewed != pull_request.head) {
            return Err(MergeError::Changed { newest: pull_request.head });
        }
        let base = self.base_head(&pull_request).await?;
        let commit = match self.find_merge(&base, &pull_request.head).await? {
            Some(commit) => commit,
            None => self.merge_into(&base, &pull_request, who, at).await?,
        };
        let action = PullRequestAction::Merge { commit: commit.clone(), by: one_line(&who.name) };
        pull_request.state = pull_request.state.after(action, at).map_err(PullRequestError::from)?;
        let pull_request = self.record(pull_request, at).await?;
        Ok(Merged { pull_request, commit })
    }

    /// Tries a merge and changes nothing.
    pub async fn mergeable(&self, pull_request: &PullRequest) -> Result<Mergeable, MergeError> {
        let base = self.base_head(pull_request).await?;
        Ok(match self.merge_tree(&base, &pull_request.head).await? {
            Tree::Clean(_) => Mergeable::Clean,
            Tree::Conflict(files) => Mergeable::Conflict { files },
        })
    }

    async fn base_head(&self, pull_request: &PullRequest) -> Result<CommitId, MergeError> {
        let branch = &pull_request.base;
        self.branch_head(branch).await?.ok_or_else(|| MergeError::BaseMissing { branch: branch.clone() })
    }

    /// The commit by which `head` came into the base branch, if it is in it.
    async fn find_merge(&self, base: &CommitId, head: &CommitId) -> Result<Option<CommitId>, GitError> {
        if !self.is_ancestor(head, base).await? {
            return Ok(None);
        }
        let bare = self.bare_repository();
        let list = ["rev-list", "--first-parent", "--merges", "--parents", LOOK_BACK, base.as_str()];
        let listed = self.git.call(Place::Ours(&bare), list).text().await?;
        let merged_head = |line: &str| {
            let mut commits = line.split(' ');
            let commit = commits.next()?;
            commits.skip(1).any(|parent| parent == head.as_str()).then(|| commit.parse().ok())?
        };
        // Without a merge commit the person has brought the work into the branch by themselves.
        Ok(Some(listed.lines().find_map(merged_head).unwrap_or_else(|| head.clone())))
    }

    async fn merge_into(
        &self,
        base: &CommitId,
        pull_request: &PullRequest,
        who: &Identity,
        at: OffsetDateTime,
    ) -> Result<CommitId, MergeError> {
        let tree = match self.merge_tree(base, &pull_request.head).await? {
            Tree::Clean(tree) => tree,
            Tree::Conflict(files) => return Err(MergeError::Conflict { files }),
        };
        let message = format!(
            "Merge pull request #{} from {}\n\n{}\n\nNightshift-Run: {}\n",
            pull_request.id, pull_request.branch, pull_request.title, pull_request.run
        );
        let bare = self.bare_repository();
        let arguments = ["commit-tree", &tree, "-p", base.as_str(), "-p", pull_request.head.as_str()];
        let date = format!("@{} +0000", at.unix_timestamp());
        let mut call = self.git.call(Place::Ours(&bare), arguments).input(message.into_bytes());
        for role in ["AUTHOR", "COMMITTER"] {
            call = call
                .variable(&format!("GIT_{role}_NAME"), name_part(&who.name))
                .variable(&format!("GIT_{role}_EMAIL"), name_part(&who.email))
                .variable(&format!("GIT_{role}_DATE"), &date);
        }
        let text = call.text().await?;
        let nonsense = |_| GitError::Nonsense { command: "commit-tree".to_owned() };
        let commit: CommitId = text.parse().map_err(nonsense)?;
        let branch = &pull_request.base;
        if let Err(error) = self.move_branch(branch, Some(base), &commit).await {
            let moved = self.branch_head(branch).await?.as_ref() != Some(base);
            return Err(if moved { MergeError::BaseMoved { branch: branch.clone() } } else { error.into() });
        }
        Ok(commit)
    }

    async fn merge_tree(&self, base: &CommitId, head: &CommitId) -> Result<Tree, GitError> {
        let bare = self.bare_repository();
        let merge = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages"];
        let merge = merge.into_iter().chain([base.as_str(), head.as_str()]);
        let output = self.git.call(Place::Ours(&bare), merge).time_limit(LONG).run().await?;
        // The tree, and the files in conflict, each ended by NUL.
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut parts =
            text.split('\0').filter(|part| !part.is_empty()).map(|part| part.trim_end_matches('\n'));
        let tree = parts.next().map(str::to_owned);
        match (output.code, tree) {
            (Some(0), Some(tree)) => Ok(Tree::Clean(tree)),
            (Some(1), Some(_)) => Ok(Tree::Conflict(parts.map(str::to_owned).collect())),
            _ => Err(output.failed("merge-tree")),
        }
    }
}

/// A name that git takes: without what ends one in a commit, and not empty.
fn name_part(text: &str) -> String {
    let name: String = one_line(text).chars().filter(|character| !matches!(character, '<' | '>')).collect();
    if name.trim().is_empty() { "Nightshift".to_owned() } else { name }
}
