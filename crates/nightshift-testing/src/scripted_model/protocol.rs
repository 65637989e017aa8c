//! The APIs the server speaks. All are read into one form, which the script is played against, and answered each in
//! its own.

use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::answer::Event;
use super::police::{self, Breach};
use super::vendor_types::{CHAT, MESSAGES, RESPONSES};
use super::wire::Request;
use super::{chat, messages, responses};

/// An API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Chat Completions.
    Chat,
}

/// An answer before it has a form: blocks as the Messages API has them.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) blocks: &'a [Value],
    pub(super) stop: &'a str,
    pub(super) details: &'a Value,
    /// Differs between conversations and turns, and is the same when a request is repeated.
    pub(super) seed: &'a str,
    pub(super) usage: &'a Value,
    pub(super) model: &'a str,
}

/// The version of the Messages API.
const VERSION: &str = "2026-10-21";

impl Protocol {
    /// Reads a request and checks the rules that are the API's own.
    pub(super) fn read(self, json: &Value) -> Result<Request, Breach> {
        let (request, types) = match self {
            Self::Messages => (police::read(json)?, &MESSAGES),
            Self::Responses => (responses::read(json)?, &RESPONSES),
            Self::Chat => (chat::read(json)?, &CHAT),
        };
        types.check(json)?;
        Ok(request)
    }

    /// The answer as events of its stream.
    pub(super) fn events(self, said: &Said<'_>) -> Vec<Event> {
        match self {
            Self::Messages => messages::events(said),
            Self::Responses => responses::events(said),
            Self::Chat => chat::events(said),
        }
    }

    /// The key of a request.
    pub(super) fn key(self, headers: &HeaderMap) -> Option<&str> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Self::Messages => header("x-api-key"),
            Self::Responses | Self::Chat => header("authorization")?.strip_prefix("Bearer "),
        }
    }

    /// What is wrong with the headers beside the key.
    pub(super) fn wrong_header(self, headers: &HeaderMap) -> Option<String> {
        let version = headers.get("anthropic-version").and_then(|value| value.to_str().ok());
        (self == Self::Messages && version != Some(VERSION))
            .then(|| format!("anthropic-version: has to be {VERSION}"))
    }

    /// An error as the API writes it.
    pub(super) fn error(self, kind: &str, message: &str) -> Value {
        match self {
            Self::Messages => {
                json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"})
            }
            Self::Responses | Self::Chat => {
                json!({"error": {"message": message, "type": kind, "code": openai_code(kind), "param": null}})
            }
        }
    }

    /// An overload that is reported within a stream.
    pub(super) fn streamed_overload(self) -> Event {
        match self {
            Self::Messages => ("error", self.error("overloaded_error", "Overloaded")),
            Self::Responses => (
                "error",
                json!({"type": "error", "code": "server_is_overloaded", "message": "Overloaded", "param": null,
                    "sequence_number": 99}),
            ),
            Self::Chat => ("", json!({"error": {"code": "server_is_overloaded", "message": "Overloaded"}})),
        }
    }
}

/// OpenAI's code for what Anthropic calls a kind.
fn openai_code(kind: &str) -> Option<&'static str> {
    match kind {
        "authentication_error" => Some("invalid_api_key"),
        "billing_error" => Some("insufficient_quota"),
        "not_found_error" => Some("model_not_found"),
        "rate_limit_error" => Some("rate_limit_exceeded"),
        "context_error" => Some("context_length_exceeded"),
        _ => None,
    }
}
