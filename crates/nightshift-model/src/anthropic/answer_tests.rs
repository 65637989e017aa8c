use nightshift_protocol::{AssistantBlock, Message, StopReason, ToolCall, Usage};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::server_sent_events::EventReader;

fn event(data: &Value) -> ServerSentEvent {
    ServerSentEvent { name: data["type"].as_str().unwrap_or_default().to_owned(), data: data.to_string() }
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"model": "claude-sonnet-5-5", "usage": {"input_tokens": 7, "output_tokens": 1}}})
}

fn block(index: u64, content: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": content})
}

fn delta(index: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ]
}

/// Plays an answer with this content between its start and its end.
fn answer(content: &[Value], reason: &str) -> Result<Whole, Broken> {
    let mut answer = Answer::default();
    let mut taken = Taken::Quiet;
    for data in [start()].iter().chain(content).chain(&end(reason)) {
        taken = answer.take(&event(data))?;
    }
    assert_eq!(taken, Taken::Whole);
    Ok(Box::new(answer).finish())
}

fn content(content: &[Value], reason: &str) -> (Vec<AssistantBlock>, Value) {
    match answer(content, reason).unwrap().message {
        Message::Assistant { blocks, verbatim } => (blocks, verbatim),
        Message::User { .. } => panic!("an answer is the assistant's"),
    }
}

/// What the vendor documents as a stream, with everything Nightshift reads and some that it does not.
fn recorded() -> Vec<Value> {
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-5-5", "content": [], "usage":
            {"input_tokens": 25, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 4000, "output_tokens": 1}}}),
        json!({"type": "ping"}),
        block(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "Größe "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "first."})),
        delta(0, json!({"type": "signature_delta", "signature": "EqQB=="})),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "weather_report", "sunny": true}),
        block(1, json!({"type": "text", "text": "", "citations": null})),
        delta(1, json!({"type": "text_delta", "text": "I shall "})),
        delta(1, json!({"type": "text_delta", "text": "click. 🖱"})),
        json!({"type": "content_block_stop", "index": 1}),
        block(
            2,
            json!({"type": "tool_use", "id": "toolu_1", "name": "left_click", "toolset_name": "computer",
            "caller": {"type": "direct"}, "input": {}}),
        ),
        delta(2, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"coordinate\":[12"})),
        delta(2, json!({"type": "input_json_delta", "partial_json": ",34], \"text\":\"ctrl\"}"})),
        json!({"type": "content_block_stop", "index": 2}),
        block(3, json!({"type": "hologram", "depth": 3, "note": "a"})),
        delta(3, json!({"type": "hologram_delta", "note": "b", "depth": 4})),
    ];
    events.extend(end("tool_use"));
    events
}

fn recorded_verbatim() -> Value {
    json!([
        {"type": "thinking", "thinking": "Größe first.", "signature": "EqQB=="},
        {"type": "text", "text": "I shall click. 🖱", "citations": null},
        {"type": "tool_use", "id": "toolu_1", "name": "left_click", "toolset_name": "computer",
            "caller": {"type": "direct"}, "input": {"coordinate": [12, 34], "text": "ctrl"}},
        {"type": "hologram", "depth": 4, "note": "ab"},
    ])
}

fn recorded_whole() -> Whole {
    Whole {
        message: Message::Assistant {
            blocks: vec![
                AssistantBlock::Thinking { text: "Größe first.".to_owned() },
                AssistantBlock::Text { text: "I shall click. 🖱".to_owned() },
                AssistantBlock::ToolCall {
                    call: ToolCall {
                        id: "toolu_1".to_owned(),
                        name: "computer".to_owned(),
                        input: json!({"action": "left_click", "coordinate": [12, 34], "text": "ctrl"}),
                        malformed: None,
                    },
                },
                AssistantBlock::Unknown { kind: "hologram".to_owned() },
            ],
            verbatim: recorded_verbatim(),
        },
        stop: StopReason::ToolUse,
        usage: Usage {
            input_tokens: 25,
            cache_read_tokens: 4000,
            cache_write_tokens: 100,
            cache_write_hour_tokens: 0,
            output_tokens: 20,
            cost_microdollars: 0,
        },
        model: "claude-sonnet-5-5".to_owned(),
    }
}

#[test]
fn a_streamed_answer_is_what_it_would_have_been_in_one_piece() {
    let mut answer = Answer::default();
    for data in recorded() {
        answer.take(&event(&data)).unwrap();
    }
    assert_eq!(Box::new(answer).finish(), recorded_whole());
}

#[test]
fn the_order_of_a_calls_input_is_kept() {
    let call = [
        block(0, json!({"type": "tool_use", "id": "a", "name": "edit", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "{\"path\":\"a\",\"new\":1,\"and\":2}"})),
    ];
    let (_, verbatim) = content(&call, "tool_use");
    assert_eq!(verbatim[0]["input"].to_string(), r#"{"path":"a","new":1,"and":2}"#);
}

#[test]
fn progress_is_told_as_it_comes() {
    let mut answer = Answer::default();
    let mut told = Vec::new();
    for data in recorded() {
        if let Taken::Progress(progress) = answer.take(&event(&data)).unwrap() {
            told.push(progress);
        }
    }
    assert_eq!(
        told,
        [
            Progress::Thinking("Größe ".to_owned()),
            Progress::Thinking("first.".to_owned()),
            Progress::Text("I shall ".to_owned()),
            Progress::Text("click. 🖱".to_owned()),
            Progress::ToolCallStarted { name: "computer".to_owned() },
        ]
    );
}

#[test]
fn a_call_without_input_has_an_empty_one() {
    let call = [
        block(0, json!({"type": "tool_use", "id": "a", "name": "plan", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": ""})),
    ];
    let (blocks, _) = content(&call, "tool_use");
    let AssistantBlock::ToolCall { call } = &blocks[0] else { panic!("{blocks:?}") };
    assert_eq!((&call.input, &call.malformed), (&json!({}), &None));
}

#[test]
fn input_that_is_no_json_is_told_and_goes_back_as_an_object() {
    let call = [
        block(0, json!({"type": "tool_use", "id": "a", "name": "shell", "input": {}})),
        delta(0, json!({"type": "input_json_delta", "partial_json": "{\"command\": \"ls"})),
    ];
    let (blocks, verbatim) = content(&call, "max_tokens");
    let expected = ToolCall {
        id: "a".to_owned(),
        name: "shell".to_owned(),
        input: Value::Null,
        malformed: Some("{\"command\": \"ls".to_owned()),
    };
    assert_eq!(blocks, [AssistantBlock::ToolCall { call: expected }]);
    assert_eq!(verbatim[0]["input"], json!({"INVALID_JSON": "{\"command\": \"ls"}));
}

#[test]
fn input_that_is_json_and_no_object_goes_back_as_an_object_too() {
    for raw in ["[1]", "\"ls\"", "null"] {
        let call = [
            block(0, json!({"type": "tool_use", "id": "a", "name": "shell", "input": {}})),
            delta(0, json!({"type": "input_json_delta", "partial_json": raw})),
        ];
        let (blocks, verbatim) = content(&call, "tool_use");
        let AssistantBlock::ToolCall { call } = &blocks[0] else { panic!("{blocks:?}") };
        assert_eq!((&call.input, call.malformed.as_deref()), (&Value::Null, Some(raw)));
        assert_eq!(verbatim[0]["input"], json!({"INVALID_JSON": raw}));
    }
}

#[test]
fn a_member_cannot_pass_itself_off_as_another_action() {
    let call = [
        block(
            0,
            json!({"type": "tool_use", "id": "a", "name": "screenshot", "toolset_name": "computer", "input": {}}),
        ),
        delta(
            0,
            json!({"type": "input_json_delta", "partial_json": "{\"action\": \"type\", \"text\": \"x\"}"}),
        ),
    ];
    let (blocks, _) = content(&call, "tool_use");
    let AssistantBlock::ToolCall { call } = &blocks[0] else { panic!("{blocks:?}") };
    assert_eq!(call.input, json!({"action": "screenshot", "text": "x"}));
}

#[test]
fn sealed_reasoning_is_kept_and_citations_are_collected() {
    let (blocks, verbatim) = content(
        &[
            block(0, json!({"type": "redacted_thinking", "data": "sealed"})),
            block(1, json!({"type": "text", "text": "So says ", "citations": null})),
            delta(1, json!({"type": "citations_delta", "citation": {"cited_text": "a"}})),
            delta(1, json!({"type": "citations_delta", "citation": {"cited_text": "b"}})),
        ],
        "end_turn",
    );
    assert_eq!(blocks[0], AssistantBlock::Thinking { text: String::new() });
    assert_eq!(verbatim[0], json!({"type": "redacted_thinking", "data": "sealed"}));
    assert_eq!(verbatim[1]["citations"], json!([{"cited_text": "a"}, {"cited_text": "b"}]));
}

#[test]
fn every_stop_reason_has_its_meaning() {
    let stop = |reason| answer(&[], reason).unwrap().stop;
    assert_eq!(stop("end_turn"), StopReason::EndTurn);
    assert_eq!(stop("tool_use"), StopReason::ToolUse);
    assert_eq!(stop("max_tokens"), StopReason::MaxTokens);
    assert_eq!(stop("pause_turn"), StopReason::PauseTurn);
    assert_eq!(stop("refusal"), StopReason::Refusal { explanation: String::new() });
    assert_eq!(stop("model_context_window_exceeded"), StopReason::ContextExceeded);
    assert_eq!(stop("stop_sequence"), StopReason::Other { reason: "stop_sequence".to_owned() });
}

#[test]
fn a_refusal_carries_its_explanation() {
    let mut answer = Answer::default();
    let details =
        json!({"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "No."}});
    answer.take(&event(&start())).unwrap();
    answer.take(&event(&json!({"type": "message_delta", "delta": details, "usage": {}}))).unwrap();
    assert_eq!(Box::new(answer).finish().stop, StopReason::Refusal { explanation: "No.".to_owned() });
}

#[test]
fn figures_of_usage_are_totals_and_an_absent_one_changes_nothing() {
    let later = json!({"type": "message_delta", "delta": {}, "usage": {"input_tokens": null, "output_tokens": 9,
        "cache_read_input_tokens": 3}});
    let mut answer = Answer::default();
    answer.take(&event(&start())).unwrap();
    answer.take(&event(&later)).unwrap();
    let expected = Usage { input_tokens: 7, output_tokens: 9, cache_read_tokens: 3, ..Usage::default() };
    assert_eq!(answer.usage(), expected);
}

#[test]
fn an_error_within_the_stream_is_reported_as_such() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let expected = Broken::Reported { kind: "overloaded_error".to_owned(), message: "Overloaded".to_owned() };
    assert_eq!(answer(&[error], "end_turn"), Err(expected));
}

#[test]
fn nonsense_is_an_invalid_answer_and_no_panic() {
    let text = json!({"type": "text", "text": ""});
    let out_of_order = |event: &str| Broken::Invalid(InvalidAnswer::OutOfOrder { event: event.to_owned() });
    assert_eq!(answer(&[start()], "end_turn"), Err(out_of_order("message_start")));
    assert_eq!(
        answer(&[block(0, text.clone()), block(0, text)], "end_turn"),
        Err(out_of_order("content_block_start"))
    );
    assert_eq!(
        answer(&[delta(0, json!({"type": "text_delta"}))], "end_turn"),
        Err(out_of_order("content_block_delta"))
    );
    assert_eq!(answer(&[json!({"type": "message_stop"})], "end_turn"), Err(out_of_order("message_stop")));
    assert_eq!(
        Answer::default().take(&event(&delta(0, json!({})))),
        Err(out_of_order("content_block_delta"))
    );
    let missing =
        |event: &str, field| Broken::Invalid(InvalidAnswer::MissingField { event: event.to_owned(), field });
    let without_type = [json!({"type": "content_block_start", "index": 0, "content_block": {}})];
    assert_eq!(answer(&without_type, "end_turn"), Err(missing("content_block_start", "content_block.type")));
    let no_json = ServerSentEvent { name: "ping".to_owned(), data: "<html>".to_owned() };
    let excerpt = "<html>".to_owned();
    assert_eq!(Answer::default().take(&no_json), Err(Broken::Invalid(InvalidAnswer::NotJson { excerpt })));
}

proptest! {
    #[test]
    fn the_answer_is_the_same_however_the_network_cuts_the_stream(cuts in proptest::collection::vec(0_usize..2400, 0..40)) {
        let stream: String = recorded()
            .iter()
            .map(|data| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()))
            .collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).chain([stream.len()]).collect();
        cuts.sort_unstable();
        let mut reader = EventReader::new(10_000);
        let mut answer = Answer::default();
        let mut begin = 0;
        for cut in cuts {
            reader.push(&stream.as_bytes()[begin..cut]).unwrap();
            begin = cut;
            while let Some(event) = reader.next() {
                answer.take(&event).unwrap();
            }
        }
        prop_assert_eq!(Box::new(answer).finish(), recorded_whole());
    }

    #[test]
    fn no_event_makes_the_client_panic(
        kind in prop_oneof!["message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop", "error"],
        field in prop_oneof!["index", "delta", "content_block", "message", "usage", "error"],
        value in prop_oneof![Just(json!(null)), Just(json!(-1)), Just(json!("text")), Just(json!([1])), Just(json!({"type": 5}))],
    ) {
        let mut answer = Answer::default();
        let _ = answer.take(&event(&start()));
        let _ = answer.take(&event(&json!({"type": kind, field: value})));
        let _ = Box::new(answer).finish();
    }
}
