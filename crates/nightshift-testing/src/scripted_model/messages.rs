//! An answer as the Messages API streams it.

use serde_json::{Map, Value, json};

use super::answer::{Event, pieces};
use super::protocol::Said;

pub(super) fn events(said: &Said<'_>) -> Vec<Event> {
    let mut start_usage = said.usage.clone();
    start_usage["output_tokens"] = json!(1);
    let mut events = vec![(
        "message_start",
        json!({"type": "message_start", "message": {
            "id": format!("msg_{}", said.seed), "type": "message", "role": "assistant", "model": said.model,
            "content": [], "container": null, "diagnostics": null, "stop_reason": null, "stop_sequence": null,
            "stop_details": null, "usage": start_usage,
        }}),
    )];
    events.push(("ping", json!({"type": "ping"})));
    for (index, block) in said.blocks.iter().enumerate() {
        block_events(index, block, &mut events);
    }
    events.push((
        "message_delta",
        json!({"type": "message_delta",
            "delta": {"stop_reason": said.stop, "stop_sequence": null, "stop_details": said.details, "container": null},
            "usage": said.usage}),
    ));
    events.push(("message_stop", json!({"type": "message_stop"})));
    events
}

fn block_events(index: usize, block: &Value, events: &mut Vec<Event>) {
    let text = |field: &str| block[field].as_str().unwrap_or_default();
    let mut begun = block.clone();
    let mut deltas = Vec::new();
    match text("type") {
        "text" => {
            begun["text"] = json!("");
            begun["citations"] = Value::Null;
            deltas.extend(pieces(text("text")).map(|piece| json!({"type": "text_delta", "text": piece})));
        }
        "thinking" => {
            begun["thinking"] = json!("");
            begun["signature"] = json!("");
            deltas.extend(
                pieces(text("thinking")).map(|piece| json!({"type": "thinking_delta", "thinking": piece})),
            );
            deltas.push(json!({"type": "signature_delta", "signature": text("signature")}));
        }
        _ => {
            begun["input"] = Value::Object(Map::new());
            let input = match &block["input"] {
                Value::String(raw) => raw.clone(),
                input => input.to_string(),
            };
            // The provider begins with an empty piece.
            deltas.push(json!({"type": "input_json_delta", "partial_json": ""}));
            deltas.extend(
                pieces(&input).map(|piece| json!({"type": "input_json_delta", "partial_json": piece})),
            );
        }
    }
    let start = json!({"type": "content_block_start", "index": index, "content_block": begun});
    events.push(("content_block_start", start));
    for delta in deltas {
        let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
        events.push(("content_block_delta", delta));
    }
    events.push(("content_block_stop", json!({"type": "content_block_stop", "index": index})));
}
