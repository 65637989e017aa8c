//! The supervisor: takes tasks in, keeps a driver for every run that needs one, and finds runs again.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;

use nightshift_agent::{AgentSettings, CallPrice};
use nightshift_forge::github::{Remote, RemoteState};
use nightshift_forge::{
    BaseBranch, BranchName, Checkout, MergeError, PullRequestError, Repository, TransitionRefused, inspect,
};
use nightshift_model::{Price, Rates};
use nightshift_protocol::{
    Attempt, CommitId, DecideApproval, DoctorReport, EngineList, ErrorCode, Event, EventBody, Live, Merge,
    MergeReply, MessageDelivery, ModelList, OffsetDateTime, Prune, PruneReport, PullRequestId, QueueReason,
    RaiseLimits, RunId, RunState, RunSummary, SandboxId, SubmitReply, SubmitTask, SubmittedAttempt, Task,
    TaskId, Uncommitted, UserError,
};
use nightshift_store::{AppendError, RunFilter, RunStates};
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

use crate::admission::{self, Holder, Relief};
use crate::delivery;
use crate::doctor;
use crate::engine::Engines;
use crate::images::SetUpPhase;
use crate::models;
use crate::progress::{Readiness, RunProgress};
use crate::run::{Driver, Request, Wish};
use crate::shared::{Shared, SupervisorParts, SupervisorSettings};
use crate::trouble;

mod agents;
mod attempts;
mod checkpoints;
mod disk;
pub(crate) mod environments;
mod example;
mod limits;
mod resume;
mod reviews;
mod watch;

pub use watch::Webhook;

/// Wishes that wait for a run's driver at most.
const WISHES: usize = 16;

/// The longest description of a task, in characters.
const LONGEST_DESCRIPTION: usize = 50_000;

/// Runs the night.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
    drivers: Arc<Mutex<HashMap<RunId, DriverTask>>>,
    watch: Arc<watch::Watch>,
    /// What suspends idle sandboxes, and watches the disk.
    relief: Arc<Mutex<Option<AbortHandle>>>,
    /// Held while the other attempts at a task are given up.
    choosing: Arc<Mutex<()>>,
}

struct DriverTask {
    wishes: mpsc::Sender<Request>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Puts a supervisor together. `search_path` is where `doctor` looks for programs, as in `PATH`.
    pub fn new(parts: SupervisorParts, settings: SupervisorSettings, search_path: Option<OsString>) -> Self {
        Self {
            shared: Arc::new(Shared::new(parts, settings, search_path)),
            drivers: Arc::default(),
            watch: Arc::default(),
            relief: Arc::default(),
            choosing: Arc::default(),
        }
    }

    /// Takes up what an earlier owner left: continues its runs in their sandboxes and removes sandboxes that belong
    /// to no run.
    pub async fn resume(&self) -> Result<(), UserError> {
        let mut unfinished = self.unfinished().await?;
        let (relief, watch) = (self.clone().relieve(), self.clone().watch_disk());
        let relief = tokio::spawn(async move { tokio::join!(relief, watch) }).abort_handle();
        if let Some(before) = self.relief.lock().await.replace(relief) {
            before.abort();
        }
        // Nothing is driven yet, so what lies there was left by an earlier owner.
        let _nothing_left = tokio::fs::remove_dir_all(&self.shared.settings.scratch).await;
        let set_ups = self.resume_environments().await?;
        self.remove_orphans(&unfinished, &set_ups).await;
        // Runs with a sandbox use their room already; the others wait for what is left, the oldest first.
        unfinished.reverse();
        let (placed, waiting): (Vec<_>, Vec<_>) =
            unfinished.into_iter().partition(|run| run.sandbox.is_some());
        for run in placed.iter().chain(&waiting) {
            let rests = matches!(run.state, RunState::InReview { .. } | RunState::Paused { .. });
            if rests && run.sandbox.is_none() {
                continue;
            }
            if let Err(error) = self.take_up(&run.run).await {
                // One run that cannot be continued must not keep the others from going on.
                tracing::error!(run = %run.run, %error, "the run was not taken up");
            }
        }
        Ok(())
    }

    /// Sees to it that memory is given back while others wait for room, or memory is scarce: rather a sandbox on the disk
    /// than one that the kernel kills.
    async fn relieve(self) {
        loop {
            self.shared.rooms.rest(admission::LOOK_EVERY).await;
            if let Some(relief) = self.shared.rooms.relief() {
                self.give_back(relief).await;
            }
        }
    }

    /// Lets the spare clone go, or suspends the first sandbox that can be; whether that was enough is seen at the next look.
    async fn give_back(&self, relief: Relief) {
        if relief.spare_first && self.shared.driver.drop_spare().await {
            tracing::info!(why = ?relief.why, "the spare clone gave its memory back");
            return;
        }
        for holder in relief.idle {
            let Holder::Run(run) = holder else { continue };
            match self.wish(&run, Wish::Suspend(relief.why)).await {
                Ok(()) => return,
                // It has just begun to work again.
                Err(error) => tracing::debug!(%run, %error, "an idle sandbox was not suspended"),
            }
        }
    }

    async fn unfinished(&self) -> Result<Vec<RunSummary>, UserError> {
        self.all_runs(&RunFilter { states: RunStates::Unfinished, ..RunFilter::default() }).await
    }

    /// Every run that fits, the newest submitted first.
    async fn all_runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, UserError> {
        let (mut runs, mut cursor) = (Vec::new(), None);
        loop {
            let page = self
                .shared
                .store
                .runs(filter, cursor, 200)
                .await
                .map_err(|error| trouble::reading(&error))?;
            runs.extend(page.runs);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(runs),
            }
        }
    }

    async fn remove_orphans(&self, unfinished: &[RunSummary], set_ups: &[SandboxId]) {
        for sandbox in self.shared.driver.list().await {
            let of_a_run = unfinished.iter().any(|run| run.sandbox.as_ref() == Some(&sandbox));
            if of_a_run || set_ups.contains(&sandbox) {
                continue;
            }
            tracing::info!(%sandbox, "removing a sandbox that belongs to no run");
            if let Ok(Some(machine)) = self.shared.driver.find(&sandbox).await
                && let Err(error) = machine.stop().await
            {
                tracing::warn!(%sandbox, %error, "it could not be removed");
            }
        }
    }

    async fn take_up(&self, run: &RunId) -> Result<(), UserError> {
        let progress = self.progress(run).await?;
        let mut resumed = vec![EventBody::OwnerResumed { found: found(&progress) }];
        if progress.taken_over && !self.shared.is_leased(run) {
            // Whoever had mouse and keyboard had them from the owner that is gone.
            let summary =
                "A person had mouse and keyboard until Nightshift was restarted. The screen, and files, may \
                           have changed: look before you act."
                    .to_owned();
            resumed.push(EventBody::HandedBack { summary, seconds: 0, screen: None });
        }
        match self.shared.store.append(run, self.shared.clock.now(), &resumed).await {
            // The run's driver waits for room on the disk by itself.
            Ok(_) | Err(AppendError::DiskFull(_)) => {}
            Err(error) => return Err(trouble::appending(&error)),
        }
        self.wishes_of(run).await.map(drop)
    }

    /// Removes images and templates that nobody needs, or only says which those are.
    pub async fn prune(&self, wish: Prune) -> Result<PruneReport, UserError> {
        let this = self.clone();
        to_its_end(async move {
            let now = this.shared.clock.now();
            this.shared.templates.prune(0, wish.dry_run, now).await
        })
        .await
    }

    /// Stops driving; sandboxes of runs go on and are taken up by the next owner, lent ones are closed.
    pub async fn rest(&self) {
        self.watch.end().await;
        self.close_loans().await;
        for (_, driver) in self.drivers.lock().await.drain() {
            driver.task.abort();
        }
        if let Some(relief) = self.relief.lock().await.take() {
            relief.abort();
        }
        self.shared.stop_set_ups();
        self.shared.store.close().await;
    }

    /// Takes a task in. When it returns the run is in the history and will be worked on; when the caller stops
    /// waiting it is taken in all the same.
    pub async fn submit(&self, request: SubmitTask) -> Result<SubmitReply, UserError> {
        let this = self.clone();
        to_its_end(async move { this.take_in(request).await }).await
    }

    async fn take_in(&self, request: SubmitTask) -> Result<SubmitReply, UserError> {
        let description = request.description.trim().to_owned();
        check_description(&description)?;
        attempts::check(request.attempts, request.issue.is_some())?;
        let clean = |text: &str| self.shared.settings.delivery.redactor.redact_certain(text).into_owned();
        let description = clean(&description);
        let given: Vec<String> = request.criteria.iter().map(|criterion| clean(criterion)).collect();
        let criteria = crate::criteria::of(&given, &description)?;
        let configured = self.shared.settings.delivery.self_review_rounds;
        let self_review_rounds = self_review_rounds(request.self_review_rounds, &criteria, configured)?;
        let limits = self.limits(request.limits)?;
        let engine = Engines::of(&self.shared).choose(request.engine, request.model.as_deref())?;
        let model = request.model.unwrap_or_else(|| self.shared.settings.default_model.clone());
        if let Some(free) =
            doctor::free_mib(&self.shared.settings.data).filter(|free| *free < doctor::LEAST_FREE_MIB)
        {
            return Err(doctor::too_little_space(free));
        }
        let source = self
            .shared
            .forge
            .source(&request.repository)
            .map_err(|error| trouble::sourcing(&request.repository, &error))?;
        if let Some(remote) = self.shared.forge.remote(&source) {
            remote.authorize_git().await.map_err(|error| trouble::github(&error))?;
        }
        let base = request.base_branch.as_deref().map_or(BaseBranch::Current, BaseBranch::Named);
        let checkout =
            inspect(&self.shared.git, &source, base).await.map_err(|error| trouble::inspecting(&error))?;
        if request.uncommitted == Uncommitted::Refuse && checkout.is_dirty() {
            return Err(uncommitted(&checkout));
        }
        // What is wrong here is told before a service is asked.
        let facts = models::check(&self.shared, &model).await?;
        let unpriced = engine.as_deref().and_then(|name| Engines::of(&self.shared).unpriced(name, &model));
        if let Some(refused) = unpriced {
            return Err(refused);
        }
        let note = self.check_money(request.limits, limits, &model)?;
        let repository = self.shared.forge.repository(&checkout.source);
        repository.import(&checkout).await.map_err(|error| trouble::importing(&error))?;

        let now = self.shared.clock.now();
        let task = Task {
            id: TaskId::new(self.shared.entropy.as_ref()),
            description,
            criteria,
            repository: checkout.source.to_string(),
            base_branch: checkout.branch.to_string(),
            base_commit: checkout.commit.clone(),
            model,
            limits,
            self_review_rounds,
            approval: self.shared.settings.approval.of(request.approval),
            engine,
            issue: request.issue,
            created_at: now,
        };
        let window = models::window(facts.max_input_tokens, self.shared.settings.context_tokens);
        let reply = self.begin(task, request.attempts, window, now).await?;
        Ok(SubmitReply { notes: note.into_iter().collect(), ..reply })
    }

    /// Begins the runs of a task: all of them, or none.
    async fn begin(
        &self,
        task: Task,
        count: u32,
        window: u64,
        now: OffsetDateTime,
    ) -> Result<SubmitReply, UserError> {
        let mut begun = Vec::new();
        for number in 1..=count {
            let run = RunId::new(self.shared.entropy.as_ref());
            let branch = BranchName::for_run(&task.title(), &run).to_string();
            let attempt = (count > 1).then_some(Attempt { number, of: count });
            let submitted = EventBody::RunSubmitted {
                task: task.clone(),
                branch: branch.clone(),
                attempt,
                context_tokens: Some(window),
            };
            let queued = RunState::Queued { reason: QueueReason::Submitted };
            begun.push((run, branch, [submitted, EventBody::StateChanged { state: queued }]));
        }
        let appends: Vec<(&RunId, &[EventBody])> =
            begun.iter().map(|(run, _, bodies)| (run, bodies.as_slice())).collect();
        self.shared.store.append_all(now, &appends).await.map_err(|error| trouble::appending(&error))?;
        let mut attempts = Vec::new();
        for (run, branch, _) in begun {
            // They are in the history, so they were taken in; one whose driver cannot be started now is taken up by the next owner.
            if let Err(error) = self.wishes_of(&run).await {
                tracing::error!(%run, %error, "the run was not begun");
            }
            attempts.push(SubmittedAttempt { run, branch });
        }
        let Some(SubmittedAttempt { run, branch }) = attempts.first().cloned() else {
            return Err(attempts::not_so_many(0));
        };
        Ok(SubmitReply { task: task.id, run, branch, attempts, notes: Vec::new() })
    }

    /// Writes to a run.
    pub async fn say(&self, run: &RunId, text: String, delivery: MessageDelivery) -> Result<(), UserError> {
        let wish = match delivery {
            MessageDelivery::Steer => Wish::Say(text),
            MessageDelivery::Interrupt => Wish::Interrupt(Some(text)),
            MessageDelivery::Queue => Wish::Queue(text),
        };
        self.wish(run, wish).await
    }

    /// Stops what a run does now; a tool's result is what it had printed.
    pub async fn interrupt(&self, run: &RunId) -> Result<(), UserError> {
        self.wish(run, Wish::Interrupt(None)).await
    }

    /// Decides about the command that a run waits with.
    pub async fn decide(&self, run: &RunId, decided: DecideApproval) -> Result<(), UserError> {
        self.wish(run, Wish::Decide(decided)).await
    }

    /// Changes what a run's task may use.
    pub async fn raise_limits(&self, run: &RunId, limits: RaiseLimits) -> Result<(), UserError> {
        self.wish(run, Wish::Raise(limits)).await
    }

    /// Stops a run for now.
    pub async fn pause(&self, run: &RunId) -> Result<(), UserError> {
        self.wish(run, Wish::Pause).await
    }

    /// Lets a paused run go on.
    pub async fn continue_run(&self, run: &RunId) -> Result<(), UserError> {
        self.wish(run, Wish::Continue).await
    }

    /// Gives a run up.
    pub async fn cancel(&self, run: &RunId) -> Result<(), UserError> {
        self.wish(run, Wish::Cancel).await
    }

    /// Merges a run's pull request, if its newest commit is the one that was reviewed. Done again after a crash in between,
    /// it finds the merge and records it.
    pub async fn merge(&self, run: &RunId, merge: Merge) -> Result<MergeReply, UserError> {
        let (this, run) = (self.clone(), run.clone());
        to_its_end(async move { this.merge_now(&run, merge).await }).await
    }

    async fn merge_now(&self, run: &RunId, merge: Merge) -> Result<MergeReply, UserError> {
        let (progress, repository, number) = self.pull_request_of(run).await?;
        let reviewed = merge.head.as_ref();
        if let Some(remote) = self.shared.forge.remote(repository.source()) {
            return self.merge_remotely(run, &progress, &repository, &remote, number, reviewed).await;
        }
        let merged = repository.merge(number, reviewed, &delivery::merger(), self.shared.clock.now()).await;
        let commit = match merged {
            Ok(merged) => merged.commit,
            // Merged before an owner could write it down: the run learns of it now.
            Err(MergeError::AlreadyMerged { commit }) if !progress.state.is_final() => commit,
            Err(error) => return Err(trouble::merging(&error)),
        };
        if !progress.state.is_final() {
            self.wish(run, Wish::Merge).await?;
        }
        let bare_repository = repository.bare_repository();
        Ok(MergeReply { commit, base: progress.task.base_branch, bare_repository })
    }

    /// Merges at the remote forge; one that is merged there already is only recorded.
    async fn merge_remotely(
        &self,
        run: &RunId,
        progress: &RunProgress,
        repository: &Repository,
        remote: &Remote,
        number: PullRequestId,
        reviewed: Option<&CommitId>,
    ) -> Result<MergeReply, UserError> {
        let failed = |error| trouble::github(&error);
        let head = progress.delivery.received.as_ref().map(|received| received.head.clone());
        let head = head.unwrap_or_else(|| progress.task.base_commit.clone());
        let seen = remote.pull_request(number).await.map_err(failed)?;
        let commit = match &seen.state {
            RemoteState::Merged { commit } => commit.clone().unwrap_or(head),
            RemoteState::Open | RemoteState::Closed => {
                if reviewed.is_some_and(|reviewed| *reviewed != head) {
                    return Err(trouble::merging(&MergeError::Changed { newest: head }));
                }
                // A draft cannot be merged, and whoever merges has found it ready.
                if seen.draft {
                    remote.mark_ready(&seen).await.map_err(failed)?;
                }
                remote.merge(number, &head).await.map_err(failed)?
            }
        };
        self.record_remote_merge(run, progress, repository, number, &commit).await?;
        let bare_repository = repository.bare_repository();
        Ok(MergeReply { commit, base: progress.task.base_branch.clone(), bare_repository })
    }

    /// Writes down that a pull request is merged at its remote forge.
    async fn record_remote_merge(
        &self,
        run: &RunId,
        progress: &RunProgress,
        repository: &Repository,
        number: PullRequestId,
        commit: &CommitId,
    ) -> Result<(), UserError> {
        let by = repository.source().to_string();
        match repository.merged_remotely(number, commit.clone(), &by, self.shared.clock.now()).await {
            Ok(_) | Err(PullRequestError::Refused(TransitionRefused::AlreadyMerged { .. })) => {}
            Err(error) => return Err(trouble::pull_request(&error)),
        }
        if progress.state.is_final() { Ok(()) } else { self.wish(run, Wish::Merge).await }
    }

    /// Closes a run's pull request without merging; its branch is kept.
    pub async fn close(&self, run: &RunId) -> Result<(), UserError> {
        let (this, run) = (self.clone(), run.clone());
        to_its_end(async move { this.close_now(&run).await }).await
    }

    async fn close_now(&self, run: &RunId) -> Result<(), UserError> {
        let (progress, repository, number) = self.pull_request_of(run).await?;
        if let Some(remote) = self.shared.forge.remote(repository.source()) {
            remote.close(number).await.map_err(|error| trouble::github(&error))?;
        }
        match repository.close(number, self.shared.clock.now()).await {
            Ok(_) => {}
            // Closed before an owner could write it down: the run learns of it now.
            Err(PullRequestError::Refused(TransitionRefused::Closed)) if !progress.state.is_final() => {}
            Err(error) => return Err(trouble::pull_request(&error)),
        }
        if progress.state.is_final() { Ok(()) } else { self.wish(run, Wish::Close).await }
    }

    async fn pull_request_of(
        &self,
        run: &RunId,
    ) -> Result<(RunProgress, Repository, PullRequestId), UserError> {
        let events = self.shared.store.replay(run).await.map_err(|error| trouble::replaying(&error))?;
        let progress = self.fold(&events)?;
        let Some(number) = progress.delivery.pull_request else {
            return Err(UserError::new(
                ErrorCode::Conflict,
                format!("{run} has no pull request yet"),
                format!("It is {}; `nightshift watch {run}` follows it.", progress.state.words()),
            ));
        };
        let repository = delivery::repository_of(&self.shared.forge, &progress.task.repository)?;
        Ok((progress, repository, number))
    }

    /// A run as its events tell it, for those who show it.
    pub async fn progress(&self, run: &RunId) -> Result<RunProgress, UserError> {
        let events = self.shared.store.replay(run).await.map_err(|error| trouble::replaying(&error))?;
        self.fold(&events)
    }

    /// What passes in runs, from now on.
    pub fn live(&self) -> broadcast::Receiver<Live> {
        self.shared.live.subscribe()
    }

    /// Looks whether this host can run sandboxes.
    pub async fn doctor(&self) -> DoctorReport {
        doctor::examine(&self.shared, self.shared.search_path.as_deref()).await
    }

    /// Lists the models of all providers.
    pub async fn models(&self) -> Result<ModelList, UserError> {
        models::list(&self.shared).await
    }

    /// Lists the agents that may work on tasks, with what stands in the way of those that cannot now.
    pub fn engines(&self) -> EngineList {
        Engines::of(&self.shared).list()
    }

    /// Asks a model, or the default model, one small thing, and says what works with it.
    pub async fn try_model(&self, model: Option<String>) -> DoctorReport {
        let model = model.as_deref().unwrap_or(&self.shared.settings.default_model);
        models::examine(&self.shared, model).await
    }

    /// Makes image and template if they are missing, and returns the template's key.
    ///
    /// It goes on when the caller stops waiting: minutes of work are not thrown away because a terminal was closed.
    pub async fn prepare_template(&self) -> Result<String, UserError> {
        let templates = Arc::clone(&self.shared.templates);
        let told = |phase: SetUpPhase| {
            tracing::info!(what = phase.what, phase = phase.phase, "{}/{}", phase.number, phase.of);
        };
        let made = to_its_end(async move { templates.ensure(&told).await }).await?;
        Ok(made.key.to_string())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) async fn wish(&self, run: &RunId, wish: Wish) -> Result<(), UserError> {
        let wishes = self.wishes_of(run).await?;
        let (answer, answered) = oneshot::channel();
        let gone = || UserError::new(ErrorCode::Conflict, format!("{run} is just ending"), "Try again.");
        wishes.send(Request { wish, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// The wishes of a run's driver, which is started if there is none.
    async fn wishes_of(&self, run: &RunId) -> Result<mpsc::Sender<Request>, UserError> {
        let mut drivers = self.drivers.lock().await;
        drivers.retain(|_, driver| !driver.task.is_finished());
        if let Some(driver) = drivers.get(run) {
            return Ok(driver.wishes.clone());
        }
        let events = self.shared.store.replay(run).await.map_err(|error| trouble::replaying(&error))?;
        let progress = self.fold(&events)?;
        let (wishes, requests) = mpsc::channel(WISHES);
        let task = tokio::spawn(Driver::new(Arc::clone(&self.shared), progress, requests).drive());
        drivers.insert(run.clone(), DriverTask { wishes: wishes.clone(), task });
        Ok(wishes)
    }

    /// What an agent has to know: what a call of its task's model costs at most, and how much its window holds. Histories of
    /// older versions do not tell that: the setting counts.
    fn agent_settings(&self, first: &Event) -> AgentSettings {
        let (price, window) = match &first.body {
            EventBody::RunSubmitted { task, context_tokens, .. } => {
                (self.shared.model.price(&task.model), *context_tokens)
            }
            _ => (None, None),
        };
        let settings = AgentSettings { price: price.map(dearest), ..AgentSettings::default() };
        match window.or(self.shared.settings.context_tokens) {
            Some(window) => settings.in_window(window),
            None => settings,
        }
    }

    fn fold(&self, events: &[Event]) -> Result<RunProgress, UserError> {
        let Some((first, rest)) = events.split_first() else {
            return Err(UserError::new(
                ErrorCode::NotFound,
                "there is no such run",
                "`nightshift tasks --all` lists them.",
            ));
        };
        let mut progress = RunProgress::begin(first, self.agent_settings(first))
            .map_err(|error| trouble::internal("reading the history", &error))?;
        for event in rest {
            progress.apply(event);
        }
        Ok(progress)
    }
}

/// The most that a token may cost by a price.
pub(crate) fn dearest(price: Price) -> CallPrice {
    let long = price.long.map_or(price.rates, |long| long.rates);
    let of = |rates: Rates| rates.input.max(rates.cache_write).max(rates.cache_read);
    CallPrice { input: of(price.rates).max(of(long)), output: price.rates.output.max(long.output) }
}

/// Carries something out also when the one who asked for it goes away in the middle.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, UserError>> + Send + 'static,
) -> Result<T, UserError> {
    tokio::spawn(work).await.map_err(|error| trouble::internal("a task of the owner ended", &error))?
}

fn check_description(description: &str) -> Result<(), UserError> {
    let refuse = |message: &str, hint: &str| Err(UserError::new(ErrorCode::InvalidRequest, message, hint));
    if description.is_empty() {
        return refuse("the task has no description", "Say in a sentence or more what is to be done.");
    }
    if description.chars().count() > LONGEST_DESCRIPTION {
        return refuse(
            "the description has more than 50,000 characters",
            "Put long material into a file of the repository and name it.",
        );
    }
    Ok(())
}

/// Self-reviews of one delivery at most.
pub const MOST_SELF_REVIEWS: u32 = 5;

/// How often a critic may look at the work: as often as was asked for, else as configured where there are criteria.
fn self_review_rounds(asked: Option<u32>, criteria: &[String], configured: u32) -> Result<u32, UserError> {
    match asked {
        Some(rounds) if rounds > MOST_SELF_REVIEWS => Err(UserError::new(
            ErrorCode::InvalidRequest,
            format!("{rounds} self-reviews are more than the {MOST_SELF_REVIEWS} that are taken"),
            "Two are the default; 0 is none.",
        )),
        Some(rounds) => Ok(rounds),
        None if criteria.is_empty() => Ok(0),
        None => Ok(configured.min(MOST_SELF_REVIEWS)),
    }
}

fn uncommitted(checkout: &Checkout) -> UserError {
    let count = checkout.uncommitted;
    let changes =
        if count == 1 { "1 change that is".to_owned() } else { format!("{count} changes that are") };
    UserError::new(
        ErrorCode::Conflict,
        format!("{} has {changes} not committed, and the agent would not see them", checkout.source),
        "Commit or stash them, or start from the last commit with --leave-out-uncommitted. Nothing was changed.",
    )
}

/// What a new owner finds of a run, in one sentence.
fn found(progress: &RunProgress) -> String {
    match (&progress.open_step, progress.open_turn, &progress.sandbox) {
        (Some(open), ..) => format!("step {} was under way; it is looked at, not repeated", open.step),
        (None, Some(turn), _) => format!("model call {turn} was under way; it is asked again"),
        (None, None, Some(sandbox)) if matches!(sandbox.readiness, Readiness::Suspended(_)) => {
            "its sandbox is suspended to disk".to_owned()
        }
        (None, None, Some(_)) => "the run goes on in its sandbox".to_owned(),
        (None, None, None) => "the run goes on".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_endless_description_is_refused() {
        assert_eq!(check_description("").unwrap_err().code, ErrorCode::InvalidRequest);
        assert_eq!(check_description(&"x".repeat(50_001)).unwrap_err().code, ErrorCode::InvalidRequest);
        assert_eq!(check_description("Fix it"), Ok(()));
    }

    #[test]
    fn a_critic_looks_where_there_are_criteria_or_where_it_is_asked_for() {
        let some = vec!["It greets.".to_owned()];
        assert_eq!(self_review_rounds(None, &some, 2), Ok(2));
        assert_eq!(self_review_rounds(None, &[], 2), Ok(0));
        assert_eq!(self_review_rounds(Some(1), &[], 2), Ok(1));
        assert_eq!(self_review_rounds(Some(0), &some, 2), Ok(0));
        assert_eq!(self_review_rounds(None, &some, 0), Ok(0));
        assert_eq!(self_review_rounds(None, &some, 99), Ok(MOST_SELF_REVIEWS));
        assert_eq!(self_review_rounds(Some(6), &some, 2).unwrap_err().code, ErrorCode::InvalidRequest);
    }
}
