//! The rules of the Messages API that a request may break.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize as _;
use serde_json::Value;

use super::answer::signature;
use super::picture;
use super::wire::{Block, ImageSource, Message, Request, Role, Tool};

/// The members of `computer_toolset_20260801`.
pub(super) const COMPUTER_MEMBERS: [&str; 17] = [
    "key",
    "hold_key",
    "type",
    "cursor_position",
    "mouse_move",
    "left_mouse_down",
    "left_mouse_up",
    "left_click",
    "left_click_drag",
    "right_click",
    "middle_click",
    "double_click",
    "triple_click",
    "scroll",
    "wait",
    "screenshot",
    "zoom",
];

const MAX_IMAGES: usize = 100;
const MANY_IMAGES: usize = 20;
const MAX_EDGE: u32 = 8000;
const MAX_EDGE_OF_MANY: u32 = 2000;
const MAX_IMAGE_BYTES: usize = 5 * 1024 * 1024;
const MAX_CACHE_MARKS: usize = 4;

/// A rule that a request breaks, as the provider would say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breach(pub(super) String);

/// What a request that keeps the rules holds, as far as the answer depends on it.
#[derive(Debug)]
pub(super) struct Checked {
    /// How many answers there are already.
    pub(super) answers: usize,
    /// The decoded bytes of the newest picture.
    pub(super) newest_image: Option<Vec<u8>>,
}

/// Reads a body, with the place of what it does not understand.
pub(super) fn read(body: &Value) -> Result<Request, Breach> {
    for removed in ["temperature", "top_p", "top_k"] {
        if body.get(removed).is_some() {
            return Err(Breach(format!("{removed}: not supported by anthropic-version 2026-10-21")));
        }
    }
    // Message by message first, only for the place in the error.
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, message) in messages.iter().enumerate() {
        Message::deserialize(message).map_err(|error| Breach(format!("messages.{index}: {error}")))?;
    }
    Request::deserialize(body).map_err(|error| Breach(error.to_string()))
}

/// Checks a request against the rules.
pub(super) fn check(request: &Request) -> Result<Checked, Breach> {
    if !request.stream {
        return breach("stream: this server only streams");
    }
    if request.max_tokens == 0 {
        return breach("max_tokens: must be at least 1");
    }
    let marks = count_cache_marks(request);
    if marks > MAX_CACHE_MARKS {
        return Err(Breach(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {marks}."
        )));
    }
    check_tools(&request.tools)?;
    if request.system.iter().any(|block| !matches!(block, Block::Text { .. })) {
        return breach("system: only text blocks are allowed");
    }
    check_texts(&request.system, "system")?;
    check_roles(&request.messages)?;
    let mut images = Images::default();
    let mut calls = HashMap::new();
    for (index, message) in request.messages.iter().enumerate() {
        let place = format!("messages.{index}");
        match message.role {
            Role::User => {
                check_results(&message.content, &std::mem::take(&mut calls), &place)?;
                check_texts(&message.content, &place)?;
                images.take(&message.content, &place)?;
            }
            Role::Assistant => {
                check_texts(&message.content, &place)?;
                calls = check_answer(&message.content, &place)?;
            }
        }
    }
    let newest_image = images.check()?;
    let answers = request.messages.iter().filter(|message| message.role == Role::Assistant).count();
    Ok(Checked { answers, newest_image })
}

fn breach<T>(message: &str) -> Result<T, Breach> {
    Err(Breach(message.to_owned()))
}

fn check_tools(tools: &[Tool]) -> Result<(), Breach> {
    let mut names = HashSet::new();
    for (index, tool) in tools.iter().enumerate() {
        let name = match tool {
            Tool::Function(function) => {
                let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
                if !(1..=128).contains(&function.name.len()) || !function.name.bytes().all(good) {
                    return Err(Breach(format!(
                        "tools.{index}.name: \"{}\" is no name of a tool",
                        function.name
                    )));
                }
                if function.input_schema.get("type").and_then(Value::as_str) != Some("object") {
                    return Err(Breach(format!("tools.{index}.input_schema.type: has to be \"object\"")));
                }
                if function.kind.as_deref().is_some_and(|kind| kind != "custom") {
                    return Err(Breach(format!("tools.{index}.type: unknown")));
                }
                function.name.as_str()
            }
            Tool::Computer(toolset) => {
                let members = toolset.configs.iter().flatten();
                if let Some((member, _)) =
                    members.into_iter().find(|(name, _)| !COMPUTER_MEMBERS.contains(&name.as_str()))
                {
                    return Err(Breach(format!(
                        "tools.{index}.configs.{member}: no member of {}",
                        toolset.kind
                    )));
                }
                "computer"
            }
            Tool::Trained(trained) => {
                let name = match trained.kind.as_str() {
                    "bash_20250124" => "bash",
                    "text_editor_20250728" => "str_replace_based_edit_tool",
                    _ => "computer",
                };
                if trained.name != name {
                    return Err(Breach(format!("tools.{index}.name: has to be \"{name}\"")));
                }
                name
            }
            Tool::Unknown(kind) => return Err(Breach(unknown_tool(index, kind))),
        };
        if !names.insert(name) {
            return Err(Breach(format!("tools: Tool names must be unique, \"{name}\" is not.")));
        }
    }
    Ok(())
}

/// The provider's words for a type of tool that the model does not know.
pub(super) fn unknown_tool(index: usize, kind: &str) -> String {
    format!("tools.{index}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
}

fn check_roles(messages: &[Message]) -> Result<(), Breach> {
    for (index, message) in messages.iter().enumerate() {
        let expected = if index % 2 == 0 { Role::User } else { Role::Assistant };
        if message.role != expected {
            return Err(Breach(format!("messages.{index}: roles must alternate, beginning with \"user\"")));
        }
        if message.content.is_empty() {
            return Err(Breach(format!("messages.{index}: must have non-empty content")));
        }
    }
    match messages.last().map(|message| message.role) {
        Some(Role::User) => Ok(()),
        Some(Role::Assistant) => breach("This model does not support assistant message prefill."),
        None => breach("messages: at least one message is required"),
    }
}

fn check_texts(blocks: &[Block], place: &str) -> Result<(), Breach> {
    for (index, block) in blocks.iter().enumerate() {
        match block {
            Block::Text { text, .. } if text.trim().is_empty() => {
                return Err(Breach(format!(
                    "{place}.content.{index}: text content blocks must be non-empty"
                )));
            }
            Block::ToolResult { content, .. } => check_texts(content, &format!("{place}.content.{index}"))?,
            _ => {}
        }
    }
    Ok(())
}

/// Checks an answer that came back; gives its calls by id, with the toolset each belongs to.
fn check_answer(blocks: &[Block], place: &str) -> Result<HashMap<String, Option<String>>, Breach> {
    let mut calls = HashMap::new();
    for (index, block) in blocks.iter().enumerate() {
        match block {
            Block::Thinking { thinking, signature: signed } if *signed != signature(thinking) => {
                return Err(Breach(format!(
                    "{place}.content.{index}: Invalid `signature` in `thinking` block"
                )));
            }
            Block::ToolUse { id, toolset_name, .. } => {
                if calls.insert(id.clone(), toolset_name.clone()).is_some() {
                    return Err(Breach(format!("{place}.content.{index}: `tool_use` ids must be unique")));
                }
            }
            Block::Image { .. } | Block::ToolResult { .. } => {
                return Err(Breach(format!("{place}.content.{index}: no block of an assistant's message")));
            }
            Block::Text { .. } | Block::Thinking { .. } | Block::RedactedThinking { .. } => {}
        }
    }
    // OpenAI has other words for the same: a reasoning item wants the item that followed it.
    if let Some(Block::Thinking { .. } | Block::RedactedThinking { .. }) = blocks.last() {
        return Err(Breach(format!(
            "{place}: The final block in an assistant message cannot be `thinking`."
        )));
    }
    Ok(calls)
}

/// Checks that a message answers each call of the message before it once, and first of all.
fn check_results(
    blocks: &[Block],
    calls: &HashMap<String, Option<String>>,
    place: &str,
) -> Result<(), Breach> {
    let mut open: HashSet<&str> = calls.keys().map(String::as_str).collect();
    let mut results_ended = false;
    for (index, block) in blocks.iter().enumerate() {
        let place = format!("{place}.content.{index}");
        let Block::ToolResult { tool_use_id, content, is_error, toolset_name, .. } = block else {
            results_ended = true;
            if matches!(
                block,
                Block::ToolUse { .. } | Block::Thinking { .. } | Block::RedactedThinking { .. }
            ) {
                return Err(Breach(format!("{place}: no block of a user's message")));
            }
            continue;
        };
        let Some(toolset) = calls.get(tool_use_id) else {
            return Err(Breach(format!(
                "{place}: unexpected `tool_use_id` found in `tool_result` blocks: {tool_use_id}"
            )));
        };
        if !open.remove(tool_use_id.as_str()) {
            return Err(Breach(format!(
                "{place}: each tool_use must have a single result, {tool_use_id} has more"
            )));
        }
        if results_ended {
            return Err(Breach(format!("{place}: `tool_result` blocks have to come before all others")));
        }
        if toolset_name != toolset {
            return Err(Breach(format!(
                "{place}.toolset_name: {toolset_name:?} answers a call of {toolset:?}"
            )));
        }
        for (index, part) in content.iter().enumerate() {
            match part {
                Block::Text { .. } => {}
                Block::Image { .. } if !is_error => {}
                Block::Image { .. } => {
                    return Err(Breach(format!(
                        "{place}: all content must be type `text` if `is_error` is true"
                    )));
                }
                _ => return Err(Breach(format!("{place}.content.{index}: no block of a result"))),
            }
        }
    }
    let mut missing: Vec<&str> = open.into_iter().collect();
    missing.sort_unstable();
    match missing[..] {
        [] => Ok(()),
        _ => Err(Breach(format!(
            "{place}: `tool_use` ids were found without `tool_result` blocks immediately after: {}",
            missing.join(", ")
        ))),
    }
}

#[derive(Default)]
struct Images {
    /// Longer edge and place of each.
    edges: Vec<(u32, String)>,
    newest: Option<Vec<u8>>,
}

impl Images {
    fn take(&mut self, blocks: &[Block], place: &str) -> Result<(), Breach> {
        for (index, block) in blocks.iter().enumerate() {
            let place = format!("{place}.content.{index}");
            match block {
                Block::Image { source: ImageSource::Base64 { media_type, data }, .. } => {
                    self.take_image(media_type, data, place)?;
                }
                Block::ToolResult { content, .. } => self.take(content, &place)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn take_image(&mut self, media_type: &str, data: &str, place: String) -> Result<(), Breach> {
        if data.len() > MAX_IMAGE_BYTES {
            let bytes = data.len();
            return Err(Breach(format!(
                "{place}: image exceeds 5 MB maximum: {bytes} bytes > {MAX_IMAGE_BYTES} bytes"
            )));
        }
        let bytes =
            BASE64.decode(data).map_err(|error| Breach(format!("{place}: invalid base64 data: {error}")))?;
        let Some(header) = picture::header(&bytes) else {
            return Err(Breach(format!("{place}: Could not process image")));
        };
        if header.media_type != media_type {
            let is = header.media_type;
            return Err(Breach(format!(
                "{place}: the media type is said to be {media_type}, but the image is {is}"
            )));
        }
        self.edges.push((header.width.max(header.height), place));
        self.newest = Some(bytes);
        Ok(())
    }

    fn check(self) -> Result<Option<Vec<u8>>, Breach> {
        let count = self.edges.len();
        if count > MAX_IMAGES {
            return Err(Breach(format!("too many images: {count} > {MAX_IMAGES}")));
        }
        let limit = if count > MANY_IMAGES { MAX_EDGE_OF_MANY } else { MAX_EDGE };
        match self.edges.iter().find(|(edge, _)| *edge > limit) {
            Some((edge, place)) => {
                Err(Breach(format!("{place}: image dimensions exceed the maximum of {limit} pixels: {edge}")))
            }
            None => Ok(self.newest),
        }
    }
}

fn count_cache_marks(request: &Request) -> usize {
    let tools = request.tools.iter().filter(|tool| tool.has_cache_mark()).count();
    let messages: usize = request.messages.iter().map(|message| marks_in(&message.content)).sum();
    usize::from(request.cache_control.is_some()) + tools + marks_in(&request.system) + messages
}

fn marks_in(blocks: &[Block]) -> usize {
    let marks = |block: &Block| match block {
        Block::ToolResult { content, .. } => usize::from(block.has_cache_mark()) + marks_in(content),
        _ => usize::from(block.has_cache_mark()),
    };
    blocks.iter().map(marks).sum()
}

#[cfg(test)]
#[path = "police_tests.rs"]
mod tests;
