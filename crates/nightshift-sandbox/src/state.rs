//! A machine's states, what may be asked of it in each, and the one function that moves between them.
//!
//! ```text
//!                               CheckpointRequested
//!                                 ┌───────────▶ Checkpointing ─── StopRequested, or StateSaved and
//!               Started           │  ◀──────────  StateSaved,     │ nothing is to go on
//!   Starting ─────────────▶ Running  SaveFailed                   │
//!      │                       │  │                               │
//!      │                       │  └─ FreezeRequested ─▶ Freezing  │
//!      │ StopRequested         │ StopRequested             │ StopRequested, StateSaved, SaveFailed
//!      └───────────────────────┴────────────┬──────────────┴──────┘
//!                                           ▼
//!                                       Stopping
//!                                           │ ProcessEnded
//!                                           ▼
//!      any other ─────ProcessEnded──────▶ Ended
//! ```
//!
//! A freeze ends the machine, whether it succeeds or not: its memory has become the template's. A checkpoint lets it
//! go on, unless it is saved in order to be suspended; and one that fails always does, because nothing is lost by it.
//! What arrives late (a `Started` after a stop, a second `ProcessEnded`) changes nothing.

use std::fmt;

use crate::checkpoint::AfterSave;

/// Where a machine is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineState {
    /// Its process is being started, or its memory restored.
    Starting,
    /// The guest runs.
    Running,
    /// The guest stands still and its state is being saved.
    Freezing,
    /// Its memory and disk are being saved; the guest stands still for a moment of it.
    Checkpointing {
        /// What becomes of it once it is saved.
        then: AfterSave,
    },
    /// It is being ended.
    Stopping {
        /// What will have been the reason once it has ended.
        reason: EndReason,
    },
    /// It is no more.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// Why a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// It was asked to.
    Stopped,
    /// It was frozen into a template.
    Frozen,
    /// It was saved to be brought back later.
    Suspended,
    /// It was to be frozen and that failed.
    FreezeFailed {
        /// What went wrong.
        what: String,
    },
    /// It ended by itself.
    Died {
        /// What is known about it, in one sentence.
        what: String,
    },
}

impl fmt::Display for EndReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => formatter.write_str("it was stopped"),
            Self::Frozen => formatter.write_str("it was frozen into a template"),
            Self::Suspended => formatter.write_str("it was suspended to disk"),
            Self::FreezeFailed { what } => write!(formatter, "it could not be frozen: {what}"),
            Self::Died { what } => formatter.write_str(what),
        }
    }
}

/// Something asked of a machine, or seen to happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineEvent {
    /// Somebody asks for its end. Legal while it is starting, running, freezing or being saved.
    StopRequested,
    /// Somebody asks for its state to be saved. Legal while it is running.
    FreezeRequested,
    /// Somebody asks for a checkpoint. Legal while it is running.
    CheckpointRequested {
        /// What is to become of it once it is saved.
        then: AfterSave,
    },
    /// Its guest began to run.
    Started,
    /// Its state is saved whole.
    StateSaved,
    /// Its state could not be saved.
    SaveFailed {
        /// What went wrong.
        what: String,
    },
    /// Its process is gone.
    ProcessEnded {
        /// What is known about it, in one sentence.
        what: String,
    },
}

/// Why a machine does not do what was asked. It is the state that forbids it; nothing has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestDenied {
    /// It has not begun to run.
    #[error("the machine is still starting")]
    StillStarting,
    /// Its state is being saved already.
    #[error("the machine is being frozen already")]
    AlreadyFreezing,
    /// A checkpoint of it is being saved already.
    #[error("a checkpoint of the machine is being saved already")]
    AlreadyCheckpointing,
    /// It is being ended already.
    #[error("the machine is being stopped already")]
    AlreadyStopping,
    /// It is no more.
    #[error("the machine has ended")]
    AlreadyEnded,
}

impl MachineState {
    /// Returns the state after `event`; observations are never denied.
    ///
    /// # Errors
    ///
    /// Names why a request is not legal in this state, which then stays as it is.
    pub fn after(&self, event: MachineEvent) -> Result<Self, RequestDenied> {
        use MachineEvent as On;

        let next = match (self, event) {
            (
                Self::Ended { .. },
                On::StopRequested | On::FreezeRequested | On::CheckpointRequested { .. },
            ) => {
                return Err(RequestDenied::AlreadyEnded);
            }
            (
                Self::Stopping { .. },
                On::StopRequested | On::FreezeRequested | On::CheckpointRequested { .. },
            ) => return Err(RequestDenied::AlreadyStopping),
            (Self::Starting, On::FreezeRequested | On::CheckpointRequested { .. }) => {
                return Err(RequestDenied::StillStarting);
            }
            (Self::Freezing, On::FreezeRequested | On::CheckpointRequested { .. }) => {
                return Err(RequestDenied::AlreadyFreezing);
            }
            (Self::Checkpointing { .. }, On::FreezeRequested | On::CheckpointRequested { .. }) => {
                return Err(RequestDenied::AlreadyCheckpointing);
            }

            (
                Self::Starting | Self::Running | Self::Freezing | Self::Checkpointing { .. },
                On::StopRequested,
            ) => Self::Stopping { reason: EndReason::Stopped },
            (Self::Running, On::FreezeRequested) => Self::Freezing,
            (Self::Running, On::CheckpointRequested { then }) => Self::Checkpointing { then },
            (Self::Starting, On::Started) => Self::Running,
            (Self::Freezing, On::StateSaved) => Self::Stopping { reason: EndReason::Frozen },
            (Self::Freezing, On::SaveFailed { what }) => {
                Self::Stopping { reason: EndReason::FreezeFailed { what } }
            }
            (Self::Checkpointing { then: AfterSave::End }, On::StateSaved) => {
                Self::Stopping { reason: EndReason::Suspended }
            }
            (Self::Checkpointing { then: AfterSave::GoOn }, On::StateSaved)
            | (Self::Checkpointing { .. }, On::SaveFailed { .. }) => Self::Running,

            (Self::Stopping { reason }, On::ProcessEnded { .. }) => Self::Ended { reason: reason.clone() },
            (
                Self::Starting | Self::Running | Self::Freezing | Self::Checkpointing { .. },
                On::ProcessEnded { what },
            ) => Self::Ended { reason: EndReason::Died { what } },

            (state @ Self::Ended { .. }, On::ProcessEnded { .. })
            | (
                state @ (Self::Running
                | Self::Freezing
                | Self::Checkpointing { .. }
                | Self::Stopping { .. }
                | Self::Ended { .. }),
                On::Started,
            )
            | (
                state @ (Self::Starting | Self::Running | Self::Stopping { .. } | Self::Ended { .. }),
                On::StateSaved | On::SaveFailed { .. },
            ) => state.clone(),
        };
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ended(what: &str) -> MachineEvent {
        MachineEvent::ProcessEnded { what: what.to_owned() }
    }

    /// The state after all of `events`; a denied request leaves it as it is.
    fn run(events: impl IntoIterator<Item = MachineEvent>) -> MachineState {
        events.into_iter().fold(MachineState::Starting, |state, event| state.after(event).unwrap_or(state))
    }

    fn any_event() -> impl Strategy<Value = MachineEvent> {
        prop_oneof![
            Just(MachineEvent::StopRequested),
            Just(MachineEvent::FreezeRequested),
            Just(MachineEvent::CheckpointRequested { then: AfterSave::GoOn }),
            Just(MachineEvent::CheckpointRequested { then: AfterSave::End }),
            Just(MachineEvent::Started),
            Just(MachineEvent::StateSaved),
            Just(MachineEvent::SaveFailed { what: "disk full".to_owned() }),
            Just(ended("QEMU ended")),
        ]
    }

    proptest! {
        #[test]
        fn stop_always_leads_to_ended(before in prop::collection::vec(any_event(), 0..12)) {
            let state = run(before.into_iter().chain([MachineEvent::StopRequested, ended("gone")]));
            let is_ended = matches!(state, MachineState::Ended { .. });
            prop_assert!(is_ended, "{:?}", state);
        }

        #[test]
        fn nothing_leaves_ended(
            before in prop::collection::vec(any_event(), 0..12),
            after in prop::collection::vec(any_event(), 0..12),
        ) {
            let end = run(before.iter().cloned().chain([ended("gone")]));
            prop_assert_eq!(run(before.into_iter().chain([ended("gone")]).chain(after)), end);
        }

        #[test]
        fn a_machine_runs_only_after_its_start_and_never_after_a_freeze_was_granted_or_its_end_asked_for(
            events in prop::collection::vec(any_event(), 0..12),
        ) {
            let mut state = MachineState::Starting;
            let (mut started, mut over) = (false, false);
            for event in events {
                let Ok(next) = state.after(event.clone()) else { continue };
                started |= event == MachineEvent::Started && !over;
                over |= matches!(
                    event,
                    MachineEvent::StopRequested | MachineEvent::FreezeRequested | MachineEvent::ProcessEnded { .. }
                );
                over |= matches!(next, MachineState::Stopping { .. });
                state = next;
                let alive = matches!(state, MachineState::Running | MachineState::Checkpointing { .. });
                prop_assert_eq!(alive, started && !over, "{:?}", state);
            }
        }

        #[test]
        fn a_checkpoint_that_lets_the_machine_go_on_changes_nothing_of_what_follows(
            after in prop::collection::vec(any_event(), 0..12),
            saved in any::<bool>(),
        ) {
            let outcome = match saved {
                true => MachineEvent::StateSaved,
                false => MachineEvent::SaveFailed { what: "disk full".to_owned() },
            };
            let checkpoint = [MachineEvent::CheckpointRequested { then: AfterSave::GoOn }, outcome];
            let with = [MachineEvent::Started].into_iter().chain(checkpoint).chain(after.clone());
            let without = [MachineEvent::Started].into_iter().chain(after);
            prop_assert_eq!(run(with), run(without));
        }

        #[test]
        fn a_machine_is_suspended_only_after_its_state_was_saved(
            events in prop::collection::vec(any_event(), 0..12),
        ) {
            if let MachineState::Ended { reason: EndReason::Suspended } = run(events.iter().cloned()) {
                let asked = MachineEvent::CheckpointRequested { then: AfterSave::End };
                let asked = events.iter().position(|event| *event == asked);
                prop_assert!(asked.is_some_and(|at| events[at..].contains(&MachineEvent::StateSaved)));
            }
        }

        #[test]
        fn a_template_is_claimed_only_after_its_state_was_saved(
            events in prop::collection::vec(any_event(), 0..12),
        ) {
            if let MachineState::Ended { reason: EndReason::Frozen } = run(events.iter().cloned()) {
                prop_assert!(events.contains(&MachineEvent::StateSaved));
            }
        }
    }

    #[test]
    fn each_refusal_names_the_state_that_forbids_the_request() {
        let stopping = MachineState::Stopping { reason: EndReason::Stopped };
        let gone = MachineState::Ended { reason: EndReason::Stopped };
        let refusals = [
            MachineState::Starting.after(MachineEvent::FreezeRequested),
            MachineState::Freezing.after(MachineEvent::FreezeRequested),
            MachineState::Checkpointing { then: AfterSave::GoOn }.after(MachineEvent::FreezeRequested),
            stopping.after(MachineEvent::FreezeRequested),
            stopping.after(MachineEvent::StopRequested),
            gone.after(MachineEvent::FreezeRequested),
            gone.after(MachineEvent::StopRequested),
        ];
        assert_eq!(
            refusals,
            [
                Err(RequestDenied::StillStarting),
                Err(RequestDenied::AlreadyFreezing),
                Err(RequestDenied::AlreadyCheckpointing),
                Err(RequestDenied::AlreadyStopping),
                Err(RequestDenied::AlreadyStopping),
                Err(RequestDenied::AlreadyEnded),
                Err(RequestDenied::AlreadyEnded),
            ]
        );
    }

    #[test]
    fn a_machine_that_dies_while_it_is_stopped_ended_because_it_was_stopped() {
        let state = run([MachineEvent::Started, MachineEvent::StopRequested, ended("QEMU was killed")]);
        assert_eq!(state, MachineState::Ended { reason: EndReason::Stopped });
    }

    #[test]
    fn a_checkpoint_that_fails_lets_the_machine_go_on_even_if_it_was_to_be_suspended() {
        let then = AfterSave::End;
        let failed = MachineEvent::SaveFailed { what: "disk full".to_owned() };
        let state = run([MachineEvent::Started, MachineEvent::CheckpointRequested { then }, failed]);
        assert_eq!(state, MachineState::Running);
    }

    #[test]
    fn a_machine_that_dies_while_it_is_frozen_has_died() {
        let state = run([MachineEvent::Started, MachineEvent::FreezeRequested, ended("QEMU was killed")]);
        assert_eq!(
            state,
            MachineState::Ended { reason: EndReason::Died { what: "QEMU was killed".to_owned() } }
        );
    }

    #[test]
    fn a_start_that_arrives_after_the_stop_does_not_revive_the_machine() {
        let state = run([MachineEvent::StopRequested, MachineEvent::Started]);
        assert_eq!(state, MachineState::Stopping { reason: EndReason::Stopped });
    }
}
