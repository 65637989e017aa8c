use nightshift_protocol::{
    Image, Limits, Message, PauseReason, Plan, PlanStep, PlanStepState, ResultPart, StopReason, ToolCall,
    ToolOutcome, Usage, UserPart,
};
use serde_json::{Value, json};

use crate::machine::{AgentEvent, AgentMachine, AgentSettings, Effect};
use crate::tools::ToolRequest;

fn call(name: &str, input: Value) -> ToolCall {
    ToolCall { id: "e".to_owned(), name: name.to_owned(), input, malformed: None }
}

/// A machine whose first turn is a foreign agent's.
fn machine(limits: Limits) -> AgentMachine {
    let mut machine = AgentMachine::new(AgentSettings { limits, criteria: 1, ..AgentSettings::default() });
    let content = vec![UserPart::Text { text: "Add it.".to_owned() }];
    machine.handle(AgentEvent::Started { system: String::new(), message: Message::User { content } });
    machine
}

fn witnessed(step: &str, call: ToolCall, content: Vec<ResultPart>, exit_code: Option<i32>) -> AgentEvent {
    AgentEvent::Witnessed {
        step: step.parse().unwrap(),
        call,
        outcome: ToolOutcome::Done,
        content,
        exit_code,
    }
}

fn image() -> Image {
    let artifact = "a".repeat(64).parse().unwrap();
    Image { artifact, media_type: "image/png".to_owned(), width: 1280, height: 800, bytes: 1_000 }
}

fn evidence(step: &str) -> ToolCall {
    call("evidence", json!({"claim": "It is shown.", "step": step, "criterion": 1}))
}

fn finish() -> ToolCall {
    call("finish", json!({"title": "Add it", "summary": "It is added."}))
}

#[test]
fn what_a_foreign_agent_saw_backs_its_evidence_and_what_it_did_not_see_does_not() {
    let mut machine = machine(Limits::default());
    let refused = machine.foresee(&evidence("1.101")).unwrap_err();
    assert!(refused.contains("no step 1.101"), "{refused}");
    let look = call("computer", json!({"action": "screenshot"}));
    machine.handle(witnessed("1.101", look, vec![ResultPart::Image { image: image() }], None));
    let Ok(ToolRequest::Evidence(found)) = machine.foresee(&evidence("1.101")) else { panic!("no evidence") };
    assert_eq!(found.criterion, Some(1));
    machine.handle(witnessed("1.102", evidence("1.101"), Vec::new(), None));
    assert_eq!(machine.evidence(), [found]);
}

#[test]
fn work_is_handed_over_by_the_same_rules_as_our_own_agent_s() {
    let mut machine = machine(Limits::default());
    assert!(machine.may_hand_over(&finish()).unwrap_err().contains("no evidence was noted"));
    let text = vec![ResultPart::Text { text: "3 passed".to_owned() }];
    machine.handle(witnessed("1.101", call("shell", json!({"command": "npm test"})), text, Some(0)));
    machine.handle(witnessed("1.102", evidence("1.101"), Vec::new(), None));
    assert_eq!(machine.may_hand_over(&finish()), Ok(()));
    let steps = vec![PlanStep { title: "Write docs".to_owned(), state: PlanStepState::Pending }];
    machine.handle(AgentEvent::Planned { plan: Plan { steps } });
    assert!(machine.may_hand_over(&finish()).unwrap_err().contains("open steps (Write docs)"));
}

#[test]
fn what_was_seen_within_a_turn_holds_when_the_turn_ends_with_finish() {
    let mut machine = machine(Limits::default());
    let text = vec![ResultPart::Text { text: "3 passed".to_owned() }];
    machine.handle(witnessed("1.101", call("shell", json!({"command": "npm test"})), text, Some(0)));
    machine.handle(witnessed("1.102", evidence("1.101"), Vec::new(), None));
    let blocks = vec![nightshift_protocol::AssistantBlock::ToolCall { call: finish() }];
    let effects = machine.handle(AgentEvent::TurnFinished {
        turn: 1,
        message: Message::Assistant { blocks, verbatim: Value::Null },
        stop: StopReason::ToolUse,
        usage: Usage::default(),
    });
    assert!(matches!(&effects[..], [Effect::Answer { outcome: ToolOutcome::Done, .. }]), "{effects:?}");
}

#[test]
fn only_the_tools_that_are_offered_are_carried_out_and_none_that_ends_the_turn() {
    let machine = machine(Limits::default());
    for name in ["edit", "plan", "spawn", "subagents", "verdict", "tell"] {
        let refused = machine.foresee(&call(name, json!({}))).unwrap_err();
        assert!(refused.contains(name), "{refused}");
    }
    for ends in [finish(), call("ask", json!({"question": "Which?"}))] {
        assert!(machine.foresee(&ends).is_err(), "{}", ends.name);
    }
    let offered: Vec<String> = crate::engine_definitions((1280, 800))
        .iter()
        .map(|tool| serde_json::to_value(tool).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(offered.len(), 8);
}

#[test]
fn a_call_that_could_pass_a_limit_is_refused_before_it_is_made() {
    let limits = Limits { tokens: 30_000, turns: 3, ..Limits::default() };
    let mut machine = machine(limits);
    let worst = |tokens| Usage { input_tokens: tokens, ..Usage::default() };
    assert_eq!(machine.relay_refusal(&worst(30_000), 1, 0), None);
    machine.handle(AgentEvent::Spent { usage: worst(20_000) });
    assert!(matches!(machine.relay_refusal(&worst(10_001), 1, 0), Some(PauseReason::Limit { .. })));
    assert_eq!(machine.relay_refusal(&worst(9_000), 1, 0), None);
    machine.handle(AgentEvent::LimitsRaised { limits: Limits { tokens: 60_000, ..limits } });
    assert_eq!(machine.relay_refusal(&worst(10_001), 1, 0), None);
    (0..2).for_each(|_| {
        machine.handle(AgentEvent::Spent { usage: worst(1) });
    });
    let Some(PauseReason::Limit { limit }) = machine.relay_refusal(&worst(1), 1, 0) else {
        panic!("three calls")
    };
    assert!(limit.starts_with("3 model calls"), "{limit}");
}

#[test]
fn calls_at_once_and_time_that_passes_without_a_word_count_on_the_limits() {
    let machine = machine(Limits { turns: 3, seconds: 60, ..Limits::default() });
    let little = Usage { input_tokens: 1, ..Usage::default() };
    assert_eq!(machine.relay_refusal(&little, 3, 59), None);
    assert!(machine.relay_refusal(&little, 4, 0).is_some());
    let Some(PauseReason::Limit { limit }) = machine.relay_refusal(&little, 1, 60) else {
        panic!("no limit")
    };
    assert!(limit.contains("60 seconds of work"), "{limit}");
    assert!(!machine.is_limited_in_money());
}

#[test]
fn what_a_foreign_agent_s_model_read_is_not_taken_for_the_size_of_our_conversation() {
    let mut machine = machine(Limits::default());
    machine.handle(AgentEvent::Spent { usage: Usage { input_tokens: 900_000, ..Usage::default() } });
    assert_eq!(machine.used().input_tokens, 900_000);
    let blocks = vec![nightshift_protocol::AssistantBlock::Text { text: "I go on.".to_owned() }];
    let effects = machine.handle(AgentEvent::TurnFinished {
        turn: 1,
        message: Message::Assistant { blocks, verbatim: Value::Null },
        stop: StopReason::PauseTurn,
        usage: Usage::default(),
    });
    assert_eq!(effects, [Effect::AskModel { turn: 2 }], "nothing is summed up");
}
