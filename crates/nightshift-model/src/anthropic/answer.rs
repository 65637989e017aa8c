//! An answer put together from its events. Pure: events in, a turn out.
//!
//! ```text
//!            message_start            content_block_start, _delta, _stop; message_delta          message_stop
//!   Awaited ───────────────▶ Arriving ──────────────────────────────────────────────▶ Arriving ─────────────▶ Whole
//!      └───────────────────────┴── error: the provider reports a fault; the stream ends: it was cut
//! ```
//!
//! The content is rebuilt as an answer without streaming would have brought it, unknown blocks and fields included,
//! because it goes back to the provider untouched.

use std::collections::BTreeMap;

use nightshift_protocol::{AssistantBlock, Message, StopReason, ToolCall, Usage};
use serde_json::{Map, Value};

use super::names::INVALID_JSON;
use super::trained::{our_input, our_name};
use crate::dialect::{Arriving, Broken, Taken, Whole, shown, tokens};
use crate::error::excerpt;
use crate::json::parsed;
use crate::server_sent_events::ServerSentEvent;
use crate::{InvalidAnswer, Progress};

/// An answer that is arriving.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    started: bool,
    model: String,
    blocks: BTreeMap<u64, Block>,
    stop_reason: Option<String>,
    explanation: String,
    usage: Usage,
}

#[derive(Debug)]
struct Block {
    content: Map<String, Value>,
    /// A tool's input as far as it has come; empty where it came whole with the block.
    json: String,
}

impl Arriving for Answer {
    fn take(&mut self, event: &ServerSentEvent) -> Result<Taken, Broken> {
        let data: Value = serde_json::from_str(&event.data)
            .map_err(|_| InvalidAnswer::NotJson { excerpt: excerpt(&event.data, 200) })?;
        let kind = data.get("type").and_then(Value::as_str).unwrap_or(&event.name);
        match kind {
            "message_start" => self.start(&data).map(|()| Taken::Quiet).map_err(Broken::from),
            "error" => Err(Broken::Reported {
                kind: text_at(&data, &["error", "type"]).to_owned(),
                message: excerpt(text_at(&data, &["error", "message"]), 2000),
            }),
            "content_block_start" | "content_block_delta" | "message_delta" | "message_stop"
                if !self.started =>
            {
                Err(InvalidAnswer::OutOfOrder { event: kind.to_owned() }.into())
            }
            "content_block_start" => Ok(self.start_block(&data)?),
            "content_block_delta" => Ok(self.extend_block(&data)?),
            "message_delta" => {
                self.take_message_delta(&data);
                Ok(Taken::Quiet)
            }
            "message_stop" if self.stop_reason.is_none() => {
                Err(InvalidAnswer::OutOfOrder { event: kind.to_owned() }.into())
            }
            "message_stop" => Ok(Taken::Whole),
            // `ping`, `content_block_stop`, and whatever the provider invents: its documentation asks to pass over it.
            _ => Ok(Taken::Quiet),
        }
    }

    fn may_end(&self) -> bool {
        false
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn is_counted(&self) -> bool {
        // The event that says why it stopped has the final figures.
        self.stop_reason.is_some()
    }

    fn finish(self: Box<Self>) -> Whole {
        let (blocks, verbatim) = self.blocks.into_values().map(finish_block).unzip::<_, _, _, Vec<Value>>();
        Whole {
            message: Message::Assistant { blocks, verbatim: Value::Array(verbatim) },
            stop: stop_reason(self.stop_reason.unwrap_or_default(), self.explanation),
            usage: self.usage,
            model: self.model,
        }
    }
}

impl Answer {
    fn start(&mut self, data: &Value) -> Result<(), InvalidAnswer> {
        if std::mem::replace(&mut self.started, true) {
            return Err(InvalidAnswer::OutOfOrder { event: "message_start".to_owned() });
        }
        text_at(data, &["message", "model"]).clone_into(&mut self.model);
        self.take_usage(data.pointer("/message/usage"));
        Ok(())
    }

    fn start_block(&mut self, data: &Value) -> Result<Taken, InvalidAnswer> {
        let missing = |field| InvalidAnswer::MissingField { event: "content_block_start".to_owned(), field };
        let index = data.get("index").and_then(Value::as_u64).ok_or_else(|| missing("index"))?;
        let content =
            data.get("content_block").and_then(Value::as_object).ok_or_else(|| missing("content_block"))?;
        let taken = match content.get("type").and_then(Value::as_str) {
            Some("tool_use") => Taken::Progress(Progress::ToolCallStarted { name: our_name(content) }),
            Some("text") => shown(content.get("text"), Progress::Text),
            Some("thinking") => shown(content.get("thinking"), Progress::Thinking),
            Some(_) => Taken::Quiet,
            None => return Err(missing("content_block.type")),
        };
        let block = Block { content: content.clone(), json: String::new() };
        if self.blocks.insert(index, block).is_some() {
            return Err(InvalidAnswer::OutOfOrder { event: "content_block_start".to_owned() });
        }
        Ok(taken)
    }

    fn extend_block(&mut self, data: &Value) -> Result<Taken, InvalidAnswer> {
        let missing = |field| InvalidAnswer::MissingField { event: "content_block_delta".to_owned(), field };
        let index = data.get("index").and_then(Value::as_u64).ok_or_else(|| missing("index"))?;
        let delta = data.get("delta").and_then(Value::as_object).ok_or_else(|| missing("delta"))?;
        let block = self
            .blocks
            .get_mut(&index)
            .ok_or_else(|| InvalidAnswer::OutOfOrder { event: "content_block_delta".to_owned() })?;
        match delta.get("type").and_then(Value::as_str) {
            Some("text_delta") => {
                append(&mut block.content, "text", delta.get("text"));
                Ok(shown(delta.get("text"), Progress::Text))
            }
            Some("thinking_delta") => {
                append(&mut block.content, "thinking", delta.get("thinking"));
                Ok(shown(delta.get("thinking"), Progress::Thinking))
            }
            Some("input_json_delta") => {
                let part = delta.get("partial_json").and_then(Value::as_str);
                block.json.push_str(part.ok_or_else(|| missing("partial_json"))?);
                Ok(Taken::Quiet)
            }
            Some("signature_delta") => {
                if let Some(signature) = delta.get("signature") {
                    block.content.insert("signature".to_owned(), signature.clone());
                }
                Ok(Taken::Quiet)
            }
            Some("citations_delta") => {
                if let Some(citation) = delta.get("citation") {
                    push(&mut block.content, "citations", citation.clone());
                }
                Ok(Taken::Quiet)
            }
            // A kind of the future: texts grow and everything else is set, which is how all known kinds but one work.
            Some(_) => {
                for (key, value) in delta.iter().filter(|(key, _)| *key != "type") {
                    if value.is_string() {
                        append(&mut block.content, key, Some(value));
                    } else {
                        block.content.insert(key.clone(), value.clone());
                    }
                }
                Ok(Taken::Quiet)
            }
            None => Err(missing("delta.type")),
        }
    }

    fn take_message_delta(&mut self, data: &Value) {
        if let Some(reason) = data.pointer("/delta/stop_reason").and_then(Value::as_str) {
            self.stop_reason = Some(reason.to_owned());
        }
        if let Some(explanation) = data.pointer("/delta/stop_details/explanation").and_then(Value::as_str) {
            explanation.clone_into(&mut self.explanation);
        }
        self.take_usage(data.get("usage"));
    }

    /// Figures are totals of the whole answer, and are left out where they have not changed.
    fn take_usage(&mut self, usage: Option<&Value>) {
        let figure = |path: &str, figure: &mut u64| {
            if let Some(tokens) = tokens(usage, path) {
                *figure = tokens;
            }
        };
        figure("/input_tokens", &mut self.usage.input_tokens);
        figure("/cache_read_input_tokens", &mut self.usage.cache_read_tokens);
        figure("/cache_creation_input_tokens", &mut self.usage.cache_write_tokens);
        figure("/cache_creation/ephemeral_1h_input_tokens", &mut self.usage.cache_write_hour_tokens);
        figure("/output_tokens", &mut self.usage.output_tokens);
    }
}

/// A block as we read it, and as it goes back.
fn finish_block(block: Block) -> (AssistantBlock, Value) {
    let Block { mut content, json } = block;
    let kind = content.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut malformed = None;
    if !json.trim().is_empty() {
        // The provider takes nothing back but objects, so JSON of another kind is as good as none.
        let input = parsed(json.as_bytes()).filter(Value::is_object).unwrap_or_else(|| {
            malformed = Some(json.clone());
            Value::Object(Map::from_iter([(INVALID_JSON.to_owned(), Value::String(json))]))
        });
        content.insert("input".to_owned(), input);
    }
    let text = |field: &str| content.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let read = match kind.as_str() {
        "text" => AssistantBlock::Text { text: text("text") },
        "thinking" => AssistantBlock::Thinking { text: text("thinking") },
        "redacted_thinking" => AssistantBlock::Thinking { text: String::new() },
        "tool_use" => AssistantBlock::ToolCall {
            call: ToolCall {
                id: text("id"),
                name: our_name(&content),
                input: if malformed.is_some() { Value::Null } else { our_input(&content) },
                malformed,
            },
        },
        _ => AssistantBlock::Unknown { kind },
    };
    (read, Value::Object(content))
}

fn stop_reason(reason: String, explanation: String) -> StopReason {
    match reason.as_str() {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "pause_turn" => StopReason::PauseTurn,
        "refusal" => StopReason::Refusal { explanation },
        "model_context_window_exceeded" => StopReason::ContextExceeded,
        _ => StopReason::Other { reason },
    }
}

fn append(content: &mut Map<String, Value>, field: &str, more: Option<&Value>) {
    let Some(more) = more.and_then(Value::as_str) else { return };
    match content.get_mut(field) {
        Some(Value::String(text)) => text.push_str(more),
        _ => {
            content.insert(field.to_owned(), Value::String(more.to_owned()));
        }
    }
}

fn push(content: &mut Map<String, Value>, field: &str, more: Value) {
    match content.get_mut(field) {
        Some(Value::Array(values)) => values.push(more),
        _ => {
            content.insert(field.to_owned(), Value::Array(vec![more]));
        }
    }
}

fn text_at<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(value, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
