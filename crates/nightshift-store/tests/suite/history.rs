//! Events are appended in order, seen in order, and make the same runs however often they are replayed.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::Arc;

use crate::support::{at, run, said, submitted};
use futures_util::{FutureExt, StreamExt};
use nightshift_protocol::{
    Event, EventBody, FailureReason, Glance, Image, Message, Plan, PlanStep, PlanStepState, ResultPart,
    Reviewing, RunId, RunState, RunSummary, SandboxId, StopReason, ToolOutcome, Usage, UserError,
};
use nightshift_store::{AppendError, FindError, Misplaced, RunCursor, RunFilter, RunStates, Store};
use proptest::prelude::*;

async fn opened() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (folder, store)
}

fn state(state: RunState) -> EventBody {
    EventBody::StateChanged { state }
}

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn what_was_appended_is_read_back_the_same_after_reopening() {
    let (folder, store) = opened().await;
    let zone = time::UtcOffset::from_hms(2, 0, 0).unwrap();
    let when = at(1_800_000_000).replace_nanosecond(123_456_789).unwrap().to_offset(zone);
    let appended = store.append(&run(1), when, &[submitted(1, "/src/app"), said("hello")]).await.unwrap();
    let appended: Vec<Event> = appended.into_iter().map(Arc::unwrap_or_clone).collect();
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.replay(&run(1)).await.unwrap(), appended);
    assert_eq!(store.events_after(0, 10).await.unwrap(), appended);
    assert_eq!(seqs(&store.events(&run(1), 1, 10).await.unwrap()), [2]);
}

#[tokio::test]
async fn a_run_begins_with_its_submission_and_is_submitted_once() {
    let (_folder, store) = opened().await;
    let refused = store.append(&run(1), at(0), &[said("hello")]).await.unwrap_err();
    let expected = Misplaced::NeverSubmitted { run: run(1), event: "personSaid" };
    assert!(matches!(refused, AppendError::Misplaced(refusal) if refusal == expected));

    store.append(&run(1), at(0), &[submitted(1, "/src/app")]).await.unwrap();
    let refused = store.append(&run(1), at(0), &[said("a"), submitted(1, "/src/app")]).await.unwrap_err();
    let expected = Misplaced::SubmittedTwice { run: run(1) };
    assert!(matches!(refused, AppendError::Misplaced(refusal) if refusal == expected));
    assert_eq!(seqs(&store.replay(&run(1)).await.unwrap()), [1], "a refused append leaves nothing of itself");
}

#[tokio::test]
async fn events_of_several_runs_are_appended_together_or_not_at_all() {
    let (folder, store) = opened().await;
    let first = [submitted(1, "/src/app"), said("a")];
    let second = [submitted(1, "/src/app")];
    let mut live = store.subscribe();
    let runs = [run(1), run(2), run(3)];
    // The third was never submitted.
    let odd = [said("b")];
    let refused = store.append_all(at(0), &[(&runs[0], &first), (&runs[1], &second), (&runs[2], &odd)]).await;
    assert!(matches!(refused, Err(AppendError::Misplaced(_))), "{refused:?}");
    assert_eq!(store.events_after(0, 10).await.unwrap(), []);
    assert_eq!(store.runs(&RunFilter::default(), None, 10).await.unwrap().runs, []);

    let appended =
        store.append_all(at(0), &[(&runs[0], &first), (&runs[1], &[]), (&runs[2], &second)]).await.unwrap();
    let places: Vec<(RunId, u64, u64)> =
        appended.iter().map(|event| (event.run.clone(), event.seq, event.position)).collect();
    assert_eq!(places, [(run(1), 1, 1), (run(1), 2, 2), (run(3), 1, 3)]);
    let mut seen = Vec::new();
    while let Ok(event) = live.try_recv() {
        seen.push(event.position);
    }
    assert_eq!(seen, [1, 2, 3], "nobody sees what was not appended");
    store.append(&run(3), at(1), &[said("c")]).await.unwrap();
    store.close().await;

    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(seqs(&store.replay(&run(3)).await.unwrap()), [1, 2]);
    assert_eq!(seqs(&store.replay(&run(1)).await.unwrap()), [1, 2]);
    assert_eq!(store.append_all(at(1), &[]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_at_once_get_seqs_without_gaps_and_subscribers_see_them_in_order() {
    let (_folder, store) = opened().await;
    let mut live = store.subscribe();
    for number in 1..=2 {
        store.append(&run(number), at(0), &[submitted(number, "/src/app")]).await.unwrap();
    }
    let writers = (0..40_u32).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let run = run(1 + number % 2);
            store.append(&run, at(number), &[said("first"), said("second")]).await.unwrap()
        })
    });
    for appended in futures_util::future::join_all(writers).await {
        let appended = appended.unwrap();
        assert_eq!(appended[0].seq + 1, appended[1].seq);
    }
    for number in 1..=2 {
        let expected: Vec<u64> = (1..=41).collect();
        assert_eq!(seqs(&store.replay(&run(number)).await.unwrap()), expected);
    }
    let mut seen = Vec::new();
    while let Ok(event) = live.try_recv() {
        seen.push(Event::clone(&event));
    }
    assert_eq!(seen, store.events_after(0, 1000).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_not_held_up_by_a_writer_and_never_see_half_an_append() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(0), &[submitted(1, "/src/app")]).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                store.append(&run(1), at(0), &[said("a"), said("b")]).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let events = store.replay(&run(1)).await.unwrap();
        assert_eq!(events.len() % 2, 1);
        let summary = store.run(&run(1)).await.unwrap().unwrap();
        assert!(summary.last_seq >= events.len() as u64, "the run is as new as its events");
    }
    writer.await.unwrap();
    assert_eq!(store.run(&run(1)).await.unwrap().unwrap().last_seq, 101);
}

#[tokio::test]
async fn a_caller_who_stops_waiting_does_not_tear_an_append_from_its_announcement() {
    let (_folder, store) = opened().await;
    let mut live = store.subscribe();
    let bodies = [submitted(1, "/src/app")];
    let run = run(1);
    assert!(store.append(&run, at(0), &bodies).now_or_never().is_none(), "it was dropped before it ended");
    assert_eq!(live.recv().await.unwrap().seq, 1);
    assert_eq!(store.replay(&run).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_every_event_once_however_far_it_lags() {
    let (_folder, store) = opened().await;
    store.append(&run(1), at(0), &[submitted(1, "/src/app"), said("1"), said("2")]).await.unwrap();
    store.append(&run(2), at(0), &[submitted(2, "/src/app")]).await.unwrap();
    let mut one = store.follow(&run(1), 1);
    let mut all = store.follow_all(0);
    assert_eq!(one.next().await.unwrap().unwrap().seq, 2);
    // More than the channel holds, so that a follower who reads nothing meanwhile has lost the live ones.
    let bodies: Vec<_> = (0..1500).map(|number| said(number.to_string())).collect();
    store.append(&run(1), at(1), &bodies).await.unwrap();
    let background = {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..60_u32 {
                store.append(&run(1 + number % 2), at(2), &[said("live")]).await.unwrap();
            }
        })
    };
    let rest: Vec<_> = one.by_ref().take(1500 + 1 + 30).map(|event| event.unwrap().seq).collect().await;
    assert_eq!(rest, (3..=1533).collect::<Vec<u64>>());
    let everything: Vec<_> = all.by_ref().take(1564).map(Result::unwrap).collect().await;
    background.await.unwrap();
    assert_eq!(everything, store.events_after(0, 5000).await.unwrap());
}

#[tokio::test]
async fn a_run_shows_what_its_events_made_of_it() {
    let (_folder, store) = opened().await;
    let sandbox: SandboxId = "sandbox-0000000000".parse().unwrap();
    let usage = Usage { input_tokens: 10, output_tokens: 5, cost_microdollars: 7, ..Usage::default() };
    let answer = EventBody::TurnFinished {
        turn: 1,
        message: Message::Assistant { blocks: Vec::new(), verbatim: serde_json::Value::Null },
        stop: StopReason::EndTurn,
        usage,
        model: "m".to_owned(),
    };
    let picture = Image {
        artifact: "a".repeat(64).parse().unwrap(),
        media_type: "image/png".to_owned(),
        width: 1280,
        height: 800,
        bytes: 1_000,
    };
    let step = EventBody::StepFinished {
        step: "1.1".parse().unwrap(),
        call: "c".to_owned(),
        outcome: ToolOutcome::Done,
        content: vec![ResultPart::Image { image: picture.clone() }],
        output: None,
        exit_code: Some(0),
        took_ms: 3,
        reconciled: None,
    };
    let plan = |title: &str, state| PlanStep { title: title.to_owned(), state };
    let steps = vec![
        plan("look", PlanStepState::Done),
        plan("change", PlanStepState::Active),
        plan("polish", PlanStepState::Dropped),
    ];
    let planned = EventBody::PlanChanged { plan: Plan { steps } };
    let asked = EventBody::TurnRequested { turn: 1 };
    let bodies = [
        submitted(1, "/src/app"),
        state(RunState::Working),
        EventBody::SandboxRequested { sandbox: sandbox.clone() },
        asked.clone(),
        asked,
        answer,
        step,
        planned,
    ];
    let events = store.append(&run(1), at(5), &bodies).await.unwrap();
    let EventBody::RunSubmitted { task, branch, .. } = &events[0].body else { unreachable!() };
    let expected = RunSummary {
        run: run(1),
        task: task.clone(),
        attempt: None,
        forked_from: None,
        state: RunState::Working,
        sandbox: Some(sandbox.clone()),
        suspended: false,
        branch: branch.clone(),
        turns: 1,
        steps: 1,
        usage,
        subagents: Vec::new(),
        glance: Glance { plan_steps: 2, plan_done: 1, doing: "change".to_owned(), screen: Some(picture) },
        reviewing: Reviewing { since: at(5), ..Reviewing::default() },
        last_seq: 8,
        updated_at: at(5),
    };
    assert_eq!(store.run(&run(1)).await.unwrap(), Some(expected));

    let other =
        EventBody::SandboxStopped { sandbox: "sandbox-1111111111".parse().unwrap(), reason: String::new() };
    store.append(&run(1), at(6), &[other]).await.unwrap();
    assert_eq!(store.run(&run(1)).await.unwrap().unwrap().sandbox, Some(sandbox.clone()));
    let stopped = EventBody::SandboxStopped { sandbox, reason: String::new() };
    store.append(&run(1), at(6), &[stopped]).await.unwrap();
    assert_eq!(store.run(&run(1)).await.unwrap().unwrap().sandbox, None);
}

#[tokio::test]
async fn runs_are_listed_newest_first_in_pages_and_by_filter() {
    let (_folder, store) = opened().await;
    for number in 0..7 {
        let repository = if number % 2 == 0 { "/src/even" } else { "/src/odd" };
        store.append(&run(number), at(number), &[submitted(number / 2, repository)]).await.unwrap();
    }
    store.append(&run(2), at(9), &[state(RunState::Working)]).await.unwrap();
    store.append(&run(3), at(9), &[state(RunState::Cancelled)]).await.unwrap();

    let all = RunFilter::default();
    let mut pages = Vec::new();
    let mut cursor: Option<RunCursor> = None;
    loop {
        let page = store.runs(&all, cursor, 3).await.unwrap();
        pages.push(page.runs.iter().map(|summary| summary.run.clone()).collect::<Vec<_>>());
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![run(6), run(5), run(4)], vec![run(3), run(2), run(1)], vec![run(0)]]);

    let listed = async |filter: RunFilter| -> Vec<_> {
        let page = store.runs(&filter, None, 50).await.unwrap();
        assert_eq!(page.next, None);
        page.runs.into_iter().map(|summary| summary.run).collect()
    };
    let named = |names: &[&str]| RunStates::Named(names.iter().map(|&name| name.to_owned()).collect());
    let with = |states| RunFilter { states, ..RunFilter::default() };
    assert_eq!(listed(with(named(&["working", "cancelled"]))).await, [run(3), run(2)]);
    assert_eq!(listed(with(named(&[]))).await, []);
    assert_eq!(listed(with(RunStates::Unfinished)).await, [6, 5, 4, 2, 1, 0].map(run));
    let odd = RunFilter { repository: Some("/src/odd".to_owned()), ..RunFilter::default() };
    assert_eq!(listed(odd).await, [5, 3, 1].map(run));
    let task = RunFilter { task: Some("task-0000000001".parse().unwrap()), ..RunFilter::default() };
    assert_eq!(listed(task).await, [3, 2].map(run));
}

#[tokio::test]
async fn an_id_may_be_shortened_as_long_as_it_is_unique() {
    let (_folder, store) = opened().await;
    for number in [10, 11, 20] {
        store.append(&run(number), at(0), &[submitted(number, "/src/app")]).await.unwrap();
    }
    store.append(&run(21), at(0), &[submitted(20, "/src/app")]).await.unwrap();

    assert_eq!(store.find_run("run-0000000010").await.unwrap().run, run(10));
    assert_eq!(store.find_task("task-000000002").await.unwrap().id.as_str(), "task-0000000020");
    let ambiguous = store.find_run("run-000000001").await.unwrap_err();
    assert_eq!(
        ambiguous.to_string(),
        "\"run-000000001\" is the beginning of several ids: run-0000000010, run-0000000011"
    );
    for hostile in ["run-9", "%", "run-_", "", "run-\u{10ffff}"] {
        let found = store.find_run(hostile).await;
        let refused = matches!(found, Err(FindError::NotFound { .. }));
        assert!(refused || hostile.is_empty(), "{hostile:?}: {found:?}");
    }
    assert!(
        matches!(store.find_run("").await, Err(FindError::Ambiguous { candidates, .. }) if candidates.len() == 4)
    );
}

fn any_body() -> impl Strategy<Value = EventBody> {
    let sandbox = |number: u8| -> SandboxId { format!("sandbox-{number:010}").parse().unwrap() };
    let failed = RunState::Failed {
        reason: FailureReason {
            error: UserError::new(nightshift_protocol::ErrorCode::Internal, "it broke", ""),
        },
    };
    prop_oneof![
        Just(state(RunState::Working)),
        Just(state(RunState::Cancelled)),
        Just(state(failed)),
        (0..3_u8).prop_map(move |number| EventBody::SandboxRequested { sandbox: sandbox(number) }),
        (0..3_u8).prop_map(move |number| EventBody::SandboxStopped {
            sandbox: sandbox(number),
            reason: "x".to_owned()
        }),
        (0..9_u32).prop_map(|turn| EventBody::TurnRequested { turn }),
        any::<String>().prop_map(said),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn replaying_all_events_makes_the_runs_that_appending_made(
        appends in prop::collection::vec((0..3_u32, prop::collection::vec(any_body(), 1..4)), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, store) = opened().await;
            for number in 0..3 {
                store.append(&run(number), at(0), &[submitted(number, "/src/app")]).await.unwrap();
            }
            for (second, (number, bodies)) in (1..).zip(&appends) {
                store.append(&run(*number), at(second), bodies).await.unwrap();
            }
            let before = store.runs(&RunFilter::default(), None, 10).await.unwrap();
            store.rebuild().await.unwrap();
            assert_eq!(store.runs(&RunFilter::default(), None, 10).await.unwrap(), before);
        });
    }
}
