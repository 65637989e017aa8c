//! Forks: runs that go on from another run's checkpoint.
//!
//! ```text
//!   the other run's road to the checkpoint ─▶ runSubmitted, what is carried of it ─▶ runForked ─▶ queued
//! ```

use nightshift_protocol::{
    CheckpointCause, CheckpointCost, CheckpointId, Event, EventBody, QueueReason, RunId, RunState, SandboxId,
    Usage,
};

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
    /// The history that it begins with, where `road` are the events that led to the checkpoint; `None` where they do not
    /// begin with a task.
    pub(crate) fn history(self, road: &[&Event]) -> Option<Vec<EventBody>> {
        let EventBody::RunSubmitted { task, branch: before, attempt, context_tokens } = &road.first()?.body
        else {
            return None;
        };
        let Self { from, checkpoint, sandbox, own, cost, branch, text } = self;
        let (task, before, attempt, context_tokens) =
            (task.clone(), before.clone(), *attempt, *context_tokens);
        let mut bodies = vec![EventBody::RunSubmitted { task, branch, attempt, context_tokens }];
        bodies.extend(road.iter().filter_map(|event| carried(&event.body)));
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

/// What a fork's agent is told: its instructions name the branch of the other run.
pub(super) fn a_fork(branch: &str, before: &str) -> String {
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
        | EventBody::TurnLost { .. }
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
        | EventBody::WorkFinished { .. } => Some(body.clone()),
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
        | EventBody::FeedbackReceived { .. }
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
        | EventBody::RunForked { .. }
        | EventBody::TakenOver { .. }
        | EventBody::OwnerResumed { .. } => None,
    }
}

#[cfg(test)]
mod tests;
