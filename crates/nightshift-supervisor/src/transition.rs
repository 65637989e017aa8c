//! The one place where a run goes from one state to another.
//!
//! ```text
//! queued ─Admit▶ preparing ─Begin▶ working ⇄ waiting
//!                                   │ FinishWork
//!                                   ▼
//!          working ◀GoBack─     delivering ─Open▶ inReview ─Merge▶ merged
//!                                                     ├────Close▶ closed
//!                                                     ├───Rework▶ queued
//!                                                     └─Escalate▶ paused
//! queued, preparing, working, waiting, delivering ─Pause▶ paused ─Continue▶ queued
//! anything before review ─Cancel▶ cancelled         anything before review ─Fail▶ failed
//! ```
//!
//! Once its pull request is open, a run is merged or closed with it, whatever its agent does meanwhile; it cannot be
//! cancelled, and what would fail it pauses it.

use nightshift_protocol::{
    FailureReason, PauseReason, PreparingPhase, PullRequestId, QueueReason, RunState, StepId, UserError,
};

/// What makes a run change its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// It has to wait, and why is now known.
    Wait(QueueReason),
    /// There is room for it; it takes up its work where it stands.
    Admit(Stage),
    /// The preparation reached a phase.
    Prepare(PreparingPhase),
    /// The sandbox and the repository are ready.
    Begin,
    /// The agent asked a person, or a command of its needs a yes.
    Ask {
        /// The question.
        question: String,
        /// The step that needs a yes.
        approval: Option<StepId>,
    },
    /// The person answered.
    Answer,
    /// It goes back to a moment in which the agent worked.
    GoBack,
    /// The agent finished.
    FinishWork,
    /// The pull request is open.
    Open(PullRequestId),
    /// The pull request was merged.
    Merge,
    /// The pull request was closed.
    Close,
    /// Others had something to say about the pull request, and the agent deals with it.
    Rework,
    /// Others had something to say about the pull request, and a person has to decide.
    Escalate(UserError),
    /// It is to stop for now.
    Pause(PauseReason),
    /// It is to go on after a pause.
    Continue,
    /// A person gives it up.
    Cancel,
    /// It cannot go on.
    Fail(UserError),
}

/// How far a run's work is when there is room for it: after a pause it does not begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its sandbox is not ready.
    Unprepared,
    /// The agent can go on.
    Prepared,
    /// The agent is done, the delivery is not.
    Finished,
}

/// A change of state that makes no sense; nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransitionDenied {
    /// The run is over.
    #[error("the run is already {state}")]
    AlreadyFinal {
        /// The state in words.
        state: &'static str,
    },
    /// What it made is in review.
    #[error("its pull request #{pull_request} is open")]
    PullRequestOpen {
        /// The pull request.
        pull_request: PullRequestId,
    },
    /// The run is elsewhere.
    #[error("a run that is {state} cannot do that")]
    NotNow {
        /// The state in words.
        state: &'static str,
    },
}

/// Returns the state that `trigger` leads to from `state`, in a run whose open pull request is `opened`.
pub(crate) fn transition(
    state: &RunState,
    opened: Option<PullRequestId>,
    trigger: Trigger,
) -> Result<RunState, TransitionDenied> {
    if state.is_final() {
        return Err(TransitionDenied::AlreadyFinal { state: state.words() });
    }
    let denied = Err(TransitionDenied::NotNow { state: state.words() });
    match trigger {
        Trigger::Wait(reason) => match state {
            RunState::Queued { .. } => Ok(RunState::Queued { reason }),
            _ => denied,
        },
        Trigger::Admit(stage) => match state {
            RunState::Queued { .. } => Ok(match stage {
                Stage::Unprepared => RunState::Preparing { phase: PreparingPhase::Sandbox },
                Stage::Prepared => RunState::Working,
                Stage::Finished => RunState::Delivering,
            }),
            _ => denied,
        },
        Trigger::Prepare(phase) => match state {
            RunState::Preparing { .. } => Ok(RunState::Preparing { phase }),
            _ => denied,
        },
        Trigger::Begin => match state {
            RunState::Preparing { .. } => Ok(RunState::Working),
            _ => denied,
        },
        Trigger::Ask { question, approval } => match state {
            RunState::Working => Ok(RunState::Waiting { question, approval }),
            _ => denied,
        },
        Trigger::Answer => match state {
            RunState::Waiting { .. } => Ok(RunState::Working),
            _ => denied,
        },
        Trigger::GoBack => match state {
            RunState::Waiting { .. } | RunState::Delivering => Ok(RunState::Working),
            _ => denied,
        },
        Trigger::FinishWork => match state {
            RunState::Working => Ok(RunState::Delivering),
            _ => denied,
        },
        Trigger::Open(pull_request) => match state {
            RunState::Delivering => Ok(RunState::InReview { pull_request }),
            _ => denied,
        },
        Trigger::Merge => match opened {
            Some(pull_request) => Ok(RunState::Merged { pull_request }),
            None => denied,
        },
        Trigger::Close => match opened {
            Some(pull_request) => Ok(RunState::Closed { pull_request }),
            None => denied,
        },
        Trigger::Rework => match state {
            RunState::InReview { .. } => Ok(RunState::Queued { reason: QueueReason::Feedback }),
            _ => denied,
        },
        Trigger::Escalate(error) => match state {
            RunState::InReview { .. } => Ok(RunState::Paused { reason: PauseReason::Trouble { error } }),
            _ => denied,
        },
        Trigger::Pause(reason) => match state {
            RunState::Paused { .. } | RunState::InReview { .. } => denied,
            _ => Ok(RunState::Paused { reason }),
        },
        Trigger::Continue => match state {
            RunState::Paused { .. } => Ok(RunState::Queued { reason: QueueReason::Submitted }),
            _ => denied,
        },
        // What is in review is closed, with its pull request.
        Trigger::Cancel => match opened {
            Some(pull_request) => Err(TransitionDenied::PullRequestOpen { pull_request }),
            None => Ok(RunState::Cancelled),
        },
        Trigger::Fail(error) => match (state, opened) {
            (RunState::InReview { .. } | RunState::Paused { .. }, Some(_)) => denied,
            (_, Some(_)) => Ok(RunState::Paused { reason: PauseReason::Trouble { error } }),
            (_, None) => Ok(RunState::Failed { reason: FailureReason { error } }),
        },
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::ErrorCode;
    use proptest::prelude::*;

    use super::*;

    fn error() -> UserError {
        UserError::new(ErrorCode::Internal, "broken", "report it")
    }

    fn triggers() -> impl Strategy<Value = Trigger> {
        prop_oneof![
            Just(Trigger::Wait(QueueReason::SandboxLimit { limit: 2 })),
            Just(Trigger::Admit(Stage::Unprepared)),
            Just(Trigger::Admit(Stage::Prepared)),
            Just(Trigger::Admit(Stage::Finished)),
            Just(Trigger::Prepare(PreparingPhase::Repository)),
            Just(Trigger::Begin),
            Just(Trigger::Ask { question: "which port?".to_owned(), approval: None }),
            Just(Trigger::Answer),
            Just(Trigger::GoBack),
            Just(Trigger::FinishWork),
            Just(Trigger::Open(PullRequestId(1))),
            Just(Trigger::Merge),
            Just(Trigger::Rework),
            Just(Trigger::Escalate(error())),
            Just(Trigger::Close),
            Just(Trigger::Pause(PauseReason::Person)),
            Just(Trigger::Continue),
            Just(Trigger::Cancel),
            Just(Trigger::Fail(error())),
        ]
    }

    fn queued() -> RunState {
        RunState::Queued { reason: QueueReason::Submitted }
    }

    /// Where a run is, and the pull request that it opened.
    type Place = (RunState, Option<PullRequestId>);

    fn step(place: &Place, trigger: Trigger) -> Option<Place> {
        let opened = match trigger {
            Trigger::Open(pull_request) => place.1.or(Some(pull_request)),
            _ => place.1,
        };
        transition(&place.0, place.1, trigger).ok().map(|state| (state, opened))
    }

    fn walk(steps: Vec<Trigger>) -> Place {
        steps.into_iter().fold((queued(), None), |place, trigger| step(&place, trigger).unwrap_or(place))
    }

    proptest! {
        #[test]
        fn nothing_leaves_a_final_state(steps in prop::collection::vec(triggers(), 0..40), last in triggers()) {
            let (state, opened) = walk(steps);
            if state.is_final() {
                prop_assert_eq!(
                    transition(&state, opened, last),
                    Err(TransitionDenied::AlreadyFinal { state: state.words() })
                );
            }
        }

        #[test]
        fn cancel_always_leads_to_cancelled_or_was_too_late(steps in prop::collection::vec(triggers(), 0..40)) {
            let (state, opened) = walk(steps);
            match transition(&state, opened, Trigger::Cancel) {
                Ok(next) => prop_assert_eq!(next, RunState::Cancelled),
                Err(_) => prop_assert!(state.is_final() || opened.is_some()),
            }
        }

        #[test]
        fn only_a_delivery_leads_to_review_and_only_what_was_in_review_is_merged(
            steps in prop::collection::vec(triggers(), 0..60),
        ) {
            let (mut place, mut reviewed) = ((queued(), None), false);
            for trigger in steps {
                let Some(next) = step(&place, trigger) else { continue };
                if matches!(next.0, RunState::InReview { .. }) {
                    prop_assert!(matches!(place.0, RunState::Delivering));
                    reviewed = true;
                }
                if matches!(next.0, RunState::Merged { .. } | RunState::Closed { .. }) {
                    prop_assert!(reviewed);
                }
                if matches!(next.0, RunState::Failed { .. } | RunState::Cancelled) {
                    prop_assert!(!reviewed);
                }
                place = next;
            }
        }

        #[test]
        fn every_run_that_is_not_final_can_still_reach_review(steps in prop::collection::vec(triggers(), 0..40)) {
            // The last place on the walk that was not final: the first is always one.
            let not_final = |place: Place, trigger| match step(&place, trigger) {
                Some(next) if !next.0.is_final() => next,
                _ => place,
            };
            let place = steps.into_iter().fold((queued(), None), not_final);
            let road = [
                Trigger::Answer,
                Trigger::Continue,
                Trigger::Admit(Stage::Unprepared),
                Trigger::Begin,
                Trigger::FinishWork,
                Trigger::Open(PullRequestId(1)),
            ];
            let end = road.into_iter().fold(place, |place, trigger| step(&place, trigger).unwrap_or(place));
            let in_review = matches!(end.0, RunState::InReview { .. });
            prop_assert!(in_review);
        }
    }

    #[test]
    fn an_open_pull_request_can_be_merged_while_its_agent_works_on_it_again() {
        let opened = Some(PullRequestId(3));
        let review = RunState::InReview { pull_request: PullRequestId(3) };
        let again = transition(&review, opened, Trigger::Rework).unwrap();
        assert_eq!(again, RunState::Queued { reason: QueueReason::Feedback });
        let merged = RunState::Merged { pull_request: PullRequestId(3) };
        assert_eq!(transition(&RunState::Working, opened, Trigger::Merge), Ok(merged));
        assert_eq!(
            transition(&RunState::Working, opened, Trigger::Cancel).unwrap_err().to_string(),
            "its pull request #3 is open"
        );
        let paused = RunState::Paused { reason: PauseReason::Trouble { error: error() } };
        assert_eq!(transition(&RunState::Working, opened, Trigger::Fail(error())), Ok(paused));
    }

    #[test]
    fn a_pull_request_in_review_is_not_failed_by_trouble_elsewhere() {
        let state = RunState::InReview { pull_request: PullRequestId(3) };
        assert_eq!(
            transition(&state, Some(PullRequestId(3)), Trigger::Fail(error())),
            Err(TransitionDenied::NotNow { state: "in review" })
        );
    }

    #[test]
    fn after_a_pause_a_finished_run_is_delivered_and_not_worked_on_again() {
        let paused = RunState::Paused { reason: PauseReason::Person };
        let queued = transition(&paused, None, Trigger::Continue).unwrap();
        assert_eq!(transition(&queued, None, Trigger::Admit(Stage::Finished)).unwrap(), RunState::Delivering);
    }

    #[test]
    fn a_refusal_says_what_the_run_is_doing() {
        let denied = transition(&RunState::Working, None, Trigger::Merge).unwrap_err();
        assert_eq!(denied.to_string(), "a run that is working cannot do that");
    }

    #[test]
    fn every_change_of_state_there_is() {
        let states: Vec<RunState> =
            serde_json::from_str(include_str!("../../nightshift-protocol/wire/states.json")).unwrap();
        let triggers = [
            Trigger::Wait(QueueReason::SandboxLimit { limit: 2 }),
            Trigger::Admit(Stage::Unprepared),
            Trigger::Admit(Stage::Prepared),
            Trigger::Admit(Stage::Finished),
            Trigger::Prepare(PreparingPhase::Repository),
            Trigger::Begin,
            Trigger::Ask { question: "Which port?".to_owned(), approval: None },
            Trigger::Answer,
            Trigger::GoBack,
            Trigger::FinishWork,
            Trigger::Open(PullRequestId(1)),
            Trigger::Merge,
            Trigger::Close,
            Trigger::Rework,
            Trigger::Escalate(error()),
            Trigger::Pause(PauseReason::Person),
            Trigger::Continue,
            Trigger::Cancel,
            Trigger::Fail(error()),
        ];
        let mut lines = std::collections::BTreeSet::new();
        // A run in review has an open pull request; others may have one.
        let places = states.iter().flat_map(|state| [(state, None), (state, Some(PullRequestId(1)))]);
        let possible = |(state, opened): &(&RunState, Option<PullRequestId>)| {
            opened.is_some() || !matches!(state, RunState::InReview { .. })
        };
        for (state, opened) in places.filter(possible) {
            for trigger in &triggers {
                if let Ok(next) = transition(state, opened, trigger.clone()) {
                    let trigger = format!("{trigger:?}");
                    let trigger = trigger.split(['(', ' ']).next().unwrap_or_default();
                    let opened = opened.map_or("", |_| ", pull request open");
                    lines.insert(format!("{:<10} {trigger:<10} {}{opened}", state.name(), next.name()));
                }
            }
        }
        insta::assert_snapshot!(lines.into_iter().collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_run_that_is_over_says_so_to_every_wish() {
        let merged = RunState::Merged { pull_request: PullRequestId(1) };
        let denied =
            transition(&merged, Some(PullRequestId(1)), Trigger::Pause(PauseReason::Person)).unwrap_err();
        assert_eq!(denied.to_string(), "the run is already merged");
    }
}
