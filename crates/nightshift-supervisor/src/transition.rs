//! The one place where a run goes from one state to another.
//!
//! ```text
//! queued ─Admit▶ preparing ─Begin▶ working ⇄ waiting
//!                                   │ FinishWork
//!                                   ▼
//!          working ◀GoBack─     delivering ─Open▶ inReview ─Merge▶ merged
//!                                                     └────Close▶ closed
//! queued, preparing, working, waiting, delivering ─Pause▶ paused ─Continue▶ queued
//! anything before review ─Cancel▶ cancelled         anything before review ─Fail▶ failed
//! ```

use nightshift_protocol::{
    FailureReason, PauseReason, PreparingPhase, PullRequestId, QueueReason, RunState, UserError,
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
    /// The agent asked a person.
    Ask(String),
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
        /// The state's name.
        state: &'static str,
    },
    /// The run is elsewhere.
    #[error("a run that is {state} cannot do that")]
    NotNow {
        /// The state's name.
        state: &'static str,
    },
}

/// Returns the state that `trigger` leads to from `state`.
pub(crate) fn transition(state: &RunState, trigger: Trigger) -> Result<RunState, TransitionDenied> {
    if state.is_final() {
        return Err(TransitionDenied::AlreadyFinal { state: state.name() });
    }
    let denied = Err(TransitionDenied::NotNow { state: state.name() });
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
        Trigger::Ask(question) => match state {
            RunState::Working => Ok(RunState::Waiting { question }),
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
        Trigger::Merge => match state {
            RunState::InReview { pull_request } => Ok(RunState::Merged { pull_request: *pull_request }),
            _ => denied,
        },
        Trigger::Close => match state {
            RunState::InReview { pull_request } => Ok(RunState::Closed { pull_request: *pull_request }),
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
        Trigger::Cancel => match state {
            RunState::InReview { .. } => denied,
            _ => Ok(RunState::Cancelled),
        },
        Trigger::Fail(error) => match state {
            RunState::InReview { .. } => denied,
            _ => Ok(RunState::Failed { reason: FailureReason { error } }),
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
            Just(Trigger::Ask("which port?".to_owned())),
            Just(Trigger::Answer),
            Just(Trigger::GoBack),
            Just(Trigger::FinishWork),
            Just(Trigger::Open(PullRequestId(1))),
            Just(Trigger::Merge),
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

    fn walk(steps: Vec<Trigger>) -> RunState {
        steps.into_iter().fold(queued(), |state, trigger| transition(&state, trigger).unwrap_or(state))
    }

    proptest! {
        #[test]
        fn nothing_leaves_a_final_state(steps in prop::collection::vec(triggers(), 0..40), last in triggers()) {
            let state = walk(steps);
            if state.is_final() {
                prop_assert_eq!(
                    transition(&state, last),
                    Err(TransitionDenied::AlreadyFinal { state: state.name() })
                );
            }
        }

        #[test]
        fn cancel_always_leads_to_cancelled_or_was_too_late(steps in prop::collection::vec(triggers(), 0..40)) {
            let state = walk(steps);
            match transition(&state, Trigger::Cancel) {
                Ok(next) => prop_assert_eq!(next, RunState::Cancelled),
                Err(_) => {
                    let in_review = matches!(state, RunState::InReview { .. });
                    prop_assert!(state.is_final() || in_review);
                }
            }
        }

        #[test]
        fn only_a_delivery_leads_to_review_and_only_a_review_to_merged(steps in prop::collection::vec(triggers(), 0..60)) {
            let mut state = queued();
            for trigger in steps {
                let Ok(next) = transition(&state, trigger) else { continue };
                if matches!(next, RunState::InReview { .. }) {
                    prop_assert!(matches!(state, RunState::Delivering));
                }
                if matches!(next, RunState::Merged { .. } | RunState::Closed { .. }) {
                    let reviewed = matches!(state, RunState::InReview { .. });
                    prop_assert!(reviewed);
                }
                state = next;
            }
        }

        #[test]
        fn every_run_that_is_not_final_can_still_reach_review(steps in prop::collection::vec(triggers(), 0..40)) {
            // The last state on the walk that was not final: the first is always one.
            let not_final = |state: RunState, trigger| match transition(&state, trigger) {
                Ok(next) if !next.is_final() => next,
                _ => state,
            };
            let state = steps.into_iter().fold(queued(), not_final);
            let road = [
                Trigger::Answer,
                Trigger::Continue,
                Trigger::Admit(Stage::Unprepared),
                Trigger::Begin,
                Trigger::FinishWork,
                Trigger::Open(PullRequestId(1)),
            ];
            let end = road.into_iter().fold(state, |state, step| transition(&state, step).unwrap_or(state));
            let in_review = matches!(end, RunState::InReview { .. });
            prop_assert!(in_review);
        }
    }

    #[test]
    fn a_pull_request_in_review_is_not_failed_by_trouble_elsewhere() {
        let state = RunState::InReview { pull_request: PullRequestId(3) };
        assert_eq!(
            transition(&state, Trigger::Fail(error())),
            Err(TransitionDenied::NotNow { state: "inReview" })
        );
    }

    #[test]
    fn after_a_pause_a_finished_run_is_delivered_and_not_worked_on_again() {
        let paused = RunState::Paused { reason: PauseReason::Person };
        let queued = transition(&paused, Trigger::Continue).unwrap();
        assert_eq!(transition(&queued, Trigger::Admit(Stage::Finished)).unwrap(), RunState::Delivering);
    }

    #[test]
    fn a_refusal_says_what_the_run_is_doing() {
        let denied = transition(&RunState::Working, Trigger::Merge).unwrap_err();
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
            Trigger::Ask("Which port?".to_owned()),
            Trigger::Answer,
            Trigger::GoBack,
            Trigger::FinishWork,
            Trigger::Open(PullRequestId(1)),
            Trigger::Merge,
            Trigger::Close,
            Trigger::Pause(PauseReason::Person),
            Trigger::Continue,
            Trigger::Cancel,
            Trigger::Fail(error()),
        ];
        let mut lines = std::collections::BTreeSet::new();
        for state in &states {
            for trigger in &triggers {
                if let Ok(next) = transition(state, trigger.clone()) {
                    let trigger = format!("{trigger:?}");
                    let trigger = trigger.split(['(', ' ']).next().unwrap_or_default();
                    lines.insert(format!("{:<10} {trigger:<10} {}", state.name(), next.name()));
                }
            }
        }
        insta::assert_snapshot!(lines.into_iter().collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_run_that_is_over_says_so_to_every_wish() {
        let merged = RunState::Merged { pull_request: PullRequestId(1) };
        let denied = transition(&merged, Trigger::Pause(PauseReason::Person)).unwrap_err();
        assert_eq!(denied.to_string(), "the run is already merged");
    }
}
