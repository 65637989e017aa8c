//! One message of a conversation as JSON for the provider, made once and remembered.
//!
//! A conversation is sent whole with every turn and only grows at its end, so a message is translated when it is
//! first seen and found again by its `Arc`. What differs from turn to turn, the cache mark on the newest messages,
//! is put in at a place that the fragment remembers.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use nightshift_protocol::{
    ArtifactId, AssistantBlock, Image, Message, ResultPart, ToolCall, ToolOutcome, ToolResult, UserPart,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::names::INVALID_JSON;
use crate::{ImageSource, Unsendable};

/// The most bytes of one picture in base 64 that the provider takes (documentation, "Images and vision").
const MAX_IMAGE_BYTES: usize = 5 * 1024 * 1024;

/// Stands where an answer has no content, because the provider takes no empty message. A model that says nothing at
/// all is rare, and the conversation has to go on.
const NO_CONTENT: &str = "(no answer)";

/// A message as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub(crate) json: Bytes,
    /// Where a cache mark may be put in: behind the last field of the last block. `None` in answers.
    pub(crate) mark_at: Option<usize>,
    /// How many pictures are in it.
    pub(crate) images: usize,
    /// The picture with the longest edge, and that edge in pixels.
    pub(crate) longest: Option<(ArtifactId, u32)>,
}

/// Fragments by the identity of their messages.
///
/// The key is the address of the message and of the one before it, because results are written in the form of the
/// calls they answer. A kept `Weak` keeps the address from being used again, so an address in the map means what it
/// meant when it was put in.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    kept: HashMap<(usize, usize), Kept>,
}

#[derive(Debug)]
struct Kept {
    message: Weak<Message>,
    /// Only kept for its address.
    _before: Option<Weak<Message>>,
    fragment: Fragment,
}

impl Fragments {
    pub(crate) fn get(&self, before: Option<&Arc<Message>>, message: &Arc<Message>) -> Option<Fragment> {
        self.kept.get(&addresses(before, message)).map(|kept| kept.fragment.clone())
    }

    pub(crate) fn put(&mut self, before: Option<&Arc<Message>>, message: &Arc<Message>, fragment: Fragment) {
        let kept = Kept { message: Arc::downgrade(message), _before: before.map(Arc::downgrade), fragment };
        self.kept.insert(addresses(before, message), kept);
    }

    /// Forgets the messages that nobody has any more.
    pub(crate) fn forget_dropped(&mut self) {
        self.kept.retain(|_, kept| kept.message.strong_count() > 0);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}

fn addresses(before: Option<&Arc<Message>>, message: &Arc<Message>) -> (usize, usize) {
    let address = |message: &Arc<Message>| Arc::as_ptr(message).addr();
    (before.map_or(0, address), address(message))
}

/// Translates a message; `before` is the one before it in the conversation, `index` its place, for errors.
pub(crate) async fn translate(
    before: Option<&Message>,
    message: &Message,
    index: usize,
    images: &dyn ImageSource,
) -> Result<Fragment, Unsendable> {
    match message {
        Message::Assistant { blocks, verbatim } => {
            let content = match verbatim {
                Value::Array(blocks) => {
                    blocks.iter().filter(|block| !is_blank_text(block)).cloned().collect()
                }
                // Not an answer of this provider.
                _ => blocks.iter().filter_map(rebuilt).collect::<Vec<_>>(),
            };
            let content =
                if content.is_empty() { vec![json!({"type": "text", "text": NO_CONTENT})] } else { content };
            let json = json!({"role": "assistant", "content": content}).to_string();
            Ok(Fragment { json: json.into(), mark_at: None, images: 0, longest: None })
        }
        Message::User { content } => {
            let toolsets = before.map(toolsets).unwrap_or_default();
            let mut blocks = Blocks { images, written: Vec::new(), count: 0, longest: None };
            blocks.user(content, &toolsets).await?;
            if blocks.written.is_empty() {
                return Err(Unsendable::EmptyMessage { index });
            }
            let json = json_of(&WireMessage { role: "user", content: &blocks.written });
            // The message ends with the last block's brace, the list's bracket and its own brace.
            Ok(Fragment {
                mark_at: Some(json.len() - "}]}".len()),
                json: json.into(),
                images: blocks.count,
                longest: blocks.longest,
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

/// Serialisation of these types cannot fail: they have no maps with keys that are not text.
pub(crate) fn json_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

struct Blocks<'a> {
    images: &'a dyn ImageSource,
    written: Vec<Block<'a>>,
    count: usize,
    longest: Option<(ArtifactId, u32)>,
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
        let artifact = || image.artifact.clone();
        let bytes = self
            .images
            .read(image)
            .await
            .map_err(|source| Unsendable::ImageUnreadable { artifact: artifact(), source })?;
        let data = BASE64.encode(&bytes);
        if data.len() > MAX_IMAGE_BYTES {
            return Err(Unsendable::ImageTooHeavy {
                artifact: artifact(),
                bytes: data.len(),
                limit: MAX_IMAGE_BYTES,
            });
        }
        self.count += 1;
        let edge = image.width.max(image.height);
        if self.longest.as_ref().is_none_or(|(_, longest)| edge > *longest) {
            self.longest = Some((artifact(), edge));
        }
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
#[path = "fragment_tests.rs"]
mod tests;
