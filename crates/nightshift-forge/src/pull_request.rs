//! Pull requests of the built-in forge.
//!
//! ```text
//! open ──merge──▶ merged
//!   │ ▲
//! close reopen
//!   ▼ │
//! closed
//! ```

use nightshift_protocol::{
    CommitId, Evidence, OffsetDateTime, PullRequestId, PullRequestSummary, RunId, TaskId,
};
use serde::{Deserialize, Serialize};

use crate::{BranchName, LedgerError, Repository, ledger};

/// A pull request as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// Its number in its repository, from 1, gapless.
    pub id: PullRequestId,
    /// What it was opened with; there is one pull request for each.
    pub key: String,
    /// One line.
    pub title: String,
    /// Markdown; pictures are named `artifact:ID`.
    pub body: String,
    /// The branch with the work.
    pub branch: BranchName,
    /// The branch it is to go into.
    pub base: BranchName,
    /// The commit the work started from.
    pub base_commit: CommitId,
    /// The newest commit of the work. A merge takes this one, wherever the branch is by then.
    pub head: CommitId,
    /// The task.
    pub task: TaskId,
    /// The run.
    pub run: RunId,
    /// What backs its claims.
    pub evidence: Vec<Evidence>,
    /// Where people look at it, when it is at a remote site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where it is.
    pub state: PullRequestState,
    /// Counts the changes of this record, from 1.
    pub generation: u64,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was changed last.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Where a pull request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PullRequestState {
    /// Waits for a review.
    Open,
    /// Its work is in the base branch.
    Merged {
        /// The merge commit.
        commit: CommitId,
        /// Who merged it.
        by: String,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
    /// Closed without merging.
    Closed {
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

/// What is done to a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullRequestAction {
    /// Its work went into the base branch. Legal when open.
    Merge {
        /// The merge commit.
        commit: CommitId,
        /// Who merged it.
        by: String,
    },
    /// It is not wanted. Legal when open.
    Close,
    /// It is wanted after all. Legal when closed.
    Reopen,
}

/// Why an action is not legal now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransitionRefused {
    /// It is merged, and that is final.
    #[error("the pull request is merged already, by commit {commit}")]
    AlreadyMerged {
        /// The merge commit.
        commit: CommitId,
    },
    /// It is closed.
    #[error("the pull request is closed")]
    Closed,
    /// It is open.
    #[error("the pull request is open")]
    Open,
}

impl PullRequestState {
    /// The state after an action: the only place that makes one from another.
    pub fn after(&self, action: PullRequestAction, at: OffsetDateTime) -> Result<Self, TransitionRefused> {
        use PullRequestAction::{Close, Merge, Reopen};
        match (self, action) {
            (Self::Open, Merge { commit, by }) => Ok(Self::Merged { commit, by, at }),
            (Self::Open, Close) => Ok(Self::Closed { at }),
            (Self::Closed { .. }, Reopen) => Ok(Self::Open),
            (Self::Open, Reopen) => Err(TransitionRefused::Open),
            (Self::Closed { .. }, Merge { .. } | Close) => Err(TransitionRefused::Closed),
            (Self::Merged { commit, .. }, Merge { .. } | Close | Reopen) => {
                Err(TransitionRefused::AlreadyMerged { commit: commit.clone() })
            }
        }
    }
}

/// The state as it crosses the API.
impl From<&PullRequestState> for nightshift_protocol::PullRequestState {
    fn from(state: &PullRequestState) -> Self {
        match state {
            PullRequestState::Open => Self::Open,
            PullRequestState::Merged { commit, .. } => Self::Merged { commit: commit.clone() },
            PullRequestState::Closed { .. } => Self::Closed,
        }
    }
}

impl PullRequest {
    /// The pull request as lists show it; `repository` is what its task named.
    pub fn summary(&self, repository: &str) -> PullRequestSummary {
        PullRequestSummary {
            run: self.run.clone(),
            number: self.id,
            url: self.url.clone(),
            title: self.title.clone(),
            repository: repository.to_owned(),
            branch: self.branch.to_string(),
            base: self.base.to_string(),
            head: self.head.clone(),
            state: (&self.state).into(),
            created_at: self.created_at,
        }
    }
}

/// A pull request that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPullRequest {
    /// Makes opening it again harmless: the run's id.
    pub key: String,
    /// One line; line ends and control characters are taken out, and it is cut to 200 characters.
    pub title: String,
    /// Markdown, as [`crate::compose_body`] makes it.
    pub body: String,
    /// The branch with the work.
    pub branch: BranchName,
    /// The branch it is to go into.
    pub base: BranchName,
    /// The commit the work started from.
    pub base_commit: CommitId,
    /// The newest commit of the work.
    pub head: CommitId,
    /// The task.
    pub task: TaskId,
    /// The run.
    pub run: RunId,
    /// What backs its claims.
    pub evidence: Vec<Evidence>,
}

/// New work in an open pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The newest commit of the work.
    pub head: CommitId,
    /// The commit that it is compared with: a newer one, where the base branch was merged into the work.
    pub base_commit: CommitId,
    /// The body that fits it.
    pub body: String,
    /// What backs its claims.
    pub evidence: Vec<Evidence>,
}

/// Which pull requests are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullRequestFilter {
    /// Where they are.
    pub state: StateFilter,
    /// Their run; any if `None`.
    pub run: Option<RunId>,
}

/// Which states are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StateFilter {
    /// Every one.
    #[default]
    All,
    /// Those that wait for a review.
    Open,
    /// Those that are merged.
    Merged,
    /// Those that were closed.
    Closed,
    /// Those that are merged or closed.
    Decided,
}

impl StateFilter {
    fn admits(self, state: &PullRequestState) -> bool {
        match self {
            Self::All => true,
            Self::Open => matches!(state, PullRequestState::Open),
            Self::Merged => matches!(state, PullRequestState::Merged { .. }),
            Self::Closed => matches!(state, PullRequestState::Closed { .. }),
            Self::Decided => !matches!(state, PullRequestState::Open),
        }
    }
}

impl PullRequestFilter {
    fn admits(&self, pull_request: &PullRequest) -> bool {
        self.state.admits(&pull_request.state) && self.run.as_ref().is_none_or(|run| *run == pull_request.run)
    }
}

/// Why nothing was done to a pull request.
#[derive(Debug, thiserror::Error)]
pub enum PullRequestError {
    /// There is none of that number.
    #[error("there is no pull request {0}")]
    NotFound(PullRequestId),
    /// It is not legal now.
    #[error(transparent)]
    Refused(#[from] TransitionRefused),
    /// The records failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Repository {
    /// Opens a pull request with the next number, or returns the one that was opened with the same key, unchanged.
    pub async fn open_pull_request(
        &self,
        new: NewPullRequest,
        at: OffsetDateTime,
    ) -> Result<PullRequest, LedgerError> {
        self.record_pull_request(new, None, at).await
    }

    /// Records a pull request that is open at a remote site under that site's number and address, or returns the one
    /// that was recorded with the same key, unchanged.
    pub async fn record_remote_pull_request(
        &self,
        new: NewPullRequest,
        number: PullRequestId,
        url: &str,
        at: OffsetDateTime,
    ) -> Result<PullRequest, LedgerError> {
        self.record_pull_request(new, Some((number, url.to_owned())), at).await
    }

    async fn record_pull_request(
        &self,
        new: NewPullRequest,
        remote: Option<(PullRequestId, String)>,
        at: OffsetDateTime,
    ) -> Result<PullRequest, LedgerError> {
        let _lock = self.lock().await?;
        let all = ledger::read_all(self.pulls()).await?;
        if let Some(opened) = all.iter().find(|pull_request| pull_request.key == new.key) {
            return Ok(opened.clone());
        }
        let last = all.iter().map(|pull_request| pull_request.id.0).max().unwrap_or(0);
        let (id, url) = match remote {
            Some((number, url)) => (number, Some(url)),
            None => (PullRequestId(last + 1), None),
        };
        let opened = PullRequest {
            id,
            url,
            key: new.key,
            title: one_line(&new.title),
            body: new.body,
            branch: new.branch,
            base: new.base,
            base_commit: new.base_commit,
            head: new.head,
            task: new.task,
            run: new.run,
            evidence: new.evidence,
            state: PullRequestState::Open,
            generation: 1,
            created_at: at,
            updated_at: at,
        };
        ledger::write(self.pulls(), opened.clone()).await?;
        Ok(opened)
    }

    /// The pull request of a number.
    pub async fn pull_request(&self, id: PullRequestId) -> Result<PullRequest, PullRequestError> {
        ledger::read(self.pulls(), id).await?.ok_or(PullRequestError::NotFound(id))
    }

    /// The pull requests that fit a filter, the newest first.
    pub async fn pull_requests(&self, filter: &PullRequestFilter) -> Result<Vec<PullRequest>, LedgerError> {
        let mut all = ledger::read_all(self.pulls()).await?;
        all.retain(|pull_request| filter.admits(pull_request));
        all.reverse();
        Ok(all)
    }

    /// The pull requests with the highest numbers that are in a state, at most `most`, the newest first. Others are not
    /// read: a repository may have thousands.
    pub async fn newest_pull_requests(
        &self,
        state: StateFilter,
        most: usize,
    ) -> Result<Vec<PullRequest>, LedgerError> {
        ledger::read_newest(self.pulls(), most, move |pull_request| state.admits(&pull_request.state)).await
    }

    /// Closes an open pull request without merging. Its branch stays.
    pub async fn close(
        &self,
        id: PullRequestId,
        at: OffsetDateTime,
    ) -> Result<PullRequest, PullRequestError> {
        self.change(id, at, |state| state.after(PullRequestAction::Close, at)).await
    }

    /// Records that an open pull request was merged at its remote site.
    pub async fn merged_remotely(
        &self,
        id: PullRequestId,
        commit: CommitId,
        by: &str,
        at: OffsetDateTime,
    ) -> Result<PullRequest, PullRequestError> {
        let action = PullRequestAction::Merge { commit, by: by.to_owned() };
        self.change(id, at, |state| state.after(action, at)).await
    }

    /// Opens a closed pull request again.
    pub async fn reopen(
        &self,
        id: PullRequestId,
        at: OffsetDateTime,
    ) -> Result<PullRequest, PullRequestError> {
        self.change(id, at, |state| state.after(PullRequestAction::Reopen, at)).await
    }

    /// Records new work in an open pull request. Recording the same again changes nothing.
    pub async fn revise(
        &self,
        id: PullRequestId,
        revision: Revision,
        at: OffsetDateTime,
    ) -> Result<PullRequest, PullRequestError> {
        let _lock = self.lock().await.map_err(LedgerError::from)?;
        let mut pull_request = self.pull_request(id).await?;
        // What may be closed may be revised: both are for open ones.
        pull_request.state.after(PullRequestAction::Close, at)?;
        let mut revised = pull_request.clone();
        let Revision { head, base_commit, body, evidence } = revision;
        (revised.head, revised.base_commit, revised.body, revised.evidence) =
            (head, base_commit, body, evidence);
        if revised == pull_request {
            return Ok(pull_request);
        }
        pull_request = revised;
        Ok(self.record(pull_request, at).await?)
    }

    async fn change(
        &self,
        id: PullRequestId,
        at: OffsetDateTime,
        change: impl FnOnce(&PullRequestState) -> Result<PullRequestState, TransitionRefused>,
    ) -> Result<PullRequest, PullRequestError> {
        let _lock = self.lock().await.map_err(LedgerError::from)?;
        let mut pull_request = self.pull_request(id).await?;
        pull_request.state = change(&pull_request.state)?;
        Ok(self.record(pull_request, at).await?)
    }

    /// Writes a changed record; the caller holds the lock.
    pub(crate) async fn record(
        &self,
        mut pull_request: PullRequest,
        at: OffsetDateTime,
    ) -> Result<PullRequest, LedgerError> {
        pull_request.generation += 1;
        pull_request.updated_at = at;
        ledger::write(self.pulls(), pull_request.clone()).await?;
        Ok(pull_request)
    }
}

/// A text as one line without control characters, cut to 200 characters.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|character| !character.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn merge() -> PullRequestAction {
        PullRequestAction::Merge { commit: "a".repeat(40).parse().unwrap(), by: "Ada".to_owned() }
    }

    #[test]
    fn the_illegal_actions_are_refused_by_name() {
        let closed = PullRequestState::Closed { at: AT };
        let merged = PullRequestState::Open.after(merge(), AT).unwrap();
        let final_refusal = TransitionRefused::AlreadyMerged { commit: "a".repeat(40).parse().unwrap() };
        assert_eq!(PullRequestState::Open.after(PullRequestAction::Reopen, AT), Err(TransitionRefused::Open));
        assert_eq!(closed.after(merge(), AT), Err(TransitionRefused::Closed));
        assert_eq!(closed.after(PullRequestAction::Close, AT), Err(TransitionRefused::Closed));
        for action in [merge(), PullRequestAction::Close, PullRequestAction::Reopen] {
            assert_eq!(merged.after(action, AT), Err(final_refusal.clone()));
        }
    }

    proptest! {
        #[test]
        fn nothing_leads_out_of_merged(choices in prop::collection::vec(0..3, 0..20)) {
            let mut state = PullRequestState::Open;
            for choice in choices {
                let action = match choice {
                    0 => merge(),
                    1 => PullRequestAction::Close,
                    _ => PullRequestAction::Reopen,
                };
                let was_merged = matches!(state, PullRequestState::Merged { .. });
                let next = state.after(action, AT);
                prop_assert!(!was_merged || next.is_err());
                state = next.unwrap_or(state);
            }
        }
    }

    #[test]
    fn a_title_is_one_line_whatever_the_model_wrote() {
        assert_eq!(one_line(" Add\r\n\u{1b}[31mdark\tmode "), "Add [31mdark mode");
        assert_eq!(one_line(&"é".repeat(500)).chars().count(), 200);
    }
}
