//! Forks: runs that go on from another run's checkpoint.
//!
//! ```text
//!   the other run's road to the checkpoint ─▶ runSubmitted, what is carried of it ─▶ runForked ─▶ queued
//! ```
//!
//! What runs in its sandbox was begun by the other run, and the guest knows it by that one's id: [`Jobs`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nightshift_agent::AgentEvent;
use nightshift_agent::prompt::called_back;
use nightshift_channel::JobId;
use nightshift_protocol::{
    CheckpointCause, CheckpointCost, CheckpointId, EventBody, QueueReason, RunId, RunState, SandboxId,
    StepId, Usage,
};

use super::{RunProgress, SelfReviews};
use crate::tools::job_id;

/// A run that is going to go on from another's checkpoint.
#[derive(Debug)]
pub(crate) struct Fork {
    /// The other run.
    pub(crate) from: RunId,
    /// The checkpoint of it.
    pub(crate) checkpoint: CheckpointId,
    /// The sandbox that is to be made of that.
    pub(crate) sandbox: SandboxId,
    /// Its own copy of the checkpoint.
    pub(crate) own: CheckpointId,
    /// What the checkpoint cost.
    pub(crate) cost: CheckpointCost,
    /// The branch that its work is on.
    pub(crate) branch: String,
    /// What the person says to its agent.
    pub(crate) text: Option<String>,
}

impl Fork {
    /// The history that it begins with, where `road` is what led to the checkpoint; `None` where that does not begin with a
    /// task.
    pub(crate) fn history(self, road: &[Cow<'_, EventBody>]) -> Option<Vec<EventBody>> {
        let EventBody::RunSubmitted { task, branch: before, attempt, context_tokens } = &**road.first()?
        else {
            return None;
        };
        let Self { from, checkpoint, sandbox, own, cost, branch, text } = self;
        let before = branch_in(road, &checkpoint).unwrap_or(before).to_owned();
        let (task, attempt, context_tokens) = (task.clone(), *attempt, *context_tokens);
        let mut bodies = vec![EventBody::RunSubmitted { task, branch, attempt, context_tokens }];
        bodies.extend(road.iter().filter_map(|body| carried(body)));
        let cause = CheckpointCause::Asked;
        let saved = EventBody::CheckpointSaved { checkpoint: own.clone(), cause, cost };
        bodies.push(EventBody::RunForked { from, checkpoint, sandbox, own, branch: before });
        bodies.push(saved);
        bodies.extend(text.map(|text| EventBody::PersonSaid { text }));
        let queued = RunState::Queued { reason: QueueReason::Submitted };
        bodies.push(EventBody::StateChanged { state: queued });
        Some(bodies)
    }
}

/// The branch as it is called in a checkpoint that is another fork's own copy: nobody has renamed it there yet.
fn branch_in<'a>(road: &'a [Cow<'_, EventBody>], checkpoint: &CheckpointId) -> Option<&'a String> {
    road.iter().find_map(|body| match &**body {
        EventBody::RunForked { own, branch, .. } if own == checkpoint => Some(branch),
        _ => None,
    })
}

/// Which runs began the steps of a run's history.
#[derive(Debug, Clone, Default)]
pub(super) struct Begun {
    /// Those that it began itself.
    here: BTreeSet<StepId>,
    /// Those that the runs it was forked from began, with the run.
    elsewhere: Arc<BTreeMap<StepId, RunId>>,
}

impl Begun {
    /// Takes in what an event says about them.
    pub(super) fn apply(&mut self, body: &EventBody) {
        match body {
            EventBody::StepIntended { step, .. } => {
                // What is begun here is another step than theirs, whatever its number.
                if self.elsewhere.contains_key(step) {
                    Arc::make_mut(&mut self.elsewhere).remove(step);
                }
                self.here.insert(*step);
            }
            EventBody::RunForked { from, .. } => {
                let steps = std::mem::take(&mut self.here).into_iter().map(|step| (step, from.clone()));
                Arc::make_mut(&mut self.elsewhere).extend(steps);
            }
            _ => {}
        }
    }
}

/// The ids under which the guest knows the commands of a run's steps.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    run: RunId,
    elsewhere: Arc<BTreeMap<StepId, RunId>>,
}

impl Jobs {
    /// The id of a step's command: that of the run which began it.
    pub(crate) fn of(&self, step: StepId) -> JobId {
        let run = self.elsewhere.get(&step).unwrap_or(&self.run);
        job_id(&format!("{run}-{step}"))
    }
}

impl RunProgress {
    /// The ids of its commands.
    pub(crate) fn jobs(&self) -> Jobs {
        Jobs { run: self.run.clone(), elsewhere: Arc::clone(&self.begun.elsewhere) }
    }

    /// Goes on as a fork of another run, in which the branch is called `before`.
    pub(super) fn become_fork(&mut self, before: &str) {
        self.untold.push(a_fork(&self.branch, before));
        // Owners before this one carried no states over: of their forks, finished work heard nothing, and words answered every
        // question.
        self.just_forked = !matches!(self.state, RunState::Queued { .. });
        if !self.just_forked {
            self.tell(AgentEvent::Asked);
        }
    }

    /// Has the agent go on that had finished, where a person forks its work and says what is to be different. Returns whether
    /// it does.
    pub(super) fn reopen_fork(&mut self, text: &str) -> bool {
        if !self.just_forked || !self.has_handed_over() {
            return false;
        }
        self.finished = None;
        // It is new work, and is looked at anew.
        self.self_reviews = SelfReviews::default();
        self.tell(AgentEvent::SentBack { text: called_back(&[text.to_owned()]) });
        true
    }
}

/// What a fork's agent is told: its instructions name the branch of the other run.
fn a_fork(branch: &str, before: &str) -> String {
    format!("(This run is a fork: its branch is now {branch}, no longer {before}.)")
}

/// What of a run's history a fork has too: the conversation and what came of it, and what it cost no second time.
fn carried(body: &EventBody) -> Option<EventBody> {
    match body {
        EventBody::TurnFinished { turn, message, stop, usage, model } => {
            let usage = Usage { cost_microdollars: 0, ..*usage };
            let (turn, message, stop, model) = (*turn, message.clone(), stop.clone(), model.clone());
            Some(EventBody::TurnFinished { turn, message, stop, usage, model })
        }
        EventBody::TurnLost { turn, usage, model } => {
            let usage = Usage { cost_microdollars: 0, ..*usage };
            Some(EventBody::TurnLost { turn: *turn, usage, model: model.clone() })
        }
        EventBody::Compacted { turn, summary, usage, model } => {
            let usage = Usage { cost_microdollars: 0, ..*usage };
            let (turn, summary, model) = (*turn, summary.clone(), model.clone());
            Some(EventBody::Compacted { turn, summary, usage, model })
        }
        EventBody::EngineCalledModel { turn, call } => {
            let mut call = call.clone();
            call.usage.cost_microdollars = 0;
            Some(EventBody::EngineCalledModel { turn: *turn, call })
        }
        EventBody::RepositoryImported { .. }
        | EventBody::McpServersStarted { .. }
        | EventBody::ConversationStarted { .. }
        | EventBody::TurnRequested { .. }
        | EventBody::StepIntended { .. }
        | EventBody::StepFinished { .. }
        | EventBody::PlanChanged { .. }
        | EventBody::EvidenceNoted { .. }
        | EventBody::PersonSaid { .. }
        | EventBody::MessageQueued { .. }
        | EventBody::Interrupted
        | EventBody::LimitsRaised { .. }
        | EventBody::HandedBack { .. }
        | EventBody::ApprovalDecided { .. }
        | EventBody::SelfReviewBegun { .. }
        | EventBody::SelfReviewed { .. }
        | EventBody::SubagentStarted { .. }
        | EventBody::EngineStarted { .. }
        | EventBody::EngineSaid { .. }
        | EventBody::EngineActed { .. }
        | EventBody::SubagentSaid { .. }
        | EventBody::SubagentTold { .. }
        | EventBody::SubagentStopped { .. }
        | EventBody::SubagentFinished { .. }
        | EventBody::WorkFinished { .. }
        | EventBody::FeedbackReceived { .. }
        // They tell that the agent pauses and goes on, and that a question was shown.
        | EventBody::StateChanged {
            state: RunState::Working | RunState::Paused { .. } | RunState::Waiting { .. },
        }
        // It tells which run began the steps so far.
        | EventBody::RunForked { .. } => Some(body.clone()),
        EventBody::RunSubmitted { .. }
        | EventBody::NetworkOpened { .. }
        | EventBody::ConnectionsRecorded { .. }
        | EventBody::StateChanged { .. }
        | EventBody::SandboxRequested { .. }
        | EventBody::SandboxReady { .. }
        | EventBody::SandboxStopped { .. }
        // What came of those that were under way is the other run's.
        | EventBody::EngineCallIntended { .. }
        | EventBody::TurnRetried { .. }
        | EventBody::CompactionRequested { .. }
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
        | EventBody::CheckpointIntended { .. }
        | EventBody::CheckpointSaved { .. }
        | EventBody::CheckpointFailed { .. }
        | EventBody::CheckpointRemoved { .. }
        | EventBody::RewindIntended { .. }
        | EventBody::Rewound { .. }
        | EventBody::SandboxRestored { .. }
        | EventBody::TakenOver { .. }
        | EventBody::HostSlept { .. }
        | EventBody::OwnerResumed { .. } => None,
    }
}

#[cfg(test)]
mod tests;
