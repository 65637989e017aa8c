//! What holds for every history, also for those that no owner would write.

use nightshift_protocol::{
    CheckpointCost, ConnectionRecord, FailureReason, NetworkPhase, PullRequestId, QueueReason,
};
use proptest::prelude::*;

use super::tests::{begun, begun_able, fold, state};
use super::*;

/// Actions after which a cancelled run is at rest, at the most: its checkpoints, its sandbox.
const LAST_ACTIONS: usize = 200;

fn anything() -> impl Strategy<Value = EventBody> {
    let all: Vec<EventBody> =
        serde_json::from_str(include_str!("../../../nightshift-protocol/wire/events.json")).unwrap();
    let all: Vec<_> =
        all.into_iter().filter(|body| !matches!(body, EventBody::RunSubmitted { .. })).collect();
    prop_oneof![
        4 => prop::sample::select(all),
        2 => any_state().prop_map(state),
        1 => (0..4_u32).prop_map(checkpoint_saved),
    ]
}

fn any_state() -> impl Strategy<Value = RunState> {
    let states: Vec<RunState> =
        serde_json::from_str(include_str!("../../../nightshift-protocol/wire/states.json")).unwrap();
    prop::sample::select(states)
}

fn history() -> impl Strategy<Value = Vec<EventBody>> {
    let rest = prop::collection::vec(anything(), 0..25);
    (any::<bool>(), rest).prop_map(|(able, rest)| {
        let begin = if able { begun_able() } else { begun() };
        begin.into_iter().chain(rest).collect()
    })
}

fn checkpoint_saved(number: u32) -> EventBody {
    let checkpoint = format!("checkpoint-{number:010}").parse().unwrap();
    let cost = CheckpointCost { changed_bytes: 1, written_bytes: 1, paused_ms: 1, took_ms: 1 };
    EventBody::CheckpointSaved { checkpoint, cause: CheckpointCause::Steps, cost }
}

/// Actions that tidy up, or bring the machine to where the history says it is, and begin no work.
fn is_housekeeping(action: &Action) -> bool {
    match action {
        Action::StopSandbox(_)
        | Action::BeginCheckpoint(_)
        | Action::SaveCheckpoint { .. }
        | Action::RemoveCheckpoint(_)
        | Action::RestoreSandbox { .. }
        | Action::Rewind(_)
        | Action::AwaitPerson
        | Action::Rest => true,
        Action::Admit(_)
        | Action::RequestSandbox
        | Action::MakeSandbox(_)
        | Action::ImportRepository
        | Action::StartConversation
        | Action::BringBase(_)
        | Action::ResumeWork
        | Action::AskModel { .. }
        | Action::Compact { .. }
        | Action::RunStep { .. }
        | Action::AnswerStep { .. }
        | Action::Ask { .. }
        | Action::Pause(_)
        | Action::Fail(_)
        | Action::BeginSelfReview(_)
        | Action::EndSelfReview(_)
        | Action::BeginSubagent { .. }
        | Action::EndSubagent { .. }
        | Action::AwaitSubagents
        | Action::FinishWork(_)
        | Action::Deliver(_) => false,
    }
}

/// What becomes of an action of a run that is over; nothing once it is at rest.
fn outcome(action: Action, number: u32) -> Option<EventBody> {
    Some(match action {
        Action::StopSandbox(sandbox) => EventBody::SandboxStopped { sandbox, reason: "over".to_owned() },
        Action::RemoveCheckpoint(checkpoint) => EventBody::CheckpointRemoved { checkpoint },
        Action::SaveCheckpoint { checkpoint, .. } => {
            EventBody::CheckpointFailed { checkpoint, reason: "the disk is full".to_owned() }
        }
        Action::BeginCheckpoint(cause) => {
            let checkpoint = format!("checkpoint-{:010}", 1_000 + number).parse().unwrap();
            EventBody::CheckpointIntended { checkpoint, cause, suspended_for: None }
        }
        Action::Rest => return None,
        other => panic!("a run that is over does {other:?}"),
    })
}

proptest! {
    #[test]
    fn whatever_the_history_says_there_is_one_decision_and_it_is_made_again_the_same(bodies in history()) {
        let (once, again) = (fold(bodies.clone()), fold(bodies));
        prop_assert_eq!(next(&once), next(&once));
        prop_assert_eq!(next(&once), next(&again));
    }

    #[test]
    fn a_paused_or_waiting_run_begins_no_work(mut bodies in history(), waits in any::<bool>()) {
        bodies.push(state(if waits {
            RunState::Waiting { question: "Which?".to_owned(), approval: None }
        } else {
            RunState::Paused { reason: PauseReason::Person }
        }));
        let action = next(&fold(bodies));
        prop_assert!(is_housekeeping(&action), "{:?}", action);
    }

    #[test]
    fn an_agent_begins_nothing_while_a_person_has_the_mouse(mut bodies in history()) {
        bodies.extend([state(RunState::Working), EventBody::TakenOver { screen: None }]);
        let action = next(&fold(bodies));
        prop_assert!(is_housekeeping(&action), "{:?}", action);
    }

    #[test]
    fn a_run_that_is_over_tidies_up_and_comes_to_rest(mut bodies in history(), how in 0..4_u8) {
        let error = UserError::new(ErrorCode::Internal, "broken", "");
        let pull_request = PullRequestId(1);
        bodies.push(state(match how {
            0 => RunState::Cancelled,
            1 => RunState::Failed { reason: FailureReason { error } },
            2 => RunState::Merged { pull_request },
            _ => RunState::Closed { pull_request },
        }));
        let mut actions = 0;
        while let Some(body) = outcome(next(&fold(bodies.clone())), actions) {
            bodies.push(body);
            actions += 1;
            prop_assert!((actions as usize) < LAST_ACTIONS, "it never comes to rest");
        }
        prop_assert_eq!(fold(bodies).sandbox, None);
    }

    #[test]
    fn what_was_connected_decides_nothing_wherever_it_is_written(bodies in history(), place in any::<prop::sample::Index>()) {
        let connections: Vec<ConnectionRecord> = Vec::new();
        let mut with = bodies.clone();
        let place = 1 + place.index(with.len());
        with.insert(place, EventBody::ConnectionsRecorded { connections });
        // Times in these histories are counted by the place of an event: only the decision is compared.
        prop_assert_eq!(next(&fold(with)), next(&fold(bodies)));
    }

    #[test]
    fn what_a_run_used_never_becomes_less(bodies in history()) {
        let mut progress = fold(bodies[..1].to_vec());
        for event in &super::tests::events(bodies)[1..] {
            let before = progress.usage;
            progress.apply(event);
            prop_assert!(progress.usage.cost_microdollars >= before.cost_microdollars);
            prop_assert!(progress.usage.output_tokens >= before.output_tokens);
        }
    }

    #[test]
    fn a_queued_run_waits_for_room_before_anything_else_is_begun(mut bodies in history()) {
        bodies.push(state(RunState::Queued { reason: QueueReason::Submitted }));
        let action = next(&fold(bodies));
        prop_assert!(matches!(action, Action::Admit(_)) || is_housekeeping(&action), "{:?}", action);
    }

    #[test]
    fn pictures_of_the_screen_are_not_kept_without_end(bodies in prop::collection::vec(anything(), 0..60)) {
        let progress = fold(begun().into_iter().chain(bodies).collect());
        prop_assert!(progress.screenshots.len() <= SCREENSHOTS);
    }
}

#[test]
fn every_phase_of_the_network_is_known_to_the_fold() {
    for phase in [NetworkPhase::SetUp, NetworkPhase::Work] {
        let opened = EventBody::NetworkOpened {
            phase,
            allowed: vec!["example.org".to_owned()],
            not_permitted: Vec::new(),
            problem: None,
        };
        let before = next(&fold(begun()));
        assert_eq!(next(&fold([begun(), vec![opened]].concat())), before);
    }
}
