//! The checkpoints of a run, folded from its events: which there are, when one is due, which may go, and what the run
//! was at each.
//!
//! ```text
//!   checkpointIntended ─▶ saved ─▶ (rewindIntended ─▶ rewound) ─▶ removed
//!          └────────────▶ failed
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use nightshift_agent::AgentEvent;
use nightshift_protocol::{
    CheckpointCause, CheckpointId, CheckpointSummary, Event, EventBody, PauseReason, QueueReason, RunState,
    StepId, SuspendReason, Suspension,
};

use super::heard::Heard;
use super::losses::why_sandbox_ended;
use super::{Action, Readiness, Refuge, RunProgress, Sandbox};

/// Steps that change something between two checkpoints that nobody asks for.
const EVERY: u32 = 8;

/// RunCheckpoints that nobody asked for and that are kept: the newest so many.
const KEPT: usize = 4;

/// A run's checkpoints.
#[derive(Debug, Clone, Default)]
pub struct RunCheckpoints {
    /// Whether the run's sandbox can be saved.
    able: bool,
    /// Those that are there, the oldest first.
    saved: Vec<Saved>,
    /// Those that were intended and have no outcome, in the order they are saved: a person may ask for one while another
    /// is saved.
    open: Vec<(CheckpointId, CheckpointCause)>,
    /// Why the sandbox was suspended, while it is.
    suspended_for: Option<SuspendReason>,
    /// The one that the run is going back to.
    rewinding: Option<Rewinding>,
    /// Those that the sandbox was like when the run went back to others: what was done before them is nowhere else.
    left: Vec<CheckpointId>,
    /// Steps since the newest was saved, or failed to be.
    steps: u32,
    last_step: Option<StepId>,
    /// The name that the branch of a fork had when its sandbox was saved.
    branch_in_sandbox: Option<String>,
    /// What people said since the first was saved, without what the run went back behind on somebody's wish.
    heard: Heard,
    /// How often the run came back to one because its sandbox was lost.
    losses: BTreeMap<CheckpointId, u32>,
    /// The checkpoint that the sandbox is still like: nothing was done in it since.
    same_as: Option<CheckpointId>,
    /// Those that led to where the run is, the oldest first: without those that it went back behind.
    road: Vec<CheckpointId>,
}

/// A checkpoint that a run is going back to.
#[derive(Debug, Clone)]
struct Rewinding {
    to: CheckpointId,
    /// Why its sandbox ended, if that is why it goes back.
    ended: Option<String>,
}

/// A checkpoint with what the run was at that moment.
#[derive(Debug, Clone)]
struct Saved {
    summary: CheckpointSummary,
    then: Box<RunProgress>,
}

impl RunCheckpoints {
    /// Those that are there, the oldest first.
    pub fn list(&self) -> Vec<CheckpointSummary> {
        self.saved.iter().map(|saved| saved.summary.clone()).collect()
    }

    /// The name that the branch of a fork had when its sandbox was saved.
    pub(crate) fn branch_in_sandbox(&self) -> Option<&str> {
        self.branch_in_sandbox.as_deref()
    }

    /// Where a run whose sandbox was lost can go back to.
    pub(crate) fn refuge(&self) -> Option<Refuge> {
        let checkpoint = self.road.last()?.clone();
        let lost_before = self.losses.contains_key(&checkpoint);
        Some(Refuge { checkpoint, lost_before })
    }
}

impl RunProgress {
    /// Takes in what an event says about checkpoints.
    pub(super) fn apply_to_checkpoints(&mut self, event: &Event) {
        match &event.body {
            EventBody::SandboxReady { facts, .. } => {
                self.checkpoints.able = facts.checkpoints;
                self.checkpoints.same_as = None;
            }
            // What a person did in it would be lost with it.
            EventBody::HandedBack { .. } => {
                self.checkpoints.steps += 1;
                self.checkpoints.same_as = None;
            }
            EventBody::StepFinished { step, .. } => {
                self.checkpoints.last_step = Some(*step);
                self.checkpoints.steps += 1;
                self.checkpoints.same_as = None;
            }
            EventBody::PersonSaid { .. }
            | EventBody::MessageQueued { .. }
            | EventBody::FeedbackReceived { .. } => {
                if !self.checkpoints.saved.is_empty() {
                    self.checkpoints.heard.note(event, &self.state, self.just_forked);
                }
            }
            EventBody::CheckpointIntended { checkpoint, cause, suspended_for } => {
                self.checkpoints.open.push((checkpoint.clone(), *cause));
                if *cause == CheckpointCause::Suspended {
                    self.checkpoints.suspended_for = *suspended_for;
                }
            }
            EventBody::CheckpointFailed { checkpoint, .. } => {
                let cause = self
                    .checkpoints
                    .open
                    .iter()
                    .find(|(open, _)| open == checkpoint)
                    .map(|(_, cause)| *cause);
                // What would be lost is not given up unasked.
                self.checkpoints.rewinding.take_if(|_| cause == Some(CheckpointCause::BeforeRewind));
                self.checkpoints.open.retain(|(open, _)| open != checkpoint);
                self.checkpoints.steps = 0;
            }
            EventBody::CheckpointSaved { checkpoint, cause, cost } => {
                self.checkpoints.open.retain(|(open, _)| open != checkpoint);
                self.checkpoints.steps = 0;
                self.checkpoints.same_as = Some(checkpoint.clone());
                self.checkpoints.road.push(checkpoint.clone());
                if *cause == CheckpointCause::Suspended
                    && let Some(sandbox) = &mut self.sandbox
                {
                    sandbox.readiness = Readiness::Suspended(checkpoint.clone());
                }
                let summary = CheckpointSummary {
                    checkpoint: checkpoint.clone(),
                    cause: *cause,
                    step: self.checkpoints.last_step,
                    seq: event.seq,
                    at: event.at,
                    cost: *cost,
                };
                let mut then = Box::new(self.clone());
                // What was saved before is known anyway, and would be kept as often as there are checkpoints.
                then.checkpoints.saved = Vec::new();
                then.checkpoints.heard = Heard::default();
                self.checkpoints.saved.push(Saved { summary, then });
            }
            EventBody::CheckpointRemoved { checkpoint } => {
                self.checkpoints.saved.retain(|saved| saved.summary.checkpoint != *checkpoint);
                // Also when it was to be gone back to and was not on the disk any more.
                self.checkpoints.rewinding.take_if(|rewinding| rewinding.to == *checkpoint);
                self.checkpoints.same_as.take_if(|same| same == checkpoint);
                self.checkpoints.left.retain(|left| left != checkpoint);
                self.checkpoints.road.retain(|passed| passed != checkpoint);
                self.lose_suspended(checkpoint);
            }
            EventBody::RewindIntended { checkpoint, reason } => {
                let ended = why_sandbox_ended(reason).map(str::to_owned);
                self.checkpoints.rewinding = Some(Rewinding { to: checkpoint.clone(), ended });
            }
            EventBody::Rewound { checkpoint } => self.rewind(checkpoint),
            EventBody::SandboxRestored { sandbox, .. } => {
                self.checkpoints.suspended_for = None;
                self.sandbox = Some(Sandbox { id: sandbox.clone(), readiness: Readiness::Ready });
            }
            EventBody::RunForked { sandbox, own, branch, .. } => {
                self.checkpoints.able = true;
                self.checkpoints.branch_in_sandbox = Some(branch.clone());
                let readiness = Readiness::Suspended(own.clone());
                self.sandbox = Some(Sandbox { id: sandbox.clone(), readiness });
            }
            EventBody::StateChanged { state } if state.is_final() => self.checkpoints.rewinding = None,
            EventBody::SandboxStopped { .. } => self.let_sandbox_go(),
            EventBody::RunSubmitted { .. }
            | EventBody::NetworkOpened { .. }
            | EventBody::ConnectionsRecorded { .. }
            | EventBody::StateChanged { .. }
            | EventBody::SandboxRequested { .. }
            | EventBody::RepositoryImported { .. }
            | EventBody::McpServersStarted { .. }
            | EventBody::ConversationStarted { .. }
            | EventBody::TurnRequested { .. }
            | EventBody::TurnRetried { .. }
            | EventBody::TurnLost { .. }
            | EventBody::TurnFinished { .. }
            | EventBody::CompactionRequested { .. }
            | EventBody::Compacted { .. }
            | EventBody::StepIntended { .. }
            | EventBody::PlanChanged { .. }
            | EventBody::EvidenceNoted { .. }
            | EventBody::Interrupted
            | EventBody::LimitsRaised { .. }
            | EventBody::ApprovalDecided { .. }
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
            | EventBody::WorkFinished { .. }
            | EventBody::DeliveryIntended { .. }
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
            | EventBody::PullRequestDescribed { .. }
            | EventBody::PullRequestRouted { .. }
            | EventBody::FeedbackAnswered { .. }
            | EventBody::FeedbackTold { .. }
            | EventBody::IssueTold { .. }
            | EventBody::BaseBroughtIn { .. }
            | EventBody::FeedbackNoted { .. }
            | EventBody::FeedbackWithdrawn { .. }
            | EventBody::ReviewApproved { .. }
            | EventBody::PullRequestOpened { .. }
            | EventBody::TakenOver { .. }
            | EventBody::HostSlept { .. }
            | EventBody::OwnerResumed { .. } => {}
        }
    }

    /// Becomes what it was at a checkpoint, but for what cannot be taken back: its state, what was used, the sandbox; and what people
    /// said since, where nobody wanted it to go back.
    fn rewind(&mut self, checkpoint: &CheckpointId) {
        let ended = self.checkpoints.rewinding.take().and_then(|rewinding| rewinding.ended);
        let saved = self.checkpoints.saved.iter().find(|saved| saved.summary.checkpoint == *checkpoint);
        let Some((seq, then)) = saved.map(|saved| (saved.summary.seq, saved.then.clone())) else { return };
        let mut agent = self.agent.clone();
        // What subagents spent since then stays spent, and theirs are those of then.
        self.subagents.settle(&mut agent);
        let mut subagents = then.subagents.clone();
        subagents.forget_spending(self.seconds());
        subagents.share_again();
        // What a person raised since then stays raised.
        subagents.tell(&AgentEvent::LimitsRaised { limits: self.task.limits });
        agent.rewind(&then.agent);
        let mut checkpoints = std::mem::take(&mut self.checkpoints);
        checkpoints.steps = 0;
        checkpoints.last_step = then.checkpoints.last_step;
        let loss = ended.map(|why| {
            let times = checkpoints.losses.entry(checkpoint.clone()).or_default();
            *times += 1;
            self.loss_in_words(&why, *times)
        });
        if loss.is_none() {
            checkpoints.heard.forget_after(seq);
        }
        let since = checkpoints.heard.since(seq);
        checkpoints.road.clone_from(&then.checkpoints.road);
        checkpoints
            .road
            .retain(|passed| checkpoints.saved.iter().any(|saved| saved.summary.checkpoint == *passed));
        checkpoints.left.extend(checkpoints.same_as.take());
        checkpoints.left.retain(|left| left != checkpoint);
        checkpoints.same_as = Some(checkpoint.clone());
        // What it had still to be told then it has to be told again.
        let mut untold = then.untold.clone();
        untold.extend(self.untold.drain(..).filter(|text| !then.untold.contains(text)));
        let id = self.sandbox.take().or_else(|| then.sandbox.clone()).map(|sandbox| sandbox.id);
        let state = self.state.clone();
        *self = Self {
            run: self.run.clone(),
            task: self.task.clone(),
            branch: self.branch.clone(),
            sandbox: id.map(|id| Sandbox { id, readiness: Readiness::Suspended(checkpoint.clone()) }),
            agent,
            subagents,
            checkpoints,
            // Who has mouse and keyboard has them still, and learns that the machine is another one.
            taken_over: self.taken_over,
            untold,
            delivery: self.delivery.after_rewind(),
            engine: then.engine.after_rewind(&self.engine),
            usage: self.usage,
            last_seq: self.last_seq,
            last_at: self.last_at,
            worked: self.worked,
            ..*then
        };
        // The agent was told of pauses up to then; now it is told where the run is.
        self.enter(&state);
        if let Some(loss) = loss {
            self.hear_again(since);
            self.tell_first(loss);
        }
    }

    /// A sandbox in review is needed no more, and is brought back if somebody asks for changes: nothing was done in it
    /// since it was saved before the delivery.
    fn let_sandbox_go(&mut self) {
        let in_review = matches!(self.state, RunState::InReview { .. });
        let same = self.checkpoints.same_as.clone().filter(|_| in_review);
        self.sandbox = match (self.sandbox.take(), same) {
            (Some(Sandbox { id, .. }), Some(same)) => {
                Some(Sandbox { id, readiness: Readiness::Suspended(same) })
            }
            (Some(_) | None, _) => None,
        };
        if self.sandbox.is_none() {
            self.imported = None;
        }
    }

    /// What was to be brought back from a checkpoint is gone with it: another sandbox takes its place.
    fn lose_suspended(&mut self, checkpoint: &CheckpointId) {
        let preparing = matches!(self.state, RunState::Preparing { .. });
        if preparing && self.rests_on(checkpoint) {
            (self.sandbox, self.imported) = (None, None);
        }
    }

    /// Where and why its sandbox is suspended to disk, if it is.
    pub fn suspension(&self) -> Option<Suspension> {
        match &self.sandbox {
            Some(Sandbox { readiness: Readiness::Suspended(checkpoint), .. }) => {
                let reason = self.checkpoints.suspended_for;
                Some(Suspension { checkpoint: checkpoint.clone(), reason })
            }
            Some(_) | None => None,
        }
    }

    /// Whether the agent will have finished when the run is back at a checkpoint that it goes back to.
    pub(crate) fn will_have_finished_at(&self, checkpoint: &CheckpointId) -> bool {
        let checkpoints = &self.checkpoints;
        let lost = checkpoints.rewinding.as_ref().is_some_and(|rewinding| rewinding.ended.is_some());
        // What was asked for since is asked for again then.
        let reopened = |saved: &Saved| lost && checkpoints.heard.reopens_since(saved.summary.seq);
        let saved = checkpoints.saved.iter().find(|saved| saved.summary.checkpoint == *checkpoint);
        saved.is_some_and(|saved| saved.then.finished.is_some() && !reopened(saved))
    }

    /// Whether the sandbox is nowhere but in a checkpoint, or the run is going back there.
    pub(crate) fn rests_on(&self, checkpoint: &CheckpointId) -> bool {
        let suspended = match &self.sandbox {
            Some(Sandbox { readiness: Readiness::Suspended(on), .. }) => on == checkpoint,
            Some(_) | None => false,
        };
        suspended || self.checkpoints.rewinding.as_ref().is_some_and(|rewinding| rewinding.to == *checkpoint)
    }

    /// What is to be done about checkpoints before anything else, if anything is.
    pub(super) fn next_for_checkpoints(&self) -> Option<Action> {
        let checkpoints = &self.checkpoints;
        if let Some(Rewinding { to, .. }) = &checkpoints.rewinding {
            let before = checkpoints.open.iter().find(|(_, cause)| *cause == CheckpointCause::BeforeRewind);
            return Some(match before {
                Some((before, cause)) => Action::SaveCheckpoint { checkpoint: before.clone(), cause: *cause },
                None => Action::Rewind(to.clone()),
            });
        }
        if let Some((checkpoint, cause)) = checkpoints.open.first() {
            return Some(Action::SaveCheckpoint { checkpoint: checkpoint.clone(), cause: *cause });
        }
        if let Some(checkpoint) = self.superseded() {
            return Some(Action::RemoveCheckpoint(checkpoint));
        }
        match &self.sandbox {
            Some(Sandbox { id, readiness: Readiness::Suspended(checkpoint) })
                if matches!(
                    self.state,
                    RunState::Preparing { .. } | RunState::Working | RunState::Delivering
                ) =>
            {
                Some(Action::RestoreSandbox { sandbox: id.clone(), checkpoint: checkpoint.clone() })
            }
            Some(Sandbox { readiness: Readiness::Ready, .. }) => self.due().map(Action::BeginCheckpoint),
            Some(_) | None => None,
        }
    }

    /// Why a checkpoint should be saved now, if one should.
    fn due(&self) -> Option<CheckpointCause> {
        let steps = self.checkpoints.steps;
        if !self.checkpoints.able || steps == 0 {
            return None;
        }
        match &self.state {
            RunState::Working
                if steps >= EVERY
                    && self.open_step.is_none()
                    && self.open_turn.is_none()
                    && self.subagents.are_between_steps() =>
            {
                Some(CheckpointCause::Steps)
            }
            RunState::Delivering if self.delivery.received.is_none() => Some(CheckpointCause::BeforeDelivery),
            // The sandbox goes, and what was worked in it must not.
            RunState::Failed { .. } => Some(CheckpointCause::Failed),
            // A sandbox that makes trouble is not saved as it is.
            RunState::Paused { reason: PauseReason::Person | PauseReason::Limit { .. } } => {
                Some(CheckpointCause::Paused)
            }
            RunState::Queued { .. }
            | RunState::Preparing { .. }
            | RunState::Working
            | RunState::Waiting { .. }
            | RunState::Delivering
            | RunState::InReview { .. }
            | RunState::Paused { .. }
            | RunState::Merged { .. }
            | RunState::Closed { .. }
            | RunState::Cancelled => None,
        }
    }

    /// A checkpoint that nothing rests on any more.
    ///
    /// What a run left when it went back to another checkpoint is kept as what a person asked for is. Work that was not
    /// delivered is in the sandbox, and if that is gone or suspended, in the newest checkpoint: that
    /// one stays, whatever became of the run, until a pull request was decided on.
    fn superseded(&self) -> Option<CheckpointId> {
        let decided = matches!(self.state, RunState::Merged { .. } | RunState::Closed { .. });
        let list = &self.checkpoints.saved;
        let is_kept = |saved: &Saved| {
            saved.summary.cause == CheckpointCause::Asked
                || self.checkpoints.left.contains(&saved.summary.checkpoint)
        };
        let mut unasked = list.iter().filter(|saved| !is_kept(saved)).count();
        let candidates = if decided { list } else { &list[..list.len().saturating_sub(1)] };
        for saved in candidates {
            let id = &saved.summary.checkpoint;
            let asked = is_kept(saved);
            let over = self.state.is_final() || matches!(self.state, RunState::InReview { .. });
            let goes = decided || !asked && (over || unasked > KEPT);
            let needed = !decided && self.checkpoints.same_as.as_ref() == Some(id);
            if goes && !needed && !self.rests_on(id) {
                return Some(id.clone());
            }
            if !asked {
                unasked -= 1;
            }
        }
        None
    }

    /// Whether its sandbox may be suspended: nothing happens in the run unless a person does something.
    pub(crate) fn may_be_suspended(&self) -> bool {
        let rests = matches!(self.state, RunState::Paused { .. } | RunState::Waiting { .. });
        let ready = matches!(&self.sandbox, Some(Sandbox { readiness: Readiness::Ready, .. }));
        rests && ready && self.checkpoints.able && !self.is_intended(CheckpointCause::Suspended)
    }

    /// Whether a checkpoint can be saved now on demand.
    pub(crate) fn may_be_saved(&self) -> bool {
        let ready = matches!(&self.sandbox, Some(Sandbox { readiness: Readiness::Ready, .. }));
        ready
            && self.checkpoints.able
            && self.conversation_started
            && !self.is_intended(CheckpointCause::Asked)
    }

    fn is_intended(&self, wanted: CheckpointCause) -> bool {
        self.checkpoints.open.iter().any(|(_, cause)| *cause == wanted)
    }

    /// Whether what the sandbox is now is in no checkpoint, and can be saved.
    pub(crate) fn has_more_than_its_checkpoints(&self) -> bool {
        let ready = matches!(&self.sandbox, Some(Sandbox { readiness: Readiness::Ready, .. }));
        // What is done at this moment is not over, and has told of nothing yet.
        let changes = self.checkpoints.same_as.is_none() || self.open_step.is_some() || self.taken_over;
        ready && self.checkpoints.able && self.conversation_started && changes
    }

    /// Whether the run can go back to a checkpoint now.
    pub(crate) fn may_go_back(&self) -> bool {
        let place = matches!(
            self.state,
            RunState::Working | RunState::Waiting { .. } | RunState::Paused { .. } | RunState::Delivering
        );
        place && self.sandbox.is_some() && self.checkpoints.rewinding.is_none()
    }
}

/// What led to one of a run's checkpoints: without what the run went back behind, and with what its agent was told again of that.
pub(crate) fn road_to<'a>(events: &'a [Event], checkpoint: &CheckpointId) -> Option<Vec<Cow<'a, EventBody>>> {
    let mut road: Vec<Cow<'a, EventBody>> = Vec::new();
    let mut roads = HashMap::new();
    // Who goes back stays what it is: it works or is paused, and may use what it may.
    let (mut stays, mut limits): (Option<&EventBody>, Option<&Event>) = (None, None);
    let mut heard = Heard::default();
    let submitted = RunState::Queued { reason: QueueReason::Submitted };
    let (mut state, mut just_forked, mut lost) = (&submitted, false, false);
    for event in events {
        road.push(Cow::Borrowed(&event.body));
        match &event.body {
            EventBody::CheckpointSaved { checkpoint: saved, .. } => {
                if saved == checkpoint {
                    return Some(road);
                }
                roads.insert(saved, (event.seq, road.clone()));
            }
            EventBody::RewindIntended { reason, .. } => lost = why_sandbox_ended(reason).is_some(),
            // It may be one that the run had left before.
            EventBody::Rewound { checkpoint } => {
                let (saved, led_there) = roads.get(checkpoint)?;
                if !std::mem::take(&mut lost) {
                    heard.forget_after(*saved);
                }
                road.clone_from(led_there);
                let raised = limits.filter(|raised| raised.seq > *saved);
                road.extend(raised.map(|raised| Cow::Borrowed(&raised.body)));
                road.extend(heard.told_again_since(*saved).into_iter().map(Cow::Owned));
                road.extend(stays.map(Cow::Borrowed));
            }
            EventBody::RunForked { .. } => just_forked = !matches!(state, RunState::Queued { .. }),
            EventBody::StateChanged { state: entered } => {
                (state, just_forked) = (entered, false);
                let works = matches!(entered, RunState::Working | RunState::Paused { .. });
                stays = works.then_some(&event.body);
            }
            EventBody::LimitsRaised { .. } => limits = Some(event),
            EventBody::PersonSaid { .. }
            | EventBody::MessageQueued { .. }
            | EventBody::FeedbackReceived { .. } => heard.note(event, state, just_forked),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
