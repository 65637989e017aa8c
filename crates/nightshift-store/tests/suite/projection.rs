//! What a run's events make of it, by laws that hold for all histories.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{
    CheckpointCause, CheckpointCost, DeliveryMeasure, DeliveryTarget, Event, EventBody, Image, Limits,
    PauseReason, Plan, PlanStep, PlanStepState, PreReviewFinding, PreReviewKind, PullRequestId, QueueReason,
    ResultPart, Reviewing, RunState, RunSummary, StepId, SubagentOutcome, SubagentStart, ToolOutcome, Usage,
};
use nightshift_store::{Misplaced, RunFilter, Store, project};
use proptest::prelude::*;

use crate::support::{at, run, said, submitted};

/// An example of every event there is.
fn examples() -> Vec<EventBody> {
    serde_json::from_str(include_str!("../../../nightshift-protocol/wire/events.json")).unwrap()
}

fn event(seq: u32, body: EventBody) -> Event {
    Event { position: u64::from(seq), run: run(1), seq: u64::from(seq), at: at(seq), body }
}

/// The run after these events.
fn run_after(bodies: &[EventBody]) -> RunSummary {
    let events = (2..).zip(bodies).map(|(seq, body)| event(seq, body.clone()));
    let begun = project(None, &event(1, submitted(1, "/src/app"))).unwrap();
    events.fold(begun, |run, event| project(Some(run), &event).unwrap())
}

/// A run without what every event changes.
fn apart_from_time(mut run: RunSummary) -> RunSummary {
    run.subagents.iter_mut().for_each(|subagent| subagent.started_at = at(0));
    let reviewing = Reviewing { since: at(0), review_ms: 0, agent_ms: 0, ..run.reviewing };
    RunSummary { last_seq: 0, updated_at: at(0), reviewing, ..run }
}

fn step(content: Vec<ResultPart>) -> EventBody {
    EventBody::StepFinished {
        step: StepId { turn: 1, call: 1 },
        call: "c".to_owned(),
        outcome: ToolOutcome::Done,
        content,
        output: None,
        exit_code: None,
        took_ms: 1,
        reconciled: None,
    }
}

fn picture(letter: &str) -> Image {
    Image {
        artifact: letter.repeat(64).parse().unwrap(),
        media_type: "image/png".to_owned(),
        width: 1,
        height: 1,
        bytes: 1,
    }
}

fn planned(steps: &[(&str, PlanStepState)]) -> EventBody {
    let steps =
        steps.iter().map(|(title, state)| PlanStep { title: (*title).to_owned(), state: *state }).collect();
    EventBody::PlanChanged { plan: Plan { steps } }
}

fn sandbox(number: u32, requested: bool) -> EventBody {
    let sandbox = format!("sandbox-{number:010}").parse().unwrap();
    if requested {
        EventBody::SandboxRequested { sandbox }
    } else {
        EventBody::SandboxStopped { sandbox, reason: "it ended".to_owned() }
    }
}

fn saved(cause: CheckpointCause) -> EventBody {
    let cost = CheckpointCost { changed_bytes: 1, written_bytes: 1, paused_ms: 1, took_ms: 1 };
    EventBody::CheckpointSaved { checkpoint: "checkpoint-0000000001".parse().unwrap(), cause, cost }
}

#[test]
fn a_run_is_suspended_from_the_checkpoint_that_suspends_it_until_its_sandbox_is_back_or_gone() {
    let restored = EventBody::SandboxRestored {
        sandbox: "sandbox-0000000001".parse().unwrap(),
        checkpoint: "checkpoint-0000000001".parse().unwrap(),
        took_ms: 1,
    };
    let suspended = |more: &[EventBody]| {
        let begun = [sandbox(1, true), saved(CheckpointCause::Suspended)];
        run_after(&[&begun[..], more].concat()).suspended
    };
    assert!(suspended(&[]) && suspended(&[EventBody::StateChanged { state: RunState::Working }]));
    assert!(!suspended(&[restored]) && !suspended(&[sandbox(1, false)]) && !suspended(&[sandbox(2, true)]));
    assert!(suspended(&[sandbox(2, false)]), "another sandbox ended");
    assert!(!run_after(&[sandbox(1, true), saved(CheckpointCause::Steps)]).suspended);
    assert!(!run_after(&[saved(CheckpointCause::Suspended)]).suspended, "there is no sandbox");
}

#[test]
fn an_event_before_the_submission_is_refused_whatever_it_is() {
    for body in examples().into_iter().filter(|body| !matches!(body, EventBody::RunSubmitted { .. })) {
        let name = body.name();
        let refused = project(None, &event(1, body)).unwrap_err();
        assert_eq!(refused, Misplaced::NeverSubmitted { run: run(1), event: name });
    }
}

#[test]
fn every_event_says_when_a_run_changed_last_and_a_second_submission_is_refused() {
    for body in examples() {
        let begun = run_after(&[]);
        let is_submission = matches!(body, EventBody::RunSubmitted { .. });
        match project(Some(begun), &event(7, body)) {
            Ok(run) => assert_eq!((run.last_seq, run.updated_at), (7, at(7))),
            Err(refused) => {
                assert_eq!(refused, Misplaced::SubmittedTwice { run: run(1) });
                assert!(is_submission);
            }
        }
    }
}

#[test]
fn refusals_name_run_and_event() {
    let early = project(None, &event(1, said("x"))).unwrap_err();
    assert_eq!(
        early.to_string(),
        "personSaid cannot be the first event of run-0000000001: the run was never submitted"
    );
    let twice = project(Some(run_after(&[])), &event(2, submitted(1, "/src"))).unwrap_err();
    assert_eq!(twice.to_string(), "run-0000000001 was submitted before");
}

#[test]
fn a_call_that_is_asked_for_again_is_counted_once() {
    let turn = |turn| EventBody::TurnRequested { turn };
    assert_eq!(run_after(&[turn(1), turn(2), turn(2), turn(1)]).turns, 2);
}

fn subagent(number: u32, title: &str) -> EventBody {
    let examples = examples();
    let Some(EventBody::SubagentStarted { subagent, system, message }) =
        examples.into_iter().find(|body| body.name() == "subagentStarted")
    else {
        panic!("there is an example of every event")
    };
    let name = format!("reviewer-{number}");
    let subagent = SubagentStart { number, name, title: title.to_owned(), ..subagent };
    EventBody::SubagentStarted { subagent, system, message }
}

fn ended(number: u32) -> EventBody {
    let (outcome, report) = (SubagentOutcome::Reported, "Fine.".to_owned());
    EventBody::SubagentFinished { number, outcome, report, work: None }
}

#[test]
fn what_a_subagent_does_is_its_own_and_what_it_costs_the_run_s() {
    let own = |turn| EventBody::TurnRequested { turn };
    let mut its = step(Vec::new());
    let EventBody::StepFinished { step: id, .. } = &mut its else { unreachable!() };
    *id = StepId { turn: 10_001, call: 1 };
    let bodies = [own(1), subagent(1, "Review"), own(10_001), its, own(10_002), own(2), ended(1)];
    let run = run_after(&bodies);
    assert_eq!((run.turns, run.steps), (2, 1));
    let summary = &run.subagents[0];
    assert_eq!((summary.name.as_str(), summary.turns, summary.steps), ("reviewer-1", 2, 1));
    assert_eq!(summary.state(), "reported");
}

#[test]
fn one_that_is_started_anew_after_going_back_takes_the_place_of_those_since() {
    let bodies = [subagent(1, "a"), subagent(2, "b"), subagent(3, "c"), ended(3), subagent(2, "d")];
    let run = run_after(&bodies);
    let titles: Vec<&str> = run.subagents.iter().map(|subagent| subagent.title.as_str()).collect();
    assert_eq!(titles, ["a", "d"]);
}

#[test]
fn of_very_many_subagents_a_hundred_are_kept_and_a_long_title_is_cut() {
    let bodies: Vec<EventBody> = (1..=130).map(|number| subagent(number, &"x".repeat(1_000))).collect();
    let run = run_after(&bodies);
    assert_eq!((run.subagents.len(), run.subagents[0].title.len()), (100, 200));
}

#[test]
fn the_newest_picture_is_kept_although_later_steps_have_none() {
    let image = |letter| ResultPart::Image { image: picture(letter) };
    let text = ResultPart::Text { text: "ok".to_owned() };
    let run = run_after(&[
        step(vec![image("a")]),
        step(vec![image("b"), image("c"), text.clone()]),
        step(vec![text]),
    ]);
    assert_eq!((run.glance.screen, run.steps), (Some(picture("c")), 3));
}

#[test]
fn a_plan_s_dropped_steps_do_not_count_and_a_long_title_is_cut() {
    let long = "ü".repeat(500);
    let run = run_after(&[planned(&[
        ("look", PlanStepState::Done),
        (&long, PlanStepState::Active),
        ("then", PlanStepState::Active),
        ("polish", PlanStepState::Dropped),
        ("finish", PlanStepState::Pending),
    ])]);
    assert_eq!((run.glance.plan_steps, run.glance.plan_done), (4, 1));
    assert_eq!(run.glance.doing, "ü".repeat(200));
}

#[test]
fn a_newer_plan_takes_the_place_of_the_older_one_whole() {
    let run = run_after(&[planned(&[("look", PlanStepState::Active)]), planned(&[])]);
    assert_eq!((run.glance.plan_steps, run.glance.doing), (0, String::new()));
}

#[test]
fn raised_limits_are_the_task_s() {
    let limits = Limits { turns: 1, tokens: 2, cost_microdollars: 3, seconds: 4 };
    assert_eq!(run_after(&[EventBody::LimitsRaised { limits }]).task.limits, limits);
}

#[test]
fn a_summary_costs_like_a_call() {
    let usage = Usage { input_tokens: 5, cost_microdollars: 7, ..Usage::default() };
    let compacted = EventBody::Compacted { turn: 1, summary: None, usage, model: "m".to_owned() };
    assert_eq!(run_after(&[compacted.clone(), compacted]).usage.cost_microdollars, 14);
}

#[test]
fn a_sandbox_is_a_run_s_until_that_one_stops() {
    let has = |bodies: &[EventBody]| run_after(bodies).sandbox.map(|sandbox| sandbox.to_string());
    let second = Some("sandbox-0000000002".to_owned());
    assert_eq!(has(&[sandbox(1, true), sandbox(2, true)]), second);
    assert_eq!(has(&[sandbox(1, true), sandbox(2, true), sandbox(1, false)]), second);
    assert_eq!(has(&[sandbox(1, true), sandbox(1, false), sandbox(1, false)]), None);
}

/// The run after these events, each at its second.
fn run_at(bodies: &[(u32, EventBody)]) -> RunSummary {
    let begun = project(None, &event(1, submitted(1, "/src/app"))).unwrap();
    bodies.iter().zip(2..).fold(begun, |run, ((second, body), seq)| {
        let event = Event { seq, at: at(*second), ..event(1, body.clone()) };
        project(Some(run), &event).unwrap()
    })
}

fn changed(state: RunState) -> EventBody {
    EventBody::StateChanged { state }
}

#[test]
fn time_in_review_ends_with_each_decision_and_the_agent_s_time_and_pauses_are_left_out() {
    let review = || changed(RunState::InReview { pull_request: PullRequestId(1) });
    let feedback = || changed(RunState::Queued { reason: QueueReason::Feedback });
    let run = run_at(&[
        (10, changed(RunState::Working)),
        (30, changed(RunState::Delivering)),
        (40, review()),
        (100, feedback()),
        (200, changed(RunState::Working)),
        (205, changed(RunState::Delivering)),
        (300, review()),
        (330, changed(RunState::Merged { pull_request: PullRequestId(1) })),
        (999, said("late")),
    ]);
    let Reviewing { since, review_ms, agent_ms, .. } = run.reviewing;
    assert_eq!((since, review_ms, agent_ms), (at(330), 90_000, 25_000));
}

#[test]
fn nobody_worked_while_no_owner_was_there() {
    let resumed = EventBody::OwnerResumed { found: "the run goes on".to_owned() };
    let run = run_at(&[
        (10, changed(RunState::Working)),
        (15, said("last words")),
        (500, resumed.clone()),
        (507, changed(RunState::Waiting { question: "Which?".to_owned(), approval: None })),
        (600, resumed),
        (700, changed(RunState::Working)),
    ]);
    assert_eq!((run.reviewing.agent_ms, run.reviewing.since), (12_000, at(700)));
}

#[test]
fn nobody_worked_while_the_computer_slept() {
    let run = run_at(&[
        (10, changed(RunState::Working)),
        (28_820, EventBody::HostSlept { seconds: 28_800 }),
        (28_825, changed(RunState::Paused { reason: PauseReason::Person })),
        (90_000, EventBody::HostSlept { seconds: 28_800 }),
    ]);
    assert_eq!((run.reviewing.agent_ms, run.reviewing.since), (15_000, at(28_825)));
}

#[test]
fn a_run_that_says_anew_why_it_waits_has_waited_since_it_began_to() {
    let queued = |limit| changed(RunState::Queued { reason: QueueReason::ReviewLimit { limit } });
    assert_eq!(run_at(&[(10, queued(1)), (20, queued(2))]).reviewing.since, at(1));
}

#[test]
fn the_newest_delivery_is_told_and_rounds_are_counted() {
    let checked = |added, kind| EventBody::DeliveryChecked {
        head: "c".repeat(40).parse().unwrap(),
        target: DeliveryTarget::Local,
        findings: vec![PreReviewFinding { kind, paths: Vec::new(), words: "Look.".to_owned() }],
        measure: DeliveryMeasure { added, ..DeliveryMeasure::default() },
    };
    let asked = EventBody::FeedbackReceived { round: 1, items: Vec::new() };
    let run = run_after(&[
        checked(1, PreReviewKind::Size),
        asked.clone(),
        checked(2, PreReviewKind::NoTests),
        asked,
    ]);
    let Reviewing { delivered, findings, rounds, .. } = run.reviewing;
    assert_eq!((delivered.unwrap().added, findings, rounds), (2, vec![PreReviewKind::NoTests], 2));
}

#[test]
fn the_rounds_of_the_run_that_it_was_forked_from_are_none_of_a_fork() {
    let asked = EventBody::FeedbackReceived { round: 1, items: Vec::new() };
    let forked = examples().into_iter().find(|body| matches!(body, EventBody::RunForked { .. })).unwrap();
    assert_eq!(run_after(&[asked.clone(), asked.clone(), forked, asked]).reviewing.rounds, 1);
}

#[test]
fn the_pull_request_is_told_from_when_it_is_opened_on() {
    let opened = EventBody::PullRequestOpened { pull_request: PullRequestId(7), url: None };
    let told = |bodies: &[EventBody]| run_after(bodies).reviewing.pull_request;
    assert_eq!(told(&[changed(RunState::Delivering)]), None);
    let again = EventBody::FeedbackReceived { round: 1, items: Vec::new() };
    assert_eq!(told(&[opened, again, changed(RunState::Working)]), Some(PullRequestId(7)));
}

#[test]
fn a_clock_that_was_set_back_makes_no_time() {
    let run = run_at(&[(100, changed(RunState::Working)), (50, changed(RunState::Delivering))]);
    assert_eq!(run.reviewing.agent_ms, 0);
}

#[tokio::test]
async fn every_event_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let bodies = examples();
    store.append(&run(1), at(1), &bodies).await.unwrap();
    store.close().await;
    let store = Store::open(folder.path()).await.unwrap();
    let read: Vec<_> = store.replay(&run(1)).await.unwrap().into_iter().map(|event| event.body).collect();
    assert_eq!(read, bodies);
}

fn any_body() -> impl Strategy<Value = EventBody> {
    let all: Vec<EventBody> =
        examples().into_iter().filter(|body| !matches!(body, EventBody::RunSubmitted { .. })).collect();
    let states: Vec<RunState> =
        serde_json::from_str(include_str!("../../../nightshift-protocol/wire/states.json")).unwrap();
    prop_oneof![
        3 => prop::sample::select(all),
        1 => prop::sample::select(states).prop_map(|state| EventBody::StateChanged { state }),
        1 => (0..9_u32).prop_map(|turn| EventBody::TurnRequested { turn }),
        1 => (0..3_u32, any::<bool>()).prop_map(|(number, requested)| sandbox(number, requested)),
    ]
}

/// Everything a store tells of its runs.
async fn told(store: &Store) -> Vec<RunSummary> {
    let mut runs = store.runs(&RunFilter::default(), None, 100).await.unwrap().runs;
    runs.sort_by(|left, right| left.run.cmp(&right.run));
    runs
}

proptest! {
    #[test]
    fn a_run_is_in_the_state_of_its_last_change_of_state(bodies in prop::collection::vec(any_body(), 0..20)) {
        let last = bodies.iter().rev().find_map(|body| match body {
            EventBody::StateChanged { state } => Some(state.clone()),
            _ => None,
        });
        let run = run_after(&bodies);
        prop_assert_eq!(run.state.name(), last.as_ref().map_or("queued", RunState::name));
    }

    #[test]
    fn only_what_a_summary_shows_changes_it(bodies in prop::collection::vec(any_body(), 0..20)) {
        let shown = |body: &EventBody| {
            apart_from_time(run_after(std::slice::from_ref(body))) != apart_from_time(run_after(&[]))
        };
        let some: Vec<EventBody> = bodies
            .iter()
            .filter(|body| shown(body) || matches!(body, EventBody::StateChanged { .. } | EventBody::SandboxStopped { .. }
                | EventBody::LimitsRaised { .. } | EventBody::SubagentFinished { .. }))
            .cloned()
            .collect();
        prop_assert_eq!(apart_from_time(run_after(&some)), apart_from_time(run_after(&bodies)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn events_make_the_same_run_one_by_one_and_all_at_once(
        bodies in prop::collection::vec(any_body(), 1..12), parts in prop::collection::vec(1..4_usize, 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (whole, apart) = (folder.path().join("whole"), folder.path().join("apart"));
            let (whole, apart) = (Store::open(&whole).await.unwrap(), Store::open(&apart).await.unwrap());
            let all: Vec<_> = [submitted(1, "/src/app")].into_iter().chain(bodies).collect();
            whole.append(&run(1), at(1), &all).await.unwrap();
            let mut rest = all.as_slice();
            for part in parts {
                let (now, later) = rest.split_at(part.min(rest.len()));
                apart.append(&run(1), at(1), now).await.unwrap();
                rest = later;
            }
            apart.append(&run(1), at(1), rest).await.unwrap();
            assert_eq!(told(&apart).await, told(&whole).await);
        });
    }

    #[test]
    fn runs_are_the_same_in_whatever_order_they_write(
        bodies in prop::collection::vec((0..3_u32, any_body()), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (mixed, sorted) = (folder.path().join("mixed"), folder.path().join("sorted"));
            let (mixed, sorted) = (Store::open(&mixed).await.unwrap(), Store::open(&sorted).await.unwrap());
            let mut in_turn: Vec<_> = (0..3).map(|number| (number, submitted(number, "/src/app"))).chain(bodies).collect();
            for (number, body) in &in_turn {
                mixed.append(&run(*number), at(1), std::slice::from_ref(body)).await.unwrap();
            }
            // Stable: each run's own events keep their order.
            in_turn.sort_by_key(|(number, _)| *number);
            for (number, body) in &in_turn {
                sorted.append(&run(*number), at(1), std::slice::from_ref(body)).await.unwrap();
            }
            assert_eq!(told(&mixed).await, told(&sorted).await);
        });
    }
}
