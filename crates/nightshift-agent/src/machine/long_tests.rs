//! Long conversations, and people who come in between.

use nightshift_protocol::ToolOutcome;
use serde_json::json;

use super::tests::{answer, call, settings, started, text};
use super::*;

fn small_window() -> AgentMachine {
    AgentMachine::new(AgentSettings { compact_tokens: 20_000, context_tokens: 30_000, ..settings() })
}

/// An answer after which the provider has counted `tokens`.
fn counted(turn: u32, calls: Vec<ToolCall>, tokens: u64) -> AgentEvent {
    match answer(turn, calls, StopReason::ToolUse) {
        AgentEvent::TurnFinished { turn, message, stop, .. } => AgentEvent::TurnFinished {
            turn,
            message,
            stop,
            usage: Usage { cache_read_tokens: tokens, ..Usage::default() },
        },
        other => other,
    }
}

fn make(id: &str) -> ToolCall {
    call(id, "shell", json!({"command": format!("make {id}")}))
}

fn done(step: &str, call: &str, output: &str) -> AgentEvent {
    AgentEvent::StepFinished {
        step: step.parse().unwrap(),
        call: call.to_owned(),
        outcome: ToolOutcome::Done,
        content: text(output),
        exit_code: Some(0),
    }
}

fn said(text: &str) -> AgentEvent {
    AgentEvent::PersonSaid { text: text.to_owned() }
}

/// Plays events, of which the last leads to an effect.
fn play(machine: &mut AgentMachine, events: impl IntoIterator<Item = AgentEvent>) -> Vec<Effect> {
    events.into_iter().map(|event| machine.handle(event)).last().unwrap_or_default()
}

fn user_text(message: &Message) -> String {
    let Message::User { content } = message else { panic!("not the user's: {message:?}") };
    let parts = content.iter().map(|part| match part {
        nightshift_protocol::UserPart::Text { text } => text.clone(),
        nightshift_protocol::UserPart::ToolResult { result } => format!("result of {}", result.call),
        nightshift_protocol::UserPart::Image { .. } => "picture".to_owned(),
    });
    parts.collect::<Vec<_>>().join("\n")
}

/// Three turns, after the last of which the window is nearly full.
fn nearly_full() -> AgentMachine {
    let mut machine = small_window();
    let plan = json!({"steps": [{"title": "Find the cause", "state": "active"}]});
    let edit = json!({"action": "create", "path": "src/cause.js", "text": "x"});
    let effects = play(
        &mut machine,
        [
            started(),
            said("Never touch the parser."),
            counted(1, vec![call("a", "plan", plan), call("b", "edit", edit)], 5_000),
            done("1.1", "a", "noted"),
            done("1.2", "b", "written"),
            counted(2, vec![make("c")], 9_000),
            done("2.1", "c", "ok"),
            counted(3, vec![make("d")], 19_999),
            done("3.1", "d", "ok"),
        ],
    );
    assert_eq!(effects, [Effect::Compact { turn: 4 }]);
    machine
}

fn summed_up(summary: Option<&str>) -> AgentEvent {
    AgentEvent::Compacted { turn: 4, summary: summary.map(str::to_owned), usage: Usage::default() }
}

#[test]
fn before_the_window_is_full_the_older_part_is_summed_up_and_the_newest_turns_stay() {
    let mut machine = nearly_full();
    let request = machine.summary_request();
    assert_eq!(request.len(), 3, "the task and the first turn");
    let last = user_text(&request[2]);
    assert!(last.starts_with("result of a\nresult of b\nThe person who gave you the task writes:"), "{last}");
    assert!(last.contains("\nNote from Nightshift: this conversation comes near the size"), "{last}");

    assert_eq!(machine.handle(summed_up(Some("The parser is off limits."))), [Effect::AskModel { turn: 4 }]);
    let messages = machine.conversation().messages;
    assert_eq!(messages.len(), 5);
    insta::assert_snapshot!(user_text(&messages[0]), @r#"
    Add a dark mode.
    # What happened so far

    Note from Nightshift: the older part of this conversation was replaced by this summary. Steps keep their numbers, so evidence can still name them.

    ## Your summary

    The parser is off limits.

    ## What the person wrote to you, newest last

    - Never touch the parser.

    ## Your plan

    - Find the cause (active)

    ## Files you changed with the edit tool

    - src/cause.js
    "#);
    assert_eq!(user_text(&messages[4]), "result of d");
}

#[test]
fn without_a_summary_of_the_model_what_nightshift_knows_is_kept() {
    let mut machine = nearly_full();
    assert_eq!(machine.handle(summed_up(None)), [Effect::AskModel { turn: 4 }]);
    let first = user_text(&machine.conversation().messages[0]);
    for kept in
        ["Never touch the parser.", "Find the cause (active)", "src/cause.js", "no summary in your own words"]
    {
        assert!(first.contains(kept), "{kept} is missing in {first}");
    }
}

#[test]
fn no_summary_loses_what_a_person_answered() {
    let mut machine = small_window();
    let ask = call("q", "ask", json!({"question": "Which port?"}));
    let effects = play(
        &mut machine,
        [
            started(),
            counted(1, vec![ask], 5_000),
            AgentEvent::Asked,
            said("8080."),
            done("1.1", "q", "The person answers:\n\n8080."),
            counted(2, vec![make("c")], 9_000),
            done("2.1", "c", "ok"),
            counted(3, vec![make("d")], 19_999),
            done("3.1", "d", "ok"),
        ],
    );
    assert_eq!(effects, [Effect::Compact { turn: 4 }]);
    machine.handle(summed_up(None));
    let first = user_text(&machine.conversation().messages[0]);
    assert!(first.contains("- 8080. (your question was: Which port?)"), "{first}");
}

#[test]
fn a_conversation_the_provider_finds_too_long_is_summed_up_once_and_then_a_person_is_asked() {
    let mut machine = small_window();
    play(
        &mut machine,
        [
            started(),
            counted(1, vec![make("a")], 100),
            done("1.1", "a", "ok"),
            counted(2, vec![make("b")], 200),
        ],
    );
    assert_eq!(machine.handle(done("2.1", "b", "ok")), [Effect::AskModel { turn: 3 }]);
    let too_long = |turn| answer(turn, Vec::new(), StopReason::ContextExceeded);
    assert_eq!(machine.handle(too_long(3)), [Effect::Compact { turn: 4 }]);
    assert_eq!(machine.handle(summed_up(Some("So far."))), [Effect::AskModel { turn: 4 }]);
    assert_eq!(machine.handle(too_long(4)), [Effect::Pause { reason: context_full() }]);
}

#[test]
fn results_that_alone_are_larger_than_the_window_are_shortened() {
    let mut machine = small_window();
    play(&mut machine, [started(), counted(1, vec![make("a")], 100)]);
    let effects = machine.handle(done("1.1", "a", &"word ".repeat(30_000)));
    assert_eq!(effects, [Effect::AskModel { turn: 2 }]);
    assert!(machine.conversation_tokens() < 30_000);
}

#[test]
fn a_summary_is_paid_from_the_same_budget() {
    let mut machine = nearly_full();
    let usage = Usage { output_tokens: 700, cost_microdollars: 9, ..Usage::default() };
    let before = machine.used();
    machine.handle(AgentEvent::Compacted { turn: 4, summary: None, usage });
    assert_eq!(machine.used(), Usage { output_tokens: 700, cost_microdollars: 9, ..before });
}

#[test]
fn an_interrupted_call_ends_by_its_result_and_those_behind_it_are_not_carried_out() {
    let mut machine = AgentMachine::new(settings());
    play(&mut machine, [started(), counted(1, vec![make("a"), make("b")], 100)]);
    assert_eq!(machine.handle(AgentEvent::Interrupted), []);
    machine.handle(said("Use the other port."));
    let [Effect::Answer { step, call, outcome, content }] =
        <[Effect; 1]>::try_from(machine.handle(done("1.1", "a", "half of it"))).unwrap()
    else {
        panic!("the second call is answered")
    };
    assert_eq!(content, text("Not executed: the person interrupted you before it."));
    let answered = AgentEvent::StepFinished { step, call: call.id, outcome, content, exit_code: None };
    assert_eq!(machine.handle(answered), [Effect::AskModel { turn: 2 }]);
    let last = user_text(machine.conversation().messages.last().unwrap());
    assert!(last.ends_with("Use the other port."), "{last}");
}

#[test]
fn an_interrupted_model_call_is_made_again_with_what_the_person_wrote() {
    let mut machine = AgentMachine::new(settings());
    play(&mut machine, [started(), said("Wait, use blue.")]);
    assert_eq!(machine.conversation().messages.len(), 1);
    machine.handle(AgentEvent::Interrupted);
    assert_eq!(machine.outstanding(), [Effect::AskModel { turn: 1 }]);
    assert!(user_text(&machine.conversation().messages[0]).ends_with("Wait, use blue."));
}

#[test]
fn what_is_queued_is_read_when_the_agent_wants_to_leave_and_not_before() {
    let mut machine = AgentMachine::new(settings());
    let finish = call("z", "finish", json!({"title": "a", "summary": "b"}));
    play(&mut machine, [started(), AgentEvent::PersonQueued { text: "Then update the docs.".to_owned() }]);
    play(&mut machine, [counted(1, vec![make("a")], 100), done("1.1", "a", "ok")]);
    assert!(!user_text(machine.conversation().messages.last().unwrap()).contains("docs"));
    let [Effect::Answer { step, call, outcome, content }] =
        <[Effect; 1]>::try_from(machine.handle(counted(2, vec![finish], 200))).unwrap()
    else {
        panic!("finish is answered")
    };
    assert_eq!(outcome, ToolOutcome::Failed);
    let answered = AgentEvent::StepFinished { step, call: call.id, outcome, content, exit_code: None };
    assert_eq!(machine.handle(answered), [Effect::AskModel { turn: 3 }]);
    assert!(user_text(machine.conversation().messages.last().unwrap()).ends_with("Then update the docs."));
}

#[test]
fn what_is_queued_follows_an_answer_without_a_call() {
    let mut machine = AgentMachine::new(settings());
    play(&mut machine, [started(), AgentEvent::PersonQueued { text: "Then update the docs.".to_owned() }]);
    machine.handle(answer(1, Vec::new(), StopReason::EndTurn));
    let last = user_text(machine.conversation().messages.last().unwrap());
    assert!(last.ends_with("Then update the docs.") && !last.contains("nobody reads along"), "{last}");
}

#[test]
fn a_call_that_was_made_before_the_limit_was_lowered_is_taken_as_made() {
    let mut machine =
        AgentMachine::new(AgentSettings { limits: Limits { turns: 0, ..Limits::default() }, ..settings() });
    assert!(matches!(machine.handle(started()).as_slice(), [Effect::Pause { .. }]));
    machine.handle(counted(1, vec![make("a")], 100));
    assert!(matches!(machine.outstanding().as_slice(), [Effect::RunTool { .. }]));
    assert!(matches!(machine.handle(done("1.1", "a", "ok")).as_slice(), [Effect::Pause { .. }]));
}
