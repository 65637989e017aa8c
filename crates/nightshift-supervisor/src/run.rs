//! One run: one task of this process owns all that is done in it.
//!
//! It asks [`next`] what to do, writes the intention down, acts, writes the outcome down, and asks again. Requests
//! of people are taken between and during actions; a pause or a cancellation ends the waiting for an action, and
//! what the action did is found out when the run goes on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nightshift_protocol::{
    CheckpointId, DecideApproval, ErrorCode, EventBody, Image, OffsetDateTime, PauseReason, PreparingPhase,
    RaiseLimits, RunState, SandboxId, StepId, SuspendReason, ToolCall, UserError,
};
use nightshift_sandbox::Expendable;
use nightshift_store::AppendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::acts::{Acts, Trouble};
use crate::admission::{Holder, Room, Use};
use crate::delivery::news::{News, Said};
use crate::progress::{Action, Finished, Intention, Readiness, RunProgress, Sandbox, next};

use self::refusals::Wished;
use self::room::Shortage;
use self::subagents::Beside;
use self::waiting::Waited;
use crate::repository::Placement;
use crate::shared::Shared;
use crate::tools::{self, Interrupter, StepEnd};
use crate::transition::{Stage, Trigger, transition};
use crate::trouble;

mod checkpoints;
mod deliveries;
mod engine;
mod people;
mod redaction;
mod refusals;
mod reviews;
mod room;
mod self_review;
mod subagents;
mod waiting;
mod writing;

/// How often the channel or the screen may be cut in a row before the run pauses.
const CUTS: u32 = 3;

/// How long the sandbox may take to give out a file that is to be edited.
const FILES_WITHIN: Duration = Duration::from_secs(30);

/// How long a run waits for a person before its sandbox gives its memory back.
const RESTS_MINUTES: u32 = 10;

/// How long a run that rests is kept in memory.
const IDLE: Duration = Duration::from_secs(5);

/// What a person asks of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Say(String),
    Queue(String),
    Interrupt(Option<String>),
    Raise(RaiseLimits),
    Pause,
    Continue,
    Cancel,
    Merge,
    Close,
    /// Others said something about the pull request.
    Feedback(News),
    /// A person comments on a line, and sends it later.
    Comment(Said),
    /// A comment that was not sent is taken back.
    Withdraw(String),
    /// A person finds the work good.
    Approve(String),
    Checkpoint,
    Suspend(SuspendReason),
    /// A person wants the run to go back.
    GoBack {
        checkpoint: CheckpointId,
        /// Whether what it is at now is given up.
        discard: bool,
    },
    RemoveCheckpoint(CheckpointId),
    /// A person decides about the command that the run waits with.
    Decide(DecideApproval),
    /// A person wants mouse and keyboard; the picture is the screen's at that moment.
    TakeOver(Option<Image>),
    /// A person gives them back.
    HandBack {
        summary: String,
        seconds: u64,
        screen: Option<Image>,
    },
}

/// A wish and where its answer goes.
pub(crate) struct Request {
    pub(crate) wish: Wish,
    pub(crate) answer: oneshot::Sender<Result<(), UserError>>,
}

/// Whether what is being done goes on after a wish was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoesOn,
    Interrupted,
}

/// What an action leads to: events for the history.
type Effect = Pin<Box<dyn Future<Output = Result<Vec<EventBody>, Trouble>> + Send>>;

/// Drives one run.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    progress: RunProgress,
    acts: Arc<Acts>,
    requests: mpsc::Receiver<Request>,
    room: Option<Room>,
    cuts: u32,
    /// Whether its sandbox was said to rest.
    rests: bool,
    /// The way to the step under way.
    interrupter: Option<Interrupter>,
    /// What subagents do.
    beside: Beside,
    /// What happened and is not written yet: it is written with the next intention, before anything else is done, so
    /// that a turn costs few waits for the disk.
    unwritten: Vec<EventBody>,
    /// When the first of it happened.
    unwritten_since: OffsetDateTime,
    /// How long the computer had slept when that was looked at last.
    slept: Duration,
    /// The disk that was too full for it.
    short_of: Shortage,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, progress: RunProgress, requests: mpsc::Receiver<Request>) -> Self {
        let acts = Arc::new(Acts::new(Arc::clone(&shared), &progress));
        let (unwritten_since, slept) = (shared.clock.now(), shared.clock.slept());
        Self {
            shared,
            progress,
            acts,
            requests,
            room: None,
            cuts: 0,
            rests: false,
            interrupter: None,
            beside: Beside::default(),
            unwritten: Vec::new(),
            unwritten_since,
            slept,
            short_of: Shortage::default(),
        }
    }

    /// Drives the run until there is nothing left that could happen in it, or the process ends.
    pub(crate) async fn drive(mut self) {
        if let Err(error) = self.drive_to_rest().await {
            // The history could not be written for a reason that does not pass: nothing more may be done.
            tracing::error!(run = %self.progress.run, %error, "the run is left as it is");
        }
    }

    async fn drive_to_rest(&mut self) -> Result<(), AppendError> {
        self.take_room_again().await;
        self.settle_at_worst().await?;
        loop {
            let action = next(&self.progress);
            if self.let_go_beside(&action) {
                // What came of it may lead elsewhere.
                continue;
            }
            if !writes_first(&action) {
                self.write_down().await?;
            }
            match action {
                Action::AwaitSubagents => {
                    if !self.await_subagents().await? {
                        return Ok(());
                    }
                }
                Action::Rest => {
                    self.room = None;
                    self.leave_line();
                    // What rests is kept for a moment, and then folded again when somebody asks.
                    match tokio::time::timeout(IDLE, self.requests.recv()).await {
                        Ok(Some(request)) => {
                            self.take(request).await?;
                        }
                        Ok(None) | Err(_) => return Ok(()),
                    }
                }
                Action::AwaitPerson if self.waits_for_room_on_disk() => {
                    if !self.await_room_on_disk().await? {
                        return Ok(());
                    }
                }
                Action::AwaitPerson => {
                    match self.wait_for_person(60 * Duration::from_secs(1) * RESTS_MINUTES).await? {
                        Waited::For(request) => {
                            self.take(request).await?;
                        }
                        Waited::Alone => return Ok(()),
                        Waited::InVain if self.progress.may_be_suspended() => {
                            self.intend_suspension(SuspendReason::Rested { minutes: RESTS_MINUTES }).await?;
                        }
                        Waited::InVain | Waited::Meanwhile => {}
                    }
                }
                action => {
                    self.set_use(Use::Busy).await;
                    self.carry_out(action).await?;
                }
            }
        }
    }

    /// Says what its sandbox is at, to those who give room and to the kernel.
    async fn set_use(&mut self, usage: Use) {
        if let Some(room) = &self.room {
            room.set(usage);
        }
        let rests = usage == Use::Idle;
        if self.rests == rests {
            return;
        }
        self.rests = rests;
        if let Some(sandbox) = &self.progress.sandbox {
            let expendable = if rests { Expendable::Rests } else { Expendable::Works };
            self.acts.set_expendable(&sandbox.id, expendable).await;
        }
    }

    /// Leaves the line of those that wait for room, until it asks again: who waits for a person holds nobody up.
    fn leave_line(&self) {
        self.shared.rooms.leave(&self.holder());
    }

    fn holder(&self) -> Holder {
        Holder::Run(self.progress.run.clone())
    }

    /// Whether there is a virtual machine for it.
    fn uses_memory(&self) -> bool {
        let suspended = |sandbox: &Sandbox| matches!(sandbox.readiness, Readiness::Suspended(_));
        self.progress.sandbox.as_ref().is_some_and(|sandbox| !suspended(sandbox))
    }

    /// A run that has a sandbox from an earlier owner uses its room already.
    async fn take_room_again(&mut self) {
        if self.uses_memory() && !matches!(self.progress.state, RunState::Queued { .. }) {
            self.room = Some(self.shared.rooms.take_again(&self.holder()));
        }
    }

    async fn carry_out(&mut self, action: Action) -> Result<(), AppendError> {
        let retried = action.clone();
        let Some(effect) = self.begin(action).await? else { return Ok(()) };
        match self.wait_for(effect).await? {
            None => {}
            // It only read, and reads again when its turn comes.
            Some(Ok(_)) if self.is_overtaken(&retried) => {}
            Some(Ok(bodies)) => {
                self.cuts = 0;
                self.note(bodies);
            }
            Some(Err(trouble)) => self.suffer(trouble, &retried).await?,
        }
        Ok(())
    }

    /// Waits for an effect and meanwhile takes wishes; `None` when a wish interrupted it.
    ///
    /// The effect goes on in a task of its own while the driver writes down what happens meanwhile, and waits for the disk.
    async fn wait_for(
        &mut self,
        effect: Effect,
    ) -> Result<Option<Result<Vec<EventBody>, Trouble>>, AppendError> {
        let mut task = JoinSet::new();
        task.spawn(effect);
        let asides = self.acts.asides();
        let mut asides = asides.lock().await;
        let acts = Arc::clone(&self.acts);
        let mut stalled = Box::pin(acts.stalled(self.sandbox_at_work()));
        self.begin_beside().await?;
        let outcome = loop {
            tokio::select! {
                biased;
                Some(aside) = asides.recv() => self.take_aside(aside).await?,
                ended = self.beside.ended() => {
                    if self.take_beside(ended).await? == Flow::Interrupted {
                        break None;
                    }
                }
                Some(ended) = task.join_next() => {
                    while let Ok(aside) = asides.try_recv() {
                        self.take_aside(aside).await?;
                    }
                    break Some(ended.unwrap_or_else(|error| {
                        Err(Trouble::Pause(trouble::internal("something that the run did ended", &error)))
                    }));
                }
                Some(request) = self.requests.recv() => {
                    self.before(&request.wish, &mut asides).await?;
                    if self.take(request).await? == Flow::Interrupted {
                        break None;
                    }
                    self.begin_beside().await?;
                }
                stall = &mut stalled => {
                    let error = trouble::stalled(&stall);
                    self.short_of = Shortage::of(stall);
                    break Some(Err(Trouble::Pause(error)));
                }
            }
        };
        // Nothing of it is done any more when something else begins.
        task.shutdown().await;
        self.settle_asides(&mut asides).await?;
        Ok(outcome)
    }

    /// Writes an action's intention down and returns what is to be done, or does what needs no waiting.
    async fn begin(&mut self, action: Action) -> Result<Option<Effect>, AppendError> {
        let acts = Arc::clone(&self.acts);
        Ok(match action {
            Action::Rest | Action::AwaitPerson | Action::AwaitSubagents => None,
            Action::BeginSubagent { step, call, spawn } => Some(self.begin_subagent(step, call, spawn)),
            Action::EndSubagent { number, ended } => self.end_subagent(number, ended),
            Action::BringBase(base) => {
                let (task, _, sandbox) = self.task_and_sandbox();
                Some(Box::pin(async move { acts.bring_base(sandbox.as_ref(), &task, base).await }))
            }
            Action::ResumeWork => {
                self.step_to(Trigger::Begin).await?;
                None
            }
            action @ (Action::BeginCheckpoint(_)
            | Action::SaveCheckpoint { .. }
            | Action::RemoveCheckpoint(_)
            | Action::Rewind(_)
            | Action::RestoreSandbox { .. }) => return self.begin_checkpoint(action).await,
            Action::Admit(stage) => {
                self.admit(stage).await?;
                None
            }
            Action::RequestSandbox => {
                let sandbox = SandboxId::new(self.shared.entropy.as_ref());
                self.append(vec![EventBody::SandboxRequested { sandbox }]).await?;
                None
            }
            Action::MakeSandbox(sandbox) => {
                let template = match acts.template_is_there().await {
                    Ok(there) => there,
                    Err(error) => {
                        self.suffer(Trouble::Fail(error), &Action::MakeSandbox(sandbox)).await?;
                        return Ok(None);
                    }
                };
                if !template
                    && self.progress.state != (RunState::Preparing { phase: PreparingPhase::Template })
                {
                    self.step_to(Trigger::Prepare(PreparingPhase::Template)).await?;
                }
                Some(Box::pin(async move { acts.make_sandbox(sandbox).await }))
            }
            Action::ImportRepository => {
                if self.progress.state != (RunState::Preparing { phase: PreparingPhase::Repository }) {
                    self.step_to(Trigger::Prepare(PreparingPhase::Repository)).await?;
                }
                let (task, branch, sandbox) = self.task_and_sandbox();
                let placement = match self.progress.environment {
                    Some(_) => Placement::InEnvironment,
                    None => Placement::Anew,
                };
                // What was delivered already is where the work goes on.
                let delivered =
                    self.progress.delivery.received.as_ref().map(|received| received.head.clone());
                Some(Box::pin(async move {
                    acts.import(sandbox.as_ref(), &task, &branch, delivered, placement).await
                }))
            }
            Action::StartConversation => {
                let (task, branch, sandbox) = self.task_and_sandbox();
                let working = self.changed(Trigger::Begin);
                Some(Box::pin(async move {
                    let mut bodies = acts.start_conversation(sandbox.as_ref(), &task, &branch).await?;
                    bodies.extend(working);
                    Ok(bodies)
                }))
            }
            Action::AskModel { turn, intention } => {
                if intention == Intention::New {
                    self.append(vec![EventBody::TurnRequested { turn }]).await?;
                }
                if self.progress.is_engine_s_turn(turn) {
                    return Ok(Some(self.engine_turn(turn)));
                }
                let request = acts.turn_request(&self.progress, turn);
                Some(Box::pin(async move { acts.ask_model(turn, request).await }))
            }
            Action::Compact { turn } => {
                self.append(vec![EventBody::CompactionRequested { turn }]).await?;
                let request = acts.summary_request(&self.progress, turn);
                Some(Box::pin(async move { acts.compact(turn, request).await }))
            }
            Action::RunStep { step, call, request, intention } => {
                return self.begin_step(step, call, request, intention).await;
            }
            Action::AnswerStep { step, call, outcome, content } => {
                let sandbox = self.progress.sandbox.as_ref().map(|sandbox| sandbox.id.clone());
                let (_, never) = Interrupter::new(false);
                let bench = match self.acts.bench(sandbox.as_ref(), step, &self.progress, never).await {
                    Ok(bench) => bench,
                    Err(trouble) => {
                        let again = Action::AnswerStep { step, call, outcome, content };
                        self.suffer(trouble, &again).await?;
                        return Ok(None);
                    }
                };
                Some(Box::pin(async move {
                    let answer = StepEnd { outcome, content, ..StepEnd::done("") };
                    let answer = tools::confirm(&bench, &call, answer).await?;
                    let intended = EventBody::StepIntended { step, call: call.clone(), write: None };
                    Ok(vec![intended, finished(step, &call, answer, Duration::ZERO)])
                }))
            }
            Action::Ask { question, approval } => {
                self.step_to(Trigger::Ask { question, approval }).await?;
                None
            }
            Action::Pause(reason) => {
                self.step_to(Trigger::Pause(reason)).await?;
                None
            }
            Action::Fail(error) => {
                self.step_to(Trigger::Fail(error)).await?;
                None
            }
            Action::BeginSelfReview(round) => Some(self.begin_self_review(round)),
            Action::EndSelfReview(review) => Some(self.end_self_review(review)),
            Action::FinishWork(Finished { title, summary, not_verified, answers }) => {
                let mut bodies = self.answered(answers);
                bodies.push(EventBody::WorkFinished { title, summary, not_verified });
                bodies.extend(self.changed(Trigger::FinishWork));
                self.append(bodies).await?;
                None
            }
            Action::Deliver(action) => return self.begin_delivery(action).await,
            Action::StopSandbox(sandbox) => {
                let reason = match &self.progress.state {
                    RunState::InReview { .. } => "the work is delivered",
                    RunState::Cancelled => "the run was cancelled",
                    RunState::Failed { .. } => "the run failed",
                    _ => "the run is over",
                };
                Some(Box::pin(async move { acts.stop_sandbox(sandbox, reason).await }))
            }
        })
    }

    async fn begin_step(
        &mut self,
        step: StepId,
        call: ToolCall,
        request: nightshift_agent::ToolRequest,
        intention: Intention,
    ) -> Result<Option<Effect>, AppendError> {
        if let Some(mut end) = self.progress.answer_of_subagents(step, &request) {
            let mut bodies = vec![EventBody::StepIntended { step, call: call.clone(), write: None }];
            bodies.extend(std::mem::take(&mut end.notes));
            bodies.push(finished(step, &call, end, Duration::ZERO));
            self.append(bodies).await?;
            return Ok(None);
        }
        let again = Action::RunStep {
            step,
            call: call.clone(),
            request: request.clone(),
            intention: intention.clone(),
        };
        let sandbox = self.progress.sandbox.as_ref().map(|sandbox| sandbox.id.clone());
        let begun = self.progress.open_step_of(step).is_some_and(|open| open.interrupted);
        let (interrupter, interrupt) = Interrupter::new(begun);
        self.interrupter = Some(interrupter);
        let bench = match self.acts.bench(sandbox.as_ref(), step, &self.progress, interrupt).await {
            Ok(bench) => Arc::new(bench),
            Err(trouble) => {
                self.suffer(trouble, &again).await?;
                return Ok(None);
            }
        };
        let mut prepared = None;
        if intention == Intention::New {
            // Only reads of a file, which a guest that stopped answering must not make endless.
            let reading = tokio::time::timeout(FILES_WITHIN, tools::intended_write(&bench, &request));
            prepared = match reading.await {
                Ok(Ok(prepared)) => prepared,
                Ok(Err(trouble)) => {
                    self.suffer(trouble.into(), &again).await?;
                    return Ok(None);
                }
                Err(_) => {
                    let silent = "the sandbox did not answer when a file was read".to_owned();
                    self.suffer(Trouble::Cut(silent), &again).await?;
                    return Ok(None);
                }
            };
            let write = tools::write_of(prepared.as_ref());
            let intended = vec![EventBody::StepIntended { step, call: call.clone(), write }];
            if touches_nothing(&request) { self.note(intended) } else { self.append(intended).await? }
        }
        Ok(Some(Box::pin(async move {
            let began = Instant::now();
            let mut end = tools::perform(bench, step, request, prepared, intention).await?;
            let mut bodies = std::mem::take(&mut end.notes);
            bodies.push(finished(step, &call, end, began.elapsed()));
            Ok(bodies)
        })))
    }

    /// Waits for room, and until there are few enough reviews; meanwhile says why it waits.
    async fn admit(&mut self, stage: Stage) -> Result<(), AppendError> {
        if self.room.is_none() {
            let answer = match self.held_back().await {
                Some(reason) => Err(reason),
                None => self.shared.rooms.ask(&self.holder()),
            };
            match answer {
                Ok(room) => self.room = Some(room),
                Err(reason) => {
                    if self.progress.state != (RunState::Queued { reason: reason.clone() }) {
                        self.step_to(Trigger::Wait(reason)).await?;
                    }
                    tokio::select! {
                        () = self.shared.rooms.changed() => {}
                        Some(request) = self.requests.recv() => {
                            self.take(request).await?;
                        }
                    }
                    // What is to be done may be something else by now, and is this again if not.
                    return Ok(());
                }
            }
        }
        if stage != Stage::Unprepared
            && let Some(sandbox) = &self.progress.sandbox
        {
            self.acts.wake(&sandbox.id).await;
        }
        self.step_to(Trigger::Admit(stage)).await
    }

    /// Takes a person's wish and answers it.
    async fn take(&mut self, request: Request) -> Result<Flow, AppendError> {
        let (trigger, flow) = match request.wish {
            Wish::Say(text) => {
                let answer = self.hear(text).await?;
                let _asker_gone = request.answer.send(answer);
                return Ok(Flow::GoesOn);
            }
            Wish::Queue(text) => {
                let answer = self.keep_for_the_end(text).await?;
                let _asker_gone = request.answer.send(answer);
                return Ok(Flow::GoesOn);
            }
            Wish::Interrupt(text) => {
                let (answer, flow) = self.interrupt(text).await?;
                let _asker_gone = request.answer.send(answer);
                return Ok(flow);
            }
            Wish::Raise(limits) => {
                let answer = self.raise(limits).await?;
                let _asker_gone = request.answer.send(answer);
                return Ok(Flow::GoesOn);
            }
            Wish::Decide(decided) => {
                let answer = self.decide(decided).await?;
                let _asker_gone = request.answer.send(answer);
                return Ok(Flow::GoesOn);
            }
            Wish::TakeOver(screen) => {
                let answer = self.take_over(screen).await?;
                let _asker_gone = request.answer.send(answer);
                return Ok(Flow::GoesOn);
            }
            Wish::HandBack { summary, seconds, screen } => {
                if self.progress.taken_over {
                    self.append(vec![EventBody::HandedBack { summary, seconds, screen }]).await?;
                }
                let _asker_gone = request.answer.send(Ok(()));
                return Ok(Flow::GoesOn);
            }
            Wish::Pause => (Trigger::Pause(PauseReason::Person), Flow::Interrupted),
            Wish::Continue => (Trigger::Continue, Flow::GoesOn),
            Wish::Cancel => (Trigger::Cancel, Flow::Interrupted),
            wish
            @ (Wish::Checkpoint | Wish::Suspend(_) | Wish::GoBack { .. } | Wish::RemoveCheckpoint(_)) => {
                let (answer, flow) = self.take_checkpoint_wish(wish).await?;
                let _asker_gone = request.answer.send(answer);
                return Ok(flow);
            }
            wish @ (Wish::Feedback(_) | Wish::Comment(_) | Wish::Withdraw(_) | Wish::Approve(_)) => {
                let answer = self.take_review(wish).await?;
                let _asker_gone = request.answer.send(answer);
                return Ok(Flow::GoesOn);
            }
            Wish::Merge => (Trigger::Merge, Flow::Interrupted),
            Wish::Close => (Trigger::Close, Flow::Interrupted),
        };
        let opened = self.progress.delivery.pull_request;
        let wished = Wished::of(&trigger);
        let (answer, flow) = match transition(&self.progress.state, opened, trigger) {
            Ok(state) => {
                self.append(vec![EventBody::StateChanged { state }]).await?;
                (Ok(()), flow)
            }
            Err(denied) => {
                let refused = refusals::refused(&self.progress.run, &self.progress.state, wished, &denied);
                (Err(refused), Flow::GoesOn)
            }
        };
        let _asker_gone = request.answer.send(answer);
        Ok(flow)
    }

    /// Deals with an action that has no outcome.
    async fn suffer(&mut self, trouble: Trouble, action: &Action) -> Result<(), AppendError> {
        match trouble {
            Trouble::Cut(what) => {
                self.cuts += 1;
                tracing::warn!(run = %self.progress.run, what, cuts = self.cuts, ?action, "cut off from the sandbox");
                self.acts.detach().await;
                if self.cuts <= CUTS {
                    tokio::time::sleep(Duration::from_millis(200) * self.cuts).await;
                    return Ok(());
                }
                self.cuts = 0;
                let error = UserError::new(
                    ErrorCode::SandboxFailed,
                    format!("the sandbox cannot be reached: {what}"),
                    "`nightshift continue` tries again; `nightshift cancel` gives the run up.",
                );
                self.step_to(Trigger::Pause(PauseReason::Trouble { error })).await
            }
            Trouble::Pause(error) => self.step_to(Trigger::Pause(PauseReason::Trouble { error })).await,
            Trouble::Fail(error) => self.step_to(Trigger::Fail(error)).await,
            Trouble::SandboxLost { reason, .. } if let Some(refuge) = self.progress.checkpoints.refuge() => {
                self.go_back_after_loss(refuge, &reason).await
            }
            Trouble::SandboxLost { sandbox, reason } => {
                let error = UserError::new(
                    ErrorCode::SandboxFailed,
                    format!("the sandbox ended: {reason}"),
                    "Work that was not delivered is gone with it. Submit the task again; `nightshift doctor` looks for the cause.",
                );
                let mut bodies = vec![EventBody::SandboxStopped { sandbox, reason }];
                bodies.extend(self.changed(Trigger::Fail(error)));
                self.append(bodies).await
            }
        }
    }

    fn task_and_sandbox(&self) -> (nightshift_protocol::Task, String, Option<SandboxId>) {
        let sandbox = self.progress.sandbox.as_ref().map(|sandbox| sandbox.id.clone());
        (self.progress.task.clone(), self.progress.branch.clone(), sandbox)
    }

    /// The event of a change of state, or none where the change makes no sense (any more).
    fn changed(&self, trigger: Trigger) -> Option<EventBody> {
        match transition(&self.progress.state, self.progress.delivery.pull_request, trigger) {
            Ok(state) => Some(EventBody::StateChanged { state }),
            Err(denied) => {
                tracing::error!(run = %self.progress.run, %denied, "a change of state that makes no sense");
                None
            }
        }
    }

    async fn step_to(&mut self, trigger: Trigger) -> Result<(), AppendError> {
        let bodies = self.changed(trigger).into_iter().collect();
        self.append(bodies).await
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.leave_line();
    }
}

/// Whether an action begins by writing down what it intends, and with it what is not written yet.
fn writes_first(action: &Action) -> bool {
    match action {
        Action::AskModel { intention, .. } | Action::RunStep { intention, .. } => {
            *intention == Intention::New
        }
        Action::Compact { .. } => true,
        // It looks at the sandbox at most; its outcome is written with the next intention.
        Action::AnswerStep { .. } => true,
        Action::Admit(_)
        | Action::RequestSandbox
        | Action::MakeSandbox(_)
        | Action::ImportRepository
        | Action::StartConversation
        | Action::Ask { .. }
        | Action::Pause(_)
        | Action::Fail(_)
        | Action::BeginSelfReview(_)
        | Action::EndSelfReview(_)
        | Action::BeginSubagent { .. }
        | Action::EndSubagent { .. }
        | Action::AwaitSubagents
        | Action::FinishWork(_)
        | Action::Deliver(_)
        | Action::StopSandbox(_)
        | Action::BeginCheckpoint(_)
        | Action::SaveCheckpoint { .. }
        | Action::RemoveCheckpoint(_)
        | Action::Rewind(_)
        | Action::RestoreSandbox { .. }
        | Action::BringBase(_)
        | Action::ResumeWork
        | Action::AwaitPerson
        | Action::Rest => false,
    }
}

/// Whether a tool changes nothing but the run's own records, so that nothing is lost or done twice when its intention
/// is written together with its outcome.
fn touches_nothing(request: &nightshift_agent::ToolRequest) -> bool {
    use nightshift_agent::ToolRequest;
    matches!(request, ToolRequest::Plan(_) | ToolRequest::Evidence(_))
}

fn finished(step: StepId, call: &ToolCall, end: StepEnd, took: Duration) -> EventBody {
    EventBody::StepFinished {
        step,
        call: call.id.clone(),
        outcome: end.outcome,
        content: end.content,
        output: end.output,
        exit_code: end.exit_code,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        reconciled: end.reconciled,
    }
}
