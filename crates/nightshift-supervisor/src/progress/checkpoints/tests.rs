use nightshift_protocol::{CheckpointCost, PullRequestId};
use proptest::prelude::*;
use serde_json::json;

use super::super::next;
use super::super::tests::{answer, begun_able, events, finished, fold, intended, last_texts, state};
use super::*;

fn id(number: usize) -> CheckpointId {
    format!("checkpoint-{number:010}").parse().unwrap()
}

fn saved(number: usize, cause: CheckpointCause) -> [EventBody; 2] {
    let cost = CheckpointCost { changed_bytes: 4096, written_bytes: 5000, paused_ms: 20, took_ms: 100 };
    [
        EventBody::CheckpointIntended { checkpoint: id(number), cause, suspended_for: None },
        EventBody::CheckpointSaved { checkpoint: id(number), cause, cost },
    ]
}

/// A turn with one shell command that ran to its end.
fn turn(number: u32) -> [EventBody; 4] {
    let (step, call) = (format!("{number}.1"), format!("call{number}"));
    let input = json!({ "command": format!("echo {number} > {number}") });
    [
        EventBody::TurnRequested { turn: number },
        answer(number, &[(&call, "shell", input.clone())]),
        intended(&step, &call, "shell", input, None),
        finished(&step, &call, Some(0)),
    ]
}

fn paused() -> EventBody {
    state(RunState::Paused { reason: PauseReason::Person })
}

fn go_on() -> [EventBody; 2] {
    [state(RunState::Queued { reason: QueueReason::Submitted }), state(RunState::Working)]
}

#[test]
fn a_checkpoint_is_due_after_some_steps_and_not_again_once_it_is_saved_or_failed() {
    let mut bodies = begun_able();
    bodies.extend((1..EVERY).flat_map(turn));
    assert!(matches!(next(&fold(bodies.clone())), Action::AskModel { .. }));
    bodies.extend(turn(EVERY));
    assert_eq!(next(&fold(bodies.clone())), Action::BeginCheckpoint(CheckpointCause::Steps));
    let cause = CheckpointCause::Steps;
    bodies.push(EventBody::CheckpointIntended { checkpoint: id(1), cause, suspended_for: None });
    assert_eq!(next(&fold(bodies.clone())), Action::SaveCheckpoint { checkpoint: id(1), cause });
    let failed = EventBody::CheckpointFailed { checkpoint: id(1), reason: "the disk is full".to_owned() };
    for outcome in [failed, saved(1, cause)[1].clone()] {
        let bodies: Vec<_> = bodies.iter().cloned().chain([outcome]).collect();
        assert!(matches!(next(&fold(bodies.clone())), Action::AskModel { .. }));
    }
}

#[test]
fn a_sandbox_that_cannot_be_saved_is_never_tried() {
    let mut bodies = super::super::tests::begun();
    bodies.extend((1..=EVERY).flat_map(turn));
    assert!(matches!(next(&fold(bodies.clone())), Action::AskModel { .. }));
    bodies.push(paused());
    assert_eq!(next(&fold(bodies.clone())), Action::AwaitPerson);
}

#[test]
fn a_run_that_goes_back_has_the_conversation_of_then_and_has_spent_what_it_spent() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    let before = fold(bodies.clone());
    bodies.extend(saved(1, CheckpointCause::Asked));
    bodies.extend(turn(2));
    bodies.extend(turn(3));
    let spent = fold(bodies.clone()).usage;
    bodies.push(EventBody::RewindIntended { checkpoint: id(1), reason: "a person asked for it".to_owned() });
    assert_eq!(next(&fold(bodies.clone())), Action::Rewind(id(1)));
    bodies.push(EventBody::Rewound { checkpoint: id(1) });

    let back = fold(bodies.clone());
    assert_eq!(back.agent.conversation().messages, before.agent.conversation().messages);
    assert_eq!((back.turns, back.commands.clone()), (before.turns, before.commands));
    assert_eq!((back.usage, back.agent.used()), (spent, spent));
    let sandbox = back.sandbox.clone().unwrap().id;
    assert_eq!(next(&back), Action::RestoreSandbox { sandbox: sandbox.clone(), checkpoint: id(1) });

    bodies.push(EventBody::SandboxRestored { sandbox, checkpoint: id(1), took_ms: 300 });
    let expected = Action::AskModel { turn: 2, intention: super::super::Intention::New };
    assert_eq!(next(&fold(bodies.clone())), expected);
    // The same step is taken once more, and it is another one.
    bodies.extend(turn(2));
    assert!(matches!(next(&fold(bodies.clone())), Action::AskModel { turn: 3, .. }));
}

#[test]
fn a_suspended_run_is_brought_back_when_it_goes_on_and_not_before() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.push(paused());
    assert_eq!(next(&fold(bodies.clone())), Action::BeginCheckpoint(CheckpointCause::Paused));
    assert!(fold(bodies.clone()).may_be_suspended());
    bodies.extend(saved(1, CheckpointCause::Suspended));
    assert_eq!(next(&fold(bodies.clone())), Action::AwaitPerson);
    assert!(!fold(bodies.clone()).may_be_suspended());
    bodies.extend(go_on());
    let sandbox = fold(bodies.clone()).sandbox.unwrap().id;
    assert_eq!(next(&fold(bodies.clone())), Action::RestoreSandbox { sandbox, checkpoint: id(1) });
}

/// A run whose work is delivered; `saved` are the events of the checkpoint before it.
fn in_review(saved: &[EventBody]) -> Vec<EventBody> {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    let end = |text: &str| text.to_owned();
    bodies.push(EventBody::WorkFinished { title: end("T"), summary: end("S"), not_verified: end("") });
    bodies.push(state(RunState::Delivering));
    bodies.extend_from_slice(saved);
    let head = "c".repeat(40).parse().unwrap();
    bodies.push(EventBody::BranchReceived { branch: end("nightshift/greet-0"), head, commits: 1 });
    bodies.push(EventBody::PullRequestOpened { pull_request: PullRequestId(7), url: None });
    bodies.push(state(RunState::InReview { pull_request: PullRequestId(7) }));
    bodies
}

fn stopped(bodies: &[EventBody]) -> EventBody {
    let sandbox = fold(bodies.to_vec()).sandbox.unwrap().id;
    EventBody::SandboxStopped { sandbox, reason: "the work is delivered".to_owned() }
}

fn asked() -> [EventBody; 3] {
    let source = nightshift_protocol::FeedbackSource::Review { review: 0, author: "ada".to_owned() };
    let item =
        nightshift_protocol::FeedbackItem { name: "f1".to_owned(), source, words: "Shorter".to_owned() };
    [
        EventBody::FeedbackReceived { round: 1, items: vec![item] },
        state(RunState::Queued { reason: QueueReason::Feedback }),
        state(RunState::Preparing { phase: nightshift_protocol::PreparingPhase::Sandbox }),
    ]
}

#[test]
fn a_run_in_review_gives_its_memory_back_and_comes_back_in_the_same_machine_when_changes_are_asked_for() {
    let mut bodies = in_review(&saved(1, CheckpointCause::BeforeDelivery));
    let sandbox = fold(bodies.clone()).sandbox.unwrap().id;
    assert_eq!(next(&fold(bodies.clone())), Action::StopSandbox(sandbox.clone()));
    bodies.push(stopped(&bodies));
    assert_eq!(next(&fold(bodies.clone())), Action::Rest);
    bodies.extend(asked());
    let back = Action::RestoreSandbox { sandbox: sandbox.clone(), checkpoint: id(1) };
    assert_eq!(next(&fold(bodies.clone())), back);
    bodies.push(EventBody::SandboxRestored { sandbox, checkpoint: id(1), took_ms: 300 });
    assert_eq!(next(&fold(bodies.clone())), Action::ResumeWork);
    bodies.push(state(RunState::Working));
    assert!(matches!(next(&fold(bodies)), Action::AskModel { turn: 2, .. } | Action::Fail(_)));
}

#[test]
fn a_sandbox_that_was_not_saved_or_cannot_be_brought_back_is_replaced_by_one_with_the_branch() {
    let without = in_review(&[]);
    let with = in_review(&saved(1, CheckpointCause::BeforeDelivery));
    let lost = EventBody::CheckpointRemoved { checkpoint: id(1) };
    for (mut bodies, more) in [(without, None), (with, Some(lost))] {
        bodies.push(stopped(&bodies));
        bodies.extend(asked());
        bodies.extend(more);
        assert_eq!(next(&fold(bodies.clone())), Action::RequestSandbox);
        let (sandbox, commit) = ("sandbox-1111111111".parse().unwrap(), "c".repeat(40).parse().unwrap());
        bodies.push(EventBody::SandboxRequested { sandbox });
        let EventBody::SandboxReady { facts, .. } = begun_able().remove(4) else { panic!("not ready") };
        let sandbox = "sandbox-1111111111".parse().unwrap();
        bodies.push(EventBody::SandboxReady { sandbox, facts });
        assert_eq!(next(&fold(bodies.clone())), Action::ImportRepository);
        bodies.push(EventBody::RepositoryImported { commit });
        assert_eq!(next(&fold(bodies.clone())), Action::ResumeWork);
    }
}

#[test]
fn what_a_person_did_by_hand_before_the_delivery_is_in_no_older_checkpoint() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.extend(saved(1, CheckpointCause::Steps));
    bodies.push(EventBody::TakenOver { screen: None });
    bodies.push(EventBody::HandedBack { summary: "Closed a tab.".to_owned(), seconds: 3, screen: None });
    bodies.push(state(RunState::Delivering));
    assert_eq!(next(&fold(bodies)), Action::BeginCheckpoint(CheckpointCause::BeforeDelivery));
}

#[test]
fn a_run_that_is_to_be_suspended_while_its_pause_is_saved_is_suspended_next() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.push(paused());
    let [intended, saved] = saved(1, CheckpointCause::Paused);
    bodies.push(intended);
    assert!(fold(bodies.clone()).may_be_suspended());
    let cause = CheckpointCause::Suspended;
    bodies.push(EventBody::CheckpointIntended { checkpoint: id(2), cause, suspended_for: None });
    assert!(!fold(bodies.clone()).may_be_suspended());
    let first = Action::SaveCheckpoint { checkpoint: id(1), cause: CheckpointCause::Paused };
    assert_eq!(next(&fold(bodies.clone())), first);
    bodies.push(saved);
    assert_eq!(next(&fold(bodies.clone())), Action::SaveCheckpoint { checkpoint: id(2), cause });
}

#[test]
fn a_checkpoint_that_was_lost_is_given_up_and_the_run_stays_where_it_is() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.extend(saved(1, CheckpointCause::Asked));
    bodies.extend(turn(2));
    bodies.push(EventBody::RewindIntended { checkpoint: id(1), reason: "a person asked for it".to_owned() });
    bodies.push(EventBody::CheckpointRemoved { checkpoint: id(1) });
    assert!(matches!(next(&fold(bodies.clone())), Action::AskModel { turn: 3, .. }));
}

fn refuge(bodies: &[EventBody]) -> Option<(CheckpointId, bool)> {
    let refuge = fold(bodies.to_vec()).checkpoints.refuge();
    refuge.map(|Refuge { checkpoint, lost_before }| (checkpoint, lost_before))
}

#[test]
fn that_a_sandbox_was_lost_after_a_checkpoint_is_known_whatever_was_done_since() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.extend(saved(1, CheckpointCause::Steps));
    assert_eq!(refuge(&bodies), Some((id(1), false)));
    bodies.push(EventBody::RewindIntended { checkpoint: id(1), reason: "a person asked for it".to_owned() });
    bodies.push(EventBody::Rewound { checkpoint: id(1) });
    assert_eq!(refuge(&bodies), Some((id(1), false)), "nothing was lost");
    bodies.extend(lost_after(1));
    assert_eq!(refuge(&bodies), Some((id(1), true)));
    bodies.extend(turn(2));
    assert_eq!(refuge(&bodies), Some((id(1), true)));
    bodies.extend(saved(2, CheckpointCause::Steps));
    assert_eq!(refuge(&bodies), Some((id(2), false)));
    bodies.push(EventBody::CheckpointRemoved { checkpoint: id(2) });
    assert_eq!(refuge(&bodies), Some((id(1), true)));
}

/// A run whose sandbox ended after a checkpoint goes back there.
fn lost_after(number: usize) -> [EventBody; 2] {
    let reason = super::super::sandbox_ended("it ran out of memory");
    [
        EventBody::RewindIntended { checkpoint: id(number), reason },
        EventBody::Rewound { checkpoint: id(number) },
    ]
}

#[test]
fn an_agent_whose_sandbox_was_lost_is_told_so_with_its_next_call_and_what_ran_then() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.extend(saved(1, CheckpointCause::Steps));
    bodies.extend(turn(2).into_iter().take(3));
    bodies.extend(lost_after(1));
    let back = fold(bodies.clone());
    let told = "Note from Nightshift: your sandbox ended (it ran out of memory). It was brought back as it was at this moment: \
                what was done in it since then is undone, and is not in this conversation.\n\nThis ran when it ended:\n\n\
                echo 2 > 2\n\nIf you ended it, do not do the same again: take another way, or ask.";
    assert_eq!(last_texts(&back), [told]);
    let sandbox = back.sandbox.clone().unwrap().id;
    bodies.push(EventBody::SandboxRestored { sandbox, checkpoint: id(1), took_ms: 300 });
    let asks = Action::AskModel { turn: 2, intention: super::super::Intention::New };
    assert_eq!(next(&fold(bodies)), asks);
}

#[test]
fn a_run_whose_sandbox_was_lost_again_goes_back_and_waits_and_its_agent_is_told_when_it_goes_on() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.extend(saved(1, CheckpointCause::Steps));
    bodies.extend(lost_after(1));
    bodies.extend(turn(2));
    let [intended, rewound] = lost_after(1);
    let error = nightshift_protocol::UserError::new(nightshift_protocol::ErrorCode::SandboxFailed, "", "");
    bodies.extend([intended, state(RunState::Paused { reason: PauseReason::Trouble { error } })]);
    assert_eq!(next(&fold(bodies.clone())), Action::Rewind(id(1)));
    bodies.push(rewound);
    assert_eq!(next(&fold(bodies.clone())), Action::AwaitPerson);
    bodies.extend(go_on());
    let progress = fold(bodies);
    assert!(matches!(next(&progress), Action::RestoreSandbox { .. }));
    let texts = last_texts(&progress);
    assert!(
        matches!(&texts[..], [told] if told.contains("That happened 2 times at this moment.")),
        "{texts:?}"
    );
}

#[test]
fn a_run_that_went_back_and_loses_its_sandbox_stays_behind_what_it_left() {
    let mut bodies = going_back();
    bodies.push(saved(2, CheckpointCause::BeforeRewind)[1].clone());
    bodies.push(EventBody::Rewound { checkpoint: id(1) });
    assert_eq!(refuge(&bodies), Some((id(1), false)));
    bodies.extend(turn(3));
    assert_eq!(refuge(&bodies), Some((id(1), false)));
    bodies.extend(saved(3, CheckpointCause::Steps));
    assert_eq!(refuge(&bodies), Some((id(3), false)));
    bodies.push(EventBody::CheckpointRemoved { checkpoint: id(3) });
    assert_eq!(refuge(&bodies), Some((id(1), false)));
    // There again, its sandbox is what it was there.
    bodies.push(EventBody::Rewound { checkpoint: id(2) });
    assert_eq!(refuge(&bodies), Some((id(2), false)));
}

#[test]
fn what_is_being_done_in_the_sandbox_is_more_than_its_checkpoints() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.extend(saved(1, CheckpointCause::Steps));
    assert!(!fold(bodies.clone()).has_more_than_its_checkpoints());
    let mut by_hand = bodies.clone();
    by_hand.push(EventBody::TakenOver { screen: None });
    assert!(fold(by_hand).has_more_than_its_checkpoints());
    bodies.extend(turn(2).into_iter().take(3));
    assert!(fold(bodies).has_more_than_its_checkpoints());
}

#[test]
fn the_work_of_a_run_that_failed_is_saved_before_its_sandbox_goes() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    let error = nightshift_protocol::UserError::new(nightshift_protocol::ErrorCode::Internal, "broken", "");
    bodies.push(state(RunState::Failed { reason: nightshift_protocol::FailureReason { error } }));
    assert_eq!(next(&fold(bodies.clone())), Action::BeginCheckpoint(CheckpointCause::Failed));
    bodies.extend(saved(1, CheckpointCause::Failed));
    assert!(matches!(next(&fold(bodies.clone())), Action::StopSandbox(_)));
}

#[test]
fn the_road_to_a_checkpoint_leaves_out_what_the_run_went_back_behind() {
    let mut bodies = begun_able();
    let begin = bodies.len();
    bodies.extend(saved(1, CheckpointCause::Asked));
    bodies.extend(turn(1));
    bodies.push(EventBody::Rewound { checkpoint: id(1) });
    bodies.extend(saved(2, CheckpointCause::Asked));
    let events = events(bodies.clone());
    let road = road_to(&events, &id(2)).unwrap();
    let names: Vec<_> = road[begin..].iter().map(|body| body.name()).collect();
    assert_eq!(
        names,
        ["checkpointIntended", "checkpointSaved", "stateChanged", "checkpointIntended", "checkpointSaved"],
        "it works, there as well"
    );
    assert!(road_to(&events, &id(3)).is_none());
}

fn any_state() -> impl Strategy<Value = RunState> {
    let error = nightshift_protocol::UserError::new(nightshift_protocol::ErrorCode::Internal, "broken", "");
    prop_oneof![
        Just(RunState::Working),
        Just(RunState::Paused { reason: PauseReason::Person }),
        Just(RunState::Waiting { question: "which?".to_owned(), approval: None }),
        Just(RunState::InReview { pull_request: PullRequestId(1) }),
        Just(RunState::Merged { pull_request: PullRequestId(1) }),
        Just(RunState::Cancelled),
        Just(RunState::Failed { reason: nightshift_protocol::FailureReason { error } }),
    ]
}

fn any_cause() -> impl Strategy<Value = CheckpointCause> {
    prop_oneof![
        Just(CheckpointCause::Asked),
        Just(CheckpointCause::Steps),
        Just(CheckpointCause::Paused),
        Just(CheckpointCause::Suspended),
    ]
}

proptest! {
    #[test]
    fn who_waits_for_a_checkpoint_hears_of_it_whatever_becomes_of_the_run(then in any_state()) {
        let mut bodies = begun_able();
        bodies.extend(turn(1));
        let cause = CheckpointCause::Asked;
        bodies.extend([saved(1, cause)[0].clone(), state(then)]);
        prop_assert_eq!(next(&fold(bodies.clone())), Action::SaveCheckpoint { checkpoint: id(1), cause });
        let sandbox = fold(bodies.clone()).sandbox.unwrap().id;
        bodies.push(EventBody::SandboxStopped { sandbox, reason: "it crashed".to_owned() });
        prop_assert_eq!(next(&fold(bodies.clone())), Action::SaveCheckpoint { checkpoint: id(1), cause });
    }

    #[test]
    fn what_is_removed_is_never_the_newest_of_a_run_nobody_decided_on_nor_what_it_rests_on(
        causes in prop::collection::vec(any_cause(), 0..12),
        end in any_state(),
    ) {
        let mut bodies = begun_able();
        for (number, cause) in causes.iter().enumerate() {
            bodies.extend(saved(number, *cause));
        }
        bodies.push(state(end.clone()));
        let mut progress = fold(bodies.clone());
        let newest = progress.checkpoints.list().last().map(|summary| summary.checkpoint.clone());
        while let Some(checkpoint) = progress.superseded() {
            prop_assert!(!progress.rests_on(&checkpoint));
            let decided = matches!(end, RunState::Merged { .. });
            prop_assert!(decided || Some(&checkpoint) != newest.as_ref());
            bodies.push(EventBody::CheckpointRemoved { checkpoint });
            progress = fold(bodies.clone());
        }
        let left = progress.checkpoints.list();
        let asked = |list: &[CheckpointCause]| list.iter().filter(|cause| **cause == CheckpointCause::Asked).count();
        let kept: Vec<_> = left.iter().map(|summary| summary.cause).collect();
        prop_assert!(kept.len() - asked(&kept) <= KEPT + 1);
        if !matches!(end, RunState::Merged { .. }) {
            prop_assert_eq!(asked(&kept), asked(&causes));
        }
    }
}

/// A run with a checkpoint behind it and work since, that is to go back and has its work saved first.
fn going_back() -> Vec<EventBody> {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.extend(saved(1, CheckpointCause::Asked));
    bodies.extend(turn(2));
    let cause = CheckpointCause::BeforeRewind;
    bodies.push(EventBody::CheckpointIntended { checkpoint: id(2), cause, suspended_for: None });
    bodies.push(EventBody::RewindIntended { checkpoint: id(1), reason: "a person asked for it".to_owned() });
    bodies
}

#[test]
fn what_a_run_leaves_is_saved_before_it_goes_back() {
    let mut bodies = going_back();
    let cause = CheckpointCause::BeforeRewind;
    assert_eq!(next(&fold(bodies.clone())), Action::SaveCheckpoint { checkpoint: id(2), cause });
    bodies.push(saved(2, cause)[1].clone());
    assert_eq!(next(&fold(bodies.clone())), Action::Rewind(id(1)));
    bodies.push(EventBody::Rewound { checkpoint: id(1) });
    let back = fold(bodies.clone());
    assert_eq!(back.turns, 1);
    // And back to where it was.
    bodies.push(EventBody::RewindIntended { checkpoint: id(2), reason: "undo".to_owned() });
    assert_eq!(next(&fold(bodies.clone())), Action::Rewind(id(2)));
    bodies.push(EventBody::Rewound { checkpoint: id(2) });
    assert_eq!(fold(bodies).turns, 2);
}

#[test]
fn a_run_whose_work_cannot_be_saved_does_not_go_back() {
    let mut bodies = going_back();
    bodies.push(EventBody::CheckpointFailed { checkpoint: id(2), reason: "the disk is full".to_owned() });
    assert!(matches!(next(&fold(bodies)), Action::AskModel { turn: 3, .. }));
}

#[test]
fn another_checkpoint_that_fails_keeps_no_run_from_going_back() {
    let mut bodies = going_back();
    bodies.push(saved(2, CheckpointCause::BeforeRewind)[1].clone());
    let cause = CheckpointCause::Asked;
    bodies.push(EventBody::CheckpointIntended { checkpoint: id(3), cause, suspended_for: None });
    bodies.push(EventBody::CheckpointFailed { checkpoint: id(3), reason: "the disk is full".to_owned() });
    assert_eq!(next(&fold(bodies)), Action::Rewind(id(1)));
}

#[test]
fn what_was_left_is_kept_whatever_is_saved_since_until_the_run_is_back_there_or_decided() {
    let mut bodies = going_back();
    bodies.push(saved(2, CheckpointCause::BeforeRewind)[1].clone());
    let sandbox = fold(bodies.clone()).sandbox.unwrap().id;
    let back_at = |checkpoint: CheckpointId| {
        let restored = EventBody::SandboxRestored {
            sandbox: sandbox.clone(),
            checkpoint: checkpoint.clone(),
            took_ms: 300,
        };
        [EventBody::Rewound { checkpoint }, restored]
    };
    bodies.extend(back_at(id(1)));
    for number in 3..12 {
        bodies.extend(turn(number));
        bodies.extend(saved(usize::try_from(number).unwrap(), CheckpointCause::Steps));
    }
    let kept = |mut bodies: Vec<EventBody>| {
        while let Some(checkpoint) = fold(bodies.clone()).superseded() {
            bodies.push(EventBody::CheckpointRemoved { checkpoint });
        }
        let list = fold(bodies).checkpoints.list();
        list.into_iter().map(|summary| summary.checkpoint).collect::<Vec<_>>()
    };
    assert_eq!(kept(bodies.clone()), [1, 2, 8, 9, 10, 11].map(id));
    let merged = state(RunState::Merged { pull_request: PullRequestId(1) });
    assert!(kept([bodies.clone(), vec![merged]].concat()).is_empty());
    // There again, it is one of many; what was left for it is kept now.
    bodies.extend(back_at(id(2)));
    bodies.extend(turn(12));
    bodies.extend((13..18).flat_map(|number| saved(number, CheckpointCause::Steps)));
    assert_eq!(kept(bodies), [1, 11, 14, 15, 16, 17].map(id));
}

#[test]
fn what_a_suspended_run_leaves_is_kept_too() {
    let mut bodies = begun_able();
    bodies.extend(turn(1));
    bodies.extend(saved(1, CheckpointCause::Asked));
    bodies.extend(turn(2));
    bodies.push(paused());
    bodies.extend(saved(2, CheckpointCause::Suspended));
    assert!(!fold(bodies.clone()).has_more_than_its_checkpoints(), "all of it is on the disk");
    bodies.push(EventBody::Rewound { checkpoint: id(1) });
    bodies.extend((3..9).flat_map(|number| saved(number, CheckpointCause::Steps)));
    while let Some(checkpoint) = fold(bodies.clone()).superseded() {
        bodies.push(EventBody::CheckpointRemoved { checkpoint });
    }
    let list = fold(bodies).checkpoints.list();
    assert!(list.iter().any(|summary| summary.checkpoint == id(2)), "{list:?}");
}

#[test]
fn the_road_to_what_was_left_has_all_that_led_there() {
    let mut bodies = going_back();
    let road = |bodies: &[EventBody], to: usize| {
        let events = events(bodies.to_vec());
        let road = road_to(&events, &id(to)).unwrap();
        road.iter().filter(|body| body.name() == "turnFinished").count()
    };
    bodies.push(saved(2, CheckpointCause::BeforeRewind)[1].clone());
    bodies.push(EventBody::Rewound { checkpoint: id(1) });
    bodies.push(EventBody::Rewound { checkpoint: id(2) });
    bodies.extend(turn(3));
    bodies.extend(saved(3, CheckpointCause::Asked));
    assert_eq!([road(&bodies, 1), road(&bodies, 2), road(&bodies, 3)], [1, 2, 3]);
}
