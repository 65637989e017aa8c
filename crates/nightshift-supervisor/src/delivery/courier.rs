//! Carries out what a delivery wants: each act looks first what is there already, so that it may be begun again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nightshift_forge::github::{
    GitHubError, NewRemotePullRequest, PictureFile, Remote, RemoteState, UploadError,
};
use nightshift_forge::{
    BodyFacts, BranchName, CommandFact, DiffFacts, FileChange, GitError, NewPullRequest, PICTURES_BRANCH,
    PullRequestError, PushError, Repository, Revision, compose_answer, compose_body, compose_title,
    pre_review, reworked_percent, secrets_in,
};
use nightshift_protocol::{
    ArtifactId, CommitId, DeliveryTarget, ErrorCode, EventBody, Evidence, EvidenceSource, FeedbackAnswer,
    FeedbackItem, FeedbackSource, Image, PreReviewKind, PreparedPicture, PullRequestId, RunId, SelfReview,
    Task, Usage, UserError,
};

use super::body::{Pictures, for_remote};
use super::marks::{mark, mark_in, marked};
use super::pictures::{RecordingFrame, ScreenReader, VideoMaker, clean, record};
use super::side_branch;
use super::{DeliveryAction, DeliveryProgress, PicturePolicy, branch, repository_of};
use crate::acts::Trouble;
use crate::progress::{Finished, Received, RunProgress};
use crate::reviewing::{Delivered, measure};
use crate::shared::Shared;
use crate::trouble;

/// The most of a diff that is looked through, in bytes.
const LONGEST_DIFF: usize = 32 << 20;

/// The most that is looked through for secrets, in bytes; of more nothing is known, and it is not delivered.
const LONGEST_HISTORY: usize = 128 << 20;

/// Pictures of a recording at most.
const RECORDED: usize = 12;

/// How often an act is tried that a remote forge did not carry out for a reason that may pass.
const TRIES: u32 = 4;

/// The wait before the second try; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// What is known of a run whose work is delivered.
pub(crate) struct Courier {
    shared: Arc<Shared>,
    run: RunId,
    task: Task,
    branch: String,
    finished: Finished,
    evidence: Vec<Evidence>,
    self_reviews: Vec<SelfReview>,
    screenshots: Vec<Image>,
    commands: Vec<(String, Option<i32>)>,
    turns: u32,
    usage: Usage,
    seconds: u64,
    delivery: DeliveryProgress,
}

impl Courier {
    pub(crate) fn of(shared: &Arc<Shared>, progress: &RunProgress) -> Result<Self, UserError> {
        let Some(finished) = progress.finished.clone() else {
            let message = "a run is delivered that is not finished";
            return Err(UserError::new(ErrorCode::Internal, message, "Please report it."));
        };
        Ok(Self {
            shared: Arc::clone(shared),
            run: progress.run.clone(),
            task: progress.task.clone(),
            branch: progress.branch.clone(),
            finished,
            evidence: progress.evidence.clone(),
            self_reviews: progress.self_reviews.list().to_vec(),
            screenshots: progress.screenshots.iter().cloned().collect(),
            commands: progress.commands.iter().map(|ran| (ran.command.clone(), ran.exit_code)).collect(),
            turns: progress.turns,
            usage: progress.usage,
            seconds: progress.seconds(),
            delivery: progress.delivery.clone(),
        })
    }

    /// Carries an act out and returns what happened. What may pass is tried again, each time looking first.
    pub(crate) async fn perform(self, action: DeliveryAction) -> Result<Vec<EventBody>, Trouble> {
        let mut wait = FIRST_WAIT;
        let mut tried = 1;
        loop {
            match self.try_to(&action).await {
                Err(Failure::GitHub(error)) if error.may_pass() && tried < TRIES => {
                    tracing::info!(run = %self.run, %error, tried, "a delivery is tried again");
                    tokio::time::sleep(wait).await;
                    (wait, tried) = (wait * 2, tried + 1);
                }
                // In review there is nothing to be paused: it is tried again at a later look.
                Err(failure) if matches!(action, DeliveryAction::MarkReady(_)) => {
                    let why_not = Some(failure.words());
                    return Ok(vec![EventBody::PullRequestReadied { why_not }]);
                }
                outcome => return outcome.map_err(Trouble::from),
            }
        }
    }

    async fn try_to(&self, action: &DeliveryAction) -> Result<Vec<EventBody>, Failure> {
        match action {
            DeliveryAction::Receive | DeliveryAction::AwaitReview(_) => Ok(Vec::new()),
            DeliveryAction::Check(received) => self.check(received).await,
            DeliveryAction::PreparePictures(received) => self.prepare_pictures(received).await,
            DeliveryAction::Push(head) => {
                let remote = self.remote().await?;
                let (branch, repository, url) = (branch(&self.branch)?, self.repository()?, remote.git_url());
                let mut pushed = repository.push(&url, &branch, head, &self.delivery.pushed).await;
                // Git does not tell a cut connection from a refusal. It looks first, so it may be tried again.
                for _ in 1..TRIES {
                    if !matches!(pushed, Err(PushError::Git(GitError::Failed { .. }))) {
                        break;
                    }
                    tokio::time::sleep(FIRST_WAIT).await;
                    pushed = repository.push(&url, &branch, head, &self.delivery.pushed).await;
                }
                pushed.map_err(|error| trouble::pushing(&error))?;
                Ok(vec![EventBody::BranchPushed { branch: self.branch.clone(), head: head.clone() }])
            }
            DeliveryAction::Publish(picture) => self.publish(picture).await,
            DeliveryAction::Open(received) => self.open(received).await,
            DeliveryAction::Describe(number, received) => self.describe(*number, received).await,
            DeliveryAction::Route(number) => self.route(*number).await,
            DeliveryAction::MarkReady(number) => self.mark_ready(*number).await,
            DeliveryAction::TellIssue(number, issue) => self.tell_issue(*number, *issue).await,
            DeliveryAction::Tell(number, item, answer) => self.tell(*number, item, answer).await,
        }
    }

    fn repository(&self) -> Result<Repository, UserError> {
        repository_of(&self.shared.forge, &self.task.repository)
    }

    /// The repository at its site, with git authorized there.
    async fn remote(&self) -> Result<Remote, Failure> {
        let source =
            self.task.repository.parse().map_err(|error| trouble::sourcing(&self.task.repository, &error))?;
        let Some(remote) = self.shared.forge.remote(&source) else {
            return Err(Failure::Person(UserError::new(
                ErrorCode::MissingKey,
                format!("there is no account for {}", self.task.repository),
                "Give a token by `nightshift key set GITHUB_TOKEN` (docs/github.md), `nightshift restart`, then `nightshift continue`.",
            )));
        };
        remote.authorize_git().await?;
        Ok(remote)
    }

    /// The commit that the work is compared with: what it was begun from, or what was merged into it since.
    async fn base(&self, head: &CommitId) -> Result<CommitId, UserError> {
        let repository = self.repository()?;
        for base in self.delivery.bases() {
            if repository.is_ancestor(base, head).await.map_err(|error| trouble::git(&error))? {
                return Ok(base.clone());
            }
        }
        Ok(self.task.base_commit.clone())
    }

    async fn changed_files(&self, received: &Received) -> Result<Vec<FileChange>, UserError> {
        let base = self.base(&received.head).await?;
        let changed = self.repository()?.changed_files(&base, &received.head).await;
        changed.map_err(|error| trouble::git(&error))
    }

    async fn check(&self, received: &Received) -> Result<Vec<EventBody>, Failure> {
        let repository = self.repository()?;
        let (base, head) = (&self.base(&received.head).await?, &received.head);
        let git = |error| trouble::git(&error);
        let changed_files = self.changed_files(received).await?;
        let diff = repository.diff_between(base, head, LONGEST_DIFF).await.map_err(git)?;
        let history = repository.history_between(base, head, LONGEST_HISTORY).await.map_err(git)?;
        if history.cut {
            return Err(Failure::Person(UserError::new(
                ErrorCode::DeliveryRefused,
                format!(
                    "the work is not delivered, because it is too large to be looked through for secrets: its commits change more than {} MiB",
                    LONGEST_HISTORY >> 20
                ),
                format!(
                    "Tell the agent to leave out what is generated or downloaded, in a new commit on the base (`nightshift steer {run} \"…\"`), then `nightshift continue {run}`.",
                    run = self.run
                ),
            )));
        }
        let messages = repository.messages(base, head).await.map_err(git)?;
        let binary = changed_files.iter().filter(|change| change.lines.is_none());
        let binary: Vec<String> = binary.map(|change| change.path.clone()).collect();
        let binary_sizes = repository.file_sizes(head, &binary).await.map_err(git)?;
        let settings = &self.shared.settings.delivery;
        let facts = DiffFacts {
            changed_files: &changed_files,
            diff: &diff.text,
            history: &history.text,
            binary_sizes: &binary_sizes,
            messages: &messages,
            commands: &self.commands,
            lint: self.delivery.lint.as_ref().filter(|(of, _)| of == head).map(|(_, lint)| lint),
            forbidden: &settings.forbidden_paths,
        };
        let secrets = secrets_in(&facts, &settings.redactor);
        if let Some(first) = secrets.first() {
            let named: Vec<String> =
                secrets.iter().take(5).map(|one| format!("{} in {}", one.kind, one.place)).collect();
            return Err(Failure::Person(UserError::new(
                ErrorCode::DeliveryRefused,
                format!("the work is not delivered, because it has a secret in it: {}", named.join("; ")),
                format!(
                    "Go back to a moment before it (`nightshift checkpoint list {run}` and `rewind`), tell the agent to keep it out (`nightshift steer {run} \"…\"`), then `nightshift continue {run}`. A further commit that removes it does not help: all commits are delivered. If it is a real {}, replace it: it was in a sandbox.",
                    first.kind,
                    run = self.run
                ),
            )));
        }
        let findings = pre_review(&facts, &settings.redactor);
        if let Some(forbidden) = findings.iter().find(|finding| finding.kind == PreReviewKind::ForbiddenPath)
        {
            return Err(Failure::Person(UserError::new(
                ErrorCode::DeliveryRefused,
                format!(
                    "the work is not delivered, because it changes what agents may not: {}",
                    forbidden.paths.join(", ")
                ),
                "The list is delivery.forbidden_paths in config.toml; workflows are on it because a site runs them, with the repository's secrets, as soon as they are pushed. Tell the agent to undo it, then `nightshift continue`.",
            )));
        }
        let source =
            self.task.repository.parse().map_err(|error| trouble::sourcing(&self.task.repository, &error))?;
        let target = if self.shared.forge.remote(&source).is_some() {
            DeliveryTarget::GitHub
        } else {
            DeliveryTarget::Local
        };
        let reworked = self.reworked(&diff.text).await?;
        let measure = measure(Delivered {
            changed: &changed_files,
            criteria: &self.task.criteria,
            evidence: &self.evidence,
            lint: facts.lint,
            self_reviews: &self.self_reviews,
            not_verified: &self.finished.not_verified,
            reworked_percent: reworked,
        });
        Ok(vec![EventBody::DeliveryChecked { head: head.clone(), target, findings, measure }])
    }

    /// How much of the work changed since reviewers saw it first, in percent.
    async fn reworked(&self, diff: &str) -> Result<u8, UserError> {
        let Some(first) = &self.delivery.first else { return Ok(0) };
        let base = self.base(first).await?;
        let before = self.repository()?.diff_between(&base, first, LONGEST_DIFF).await;
        Ok(reworked_percent(&before.map_err(|error| trouble::git(&error))?.text, diff))
    }

    async fn prepare_pictures(&self, received: &Received) -> Result<Vec<EventBody>, Failure> {
        let of_evidence = self.evidence.iter().filter_map(|evidence| match &evidence.source {
            EvidenceSource::Screenshot { image, .. } => Some(image),
            EvidenceSource::Command { .. } => None,
        });
        let of_evidence: Vec<&Image> = of_evidence.collect();
        let leaves = self.delivery.target == Some(DeliveryTarget::GitHub);
        // What stays here is shown as it is.
        let policy = if leaves { self.shared.settings.delivery.pictures } else { PicturePolicy::Unread };
        let from = self.screenshots.len().saturating_sub(RECORDED);
        let recorded = if of_evidence.is_empty() { &[][..] } else { &self.screenshots[from..] };
        // The same picture is read once, wherever it is shown.
        let mut prepared = BTreeMap::new();
        for image in of_evidence.iter().copied().chain(recorded) {
            if !prepared.contains_key(&image.artifact) {
                prepared.insert(image.artifact.clone(), self.prepare(image, policy).await?);
            }
        }
        let mut pictures: Vec<PreparedPicture> = Vec::new();
        for image in of_evidence.iter().filter(|_| leaves) {
            let new = !pictures.iter().any(|picture| picture.artifact == image.artifact);
            pictures
                .extend(prepared.get(&image.artifact).filter(|_| new).map(|(picture, _)| picture.clone()));
        }
        let frames = recorded.iter().filter_map(|image| prepared.get(&image.artifact)?.1.clone());
        let frames: Vec<RecordingFrame> = frames.map(RecordingFrame).collect();
        let film = match VideoMaker::find(self.shared.search_path.as_deref()) {
            Some(maker) if self.shared.settings.delivery.video => maker.make(&frames).await,
            Some(_) | None => None,
        };
        let moving = tokio::task::spawn_blocking(move || record(&frames)).await.unwrap_or_default();
        let (mut recording, mut video) = (None, None);
        for (bytes, media_type, kept) in
            [(moving, "image/gif", &mut recording), (film, "video/mp4", &mut video)]
        {
            let Some(bytes) = bytes else { continue };
            let artifact = self.keep(bytes, media_type).await?;
            pictures.extend(leaves.then(|| PreparedPicture {
                artifact: artifact.clone(),
                prepared: Some(artifact.clone()),
                media_type: media_type.to_owned(),
                masked: 0,
                kept_because: None,
            }));
            *kept = Some(artifact);
        }
        Ok(vec![EventBody::PicturesPrepared { head: received.head.clone(), pictures, recording, video }])
    }

    /// Makes a picture fit to leave; its pixels are there only if it is.
    async fn prepare(
        &self,
        image: &Image,
        policy: PicturePolicy,
    ) -> Result<(PreparedPicture, Option<super::pictures::Pixels>), Failure> {
        let kept = |why: &str| PreparedPicture {
            artifact: image.artifact.clone(),
            prepared: None,
            media_type: image.media_type.clone(),
            masked: 0,
            kept_because: Some(why.to_owned()),
        };
        let bytes = self.shared.store.get(&image.artifact).await.map_err(|error| trouble::getting(&error))?;
        let reader = match (policy, ScreenReader::find(self.shared.search_path.as_deref())) {
            (PicturePolicy::Never, _) => return Ok((kept("pictures are not sent, by configuration"), None)),
            (PicturePolicy::Unread, _) => {
                let pixels = super::pictures::Pixels::decode(&bytes).ok();
                let picture = PreparedPicture {
                    prepared: Some(image.artifact.clone()),
                    kept_because: None,
                    ..kept("")
                };
                return Ok((picture, pixels));
            }
            (PicturePolicy::Read, None) => {
                let why = "no program is installed that reads it for secrets (tesseract-ocr)";
                return Ok((kept(why), None));
            }
            (PicturePolicy::Read, Some(reader)) => reader,
        };
        match clean(&bytes, &reader, &self.shared.settings.delivery.redactor).await {
            Ok(cleaned) => {
                let prepared = if cleaned.covered.is_empty() {
                    image.artifact.clone()
                } else {
                    self.keep(cleaned.pixels.encode(), "image/png").await?
                };
                let masked = u32::try_from(cleaned.covered.len()).unwrap_or(u32::MAX);
                let picture =
                    PreparedPicture { prepared: Some(prepared), masked, kept_because: None, ..kept("") };
                Ok((picture, Some(cleaned.pixels)))
            }
            Err(error) => {
                tracing::warn!(run = %self.run, %error, "a picture stays on this machine");
                Ok((kept("it could not be read for secrets"), None))
            }
        }
    }

    async fn keep(&self, bytes: Vec<u8>, media_type: &str) -> Result<ArtifactId, Failure> {
        Ok(self.shared.store.put(bytes, media_type).await.map_err(|error| trouble::putting(&error))?)
    }

    async fn publish(&self, picture: &PreparedPicture) -> Result<Vec<EventBody>, Failure> {
        let Some(prepared) = &picture.prepared else { return Ok(Vec::new()) };
        let remote = self.remote().await?;
        let bytes: Bytes = self.shared.store.get(prepared).await.map_err(|error| trouble::getting(&error))?;
        let (media_type, ending) = match picture.media_type.as_str() {
            "image/gif" => ("image/gif", "gif"),
            "video/mp4" => ("video/mp4", "mp4"),
            _ => ("image/png", "png"),
        };
        let name = format!("nightshift-{}.{ending}", prepared.as_str().chars().take(12).collect::<String>());
        let file = PictureFile { name, media_type, bytes };
        let url = match remote.upload(&file).await {
            Ok(url) => url,
            Err(UploadError::NotHere | UploadError::TooLarge { .. }) => {
                match self.put_on_side_branch(&remote, &file).await? {
                    Ok(url) => url,
                    Err(why) => {
                        tracing::info!(run = %self.run, why, "a picture stays on this machine");
                        return Ok(vec![EventBody::PictureKept { artifact: prepared.clone(), why }]);
                    }
                }
            }
            Err(UploadError::GitHub(error)) => return Err(error.into()),
        };
        Ok(vec![EventBody::PicturePublished { artifact: prepared.clone(), url }])
    }

    /// Puts a picture on the side branch, or says why it is not put there.
    async fn put_on_side_branch(
        &self,
        remote: &Remote,
        file: &PictureFile,
    ) -> Result<Result<String, String>, Failure> {
        let mut there = 0;
        for (artifact, url) in &self.delivery.published {
            if side_branch::is_there(url) {
                let bytes =
                    self.shared.store.get(artifact).await.map_err(|error| trouble::getting(&error))?;
                there += bytes.len();
            }
        }
        if let Some(why) = side_branch::too_large(file.bytes.len(), there) {
            return Ok(Err(why));
        }
        let (repository, url, at) = (self.repository()?, remote.git_url(), self.shared.clock.now());
        match repository.publish_pictures(&url, std::slice::from_ref(file), at).await {
            Ok(paths) => {
                let path = paths.first().map(String::as_str).unwrap_or_default();
                Ok(Ok(remote.file_url(PICTURES_BRANCH, path)))
            }
            // A site that can be asked and does not take the branch has a rule against it.
            Err(GitError::Failed { .. })
                if repository.remote_head(&url, &branch(PICTURES_BRANCH)?).await.is_ok() =>
            {
                Ok(Err(format!("{} does not take the branch {PICTURES_BRANCH}", remote.github().host())))
            }
            Err(error) => Err(trouble::git(&error).into()),
        }
    }

    /// Makes the draft ready for reviewers, if it still is one.
    async fn mark_ready(&self, number: PullRequestId) -> Result<Vec<EventBody>, Failure> {
        let remote = self.remote().await?;
        let seen = remote.pull_request(number).await?;
        if seen.draft && seen.state == RemoteState::Open {
            let delivered =
                self.delivery.received.as_ref().is_some_and(|received| received.head == seen.head);
            if !delivered {
                // Its checks are other ones.
                let why_not = Some("it has another commit than was delivered".to_owned());
                return Ok(vec![EventBody::PullRequestReadied { why_not }]);
            }
            remote.mark_ready(&seen).await?;
        }
        Ok(vec![EventBody::PullRequestReadied { why_not: None }])
    }

    /// The body as this machine shows it.
    async fn body(&self, received: &Received) -> Result<String, UserError> {
        let changed_files = self.changed_files(received).await?;
        let commands: Vec<CommandFact> = self
            .commands
            .iter()
            .map(|(command, exit_code)| CommandFact { command: command.clone(), exit_code: *exit_code })
            .collect();
        let body = compose_body(&BodyFacts {
            summary: &self.finished.summary,
            criteria: &self.task.criteria,
            evidence: &self.evidence,
            self_reviews: &self.self_reviews,
            commands: &commands,
            changed_files: &changed_files,
            findings: &self.delivery.findings,
            recording: self.delivery.recording.as_ref(),
            video: self.delivery.video.as_ref(),
            settles: &self
                .task
                .issue
                .as_ref()
                .map(|issue| format!("Closes #{}", issue.number))
                .unwrap_or_default(),
            not_verified: &self.finished.not_verified,
            run: &self.run,
            model: &self.task.model,
            turns: self.turns,
            usage: self.usage,
            seconds: self.seconds,
            redactor: &self.shared.settings.delivery.redactor,
        });
        // Once more as a whole: what the pieces are together may be one as well.
        Ok(self.shared.settings.delivery.redactor.redact(&body).into_owned())
    }

    fn remote_body(&self, body: &str) -> String {
        let settings = &self.shared.settings.delivery;
        let app = settings.app_url.as_ref().map(|app| format!("{app}/review/{}", self.run));
        let DeliveryProgress { pictures, published, kept, .. } = &self.delivery;
        let pictures = Pictures { all: pictures, published, kept, app: app.as_deref() };
        for_remote(body, pictures, &settings.redactor, Remote::LONGEST_BODY)
    }

    async fn open(&self, received: &Received) -> Result<Vec<EventBody>, Failure> {
        let body = self.body(received).await?;
        let repository = self.repository()?;
        let redactor = &self.shared.settings.delivery.redactor;
        let (title, at) = (redactor.redact(&self.finished.title).into_owned(), self.shared.clock.now());
        let new = NewPullRequest {
            key: self.run.to_string(),
            title: title.clone(),
            body: body.clone(),
            branch: branch(&self.branch)?,
            base: branch(&self.task.base_branch)?,
            base_commit: self.task.base_commit.clone(),
            head: received.head.clone(),
            task: self.task.id.clone(),
            run: self.run.clone(),
            evidence: self.evidence.clone(),
        };
        if self.delivery.target == Some(DeliveryTarget::Local) {
            let opened =
                repository.open_pull_request(new, at).await.map_err(|error| trouble::ledger(&error))?;
            return Ok(vec![EventBody::PullRequestOpened { pull_request: opened.id, url: None }]);
        }
        let remote = self.remote().await?;
        let (branch, base): (BranchName, BranchName) = (new.branch.clone(), new.base.clone());
        // The branch is this run's alone: a pull request of it, in whatever state, is the one that was opened.
        let opened = match remote.find_pull_request(&branch, &base).await? {
            Some(found) => found,
            None => {
                let draft = self.shared.settings.delivery.draft;
                let (title, body) = (compose_title(&title), self.remote_body(&body));
                let wanted = NewRemotePullRequest { title, body, branch, base, draft };
                remote.create_pull_request(&wanted).await?
            }
        };
        let recorded = repository.record_remote_pull_request(new, opened.number, &opened.url, at).await;
        recorded.map_err(|error| trouble::ledger(&error))?;
        Ok(vec![EventBody::PullRequestOpened { pull_request: opened.number, url: Some(opened.url) }])
    }

    async fn describe(&self, number: PullRequestId, received: &Received) -> Result<Vec<EventBody>, Failure> {
        let body = self.body(received).await?;
        let described = vec![EventBody::PullRequestDescribed { head: received.head.clone() }];
        if self.delivery.target == Some(DeliveryTarget::GitHub) {
            let remote = self.remote().await?;
            if remote.pull_request(number).await?.state != RemoteState::Open {
                // People have decided meanwhile; the run learns of it when it rests.
                return Ok(described);
            }
            remote.update_body(number, &self.remote_body(&body)).await?;
        }
        let (head, base_commit) = (received.head.clone(), self.base(&received.head).await?);
        let revision = Revision { head, base_commit, body, evidence: self.evidence.clone() };
        match self.repository()?.revise(number, revision, self.shared.clock.now()).await {
            Ok(_) | Err(PullRequestError::Refused(_)) => Ok(described),
            Err(error) => Err(trouble::pull_request(&error).into()),
        }
    }

    /// Labels and reviewers are a courtesy: where the token may not, the pull request is there all the same.
    async fn route(&self, number: PullRequestId) -> Result<Vec<EventBody>, Failure> {
        let remote = self.remote().await?;
        let settings = &self.shared.settings.delivery;
        let done = |outcome: Result<(), GitHubError>, list: &[String]| match outcome {
            Ok(()) => Ok(list.to_vec()),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => {
                tracing::warn!(run = %self.run, %error, "labels or reviewers were not set");
                Ok(Vec::new())
            }
        };
        let mut labels = Vec::new();
        if !settings.labels.is_empty() {
            labels = done(remote.add_labels(number, &settings.labels).await, &settings.labels)?;
        }
        let mut reviewers = Vec::new();
        if !settings.reviewers.is_empty() {
            reviewers =
                done(remote.request_reviewers(number, &settings.reviewers).await, &settings.reviewers)?;
        }
        Ok(vec![EventBody::PullRequestRouted { labels, reviewers }])
    }

    /// Links the pull request under its issue. It is a courtesy: where the token may not, the work is there all the same.
    async fn tell_issue(&self, number: PullRequestId, issue: u64) -> Result<Vec<EventBody>, Failure> {
        let remote = self.remote().await?;
        let mark = mark(&self.run, "issue");
        let there = async {
            let login = remote.login().await?;
            let conversation = remote.conversation(PullRequestId(issue)).await?;
            if !conversation.iter().any(|one| mark_in(&login, &one.author, &one.words) == Some(&*mark)) {
                let words = marked(&format!("#{number} is ready for a review."), &self.run, "issue");
                remote.tell_issue(issue, &words).await?;
            }
            Ok::<_, GitHubError>(())
        };
        match there.await {
            Err(error) if error.may_pass() => Err(error.into()),
            outcome => {
                if let Err(error) = outcome {
                    tracing::warn!(run = %self.run, %error, "the issue was not told of the pull request");
                }
                Ok(vec![EventBody::IssueTold { number: issue }])
            }
        }
    }

    async fn tell(
        &self,
        number: PullRequestId,
        item: &FeedbackItem,
        answer: &FeedbackAnswer,
    ) -> Result<Vec<EventBody>, Failure> {
        let told = Ok(vec![EventBody::FeedbackTold { name: item.name.clone() }]);
        let remote = self.remote().await?;
        // By it an answer that was given before a crash is found.
        let mark = mark(&self.run, &item.name);
        // What is escaped looks no more like the secret it is, so that is looked for first.
        let words = compose_answer(&self.shared.settings.delivery.redactor.redact(&answer.words));
        let words = marked(&words, &self.run, &item.name);
        match &item.source {
            FeedbackSource::Thread { comment, .. } => {
                let login = remote.login().await?;
                let threads = remote.review_threads(number).await?;
                let said = threads
                    .iter()
                    .filter(|thread| thread.comment == *comment)
                    .flat_map(|thread| &thread.said);
                if !said.into_iter().any(|one| mark_in(&login, &one.author, &one.words) == Some(&*mark)) {
                    remote.reply(number, *comment, &words).await?;
                }
                if answer.settled {
                    remote.resolve(number, *comment).await?;
                }
            }
            FeedbackSource::Review { review: 0, .. } => {}
            FeedbackSource::Comment { author, .. } | FeedbackSource::Review { author, .. } => {
                let login = remote.login().await?;
                let conversation = remote.conversation(number).await?;
                if !conversation.iter().any(|one| mark_in(&login, &one.author, &one.words) == Some(&*mark)) {
                    remote.comment(number, &format!("@{author} {words}")).await?;
                }
            }
            // It was given on this machine, and is answered here.
            FeedbackSource::Line { .. } => {}
            // Nobody waits for words: the new commits are the answer.
            FeedbackSource::Check { .. } | FeedbackSource::Conflict { .. } => {}
        }
        told
    }
}

/// Why an act was not carried out.
enum Failure {
    GitHub(GitHubError),
    Person(UserError),
}

impl Failure {
    fn words(self) -> String {
        match self {
            Self::GitHub(error) => error.to_string(),
            Self::Person(error) => error.message,
        }
    }
}

impl From<GitHubError> for Failure {
    fn from(error: GitHubError) -> Self {
        Self::GitHub(error)
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        Self::Person(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Pause(match failure {
            Failure::GitHub(error) => trouble::github(&error),
            Failure::Person(error) => error,
        })
    }
}
