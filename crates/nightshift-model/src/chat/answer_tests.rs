use serde_json::json;

use super::*;

fn played(chunks: &[Value]) -> Whole {
    played_on(chunks, Coordinates::Pixels)
}

fn played_on(chunks: &[Value], coordinates: Coordinates) -> Whole {
    let mut answer = Answer::new(coordinates, (1280, 800));
    for chunk in chunks {
        answer.take(&ServerSentEvent { name: String::new(), data: chunk.to_string() }).unwrap();
    }
    let done = ServerSentEvent { name: String::new(), data: "[DONE]".to_owned() };
    assert_eq!(answer.take(&done), Ok(Taken::Whole));
    Box::new(answer).finish()
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "chatcmpl-1", "model": "qwen3", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn calls(whole: &Whole) -> Vec<(String, String, Value)> {
    let Message::Assistant { blocks, .. } = &whole.message else { panic!("an answer is the assistant's") };
    let call = |block: &AssistantBlock| match block {
        AssistantBlock::ToolCall { call } => Some((call.id.clone(), call.name.clone(), call.input.clone())),
        _ => None,
    };
    blocks.iter().filter_map(call).collect()
}

#[test]
fn calls_in_pieces_are_put_together_by_their_place() {
    let whole = played(&[
        chunk(
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "shell", "arguments": ""}}]}),
            Value::Null,
        ),
        chunk(
            json!({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "plan", "arguments": "{}"}}]}),
            Value::Null,
        ),
        chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"command\":"}}]}), Value::Null),
        chunk(
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"ls\"}"}}]}),
            json!("tool_calls"),
        ),
    ]);
    assert_eq!(
        calls(&whole),
        [
            ("a".to_owned(), "shell".to_owned(), json!({"command": "ls"})),
            ("b".to_owned(), "plan".to_owned(), json!({})),
        ]
    );
    assert_eq!(whole.stop, StopReason::ToolUse);
}

/// As Ollama sends them: whole, without ids, with one index for all, and with `stop` at the end.
#[test]
fn calls_that_come_whole_without_ids_are_told_apart() {
    let call = |command: &str| {
        let function = json!({"name": "shell", "arguments": {"command": command}});
        chunk(
            json!({"role": "assistant", "content": "", "tool_calls": [{"index": 0, "function": function}]}),
            Value::Null,
        )
    };
    let whole = played(&[call("ls"), call("pwd"), chunk(json!({}), json!("stop"))]);
    assert_eq!(
        calls(&whole),
        [
            ("call_chatcmpl-1_0".to_owned(), "shell".to_owned(), json!({"command": "ls"})),
            ("call_chatcmpl-1_1".to_owned(), "shell".to_owned(), json!({"command": "pwd"})),
        ]
    );
    assert_eq!(whole.stop, StopReason::ToolUse);
}

#[test]
fn a_model_s_own_space_of_coordinates_becomes_pixels() {
    let function =
        json!({"name": "computer", "arguments": "{\"action\":\"left_click\",\"coordinate\":[500,500]}"});
    let chunks =
        [chunk(json!({"tool_calls": [{"index": 0, "id": "a", "function": function}]}), json!("tool_calls"))];
    let found = calls(&played_on(&chunks, Coordinates::Thousandths));
    assert_eq!(found[0].2, json!({"action": "left_click", "coordinate": [640, 400]}));
    assert_eq!(calls(&played(&chunks))[0].2["coordinate"], json!([500, 500]));
}

#[test]
fn reasoning_is_shown_and_unknown_fields_are_kept() {
    let whole = played(&[
        chunk(json!({"reasoning_content": "Hm."}), Value::Null),
        chunk(json!({"content": "Hello.", "annotations": [1]}), json!("stop")),
        json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}),
    ]);
    let Message::Assistant { blocks, verbatim } = whole.message else {
        panic!("an answer is the assistant's")
    };
    assert_eq!(blocks[0], AssistantBlock::Thinking { text: "Hm.".to_owned() });
    assert_eq!(
        verbatim,
        json!({"role": "assistant", "content": "Hello.", "reasoning_content": "Hm.", "annotations": [1]})
    );
    assert_eq!((whole.usage.input_tokens, whole.usage.output_tokens), (9, 2));
}

#[test]
fn an_end_before_the_model_s_is_a_fault_and_an_error_in_the_stream_is_told() {
    let mut answer = Answer::new(Coordinates::Pixels, (1, 1));
    let done = ServerSentEvent { name: String::new(), data: "[DONE]".to_owned() };
    assert!(matches!(answer.take(&done), Err(Broken::Invalid(InvalidAnswer::OutOfOrder { .. }))));
    let error = ServerSentEvent { name: String::new(), data: json!({"error": "out of memory"}).to_string() };
    let reported = Broken::Reported { kind: String::new(), message: "out of memory".to_owned() };
    assert_eq!(answer.take(&error), Err(reported));
}
