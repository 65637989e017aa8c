//! One message of a conversation as messages of the Chat Completions API.

use async_trait::async_trait;
use nightshift_protocol::{AssistantBlock, Image, Message, ResultPart, UserPart};
use serde_json::{Map, Value, json};

use crate::fragment::{Fragment, Pictures, Translate, json_of};
use crate::json::parsed;
use crate::openai::MAX_IMAGE_BYTES;
use crate::{ImageSource, Unsendable};

/// Stands for a picture that the model cannot read.
const LEFT_OUT: &str = "(a picture is left out: this model reads none)";

/// What a model is shown of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The pictures.
    Pictures,
    /// A line of words for each.
    Words,
}

/// Messages of the Chat Completions API.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChatForm(pub(super) Shown);

#[async_trait]
impl Translate for ChatForm {
    async fn translate(
        &self,
        _before: Option<&Message>,
        message: &Message,
        index: usize,
        images: &dyn ImageSource,
    ) -> Result<Fragment, Unsendable> {
        let mut pictures = Pictures::default();
        let messages = match message {
            Message::Assistant { blocks, verbatim } => vec![assistant(blocks, verbatim)],
            Message::User { content } => self.user(content, images, &mut pictures).await?,
        };
        if messages.is_empty() {
            return Err(Unsendable::EmptyMessage { index });
        }
        let json: Vec<String> = messages.iter().map(json_of).collect();
        Ok(Fragment { json: json.join(",").into(), mark_at: None, pictures })
    }
}

impl ChatForm {
    /// A message for each result, then everything else as one; a result is words alone, so its pictures come behind.
    async fn user(
        &self,
        parts: &[UserPart],
        images: &dyn ImageSource,
        pictures: &mut Pictures,
    ) -> Result<Vec<Value>, Unsendable> {
        let (mut messages, mut content) = (Vec::new(), Vec::new());
        for part in parts {
            let UserPart::ToolResult { result } = part else { continue };
            let mut words = Vec::new();
            for part in &result.content {
                match part {
                    ResultPart::Text { text } if !text.trim().is_empty() => words.push(text.as_str()),
                    ResultPart::Text { .. } => {}
                    ResultPart::Image { .. } if self.0 == Shown::Words => words.push(LEFT_OUT),
                    ResultPart::Image { image } => {
                        content.push(
                            json!({"type": "text", "text": format!("The picture of {}:", result.call)}),
                        );
                        content.push(image_url(image, images, pictures).await?);
                    }
                }
            }
            let words = if words.is_empty() { "(no output)".to_owned() } else { words.join("\n") };
            messages.push(json!({"role": "tool", "tool_call_id": result.call, "content": words}));
        }
        for part in parts {
            match part {
                UserPart::Text { text } if !text.trim().is_empty() => {
                    content.push(json!({"type": "text", "text": text}));
                }
                UserPart::Image { .. } if self.0 == Shown::Words => {
                    content.push(json!({"type": "text", "text": LEFT_OUT}));
                }
                UserPart::Image { image } => content.push(image_url(image, images, pictures).await?),
                UserPart::Text { .. } | UserPart::ToolResult { .. } => {}
            }
        }
        match content.as_slice() {
            [] => {}
            // Not every server takes a list where words alone would do.
            [only] if only["type"] == "text" => {
                messages.push(json!({"role": "user", "content": only["text"]}))
            }
            _ => messages.push(json!({"role": "user", "content": content})),
        }
        Ok(messages)
    }
}

async fn image_url(
    image: &Image,
    images: &dyn ImageSource,
    pictures: &mut Pictures,
) -> Result<Value, Unsendable> {
    let data = pictures.read(image, images, MAX_IMAGE_BYTES).await?;
    Ok(json!({"type": "image_url", "image_url": {"url": format!("data:{};base64,{data}", image.media_type)}}))
}

/// An answer as it goes back: what the API names, in the words the server sent. Reasoning stays out, because some
/// servers refuse it.
fn assistant(blocks: &[AssistantBlock], verbatim: &Value) -> Value {
    let mut message = Map::from_iter([("role".to_owned(), json!("assistant"))]);
    let is_own = verbatim.get("role").is_some_and(|role| role == "assistant");
    let calls: Vec<Value> = if is_own {
        verbatim.get("tool_calls").and_then(Value::as_array).cloned().unwrap_or_default()
    } else {
        blocks.iter().filter_map(rebuilt_call).collect()
    };
    let words = match verbatim.get("content").filter(|_| is_own) {
        Some(Value::String(text)) => text.clone(),
        _ => blocks.iter().filter_map(said).collect::<Vec<_>>().join("\n"),
    };
    if !words.trim().is_empty() {
        message.insert("content".to_owned(), json!(words));
    } else if calls.is_empty() {
        message.insert("content".to_owned(), json!("(no answer)"));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into_iter().map(with_valid_arguments).collect());
    }
    Value::Object(message)
}

fn said(block: &AssistantBlock) -> Option<&str> {
    match block {
        AssistantBlock::Text { text } => Some(text),
        AssistantBlock::Thinking { .. }
        | AssistantBlock::ToolCall { .. }
        | AssistantBlock::Unknown { .. } => None,
    }
}

fn rebuilt_call(block: &AssistantBlock) -> Option<Value> {
    let AssistantBlock::ToolCall { call } = block else { return None };
    let arguments = call.malformed.clone().unwrap_or_else(|| call.input.to_string());
    Some(json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}))
}

/// Servers parse the arguments of earlier calls, and fail at those that are no JSON.
fn with_valid_arguments(mut call: Value) -> Value {
    let Some(arguments) = call.pointer_mut("/function/arguments") else { return call };
    let text = arguments.as_str().unwrap_or_default();
    if text.trim().is_empty() {
        *arguments = json!("{}");
    } else if !parsed(text.as_bytes()).is_some_and(|input| input.is_object()) {
        *arguments = json!(json!({ "INVALID_JSON": text }).to_string());
    }
    call
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
