use nightshift_protocol::{
    AssistantBlock, EngineActionKind, EngineModelCall, EngineModelRequest, Event, Limits, Message,
    OffsetDateTime, PlanStep, PlanStepState, RunState, StopReason, Usage, UserPart,
};
use serde_json::{Value, json};

use super::*;
use crate::progress::tests::task;
use crate::progress::{Action, Intention, next};

/// A run whose foreign agent was given its first turn.
fn given() -> RunProgress {
    let mut task = task();
    task.engine = Some("claude-code".to_owned());
    task.limits = Limits::default();
    let first = EventBody::RunSubmitted {
        task,
        branch: "nightshift/add-it".to_owned(),
        attempt: None,
        context_tokens: None,
    };
    let mut progress =
        RunProgress::begin(&event(1, first), nightshift_agent::AgentSettings::default()).unwrap();
    let content = vec![UserPart::Text { text: "Add it.".to_owned() }];
    for body in [
        EventBody::ConversationStarted { system: "Rules.".to_owned(), message: Message::User { content } },
        EventBody::StateChanged { state: RunState::Working },
    ] {
        apply(&mut progress, body);
    }
    assert_eq!(next(&progress), Action::AskModel { turn: 1, intention: Intention::New });
    apply(&mut progress, EventBody::TurnRequested { turn: 1 });
    apply(&mut progress, started("s-1"));
    progress
}

fn event(seq: u64, body: EventBody) -> Event {
    let run = "run-0000000000".parse().unwrap();
    Event { position: seq, run, seq, at: OffsetDateTime::UNIX_EPOCH, body }
}

fn apply(progress: &mut RunProgress, body: EventBody) {
    let seq = progress.last_seq + 1;
    progress.apply(&event(seq, body));
}

fn started(session: &str) -> EventBody {
    let (engine, agent) = ("claude-code".to_owned(), "Claude 1".to_owned());
    EventBody::EngineStarted { turn: 1, engine, agent, session: session.to_owned(), resumed: false }
}

fn intended(step: &str, name: &str, input: Value) -> EventBody {
    let call = ToolCall { id: format!("id-{step}"), name: name.to_owned(), input, malformed: None };
    EventBody::StepIntended { step: step.parse().unwrap(), call, write: None }
}

fn ended(step: &str, exit_code: Option<i32>) -> EventBody {
    EventBody::StepFinished {
        step: step.parse().unwrap(),
        call: format!("id-{step}"),
        outcome: ToolOutcome::Done,
        content: vec![ResultPart::Text { text: "3 passed".to_owned() }],
        output: None,
        exit_code,
        took_ms: 1,
        reconciled: None,
    }
}

fn acted(number: u32, status: EngineActionStatus) -> EventBody {
    let (kind, title) = (EngineActionKind::Edit, "a.js".to_owned());
    let action = EngineAction { number, kind, title, status, files: Vec::new(), detail: None };
    EventBody::EngineActed { turn: 1, action }
}

fn finished(turn: u32, calls: Vec<ToolCall>) -> EventBody {
    let blocks = calls.into_iter().map(|call| AssistantBlock::ToolCall { call }).collect();
    let message = Message::Assistant { blocks, verbatim: Value::Null };
    let stop = StopReason::ToolUse;
    EventBody::TurnFinished { turn, message, stop, usage: Usage::default(), model: "claude-code".to_owned() }
}

fn called(usage: Usage, refused: Option<String>) -> EventBody {
    let call = EngineModelCall {
        number: 0,
        provider: "anthropic".to_owned(),
        model: "m".to_owned(),
        status: None,
        refused,
        usage,
        took_ms: 1,
    };
    EventBody::EngineCalledModel { turn: 1, call }
}

#[test]
fn a_turn_that_was_broken_off_is_given_again_and_its_loose_ends_are_told_once() {
    let mut progress = given();
    apply(&mut progress, intended("1.101", "computer", json!({"action": "screenshot"})));
    apply(&mut progress, ended("1.101", None));
    apply(
        &mut progress,
        intended("1.102", "computer", json!({"action": "left_click", "coordinate": [1, 2]})),
    );
    apply(&mut progress, acted(1, EngineActionStatus::Done));
    apply(&mut progress, acted(2, EngineActionStatus::Begun));
    assert_eq!(next(&progress), Action::AskModel { turn: 1, intention: Intention::Open(None) });
    assert!(progress.engine.was_given(1) && !progress.engine.was_given(2));
    assert_eq!((progress.engine.session(), progress.engine.steps()), (Some("s-1"), 2));
    let left = progress.engine.left(1);
    let names: Vec<&str> = left.iter().map(EventBody::name).collect();
    assert_eq!(names, ["stepFinished", "engineActed"]);
    let EventBody::StepFinished { step, outcome, reconciled, .. } = &left[0] else { panic!("no step") };
    assert_eq!(
        (step.to_string().as_str(), *outcome, *reconciled),
        ("1.102", ToolOutcome::Failed, Some(Reconciled::Unknown))
    );
    left.into_iter().for_each(|body| apply(&mut progress, body));
    assert_eq!(progress.engine.left(1), []);
}

#[test]
fn the_steps_of_a_foreign_agent_are_no_steps_that_the_run_waits_for() {
    let mut progress = given();
    apply(&mut progress, intended("1.101", "shell", json!({"command": "npm test"})));
    assert!(progress.open_step.is_none() && progress.is_under_way());
    apply(&mut progress, ended("1.101", Some(0)));
    let ran =
        RanCommand { step: "1.101".parse().unwrap(), command: "npm test".to_owned(), exit_code: Some(0) };
    assert_eq!(progress.commands, [ran]);
}

#[test]
fn what_ends_a_turn_is_dealt_with_as_our_own_agent_s_calls_are() {
    let mut progress = given();
    apply(&mut progress, intended("1.101", "shell", json!({"command": "npm test"})));
    apply(&mut progress, ended("1.101", Some(0)));
    apply(&mut progress, intended("1.102", "evidence", json!({"claim": "Tests pass.", "step": "1.101"})));
    apply(&mut progress, ended("1.102", None));
    let input = json!({"title": "Add it", "summary": "It is added.", "not_verified": "Nothing more."});
    let call = ToolCall { id: "f".to_owned(), name: "finish".to_owned(), input, malformed: None };
    apply(&mut progress, finished(1, vec![call]));
    let Action::AnswerStep { step, outcome, .. } = next(&progress) else { panic!("{:?}", next(&progress)) };
    assert_eq!((step.to_string().as_str(), outcome), ("1.1", ToolOutcome::Done));
    assert_eq!((progress.engine.session(), progress.engine.steps()), (Some("s-1"), 0), "the session goes on");
}

#[test]
fn a_command_that_needs_a_yes_makes_the_run_ask_for_it_when_the_turn_is_over() {
    let mut progress = given();
    progress.task.approval.policy = nightshift_protocol::ApprovalPolicy::Risky;
    let input = json!({"command": "git push"});
    let call = ToolCall { id: "p".to_owned(), name: "shell".to_owned(), input, malformed: None };
    apply(&mut progress, finished(1, vec![call]));
    let Action::Ask { question, approval } = next(&progress) else { panic!("{:?}", next(&progress)) };
    assert!(question.contains("git push"), "{question}");
    assert_eq!(approval, Some("1.1".parse().unwrap()));
}

#[test]
fn model_calls_count_when_they_are_made_and_those_that_were_not_made_do_not() {
    let mut progress = given();
    let usage = Usage { input_tokens: 100, output_tokens: 5, cost_microdollars: 7, ..Usage::default() };
    apply(&mut progress, called(usage, None));
    apply(&mut progress, called(Usage::default(), Some("the task may use $1".to_owned())));
    assert_eq!((progress.usage, progress.agent.used()), (usage, usage));
}

/// A model call that is going to be made, and may use so many tokens.
fn call_intended(number: u32, tokens: u64) -> EventBody {
    let worst = Usage { output_tokens: tokens, cost_microdollars: tokens, ..Usage::default() };
    let (provider, model) = ("anthropic".to_owned(), "m".to_owned());
    EventBody::EngineCallIntended { turn: 1, call: EngineModelRequest { number, provider, model, worst } }
}

fn call_ended(number: u32, tokens: u64) -> EventBody {
    let usage = Usage { output_tokens: tokens, cost_microdollars: tokens, ..Usage::default() };
    let EventBody::EngineCalledModel { turn, call } = called(usage, None) else { panic!("no call") };
    EventBody::EngineCalledModel { turn, call: EngineModelCall { number, ..call } }
}

#[test]
fn a_call_whose_end_an_owner_did_not_live_to_see_counts_once_and_as_the_worst() {
    let mut progress = given();
    apply(&mut progress, call_intended(1, 500));
    apply(&mut progress, call_intended(2, 900));
    apply(&mut progress, call_ended(1, 20));
    assert_eq!(progress.usage.output_tokens, 20, "what may still come is not counted twice");
    assert!(progress.engine.awaits_call(1, 2) && !progress.engine.awaits_call(1, 1));
    let left = progress.engine.settled_at_worst();
    assert_eq!(
        left,
        [call_ended(2, 900)].map(|body| match body {
            EventBody::EngineCalledModel { turn, call } => {
                EventBody::EngineCalledModel { turn, call: EngineModelCall { took_ms: 0, ..call } }
            }
            other => other,
        })
    );
    left.into_iter().for_each(|body| apply(&mut progress, body));
    assert_eq!((progress.usage.output_tokens, progress.agent.used().output_tokens), (920, 920));
    assert!(progress.engine.has_settled() && progress.engine.settled_at_worst().is_empty());
}

#[test]
fn calls_are_numbered_on_through_turns_and_other_sandboxes() {
    let mut progress = given();
    apply(&mut progress, call_intended(7, 1));
    apply(&mut progress, finished(1, Vec::new()));
    assert_eq!((progress.engine.calls(), progress.engine.awaits_call(1, 7)), (7, true));
    apply(&mut progress, EventBody::RepositoryImported { commit: "a".repeat(40).parse().unwrap() });
    assert_eq!((progress.engine.calls(), progress.engine.awaits_call(1, 7)), (7, true));
}

#[test]
fn the_end_of_a_call_of_another_turn_leaves_this_turn_s_call_of_the_same_number_open() {
    let of_turn = |turn: u32, body: EventBody| match body {
        EventBody::EngineCallIntended { call, .. } => EventBody::EngineCallIntended { turn, call },
        EventBody::EngineCalledModel { call, .. } => EventBody::EngineCalledModel { turn, call },
        other => other,
    };
    let mut progress = given();
    apply(&mut progress, call_intended(1, 500));
    apply(&mut progress, of_turn(2, call_intended(1, 900)));
    apply(&mut progress, call_ended(1, 0));
    assert!(!progress.engine.awaits_call(1, 1) && progress.engine.awaits_call(2, 1));
    apply(&mut progress, call_ended(1, 0));
    assert!(progress.engine.awaits_call(2, 1), "an end that is told twice ends nothing else");
    apply(&mut progress, of_turn(2, call_ended(1, 30)));
    assert!(progress.engine.has_settled());
    assert_eq!(progress.usage.output_tokens, 30);
}

#[test]
fn a_call_is_intended_in_the_turn_that_is_under_way_and_once() {
    let mut progress = given();
    assert!(progress.takes_call(1, 1));
    assert!(!progress.takes_call(2, 1) && !progress.takes_call(0, 1), "another turn's");
    apply(&mut progress, call_intended(1, 5));
    assert!(!progress.takes_call(1, 1) && progress.takes_call(1, 2));
    apply(&mut progress, finished(1, Vec::new()));
    assert!(!progress.takes_call(1, 2), "what the turn left over");
}

#[test]
fn a_fork_numbers_its_calls_on_behind_those_of_which_it_has_only_the_ends() {
    let mut fork = given();
    apply(&mut fork, call_ended(7, 1));
    apply(&mut fork, called(Usage::default(), Some("the task may use $1".to_owned())));
    assert_eq!((fork.engine.calls(), fork.engine.has_settled()), (7, true));
    apply(&mut fork, finished(1, Vec::new()));
    apply(&mut fork, EventBody::RepositoryImported { commit: "a".repeat(40).parse().unwrap() });
    assert_eq!(fork.engine.calls(), 7);
}

#[test]
fn who_goes_back_to_an_earlier_moment_does_not_forget_the_calls_made_since() {
    let mut progress = given();
    apply(&mut progress, call_intended(1, 5));
    let then = progress.engine.clone();
    apply(&mut progress, call_ended(1, 5));
    apply(&mut progress, call_intended(2, 5));
    let after = then.after_rewind(&progress.engine);
    assert_eq!((after.calls(), after.awaits_call(1, 1), after.awaits_call(1, 2)), (2, false, true));
    assert_eq!(after.session(), Some("s-1"));
}

#[test]
fn a_plan_of_a_foreign_agent_is_the_run_s_and_holds_its_end_back() {
    let mut progress = given();
    let steps = vec![PlanStep { title: "Test".to_owned(), state: PlanStepState::Pending }];
    let plan = nightshift_protocol::Plan { steps };
    apply(&mut progress, EventBody::PlanChanged { plan: plan.clone() });
    assert_eq!((&progress.plan, progress.agent.plan()), (&plan, &plan));
}

#[test]
fn in_another_sandbox_there_is_no_session_to_go_on_with() {
    let mut progress = given();
    apply(&mut progress, EventBody::RepositoryImported { commit: "a".repeat(40).parse().unwrap() });
    assert_eq!((progress.engine.session(), progress.engine.was_given(1)), (None, false));
}

#[test]
fn critics_and_subagents_are_our_own() {
    let mut progress = given();
    assert!(progress.is_engine_s_turn(1) && !progress.is_engine_s_turn(10_001));
    assert!(progress.engine_at_work().is_some());
    let content = vec![UserPart::Text { text: "Judge.".to_owned() }];
    apply(
        &mut progress,
        EventBody::SelfReviewBegun {
            round: 1,
            head: "a".repeat(40).parse().unwrap(),
            system: String::new(),
            message: Message::User { content },
        },
    );
    assert!(!progress.is_engine_s_turn(2) && progress.engine_at_work().is_none());
    apply(&mut progress, intended("2.101", "shell", json!({"command": "npm test"})));
    assert!(progress.open_step.is_some(), "one of a critic's many calls is its own");
    progress.task.engine = None;
    assert!(!progress.is_engine_s_turn(1));
}
