//! Which answer a request gets.

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::answer::{Event, Place, check_expectations, last_text, play, prompt_tokens};
use super::police::{self, Breach, unknown_tool};
use super::protocol::Protocol;
use super::reply::{End, Reply};
use super::script::{FaultKind, Script, ScriptedTurn};
use super::server::Shared;
use super::wire::{Block, Request, Role, joined};

pub(super) fn too_large() -> Reply {
    let breach = Breach("Request exceeds the maximum size".to_owned());
    Reply::Breach { status: StatusCode::PAYLOAD_TOO_LARGE, kind: "request_too_large", breach }
}

/// What a request for a turn is answered with, and when.
pub(super) struct Planned {
    /// The turn it asked for, from 0.
    pub(super) turn: Option<usize>,
    pub(super) delay: Duration,
    pub(super) reply: Reply,
}

impl Planned {
    pub(super) fn without_turn(reply: Reply) -> Self {
        Self { turn: None, delay: Duration::ZERO, reply }
    }
}

/// Decides on the answer; the error is one to a request that does not come to a turn.
pub(super) fn plan(
    shared: &Shared,
    protocol: Protocol,
    headers: &HeaderMap,
    json: Option<&Value>,
) -> Result<Planned, Reply> {
    check_headers(&shared.script, protocol, headers)?;
    if headers.get(CONTENT_TYPE).is_none_or(|kind| !kind.as_bytes().starts_with(b"application/json")) {
        return Err(Reply::breach_of(Breach("content-type: has to be application/json".to_owned())));
    }
    let json = json.ok_or_else(|| Reply::breach_of(Breach("the body is not JSON".to_owned())))?;
    let request = protocol.read(json).map_err(Reply::breach_of)?;
    check_betas(protocol, headers, json).map_err(Reply::breach_of)?;
    let checked = police::check(&request).map_err(Reply::breach_of)?;
    refuse_as_provider(&shared.script, protocol, &request)?;

    if let Some(aside) = shared.script.aside(&last_text(&request)) {
        let turn = ScriptedTurn { say: Some(aside.say.clone()), ..ScriptedTurn::default() };
        let place = Place::of(&request);
        let answer = play(&turn, &request, &checked, &place, protocol).map_err(Reply::breach_of)?;
        return Ok(Planned::without_turn(with_fault(answer.events, None, answer.breach, protocol)));
    }
    let place = Place::of(&request);
    let number = place.turns.len();
    let first = request.messages.first().map(|message| joined(&message.content)).unwrap_or_default();
    let (conversation, turns) = shared.script.turns_of(&joined(&request.system), &first);
    let Some(turn) = shared.script.turn((conversation, turns), number) else {
        let has = turns.len();
        let breach =
            format!("the script has {has} turns for this conversation, and {} is asked for", number + 1);
        return Ok(Planned { turn: Some(number), ..Planned::without_turn(Reply::breach_of(Breach(breach))) });
    };
    let reply = match shared.fault(conversation, number, turn) {
        Some(FaultKind::Status { status, retry_after }) => status_reply(status, retry_after),
        fault => check_thinking_came_back(turns, &place, &request, protocol)
            .and_then(|()| check_expectations(turn, &request))
            .and_then(|()| play(turn, &request, &checked, &place, protocol))
            .map_or_else(Reply::breach_of, |answer| {
                with_fault(answer.events, fault, answer.breach, protocol)
            }),
    };
    Ok(Planned { turn: Some(number), delay: Duration::from_millis(turn.delay_ms), reply })
}

/// What a provider refuses although no rule is broken: a model or a tool that it has not, a prompt that is too long.
fn refuse_as_provider(script: &Script, protocol: Protocol, request: &Request) -> Result<(), Reply> {
    if !script.models.contains(&request.model) {
        let message = format!("model: {}", request.model);
        return Err(Reply::error(StatusCode::NOT_FOUND, "not_found_error", message));
    }
    for (index, tool) in request.tools.iter().enumerate() {
        if let Some(kind) = tool.kind().filter(|kind| script.reject_tools.iter().any(|name| name == kind)) {
            let message = unknown_tool(index, kind);
            return Err(Reply::error(StatusCode::BAD_REQUEST, "invalid_request_error", message));
        }
    }
    let tokens = prompt_tokens(request);
    if let Some(limit) = script.max_input_tokens.filter(|limit| tokens > *limit) {
        let message = format!("prompt is too long: {tokens} tokens > {limit} maximum");
        // OpenAI has a code for it, Anthropic only the words.
        let kind = if protocol == Protocol::Messages { "invalid_request_error" } else { "context_error" };
        return Err(Reply::error(StatusCode::BAD_REQUEST, kind, message));
    }
    let has_images = request.messages.iter().flat_map(|message| &message.content).any(Block::has_image);
    if script.reject_images && has_images {
        let message = "image input is not supported by this model";
        return Err(Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message));
    }
    Ok(())
}

/// Checks the key and what else a request's headers have to say.
pub(super) fn check_headers(script: &Script, protocol: Protocol, headers: &HeaderMap) -> Result<(), Reply> {
    let unauthorized = StatusCode::UNAUTHORIZED;
    match (protocol.key(headers), &script.key) {
        // A server on one's own machine asks for none.
        (None, None) if protocol == Protocol::Chat => {}
        (None, _) => {
            let breach = Breach("the request carries no key".to_owned());
            return Err(Reply::Breach { status: unauthorized, kind: "authentication_error", breach });
        }
        (Some(given), Some(key)) if given != key => {
            return Err(Reply::error(unauthorized, "authentication_error", "invalid key"));
        }
        (Some(_), _) => {}
    }
    match protocol.wrong_header(headers) {
        Some(wrong) => Err(Reply::breach_of(Breach(wrong))),
        None => Ok(()),
    }
}

/// What is a beta feature has to be asked for by its name.
fn check_betas(protocol: Protocol, headers: &HeaderMap, json: &Value) -> Result<(), Breach> {
    if protocol != Protocol::Messages {
        return Ok(());
    }
    let given = headers.get("anthropic-beta").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let tools = json.get("tools").and_then(Value::as_array).into_iter().flatten();
    let kinds: Vec<&str> = tools.filter_map(|tool| tool.get("type")?.as_str()).collect();
    let needed = [
        (json.get("context_management").is_some(), "context-management-2025-06-27"),
        (kinds.contains(&"computer_20251124"), "computer-use-2025-11-24"),
        (kinds.contains(&"computer_20250124"), "computer-use-2025-01-24"),
    ];
    let missing = |(used, beta): &(bool, &str)| *used && !given.split(',').any(|given| given.trim() == *beta);
    match needed.iter().find(|needed| missing(needed)) {
        Some((_, beta)) => Err(Breach(format!("anthropic-beta: {beta} is needed"))),
        None => Ok(()),
    }
}

/// Reasoning that was sent in the newest answer has to come back in front of it.
fn check_thinking_came_back(
    turns: &[ScriptedTurn],
    place: &Place,
    request: &Request,
    protocol: Protocol,
) -> Result<(), Breach> {
    let newest = request.messages.iter().rfind(|message| message.role == Role::Assistant);
    let Some((number, newest)) = place.turns.len().checked_sub(1).zip(newest) else { return Ok(()) };
    // Between scripted turns stand only looks, which are made without reasoning; the Chat API has no place for it.
    if place.looks > 0 || protocol == Protocol::Chat {
        return Ok(());
    }
    // Reasoning that nothing followed cannot come back: no answer may end in it.
    let follows = |turn: &ScriptedTurn| {
        !turn.calls.is_empty() || turn.say.as_deref().is_some_and(|say| !say.trim().is_empty())
    };
    let sent = turns.get(number).is_some_and(|turn| turn.thinking.is_some() && follows(turn));
    if sent && !matches!(newest.content.first(), Some(Block::Thinking { .. })) {
        return Err(Breach(format!("answer {number}: expected `thinking` as its first block")));
    }
    Ok(())
}

fn status_reply(status: u16, retry_after: Option<String>) -> Reply {
    let (kind, message) = match status {
        400 => ("invalid_request_error", "The script refuses this."),
        401 => ("authentication_error", "invalid x-api-key"),
        402 => ("billing_error", "Your credit balance is too low."),
        403 => ("permission_error", "Your key has no permission for this."),
        404 => ("not_found_error", "Not found."),
        429 => ("rate_limit_error", "This request would exceed the rate limit."),
        529 => ("overloaded_error", "Overloaded"),
        _ => ("api_error", "Internal server error"),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Reply::Error { status, kind, message: message.to_owned(), retry_after }
}

fn with_fault(
    mut events: Vec<Event>,
    fault: Option<FaultKind>,
    breach: Option<Breach>,
    protocol: Protocol,
) -> Reply {
    let end = match fault {
        Some(FaultKind::CutAfterEvents(count)) => {
            events.truncate(count);
            End::Cut
        }
        Some(FaultKind::StallAfterEvents(count)) => {
            events.truncate(count);
            End::Stall
        }
        Some(FaultKind::ErrorAfterEvents(count)) => {
            events.truncate(count);
            events.push(protocol.streamed_overload());
            End::Whole
        }
        Some(FaultKind::DripMs(wait)) => End::Drip(Duration::from_millis(wait)),
        Some(FaultKind::Status { .. }) | None => End::Whole,
    };
    Reply::Stream { events, end, breach }
}
