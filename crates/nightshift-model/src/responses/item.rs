//! One message of a conversation as items of the Responses API.

use std::collections::HashMap;

use async_trait::async_trait;
use nightshift_protocol::{AssistantBlock, Image, Message, ResultPart, ToolResult, UserPart};
use serde_json::{Map, Value, json};

use super::actions;
use crate::fragment::{Fragment, Pictures, Translate, json_of};
use crate::openai::MAX_IMAGE_BYTES;
use crate::{ImageSource, Unsendable};

/// One transparent pixel as PNG: the picture of a call that never came to one. The words behind it say so.
const NO_PICTURE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// Items of the Responses API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Items;

#[async_trait]
impl Translate for Items {
    async fn translate(
        &self,
        before: Option<&Message>,
        message: &Message,
        index: usize,
        images: &dyn ImageSource,
    ) -> Result<Fragment, Unsendable> {
        let mut pictures = Pictures::default();
        let items = match message {
            Message::Assistant { blocks, verbatim } => match verbatim.get("output").and_then(Value::as_array)
            {
                Some(output) => going_back(output),
                // Not an answer of this provider. Reasoning cannot be rebuilt: it is sealed.
                None => blocks.iter().filter_map(rebuilt).collect(),
            },
            Message::User { content } => user(before, content, images, &mut pictures).await?,
        };
        if items.is_empty() && matches!(message, Message::User { .. }) {
            return Err(Unsendable::EmptyMessage { index });
        }
        // An answer without anything in it is not worth an item, but the list wants one.
        let items = if items.is_empty() { vec![says("assistant", "(no answer)")] } else { items };
        let json: Vec<String> = items.iter().map(json_of).collect();
        Ok(Fragment { json: json.join(",").into(), mark_at: None, pictures })
    }
}

/// What of an answer goes back. Reasoning that was not sealed would be looked up at the provider, which keeps nothing; a server
/// that seals nothing may have it in clear. Reasoning behind which nothing came is refused, as in an answer that was cut. Calls and
/// words may stand without the reasoning that led to them, as nothing is kept.
fn going_back(output: &[Value]) -> Vec<Value> {
    let is_reasoning = |item: &Value| item["type"] == "reasoning";
    let is_there = |item: &Value| {
        item["encrypted_content"].as_str().is_some_and(|sealed| !sealed.is_empty())
            || item["content"].as_array().is_some_and(|clear| !clear.is_empty())
    };
    let mut items: Vec<Value> =
        output.iter().filter(|item| !is_reasoning(item) || is_there(item)).cloned().collect();
    while items.last().is_some_and(is_reasoning) {
        items.pop();
    }
    items
}

fn says(role: &str, text: &str) -> Value {
    json!({"role": role, "content": text})
}

fn rebuilt(block: &AssistantBlock) -> Option<Value> {
    match block {
        AssistantBlock::Text { text } if !text.trim().is_empty() => Some(says("assistant", text)),
        AssistantBlock::ToolCall { call } => {
            let arguments = call.malformed.clone().unwrap_or_else(|| call.input.to_string());
            Some(
                json!({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}),
            )
        }
        AssistantBlock::Text { .. } | AssistantBlock::Thinking { .. } | AssistantBlock::Unknown { .. } => {
            None
        }
    }
}

/// The screen's answers, the other results, then everything else as one message.
async fn user(
    before: Option<&Message>,
    parts: &[UserPart],
    images: &dyn ImageSource,
    pictures: &mut Pictures,
) -> Result<Vec<Value>, Unsendable> {
    let mut results: HashMap<&str, &ToolResult> = HashMap::new();
    for part in parts {
        if let UserPart::ToolResult { result } = part {
            results.insert(&result.call, result);
        }
    }
    let (mut items, mut content) = (Vec::new(), Vec::new());
    for call in screen_calls(before) {
        let id = call.get("call_id").and_then(Value::as_str).unwrap_or_default();
        // All there are, also where another version made more or fewer calls of the same actions.
        let results = (1..).map_while(|index| results.remove(actions::id(id, index).as_str()));
        let (output, words) = screen_output(call, results.collect(), images, pictures).await?;
        items.push(output);
        content.push(json!({"type": "input_text", "text": words}));
    }
    for part in parts {
        match part {
            UserPart::ToolResult { result } if results.contains_key(result.call.as_str()) => {
                items.push(function_output(result, images, pictures).await?);
            }
            UserPart::Text { text } if !text.trim().is_empty() => {
                content.push(json!({"type": "input_text", "text": text}));
            }
            UserPart::Image { image } => content.push(input_image(image, images, pictures).await?),
            UserPart::Text { .. } | UserPart::ToolResult { .. } => {}
        }
    }
    if !content.is_empty() {
        items.push(json!({"role": "user", "content": content}));
    }
    Ok(items)
}

/// The calls of the trained computer tool in an answer.
fn screen_calls(before: Option<&Message>) -> impl Iterator<Item = &Map<String, Value>> {
    let output = match before {
        Some(Message::Assistant { verbatim, .. }) => verbatim.get("output").and_then(Value::as_array),
        _ => None,
    };
    let items = output.into_iter().flatten().filter_map(Value::as_object);
    items.filter(|item| item.get("type").and_then(Value::as_str) == Some("computer_call"))
}

/// The one answer to all actions of a call: the newest picture; and what its steps said, which has no place in it.
async fn screen_output(
    call: &Map<String, Value>,
    results: Vec<&ToolResult>,
    images: &dyn ImageSource,
    pictures: &mut Pictures,
) -> Result<(Value, String), Unsendable> {
    let id = call.get("call_id").and_then(Value::as_str).unwrap_or_default();
    let (mut newest, mut words) = (None, Vec::new());
    for (number, result) in (1..).zip(&results) {
        for part in &result.content {
            match part {
                ResultPart::Text { text } if !text.trim().is_empty() => {
                    words.push(format!("action {number}: {}", text.trim()));
                }
                ResultPart::Text { .. } => {}
                ResultPart::Image { image } => newest = Some(image),
            }
        }
    }
    let url = match newest {
        Some(image) => data_url(image, images, pictures).await?,
        None => {
            words.push("there is no picture of the screen".to_owned());
            NO_PICTURE.to_owned()
        }
    };
    let mut output = json!({
        "type": "computer_call_output",
        "call_id": id,
        "output": {"type": "computer_screenshot", "image_url": url},
    });
    let checks =
        call.get("pending_safety_checks").and_then(Value::as_array).filter(|checks| !checks.is_empty());
    if let Some(checks) = checks {
        output["acknowledged_safety_checks"] = json!(checks);
    }
    Ok((output, format!("Note from Nightshift on the screen's call {id}: {}", words.join("\n"))))
}

async fn function_output(
    result: &ToolResult,
    images: &dyn ImageSource,
    pictures: &mut Pictures,
) -> Result<Value, Unsendable> {
    let mut parts = Vec::new();
    for part in &result.content {
        match part {
            ResultPart::Text { text } if !text.trim().is_empty() => {
                parts.push(json!({"type": "input_text", "text": text}));
            }
            ResultPart::Text { .. } => {}
            ResultPart::Image { image } => parts.push(input_image(image, images, pictures).await?),
        }
    }
    let output = match parts.as_slice() {
        [] => json!("(no output)"),
        [only] if only["type"] == "input_text" => only["text"].clone(),
        _ => Value::Array(parts),
    };
    Ok(json!({"type": "function_call_output", "call_id": result.call, "output": output}))
}

async fn input_image(
    image: &Image,
    images: &dyn ImageSource,
    pictures: &mut Pictures,
) -> Result<Value, Unsendable> {
    // `original`: a screen that was scaled down would be clicked beside the mark.
    let url = data_url(image, images, pictures).await?;
    Ok(json!({"type": "input_image", "image_url": url, "detail": "original"}))
}

async fn data_url(
    image: &Image,
    images: &dyn ImageSource,
    pictures: &mut Pictures,
) -> Result<String, Unsendable> {
    let data = pictures.read(image, images, MAX_IMAGE_BYTES).await?;
    Ok(format!("data:{};base64,{data}", image.media_type))
}

#[cfg(test)]
#[path = "item_tests.rs"]
mod tests;
