use serde_json::json;

use super::*;

fn event(data: &Value) -> ServerSentEvent {
    ServerSentEvent { name: data["type"].as_str().unwrap_or_default().to_owned(), data: data.to_string() }
}

fn played(events: &[Value], checks: SafetyChecks) -> Whole {
    let mut answer = Answer::new(checks);
    let mut taken = Taken::Quiet;
    for data in events {
        taken = answer.take(&event(data)).unwrap();
    }
    assert_eq!(taken, Taken::Whole);
    Box::new(answer).finish()
}

fn done(index: u64, item: Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": index, "item": item})
}

fn completed(output: Value) -> Value {
    json!({"type": "response.completed", "response": {"model": "gpt-6.1-sol-2026-08-12", "output": output,
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
                  "output_tokens": 3}}})
}

#[test]
fn items_count_as_they_are_when_done_with_fields_nobody_knows() {
    let reasoning = json!({"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "sealed", "of_the_future": 1});
    let early = json!({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "half"});
    let call = json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "shell", "arguments": "{\"z\":1,\"a\":2}"});
    let novel = json!({"type": "hologram", "id": "h"});
    let whole = played(
        &[
            done(0, reasoning.clone()),
            done(1, call.clone()),
            done(2, novel.clone()),
            completed(json!([early, call, novel])),
        ],
        SafetyChecks::Acknowledge,
    );
    let Message::Assistant { blocks, verbatim } = whole.message else {
        panic!("an answer is the assistant's")
    };
    assert_eq!(verbatim, json!({"output": [reasoning, call, novel]}));
    assert_eq!(blocks[0], AssistantBlock::Thinking { text: "Hm.".to_owned() });
    assert_eq!(blocks[2], AssistantBlock::Unknown { kind: "hologram".to_owned() });
    assert_eq!((whole.stop, whole.model.as_str()), (StopReason::ToolUse, "gpt-6.1-sol-2026-08-12"));
    assert_eq!((whole.usage.input_tokens, whole.usage.cache_read_tokens), (6, 4));
}

#[test]
fn an_item_that_never_was_done_is_taken_from_the_end() {
    let cut = json!({"type": "function_call", "call_id": "c", "name": "shell", "arguments": "{\"comm", "status": "incomplete"});
    let end = json!({"type": "response.incomplete", "response": {"output": [cut], "incomplete_details": {"reason": "max_output_tokens"}}});
    let whole = played(&[end], SafetyChecks::Acknowledge);
    assert_eq!(whole.stop, StopReason::MaxTokens);
    let Message::Assistant { blocks, .. } = whole.message else { panic!("an answer is the assistant's") };
    assert!(
        matches!(&blocks[0], AssistantBlock::ToolCall { call } if call.malformed.as_deref() == Some("{\"comm"))
    );
}

#[test]
fn a_failure_is_told_in_the_provider_s_words() {
    let mut answer = Answer::new(SafetyChecks::Acknowledge);
    let failed =
        json!({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Oh."}}});
    let reported = Broken::Reported { kind: "server_error".to_owned(), message: "Oh.".to_owned() };
    assert_eq!(answer.take(&event(&failed)), Err(reported));
}

#[test]
fn a_check_that_a_person_is_to_confirm_makes_a_refusal_only_where_that_was_asked_for() {
    let call = json!({"type": "computer_call", "id": "cu", "call_id": "c", "actions": [{"type": "screenshot"}],
        "pending_safety_checks": [{"id": "s", "code": "malicious_instructions", "message": "Look out."}]});
    let events = [done(0, call), completed(json!([]))];
    assert_eq!(played(&events, SafetyChecks::Acknowledge).stop, StopReason::ToolUse);
    let why = "it wants a person to confirm: Look out.";
    let StopReason::Refusal { explanation } = played(&events, SafetyChecks::Refuse).stop else {
        panic!("a refusal")
    };
    assert!(explanation.starts_with(why) && explanation.contains("safety_checks"), "{explanation}");
}
