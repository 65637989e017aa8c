//! A person's branch into the forge.
//!
//! The forge keeps two refs: what the person's branch was at the last import, and its own base branch, into which
//! pull requests are merged. The own one follows the person's as long as that is a fast-forward. When both have
//! gone on, neither is touched: tasks start from the person's commit, merges go to the forge's branch, and the
//! person brings the two together by merging the forge's branch into theirs (then the next import follows again).

use std::io;

use nightshift_protocol::CommitId;

use crate::git::{LONG, Place};
use crate::inspect::commit;
use crate::{BranchName, Checkout, GitError, Repository, Source};

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The commit that is now in the forge.
    pub commit: CommitId,
    /// What became of the forge's base branch.
    pub base: BaseState,
    /// What belongs to the commit and was not imported.
    pub not_imported: Vec<NotImported>,
}

/// How the forge's base branch stands to the person's after an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseState {
    /// It is new.
    Created,
    /// It is where the person's is.
    Current,
    /// It was brought forward to the person's.
    FastForwarded,
    /// It has merges that the person's has not, and all of the person's.
    Ahead,
    /// Each has commits that the other has not.
    Diverged,
}

/// Something outside of the repository that a commit refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotImported {
    /// The commit has submodules (`.gitmodules`).
    Submodules,
    /// Files of the commit are kept by Git LFS; there are only their pointers.
    LargeFileStorage,
}

/// Why a branch was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The branch no longer has the commit that was inspected.
    #[error("\"{branch}\" was rewritten meanwhile and has no commit {commit} any more")]
    CommitGone {
        /// The branch.
        branch: BranchName,
        /// The commit.
        commit: CommitId,
    },
    /// The lock could not be taken.
    #[error("cannot lock the repository")]
    Lock(#[from] io::Error),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Starts the reading side in the person's repository, which may be anybody's and must not run anything.
const READ_ONLY_UPLOAD_PACK: &str =
    "git -c 'safe.directory=*' -c uploadpack.allowAnySHA1InWant=true upload-pack";

impl Repository {
    /// Brings the inspected commit with its history into the forge, making the repository where it is missing.
    pub async fn import(&self, checkout: &Checkout) -> Result<Imported, ImportError> {
        let _lock = self.lock().await?;
        self.create(&checkout.commit).await?;
        let bare = self.bare_repository();
        let here = Place::Ours(&bare);
        let theirs = format!("refs/nightshift/source/{}", checkout.branch);
        let mut fetch = vec![
            "fetch".to_owned(),
            "--quiet".to_owned(),
            "--no-tags".to_owned(),
            "--no-write-fetch-head".to_owned(),
            "--no-recurse-submodules".to_owned(),
        ];
        let place = match &checkout.source {
            Source::Folder(folder) => {
                fetch.push(format!("--upload-pack={READ_ONLY_UPLOAD_PACK}"));
                fetch.extend(["--".to_owned(), folder.display().to_string()]);
                fetch.push(format!("+{}:{theirs}", checkout.commit));
                here
            }
            // Not every server gives out commits by name, so the branch is fetched and the commit looked for.
            Source::Url(url) => {
                fetch.extend(["--".to_owned(), url.clone(), format!("+{}:{theirs}", checkout.branch.full())]);
                Place::Reaching(&bare)
            }
        };
        self.git.call(place, fetch).time_limit(LONG).bytes().await?;
        if commit(&self.git, here, checkout.commit.as_str()).await?.is_none() {
            return Err(ImportError::CommitGone {
                branch: checkout.branch.clone(),
                commit: checkout.commit.clone(),
            });
        }
        let base = self.follow_base(&checkout.branch, &checkout.commit).await?;
        let not_imported = self.not_imported(&checkout.commit).await?;
        Ok(Imported { commit: checkout.commit.clone(), base, not_imported })
    }

    async fn follow_base(&self, branch: &BranchName, theirs: &CommitId) -> Result<BaseState, GitError> {
        let state = match self.branch_head(branch).await? {
            None => {
                self.move_branch(branch, None, theirs).await?;
                BaseState::Created
            }
            Some(own) if own == *theirs => BaseState::Current,
            Some(own) if self.is_ancestor(&own, theirs).await? => {
                self.move_branch(branch, Some(&own), theirs).await?;
                BaseState::FastForwarded
            }
            Some(own) if self.is_ancestor(theirs, &own).await? => BaseState::Ahead,
            Some(_) => BaseState::Diverged,
        };
        if state == BaseState::Created {
            // So that a person who clones the forge's repository gets something checked out.
            let bare = self.bare_repository();
            let head = ["symbolic-ref", "HEAD", &branch.full()];
            self.git.call(Place::Ours(&bare), head).bytes().await?;
        }
        Ok(state)
    }

    /// Moves a branch from where it is known to be; git refuses when it is somewhere else by now.
    pub(crate) async fn move_branch(
        &self,
        branch: &BranchName,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<(), GitError> {
        let bare = self.bare_repository();
        let absent = "0".repeat(to.as_str().len());
        let from = from.map_or(absent.as_str(), CommitId::as_str);
        let update = ["update-ref", &branch.full(), to.as_str(), from];
        self.git.call(Place::Ours(&bare), update).bytes().await.map(|_| ())
    }

    /// Whether a commit is in another one's history.
    pub async fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> Result<bool, GitError> {
        let bare = self.bare_repository();
        let question = ["merge-base", "--is-ancestor", old.as_str(), new.as_str()];
        self.git.call(Place::Ours(&bare), question).question().await
    }

    async fn not_imported(&self, commit: &CommitId) -> Result<Vec<NotImported>, GitError> {
        let bare = self.bare_repository();
        let here = Place::Ours(&bare);
        let mut found = Vec::new();
        let modules = format!("{commit}:.gitmodules");
        if self.git.call(here, ["cat-file", "-e", &modules]).run().await?.code == Some(0) {
            found.push(NotImported::Submodules);
        }
        let search = ["grep", "-q", "-F", "filter=lfs", commit.as_str(), "--", ":(glob)**/.gitattributes"];
        if self.git.call(here, search).question().await? {
            found.push(NotImported::LargeFileStorage);
        }
        Ok(found)
    }
}
