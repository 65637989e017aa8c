//! One message of a conversation in the form of the Messages API.

use std::collections::HashMap;

use async_trait::async_trait;
use nightshift_protocol::{
    AssistantBlock, Image, Message, ResultPart, ToolCall, ToolOutcome, ToolResult, UserPart,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::names::INVALID_JSON;
use crate::fragment::{Fragment, Pictures, Translate, json_of};
use crate::{ImageSource, Unsendable};

/// The most bytes of one picture in base 64 that the provider takes (documentation, "Images and vision").
const MAX_IMAGE_BYTES: usize = 5 * 1024 * 1024;

/// Stands where an answer has no content, because the provider takes no empty message. A model that says nothing at
/// all is rare, and the conversation has to go on.
const NO_CONTENT: &str = "(no answer)";

/// Messages of the Messages API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessagesForm;

#[async_trait]
impl Translate for MessagesForm {
    async fn translate(
        &self,
        before: Option<&Message>,
        message: &Message,
        index: usize,
        images: &dyn ImageSource,
    ) -> Result<Fragment, Unsendable> {
        translate(before, message, index, images).await
    }
}

async fn translate(
    before: Option<&Message>,
    message: &Message,
    index: usize,
    images: &dyn ImageSource,
) -> Result<Fragment, Unsendable> {
    match message {
        Message::Assistant { blocks, verbatim } => {
            let mut content: Vec<Value> = match verbatim {
                Value::Array(blocks) => {
                    blocks.iter().filter(|block| !is_blank_text(block)).cloned().collect()
                }
                // Not an answer of this provider.
                _ => blocks.iter().filter_map(rebuilt).collect(),
            };
            // An answer that was cut while its model thought ends so, and the provider takes none back that does.
            while content.last().is_some_and(is_thinking) {
                content.pop();
            }
            if content.is_empty() {
                content.push(json!({"type": "text", "text": NO_CONTENT}));
            }
            let json = json!({"role": "assistant", "content": content}).to_string();
            Ok(Fragment { json: json.into(), mark_at: None, pictures: Pictures::default() })
        }
        Message::User { content } => {
            let toolsets = before.map(toolsets).unwrap_or_default();
            let mut blocks = Blocks { images, written: Vec::new(), pictures: Pictures::default() };
            blocks.user(content, &toolsets).await?;
            if blocks.written.is_empty() {
                return Err(Unsendable::EmptyMessage { index });
            }
            let json = json_of(&WireMessage { role: "user", content: &blocks.written });
            // The message ends with the last block's brace, the list's bracket and its own brace.
            Ok(Fragment {
                mark_at: Some(json.len() - "}]}".len()),
                json: json.into(),
                pictures: blocks.pictures,
            })
        }
    }
}

/// A block of a user's message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    ToolResult {
        tool_use_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        toolset_name: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "base64")]
struct Source<'a> {
    media_type: &'a str,
    data: String,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: &'a [Block<'a>],
}

struct Blocks<'a> {
    images: &'a dyn ImageSource,
    written: Vec<Block<'a>>,
    pictures: Pictures,
}

impl<'a> Blocks<'a> {
    async fn user(
        &mut self,
        parts: &'a [UserPart],
        toolsets: &HashMap<&str, &'a str>,
    ) -> Result<(), Unsendable> {
        // The provider wants all results before anything else.
        let mut behind_results = Vec::new();
        for part in parts {
            let UserPart::ToolResult { result } = part else { continue };
            let (content, displaced) = self.result_content(result).await?;
            behind_results.extend(displaced);
            self.written.push(Block::ToolResult {
                tool_use_id: &result.call,
                toolset_name: toolsets.get(result.call.as_str()).copied(),
                content,
                is_error: result.outcome == ToolOutcome::Failed,
            });
        }
        self.written.append(&mut behind_results);
        for part in parts {
            match part {
                UserPart::Text { text } if !text.trim().is_empty() => self.written.push(Block::Text { text }),
                UserPart::Image { image } => {
                    let block = self.image(image).await?;
                    self.written.push(block);
                }
                UserPart::Text { .. } | UserPart::ToolResult { .. } => {}
            }
        }
        Ok(())
    }

    /// The content of a result, and the pictures it may not hold: the result of a failed call is text alone, so its
    /// pictures go behind the results.
    async fn result_content(
        &mut self,
        result: &'a ToolResult,
    ) -> Result<(Vec<Block<'a>>, Vec<Block<'a>>), Unsendable> {
        let (mut content, mut displaced) = (Vec::new(), Vec::new());
        for part in &result.content {
            match part {
                ResultPart::Text { text } if !text.trim().is_empty() => content.push(Block::Text { text }),
                ResultPart::Text { .. } => {}
                ResultPart::Image { image } => {
                    let block = self.image(image).await?;
                    match result.outcome {
                        ToolOutcome::Done => content.push(block),
                        ToolOutcome::Failed => displaced.push(block),
                    }
                }
            }
        }
        Ok((content, displaced))
    }

    async fn image(&mut self, image: &'a Image) -> Result<Block<'a>, Unsendable> {
        let data = self.pictures.read(image, self.images, MAX_IMAGE_BYTES).await?;
        Ok(Block::Image { source: Source { media_type: &image.media_type, data } })
    }
}

/// The toolset of each call in an answer that is a toolset's member; its result has to name it.
fn toolsets(message: &Message) -> HashMap<&str, &str> {
    let Message::Assistant { verbatim: Value::Array(blocks), .. } = message else { return HashMap::new() };
    blocks
        .iter()
        .filter_map(|block| Some((block.get("id")?.as_str()?, block.get("toolset_name")?.as_str()?)))
        .collect()
}

/// Models do at times answer with an empty text, which the provider then refuses to take back.
fn is_blank_text(block: &Value) -> bool {
    block.get("type").and_then(Value::as_str) == Some("text")
        && block.get("text").and_then(Value::as_str).is_none_or(|text| text.trim().is_empty())
}

fn is_thinking(block: &Value) -> bool {
    matches!(block.get("type").and_then(Value::as_str), Some("thinking" | "redacted_thinking"))
}

/// A block of an answer whose verbatim content is not this provider's. Reasoning cannot be rebuilt: it is signed.
fn rebuilt(block: &AssistantBlock) -> Option<Value> {
    match block {
        AssistantBlock::Text { text } if !text.trim().is_empty() => {
            Some(json!({"type": "text", "text": text}))
        }
        AssistantBlock::ToolCall { call } => Some(rebuilt_call(call)),
        AssistantBlock::Text { .. } | AssistantBlock::Thinking { .. } | AssistantBlock::Unknown { .. } => {
            None
        }
    }
}

fn rebuilt_call(call: &ToolCall) -> Value {
    let input = match (&call.malformed, &call.input) {
        (Some(text), _) => json!({INVALID_JSON: text}),
        (None, Value::Object(input)) => Value::Object(input.clone()),
        (None, _) => Value::Object(Map::new()),
    };
    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
