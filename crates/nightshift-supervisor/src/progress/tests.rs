use nightshift_protocol::{
    Approval, AssistantBlock, DeliveryTarget, Limits, Message, PreparingPhase, PullRequestId, QueueReason,
    SandboxFacts, StopReason, UserPart,
};
use serde_json::json;

use super::*;

pub(super) fn task() -> Task {
    Task {
        id: "task-0000000000".parse().unwrap(),
        description: "Greet".to_owned(),
        repository: "/src/app".to_owned(),
        base_branch: "main".to_owned(),
        base_commit: "a".repeat(40).parse().unwrap(),
        model: "claude-sonnet-5-5".to_owned(),
        limits: Limits::default(),
        self_review_rounds: 0,
        approval: Approval::default(),
        engine: None,
        issue: None,
        criteria: Vec::new(),
        created_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn sandbox() -> SandboxId {
    "sandbox-0000000000".parse().unwrap()
}

fn commit() -> CommitId {
    "b".repeat(40).parse().unwrap()
}

pub(super) fn state(state: RunState) -> EventBody {
    EventBody::StateChanged { state }
}

pub(super) fn answer(turn: u32, calls: &[(&str, &str, serde_json::Value)]) -> EventBody {
    let blocks = calls.iter().map(|(id, name, input)| AssistantBlock::ToolCall {
        call: ToolCall {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            input: input.clone(),
            malformed: None,
        },
    });
    EventBody::TurnFinished {
        turn,
        message: Message::Assistant { blocks: blocks.collect(), verbatim: json!([]) },
        stop: StopReason::ToolUse,
        usage: Usage { output_tokens: 10, cost_microdollars: 5, ..Usage::default() },
        model: "claude-sonnet-5-5".to_owned(),
    }
}

pub(super) fn intended(
    step: &str,
    id: &str,
    name: &str,
    input: serde_json::Value,
    write: Option<IntendedWrite>,
) -> EventBody {
    let call = ToolCall { id: id.to_owned(), name: name.to_owned(), input, malformed: None };
    EventBody::StepIntended { step: step.parse().unwrap(), call, write }
}

pub(super) fn finished(step: &str, id: &str, exit_code: Option<i32>) -> EventBody {
    EventBody::StepFinished {
        step: step.parse().unwrap(),
        call: id.to_owned(),
        outcome: ToolOutcome::Done,
        content: vec![ResultPart::Text { text: "ok".to_owned() }],
        output: None,
        exit_code,
        took_ms: 1,
        reconciled: None,
    }
}

/// The events of a run up to the conversation's first call of the model.
pub(super) fn begun() -> Vec<EventBody> {
    let facts = SandboxFacts {
        checkpoints: false,
        environment: None,
        driver: "qemu".to_owned(),
        acceleration: "tcg".to_owned(),
        template: "t".to_owned(),
        first_frame_ms: 1,
        shell_ms: 2,
        ready_ms: 2,
    };
    let words = Message::User { content: vec![UserPart::Text { text: "Greet".to_owned() }] };
    vec![
        EventBody::RunSubmitted {
            task: task(),
            branch: "nightshift/greet-0".to_owned(),
            attempt: None,
            context_tokens: None,
        },
        state(RunState::Queued { reason: QueueReason::Submitted }),
        state(RunState::Preparing { phase: PreparingPhase::Sandbox }),
        EventBody::SandboxRequested { sandbox: sandbox() },
        EventBody::SandboxReady { sandbox: sandbox(), facts },
        EventBody::RepositoryImported { commit: commit() },
        EventBody::ConversationStarted { system: "You work.".to_owned(), message: words },
        state(RunState::Working),
    ]
}

/// What the model reads last, behind the results.
pub(super) fn last_texts(progress: &RunProgress) -> Vec<String> {
    let Some(Message::User { content }) = progress.agent.conversation().messages.last().map(|last| &**last)
    else {
        panic!("the last message is the user's")
    };
    let texts = content.iter().filter_map(|part| match part {
        UserPart::Text { text } => Some(text.clone()),
        UserPart::Image { .. } | UserPart::ToolResult { .. } => None,
    });
    texts.collect()
}

/// The same in a sandbox that can be saved.
pub(super) fn begun_able() -> Vec<EventBody> {
    let mut bodies = begun();
    for body in &mut bodies {
        if let EventBody::SandboxReady { facts, .. } = body {
            facts.checkpoints = true;
        }
    }
    bodies
}

pub(super) fn events(bodies: Vec<EventBody>) -> Vec<Event> {
    let numbered = (1..).zip(bodies);
    let event = |(seq, body): (u64, EventBody)| Event {
        position: seq,
        run: "run-0000000000".parse().unwrap(),
        seq,
        at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(i64::try_from(seq).unwrap()),
        body,
    };
    numbered.map(event).collect()
}

pub(super) fn fold(bodies: Vec<EventBody>) -> RunProgress {
    fold_events(&events(bodies))
}

pub(super) fn fold_events(events: &[Event]) -> RunProgress {
    let (first, rest) = events.split_first().unwrap();
    let mut progress = RunProgress::begin(first, AgentSettings::default()).unwrap();
    for event in rest {
        progress.apply(event);
    }
    progress
}

fn next_after(more: Vec<EventBody>) -> Action {
    next(&fold([begun(), more].concat()))
}

#[test]
fn a_run_is_prepared_step_by_step() {
    let road = [
        (1, "Admit(Unprepared)"),
        (2, "Admit(Unprepared)"),
        (3, "RequestSandbox"),
        (4, "MakeSandbox"),
        (5, "ImportRepository"),
        (6, "StartConversation"),
        (8, "AskModel { turn: 1, intention: New }"),
    ];
    for (length, expected) in road {
        let action = next(&fold(begun().into_iter().take(length).collect()));
        assert!(format!("{action:?}").starts_with(expected), "after {length} events: {action:?}");
    }
}

#[test]
fn events_that_do_not_begin_with_the_submission_are_refused_by_name() {
    let events = events(vec![state(RunState::Working)]);
    let refused = RunProgress::begin(&events[0], AgentSettings::default()).unwrap_err();
    assert_eq!(refused.to_string(), "the first event of run-0000000000 is stateChanged, not runSubmitted");
}

#[test]
fn a_model_call_without_an_answer_is_made_again() {
    let action = next_after(vec![EventBody::TurnRequested { turn: 1 }]);
    assert_eq!(action, Action::AskModel { turn: 1, intention: Intention::Open(None) });
}

#[test]
fn a_model_call_that_an_owner_s_end_broke_off_is_made_again_only_within_the_limits() {
    let lowered = EventBody::LimitsRaised { limits: Limits { turns: 0, ..Limits::default() } };
    let asked = vec![EventBody::TurnRequested { turn: 1 }, lowered];
    let again = Action::AskModel { turn: 1, intention: Intention::Open(None) };
    assert_eq!(next_after(asked.clone()), again, "it is under way");
    let resumed = EventBody::OwnerResumed { found: "it runs".to_owned() };
    let taken_up = [asked, vec![resumed]].concat();
    assert!(matches!(next_after(taken_up.clone()), Action::Pause(PauseReason::Limit { .. })));
    let raised = EventBody::LimitsRaised { limits: Limits::default() };
    assert_eq!(next_after([taken_up, vec![raised]].concat()), again);
}

#[test]
fn a_step_that_was_begun_is_looked_at_and_one_that_was_not_is_begun() {
    let calls = answer(1, &[("c1", "shell", json!({"command": "make"}))]);
    let asked = vec![EventBody::TurnRequested { turn: 1 }, calls];
    let Action::RunStep { intention, .. } = next_after(asked.clone()) else { panic!("no step") };
    assert_eq!(intention, Intention::New);
    let begun = [asked, vec![intended("1.1", "c1", "shell", json!({"command": "make"}), None)]].concat();
    let Action::RunStep { step, intention, .. } = next_after(begun) else { panic!("no step") };
    assert_eq!((step.to_string(), intention), ("1.1".to_owned(), Intention::Open(None)));
}

#[test]
fn an_edit_that_was_begun_knows_what_it_was_going_to_write() {
    let input = json!({"action": "create", "path": "a", "text": "x"});
    let write =
        IntendedWrite { path: "/a".to_owned(), before: None, after: Some("c".repeat(64).parse().unwrap()) };
    let bodies = vec![
        EventBody::TurnRequested { turn: 1 },
        answer(1, &[("c1", "edit", input.clone())]),
        intended("1.1", "c1", "edit", input, Some(write.clone())),
    ];
    let Action::RunStep { intention, .. } = next_after(bodies) else { panic!("no step") };
    assert_eq!(intention, Intention::Open(Some(write)));
}

#[test]
fn a_finished_step_leads_to_the_next_call_of_the_model() {
    let bodies = vec![
        EventBody::TurnRequested { turn: 1 },
        answer(1, &[("c1", "shell", json!({"command": "make"}))]),
        intended("1.1", "c1", "shell", json!({"command": "make"}), None),
        finished("1.1", "c1", Some(0)),
    ];
    let progress = fold([begun(), bodies].concat());
    assert_eq!(next(&progress), Action::AskModel { turn: 2, intention: Intention::New });
    let ran = RanCommand { step: "1.1".parse().unwrap(), command: "make".to_owned(), exit_code: Some(0) };
    assert_eq!(progress.commands, [ran]);
    assert_eq!(progress.usage.cost_microdollars, 5);
}

#[test]
fn an_answer_with_more_than_a_hundred_calls_comes_to_its_end() {
    let names: Vec<String> = (1..=120).map(|number| format!("c{number}")).collect();
    let calls: Vec<_> =
        names.iter().map(|name| (name.as_str(), "shell", json!({"command": "make"}))).collect();
    let mut progress =
        fold([begun(), vec![EventBody::TurnRequested { turn: 1 }, answer(1, &calls)]].concat());
    let mut seq = progress.last_seq;
    for _ in names {
        let (Action::RunStep { step, call, .. } | Action::AnswerStep { step, call, .. }) = next(&progress)
        else {
            panic!("no step: {:?}", next(&progress))
        };
        let step = step.to_string();
        let bodies = [
            intended(&step, &call.id, "shell", call.input.clone(), None),
            finished(&step, &call.id, Some(0)),
        ];
        for body in bodies {
            seq += 1;
            progress.apply(&Event { seq, ..progress_event(100, body) });
        }
    }
    assert_eq!(next(&progress), Action::AskModel { turn: 2, intention: Intention::New });
}

#[test]
fn an_undone_write_is_no_longer_there_to_be_undone() {
    let write = |after: &str| {
        Some(IntendedWrite {
            path: "/a".to_owned(),
            before: None,
            after: Some(after.repeat(64).parse().unwrap()),
        })
    };
    let mut progress = fold(begun());
    let edit = |action: &str| json!({"action": action, "path": "/a"});
    let bodies = vec![
        intended("1.1", "c1", "edit", edit("create"), write("1")),
        finished("1.1", "c1", None),
        intended("1.2", "c2", "edit", edit("create"), write("2")),
        finished("1.2", "c2", None),
        intended("1.3", "c3", "edit", edit("undo"), write("1")),
        finished("1.3", "c3", None),
    ];
    for event in events(bodies) {
        progress.apply(&event);
    }
    assert_eq!(progress.writes, [write("1").unwrap()]);
}

#[test]
fn finished_work_is_received_then_opened_then_awaited_and_then_the_sandbox_is_stopped() {
    let done = EventBody::WorkFinished {
        title: "Greet".to_owned(),
        summary: "A greeting.".to_owned(),
        not_verified: String::new(),
    };
    let received =
        EventBody::BranchReceived { branch: "nightshift/greet-0".to_owned(), head: commit(), commits: 2 };
    let checked = EventBody::DeliveryChecked {
        head: commit(),
        target: DeliveryTarget::Local,
        findings: Vec::new(),
        measure: nightshift_protocol::DeliveryMeasure::default(),
    };
    let prepared =
        EventBody::PicturesPrepared { head: commit(), pictures: Vec::new(), recording: None, video: None };
    let opened = EventBody::PullRequestOpened { pull_request: PullRequestId(7), url: None };
    let work = Received { head: commit(), commits: 2 };
    let mut bodies = vec![done, state(RunState::Delivering)];
    assert_eq!(next_after(bodies.clone()), Action::Deliver(DeliveryAction::Receive));
    bodies.push(EventBody::DeliveryIntended { branch: "nightshift/greet-0".to_owned() });
    assert_eq!(next_after(bodies.clone()), Action::Deliver(DeliveryAction::Receive));
    bodies.push(received);
    assert_eq!(next_after(bodies.clone()), Action::Deliver(DeliveryAction::Check(work.clone())));
    bodies.push(checked);
    assert_eq!(next_after(bodies.clone()), Action::Deliver(DeliveryAction::PreparePictures(work.clone())));
    bodies.push(prepared);
    assert_eq!(next_after(bodies.clone()), Action::Deliver(DeliveryAction::Open(work)));
    bodies.push(opened);
    assert_eq!(next_after(bodies.clone()), Action::Deliver(DeliveryAction::AwaitReview(PullRequestId(7))));
    bodies.push(state(RunState::InReview { pull_request: PullRequestId(7) }));
    assert_eq!(next_after(bodies.clone()), Action::StopSandbox(sandbox()));
    bodies.push(EventBody::SandboxStopped { sandbox: sandbox(), reason: "delivered".to_owned() });
    assert_eq!(next_after(bodies), Action::Rest);
}

#[test]
fn a_run_that_was_paused_in_the_middle_goes_on_in_the_middle() {
    let paused = state(RunState::Paused { reason: PauseReason::Person });
    assert_eq!(next_after(vec![paused.clone()]), Action::AwaitPerson);
    let queued = state(RunState::Queued { reason: QueueReason::Submitted });
    assert_eq!(next_after(vec![paused.clone(), queued.clone()]), Action::Admit(Stage::Prepared));
    let action = next_after(vec![paused, queued, state(RunState::Working)]);
    assert_eq!(action, Action::AskModel { turn: 1, intention: Intention::New });
}

#[test]
fn a_question_waits_for_a_person_and_its_answer_is_recorded_as_the_step_s_outcome() {
    let asked = vec![
        EventBody::TurnRequested { turn: 1 },
        answer(1, &[("c1", "ask", json!({"question": "Which port?"}))]),
    ];
    let question = "Which port?".to_owned();
    assert_eq!(next_after(asked.clone()), Action::Ask { question, approval: None });
    let waiting =
        [asked, vec![state(RunState::Waiting { question: "Which port?".to_owned(), approval: None })]]
            .concat();
    assert_eq!(next_after(waiting.clone()), Action::AwaitPerson);
    let answered =
        [waiting, vec![EventBody::PersonSaid { text: "8080".to_owned() }, state(RunState::Working)]].concat();
    let Action::AnswerStep { outcome, content, .. } = next_after(answered) else { panic!("no answer") };
    assert_eq!(outcome, ToolOutcome::Done);
    assert!(format!("{content:?}").contains("8080"));
}

#[test]
fn words_that_come_before_a_question_is_shown_leave_it_open_and_are_read_with_its_answer() {
    let question = "Which port?".to_owned();
    let asks = answer(1, &[("c1", "ask", json!({"question": question}))]);
    let said = |text: &str| EventBody::PersonSaid { text: text.to_owned() };
    let steer = said("Mind the tests.");
    let handed_back = EventBody::HandedBack { summary: "Closed a tab.".to_owned(), seconds: 3, screen: None };
    let of_another =
        RunState::Waiting { question: "May it?".to_owned(), approval: Some("10001.1".parse().unwrap()) };
    let roads = [
        vec![asks.clone(), steer.clone()],
        vec![EventBody::TakenOver { screen: None }, asks.clone(), steer.clone(), handed_back],
        vec![asks, state(of_another), steer, state(RunState::Working)],
    ];
    for road in roads {
        let mut bodies = [begun(), vec![EventBody::TurnRequested { turn: 1 }], road].concat();
        assert_eq!(next(&fold(bodies.clone())), Action::Ask { question: question.clone(), approval: None });
        bodies.push(state(RunState::Waiting { question: question.clone(), approval: None }));
        bodies.extend([said("8080"), state(RunState::Working)]);
        let Action::AnswerStep { content, .. } = next(&fold(bodies.clone())) else { panic!("no answer") };
        assert!(format!("{content:?}").contains("8080"), "{content:?}");
        bodies.push(finished("1.1", "c1", None));
        let texts = last_texts(&fold(bodies));
        assert!(texts.iter().any(|text| text.ends_with("writes:\n\nMind the tests.")), "{texts:?}");
    }
}

#[test]
fn a_cancelled_run_only_has_its_sandbox_stopped() {
    let cancelled = vec![EventBody::TurnRequested { turn: 1 }, state(RunState::Cancelled)];
    assert_eq!(next_after(cancelled), Action::StopSandbox(sandbox()));
}

#[test]
fn time_counts_only_while_the_agent_works_an_owner_is_there_and_its_computer_is_awake() {
    let mut progress = fold(begun());
    let at = |seconds: i64| progress_event(seconds, EventBody::TurnRequested { turn: 1 });
    progress.apply(&at(100));
    let worked = progress.seconds();
    progress.apply(&progress_event(500, EventBody::OwnerResumed { found: "it runs".to_owned() }));
    assert_eq!(progress.seconds(), worked, "the owner was away");
    progress.apply(&progress_event(500 + 28_805, EventBody::HostSlept { seconds: 28_800 }));
    assert_eq!(progress.seconds(), worked + 5, "the computer slept after that");
    progress.apply(&progress_event(510 + 28_800, state(RunState::Paused { reason: PauseReason::Person })));
    assert_eq!(progress.seconds(), worked + 10);
    progress.apply(&progress_event(30_000, state(RunState::Queued { reason: QueueReason::Submitted })));
    assert_eq!(progress.seconds(), worked + 10, "it was paused");
}

fn progress_event(seconds: i64, body: EventBody) -> Event {
    Event {
        position: 1,
        run: "run-0000000000".parse().unwrap(),
        seq: 99,
        at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds),
        body,
    }
}
