//! What a person is told whose wish a run cannot follow: where the run is, and what can be done there.

use nightshift_protocol::{ErrorCode, RunId, RunState, UserError};

use crate::transition::{TransitionDenied, Trigger};

/// What was wished for, as far as it makes a difference to the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wished {
    /// That it stops for now.
    Pause,
    /// That it goes on.
    Continue,
    /// That it is given up.
    Cancel,
    /// That its pull request is decided on.
    Decide,
}

impl Wished {
    /// What a trigger of a person's is meant to do.
    pub(super) fn of(trigger: &Trigger) -> Self {
        match trigger {
            Trigger::Pause(_) => Self::Pause,
            Trigger::Continue => Self::Continue,
            Trigger::Cancel => Self::Cancel,
            Trigger::Merge
            | Trigger::Close
            | Trigger::Wait(_)
            | Trigger::Admit(_)
            | Trigger::Prepare(_)
            | Trigger::Begin
            | Trigger::Ask { .. }
            | Trigger::Answer
            | Trigger::GoBack
            | Trigger::FinishWork
            | Trigger::Open(_)
            | Trigger::Rework
            | Trigger::Escalate(_)
            | Trigger::Fail(_) => Self::Decide,
        }
    }
}

/// The answer to a wish that `denied` stands against, of a run that is in `state`.
pub(super) fn refused(run: &RunId, state: &RunState, wished: Wished, denied: &TransitionDenied) -> UserError {
    let name = state.words();
    let (message, hint) = match (denied, wished, state) {
        (TransitionDenied::PullRequestOpen { .. }, ..) => (
            denied.to_string(),
            format!(
                "`nightshift review close {run}` gives it up with the run; `nightshift pause {run}` stops the agent."
            ),
        ),
        (TransitionDenied::AlreadyFinal { .. }, ..) => (
            denied.to_string(),
            format!(
                "Nothing is left to do; `nightshift show {run}` tells what it came to, `nightshift exec` gives a new task."
            ),
        ),
        (TransitionDenied::NotNow { .. }, Wished::Pause, RunState::Paused { .. }) => (
            "the run is paused already".to_owned(),
            format!("`nightshift continue {run}` lets it go on; `nightshift cancel {run}` gives it up."),
        ),
        (TransitionDenied::NotNow { .. }, Wished::Pause, _) => (
            "the run is in review, and nothing of it is under way that could be paused".to_owned(),
            format!("`nightshift review show {run}` shows its pull request."),
        ),
        (
            TransitionDenied::NotNow { .. },
            Wished::Continue,
            RunState::Waiting { approval: Some(step), .. },
        ) => (
            format!("the run is not paused: it waits for your yes to step {step}"),
            format!("`nightshift approve {run}` lets it run, `nightshift deny {run}` does not."),
        ),
        (TransitionDenied::NotNow { .. }, Wished::Continue, RunState::Waiting { .. }) => (
            "the run is not paused: it waits for your answer".to_owned(),
            format!("Answer with `nightshift steer {run} \"…\"`."),
        ),
        (TransitionDenied::NotNow { .. }, Wished::Continue, RunState::InReview { .. }) => (
            "the run is not paused: its pull request waits for your review".to_owned(),
            format!(
                "`nightshift review show {run}` shows it; `nightshift review ask {run} \"…\"` lets the agent go on."
            ),
        ),
        (TransitionDenied::NotNow { .. }, Wished::Continue, _) => {
            (format!("the run is not paused: it is {name}"), format!("`nightshift watch {run}` follows it."))
        }
        (TransitionDenied::NotNow { .. }, Wished::Cancel | Wished::Decide, _) => {
            (denied.to_string(), format!("It is {name}; `nightshift watch {run}` follows it."))
        }
    };
    UserError::new(ErrorCode::Conflict, message, hint)
}

/// Where the sandbox of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// There is none.
    Nowhere,
    /// It runs.
    InMemory,
    /// It is suspended.
    OnDisk,
}

/// What to do about a sandbox that cannot be suspended, of a run that is in `state`.
pub(super) fn instead_of_suspending(run: &RunId, state: &RunState, sandbox: Held) -> String {
    match (state, sandbox) {
        (RunState::InReview { .. }, _) => {
            format!(
                "In review its sandbox holds no memory; `nightshift review ask {run} \"…\"` brings it back."
            )
        }
        (_, Held::OnDisk) => {
            format!(
                "Its sandbox is on disk already until the run goes on; `nightshift show {run}` tells what it waits for."
            )
        }
        (_, Held::Nowhere) => format!("It has no sandbox; `nightshift show {run}` tells where it is."),
        (RunState::Paused { .. } | RunState::Waiting { .. }, Held::InMemory) => {
            format!(
                "It is suspended just now, or its host cannot do that; `nightshift show {run}` tells more."
            )
        }
        (
            RunState::Queued { .. } | RunState::Preparing { .. } | RunState::Working | RunState::Delivering,
            Held::InMemory,
        ) => format!("Pause it first: `nightshift pause {run}`."),
        (
            RunState::Merged { .. } | RunState::Closed { .. } | RunState::Cancelled | RunState::Failed { .. },
            Held::InMemory,
        ) => format!("It is over; `nightshift show {run}` tells what it came to."),
    }
}

/// What to do about a sandbox that cannot be saved now.
pub(super) fn instead_of_saving(run: &RunId, sandbox: Held) -> String {
    match sandbox {
        Held::OnDisk => {
            format!("Its sandbox is saved as it is; `nightshift checkpoint list {run}` shows where.")
        }
        Held::Nowhere | Held::InMemory => "It needs a sandbox in which the agent has begun.".to_owned(),
    }
}

/// What can be done with a run of which nothing is under way that could be interrupted.
pub(super) fn instead_of_interrupting(run: &RunId, state: &RunState) -> String {
    match state {
        RunState::InReview { .. } => format!(
            "`nightshift review ask {run} \"…\"` lets its agent go on, `nightshift review close {run}` gives it up."
        ),
        RunState::Paused { .. } => {
            format!("`nightshift continue {run}` lets it go on, `nightshift cancel {run}` gives it up.")
        }
        RunState::Queued { .. }
        | RunState::Preparing { .. }
        | RunState::Working
        | RunState::Waiting { .. } => {
            format!("`nightshift steer {run} \"…\"` writes to it, `nightshift cancel {run}` gives it up.")
        }
        RunState::Delivering => format!("`nightshift watch {run}` follows it."),
        RunState::Merged { .. } | RunState::Closed { .. } | RunState::Cancelled | RunState::Failed { .. } => {
            format!("`nightshift show {run}` tells what it came to.")
        }
    }
}

/// What can be done with a run whose mouse and keyboard cannot be taken over.
pub(super) fn instead_of_taking_over(run: &RunId, state: &RunState) -> String {
    match state {
        RunState::InReview { .. } => format!(
            "Ask for changes (`nightshift review ask {run} \"…\"`): its sandbox comes back with the agent."
        ),
        RunState::Queued { .. }
        | RunState::Preparing { .. }
        | RunState::Working
        | RunState::Waiting { .. }
        | RunState::Delivering
        | RunState::Paused { .. }
        | RunState::Merged { .. }
        | RunState::Closed { .. }
        | RunState::Cancelled
        | RunState::Failed { .. } => {
            "A run can be taken over while its agent works, waits or is paused.".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{PauseReason, PullRequestId};

    use super::*;
    use crate::transition::transition;

    fn answer(state: RunState, opened: Option<PullRequestId>, trigger: Trigger) -> String {
        let run: RunId = "run-0123456789".parse().unwrap();
        let wished = Wished::of(&trigger);
        let denied = transition(&state, opened, trigger).unwrap_err();
        let UserError { code, message, hint } = refused(&run, &state, wished, &denied);
        assert_eq!(code, ErrorCode::Conflict);
        format!("{message}\n  {hint}")
    }

    #[test]
    fn every_refusal_says_where_the_run_is_and_what_can_be_done_there() {
        let paused = || RunState::Paused { reason: PauseReason::Person };
        let review = || RunState::InReview { pull_request: PullRequestId(4) };
        let pause = || Trigger::Pause(PauseReason::Person);
        let waiting = |approval| RunState::Waiting { question: "Which?".to_owned(), approval };
        let opened = Some(PullRequestId(4));
        let answers = [
            answer(RunState::Cancelled, None, Trigger::Cancel),
            answer(paused(), None, pause()),
            answer(review(), opened, pause()),
            answer(RunState::Working, None, Trigger::Continue),
            answer(waiting(None), None, Trigger::Continue),
            answer(waiting("4.1".parse().ok()), None, Trigger::Continue),
            answer(review(), opened, Trigger::Continue),
            answer(review(), opened, Trigger::Cancel),
            answer(RunState::Working, None, Trigger::Merge),
        ];
        insta::assert_snapshot!(answers.join("\n"), @r#"
        the run is already cancelled
          Nothing is left to do; `nightshift show run-0123456789` tells what it came to, `nightshift exec` gives a new task.
        the run is paused already
          `nightshift continue run-0123456789` lets it go on; `nightshift cancel run-0123456789` gives it up.
        the run is in review, and nothing of it is under way that could be paused
          `nightshift review show run-0123456789` shows its pull request.
        the run is not paused: it is working
          `nightshift watch run-0123456789` follows it.
        the run is not paused: it waits for your answer
          Answer with `nightshift steer run-0123456789 "…"`.
        the run is not paused: it waits for your yes to step 4.1
          `nightshift approve run-0123456789` lets it run, `nightshift deny run-0123456789` does not.
        the run is not paused: its pull request waits for your review
          `nightshift review show run-0123456789` shows it; `nightshift review ask run-0123456789 "…"` lets the agent go on.
        its pull request #4 is open
          `nightshift review close run-0123456789` gives it up with the run; `nightshift pause run-0123456789` stops the agent.
        a run that is working cannot do that
          It is working; `nightshift watch run-0123456789` follows it.
        "#);
    }

    #[test]
    fn who_wants_to_suspend_is_told_what_fits_the_run_and_a_run_in_review_is_not_to_be_paused() {
        let run: RunId = "run-0123456789".parse().unwrap();
        let review = RunState::InReview { pull_request: PullRequestId(4) };
        let paused = RunState::Paused { reason: PauseReason::Person };
        let hints = [
            instead_of_suspending(&run, &review, Held::OnDisk),
            instead_of_suspending(&run, &review, Held::Nowhere),
            instead_of_suspending(&run, &RunState::Working, Held::InMemory),
            instead_of_suspending(&run, &RunState::Working, Held::Nowhere),
            instead_of_suspending(&run, &paused, Held::OnDisk),
            instead_of_suspending(&run, &RunState::Cancelled, Held::Nowhere),
            instead_of_saving(&run, Held::OnDisk),
            instead_of_saving(&run, Held::Nowhere),
        ];
        insta::assert_snapshot!(hints.join("\n"), @r#"
        In review its sandbox holds no memory; `nightshift review ask run-0123456789 "…"` brings it back.
        In review its sandbox holds no memory; `nightshift review ask run-0123456789 "…"` brings it back.
        Pause it first: `nightshift pause run-0123456789`.
        It has no sandbox; `nightshift show run-0123456789` tells where it is.
        Its sandbox is on disk already until the run goes on; `nightshift show run-0123456789` tells what it waits for.
        It has no sandbox; `nightshift show run-0123456789` tells where it is.
        Its sandbox is saved as it is; `nightshift checkpoint list run-0123456789` shows where.
        It needs a sandbox in which the agent has begun.
        "#);
    }

    #[test]
    fn who_wants_to_interrupt_or_take_over_a_run_in_review_is_told_how_its_agent_goes_on() {
        let run: RunId = "run-0123456789".parse().unwrap();
        let review = RunState::InReview { pull_request: PullRequestId(4) };
        for hint in [instead_of_interrupting(&run, &review), instead_of_taking_over(&run, &review)] {
            assert!(hint.contains("`nightshift review ask run-0123456789 \"…\"`"), "{hint}");
        }
        let working = instead_of_interrupting(&run, &RunState::Working);
        assert!(working.starts_with("`nightshift steer run-0123456789"), "{working}");
        let merged = RunState::Merged { pull_request: PullRequestId(4) };
        assert!(instead_of_interrupting(&run, &merged).contains("nightshift show"));
    }

    #[test]
    fn no_answer_names_a_state_without_a_way_on() {
        for trigger in
            [Trigger::Pause(PauseReason::Person), Trigger::Continue, Trigger::Cancel, Trigger::Merge]
        {
            for state in
                [RunState::Working, RunState::Cancelled, RunState::Paused { reason: PauseReason::Person }]
            {
                let run: RunId = "run-0123456789".parse().unwrap();
                let wished = Wished::of(&trigger);
                if let Err(denied) = transition(&state, None, trigger.clone()) {
                    let error = refused(&run, &state, wished, &denied);
                    assert!(error.hint.contains("`nightshift "), "{error:?}");
                }
            }
        }
    }
}
