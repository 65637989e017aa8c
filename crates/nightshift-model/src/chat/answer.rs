//! An answer put together from its chunks. Pure: events in, a turn out.
//!
//! Servers differ: some send a call in pieces and some whole, some give calls no id, some end with `stop` although
//! there are calls, and some send the use of tokens in a chunk behind the end. The end is `[DONE]`.

use std::collections::BTreeMap;

use nightshift_protocol::{AssistantBlock, Message, StopReason, ToolCall, Usage};
use serde_json::{Map, Value, json};

use crate::dialect::{Arriving, Broken, Taken, Whole, shown};
use crate::error::excerpt;
use crate::openai::{self, arguments};
use crate::server_sent_events::ServerSentEvent;
use crate::tools::to_pixels;
use crate::{Coordinates, InvalidAnswer, Progress};

/// Calls of one answer; a server that sends more has lost its count.
const MAX_CALLS: u64 = 256;

/// Unread fields of an answer that are kept.
const MOST_OTHERS: usize = 64;

/// An answer that is arriving.
#[derive(Debug)]
pub(super) struct Answer {
    coordinates: Coordinates,
    screen: (u32, u32),
    id: String,
    model: String,
    content: String,
    reasoning: String,
    refusal: String,
    calls: BTreeMap<u64, Call>,
    finish: Option<String>,
    usage: Usage,
    /// Fields of deltas that are not read here.
    others: Map<String, Value>,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Answer {
    pub(super) fn new(coordinates: Coordinates, screen: (u32, u32)) -> Self {
        Self {
            coordinates,
            screen,
            id: String::new(),
            model: String::new(),
            content: String::new(),
            reasoning: String::new(),
            refusal: String::new(),
            calls: BTreeMap::new(),
            finish: None,
            usage: Usage::default(),
            others: Map::new(),
        }
    }

    fn delta(&mut self, delta: &Map<String, Value>) -> Result<Taken, InvalidAnswer> {
        let mut taken = Taken::Quiet;
        for (field, value) in delta {
            match (field.as_str(), value) {
                ("content", Value::String(text)) => {
                    self.content.push_str(text);
                    taken = shown(Some(value), Progress::Text);
                }
                // vLLM and DeepSeek say the first, OpenRouter and newer Ollama the second.
                ("reasoning_content" | "reasoning", Value::String(text)) => {
                    self.reasoning.push_str(text);
                    taken = shown(Some(value), Progress::Thinking);
                }
                ("refusal", Value::String(text)) => self.refusal.push_str(text),
                ("tool_calls", Value::Array(calls)) => {
                    for (place, call) in (0..).zip(calls) {
                        if let Some(name) = self.call(place, call)? {
                            taken = Taken::Progress(Progress::ToolCallStarted { name });
                        }
                    }
                }
                ("role" | "content" | "reasoning" | "reasoning_content" | "refusal" | "tool_calls", _)
                | (_, Value::Null) => {}
                _ if self.others.len() >= MOST_OTHERS => {}
                _ => {
                    self.others.insert(field.clone(), value.clone());
                }
            }
        }
        Ok(taken)
    }

    /// Takes a piece of a call; gives the name of a call that begins with it.
    fn call(&mut self, place: u64, piece: &Value) -> Result<Option<String>, InvalidAnswer> {
        // Ollama sends calls whole, each in a chunk of its own, and at times all with the index 0.
        let told = piece.get("index").and_then(Value::as_u64);
        let id = piece.get("id").and_then(Value::as_str).unwrap_or_default();
        let name = piece.pointer("/function/name").and_then(Value::as_str).unwrap_or_default();
        let mut index = told.unwrap_or(place);
        let is_another = self.calls.get(&index).is_some_and(|call| {
            !name.is_empty() && !call.name.is_empty() && (id.is_empty() || id != call.id)
        });
        if is_another {
            index = self.calls.last_key_value().map_or(0, |(last, _)| last + 1);
        }
        if index > MAX_CALLS {
            return Err(InvalidAnswer::MissingField { event: "chunk".to_owned(), field: "tool_calls.index" });
        }
        let is_new = !self.calls.contains_key(&index);
        let call = self.calls.entry(index).or_default();
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            name.clone_into(&mut call.name);
        }
        match piece.pointer("/function/arguments") {
            Some(Value::String(text)) => call.arguments.push_str(text),
            Some(Value::Null) | None => {}
            // Not text but the JSON itself.
            Some(whole) => call.arguments = whole.to_string(),
        }
        Ok((is_new && !name.is_empty()).then(|| name.to_owned()))
    }
}

impl Arriving for Answer {
    fn take(&mut self, event: &ServerSentEvent) -> Result<Taken, Broken> {
        if event.data.trim() == "[DONE]" {
            return if self.finish.is_some() {
                Ok(Taken::Whole)
            } else {
                Err(InvalidAnswer::OutOfOrder { event: "[DONE]".to_owned() }.into())
            };
        }
        let data: Value = serde_json::from_str(&event.data)
            .map_err(|_| InvalidAnswer::NotJson { excerpt: excerpt(&event.data, 200) })?;
        if let Some(error) = data.get("error").filter(|error| !error.is_null()) {
            let told = |field: &str| error.get(field).and_then(Value::as_str);
            return Err(Broken::Reported {
                kind: told("code").or_else(|| told("type")).unwrap_or_default().to_owned(),
                message: excerpt(told("message").or_else(|| error.as_str()).unwrap_or_default(), 2000),
            });
        }
        for (field, kept) in [("id", &mut self.id), ("model", &mut self.model)] {
            if let Some(text) = data.get(field).and_then(Value::as_str) {
                text.clone_into(kept);
            }
        }
        if data["usage"].is_object() {
            self.usage = openai::usage(
                data.get("usage"),
                "/prompt_tokens",
                "/prompt_tokens_details",
                "/completion_tokens",
            );
        }
        let Some(choice) = data.pointer("/choices/0") else { return Ok(Taken::Quiet) };
        let taken = match choice.get("delta").and_then(Value::as_object) {
            Some(delta) => self.delta(delta)?,
            None => Taken::Quiet,
        };
        if let Some(finish) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish = Some(finish.to_owned());
        }
        Ok(taken)
    }

    fn may_end(&self) -> bool {
        self.finish.is_some()
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn is_counted(&self) -> bool {
        self.finish.is_some() && self.usage != Usage::default()
    }

    fn finish(self: Box<Self>) -> Whole {
        let mut blocks = Vec::new();
        if !self.reasoning.is_empty() {
            blocks.push(AssistantBlock::Thinking { text: self.reasoning.clone() });
        }
        if !self.content.is_empty() {
            blocks.push(AssistantBlock::Text { text: self.content.clone() });
        }
        let mut calls = Vec::new();
        for (index, call) in self.calls {
            let id = if call.id.is_empty() { format!("call_{}_{index}", self.id) } else { call.id };
            let (input, malformed) = arguments(&call.arguments);
            let input =
                if call.name == "computer" { to_pixels(input, self.coordinates, self.screen) } else { input };
            calls.push(json!({"id": id, "type": "function",
                "function": {"name": call.name, "arguments": call.arguments}}));
            blocks
                .push(AssistantBlock::ToolCall { call: ToolCall { id, name: call.name, input, malformed } });
        }
        let stop = match self.finish.unwrap_or_default().as_str() {
            "length" => StopReason::MaxTokens,
            "content_filter" => {
                StopReason::Refusal { explanation: "its answer was filtered for its content".to_owned() }
            }
            "stop" | "tool_calls" | "function_call" if !calls.is_empty() => StopReason::ToolUse,
            "stop" | "tool_calls" if !self.refusal.is_empty() => {
                StopReason::Refusal { explanation: self.refusal.clone() }
            }
            "stop" | "tool_calls" => StopReason::EndTurn,
            other => StopReason::Other { reason: other.to_owned() },
        };
        let mut verbatim = Map::new();
        verbatim.insert("role".to_owned(), json!("assistant"));
        verbatim.insert("content".to_owned(), json!(self.content));
        for (field, text) in [("reasoning_content", self.reasoning), ("refusal", self.refusal)] {
            if !text.is_empty() {
                verbatim.insert(field.to_owned(), json!(text));
            }
        }
        if !calls.is_empty() {
            verbatim.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        for (field, value) in self.others {
            verbatim.entry(field).or_insert(value);
        }
        Whole {
            message: Message::Assistant { blocks, verbatim: Value::Object(verbatim) },
            stop,
            usage: self.usage,
            model: self.model,
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
