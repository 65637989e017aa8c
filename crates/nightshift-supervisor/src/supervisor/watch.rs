//! Pull requests at a remote forge: what happens there comes back to their runs.

use std::time::Duration;

use nightshift_forge::github::{Remote, RemotePullRequest, RemoteState};
use nightshift_forge::{BaseBranch, PullRequestError, Repository, inspect};
use nightshift_protocol::{CommitId, DeliveryTarget, RunId, RunState, UserError};
use nightshift_store::{RunFilter, RunStates};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Supervisor;
use crate::delivery;
use crate::delivery::news::{News, Shown};
use crate::progress::RunProgress;
use crate::run::Wish;
use crate::trouble;

/// The least time between two looks.
const LEAST: Duration = Duration::from_millis(50);

/// The task that looks, and how it is told to look now.
#[derive(Default)]
pub(super) struct Watch {
    task: Mutex<Option<JoinHandle<()>>>,
    now: Notify,
}

impl Watch {
    pub(super) async fn end(&self) {
        if let Some(task) = self.task.lock().await.take() {
            task.abort();
        }
    }
}

impl Supervisor {
    /// Looks at all open pull requests at remote forges, again and again until the owner ends. Without an account
    /// there is nothing to look at. Questions whose answers have not changed cost nothing of the hour's limit.
    pub async fn watch_forge(&self) {
        if self.shared.forge.github().is_none() {
            return;
        }
        let this = self.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(this.shared.settings.delivery.poll_every.max(LEAST));
            // After a sleep of the machine one look is enough.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _tick = ticks.tick() => {}
                    () = this.watch.now.notified() => {}
                }
                this.look_at_reviews().await;
            }
        });
        if let Some(earlier) = self.watch.task.lock().await.replace(task) {
            earlier.abort();
        }
    }

    /// Looks no more.
    pub async fn unwatch_forge(&self) {
        self.watch.end().await;
    }

    /// Looks as soon as the look that is under way is over: a forge has said that there is something to see.
    pub fn look_now(&self) {
        self.watch.now.notify_one();
    }

    async fn look_at_reviews(&self) {
        // Final runs have nothing to learn, and those without a pull request are let go by at once.
        let filter = RunFilter { states: RunStates::Unfinished, ..RunFilter::default() };
        let mut cursor = None;
        loop {
            let Ok(page) = self.shared.store.runs(&filter, cursor, 200).await else { return };
            for run in &page.runs {
                if matches!(run.state, RunState::Queued { .. } | RunState::Preparing { .. }) {
                    continue;
                }
                if let Err(error) = self.look_at_review(&run.run).await {
                    // It is looked at again; meanwhile the pull request is where it is.
                    tracing::info!(run = %run.run, %error, "its pull request could not be looked at");
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return,
            }
        }
    }

    /// Looks at a run's pull request and lets the run know what is new.
    async fn look_at_review(&self, run: &RunId) -> Result<(), UserError> {
        let progress = self.progress(run).await?;
        let (Some(DeliveryTarget::GitHub), Some(number)) =
            (progress.delivery.target, progress.delivery.pull_request)
        else {
            return Ok(());
        };
        let repository = delivery::repository_of(&self.shared.forge, &progress.task.repository)?;
        let Some(remote) = self.shared.forge.remote(repository.source()) else { return Ok(()) };
        let seen = remote.pull_request(number).await.map_err(|error| trouble::github(&error))?;
        match &seen.state {
            RemoteState::Merged { commit } => {
                let commit = commit.clone().unwrap_or_else(|| seen.head.clone());
                self.record_remote_merge(run, &progress, &repository, number, &commit).await
            }
            RemoteState::Closed => match repository.close(number, self.shared.clock.now()).await {
                Ok(_) | Err(PullRequestError::Refused(_)) => self.wish(run, Wish::Close).await,
                Err(error) => Err(trouble::pull_request(&error)),
            },
            RemoteState::Open if matches!(progress.state, RunState::InReview { .. }) => {
                let shown = self.shown(&remote, &repository, &progress, &seen).await?;
                self.wish(run, Wish::Feedback(News::Shown(Box::new(shown)))).await
            }
            // What was said meanwhile is read when the agent has dealt with what was said before.
            RemoteState::Open => Ok(()),
        }
    }

    async fn shown(
        &self,
        remote: &Remote,
        repository: &Repository,
        progress: &RunProgress,
        seen: &RemotePullRequest,
    ) -> Result<Shown, UserError> {
        let failed = |error| trouble::github(&error);
        let number = seen.number;
        let failures = match remote.check_failures(&seen.head).await {
            Ok(failures) => failures,
            Err(error) if error.may_pass() => return Err(failed(error)),
            // A token without the right to see checks sees the rest all the same.
            Err(_) => None,
        };
        let conflict = match seen.mergeable {
            Some(false) => Some(self.newest_base(remote, repository, progress).await?),
            // GitHub computes it; `None` means that it is not known yet.
            Some(true) | None => None,
        };
        Ok(Shown {
            head: seen.head.clone(),
            threads: remote.review_threads(number).await.map_err(failed)?,
            reviews: remote.reviews(number).await.map_err(failed)?,
            conversation: remote.conversation(number).await.map_err(failed)?,
            failures,
            conflict,
        })
    }

    /// Brings the base branch's newest commit here.
    async fn newest_base(
        &self,
        remote: &Remote,
        repository: &Repository,
        progress: &RunProgress,
    ) -> Result<CommitId, UserError> {
        remote.authorize_git().await.map_err(|error| trouble::github(&error))?;
        let base = BaseBranch::Named(&progress.task.base_branch);
        let checkout = inspect(&self.shared.git, repository.source(), base)
            .await
            .map_err(|error| trouble::inspecting(&error))?;
        repository.import(&checkout).await.map_err(|error| trouble::importing(&error))?;
        Ok(checkout.commit)
    }
}
