//! From events to the state of a run: one pure function, used when events are appended and when all is replayed.

use nightshift_protocol::{
    CheckpointCause, Event, EventBody, Glance, Plan, PlanStepState, QueueReason, ResultPart, Reviewing,
    RunId, RunState, RunSummary, SubagentSummary, TURNS_OF_SUBAGENT, Usage, is_mcp_answer, subagent_of,
};

use crate::reviewing::review;

/// The longest title of a plan's step that is kept, in characters.
const LONGEST_TITLE: usize = 200;

/// Subagents of one run that its summary tells of at most.
const MOST_SUBAGENTS: usize = 100;

/// An event that cannot stand where it is in its run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// The run does not exist: its first event must be `runSubmitted`.
    #[error("{event} cannot be the first event of {run}: the run was never submitted")]
    NeverSubmitted {
        /// The run.
        run: RunId,
        /// The event's type.
        event: &'static str,
    },
    /// The run exists already.
    #[error("{run} was submitted before")]
    SubmittedTwice {
        /// The run.
        run: RunId,
    },
}

/// The run after `event`, given the run before it (`None` before its first event).
pub fn project(before: Option<RunSummary>, event: &Event) -> Result<RunSummary, Misplaced> {
    let mut run = match (before, &event.body) {
        (None, EventBody::RunSubmitted { task, branch, attempt, .. }) => RunSummary {
            run: event.run.clone(),
            task: task.clone(),
            attempt: *attempt,
            forked_from: None,
            state: RunState::Queued { reason: QueueReason::Submitted },
            sandbox: None,
            suspended: false,
            branch: branch.clone(),
            turns: 0,
            steps: 0,
            usage: Usage::default(),
            subagents: Vec::new(),
            glance: Glance::default(),
            reviewing: Reviewing::default(),
            last_seq: 0,
            updated_at: event.at,
        },
        (Some(_), EventBody::RunSubmitted { .. }) => {
            return Err(Misplaced::SubmittedTwice { run: event.run.clone() });
        }
        (Some(run), _) => run,
        (None, body) => {
            return Err(Misplaced::NeverSubmitted { run: event.run.clone(), event: body.name() });
        }
    };
    review(&mut run, event);
    match &event.body {
        EventBody::StateChanged { state } => run.state = state.clone(),
        EventBody::SandboxRequested { sandbox } | EventBody::SandboxRestored { sandbox, .. } => {
            (run.sandbox, run.suspended) = (Some(sandbox.clone()), false);
        }
        // It is in its checkpoint until there is room for it.
        EventBody::RunForked { from, sandbox, .. } => {
            run.forked_from = Some(from.clone());
            (run.sandbox, run.suspended) = (Some(sandbox.clone()), true);
        }
        EventBody::CheckpointSaved { cause: CheckpointCause::Suspended, .. } => {
            run.suspended = run.sandbox.is_some();
        }
        EventBody::SandboxStopped { sandbox, .. } => {
            if run.sandbox.as_ref() == Some(sandbox) {
                (run.sandbox, run.suspended) = (None, false);
            }
        }
        // A call that is asked for again after a crash keeps its number, so it is counted once.
        EventBody::TurnRequested { turn } => match subagent_of(*turn) {
            Some(number) => {
                let made = turn % TURNS_OF_SUBAGENT;
                with_subagent(&mut run, number, |subagent| subagent.turns = subagent.turns.max(made));
            }
            None => run.turns = run.turns.max(*turn),
        },
        EventBody::SubagentStarted { subagent, .. } => {
            // One that a run went back behind is started anew under the same number.
            run.subagents.retain(|known| known.number < subagent.number);
            if run.subagents.len() < MOST_SUBAGENTS {
                run.subagents.push(SubagentSummary {
                    number: subagent.number,
                    name: subagent.name.clone(),
                    title: subagent.title.chars().take(LONGEST_TITLE).collect(),
                    background: subagent.background,
                    outcome: None,
                    turns: 0,
                    steps: 0,
                    started_at: event.at,
                });
            }
        }
        EventBody::SubagentFinished { number, outcome, .. } => {
            with_subagent(&mut run, *number, |subagent| subagent.outcome = Some(outcome.clone()));
        }
        EventBody::TurnFinished { usage, .. }
        | EventBody::TurnLost { usage, .. }
        | EventBody::Compacted { usage, .. } => run.usage += *usage,
        EventBody::EngineCalledModel { call, .. } => run.usage += call.usage,
        EventBody::LimitsRaised { limits } => run.task.limits = *limits,
        EventBody::StepFinished { step, content, .. } => {
            run.steps += 1;
            if let Some(number) = subagent_of(step.turn) {
                with_subagent(&mut run, number, |subagent| subagent.steps += 1);
            }
            let picture = content.iter().rev().find_map(|part| match part {
                ResultPart::Image { image } => Some(image.clone()),
                ResultPart::Text { .. } => None,
            });
            run.glance.screen = picture.filter(|_| !is_mcp_answer(content)).or(run.glance.screen);
        }
        EventBody::PlanChanged { plan } => glance_at(plan, &mut run.glance),
        EventBody::RunSubmitted { .. }
        | EventBody::NetworkOpened { .. }
        | EventBody::ConnectionsRecorded { .. }
        | EventBody::SandboxReady { .. }
        | EventBody::RepositoryImported { .. }
        | EventBody::McpServersStarted { .. }
        | EventBody::ConversationStarted { .. }
        | EventBody::TurnRetried { .. }
        | EventBody::CompactionRequested { .. }
        | EventBody::StepIntended { .. }
        | EventBody::EvidenceNoted { .. }
        | EventBody::PersonSaid { .. }
        | EventBody::MessageQueued { .. }
        | EventBody::Interrupted
        | EventBody::ApprovalDecided { .. }
        | EventBody::SelfReviewBegun { .. }
        | EventBody::SelfReviewed { .. }
        | EventBody::EngineStarted { .. }
        | EventBody::EngineSaid { .. }
        | EventBody::EngineActed { .. }
        | EventBody::EngineCallIntended { .. }
        | EventBody::SubagentSaid { .. }
        | EventBody::SubagentTold { .. }
        | EventBody::SubagentStopped { .. }
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
        | EventBody::FeedbackReceived { .. }
        | EventBody::FeedbackAnswered { .. }
        | EventBody::FeedbackTold { .. }
        | EventBody::FeedbackNoted { .. }
        | EventBody::BaseBroughtIn { .. }
        | EventBody::IssueTold { .. }
        | EventBody::FeedbackWithdrawn { .. }
        | EventBody::ReviewApproved { .. }
        | EventBody::PullRequestOpened { .. }
        | EventBody::CheckpointIntended { .. }
        | EventBody::CheckpointSaved { .. }
        | EventBody::CheckpointFailed { .. }
        | EventBody::CheckpointRemoved { .. }
        | EventBody::RewindIntended { .. }
        | EventBody::Rewound { .. }
        | EventBody::TakenOver { .. }
        | EventBody::HandedBack { .. }
        | EventBody::OwnerResumed { .. }
        | EventBody::HostSlept { .. } => {}
    }
    run.last_seq = event.seq;
    run.updated_at = event.at;
    Ok(run)
}

fn with_subagent(run: &mut RunSummary, number: u32, change: impl FnOnce(&mut SubagentSummary)) {
    if let Some(subagent) = run.subagents.iter_mut().find(|subagent| subagent.number == number) {
        change(subagent);
    }
}

fn glance_at(plan: &Plan, glance: &mut Glance) {
    let count = |wanted: fn(PlanStepState) -> bool| {
        u32::try_from(plan.steps.iter().filter(|step| wanted(step.state)).count()).unwrap_or(u32::MAX)
    };
    glance.plan_steps = count(|state| state != PlanStepState::Dropped);
    glance.plan_done = count(|state| state == PlanStepState::Done);
    let active = plan.steps.iter().find(|step| step.state == PlanStepState::Active);
    glance.doing = active.map(|step| step.title.chars().take(LONGEST_TITLE).collect()).unwrap_or_default();
}
