//! Where a run stands, folded from its events, and the one decision of what to do next.
//!
//! A run that goes on after a crash takes the same road as one that never stopped: both fold their events and
//! ask [`next`]. Nothing about a run is remembered anywhere else.

use std::collections::VecDeque;

use nightshift_agent::{AgentEvent, AgentMachine, AgentSettings, Effect, SpawnRequest, ToolRequest};
use nightshift_protocol::{
    CheckpointCause, CheckpointId, CommitId, EnvironmentId, ErrorCode, Event, EventBody, Evidence,
    FeedbackAnswer, Image, IntendedWrite, OffsetDateTime, PauseReason, Plan, ResultPart, RunId, RunState,
    SandboxId, SelfReview, StepId, Task, ToolCall, ToolOutcome, Usage, UserError, is_mcp_answer,
};

use crate::delivery::{DeliveryAction, DeliveryProgress, next_in_delivery};
use crate::transition::Stage;

mod approvals;
mod checkpoints;
mod engine;
mod forks;
mod heard;
mod losses;
mod self_review;
pub(crate) mod subagents;

pub use approvals::Approvals;
pub use checkpoints::RunCheckpoints;
pub(crate) use checkpoints::road_to;
pub use engine::EngineProgress;
pub(crate) use forks::{Fork, Jobs};
pub(crate) use losses::{Refuge, sandbox_ended};
pub use self_review::SelfReviews;
pub(crate) use subagents::Ended;
pub use subagents::Subagents;

/// Pictures of the screen that are remembered for a recording.
const SCREENSHOTS: usize = 12;

/// A run, as its events tell it.
#[derive(Debug, Clone)]
pub struct RunProgress {
    /// Its id.
    pub run: RunId,
    /// What it attempts.
    pub task: Task,
    /// The branch its work is on.
    pub branch: String,
    /// Where it is.
    pub state: RunState,
    /// Its sandbox, from the moment it was asked for until it is gone.
    pub sandbox: Option<Sandbox>,
    /// The environment its sandbox starts from.
    pub environment: Option<EnvironmentId>,
    /// The commit checked out in the sandbox.
    pub imported: Option<CommitId>,
    /// The agent.
    pub agent: AgentMachine,
    /// Whether the conversation began.
    pub conversation_started: bool,
    /// The model call that was asked for and not answered.
    pub open_turn: Option<u32>,
    /// The step that was intended and has no outcome.
    pub open_step: Option<OpenStep>,
    /// Its checkpoints.
    pub checkpoints: RunCheckpoints,
    /// The agent's plan.
    pub plan: Plan,
    /// The evidence so far.
    pub evidence: Vec<Evidence>,
    /// The writes of files that are not undone, oldest first.
    pub writes: Vec<IntendedWrite>,
    /// The commands that ran to their end, for the pull request.
    pub commands: Vec<RanCommand>,
    /// What the agent said when it finished.
    pub finished: Option<Finished>,
    /// What people decided about its commands.
    pub approvals: Approvals,
    /// What critics found of the work.
    pub self_reviews: SelfReviews,
    /// The subagents its agent started.
    pub subagents: Subagents,
    /// The foreign agent that works on it, if one does.
    pub engine: EngineProgress,
    /// How far its delivery is.
    pub delivery: DeliveryProgress,
    /// The newest pictures of its screen, oldest first.
    pub screenshots: VecDeque<Image>,
    /// Model calls so far.
    pub turns: u32,
    /// Whether a person has mouse and keyboard: nothing is begun meanwhile.
    pub taken_over: bool,
    /// What it used.
    pub usage: Usage,
    /// The number of its newest event.
    pub last_seq: u64,
    last_at: OffsetDateTime,
    worked: time::Duration,
    /// What the agent is to be told as soon as it works.
    untold: Vec<String>,
    /// Who began its steps.
    begun: forks::Begun,
    /// Whether it was forked and has come into no state since: what is said to it then is said with that.
    just_forked: bool,
}

/// A run's sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Its id.
    pub id: SandboxId,
    /// Whether it was seen ready.
    pub readiness: Readiness,
}

/// Whether a sandbox was seen ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It was asked for.
    Requested,
    /// It showed its desktop and answered.
    Ready,
    /// It is no virtual machine now, and can be brought back from that checkpoint.
    Suspended(CheckpointId),
}

/// A step that was intended and has no outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenStep {
    /// Which one.
    pub step: StepId,
    /// The id of the model's call.
    pub call: String,
    /// The file it was going to write.
    pub write: Option<IntendedWrite>,
    /// Whether it takes an earlier write back.
    pub undoes: bool,
    /// The command it runs, if it is one.
    pub command: Option<String>,
    /// Whether a person interrupted it.
    pub interrupted: bool,
}

impl OpenStep {
    fn of(step: StepId, call: &ToolCall, write: Option<IntendedWrite>) -> Self {
        let command = (call.name == "shell").then(|| call.input["command"].as_str()).flatten();
        Self {
            step,
            call: call.id.clone(),
            write,
            undoes: call.name == "edit" && call.input["action"] == "undo",
            command: command.map(str::to_owned),
            interrupted: false,
        }
    }

    /// Notes what it wrote among the writes that are not undone.
    fn close(self, outcome: ToolOutcome, writes: &mut Vec<IntendedWrite>) {
        let Some(write) = self.write.filter(|_| outcome == ToolOutcome::Done) else { return };
        if self.undoes {
            if let Some(undone) = writes.iter().rposition(|earlier| earlier.path == write.path) {
                writes.remove(undone);
            }
        } else {
            writes.push(write);
        }
    }
}

/// A command that ran to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RanCommand {
    /// The step.
    pub step: StepId,
    /// The command line.
    pub command: String,
    /// Its exit status.
    pub exit_code: Option<i32>,
}

/// What the agent said when it finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Title for the pull request.
    pub title: String,
    /// What was done and why.
    pub summary: String,
    /// What could not be verified.
    pub not_verified: String,
    /// What it answers to feedback; empty once that is written down.
    pub answers: Vec<FeedbackAnswer>,
}

/// The branch as it came out of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its newest commit.
    pub head: CommitId,
    /// How many commits it is ahead.
    pub commits: u32,
}

/// What to do next in a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Wait for room, then go on at that stage.
    Admit(Stage),
    /// Give the sandbox an id and write it down.
    RequestSandbox,
    /// Make the sandbox, or find the one that was begun.
    MakeSandbox(SandboxId),
    /// Bring the repository into the sandbox.
    ImportRepository,
    /// Read the repository's guidance and begin the conversation.
    StartConversation,
    /// Call the model.
    AskModel {
        /// Which call.
        turn: u32,
        /// Whether it was asked before without an answer.
        intention: Intention,
    },
    /// Have the older part of the conversation summed up.
    Compact {
        /// The call it is done before.
        turn: u32,
    },
    /// Carry out a tool call.
    RunStep {
        /// Which step.
        step: StepId,
        /// The call.
        call: ToolCall,
        /// What it asks for.
        request: ToolRequest,
        /// Whether it was begun before without an outcome.
        intention: Intention,
    },
    /// Answer a tool call that is not carried out.
    AnswerStep {
        /// Which step.
        step: StepId,
        /// The call.
        call: ToolCall,
        /// How it ended.
        outcome: ToolOutcome,
        /// What the model reads.
        content: Vec<ResultPart>,
    },
    /// Ask a person.
    Ask {
        /// The question.
        question: String,
        /// The step that needs a yes, if that is the question.
        approval: Option<StepId>,
    },
    /// Stop for now.
    Pause(PauseReason),
    /// Give up.
    Fail(UserError),
    /// Have a critic look at the work; which round.
    BeginSelfReview(u32),
    /// Take back what the critic changed, and note what it found.
    EndSelfReview(SelfReview),
    /// Start a subagent.
    BeginSubagent {
        /// The step that wants it.
        step: StepId,
        /// The call.
        call: ToolCall,
        /// What it is.
        spawn: SpawnRequest,
    },
    /// End what a subagent left running, bring its work to where it belongs, and note its report.
    EndSubagent {
        /// Its number.
        number: u32,
        /// How it ended.
        ended: Ended,
    },
    /// Let the subagents work until the agent can go on.
    AwaitSubagents,
    /// Take note that the agent is done.
    FinishWork(Finished),
    /// Bring the work to its forge.
    Deliver(DeliveryAction),
    /// The sandbox is no longer needed.
    StopSandbox(SandboxId),
    /// Give a checkpoint an id and write it down.
    BeginCheckpoint(CheckpointCause),
    /// Save the sandbox, or find that it was saved.
    SaveCheckpoint {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        cause: CheckpointCause,
    },
    /// Remove a checkpoint that is no longer needed.
    RemoveCheckpoint(CheckpointId),
    /// Bring a suspended sandbox back.
    RestoreSandbox {
        /// The sandbox.
        sandbox: SandboxId,
        /// What it is brought back from.
        checkpoint: CheckpointId,
    },
    /// Make the sandbox what it was at a checkpoint.
    Rewind(CheckpointId),
    /// Bring the base branch's newest commit into the sandbox, because the work conflicts with it.
    BringBase(CommitId),
    /// Go on with the agent that had finished.
    ResumeWork,
    /// Wait for a person.
    AwaitPerson,
    /// All is done.
    Rest,
}

/// Whether an effect was written down as intended before this owner came to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Intention {
    /// It was not: write it down, then act.
    New,
    /// It was, by this owner or one before it, and its outcome is unknown: look first.
    Open(Option<IntendedWrite>),
}

/// The events of a run do not begin as they must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the first event of {run} is {first}, not runSubmitted")]
pub struct NoBeginning {
    /// The run.
    pub run: RunId,
    /// What was found instead.
    pub first: &'static str,
}

impl RunProgress {
    /// Begins from a run's first event.
    pub fn begin(event: &Event, settings: AgentSettings) -> Result<Self, NoBeginning> {
        let EventBody::RunSubmitted { task, branch, .. } = &event.body else {
            return Err(NoBeginning { run: event.run.clone(), first: event.body.name() });
        };
        let mut agent_settings = settings;
        agent_settings.limits = task.limits;
        agent_settings.criteria = u32::try_from(task.criteria.len()).unwrap_or(u32::MAX);
        Ok(Self {
            run: event.run.clone(),
            task: task.clone(),
            branch: branch.clone(),
            state: RunState::Queued { reason: nightshift_protocol::QueueReason::Submitted },
            sandbox: None,
            environment: None,
            imported: None,
            agent: AgentMachine::new(agent_settings),
            conversation_started: false,
            open_turn: None,
            open_step: None,
            checkpoints: RunCheckpoints::default(),
            plan: Plan::default(),
            evidence: Vec::new(),
            writes: Vec::new(),
            commands: Vec::new(),
            finished: None,
            approvals: Approvals::default(),
            self_reviews: SelfReviews::default(),
            subagents: Subagents::default(),
            engine: EngineProgress::default(),
            delivery: DeliveryProgress::of(task),
            screenshots: VecDeque::new(),
            turns: 0,
            taken_over: false,
            usage: Usage::default(),
            last_seq: event.seq,
            last_at: event.at,
            worked: time::Duration::ZERO,
            untold: Vec::new(),
            begun: forks::Begun::default(),
            just_forked: false,
        })
    }

    /// Takes the next event in.
    pub fn apply(&mut self, event: &Event) {
        self.last_seq = event.seq;
        // Written beside the run's own events, so it must not matter where among them they come.
        if matches!(event.body, EventBody::ConnectionsRecorded { .. }) {
            return;
        }
        self.count_time(event);
        self.apply_to_checkpoints(event);
        self.begun.apply(&event.body);
        self.delivery.apply(&event.body);
        if !self.apply_to_subagents(&event.body)
            && !self.apply_to_engine(&event.body)
            && !self.apply_to_self_review(&event.body)
        {
            self.apply_to_agent(&event.body);
        }
        self.balance();
    }

    /// Takes in what an event says of the run and its own agent.
    fn apply_to_agent(&mut self, body: &EventBody) {
        match body {
            EventBody::StateChanged { state } => {
                self.enter(state);
                // Not in `enter`: a run that goes back while it waits comes to another question.
                if matches!(state, RunState::Waiting { approval: None, .. }) {
                    self.tell(AgentEvent::Asked);
                }
            }
            EventBody::SandboxRequested { sandbox } => {
                self.sandbox = Some(Sandbox { id: sandbox.clone(), readiness: Readiness::Requested });
            }
            EventBody::SandboxReady { sandbox, facts } => {
                self.environment = facts.environment.clone();
                self.sandbox = Some(Sandbox { id: sandbox.clone(), readiness: Readiness::Ready });
            }
            EventBody::RepositoryImported { commit } => {
                self.imported = Some(commit.clone());
                if self.conversation_started {
                    // What could be undone was in files of the other sandbox.
                    self.writes.clear();
                    self.untold.push(another_sandbox(&self.branch, commit));
                }
            }
            EventBody::McpServersStarted { servers, .. } => {
                self.tell(AgentEvent::McpServersStarted { servers: servers.clone() });
            }
            EventBody::ConversationStarted { system, message } => {
                self.conversation_started = true;
                self.tell(AgentEvent::Started { system: system.clone(), message: message.clone() });
            }
            EventBody::TurnRequested { turn } => self.open_turn = Some(*turn),
            EventBody::TurnFinished { turn, message, stop, usage, .. } => {
                self.open_turn = None;
                self.turns = *turn;
                self.usage += *usage;
                self.tell(AgentEvent::TurnFinished {
                    turn: *turn,
                    message: message.clone(),
                    stop: stop.clone(),
                    usage: *usage,
                });
            }
            EventBody::TurnLost { usage, .. } => {
                self.usage += *usage;
                self.tell(AgentEvent::Lost { usage: *usage });
            }
            EventBody::Compacted { turn, summary, usage, .. } => {
                self.usage += *usage;
                self.tell(AgentEvent::Compacted { turn: *turn, summary: summary.clone(), usage: *usage });
            }
            EventBody::StepIntended { step, call, write } => {
                self.open_step = Some(OpenStep::of(*step, call, write.clone()));
            }
            EventBody::ApprovalDecided { step, decision } => {
                self.approvals.note(*step, decision.clone());
            }
            EventBody::StepFinished { step, call, outcome, content, exit_code, .. } => {
                self.approvals.forget(*step);
                if let Some(open) = self.open_step.take() {
                    self.close_step(open, *outcome, *exit_code);
                }
                if !self.self_reviews.is_under_way() {
                    self.keep_screenshots(content);
                }
                self.tell(AgentEvent::StepFinished {
                    step: *step,
                    call: call.clone(),
                    outcome: *outcome,
                    content: content.clone(),
                    exit_code: *exit_code,
                });
            }
            EventBody::PlanChanged { plan } => self.plan = plan.clone(),
            EventBody::EvidenceNoted { evidence } => self.evidence.push(evidence.clone()),
            EventBody::PersonSaid { text } => {
                // Owners before this one told a fork what it is in its person's words.
                self.untold.retain(|untold| !text.starts_with(untold.as_str()));
                if !self.reopen_fork(text) {
                    self.tell(AgentEvent::PersonSaid { text: text.clone() });
                }
            }
            EventBody::MessageQueued { text } => self.tell(AgentEvent::PersonQueued { text: text.clone() }),
            EventBody::Interrupted => {
                if let Some(open) = &mut self.open_step {
                    open.interrupted = true;
                }
                self.tell(AgentEvent::Interrupted);
            }
            EventBody::LimitsRaised { limits } => {
                self.task.limits = *limits;
                self.tell(AgentEvent::LimitsRaised { limits: *limits });
            }
            EventBody::FeedbackReceived { round, items } => {
                self.finished = None;
                self.hear_feedback(*round, items);
            }
            EventBody::WorkFinished { title, summary, not_verified } => {
                self.finished = Some(Finished {
                    title: title.clone(),
                    summary: summary.clone(),
                    not_verified: not_verified.clone(),
                    answers: Vec::new(),
                });
            }
            EventBody::RunForked { branch, .. } => self.become_fork(branch),
            EventBody::OwnerResumed { .. } => self.tell_in_turn(&AgentEvent::LetGo),
            EventBody::TakenOver { .. } => self.taken_over = true,
            EventBody::HandedBack { summary, .. } => {
                self.taken_over = false;
                self.untold.push(summary.clone());
                if self.tell_untold() && self.open_turn.is_none() {
                    self.agent.tell_with_next_call();
                }
            }
            EventBody::RunSubmitted { .. }
            | EventBody::SelfReviewBegun { .. }
            | EventBody::SelfReviewed { .. }
            | EventBody::SubagentStarted { .. }
            | EventBody::EngineStarted { .. }
            | EventBody::EngineSaid { .. }
            | EventBody::EngineActed { .. }
            | EventBody::EngineCallIntended { .. }
            | EventBody::EngineCalledModel { .. }
            | EventBody::SubagentSaid { .. }
            | EventBody::SubagentTold { .. }
            | EventBody::SubagentStopped { .. }
            | EventBody::SubagentFinished { .. }
            | EventBody::NetworkOpened { .. }
            | EventBody::ConnectionsRecorded { .. }
            | EventBody::TurnRetried { .. }
            | EventBody::CompactionRequested { .. }
            | EventBody::DeliveryIntended { .. }
            | EventBody::CheckpointIntended { .. }
            | EventBody::CheckpointSaved { .. }
            | EventBody::CheckpointFailed { .. }
            | EventBody::CheckpointRemoved { .. }
            | EventBody::RewindIntended { .. }
            | EventBody::Rewound { .. }
            | EventBody::SandboxRestored { .. }
            | EventBody::BranchReceived { .. }
            | EventBody::DeliveryChecked { .. }
            | EventBody::PicturesPrepared { .. }
            | EventBody::PushIntended { .. }
            | EventBody::BranchPushed { .. }
            | EventBody::PicturePublished { .. }
            | EventBody::LintRan { .. }
            | EventBody::PictureKept { .. }
            | EventBody::ReadyIntended { .. }
            | EventBody::PullRequestReadied { .. }
            | EventBody::PullRequestIntended { .. }
            | EventBody::PullRequestOpened { .. }
            | EventBody::PullRequestDescribed { .. }
            | EventBody::PullRequestRouted { .. }
            | EventBody::FeedbackAnswered { .. }
            | EventBody::FeedbackTold { .. }
            | EventBody::IssueTold { .. }
            | EventBody::BaseBroughtIn { .. }
            | EventBody::FeedbackNoted { .. }
            | EventBody::FeedbackWithdrawn { .. }
            | EventBody::ReviewApproved { .. }
            | EventBody::HostSlept { .. }
            | EventBody::SandboxStopped { .. } => {}
        }
    }

    fn close_step(&mut self, open: OpenStep, outcome: ToolOutcome, exit_code: Option<i32>) {
        // What the critic ran backs its verdict, and is not what the agent did.
        if let Some(command) = open.command.as_ref().filter(|_| !self.self_reviews.is_under_way()) {
            self.commands.push(RanCommand { step: open.step, command: command.clone(), exit_code });
        }
        open.close(outcome, &mut self.writes);
    }

    fn keep_screenshots(&mut self, content: &[ResultPart]) {
        if is_mcp_answer(content) {
            return;
        }
        for part in content {
            let ResultPart::Image { image } = part else { continue };
            if self.screenshots.len() == SCREENSHOTS {
                self.screenshots.pop_front();
            }
            self.screenshots.push_back(image.clone());
        }
    }

    /// How far the work is, for a run that was paused or waits for room.
    pub(crate) fn stage(&self) -> Stage {
        let ready = self.sandbox.as_ref().is_some_and(|sandbox| sandbox.readiness != Readiness::Requested);
        let suspended = |sandbox: &Sandbox| matches!(sandbox.readiness, Readiness::Suspended(_));
        // What was delivered is there also when the sandbox cannot be brought back: another one can take its place.
        let replaceable = self.delivery.received.is_some() && self.sandbox.as_ref().is_some_and(suspended);
        if self.finished.is_some() {
            Stage::Finished
        } else if ready && self.conversation_started && !replaceable {
            Stage::Prepared
        } else {
            Stage::Unprepared
        }
    }

    /// How long nothing has happened in it.
    pub(crate) fn quiet_for(&self, now: OffsetDateTime) -> time::Duration {
        now - self.last_at
    }

    /// Seconds its agent has worked.
    pub fn seconds(&self) -> u64 {
        u64::try_from(self.worked.whole_seconds()).unwrap_or(0)
    }

    fn enter(&mut self, state: &RunState) {
        self.state = state.clone();
        self.just_forked = false;
        match state {
            RunState::Paused { reason } => self.tell_all(AgentEvent::Paused { reason: reason.clone() }),
            // It changes nothing for an agent that was not paused.
            RunState::Working => {
                self.tell_in_turn(&AgentEvent::Resumed);
                if self.tell_untold() {
                    // Nothing is under way by now.
                    self.agent.tell_with_next_call();
                }
            }
            RunState::Cancelled | RunState::Failed { .. } => self.tell_all(AgentEvent::Cancelled),
            RunState::Queued { .. }
            | RunState::Preparing { .. }
            | RunState::Waiting { .. }
            | RunState::Delivering
            | RunState::InReview { .. }
            | RunState::Merged { .. }
            | RunState::Closed { .. } => {}
        }
    }

    /// Tells the agent what it has to know, unless it waits for an answer: that would be taken for one; or has finished and hears
    /// nothing. Returns whether it was told something.
    fn tell_untold(&mut self) -> bool {
        if !matches!(self.state, RunState::Working) || self.asks_person() || self.has_handed_over() {
            return false;
        }
        let mut told = false;
        for text in std::mem::take(&mut self.untold) {
            // The agent has to know, and not its critic.
            if let Some(text) = self.self_reviews.keep(text) {
                self.tell(AgentEvent::PersonSaid { text });
                told = true;
            }
        }
        told
    }

    fn tell(&mut self, event: AgentEvent) {
        // What the machine wants done is read from `outstanding` when it is decided what comes next.
        self.agent.apply(event);
    }

    /// Tells the agent and its subagents.
    fn tell_all(&mut self, event: AgentEvent) {
        self.subagents.tell(&event);
        self.tell(event);
    }

    /// Time passes for the task's limit only while its agent works and an owner is there.
    fn count_time(&mut self, event: &Event) {
        // Nobody works while the sandbox is brought back, which may wait for room.
        let suspended = matches!(&self.sandbox, Some(Sandbox { readiness: Readiness::Suspended(_), .. }));
        let working = matches!(self.state, RunState::Working) && !self.taken_over && !suspended;
        let away = match event.body {
            EventBody::OwnerResumed { .. } => time::Duration::MAX,
            EventBody::HostSlept { seconds } => {
                time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
            }
            _ => time::Duration::ZERO,
        };
        let passed = event.at - self.last_at;
        if working && passed > away {
            self.worked += passed - away;
            self.tell_all(AgentEvent::TimeUsed { seconds: self.seconds() });
        }
        self.last_at = event.at;
    }
}

/// What the agent is told when it goes on in another sandbox than it worked in.
fn another_sandbox(branch: &str, commit: &CommitId) -> String {
    format!(
        "Note from Nightshift: the sandbox you worked in is gone. This is a new one: your branch {branch} is checked out \
         at {commit}, as it was delivered. Programs you had started, tabs, installed dependencies and files outside the \
         repository are not there."
    )
}

/// Decides what is to be done next. The only place that does.
pub(crate) fn next(progress: &RunProgress) -> Action {
    if let Some(action) = progress.next_for_checkpoints() {
        return action;
    }
    match &progress.state {
        RunState::Queued { .. } => Action::Admit(progress.stage()),
        RunState::Preparing { .. } => match &progress.sandbox {
            None => Action::RequestSandbox,
            Some(Sandbox { id, readiness: Readiness::Requested }) => Action::MakeSandbox(id.clone()),
            Some(_) if progress.imported.is_none() => Action::ImportRepository,
            Some(_) if progress.conversation_started => match progress.delivery.missing_base() {
                Some(base) => Action::BringBase(base.clone()),
                None => Action::ResumeWork,
            },
            Some(_) => Action::StartConversation,
        },
        RunState::Working if progress.taken_over => Action::AwaitPerson,
        // The sandbox is one that was saved before it came in.
        RunState::Working if let Some(base) = progress.delivery.missing_base() => {
            Action::BringBase(base.clone())
        }
        RunState::Working => next_of_agent(progress),
        RunState::Delivering => Action::Deliver(next_in_delivery(&progress.delivery)),
        RunState::Waiting { .. } | RunState::Paused { .. } => Action::AwaitPerson,
        RunState::InReview { .. } if progress.delivery.readying => {
            Action::Deliver(next_in_delivery(&progress.delivery))
        }
        // It is kept in a checkpoint, for what others may have to say.
        RunState::InReview { .. }
            if let Some(Sandbox { readiness: Readiness::Suspended(_), .. }) = &progress.sandbox =>
        {
            Action::Rest
        }
        RunState::InReview { .. }
        | RunState::Merged { .. }
        | RunState::Closed { .. }
        | RunState::Cancelled
        | RunState::Failed { .. } => match &progress.sandbox {
            Some(sandbox) => Action::StopSandbox(sandbox.id.clone()),
            None => Action::Rest,
        },
    }
}

fn next_of_agent(progress: &RunProgress) -> Action {
    if let Some(action) = progress.next_for_subagents() {
        return action;
    }
    let Some(effect) = progress.agent.outstanding().into_iter().next() else {
        return Action::Fail(UserError::new(
            ErrorCode::Internal,
            "the agent wants nothing and is not finished",
            "This is a defect of Nightshift; please report it.",
        ));
    };
    if let Some(action) = progress.next_in_self_review(&effect) {
        return action;
    }
    match effect {
        Effect::AskModel { turn } => {
            let intention =
                if progress.open_turn == Some(turn) { Intention::Open(None) } else { Intention::New };
            Action::AskModel { turn, intention }
        }
        Effect::Compact { turn } => Action::Compact { turn },
        Effect::RunTool { step, call, request: ToolRequest::Spawn(spawn) } => {
            progress.next_for_spawn(step).unwrap_or(Action::BeginSubagent { step, call, spawn })
        }
        Effect::RunTool { step, call, request } => progress.run_if_allowed(step, call, request),
        Effect::Answer { step, call, outcome, content } => {
            Action::AnswerStep { step, call, outcome, content }
        }
        Effect::AskPerson { question, .. } => Action::Ask { question, approval: None },
        Effect::Pause { reason } => Action::Pause(reason),
        Effect::Finish { title, summary, not_verified, answers } => {
            Action::FinishWork(Finished { title, summary, not_verified, answers })
        }
        Effect::Fail { error } => Action::Fail(error),
        Effect::AwaitSubagents => Action::AwaitSubagents,
        // They are dealt with above: only a critic judges, and a subagent reports.
        Effect::Judge { .. } | Effect::Report { .. } | Effect::GiveUp { .. } => Action::Fail(UserError::new(
            ErrorCode::Internal,
            "a verdict or a report was given by the run's own agent",
            "This is a defect of Nightshift; please report it.",
        )),
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
