//! Pull requests at a remote forge: what happens there comes back to their runs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use nightshift_forge::github::{
    Association, GitHubError, Remote, RemotePullRequest, RemoteState, WebhookError, WebhookEvent,
    read_webhook,
};
use nightshift_forge::{BaseBranch, PullRequestError, Repository, inspect};
use nightshift_protocol::{
    CommitId, DeliveryTarget, ErrorCode, PullRequestId, RaiseLimits, RunId, RunState, SubmitTask,
    Uncommitted, UserError,
};
use nightshift_store::{RunFilter, RunStates};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Supervisor;
use crate::delivery;
use crate::delivery::issues::{self, IssueTask, Refusal};
use crate::delivery::marks::mark_in;
use crate::delivery::news::{News, Shown, failures_to_tell, have_passed};
use crate::progress::RunProgress;
use crate::run::Wish;
use crate::trouble;

/// Webhooks whose ids are remembered.
const REMEMBERED: usize = 1_000;

/// Characters of an id that are remembered; GitHub's have 36.
const LONGEST_ID: usize = 64;

/// The least time between two looks.
const LEAST: Duration = Duration::from_millis(50);

/// The task that looks, and how it is told to look now.
#[derive(Default)]
pub(super) struct Watch {
    task: Mutex<Option<JoinHandle<()>>>,
    now: Notify,
    /// Ids of the webhooks that were taken, the newest last.
    seen: StdMutex<VecDeque<String>>,
}

/// A webhook as it came in.
#[derive(Debug, Clone, Copy)]
pub struct Webhook<'a> {
    /// The header `X-GitHub-Event`.
    pub event: &'a str,
    /// The header `X-GitHub-Delivery`.
    pub delivery: &'a str,
    /// The header `X-Hub-Signature-256`.
    pub signature: &'a str,
    /// The body.
    pub body: &'a [u8],
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
                this.look_at_issues().await;
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

    /// Takes a remote forge's word that something happened, if it is signed and was not taken before. It leads to
    /// nothing but a look: what is acted on is read from the forge.
    pub fn take_webhook(&self, webhook: &Webhook<'_>) -> Result<(), UserError> {
        let refuse = |code, message: String, hint: &str| Err(UserError::new(code, message, hint));
        let Some(secret) = &self.shared.settings.delivery.webhook_secret else {
            let hint = "Give the webhook's secret by `nightshift key set NIGHTSHIFT_WEBHOOK_SECRET`, then `nightshift restart`.";
            return refuse(ErrorCode::NotFound, "no webhooks are taken here".to_owned(), hint);
        };
        let event = match read_webhook(secret, webhook.event, webhook.signature, webhook.body) {
            Ok(event) => event,
            Err(error @ WebhookError::Signature) => {
                let hint = "The secret at the site and NIGHTSHIFT_WEBHOOK_SECRET have to be the same.";
                return refuse(ErrorCode::NotAuthorized, error.to_string(), hint);
            }
            Err(error @ WebhookError::Malformed) => {
                return refuse(
                    ErrorCode::InvalidRequest,
                    error.to_string(),
                    "Its content type has to be JSON.",
                );
            }
        };
        let mut seen = self.watch.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if webhook.delivery.is_empty() || seen.iter().any(|seen| seen == webhook.delivery) {
            let hint = "Each has an id of its own; one that is sent again is not needed.";
            return refuse(ErrorCode::Conflict, "the webhook was taken before".to_owned(), hint);
        }
        if seen.len() == REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(webhook.delivery.chars().take(LONGEST_ID).collect());
        drop(seen);
        if event != WebhookEvent::Other {
            self.look_now();
        }
        Ok(())
    }

    async fn look_at_issues(&self) {
        for named in &self.shared.settings.delivery.issues.repositories {
            if let Err(error) = self.look_at_issues_of(named).await {
                tracing::info!(repository = named, %error, "its issues could not be looked at");
            }
        }
    }

    /// Begins the tasks that a repository's issues ask for. A task is in the history with its issue, or it is not there:
    /// one that was begun is found there.
    async fn look_at_issues_of(&self, named: &str) -> Result<(), UserError> {
        let settings = &self.shared.settings.delivery.issues;
        let source = self.shared.forge.source(named).map_err(|error| trouble::sourcing(named, &error))?;
        let Some(remote) = self.shared.forge.remote(&source) else { return Ok(()) };
        let failed = |error| trouble::github(&error);
        let mut requests = Vec::new();
        if let Some(label) = &settings.label {
            requests.extend(remote.labelled_issues(label).await.map_err(failed)?);
        }
        if let Some(mention) = settings.mention.as_ref().filter(|_| !settings.who.is_empty()) {
            requests.extend(remote.mentions(mention, &settings.who).await.map_err(failed)?);
        }
        if requests.is_empty() {
            return Ok(());
        }
        let known = self.shared.store.issues_of(&source.to_string()).await;
        let known = known.map_err(|error| trouble::reading(&error))?;
        for task in issues::wanted(settings, requests, &known) {
            let number = task.issue.number;
            match self.refusal(&remote, &task).await {
                Ok(None) => {}
                Ok(Some(refusal)) => {
                    let why = refusal.why.as_str();
                    tracing::info!(number, repository = named, why, "an issue does not become a task");
                    if let Err(error) = tell_refusal(&remote, number, &refusal).await {
                        tracing::warn!(number, repository = named, %error, "the issue was not told why");
                    }
                    continue;
                }
                Err(error) => {
                    tracing::warn!(number, repository = named, %error, "an issue could not be looked at");
                    continue;
                }
            }
            let request = SubmitTask {
                description: task.description,
                // Those that the issue lists.
                criteria: Vec::new(),
                repository: named.to_owned(),
                base_branch: None,
                model: None,
                engine: None,
                limits: RaiseLimits::default(),
                attempts: 1,
                self_review_rounds: None,
                approval: None,
                issue: Some(task.issue),
                uncommitted: Uncommitted::Refuse,
            };
            match self.submit(request).await {
                Ok(begun) => {
                    tracing::info!(run = %begun.run, number, repository = named, "an issue became a task");
                }
                // It is tried again at the next look, and holds up no other.
                Err(error) => {
                    tracing::warn!(number, repository = named, %error, "an issue could not become a task");
                }
            }
        }
        Ok(())
    }

    /// Why a task that an issue asks for does not begin; `None` when it may.
    async fn refusal(&self, remote: &Remote, task: &IssueTask) -> Result<Option<Refusal>, GitHubError> {
        let settings = &self.shared.settings.delivery.issues;
        let history = remote.issue_history(task.issue.number).await?;
        let Some(asking) = task.asking(settings, &history) else {
            return Ok(Some(Refusal::unknown()));
        };
        let mut may_change = BTreeSet::new();
        for login in asking.people(&history) {
            if remote.may_change(login).await? {
                may_change.insert(login);
            }
        }
        Ok(asking.refusal(&history, &may_change))
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
        let now = self.shared.clock.now();
        let draft = seen.draft && self.shared.settings.delivery.draft;
        let (failures, ready) = match remote.checks(&seen.head).await {
            Ok(checks) => {
                let ready = draft && have_passed(&checks, progress.quiet_for(now));
                (failures_to_tell(checks, now), ready)
            }
            Err(error) if error.may_pass() => return Err(failed(error)),
            // A token without the right to see checks sees the rest all the same.
            Err(_) => (None, false),
        };
        let conflict = match seen.mergeable {
            Some(false) => Some(self.newest_base(remote, repository, progress).await?),
            // GitHub computes it; `None` means that it is not known yet.
            Some(true) | None => None,
        };
        let mut shown = Shown {
            head: seen.head.clone(),
            login: remote.login().await.map_err(failed)?,
            heard: BTreeSet::new(),
            threads: remote.review_threads(number).await.map_err(failed)?,
            reviews: remote.reviews(number).await.map_err(failed)?,
            conversation: remote.conversation(number).await.map_err(failed)?,
            failures,
            conflict,
            ready,
        };
        for (login, association) in shown.people() {
            let asked = matches!(association, Association::Member | Association::Collaborator);
            let may_change = asked && self.may_change(remote, &login).await.map_err(failed)?;
            if issues::has_a_say(association, || may_change) {
                shown.heard.insert(login);
            }
        }
        Ok(shown)
    }

    /// Whether somebody may change a repository; where the token may not ask that, nobody but its owner counts.
    async fn may_change(&self, remote: &Remote, login: &str) -> Result<bool, GitHubError> {
        match remote.may_change(login).await {
            Err(error @ (GitHubError::NoPermission { .. } | GitHubError::Refused { .. })) => {
                tracing::warn!(login, %error, "words of somebody are left aside");
                Ok(false)
            }
            answer => answer,
        }
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

/// Says under an issue why it does not become a task, once for each time it is asked for.
async fn tell_refusal(remote: &Remote, number: u64, refusal: &Refusal) -> Result<(), GitHubError> {
    let (login, mark) = (remote.login().await?, refusal.mark());
    let conversation = remote.conversation(PullRequestId(number)).await?;
    if !conversation.iter().any(|one| mark_in(&login, &one.author, &one.words) == Some(&*mark)) {
        remote.tell_issue(number, &refusal.words()).await?;
    }
    Ok(())
}
