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
    let name = state.name();
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
