use nightshift_protocol::{
    EvidenceSource, FeedbackAnswer, Image, ResultPart, StepId, ToolOutcome, ToolResult, UserPart,
};
use serde_json::{Value, json};

use super::*;
use crate::tools::ToolRequest;

pub(super) fn settings() -> AgentSettings {
    AgentSettings::default()
}

pub(super) fn started() -> AgentEvent {
    let content = vec![UserPart::Text { text: "Add a dark mode.".to_owned() }];
    AgentEvent::Started { system: "You are an engineer.".to_owned(), message: Message::User { content } }
}

pub(super) fn call(id: &str, name: &str, input: Value) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), input, malformed: None }
}

fn shell(id: &str) -> ToolCall {
    call(id, "shell", json!({"command": format!("echo {id}")}))
}

fn screenshot(id: &str) -> ToolCall {
    call(id, "computer", json!({"action": "screenshot"}))
}

pub(super) fn answer(turn: u32, calls: Vec<ToolCall>, stop: StopReason) -> AgentEvent {
    let text = AssistantBlock::Text { text: format!("Turn {turn}.") };
    let blocks = std::iter::once(text).chain(calls.into_iter().map(|call| AssistantBlock::ToolCall { call }));
    AgentEvent::TurnFinished {
        turn,
        message: Message::Assistant { blocks: blocks.collect(), verbatim: json!([turn]) },
        stop,
        usage: Usage { input_tokens: 100, output_tokens: 10, cost_microdollars: 1_000, ..Usage::default() },
    }
}

fn calls(turn: u32, calls: Vec<ToolCall>) -> AgentEvent {
    answer(turn, calls, StopReason::ToolUse)
}

fn says(turn: u32) -> AgentEvent {
    answer(turn, Vec::new(), StopReason::EndTurn)
}

pub(super) fn text(text: &str) -> Vec<ResultPart> {
    vec![ResultPart::Text { text: text.to_owned() }]
}

pub(super) fn picture() -> Vec<ResultPart> {
    let artifact = "a".repeat(64).parse().unwrap();
    let image =
        Image { artifact, media_type: "image/png".to_owned(), width: 1280, height: 800, bytes: 1_000 };
    vec![ResultPart::Image { image }]
}

fn finished(step: &str, call: &str, outcome: ToolOutcome, content: Vec<ResultPart>) -> AgentEvent {
    AgentEvent::StepFinished {
        step: step.parse().unwrap(),
        call: call.to_owned(),
        outcome,
        content,
        exit_code: None,
    }
}

fn done(step: &str, call: &str) -> AgentEvent {
    finished(step, call, ToolOutcome::Done, text(&format!("done {call}")))
}

fn trouble() -> UserError {
    UserError::new(ErrorCode::ModelUnavailable, "The provider is down.", "Wait.")
}

/// A machine after `events`, and what the last of them led to.
fn after(events: impl IntoIterator<Item = AgentEvent>) -> (AgentMachine, Vec<Effect>) {
    let mut machine = AgentMachine::new(settings());
    let effects = events.into_iter().map(|event| machine.handle(event)).last().unwrap_or_default();
    (machine, effects)
}

fn the_only(effects: Vec<Effect>) -> Effect {
    let [effect] = <[Effect; 1]>::try_from(effects).unwrap();
    effect
}

/// Feeds an answer back, as whoever records it does.
fn recorded(machine: &mut AgentMachine, effect: Effect) -> Vec<Effect> {
    let Effect::Answer { step, call, outcome, content } = effect else { panic!("no answer: {effect:?}") };
    machine.handle(AgentEvent::StepFinished { step, call: call.id, outcome, content, exit_code: None })
}

fn answer_text(effects: &[Effect]) -> &str {
    match effects {
        [Effect::Answer { content, .. }] => match content.as_slice() {
            [ResultPart::Text { text }] => text,
            other => panic!("{other:?}"),
        },
        other => panic!("no answer: {other:?}"),
    }
}

fn last_message(machine: &AgentMachine) -> &Message {
    machine.conversation().messages.last().unwrap()
}

fn user_texts(message: &Message) -> Vec<&str> {
    match message {
        Message::User { content } => content
            .iter()
            .filter_map(|part| match part {
                UserPart::Text { text } => Some(text.as_str()),
                UserPart::Image { .. } | UserPart::ToolResult { .. } => None,
            })
            .collect(),
        Message::Assistant { .. } => panic!("an assistant's message"),
    }
}

/// Plays a screenshot and its evidence, so that the work may be finished in turn 3.
fn ready_to_finish() -> AgentMachine {
    let (machine, effects) = after([
        started(),
        calls(1, vec![screenshot("a")]),
        finished("1.1", "a", ToolOutcome::Done, picture()),
        calls(
            2,
            vec![call("b", "evidence", json!({"claim": "It is dark.", "step": "1.1", "label": "after"}))],
        ),
        done("2.1", "b"),
    ]);
    assert_eq!(effects, [Effect::AskModel { turn: 3 }]);
    machine
}

fn finish(id: &str) -> ToolCall {
    call(id, "finish", json!({"title": "Add a dark mode", "summary": "Added."}))
}

#[test]
fn the_model_is_asked_when_the_conversation_begins() {
    let (machine, effects) = after([started()]);
    assert_eq!(effects, [Effect::AskModel { turn: 1 }]);
    assert_eq!(
        (&**machine.conversation().system, machine.conversation().messages.len()),
        ("You are an engineer.", 1)
    );
}

#[test]
fn calls_of_a_turn_run_in_order_and_their_results_end_with_their_step() {
    let (machine, effects) = after([started(), calls(1, vec![shell("a"), shell("b")]), done("1.1", "a")]);
    let Effect::RunTool { step, call, .. } = the_only(effects) else { panic!("no tool") };
    assert_eq!((step.to_string(), call), ("1.2".to_owned(), shell("b")));
    let mut machine = machine;
    assert_eq!(machine.handle(done("1.2", "b")), [Effect::AskModel { turn: 2 }]);
    let result = |id: &str, step: &str| UserPart::ToolResult {
        result: ToolResult {
            call: id.to_owned(),
            outcome: ToolOutcome::Done,
            content: [text(&format!("done {id}")), text(step)].concat(),
        },
    };
    let content = vec![result("a", "[step 1.1]"), result("b", "[step 1.2]")];
    assert_eq!(last_message(&machine), &Message::User { content });
}

#[test]
fn after_a_failed_action_on_the_screen_the_rest_of_the_turn_is_not_executed() {
    let outside = call("a", "computer", json!({"action": "left_click", "coordinate": [5000, 1]}));
    let (mut machine, effects) = after([started(), calls(1, vec![outside, shell("b")])]);
    assert!(answer_text(&effects).contains("on the screen of 1280 by 800"));
    let effects = recorded(&mut machine, the_only(effects));
    assert_eq!(answer_text(&effects), "Not executed: an earlier action of this turn failed.");
    assert_eq!(recorded(&mut machine, the_only(effects)), [Effect::AskModel { turn: 2 }]);
}

#[test]
fn calls_that_were_not_executed_are_no_circle() {
    let failed = finished("1.1", "a", ToolOutcome::Failed, text("the screen is gone"));
    let rest = ["b", "c", "d", "e"].map(shell);
    let (mut machine, mut effects) =
        after([started(), calls(1, [vec![screenshot("a")], rest.to_vec()].concat()), failed]);
    for _ in 0..4 {
        effects = recorded(&mut machine, the_only(effects));
    }
    assert_eq!((effects, user_texts(last_message(&machine))), (vec![Effect::AskModel { turn: 2 }], vec![]));
}

#[test]
fn after_a_failed_command_the_rest_of_the_turn_runs() {
    let failed = finished("1.1", "a", ToolOutcome::Failed, text("no"));
    let (_, effects) = after([started(), calls(1, vec![shell("a"), shell("b")]), failed]);
    assert!(matches!(effects.as_slice(), [Effect::RunTool { .. }]));
}

#[test]
fn more_calls_than_a_turn_may_have_are_not_executed() {
    let many: Vec<ToolCall> = (1..=51).map(|number| shell(&number.to_string())).collect();
    let (mut machine, mut effects) = after([started(), calls(1, many)]);
    for number in 1..=50 {
        effects = machine.handle(done(&format!("1.{number}"), &number.to_string()));
    }
    assert_eq!(answer_text(&effects), "Not executed: at most 50 calls of one turn are carried out.");
}

#[test]
fn a_mouse_button_is_let_go_however_many_calls_came_before() {
    let up = call("51", "computer", json!({"action": "left_mouse_up"}));
    let many = (1..=50).map(|number| shell(&number.to_string())).chain([up]).collect();
    let (mut machine, mut effects) = after([started(), calls(1, many)]);
    for number in 1..=50 {
        effects = machine.handle(done(&format!("1.{number}"), &number.to_string()));
    }
    assert!(matches!(effects.as_slice(), [Effect::RunTool { .. }]), "{effects:?}");
}

#[test]
fn a_call_cut_at_the_token_limit_is_answered_and_the_work_goes_on() {
    let cut =
        ToolCall { malformed: Some("{\"command\": \"ec".to_owned()), ..call("a", "shell", Value::Null) };
    let (mut machine, effects) = after([started(), answer(1, vec![cut], StopReason::MaxTokens)]);
    assert!(answer_text(&effects).starts_with("Not executed: your answer was cut"));
    assert_eq!(recorded(&mut machine, the_only(effects)), [Effect::AskModel { turn: 2 }]);
}

#[test]
fn an_answer_cut_without_a_call_is_gone_on_with() {
    let (machine, effects) = after([started(), answer(1, Vec::new(), StopReason::MaxTokens)]);
    assert_eq!(
        (effects, user_texts(last_message(&machine))),
        (vec![Effect::AskModel { turn: 2 }], vec![CUT])
    );
}

#[test]
fn a_turn_paused_by_the_provider_is_asked_again_as_it_is_and_joined_to_what_follows() {
    let (mut machine, effects) = after([started(), answer(1, Vec::new(), StopReason::PauseTurn)]);
    assert_eq!(effects, [Effect::AskModel { turn: 2 }]);
    assert!(matches!(last_message(&machine), Message::Assistant { .. }));
    machine.handle(calls(2, vec![shell("a")]));
    let Message::Assistant { blocks, verbatim } = last_message(&machine) else { panic!("no answer") };
    assert_eq!((blocks.len(), verbatim), (3, &json!([1, 2])));
}

#[test]
fn a_model_that_only_talks_is_reminded_three_times_and_then_a_person_is_asked() {
    let (mut machine, mut effects) = after([started()]);
    for turn in 1..=3 {
        assert_eq!(effects, [Effect::AskModel { turn }]);
        effects = machine.handle(says(turn));
        assert_eq!(user_texts(last_message(&machine)), [NUDGE]);
    }
    assert_eq!(effects, [Effect::AskModel { turn: 4 }]);
    assert_eq!(machine.handle(says(4)), [Effect::Pause { reason: idle() }]);
    machine.handle(AgentEvent::Paused { reason: idle() });
    machine.handle(AgentEvent::PersonSaid { text: "Finish it.".to_owned() });
    assert_eq!(machine.handle(AgentEvent::Resumed), [Effect::AskModel { turn: 5 }]);
    assert_eq!(
        user_texts(last_message(&machine)),
        [NUDGE, "The person who gave you the task writes:\n\nFinish it."]
    );
}

#[test]
fn a_refused_answer_is_left_out_and_a_person_is_asked() {
    let refusal = StopReason::Refusal { explanation: "Not this.".to_owned() };
    let (machine, effects) = after([started(), answer(1, vec![shell("a")], refusal)]);
    assert_eq!(effects, [Effect::Pause { reason: refused("Not this.") }]);
    assert_eq!(machine.conversation().messages.len(), 1);
}

#[test]
fn a_conversation_that_does_not_fit_pauses() {
    let (_, effects) = after([started(), answer(1, Vec::new(), StopReason::ContextExceeded)]);
    assert_eq!(effects, [Effect::Pause { reason: context_full() }]);
}

#[test]
fn words_of_a_person_follow_the_results_of_the_turn_they_came_in() {
    let (machine, effects) = after([
        started(),
        calls(1, vec![shell("a")]),
        AgentEvent::PersonSaid { text: "Use blue.".to_owned() },
        done("1.1", "a"),
    ]);
    assert_eq!(effects, [Effect::AskModel { turn: 2 }]);
    let Message::User { content } = last_message(&machine) else { panic!("no results") };
    assert!(matches!(content.as_slice(), [UserPart::ToolResult { .. }, UserPart::Text { .. }]));
}

#[test]
fn words_of_a_person_come_instead_of_a_reminder() {
    let said = AgentEvent::PersonSaid { text: "Use blue.".to_owned() };
    let (machine, effects) = after([started(), said, says(1)]);
    assert_eq!(effects, [Effect::AskModel { turn: 2 }]);
    assert_eq!(user_texts(last_message(&machine)), ["The person who gave you the task writes:\n\nUse blue."]);
}

#[test]
fn a_question_is_answered_by_the_next_words_of_a_person() {
    let ask = call("a", "ask", json!({"question": "Blue or green?"}));
    let (mut machine, effects) = after([started(), calls(1, vec![ask.clone()])]);
    let step = StepId { turn: 1, call: 1 };
    assert_eq!(effects, [Effect::AskPerson { step, call: ask, question: "Blue or green?".to_owned() }]);
    assert_eq!(machine.handle(AgentEvent::Asked), []);
    let effects = machine.handle(AgentEvent::PersonSaid { text: "Blue.".to_owned() });
    assert_eq!(answer_text(&effects), "The person answers:\n\nBlue.");
    assert_eq!(recorded(&mut machine, the_only(effects)), [Effect::AskModel { turn: 2 }]);
    assert!(user_texts(last_message(&machine)).is_empty());
}

#[test]
fn words_answer_no_question_that_was_not_shown_yet() {
    let ask = call("b", "ask", json!({"question": "Blue or green?"}));
    let (mut machine, _) =
        after([started(), calls(1, vec![shell("a"), ask]), AgentEvent::Asked, done("1.1", "a")]);
    let asks = machine.outstanding();
    assert!(matches!(asks[..], [Effect::AskPerson { .. }]), "{asks:?}");
    assert_eq!(machine.handle(AgentEvent::PersonSaid { text: "Mind the tests.".to_owned() }), []);
    assert_eq!(machine.outstanding(), asks, "it is asked all the same");
    machine.handle(AgentEvent::Asked);
    let effects = machine.handle(AgentEvent::PersonSaid { text: "Blue.".to_owned() });
    assert_eq!(answer_text(&effects), "The person answers:\n\nBlue.");
    assert_eq!(recorded(&mut machine, the_only(effects)), [Effect::AskModel { turn: 2 }]);
    let heard = ["The person who gave you the task writes:\n\nMind the tests."];
    assert_eq!(user_texts(last_message(&machine)), heard);
}

#[test]
fn evidence_carries_what_its_step_recorded() {
    let machine = ready_to_finish();
    let [Evidence { claim, source: EvidenceSource::Screenshot { step, label, .. }, .. }] = machine.evidence()
    else {
        panic!("{:?}", machine.evidence())
    };
    assert_eq!(
        (claim.as_str(), step.to_string(), label.as_str()),
        ("It is dark.", "1.1".to_owned(), "after")
    );
}

#[test]
fn evidence_of_a_step_that_shows_nothing_is_refused() {
    let evidence = call("b", "evidence", json!({"claim": "It is dark.", "step": "7.7"}));
    let (_, effects) = after([started(), calls(1, vec![evidence])]);
    assert!(answer_text(&effects).starts_with("There is no step 7.7 with a result yet."));
}

#[test]
fn reading_a_background_command_needs_a_step_that_started_one() {
    let read = call("b", "shell_output", json!({"step": "1.1"}));
    let (_, effects) =
        after([started(), calls(1, vec![shell("a")]), done("1.1", "a"), calls(2, vec![read.clone()])]);
    assert_eq!(answer_text(&effects), "Step 1.1 started no background command. Name the step that did.");
    let server = call("a", "shell", json!({"command": "npm start", "background": true}));
    let (_, effects) = after([started(), calls(1, vec![server]), done("1.1", "a"), calls(2, vec![read])]);
    assert!(matches!(effects.as_slice(), [Effect::RunTool { request: ToolRequest::ShellOutput { .. }, .. }]));
}

#[test]
fn the_end_is_refused_without_evidence_every_time() {
    let (mut machine, mut effects) = after([started(), calls(1, vec![finish("a")])]);
    for turn in 2..=3 {
        assert!(answer_text(&effects).starts_with("Not finished: no evidence was noted."));
        assert_eq!(recorded(&mut machine, the_only(effects)), [Effect::AskModel { turn }]);
        effects = machine.handle(calls(turn, vec![finish("a")]));
    }
}

#[test]
fn the_end_is_accepted_recorded_and_then_final() {
    let mut machine = ready_to_finish();
    let effects = machine.handle(calls(3, vec![finish("c"), shell("d")]));
    assert_eq!(answer_text(&effects), "Accepted: the work is handed over.");
    let effects = recorded(&mut machine, the_only(effects));
    assert_eq!(answer_text(&effects), "Not executed: the work was handed over before it.");
    let end = Effect::Finish {
        title: "Add a dark mode".to_owned(),
        summary: "Added.".to_owned(),
        not_verified: String::new(),
        answers: Vec::new(),
    };
    assert_eq!(recorded(&mut machine, the_only(effects)), std::slice::from_ref(&end));
    assert_eq!(machine.handle(AgentEvent::PersonSaid { text: "Wait.".to_owned() }), []);
    assert_eq!(machine.outstanding(), [end]);
}

fn reopened(names: &[&str]) -> AgentEvent {
    let text = "Your pull request has feedback.".to_owned();
    AgentEvent::Reopened { text, names: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn finish_with(id: &str, answers: &Value) -> ToolCall {
    call(id, "finish", json!({"title": "Add a dark mode", "summary": "Added.", "answers": answers}))
}

#[test]
fn a_finished_agent_goes_on_with_feedback_and_ends_again_when_each_piece_has_its_answer() {
    let mut machine = ready_to_finish();
    let effects = machine.handle(calls(3, vec![finish("c")]));
    assert!(matches!(recorded(&mut machine, the_only(effects))[..], [Effect::Finish { .. }]));
    assert_eq!(machine.handle(reopened(&["f1", "f2"])), [Effect::AskModel { turn: 4 }]);
    assert_eq!(user_texts(last_message(&machine)), ["Your pull request has feedback."]);

    let one = json!([{"name": "f1", "words": "Done.", "settled": true}]);
    let effects = machine.handle(calls(4, vec![finish_with("d", &one)]));
    assert_eq!(
        answer_text(&effects),
        "Not finished: these pieces of feedback have no answer: f2. Call finish with an entry in answers for each."
    );
    assert_eq!(recorded(&mut machine, the_only(effects)), [Effect::AskModel { turn: 5 }]);
    let both = json!([
        {"name": "f1", "words": "Done.", "settled": true}, {"name": "f2", "words": "It has to stay.", "settled": false},
    ]);
    let effects = machine.handle(calls(5, vec![finish_with("e", &both)]));
    let answer = |name: &str, words: &str, settled| FeedbackAnswer {
        name: name.to_owned(),
        words: words.to_owned(),
        settled,
    };
    let end = Effect::Finish {
        title: "Add a dark mode".to_owned(),
        summary: "Added.".to_owned(),
        not_verified: String::new(),
        answers: vec![answer("f1", "Done.", true), answer("f2", "It has to stay.", false)],
    };
    assert_eq!(recorded(&mut machine, the_only(effects)), [end]);
}

/// One that has finished in turn 3, after `before`.
fn has_finished(before: Option<AgentEvent>) -> AgentMachine {
    let mut machine = ready_to_finish();
    if let Some(event) = before {
        machine.handle(event);
    }
    let effects = machine.handle(calls(3, vec![finish("c")]));
    assert!(matches!(recorded(&mut machine, the_only(effects))[..], [Effect::Finish { .. }]));
    machine
}

#[test]
fn what_counts_for_the_budget_counts_while_it_has_finished_too() {
    let limited = |turns| AgentEvent::LimitsRaised { limits: Limits { turns, ..Limits::default() } };
    let usage = Usage { input_tokens: 1_000_000_000, ..Usage::default() };
    let meanwhile = [
        limited(3),
        AgentEvent::TimeUsed { seconds: 1_000_000 },
        AgentEvent::Lost { usage },
        AgentEvent::Spent { usage },
    ];
    for event in meanwhile {
        let mut machine = has_finished(None);
        let end = machine.outstanding();
        assert_eq!((machine.handle(event.clone()), machine.outstanding()), (vec![], end));
        let effects = machine.handle(reopened(&["f1"]));
        assert!(is_at_its_limit(&effects), "{event:?}: {effects:?}");
    }
    let mut raised = has_finished(Some(limited(3)));
    raised.handle(limited(4));
    assert_eq!(raised.handle(reopened(&["f1"])), [Effect::AskModel { turn: 4 }]);
}

#[test]
fn only_who_is_finished_is_opened_again() {
    let mut machine = ready_to_finish();
    let before = machine.clone();
    assert_eq!(machine.handle(reopened(&["f1"])), []);
    assert_eq!(machine, before);
}

#[test]
fn words_that_come_before_the_end_is_recorded_are_read_before_it() {
    let mut machine = ready_to_finish();
    let effects = machine.handle(calls(3, vec![finish("c")]));
    machine.handle(AgentEvent::PersonSaid { text: "One more thing.".to_owned() });
    assert_eq!(recorded(&mut machine, the_only(effects)), [Effect::AskModel { turn: 4 }]);
    let mut machine = ready_to_finish();
    machine.handle(AgentEvent::PersonSaid { text: "One more thing.".to_owned() });
    let effects = machine.handle(calls(3, vec![finish("c")]));
    assert!(answer_text(&effects).starts_with("Not finished: the person wrote to you meanwhile."));
}

#[test]
fn whoever_records_the_end_may_still_refuse_it() {
    let mut machine = ready_to_finish();
    machine.handle(calls(3, vec![finish("c")]));
    let dirty = finished("3.1", "c", ToolOutcome::Failed, text("There are changes that are not committed."));
    assert_eq!(machine.handle(dirty), [Effect::AskModel { turn: 4 }]);
}

#[test]
fn a_limit_refuses_the_next_call_before_it_is_made_and_raising_it_goes_on() {
    let limits = Limits { turns: 1, ..Limits::default() };
    let mut machine = AgentMachine::new(AgentSettings { limits, ..settings() });
    machine.handle(started());
    machine.handle(calls(1, vec![shell("a")]));
    let Effect::Pause { reason } = the_only(machine.handle(done("1.1", "a"))) else { panic!("no pause") };
    assert!(matches!(&reason, PauseReason::Limit { limit } if limit.starts_with("1 model call, all made.")));
    machine.handle(AgentEvent::Paused { reason: reason.clone() });
    assert_eq!(machine.handle(AgentEvent::Resumed), [Effect::Pause { reason }]);
    let more = AgentEvent::LimitsRaised { limits: Limits::default() };
    assert_eq!(machine.handle(more), [Effect::AskModel { turn: 2 }]);
}

#[test]
fn a_run_pauses_before_its_calls_take_the_numbers_of_a_subagent() {
    let (mut machine, _) = after([started()]);
    machine.position = Position::Ready { turn: 9_999 };
    machine.advance();
    assert_eq!(machine.outstanding(), [Effect::AskModel { turn: 9_999 }]);
    machine.position = Position::Ready { turn: 10_000 };
    machine.advance();
    let Effect::Pause { reason } = the_only(machine.outstanding()) else { panic!("it goes on") };
    assert!(format!("{reason:?}").contains("9999 model calls"), "{reason:?}");
    machine.handle(AgentEvent::Paused { reason: reason.clone() });
    machine.handle(AgentEvent::Resumed);
    assert_eq!(machine.outstanding(), [Effect::Pause { reason }], "going on changes nothing");
}

#[test]
fn raised_limits_do_not_end_a_persons_pause() {
    let more = AgentEvent::LimitsRaised { limits: Limits::default() };
    let (_, effects) = after([AgentEvent::Paused { reason: PauseReason::Person }, started(), more]);
    assert_eq!(effects, []);
}

#[test]
fn what_is_under_way_may_end_during_a_pause_and_nothing_new_begins() {
    let (mut machine, effects) = after([
        started(),
        calls(1, vec![shell("a"), shell("b")]),
        AgentEvent::Paused { reason: PauseReason::Person },
        done("1.1", "a"),
    ]);
    assert_eq!((effects, machine.outstanding()), (vec![], vec![]));
    let Effect::RunTool { step, .. } = the_only(machine.handle(AgentEvent::Resumed)) else {
        panic!("no tool")
    };
    assert_eq!(step, StepId { turn: 1, call: 2 });
    assert_eq!(machine.handle(AgentEvent::Resumed), []);
}

/// A machine whose first call is under way, and that may use as many tokens as two of them do at worst.
fn asking() -> AgentMachine {
    let limits = Limits { tokens: 60_000, ..Limits::default() };
    let mut machine = AgentMachine::new(AgentSettings { limits, ..settings() });
    assert_eq!(machine.handle(started()), [Effect::AskModel { turn: 1 }]);
    machine
}

fn lost(input_tokens: u64) -> AgentEvent {
    AgentEvent::Lost { usage: Usage { input_tokens, ..Usage::default() } }
}

fn is_at_its_limit(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Pause { reason: PauseReason::Limit { .. } }])
}

#[test]
fn a_call_that_a_pause_broke_off_is_made_again_only_if_the_budget_allows_it_by_then() {
    for spent in [1_000, 50_000] {
        let mut machine = asking();
        machine.handle(AgentEvent::Paused { reason: PauseReason::Person });
        machine.handle(lost(spent));
        let effects = machine.handle(AgentEvent::Resumed);
        assert_eq!(is_at_its_limit(&effects), spent == 50_000, "{effects:?}");
        machine.handle(AgentEvent::LimitsRaised { limits: Limits::default() });
        assert_eq!(machine.outstanding(), [Effect::AskModel { turn: 1 }]);
    }
}

#[test]
fn who_takes_a_run_up_asks_the_budget_again_and_an_answer_that_the_log_tells_of_has_come() {
    let mut machine = asking();
    machine.handle(lost(50_000));
    assert_eq!(machine.outstanding(), [Effect::AskModel { turn: 1 }], "what is under way is not cut off");
    assert!(is_at_its_limit(&machine.handle(AgentEvent::LetGo)));
    machine.handle(calls(1, vec![shell("a")]));
    assert!(matches!(machine.outstanding().as_slice(), [Effect::RunTool { .. }]));
}

#[test]
fn who_goes_back_asks_the_budget_again_with_what_was_spent_since() {
    let mut machine = asking();
    let earlier = machine.clone();
    machine.handle(calls(1, vec![shell("a")]));
    machine.handle(lost(50_000));
    machine.rewind(&earlier);
    assert!(is_at_its_limit(&machine.handle(AgentEvent::OthersSpent { spending: Spending::default() })));
}

#[test]
fn trouble_that_may_pass_pauses_and_the_same_turn_is_asked_again() {
    let failed = AgentEvent::TurnFailed { turn: 1, trouble: ModelTrouble::MayPass(trouble()) };
    let reason = PauseReason::Trouble { error: trouble() };
    let (mut machine, effects) = after([started(), failed]);
    assert_eq!(effects, [Effect::Pause { reason: reason.clone() }]);
    assert_eq!(machine.handle(says(1)), []);
    machine.handle(AgentEvent::Paused { reason });
    assert_eq!(machine.handle(AgentEvent::Resumed), [Effect::AskModel { turn: 1 }]);
}

#[test]
fn a_log_that_holds_only_the_pause_of_a_failed_call_leads_to_the_same_state() {
    let paused = AgentEvent::Paused { reason: PauseReason::Trouble { error: trouble() } };
    let failed = AgentEvent::TurnFailed { turn: 1, trouble: ModelTrouble::MayPass(trouble()) };
    assert_eq!(after([started(), failed, paused.clone()]), after([started(), paused]));
}

#[test]
fn a_pause_that_was_not_recorded_yet_is_wanted_again_after_resuming() {
    let nothing = Limits { turns: 0, ..Limits::default() };
    let mut machine = AgentMachine::new(AgentSettings { limits: nothing, ..settings() });
    let wanted = machine.handle(started());
    assert!(matches!(wanted.as_slice(), [Effect::Pause { .. }]));
    assert_eq!(machine.handle(AgentEvent::Resumed), wanted);
}

#[test]
fn a_pause_by_a_person_is_not_replaced_by_one_of_the_machine() {
    let refusal = answer(1, Vec::new(), StopReason::Refusal { explanation: String::new() });
    let (mut machine, effects) =
        after([started(), AgentEvent::Paused { reason: PauseReason::Person }, refusal]);
    assert_eq!((effects, machine.outstanding()), (vec![], vec![]));
    assert_eq!(machine.handle(AgentEvent::Resumed), [Effect::AskModel { turn: 2 }]);
}

#[test]
fn after_a_pause_for_talking_the_model_has_its_reminders_again() {
    let (mut machine, _) = after([started(), says(1), says(2), says(3), says(4), AgentEvent::Resumed]);
    assert_eq!(machine.handle(says(5)), [Effect::AskModel { turn: 6 }]);
}

#[test]
fn an_answer_to_another_turn_is_ignored() {
    let (mut machine, _) = after([started(), says(1)]);
    let before = machine.clone();
    assert_eq!((machine.handle(says(1)), machine.handle(says(3))), (vec![], vec![]));
    assert_eq!(machine, before);
}

#[test]
fn final_trouble_fails_the_run() {
    let failed = AgentEvent::TurnFailed { turn: 1, trouble: ModelTrouble::Final(trouble()) };
    let (mut machine, effects) = after([started(), failed]);
    assert_eq!(effects, [Effect::Fail { error: trouble() }]);
    assert_eq!(machine.handle(AgentEvent::Resumed), []);
}

#[test]
fn a_tool_result_after_cancel_is_ignored() {
    let (mut machine, effects) = after([started(), calls(1, vec![shell("a")]), AgentEvent::Cancelled]);
    let before = machine.clone();
    assert_eq!((effects, machine.handle(done("1.1", "a"))), (vec![], vec![]));
    assert_eq!((machine.outstanding(), machine), (vec![], before));
}

#[test]
fn events_that_do_not_fit_change_nothing() {
    let (mut machine, _) = after([started(), calls(1, vec![shell("a"), shell("b")]), done("1.1", "a")]);
    let before = machine.clone();
    let unfit = [
        started(),
        says(1),
        says(2),
        done("1.1", "a"),
        done("1.2", "a"),
        done("1.3", "b"),
        AgentEvent::TurnFailed { turn: 1, trouble: ModelTrouble::Final(trouble()) },
        AgentEvent::Resumed,
    ];
    for event in unfit {
        assert_eq!(machine.handle(event), []);
        assert_eq!(machine, before);
    }
}

#[test]
fn going_in_circles_leads_to_a_hint_and_then_to_a_pause() {
    let (mut machine, _) = after([started()]);
    let mut effects = Vec::new();
    for turn in 1..=6 {
        machine.handle(calls(turn, vec![shell("a")]));
        effects = machine.handle(done(&format!("{turn}.1"), "a"));
        if turn == 3 {
            let [hint] = <[&str; 1]>::try_from(user_texts(last_message(&machine))).unwrap();
            assert!(
                hint.contains("you made the same call with the same result three times in a row"),
                "{hint}"
            );
        }
    }
    assert_eq!(effects, [Effect::Pause { reason: going_in_circles(Circle::SameCall) }]);
}

#[test]
fn a_call_that_was_not_made_yet_is_made_with_what_was_said_meanwhile() {
    let (mut machine, effects) = after([started(), calls(1, vec![shell("a")]), done("1.1", "a")]);
    assert_eq!(effects, [Effect::AskModel { turn: 2 }]);
    machine.handle(AgentEvent::Told { text: "It was lost.".to_owned() });
    assert!(user_texts(last_message(&machine)).is_empty(), "the call may be under way");
    machine.tell_with_next_call();
    assert_eq!(machine.outstanding(), [Effect::AskModel { turn: 2 }]);
    assert_eq!(user_texts(last_message(&machine)), ["It was lost."]);

    // While it is paused nothing begins by that, and what runs comes to its end.
    machine.handle(AgentEvent::Paused { reason: PauseReason::Person });
    machine.handle(AgentEvent::Told { text: "Again.".to_owned() });
    machine.tell_with_next_call();
    assert_eq!(machine.outstanding(), []);
    assert_eq!(machine.handle(AgentEvent::Resumed), [Effect::AskModel { turn: 2 }]);
    assert_eq!(user_texts(last_message(&machine)), ["It was lost.", "Again."]);
    machine.handle(calls(2, vec![shell("b")]));
    let running = machine.clone();
    machine.tell_with_next_call();
    assert_eq!(machine, running);
}
