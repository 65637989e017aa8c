//! Pull requests of one repository.

use nightshift_protocol::{CommitId, PullRequestId};
use serde_json::{Value, json};

use super::call::Change;
use super::wire;
use super::{Address, GitHub, GitHubError, RemoteState};
use crate::BranchName;

/// A repository at a site.
#[derive(Debug, Clone)]
pub struct Remote {
    pub(super) github: GitHub,
    pub(super) address: Address,
}

/// A pull request at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePullRequest {
    /// Its number.
    pub number: PullRequestId,
    /// Its name for GraphQL.
    pub node: String,
    /// Where people look at it.
    pub url: String,
    /// Where it is.
    pub state: RemoteState,
    /// Whether it is a draft.
    pub draft: bool,
    /// Title.
    pub title: String,
    /// Body.
    pub body: String,
    /// The newest commit of its branch.
    pub head: CommitId,
    /// The branch it is to go into.
    pub base: String,
    /// Whether it can be merged; `None` while the site finds out.
    pub mergeable: Option<bool>,
}

/// A pull request that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRemotePullRequest {
    /// One line.
    pub title: String,
    /// Markdown, at most [`Remote::LONGEST_BODY`] characters.
    pub body: String,
    /// The branch with the work; it is pushed.
    pub branch: BranchName,
    /// The branch it is to go into.
    pub base: BranchName,
    /// Whether it is to be a draft.
    pub draft: bool,
}

impl Remote {
    /// The longest body that is taken, in characters.
    pub const LONGEST_BODY: usize = 65_536;

    /// Which repository it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The account that asks.
    pub fn github(&self) -> &GitHub {
        &self.github
    }

    /// Lets git prove itself: call it before git speaks to the site, since an App's tokens end within the hour.
    pub async fn authorize_git(&self) -> Result<(), GitHubError> {
        let session = self.github.session(&self.address).await?;
        let failed = |error: std::io::Error| GitHubError::Cut {
            host: self.github.host().to_owned(),
            message: format!("the token could not be put where git finds it: {error}"),
        };
        self.github.inner.git.set(&session.token).map_err(failed)
    }

    /// The URL that git pushes to and fetches from; it has no credential in it.
    pub fn git_url(&self) -> String {
        format!("{}/{}.git", self.github.web(), self.address.full_name())
    }

    /// Where people see a file of a branch; as a picture in a body it is shown by `raw=true`.
    pub fn file_url(&self, branch: &str, path: &str) -> String {
        format!("{}/{}/blob/{branch}/{path}?raw=true", self.github.web(), self.address.full_name())
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.address.full_name())
    }

    pub(super) async fn get<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        rest: &str,
    ) -> Result<T, GitHubError> {
        self.github.read(&self.address, what, &self.path(rest)).await
    }

    pub(super) async fn list<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        rest: &str,
    ) -> Result<Vec<T>, GitHubError> {
        self.github.read_all(&self.address, what, &self.path(rest)).await
    }

    pub(super) async fn pages<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        rest: &str,
        items: impl Fn(&T) -> usize,
    ) -> Result<Vec<T>, GitHubError> {
        self.github.read_pages(&self.address, what, &self.path(rest), items).await
    }

    pub(super) async fn send<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        change: Change,
        rest: &str,
        body: &Value,
    ) -> Result<T, GitHubError> {
        self.github.change(&self.address, what, change, &self.path(rest), body).await
    }

    /// Looks for the pull request of a branch: the open one, else the newest. It is how a creation whose answer was
    /// lost is found.
    pub async fn find_pull_request(
        &self,
        branch: &BranchName,
        base: &BranchName,
    ) -> Result<Option<RemotePullRequest>, GitHubError> {
        let what = "looking for the pull request";
        // A run's branch has nothing that a URL would have to escape; the base is compared here.
        let rest = format!("pulls?state=all&head={}:{branch}", self.address.owner);
        let found: Vec<wire::PullRequest> = self.list(what, &rest).await?;
        let fits =
            |one: &wire::PullRequest| one.base.name == base.as_str() && one.head.name == branch.as_str();
        let mut found: Vec<_> = found.into_iter().filter(fits).collect();
        found.sort_by_key(|one| (one.state != "open", std::cmp::Reverse(one.number)));
        found.into_iter().next().map(|one| self.read_pull_request(one, what)).transpose()
    }

    /// Opens a pull request. Where one is open for the branch already, that one is returned.
    pub async fn create_pull_request(
        &self,
        new: &NewRemotePullRequest,
    ) -> Result<RemotePullRequest, GitHubError> {
        let what = "opening the pull request";
        let NewRemotePullRequest { title, body, branch, base, draft } = new;
        let request = json!({ "title": title, "head": branch, "base": base, "body": body, "draft": draft });
        match self.send(what, Change::Post, "pulls", &request).await {
            Ok(created) => self.read_pull_request(created, what),
            // Its words are not promised, so the refusal is believed only when the pull request is there.
            Err(refused @ GitHubError::Refused { status: 422, .. }) => {
                let open = |one: &RemotePullRequest| one.state == RemoteState::Open;
                self.find_pull_request(branch, base).await?.filter(open).ok_or(refused)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a pull request.
    pub async fn pull_request(&self, number: PullRequestId) -> Result<RemotePullRequest, GitHubError> {
        let what = "reading the pull request";
        let found = self.get(what, &format!("pulls/{number}")).await?;
        self.read_pull_request(found, what)
    }

    /// Replaces the body; doing it again changes nothing.
    pub async fn update_body(
        &self,
        number: PullRequestId,
        body: &str,
    ) -> Result<RemotePullRequest, GitHubError> {
        let what = "updating the pull request";
        let request = json!({ "body": body });
        let updated = self.send(what, Change::Patch, &format!("pulls/{number}"), &request).await?;
        self.read_pull_request(updated, what)
    }

    /// Makes a draft ready for review; one that is ready stays so.
    pub async fn mark_ready(&self, pull_request: &RemotePullRequest) -> Result<(), GitHubError> {
        const READY: &str = "mutation($id: ID!) { markPullRequestReadyForReview(input: { pullRequestId: $id }) \
                             { pullRequest { isDraft } } }";
        let variables = json!({ "id": pull_request.node });
        self.github.graphql(&self.address, "marking the pull request ready", READY, variables).await.map(drop)
    }

    /// Adds labels; those that are there stay.
    pub async fn add_labels(&self, number: PullRequestId, labels: &[String]) -> Result<(), GitHubError> {
        let request = json!({ "labels": labels });
        let rest = format!("issues/{number}/labels");
        let _labels: Vec<wire::Label> = self.send("adding labels", Change::Post, &rest, &request).await?;
        Ok(())
    }

    /// Asks people, by login, to review.
    pub async fn request_reviewers(
        &self,
        number: PullRequestId,
        reviewers: &[String],
    ) -> Result<(), GitHubError> {
        let request = json!({ "reviewers": reviewers });
        let rest = format!("pulls/{number}/requested_reviewers");
        let _asked: Value = self.send("asking for a review", Change::Post, &rest, &request).await?;
        Ok(())
    }

    /// Merges, unless the branch is elsewhere than at `head`. Returns the merge commit.
    pub async fn merge(&self, number: PullRequestId, head: &CommitId) -> Result<CommitId, GitHubError> {
        let what = "merging the pull request";
        let request = json!({ "sha": head });
        let merged: wire::Merged =
            self.send(what, Change::Put, &format!("pulls/{number}/merge"), &request).await?;
        merged.sha.parse().map_err(|_| self.github.nonsense(what))
    }

    /// Closes without merging; one that is closed stays so.
    pub async fn close(&self, number: PullRequestId) -> Result<RemotePullRequest, GitHubError> {
        let what = "closing the pull request";
        let request = json!({ "state": "closed" });
        let closed = self.send(what, Change::Patch, &format!("pulls/{number}"), &request).await?;
        self.read_pull_request(closed, what)
    }

    fn read_pull_request(
        &self,
        one: wire::PullRequest,
        what: &'static str,
    ) -> Result<RemotePullRequest, GitHubError> {
        let nonsense = |_| self.github.nonsense(what);
        let state = match (one.merged_at, one.state.as_str()) {
            (Some(_), _) => {
                let commit =
                    one.merge_commit_sha.map(|commit| commit.parse()).transpose().map_err(nonsense)?;
                RemoteState::Merged { commit }
            }
            (None, "open") => RemoteState::Open,
            (None, _) => RemoteState::Closed,
        };
        Ok(RemotePullRequest {
            number: PullRequestId(one.number),
            node: one.node_id,
            url: one.html_url,
            state,
            draft: one.draft.unwrap_or(false),
            title: one.title,
            body: one.body.unwrap_or_default(),
            head: one.head.sha.parse().map_err(nonsense)?,
            base: one.base.name,
            mergeable: one.mergeable,
        })
    }
}
