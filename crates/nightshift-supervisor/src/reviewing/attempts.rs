//! How the attempts at one task rank: by their checks, then by what the critic found, then by the smaller change.

use std::cmp::Ordering;

use nightshift_agent::grouped;
use nightshift_protocol::{
    AttemptChange, AttemptList, AttemptSummary, CheckTally, DeliveryMeasure, RunState, RunSummary, TaskId,
    VerdictTally,
};

/// Ranks the runs of a task, given in the order of submission.
pub fn attempts(task: TaskId, runs: Vec<RunSummary>) -> AttemptList {
    // What was measured and came to no pull request is nothing that one could take.
    let delivered =
        |run: &RunSummary| run.reviewing.delivered.clone().filter(|_| run.reviewing.pull_request.is_some());
    let deliveries: Vec<Option<DeliveryMeasure>> = runs.iter().map(delivered).collect();
    let attempts = (1..).zip(runs).zip(&deliveries).map(|((number, run), own)| {
        let place = own.as_ref().map(|own| place(number, own, &deliveries));
        AttemptSummary {
            number,
            fork_of: run.forked_from.clone(),
            change: own.as_ref().map(change),
            checks: own.as_ref().and_then(|own| own.checks),
            critic: own.as_ref().and_then(|own| own.critic),
            rank: place.as_ref().map(|place| place.rank),
            why: why(&run.state, own.as_ref().zip(place.as_ref())),
            run,
        }
    });
    let attempts = attempts.collect();
    AttemptList { task, attempts }
}

/// Where a delivery stands among those of the same task.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// From 1.
    rank: u32,
    /// The number of the first attempt just before it, and what decided between the two.
    behind: Option<(u32, Criterion)>,
    /// The numbers of the others that are equal to it.
    shared_with: Vec<u32>,
}

/// What decides between two deliveries, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Criterion {
    Checks,
    Critic,
    Size,
}

impl Criterion {
    const ALL: [Self; 3] = [Self::Checks, Self::Critic, Self::Size];

    /// Which of two deliveries this puts first.
    fn compare(self, one: &DeliveryMeasure, other: &DeliveryMeasure) -> Ordering {
        match self {
            Self::Checks => by_checks(one.checks).cmp(&by_checks(other.checks)),
            Self::Critic => by_critic(one.critic).cmp(&by_critic(other.critic)),
            Self::Size => (one.lines(), one.files).cmp(&(other.lines(), other.files)),
        }
    }

    /// Why the one that this puts last is behind.
    fn words(self) -> &'static str {
        match self {
            Self::Checks => "by its checks",
            Self::Critic => "by what the critic found",
            Self::Size => "by its larger change",
        }
    }
}

/// All passed, then none that is known, then by how many failed.
fn by_checks(checks: Option<CheckTally>) -> (u8, u32) {
    match checks {
        Some(CheckTally { failed: 0, passed: 1.. }) => (0, 0),
        None | Some(CheckTally { failed: 0, passed: 0 }) => (1, 0),
        Some(CheckTally { failed, .. }) => (2, failed),
    }
}

/// The fewest criteria that are not met, then the most that are.
fn by_critic(critic: Option<VerdictTally>) -> (u32, u32) {
    let VerdictTally { met, not_met, .. } = critic.unwrap_or_default();
    (not_met, u32::MAX - met)
}

/// What decides between two deliveries, and for which; nothing where they are equal.
fn decided(one: &DeliveryMeasure, other: &DeliveryMeasure) -> Option<(Criterion, Ordering)> {
    let mut compared = Criterion::ALL.iter().map(|by| (*by, by.compare(one, other)));
    compared.find(|(_, ordering)| ordering.is_ne())
}

fn place(number: u32, own: &DeliveryMeasure, all: &[Option<DeliveryMeasure>]) -> Place {
    let mut place = Place { rank: 1, behind: None, shared_with: Vec::new() };
    let mut nearest: Option<&DeliveryMeasure> = None;
    for (other_number, other) in (1..).zip(all) {
        let Some(other) = other.as_ref().filter(|_| other_number != number) else { continue };
        match decided(own, other) {
            None => place.shared_with.push(other_number),
            Some((_, Ordering::Less | Ordering::Equal)) => {}
            Some((by, Ordering::Greater)) => {
                place.rank += 1;
                let nearer = |nearest| decided(nearest, other).is_some_and(|(_, ordering)| ordering.is_lt());
                if nearest.is_none_or(nearer) {
                    nearest = Some(other);
                    place.behind = Some((other_number, by));
                }
            }
        }
    }
    place
}

fn change(delivery: &DeliveryMeasure) -> AttemptChange {
    AttemptChange { files: delivery.files, added: delivery.added, removed: delivery.removed }
}

fn why(state: &RunState, placed: Option<(&DeliveryMeasure, &Place)>) -> String {
    let Some((delivery, place)) = placed else {
        return match state {
            RunState::Cancelled => "cancelled before it delivered anything".to_owned(),
            RunState::Failed { reason } => {
                format!("failed before it delivered anything: {}", reason.error.message)
            }
            _ => "has delivered nothing yet".to_owned(),
        };
    };
    let counted =
        |count: u64, one: &str| format!("{} {one}{}", grouped(count), if count == 1 { "" } else { "s" });
    let checks = match delivery.checks {
        None | Some(CheckTally { passed: 0, failed: 0 }) => "no check is known".to_owned(),
        Some(CheckTally { passed, failed: 0 }) => format!("{} passed", counted(passed.into(), "check")),
        Some(CheckTally { passed, failed }) => {
            let all = u64::from(passed) + u64::from(failed);
            format!("{failed} of {} failed", counted(all, "check"))
        }
    };
    let critic = match delivery.critic {
        None => "no critic looked".to_owned(),
        Some(VerdictTally { met: 0, not_met: 0, not_verifiable: 0, .. }) => {
            "the critic came to no verdict".to_owned()
        }
        Some(VerdictTally { met, not_met, of, .. }) => {
            let not_met = if not_met == 0 { String::new() } else { format!(", {not_met} not met") };
            format!("{met} of {of} criteria met{not_met}")
        }
    };
    let size = format!("{} in {}", counted(delivery.lines(), "line"), counted(delivery.files, "file"));
    let behind = match place.behind {
        None => String::new(),
        Some((number, by)) => format!("; behind {number} {}", by.words()),
    };
    let others: Vec<String> = place.shared_with.iter().map(u32::to_string).collect();
    let shared = match others.as_slice() {
        [] => String::new(),
        others => format!("; shares its place with {}", others.join(" and ")),
    };
    format!("{checks}, {critic}, {size}{behind}{shared}")
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{ErrorCode, FailureReason, PullRequestId, UserError};
    use proptest::prelude::*;

    use super::*;
    use crate::reviewing::tests::run;

    fn delivered(number: u32, measure: DeliveryMeasure) -> RunSummary {
        let mut run = run(number, RunState::InReview { pull_request: PullRequestId(number.into()) });
        run.reviewing.delivered = Some(measure);
        run.reviewing.pull_request = Some(PullRequestId(number.into()));
        run
    }

    #[test]
    fn what_was_measured_and_came_to_no_pull_request_has_no_place() {
        let mut cancelled = delivered(1, measured(Some((3, 0)), None, 1));
        cancelled.state = RunState::Cancelled;
        cancelled.reviewing.pull_request = None;
        let list = ranked(vec![cancelled, delivered(2, measured(Some((1, 1)), None, 9))]);
        let places: Vec<_> = list.attempts.iter().map(|attempt| attempt.rank).collect();
        assert_eq!(places, [None, Some(1)]);
        assert_eq!(list.attempts[0].why, "cancelled before it delivered anything");
    }

    fn measured(checks: Option<(u32, u32)>, critic: Option<(u32, u32, u32)>, added: u64) -> DeliveryMeasure {
        DeliveryMeasure {
            files: 1,
            added,
            checks: checks.map(|(passed, failed)| CheckTally { passed, failed }),
            critic: critic.map(|(met, not_met, not_verifiable)| VerdictTally {
                met,
                not_met,
                not_verifiable,
                of: 3,
            }),
            ..DeliveryMeasure::default()
        }
    }

    fn ranked(runs: Vec<RunSummary>) -> AttemptList {
        attempts("task-0000000001".parse().unwrap(), runs)
    }

    fn ranks(measures: Vec<DeliveryMeasure>) -> Vec<u32> {
        let runs = (1..).zip(measures).map(|(number, measure)| delivered(number, measure)).collect();
        ranked(runs).attempts.iter().map(|attempt| attempt.rank.unwrap()).collect()
    }

    #[test]
    fn checks_come_before_criteria_and_those_before_the_smaller_change() {
        let all_met = Some((3, 0, 0));
        assert_eq!(
            ranks(vec![
                measured(Some((9, 1)), all_met, 1),
                measured(Some((1, 0)), Some((2, 1, 0)), 2),
                measured(Some((2, 0)), all_met, 900),
                measured(Some((2, 0)), all_met, 30),
                measured(None, all_met, 3),
            ]),
            [5, 3, 2, 1, 4]
        );
    }

    #[test]
    fn what_is_not_known_stands_between_what_is_good_and_what_is_bad() {
        let passed = Some((1, 0));
        assert_eq!(
            ranks(vec![
                measured(passed, Some((0, 1, 0)), 1),
                measured(passed, None, 1),
                measured(passed, Some((1, 0, 2)), 1),
                measured(passed, Some((2, 0, 1)), 1),
            ]),
            [4, 3, 2, 1]
        );
        assert_eq!(
            ranks(vec![
                measured(Some((5, 2)), None, 1),
                measured(Some((0, 1)), None, 1),
                measured(Some((0, 0)), None, 1),
                measured(passed, None, 1),
            ]),
            [4, 3, 2, 1]
        );
    }

    #[test]
    fn each_says_why_it_stands_where_it_does() {
        let failed = RunState::Failed {
            reason: FailureReason {
                error: UserError::new(ErrorCode::Internal, "the guest is gone", "Retry."),
            },
        };
        let mut fork = delivered(4, measured(Some((1, 2)), Some((0, 0, 0)), 1));
        fork.forked_from = Some("run-0000000001".parse().unwrap());
        let list = ranked(vec![
            delivered(1, measured(Some((2, 0)), Some((3, 0, 0)), 1_240)),
            delivered(2, measured(Some((1, 0)), Some((3, 0, 0)), 1)),
            delivered(3, measured(Some((1, 0)), Some((3, 0, 0)), 1)),
            fork,
            delivered(5, measured(None, Some((1, 2, 0)), 0)),
            delivered(6, measured(None, None, 0)),
            run(7, RunState::Working),
            run(8, failed),
            run(9, RunState::Cancelled),
        ]);
        let why: Vec<(Option<u32>, &str)> =
            list.attempts.iter().map(|attempt| (attempt.rank, attempt.why.as_str())).collect();
        assert_eq!(
            why,
            [
                (
                    Some(3),
                    "2 checks passed, 3 of 3 criteria met, 1,240 lines in 1 file; behind 2 by its larger change"
                ),
                (Some(1), "1 check passed, 3 of 3 criteria met, 1 line in 1 file; shares its place with 3"),
                (Some(1), "1 check passed, 3 of 3 criteria met, 1 line in 1 file; shares its place with 2"),
                (
                    Some(6),
                    "2 of 3 checks failed, the critic came to no verdict, 1 line in 1 file; behind 5 by its checks"
                ),
                (
                    Some(5),
                    "no check is known, 1 of 3 criteria met, 2 not met, 0 lines in 1 file; behind 6 by what the \
                     critic found"
                ),
                (Some(4), "no check is known, no critic looked, 0 lines in 1 file; behind 1 by its checks"),
                (None, "has delivered nothing yet"),
                (None, "failed before it delivered anything: the guest is gone"),
                (None, "cancelled before it delivered anything"),
            ]
        );
        let forks: Vec<Option<&str>> =
            list.attempts.iter().map(|attempt| attempt.fork_of.as_ref().map(|run| run.as_str())).collect();
        assert_eq!(forks[3], Some("run-0000000001"));
        assert_eq!(forks.iter().flatten().count(), 1);
        let change = AttemptChange { files: 1, added: 1_240, removed: 0 };
        assert_eq!((list.attempts[0].change, list.attempts[6].change), (Some(change), None));
    }

    proptest! {
        #[test]
        fn ranks_have_no_gap_but_for_shared_places_and_do_not_depend_on_the_order(
            sketches in prop::collection::vec(
                (prop::option::of((0..2_u32, 0..2_u32)), prop::option::of((0..2_u32, 0..2_u32)), 0..3_u64), 1..9
            )
        ) {
            let measures: Vec<DeliveryMeasure> = sketches
                .iter()
                .map(|&(checks, critic, added)| measured(checks, critic.map(|(met, not)| (met, not, 0)), added))
                .collect();
            let given = ranks(measures.clone());
            let mut sorted = given.clone();
            sorted.sort_unstable();
            // Competition ranking: whoever shares a place takes up the ones after it.
            for (place, rank) in (1..).zip(&sorted) {
                let better = sorted.iter().filter(|other| *other < rank).count();
                prop_assert_eq!(u32::try_from(better).unwrap() + 1, *rank, "at place {}", place);
            }
            let mut turned: Vec<u32> = ranks(measures.into_iter().rev().collect());
            turned.reverse();
            prop_assert_eq!(turned, given);
        }
    }
}
