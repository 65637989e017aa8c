//! An answer put together from its events. Pure: events in, a turn out.
//!
//! ```text
//!            response.created     output_item.added, …delta, output_item.done      completed | incomplete
//!   Awaited ───────────────▶ Arriving ────────────────────────────────▶ Arriving ──────────────────────▶ Whole
//!      └────────────────────────┴── error, response.failed: the provider reports a fault; the end: it was cut
//! ```
//!
//! Items count as they are when they are done: only then is encrypted reasoning complete. They are kept as they came,
//! unknown kinds and fields included, because they go back untouched.

use std::collections::BTreeMap;

use nightshift_protocol::{AssistantBlock, Message, StopReason, ToolCall, Usage};
use serde_json::{Map, Value, json};

use super::SafetyChecks;
use super::actions;
use crate::dialect::{Arriving, Broken, Taken, Whole, shown};
use crate::error::excerpt;
use crate::openai::{self, arguments};
use crate::server_sent_events::ServerSentEvent;
use crate::{InvalidAnswer, Progress};

/// An answer that is arriving.
#[derive(Debug)]
pub(super) struct Answer {
    checks: SafetyChecks,
    model: String,
    items: BTreeMap<u64, Value>,
    usage: Usage,
    incomplete: Option<String>,
}

impl Answer {
    pub(super) fn new(checks: SafetyChecks) -> Self {
        Self {
            checks,
            model: String::new(),
            items: BTreeMap::new(),
            usage: Usage::default(),
            incomplete: None,
        }
    }

    fn take_response(&mut self, data: &Value) {
        let response = &data["response"];
        if let Some(model) = response["model"].as_str() {
            model.clone_into(&mut self.model);
        }
        if response["usage"].is_object() {
            self.usage = openai::usage(
                response.get("usage"),
                "/input_tokens",
                "/input_tokens_details",
                "/output_tokens",
            );
        }
    }

    /// The last event has all items again: those that never were done are taken from it.
    fn end(&mut self, data: &Value) {
        self.take_response(data);
        let output = data.pointer("/response/output").and_then(Value::as_array);
        for (index, item) in (0..).zip(output.into_iter().flatten()) {
            self.items.entry(index).or_insert_with(|| item.clone());
        }
    }
}

impl Arriving for Answer {
    fn take(&mut self, event: &ServerSentEvent) -> Result<Taken, Broken> {
        let data: Value = serde_json::from_str(&event.data)
            .map_err(|_| InvalidAnswer::NotJson { excerpt: excerpt(&event.data, 200) })?;
        let kind = data.get("type").and_then(Value::as_str).unwrap_or(&event.name);
        let missing = |field| InvalidAnswer::MissingField { event: kind.to_owned(), field };
        match kind {
            "response.created" | "response.in_progress" => {
                self.take_response(&data);
                Ok(Taken::Quiet)
            }
            "response.output_item.added" => match data.pointer("/item/type").and_then(Value::as_str) {
                Some("function_call") => {
                    let name = data.pointer("/item/name").and_then(Value::as_str).unwrap_or_default();
                    Ok(Taken::Progress(Progress::ToolCallStarted { name: name.to_owned() }))
                }
                Some("computer_call") => {
                    Ok(Taken::Progress(Progress::ToolCallStarted { name: "computer".to_owned() }))
                }
                _ => Ok(Taken::Quiet),
            },
            "response.output_text.delta" => Ok(shown(data.get("delta"), Progress::Text)),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                Ok(shown(data.get("delta"), Progress::Thinking))
            }
            "response.output_item.done" => {
                let index = data.get("output_index").and_then(Value::as_u64);
                let index = index.ok_or_else(|| missing("output_index"))?;
                let item = data.get("item").filter(|item| item["type"].is_string());
                self.items.insert(index, item.ok_or_else(|| missing("item"))?.clone());
                Ok(Taken::Quiet)
            }
            "response.completed" => {
                self.end(&data);
                Ok(Taken::Whole)
            }
            "response.incomplete" => {
                self.end(&data);
                let reason = data.pointer("/response/incomplete_details/reason").and_then(Value::as_str);
                self.incomplete = Some(reason.unwrap_or_default().to_owned());
                Ok(Taken::Whole)
            }
            "response.failed" | "error" => {
                self.take_response(&data);
                let told = |paths: [&str; 3]| {
                    paths.iter().find_map(|path| data.pointer(path)?.as_str()).unwrap_or_default()
                };
                Err(Broken::Reported {
                    kind: told(["/response/error/code", "/code", "/error/code"]).to_owned(),
                    message: excerpt(told(["/response/error/message", "/message", "/error/message"]), 2000),
                })
            }
            // Whatever else there is repeats what the items hold when they are done.
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
        // The event that counts is the one that makes it whole.
        false
    }

    fn finish(self: Box<Self>) -> Whole {
        let mut read = Read::default();
        let output: Vec<Value> = self.items.into_values().collect();
        for item in output.iter().filter_map(Value::as_object) {
            read.item(item);
        }
        let stop = match self.incomplete.as_deref() {
            _ if self.checks == SafetyChecks::Refuse && !read.pending.is_empty() => StopReason::Refusal {
                explanation: format!(
                    "it wants a person to confirm: {} (Its answer is dropped: single checks cannot be confirmed here. Write to it \
                     which other way to go; or set safety_checks = \"acknowledge\" for the provider in config.toml, restart the \
                     owner and continue.)",
                    read.pending.join(" ")
                ),
            },
            Some("max_output_tokens") => StopReason::MaxTokens,
            Some("content_filter") => {
                StopReason::Refusal { explanation: "its answer was filtered for its content".to_owned() }
            }
            Some(reason) => StopReason::Other { reason: reason.to_owned() },
            None if read.calls => StopReason::ToolUse,
            None if !read.refusal.is_empty() => StopReason::Refusal { explanation: read.refusal },
            None => StopReason::EndTurn,
        };
        Whole {
            message: Message::Assistant { blocks: read.blocks, verbatim: json!({ "output": output }) },
            stop,
            usage: self.usage,
            model: self.model,
        }
    }
}

/// Items as they are read.
#[derive(Default)]
struct Read {
    blocks: Vec<AssistantBlock>,
    calls: bool,
    refusal: String,
    /// What the provider wants confirmed.
    pending: Vec<String>,
}

impl Read {
    fn item(&mut self, item: &Map<String, Value>) {
        let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let parts = |field: &str| item.get(field).and_then(Value::as_array).into_iter().flatten();
        match text("type").as_str() {
            "message" => {
                for part in parts("content") {
                    if let Some(said) = part["text"].as_str() {
                        self.blocks.push(AssistantBlock::Text { text: said.to_owned() });
                    }
                    if let Some(refusal) = part["refusal"].as_str() {
                        self.refusal.push_str(refusal);
                        self.blocks.push(AssistantBlock::Text { text: refusal.to_owned() });
                    }
                }
            }
            "reasoning" => {
                let words: Vec<&str> = parts("summary").filter_map(|part| part["text"].as_str()).collect();
                self.blocks.push(AssistantBlock::Thinking { text: words.join("\n\n") });
            }
            "function_call" => {
                let (input, malformed) = arguments(&text("arguments"));
                let call = ToolCall { id: text("call_id"), name: text("name"), input, malformed };
                self.blocks.push(AssistantBlock::ToolCall { call });
                self.calls = true;
            }
            "computer_call" => {
                let said =
                    |check: &Value| check["message"].as_str().or(check["code"].as_str()).map(str::to_owned);
                self.pending.extend(parts("pending_safety_checks").filter_map(said));
                let calls = actions::calls(item).into_iter();
                self.blocks.extend(calls.map(|call| AssistantBlock::ToolCall { call }));
                self.calls = true;
            }
            kind => self.blocks.push(AssistantBlock::Unknown { kind: kind.to_owned() }),
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
