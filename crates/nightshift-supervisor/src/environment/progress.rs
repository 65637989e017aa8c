//! Where an environment's set-up stands, folded from its events, and the one decision of what comes next.
//!
//! ```text
//! settingUp(phase) ─▶ … ─▶ ready ─▶ removed          failed ─▶ (retried) ─▶ settingUp(that phase)
//!       └────────────────▶ failed                    machine lost ─▶ settingUp(0), at most so many times
//! ```

use std::collections::BTreeMap;

use nightshift_protocol::{
    CommitId, EnvironmentCause, EnvironmentEvent, EnvironmentEventBody, EnvironmentId, EnvironmentState,
    EnvironmentSummary, OffsetDateTime, PhaseSummary, SandboxId, SetUpPhaseKind, SetUpPlan,
};

/// Machines that are lost before it is given up.
const LOSSES: u32 = 3;

/// An environment, as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvironmentProgress {
    pub(crate) id: EnvironmentId,
    pub(crate) repository: String,
    pub(crate) branch: String,
    pub(crate) commit: CommitId,
    pub(crate) plan: SetUpPlan,
    pub(crate) fingerprint: BTreeMap<String, String>,
    pub(crate) cause: EnvironmentCause,
    pub(crate) state: EnvironmentState,
    pub(crate) sandbox: Option<SandboxId>,
    /// How long each phase that is done took, in milliseconds.
    took: Vec<u64>,
    /// Whether the phase under way was begun, by this owner or one before it.
    begun: bool,
    /// Counts tries, so that each has ids of its own in the sandbox.
    pub(crate) attempt: u32,
    losses: u32,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

/// What to do next for an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Give the sandbox an id and write it down.
    Assign,
    /// Write down that the phase begins.
    Begin(u32),
    /// Carry a phase out. It may have been begun before, by an owner that is gone.
    Perform(u32, SetUpPhaseKind),
    /// Machines were lost again and again.
    GiveUp(u32),
    /// Nothing, until a person wants something.
    Rest,
}

impl EnvironmentProgress {
    /// Folds events; `None` unless they begin as they must.
    pub(crate) fn fold(id: &EnvironmentId, events: &[EnvironmentEvent]) -> Option<Self> {
        let (first, rest) = events.split_first()?;
        let EnvironmentEventBody::Requested { repository, branch, commit, plan, fingerprint, cause } =
            &first.body
        else {
            return None;
        };
        let mut progress = Self {
            id: id.clone(),
            repository: repository.clone(),
            branch: branch.clone(),
            commit: commit.clone(),
            plan: plan.clone(),
            fingerprint: fingerprint.clone(),
            cause: *cause,
            state: EnvironmentState::SettingUp { phase: 0 },
            sandbox: None,
            took: Vec::new(),
            begun: false,
            attempt: 1,
            losses: 0,
            created_at: first.at,
            updated_at: first.at,
        };
        for event in rest {
            progress.apply(event);
        }
        Some(progress)
    }

    fn apply(&mut self, event: &EnvironmentEvent) {
        self.updated_at = event.at;
        match &event.body {
            EnvironmentEventBody::SandboxAssigned { sandbox } => self.sandbox = Some(sandbox.clone()),
            EnvironmentEventBody::PhaseBegun { .. } => self.begun = true,
            EnvironmentEventBody::PhaseDone { phase, took_ms } => {
                if self.state == (EnvironmentState::SettingUp { phase: *phase }) {
                    self.took.push(*took_ms);
                    self.begun = false;
                    self.state = EnvironmentState::SettingUp { phase: phase + 1 };
                }
            }
            EnvironmentEventBody::PhaseFailed { phase, failure } => {
                self.begun = false;
                self.state = EnvironmentState::Failed { phase: *phase, failure: failure.clone() };
            }
            EnvironmentEventBody::Retried => {
                if let EnvironmentState::Failed { phase, .. } = self.state {
                    self.state = EnvironmentState::SettingUp { phase };
                    self.attempt += 1;
                    self.losses = 0;
                }
            }
            EnvironmentEventBody::SandboxLost { .. } => {
                self.sandbox = None;
                self.begun = false;
                self.took.clear();
                self.attempt += 1;
                self.losses += 1;
                self.state = EnvironmentState::SettingUp { phase: 0 };
            }
            EnvironmentEventBody::Frozen { template, took_ms } => {
                self.sandbox = None;
                self.took.push(*took_ms);
                self.state = EnvironmentState::Ready { template: template.clone() };
            }
            EnvironmentEventBody::Removed { reason } => {
                self.sandbox = None;
                self.state = EnvironmentState::Removed { reason: reason.clone() };
            }
            EnvironmentEventBody::Requested { .. }
            | EnvironmentEventBody::NetworkOpened { .. }
            | EnvironmentEventBody::ConnectionsRecorded { .. } => {}
        }
    }

    /// Whether something will happen to it without a person.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.state, EnvironmentState::SettingUp { .. })
    }

    /// The key of its template, once it is one.
    pub(crate) fn template(&self) -> Option<&str> {
        match &self.state {
            EnvironmentState::Ready { template } => Some(template),
            EnvironmentState::SettingUp { .. }
            | EnvironmentState::Failed { .. }
            | EnvironmentState::Removed { .. } => None,
        }
    }

    /// It as lists show it.
    pub(crate) fn summary(&self) -> EnvironmentSummary {
        let phases = self.plan.phases().into_iter().enumerate().map(|(number, phase)| PhaseSummary {
            name: self.plan.name_of(phase),
            took_ms: self.took.get(number).copied(),
        });
        EnvironmentSummary {
            environment: self.id.clone(),
            repository: self.repository.clone(),
            branch: self.branch.clone(),
            commit: self.commit.clone(),
            state: self.state.clone(),
            plan: self.plan.clone(),
            phases: phases.collect(),
            cause: self.cause,
            sandbox: self.sandbox.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// Decides what comes next. The only place that does.
pub(crate) fn next(progress: &EnvironmentProgress) -> Next {
    let EnvironmentState::SettingUp { phase } = progress.state else { return Next::Rest };
    if progress.losses >= LOSSES {
        return Next::GiveUp(phase);
    }
    if progress.sandbox.is_none() {
        return Next::Assign;
    }
    match progress.plan.phases().get(phase as usize) {
        Some(_) if !progress.begun => Next::Begin(phase),
        Some(kind) => Next::Perform(phase, *kind),
        // Freezing is the last phase, and makes it ready.
        None => Next::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightshift_protocol::{ErrorCode, SetUpFailure, SetUpStep, UserError};
    use proptest::prelude::*;

    fn id() -> EnvironmentId {
        "environment-0000000000".parse().unwrap()
    }

    fn requested() -> EnvironmentEventBody {
        let step = |name: &str| SetUpStep { name: name.to_owned(), run: name.to_owned() };
        EnvironmentEventBody::Requested {
            repository: "/src/app".to_owned(),
            branch: "main".to_owned(),
            commit: "a".repeat(40).parse().unwrap(),
            plan: SetUpPlan {
                sources: Vec::new(),
                steps: vec![step("install")],
                checks: vec![step("test")],
                dev_server: None,
                hosts: Vec::new(),
                inputs: Vec::new(),
                notes: Vec::new(),
            },
            fingerprint: BTreeMap::new(),
            cause: EnvironmentCause::Asked,
        }
    }

    fn failure() -> SetUpFailure {
        SetUpFailure {
            command: Some("install".to_owned()),
            exit_code: Some(1),
            error: UserError::new(ErrorCode::SandboxFailed, "no", ""),
            log_tail: "the end".to_owned(),
        }
    }

    fn history(bodies: &[EnvironmentEventBody]) -> EnvironmentProgress {
        let event = |(number, body): (usize, &EnvironmentEventBody)| EnvironmentEvent {
            seq: number as u64 + 1,
            at: OffsetDateTime::UNIX_EPOCH,
            body: body.clone(),
        };
        let events: Vec<EnvironmentEvent> = bodies.iter().enumerate().map(event).collect();
        EnvironmentProgress::fold(&id(), &events).unwrap()
    }

    fn sandbox(letter: char) -> EnvironmentEventBody {
        EnvironmentEventBody::SandboxAssigned {
            sandbox: format!("sandbox-{}", String::from(letter).repeat(10)).parse().unwrap(),
        }
    }

    /// Lets `answer` carry phases out until nothing is left to do.
    fn played(mut answer: impl FnMut(u32) -> EnvironmentEventBody) -> (Vec<u32>, EnvironmentProgress) {
        let (mut bodies, mut performed) = (vec![requested()], Vec::new());
        for _ in 0..200 {
            let body = match next(&history(&bodies)) {
                Next::Assign => sandbox('a'),
                Next::Begin(phase) => EnvironmentEventBody::PhaseBegun { phase },
                Next::Perform(phase, SetUpPhaseKind::Freeze) => {
                    performed.push(phase);
                    EnvironmentEventBody::Frozen { template: "k".to_owned(), took_ms: 1 }
                }
                Next::Perform(phase, _) => {
                    performed.push(phase);
                    answer(phase)
                }
                Next::GiveUp(phase) => EnvironmentEventBody::PhaseFailed { phase, failure: failure() },
                Next::Rest => return (performed, history(&bodies)),
            };
            bodies.push(body);
        }
        panic!("it does not come to rest: {bodies:?}");
    }

    fn done(phase: u32) -> EnvironmentEventBody {
        EnvironmentEventBody::PhaseDone { phase, took_ms: 5 }
    }

    #[test]
    fn phases_are_carried_out_one_after_the_other_until_it_is_ready() {
        let (performed, progress) = played(done);
        assert_eq!(performed, [0, 1, 2, 3, 4]);
        assert_eq!(progress.template(), Some("k"));
        assert_eq!(
            progress.summary().phases.iter().map(|phase| phase.took_ms).collect::<Vec<_>>(),
            [Some(5), Some(5), Some(5), Some(5), Some(1)]
        );
        assert_eq!(progress.sandbox, None);
    }

    #[test]
    fn a_failure_keeps_the_machine_and_is_retried_from_its_phase() {
        let begun = EnvironmentEventBody::PhaseBegun { phase: 2 };
        let failed = EnvironmentEventBody::PhaseFailed { phase: 2, failure: failure() };
        let mut bodies = vec![requested(), sandbox('a'), done(0), done(1), begun, failed];
        let progress = history(&bodies);
        assert_eq!(next(&progress), Next::Rest);
        assert!(progress.sandbox.is_some());
        assert_eq!(progress.state, EnvironmentState::Failed { phase: 2, failure: failure() });
        bodies.push(EnvironmentEventBody::Retried);
        let retried = history(&bodies);
        assert_eq!((next(&retried), retried.attempt), (Next::Begin(2), 2));
    }

    #[test]
    fn a_machine_that_is_lost_again_and_again_is_given_up() {
        let (performed, progress) =
            played(|_| EnvironmentEventBody::SandboxLost { reason: "gone".to_owned() });
        assert_eq!(performed, [0, 0, 0]);
        assert!(matches!(progress.state, EnvironmentState::Failed { phase: 0, .. }));
    }

    #[test]
    fn an_owner_that_comes_later_carries_on_what_was_begun() {
        let bodies = [requested(), sandbox('a'), done(0), EnvironmentEventBody::PhaseBegun { phase: 1 }];
        assert_eq!(next(&history(&bodies)), Next::Perform(1, SetUpPhaseKind::Repository));
    }

    #[test]
    fn what_is_removed_stays_so_and_a_retry_of_what_did_not_fail_changes_nothing() {
        let removed = EnvironmentEventBody::Removed { reason: "asked for".to_owned() };
        let progress = history(&[requested(), sandbox('a'), removed, EnvironmentEventBody::Retried]);
        assert_eq!((next(&progress), progress.sandbox.clone()), (Next::Rest, None));
        let untouched = history(&[requested(), EnvironmentEventBody::Retried]);
        assert_eq!((next(&untouched), untouched.attempt), (Next::Assign, 1));
    }

    proptest! {
        /// Whatever fails or is lost on the way, no phase is carried out before those below it, on the same machine.
        #[test]
        fn no_phase_is_carried_out_before_those_below_it(outcomes in proptest::collection::vec(0..3_u8, 0..40)) {
            let mut outcomes = outcomes.into_iter();
            let mut below = 0;
            let (performed, _) = played(|phase| {
                assert!(phase <= below, "phase {phase} with {below} done");
                match outcomes.next() {
                    Some(1) => EnvironmentEventBody::PhaseFailed { phase, failure: failure() },
                    Some(2) => {
                        below = 0;
                        EnvironmentEventBody::SandboxLost { reason: String::new() }
                    }
                    _ => {
                        below = phase + 1;
                        done(phase)
                    }
                }
            });
            prop_assert!(performed.len() < 60);
        }
    }
}
