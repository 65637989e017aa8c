//! Runs and what happens in them, in words for a model that follows them.

use nightshift_protocol::{Event, EventBody, PauseReason, QueueReason, RunState, RunSummary};
use serde::Serialize;

/// The longest piece of text of a run that is told while it is waited for, in characters.
const LONGEST: usize = 200;

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) run: String,
    pub(crate) task: String,
    pub(crate) title: String,
    pub(crate) repository: String,
    pub(crate) branch: String,
    pub(crate) state: &'static str,
    /// What the state comes to: a question, a reason, what comes next.
    pub(crate) detail: String,
    /// Whether nothing happens until somebody does something.
    pub(crate) waits_for_you: bool,
    pub(crate) turns: u32,
    pub(crate) cost_usd: f64,
}

impl Line {
    pub(crate) fn of(summary: &RunSummary) -> Self {
        Self {
            run: summary.run.to_string(),
            task: summary.task.id.to_string(),
            title: plain(&summary.task.title()),
            repository: summary.task.repository.clone(),
            branch: summary.branch.clone(),
            state: summary.state.name(),
            detail: detail(&summary.state),
            waits_for_you: is_decided(&summary.state) && !summary.state.is_final(),
            turns: summary.turns,
            #[expect(clippy::cast_precision_loss, reason = "money of one run is far below 2^52 millionths")]
            cost_usd: summary.usage.cost_microdollars as f64 / 1_000_000.0,
        }
    }
}

/// Whether a run does nothing more by itself.
pub(crate) fn is_decided(state: &RunState) -> bool {
    match state {
        RunState::Queued { .. } | RunState::Preparing { .. } | RunState::Working | RunState::Delivering => {
            false
        }
        RunState::Waiting { .. }
        | RunState::Paused { .. }
        | RunState::InReview { .. }
        | RunState::Merged { .. }
        | RunState::Closed { .. }
        | RunState::Cancelled
        | RunState::Failed { .. } => true,
    }
}

/// What a state comes to, and what to do about it.
pub(crate) fn detail(state: &RunState) -> String {
    match state {
        RunState::Queued { reason: QueueReason::Submitted } => "It begins when there is room.".to_owned(),
        RunState::Queued { reason: QueueReason::Feedback } => {
            "It goes back to work when there is room.".to_owned()
        }
        RunState::Queued { reason: QueueReason::SandboxLimit { limit } } => {
            format!("It waits for one of {limit} sandboxes.")
        }
        RunState::Queued {
            reason:
                reason @ (QueueReason::ReviewLimit { .. }
                | QueueReason::Memory { .. }
                | QueueReason::Processors
                | QueueReason::Disk { .. }),
        } => format!("It waits: {}.", reason.words()),
        RunState::Preparing { .. } => "Its sandbox is made ready.".to_owned(),
        RunState::Working => "The agent works.".to_owned(),
        RunState::Waiting { question, approval: None } => {
            format!("It asks: {}. Answer with task_answer.", plain(question))
        }
        RunState::Waiting { question, approval: Some(_) } => {
            format!("It needs a person's yes: {}", plain(question))
        }
        RunState::Delivering => "The work becomes a pull request.".to_owned(),
        RunState::InReview { pull_request } => {
            format!("Pull request #{pull_request} waits for a review: review_show.")
        }
        RunState::Paused { reason: PauseReason::Person } => "A person paused it: task_continue.".to_owned(),
        RunState::Paused { reason: PauseReason::Limit { limit } } => {
            format!("Its limit is reached ({}). A person decides whether to raise it.", plain(limit))
        }
        RunState::Paused { reason: PauseReason::Trouble { error } } => {
            format!("{} {} Then: task_continue.", plain(&error.message), plain(&error.hint))
        }
        RunState::Merged { pull_request } => format!("Pull request #{pull_request} was merged."),
        RunState::Closed { pull_request } => format!("Pull request #{pull_request} was closed."),
        RunState::Cancelled => "It was given up.".to_owned(),
        RunState::Failed { reason } => {
            format!("{} {}", plain(&reason.error.message), plain(&reason.error.hint))
        }
    }
}

/// What is told of an event to whoever waits; `None` for those that are no news.
pub(crate) fn told(event: &Event) -> Option<String> {
    match &event.body {
        EventBody::StateChanged { state } => Some(format!("{}: {}", state.name(), detail(state))),
        EventBody::StepIntended { step, call, .. } => {
            let input = serde_json::to_string(&call.input).unwrap_or_default();
            Some(format!("step {step}: {} {}", plain(&call.name), plain(&input)))
        }
        EventBody::PlanChanged { plan } => {
            let done =
                plan.steps.iter().filter(|step| step.state == nightshift_protocol::PlanStepState::Done);
            Some(format!("plan: {} of {} steps done", done.count(), plan.steps.len()))
        }
        EventBody::EvidenceNoted { evidence } => Some(format!("evidence: {}", plain(&evidence.claim))),
        EventBody::SelfReviewBegun { round, .. } => {
            Some(format!("self-review, round {round}: a critic looks at the work"))
        }
        EventBody::SelfReviewed { review } => {
            Some(format!("self-review, round {}: {}", review.round, plain(&review.outcome_in_words())))
        }
        EventBody::SubagentStarted { subagent, .. } => {
            Some(format!("subagent {}: {}", plain(&subagent.name), plain(&subagent.title)))
        }
        EventBody::SubagentFinished { number, report, .. } => {
            Some(format!("subagent {number} has ended: {}", plain(report)))
        }
        EventBody::TurnRetried { reason, .. } => Some(format!("the model is asked again: {}", plain(reason))),
        _ => None,
    }
}

/// One line without control characters, cut: it may come from a sandbox.
pub(crate) fn plain(text: &str) -> String {
    let mut plain: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(LONGEST + 1)
        .collect();
    if plain.chars().count() > LONGEST {
        plain.pop();
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{ErrorCode, OffsetDateTime, PullRequestId, UserError};

    use super::*;

    fn event(body: EventBody) -> Event {
        let run = "run-0000000000".parse().unwrap();
        Event { position: 1, run, seq: 1, at: OffsetDateTime::UNIX_EPOCH, body }
    }

    #[test]
    fn a_question_is_told_with_what_to_do_about_it() {
        let state = RunState::Waiting { question: "Which\x1b[31m port?".to_owned(), approval: None };
        assert_eq!(detail(&state), "It asks: Which [31m port?. Answer with task_answer.");
        assert!(is_decided(&state));
    }

    #[test]
    fn a_trouble_is_told_with_its_hint() {
        let error = UserError::new(ErrorCode::DiskFull, "the disk is full.", "Free some space.");
        let state = RunState::Paused { reason: PauseReason::Trouble { error } };
        assert_eq!(detail(&state), "the disk is full. Free some space. Then: task_continue.");
    }

    #[test]
    fn what_comes_from_a_sandbox_is_one_line_of_bounded_length() {
        assert_eq!(plain("a\nb\tc"), "a b c");
        let long = plain(&"ü".repeat(10_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (LONGEST + 1, true));
    }

    #[test]
    fn states_and_retries_are_news_and_a_heartbeat_is_not() {
        let state = RunState::InReview { pull_request: PullRequestId(3) };
        let said = told(&event(EventBody::StateChanged { state })).unwrap();
        assert_eq!(said, "inReview: Pull request #3 waits for a review: review_show.");
        let ended = EventBody::SubagentFinished {
            number: 2,
            outcome: nightshift_protocol::SubagentOutcome::Reported,
            report: "Two\nfindings.".to_owned(),
            work: None,
        };
        assert_eq!(told(&event(ended)).unwrap(), "subagent 2 has ended: Two findings.");
        let retried = EventBody::TurnRetried { turn: 2, reason: "overloaded".to_owned(), wait_ms: 5 };
        assert_eq!(told(&event(retried)).unwrap(), "the model is asked again: overloaded");
        assert_eq!(told(&event(EventBody::TurnRequested { turn: 1 })), None);
    }
}
