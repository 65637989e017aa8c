//! What git does at a remote site: look at a branch, push one, fetch one, keep pictures on a side branch.

use std::collections::BTreeMap;

use nightshift_protocol::{CommitId, OffsetDateTime};

use crate::git::{LONG, Place};
use crate::github::PictureFile;
use crate::inspect::commit;
use crate::{BranchName, GitError, Repository};

/// The side branch with pictures. It shares no commit with any other branch, so no pull request's diff has them.
pub const PICTURES_BRANCH: &str = "nightshift-assets";

/// How often the side branch is pushed when somebody else pushed to it meanwhile.
const PUSHES: u32 = 5;

/// Why a branch was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Somebody else pushed to the branch.
    #[error("\"{branch}\" at the remote is at {found}, where nothing of ours is: somebody pushed to it")]
    Moved {
        /// The branch.
        branch: BranchName,
        /// Where it is.
        found: CommitId,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Repository {
    /// Where a branch is at a remote; `None` if it is not there.
    pub async fn remote_head(&self, url: &str, branch: &BranchName) -> Result<Option<CommitId>, GitError> {
        let full = branch.full();
        let list = self.git.call(Place::Nowhere, ["ls-remote", "--", url, &full]).text().await?;
        let nonsense = |_| GitError::Nonsense { command: "ls-remote".to_owned() };
        let ours = list.lines().filter_map(|line| line.split_once('\t')).find(|(_, name)| *name == full);
        ours.map(|(object, _)| object.parse().map_err(nonsense)).transpose()
    }

    /// Brings a branch at a remote to `head`. It looks first: what is there already is not pushed again, and what
    /// somebody else pushed is not overwritten. `known` are the places we brought the branch to before.
    pub async fn push(
        &self,
        url: &str,
        branch: &BranchName,
        head: &CommitId,
        known: &[CommitId],
    ) -> Result<(), PushError> {
        let found = self.remote_head(url, branch).await?;
        let expected = match found {
            Some(found) if found == *head => return Ok(()),
            Some(found) if !known.contains(&found) => {
                return Err(PushError::Moved { branch: branch.clone(), found });
            }
            Some(found) => found.to_string(),
            None => String::new(),
        };
        let full = branch.full();
        // The remote compares once more, in the moment it moves the branch.
        let lease = format!("--force-with-lease={full}:{expected}");
        let bare = self.bare_repository();
        let push = [
            "push",
            "--quiet",
            "--no-verify",
            "--no-follow-tags",
            &lease,
            "--",
            url,
            &format!("{head}:{full}"),
        ];
        self.git.call(Place::Reaching(&bare), push).time_limit(LONG).bytes().await?;
        Ok(())
    }

    /// Fetches a branch of a remote into `refs/nightshift/remote/` and returns where it is.
    pub async fn fetch_remote(&self, url: &str, branch: &BranchName) -> Result<CommitId, GitError> {
        let bare = self.bare_repository();
        let ours = format!("refs/nightshift/remote/{branch}");
        let fetch =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--", url];
        let reference = format!("+{}:{ours}", branch.full());
        let fetch = fetch.into_iter().chain([reference.as_str()]);
        self.git.call(Place::Reaching(&bare), fetch).time_limit(LONG).bytes().await?;
        let found = commit(&self.git, Place::Ours(&bare), &ours).await?;
        found.ok_or_else(|| GitError::Nonsense { command: "fetch".to_owned() })
    }

    /// Puts pictures on the side branch of a remote and returns their paths on it, in the order they were given. A
    /// picture is named by its content, so one that is there is not put there again, by whomever.
    pub async fn publish_pictures(
        &self,
        url: &str,
        pictures: &[PictureFile],
        at: OffsetDateTime,
    ) -> Result<Vec<String>, GitError> {
        let paths: Vec<String> = pictures.iter().map(content_name).collect();
        let _lock =
            self.lock().await.map_err(|source| GitError::Run { command: "push".to_owned(), source })?;
        let mut tried = 0;
        loop {
            match self.publish_once(url, pictures, &paths, at).await {
                Ok(()) => return Ok(paths),
                // Another owner was faster: what it pushed is built upon.
                Err(GitError::Failed { .. }) if tried < PUSHES => tried += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn publish_once(
        &self,
        url: &str,
        pictures: &[PictureFile],
        paths: &[String],
        at: OffsetDateTime,
    ) -> Result<(), GitError> {
        let bare = self.bare_repository();
        let here = Place::Ours(&bare);
        let nonsense = |command: &str| GitError::Nonsense { command: command.to_owned() };
        let branch: BranchName = PICTURES_BRANCH.parse().map_err(|_| nonsense("push"))?;
        let parent = match self.remote_head(url, &branch).await? {
            Some(_) => Some(self.fetch_remote(url, &branch).await?),
            None => None,
        };
        let mut entries = BTreeMap::new();
        if let Some(parent) = &parent {
            let list = self
                .git
                .call(here, ["ls-tree", "-z", parent.as_str()])
                .output_limit(64 << 20)
                .bytes()
                .await?;
            for entry in list.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()) {
                let entry = String::from_utf8_lossy(entry).into_owned();
                let (_, name) = entry.split_once('\t').ok_or_else(|| nonsense("ls-tree"))?;
                entries.insert(name.to_owned(), entry.clone());
            }
        }
        let before = entries.len();
        for (picture, path) in pictures.iter().zip(paths) {
            if !entries.contains_key(path) {
                let hash =
                    self.git.call(here, ["hash-object", "-w", "--stdin"]).input(picture.bytes.to_vec());
                let object = hash.text().await?;
                entries.insert(path.clone(), format!("100644 blob {object}\t{path}"));
            }
        }
        if entries.len() == before {
            return Ok(());
        }
        let listing: Vec<u8> = entries.values().flat_map(|entry| [entry.as_bytes(), &[0]].concat()).collect();
        let tree = self.git.call(here, ["mktree", "-z"]).input(listing).text().await?;
        let mut make =
            vec!["commit-tree".to_owned(), tree, "-m".to_owned(), "Pictures of pull requests".to_owned()];
        if let Some(parent) = &parent {
            make.extend(["-p".to_owned(), parent.to_string()]);
        }
        let seconds = format!("@{} +0000", at.unix_timestamp());
        let made = self
            .git
            .call(here, make)
            .variable("GIT_AUTHOR_NAME", "Nightshift")
            .variable("GIT_AUTHOR_EMAIL", "pictures@nightshift.invalid")
            .variable("GIT_AUTHOR_DATE", &seconds)
            .variable("GIT_COMMITTER_NAME", "Nightshift")
            .variable("GIT_COMMITTER_EMAIL", "pictures@nightshift.invalid")
            .variable("GIT_COMMITTER_DATE", &seconds)
            .text()
            .await?;
        let push = ["push", "--quiet", "--no-verify", "--", url, &format!("{made}:{}", branch.full())];
        self.git.call(Place::Reaching(&bare), push).time_limit(LONG).bytes().await?;
        Ok(())
    }
}

/// The beginning of the content's SHA-256 and the ending of the picture's name.
fn content_name(picture: &PictureFile) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(&picture.bytes);
    let hash: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let ending = picture.name.rsplit_once('.').map_or("png", |(_, ending)| ending);
    format!("{hash}.{ending}")
}
