//! The Responses API: requests into the form a script is played against, answers out of it.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::answer::{Event, pieces, signature};
use super::police::Breach;
use super::protocol::Said;
use super::wire::Request;

/// Reads a request and checks the rules that are this API's own.
pub(super) fn read(body: &Value) -> Result<Request, Breach> {
    if body["store"] != json!(false) {
        return Err(Breach("store: conversations are not to be kept by the provider".to_owned()));
    }
    let items = body["input"].as_array().ok_or_else(|| Breach("input: has to be a list".to_owned()))?;
    let mut messages = Conversation::default();
    let mut open = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let place = format!("input.{index}");
        match (item["type"].as_str(), item["role"].as_str()) {
            (None | Some("message"), Some("user")) => {
                if !open.is_empty() {
                    return Err(Breach(format!("{place}: No tool output found for call {open:?}")));
                }
                for part in parts(&item["content"]) {
                    messages.user(input_part(part, &place)?);
                }
            }
            (None | Some("message"), Some("assistant")) => {
                for part in parts(&item["content"]) {
                    let text = part.as_str().or(part["text"].as_str()).unwrap_or_default();
                    messages.assistant(json!({"type": "text", "text": text}));
                }
            }
            (Some("reasoning"), _) => {
                let thinking: Vec<&str> =
                    parts(&item["summary"]).filter_map(|part| part["text"].as_str()).collect();
                let thinking = thinking.join("\n\n");
                if item["encrypted_content"] != json!(signature(&thinking)) {
                    return Err(Breach(format!("{place}.encrypted_content: could not be verified")));
                }
                messages.assistant(
                    json!({"type": "thinking", "thinking": thinking, "signature": item["encrypted_content"]}),
                );
            }
            (Some("function_call"), _) => {
                open.insert(text(item, "call_id"));
                let arguments = item["arguments"].as_str().unwrap_or_default();
                let input = serde_json::from_str::<Map<String, Value>>(arguments).unwrap_or_default();
                messages.assistant(
                    json!({"type": "tool_use", "id": item["call_id"], "name": item["name"], "input": input}),
                );
            }
            (Some("computer_call"), _) => {
                open.insert(text(item, "call_id"));
                messages.assistant(json!({"type": "tool_use", "id": item["call_id"], "name": "computer", "input": {"actions": item["actions"]}}));
                messages.pending = item["pending_safety_checks"].clone();
            }
            (Some("function_call_output"), _) => {
                answered(&mut open, item, &place)?;
                let content: Result<Vec<Value>, Breach> =
                    parts(&item["output"]).map(|part| input_part(part, &place)).collect();
                messages.user(
                    json!({"type": "tool_result", "tool_use_id": item["call_id"], "content": content?}),
                );
            }
            (Some("computer_call_output"), _) => {
                answered(&mut open, item, &place)?;
                let acknowledged = item.get("acknowledged_safety_checks").cloned().unwrap_or(json!([]));
                if acknowledged != messages.pending {
                    return Err(Breach(format!("{place}: the safety checks were not acknowledged")));
                }
                let picture = image(item["output"]["image_url"].as_str(), &place)?;
                messages.user(
                    json!({"type": "tool_result", "tool_use_id": item["call_id"], "content": [picture]}),
                );
            }
            (kind, role) => return Err(Breach(format!("{place}: unknown item {kind:?} {role:?}"))),
        }
    }
    if !open.is_empty() {
        return Err(Breach(format!("input: No tool output found for call {open:?}")));
    }
    let tools: Vec<Value> = parts(&body["tools"]).map(tool).collect();
    request(body, &body["max_output_tokens"], body["instructions"].as_str(), tools, messages)
}

/// A request in the form of the Messages API, which the rest of the server reads.
pub(super) fn request(
    body: &Value,
    max_tokens: &Value,
    system: Option<&str>,
    tools: Vec<Value>,
    messages: Conversation,
) -> Result<Request, Breach> {
    let mut request = json!({
        "model": body["model"], "max_tokens": max_tokens, "stream": body["stream"], "tools": tools,
        "messages": messages.list,
    });
    if let Some(system) = system {
        request["system"] = json!(system);
    }
    super::police::read(&request)
}

/// A conversation as it is put together from items.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    list: Vec<Value>,
    /// The checks that the newest call on the screen wants acknowledged.
    pending: Value,
}

impl Conversation {
    pub(super) fn user(&mut self, block: Value) {
        self.push("user", block);
    }

    pub(super) fn assistant(&mut self, block: Value) {
        self.push("assistant", block);
    }

    fn push(&mut self, role: &str, block: Value) {
        match self.list.last_mut() {
            Some(last) if last["role"] == role => {
                if let Some(content) = last["content"].as_array_mut() {
                    content.push(block);
                }
            }
            _ => self.list.push(json!({"role": role, "content": [block]})),
        }
    }
}

fn answered(open: &mut HashSet<String>, item: &Value, place: &str) -> Result<(), Breach> {
    let id = text(item, "call_id");
    if open.remove(&id) {
        Ok(())
    } else {
        Err(Breach(format!("{place}: {id} is not the id of an open call")))
    }
}

fn text(item: &Value, field: &str) -> String {
    item[field].as_str().unwrap_or_default().to_owned()
}

/// The parts of a content that may be one text.
fn parts(content: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match content {
        Value::Array(parts) => Box::new(parts.iter()),
        Value::Null => Box::new(std::iter::empty()),
        one => Box::new(std::iter::once(one)),
    }
}

fn input_part(part: &Value, place: &str) -> Result<Value, Breach> {
    match (part, part["type"].as_str()) {
        (Value::String(text), _) => Ok(json!({"type": "text", "text": text})),
        (_, Some("input_text")) => Ok(json!({"type": "text", "text": part["text"]})),
        (_, Some("input_image")) => image(part["image_url"].as_str(), place),
        (_, kind) => Err(Breach(format!("{place}: unknown part {kind:?}"))),
    }
}

/// A picture from a data URL.
pub(super) fn image(url: Option<&str>, place: &str) -> Result<Value, Breach> {
    let parts = url.and_then(|url| url.strip_prefix("data:")).and_then(|url| url.split_once(";base64,"));
    let (media_type, data) = parts.ok_or_else(|| Breach(format!("{place}: no data URL of a picture")))?;
    Ok(json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}))
}

fn tool(tool: &Value) -> Value {
    match tool["type"].as_str() {
        Some("computer") => json!({"type": "computer_toolset_20260801"}),
        _ => {
            json!({"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]})
        }
    }
}

/// The answer as events.
pub(super) fn events(said: &Said<'_>) -> Vec<Event> {
    let items = items(said);
    let response = |status: &str, output: &[Value], usage: &Value| {
        let reason =
            if said.stop == "max_tokens" { json!({"reason": "max_output_tokens"}) } else { Value::Null };
        json!({
            "id": format!("resp_{}", said.seed), "object": "response", "created_at": 1_790_000_000, "status": status,
            "model": said.model, "output": output, "usage": usage, "error": null, "incomplete_details": reason,
            "store": false, "parallel_tool_calls": true,
        })
    };
    let mut events: Vec<Event> = vec![(
        "response.created",
        json!({"type": "response.created", "response": response("in_progress", &[], &Value::Null)}),
    )];
    for (index, item) in items.iter().enumerate() {
        item_events(index, item, &mut events);
    }
    let (name, status) = if said.stop == "max_tokens" {
        ("response.incomplete", "incomplete")
    } else {
        ("response.completed", "completed")
    };
    events.push((name, json!({"type": name, "response": response(status, &items, &usage(said.usage))})));
    for (number, (_, data)) in events.iter_mut().enumerate() {
        data["sequence_number"] = json!(number);
    }
    events
}

fn usage(usage: &Value) -> Value {
    let figure = |name: &str| usage[name].as_u64().unwrap_or_default();
    let (read, written) = (figure("cache_read_input_tokens"), figure("cache_creation_input_tokens"));
    let (input, output) = (figure("input_tokens") + read + written, figure("output_tokens"));
    json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output,
    })
}

/// The items of an answer. Actions on the screen that stand side by side are one call.
fn items(said: &Said<'_>) -> Vec<Value> {
    let mut items: Vec<Value> = Vec::new();
    if said.stop == "refusal" {
        let refusal = said.details["explanation"].as_str().unwrap_or_default();
        items.push(message(said.seed, 0, json!({"type": "refusal", "refusal": refusal})));
    }
    for (index, block) in said.blocks.iter().enumerate() {
        let id = block["id"].as_str().unwrap_or_default().replace("toolu_", "call_");
        match block["type"].as_str() {
            Some("text") => items.push(message(
                said.seed,
                index,
                json!({"type": "output_text", "text": block["text"], "annotations": [], "logprobs": []}),
            )),
            Some("thinking") => items.push(json!({
                "type": "reasoning", "id": format!("rs_{}{index}", said.seed),
                "summary": [{"type": "summary_text", "text": block["thinking"]}],
                "encrypted_content": block["signature"],
            })),
            _ if block["toolset_name"] == "computer" => {
                let action = action(block);
                match items.last_mut().filter(|last| last["type"] == "computer_call") {
                    Some(call) => {
                        if let Some(actions) = call["actions"].as_array_mut() {
                            actions.push(action);
                        }
                    }
                    None => items.push(json!({
                        "type": "computer_call", "id": format!("cu_{}{index}", said.seed), "call_id": id,
                        "actions": [action], "status": "completed", "pending_safety_checks":
                            [{"id": format!("sc_{}{index}", said.seed), "code": "irrelevant_domain",
                              "message": "The page is not of the task."}],
                    })),
                }
            }
            _ => {
                let arguments = match &block["input"] {
                    Value::String(raw) => raw.clone(),
                    input => input.to_string(),
                };
                items.push(json!({
                    "type": "function_call", "id": format!("fc_{}{index}", said.seed), "call_id": id,
                    "name": block["name"], "arguments": arguments, "status": "completed",
                }));
            }
        }
    }
    items
}

fn message(seed: &str, index: usize, part: Value) -> Value {
    json!({"type": "message", "id": format!("msg_{seed}{index}"), "role": "assistant", "status": "completed",
        "content": [part]})
}

/// A member of the toolset as an action of this API.
fn action(block: &Value) -> Value {
    let input = &block["input"];
    let (x, y) = (&input["coordinate"][0], &input["coordinate"][1]);
    let keys: Vec<String> =
        input["text"].as_str().unwrap_or_default().split('+').map(str::to_uppercase).collect();
    match block["name"].as_str().unwrap_or_default() {
        "left_click" => json!({"type": "click", "button": "left", "x": x, "y": y}),
        "right_click" => json!({"type": "click", "button": "right", "x": x, "y": y}),
        "middle_click" => json!({"type": "click", "button": "wheel", "x": x, "y": y}),
        "double_click" => json!({"type": "double_click", "x": x, "y": y, "keys": null}),
        "mouse_move" => json!({"type": "move", "x": x, "y": y}),
        "type" => json!({"type": "type", "text": input["text"]}),
        "key" => json!({"type": "keypress", "keys": keys}),
        "wait" => json!({"type": "wait"}),
        "scroll" => {
            let pixels = input["scroll_amount"].as_i64().unwrap_or(1) * 100;
            let (across, down) = match input["scroll_direction"].as_str() {
                Some("up") => (0, -pixels),
                Some("left") => (-pixels, 0),
                Some("right") => (pixels, 0),
                _ => (0, pixels),
            };
            json!({"type": "scroll", "x": x, "y": y, "scroll_x": across, "scroll_y": down})
        }
        _ => json!({"type": "screenshot"}),
    }
}

fn item_events(index: usize, item: &Value, events: &mut Vec<Event>) {
    let mut begun = item.clone();
    let mut deltas: Vec<Event> = Vec::new();
    let delta = |name: &'static str, text: &str| -> Vec<Event> {
        pieces(text)
            .map(|piece| {
                (name, json!({"type": name, "output_index": index, "item_id": item["id"], "delta": piece}))
            })
            .collect()
    };
    match item["type"].as_str() {
        Some("message") => {
            begun["content"] = json!([]);
            let text = item["content"][0]["text"].as_str().unwrap_or_default();
            deltas = delta("response.output_text.delta", text);
        }
        Some("reasoning") => {
            // What is here is not yet whole, and must not be what goes back.
            begun["encrypted_content"] = json!("unfinished");
            let text = item["summary"][0]["text"].as_str().unwrap_or_default();
            deltas = delta("response.reasoning_summary_text.delta", text);
        }
        Some("function_call") => {
            begun["arguments"] = json!("");
            deltas = delta(
                "response.function_call_arguments.delta",
                item["arguments"].as_str().unwrap_or_default(),
            );
        }
        _ => {}
    }
    let added = "response.output_item.added";
    let done = "response.output_item.done";
    events.push((added, json!({"type": added, "output_index": index, "item": begun})));
    events.append(&mut deltas);
    events.push((done, json!({"type": done, "output_index": index, "item": item})));
}
