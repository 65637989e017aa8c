//! The Chat Completions API: requests into the form a script is played against, answers out of it.

use serde_json::{Map, Value, json};

use super::answer::{Event, pieces};
use super::police::Breach;
use super::protocol::Said;
use super::responses::{Conversation, image, request};
use super::wire::Request;

/// Reads a request and checks the rules that are this API's own.
pub(super) fn read(body: &Value) -> Result<Request, Breach> {
    let given = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut messages = Conversation::default();
    let mut system = None;
    let mut last_role = "";
    for (index, message) in given.iter().enumerate() {
        let place = format!("messages.{index}");
        let role = message["role"].as_str().unwrap_or_default();
        match role {
            "system" if index == 0 => system = message["content"].as_str(),
            "user" => {
                for part in content(&message["content"], &place)? {
                    messages.user(part);
                }
            }
            "assistant" => {
                for part in content(&message["content"], &place)? {
                    messages.assistant(part);
                }
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    messages.assistant(called(call, &place)?);
                }
            }
            "tool" if matches!(last_role, "assistant" | "tool") => {
                let content = content(&message["content"], &place)?;
                messages.user(json!({"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}));
            }
            role => return Err(Breach(format!("{place}: a message of {role:?} may not stand here"))),
        }
        last_role = role;
    }
    let tools = body["tools"].as_array().into_iter().flatten().map(|tool| {
        let function = &tool["function"];
        json!({"name": function["name"], "description": function["description"], "input_schema": function["parameters"]})
    });
    request(body, &body["max_tokens"], system, tools.collect(), messages)
}

fn content(content: &Value, place: &str) -> Result<Vec<Value>, Breach> {
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![json!({"type": "text", "text": text})]),
        Value::Array(parts) => {
            let part = |part: &Value| match part["type"].as_str() {
                Some("text") => Ok(json!({"type": "text", "text": part["text"]})),
                Some("image_url") => image(part["image_url"]["url"].as_str(), place),
                kind => Err(Breach(format!("{place}: unknown part {kind:?}"))),
            };
            parts.iter().map(part).collect()
        }
        _ => Err(Breach(format!("{place}.content: has to be a text or a list"))),
    }
}

/// Servers read the arguments of earlier calls, and fail where they are no JSON.
fn called(call: &Value, place: &str) -> Result<Value, Breach> {
    let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
    let input: Map<String, Value> = serde_json::from_str(arguments)
        .map_err(|error| Breach(format!("{place}: the arguments of a call are no JSON: {error}")))?;
    Ok(json!({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": input}))
}

/// The answer as chunks.
pub(super) fn events(said: &Said<'_>) -> Vec<Event> {
    let chunk = |delta: Value, finish: Value| -> Event {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        (
            "",
            json!({"id": format!("chatcmpl-{}", said.seed), "object": "chat.completion.chunk",
            "created": 1_790_000_000, "model": said.model, "choices": [choice]}),
        )
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    let mut number = 0;
    for block in said.blocks {
        let text = |field: &str| block[field].as_str().unwrap_or_default().to_owned();
        match block["type"].as_str() {
            Some("text") => {
                events
                    .extend(pieces(&text("text")).map(|piece| chunk(json!({"content": piece}), Value::Null)));
            }
            Some("thinking") => events.extend(
                pieces(&text("thinking"))
                    .map(|piece| chunk(json!({"reasoning_content": piece}), Value::Null)),
            ),
            _ => {
                let arguments = match &block["input"] {
                    Value::String(raw) => raw.clone(),
                    input => input.to_string(),
                };
                let call = json!({"index": number, "id": text("id").replace("toolu_", "call_"), "type": "function",
                    "function": {"name": block["name"], "arguments": ""}});
                events.push(chunk(json!({"tool_calls": [call]}), Value::Null));
                events.extend(pieces(&arguments).map(|piece| {
                    let part = json!({"index": number, "function": {"arguments": piece}});
                    chunk(json!({"tool_calls": [part]}), Value::Null)
                }));
                number += 1;
            }
        }
    }
    if said.stop == "refusal" {
        events.push(chunk(json!({"refusal": said.details["explanation"]}), Value::Null));
    }
    let finish = match said.stop {
        "tool_use" => "tool_calls",
        "max_tokens" => "length",
        _ => "stop",
    };
    events.push(chunk(json!({}), json!(finish)));
    let figure = |name: &str| said.usage[name].as_u64().unwrap_or_default();
    let read = figure("cache_read_input_tokens");
    let prompt = figure("input_tokens") + read + figure("cache_creation_input_tokens");
    events.push(("", json!({"id": format!("chatcmpl-{}", said.seed), "object": "chat.completion.chunk",
        "created": 1_790_000_000, "model": said.model, "choices": [], "usage": {
            "prompt_tokens": prompt, "completion_tokens": figure("output_tokens"),
            "total_tokens": prompt + figure("output_tokens"), "prompt_tokens_details": {"cached_tokens": read}}})));
    events.push(("", json!("[DONE]")));
    events
}
