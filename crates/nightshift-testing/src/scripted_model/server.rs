//! The HTTP server around a script.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::answer::{Event, Place, check_expectations, last_text, play, prompt_tokens};
use super::police::{self, Breach, unknown_tool};
use super::script::{FaultKind, Script, ScriptedTurn};
use super::wire::{Block, Request, Role, Tool, joined};

const VERSION: &str = "2026-10-21";
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;

/// A scripted model that listens on the loopback address until it is dropped.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRequest {
    /// The path of its URL.
    pub path: String,
    /// Its JSON, the data of pictures replaced by their length; `null` where there was none.
    pub body: Value,
    /// The status it was answered with.
    pub status: u16,
    /// The turn that it asked for, from 0; `None` where it did not come to that.
    pub turn: Option<usize>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    requests: Vec<RecordedRequest>,
    breaches: Vec<String>,
    /// How often the fault of a turn has happened, by conversation and turn.
    faults: HashMap<(usize, usize), u32>,
    log: Option<File>,
}

impl ScriptedModel {
    /// Serves a script on a free port.
    ///
    /// # Panics
    ///
    /// If nothing can listen on the loopback address: a test cannot go on without it.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    pub async fn start(script: Script) -> Self {
        Self::bind(script, 0, None).await.expect("a free port on the loopback address")
    }

    /// Serves a script on a port of the loopback address, 0 for a free one, and logs each request to a file as one
    /// line of JSON.
    ///
    /// # Errors
    ///
    /// If the port is taken or the log cannot be made.
    pub async fn bind(script: Script, port: u16, log: Option<&Path>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let log = log.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        let records = Mutex::new(Records { log, ..Records::default() });
        let shared = Arc::new(Shared { script, records });
        let router = Router::new()
            .route("/v1/messages", post(messages))
            .route("/v1/models", get(models))
            .route("/v1/models/{model}", get(model))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            // It ends by being dropped; an error of the listener shows as an unreachable server.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, serving })
    }

    /// The address to give to a client, for example `http://127.0.0.1:40123`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.records().requests.clone()
    }

    /// All breaches so far, oldest first; empty is good.
    pub fn breaches(&self) -> Vec<String> {
        self.shared.records().breaches.clone()
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the fault of a turn happens now.
    fn fault(&self, conversation: usize, number: usize, turn: &ScriptedTurn) -> Option<FaultKind> {
        let fault = turn.fault.as_ref()?;
        let mut records = self.records();
        let happened = records.faults.entry((conversation, number)).or_default();
        if *happened >= fault.times {
            return None;
        }
        *happened += 1;
        Some(fault.kind.clone())
    }

    fn record(&self, path: &str, body: Value, turn: Option<usize>, reply: &Reply) {
        let (status, breach) = (reply.status(), reply.breach());
        let mut records = self.records();
        if let Some(breach) = breach {
            records.breaches.push(breach.0.clone());
        }
        records.requests.push(RecordedRequest { path: path.to_owned(), body, status: status.as_u16(), turn });
        let request = records.requests.len();
        if let Some(log) = &mut records.log {
            let breach = breach.map(|breach| &breach.0);
            let line = json!({"request": request, "path": path, "status": status.as_u16(), "turn": turn, "breach": breach});
            // A full disk shows in what the log lacks; the run goes on.
            let _ = writeln!(log, "{line}");
        }
    }
}

/// What a request is answered with.
#[derive(Debug)]
enum Reply {
    /// A stream of events.
    Stream { events: Vec<Event>, end: End, breach: Option<Breach> },
    /// A JSON document.
    Document(Value),
    /// An error that the client did not cause.
    Error { status: StatusCode, kind: &'static str, message: String, retry_after: Option<String> },
    /// An error that the client caused against the rules.
    Breach { status: StatusCode, kind: &'static str, breach: Breach },
}

/// How a stream ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Whole,
    Cut,
    Stall,
    Drip(Duration),
}

impl Reply {
    fn breach_of(breach: Breach) -> Self {
        Self::Breach { status: StatusCode::BAD_REQUEST, kind: "invalid_request_error", breach }
    }

    fn error(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self::Error { status, kind, message: message.into(), retry_after: None }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Stream { .. } | Self::Document(_) => StatusCode::OK,
            Self::Error { status, .. } | Self::Breach { status, .. } => *status,
        }
    }

    fn breach(&self) -> Option<&Breach> {
        match self {
            Self::Stream { breach, .. } => breach.as_ref(),
            Self::Breach { breach, .. } => Some(breach),
            Self::Document(_) | Self::Error { .. } => None,
        }
    }

    fn into_response(self) -> Response {
        let status = self.status();
        match self {
            Self::Stream { events, end, .. } => {
                ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], stream_body(events, end))
                    .into_response()
            }
            Self::Document(document) => axum::Json(document).into_response(),
            Self::Error { kind, message, retry_after, .. } => {
                let mut response = (status, axum::Json(error_json(kind, &message))).into_response();
                if let Some(value) = retry_after.and_then(|wait| wait.parse().ok()) {
                    response.headers_mut().insert(RETRY_AFTER, value);
                }
                response
            }
            Self::Breach { kind, breach, .. } => {
                (status, axum::Json(error_json(kind, &breach.0))).into_response()
            }
        }
    }
}

fn error_json(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"})
}

fn stream_body(events: Vec<Event>, end: End) -> Body {
    let frames =
        events.into_iter().map(|(name, data)| Bytes::from(format!("event: {name}\ndata: {data}\n\n")));
    let frames = stream::iter(frames.map(Ok::<_, std::io::Error>));
    match end {
        End::Whole => Body::from_stream(frames),
        End::Cut => Body::from_stream(frames.chain(stream::once(async {
            // The server sends what it has while it waits; an error in the body then makes it close the connection.
            tokio::task::yield_now().await;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }))),
        End::Stall => Body::from_stream(frames.chain(stream::pending())),
        End::Drip(wait) => Body::from_stream(frames.then(move |frame| async move {
            tokio::time::sleep(wait).await;
            frame
        })),
    }
}

async fn messages(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Response {
    let bytes = axum::body::to_bytes(body, MAX_REQUEST_BYTES + 1).await;
    let json = bytes.as_ref().ok().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let planned = match (&bytes, &json) {
        (Ok(bytes), json) if bytes.len() <= MAX_REQUEST_BYTES => plan(&shared, &headers, json.as_ref()),
        _ => Err(too_large()),
    };
    let Planned { turn, delay, reply } = planned.unwrap_or_else(Planned::without_turn);
    shared.record("/v1/messages", json.map(without_image_data).unwrap_or_default(), turn, &reply);
    tokio::time::sleep(delay).await;
    reply.into_response()
}

fn too_large() -> Reply {
    let breach = Breach("Request exceeds the maximum size".to_owned());
    Reply::Breach { status: StatusCode::PAYLOAD_TOO_LARGE, kind: "request_too_large", breach }
}

/// What a request for a turn is answered with, and when.
struct Planned {
    /// The turn it asked for, from 0.
    turn: Option<usize>,
    delay: Duration,
    reply: Reply,
}

impl Planned {
    fn without_turn(reply: Reply) -> Self {
        Self { turn: None, delay: Duration::ZERO, reply }
    }
}

/// Decides on the answer; the error is one to a request that does not come to a turn.
fn plan(shared: &Shared, headers: &HeaderMap, json: Option<&Value>) -> Result<Planned, Reply> {
    check_headers(&shared.script, headers)?;
    if headers.get(CONTENT_TYPE).is_none_or(|kind| !kind.as_bytes().starts_with(b"application/json")) {
        return Err(Reply::breach_of(Breach("content-type: has to be application/json".to_owned())));
    }
    let json = json.ok_or_else(|| Reply::breach_of(Breach("the body is not JSON".to_owned())))?;
    let request = police::read(json).map_err(Reply::breach_of)?;
    let checked = police::check(&request).map_err(Reply::breach_of)?;
    refuse_as_provider(&shared.script, &request)?;

    if let Some(aside) = shared.script.aside(&last_text(&request)) {
        let turn = ScriptedTurn { say: Some(aside.say.clone()), ..ScriptedTurn::default() };
        let answer = play(&turn, &request, &checked, &Place::of(&request)).map_err(Reply::breach_of)?;
        return Ok(Planned::without_turn(with_fault(answer.events, None, answer.breach)));
    }
    let place = Place::of(&request);
    let number = place.turns.len();
    let first = request.messages.first().map(|message| joined(&message.content)).unwrap_or_default();
    let (conversation, turns) = shared.script.turns_of(&joined(&request.system), &first);
    let Some(turn) = turns.get(number) else {
        let has = turns.len();
        let breach =
            format!("the script has {has} turns for this conversation, and {} is asked for", number + 1);
        return Ok(Planned { turn: Some(number), ..Planned::without_turn(Reply::breach_of(Breach(breach))) });
    };
    let reply = match shared.fault(conversation, number, turn) {
        Some(FaultKind::Status { status, retry_after }) => status_reply(status, retry_after),
        fault => check_thinking_came_back(turns, &place, &request)
            .and_then(|()| check_expectations(turn, &request))
            .and_then(|()| play(turn, &request, &checked, &place))
            .map_or_else(Reply::breach_of, |answer| with_fault(answer.events, fault, answer.breach)),
    };
    Ok(Planned { turn: Some(number), delay: Duration::from_millis(turn.delay_ms), reply })
}

/// What a provider refuses although no rule is broken: a model or a tool that it has not, a prompt that is too long.
fn refuse_as_provider(script: &Script, request: &Request) -> Result<(), Reply> {
    if !script.models.contains(&request.model) {
        let message = format!("model: {}", request.model);
        return Err(Reply::error(StatusCode::NOT_FOUND, "not_found_error", message));
    }
    for (index, tool) in request.tools.iter().enumerate() {
        if let Tool::Computer(toolset) = tool
            && script.reject_tools.contains(&toolset.kind)
        {
            let message = unknown_tool(index, &toolset.kind);
            return Err(Reply::error(StatusCode::BAD_REQUEST, "invalid_request_error", message));
        }
    }
    let tokens = prompt_tokens(request);
    if let Some(limit) = script.max_input_tokens.filter(|limit| tokens > *limit) {
        let message = format!("prompt is too long: {tokens} tokens > {limit} maximum");
        return Err(Reply::error(StatusCode::BAD_REQUEST, "invalid_request_error", message));
    }
    Ok(())
}

fn check_headers(script: &Script, headers: &HeaderMap) -> Result<(), Reply> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let unauthorized = StatusCode::UNAUTHORIZED;
    match (header("x-api-key"), &script.key) {
        (None, _) => {
            let breach = Breach("x-api-key header is required".to_owned());
            return Err(Reply::Breach { status: unauthorized, kind: "authentication_error", breach });
        }
        (Some(given), Some(key)) if given != key => {
            return Err(Reply::error(unauthorized, "authentication_error", "invalid x-api-key"));
        }
        (Some(_), _) => {}
    }
    if header("anthropic-version") != Some(VERSION) {
        return Err(Reply::breach_of(Breach(format!("anthropic-version: has to be {VERSION}"))));
    }
    Ok(())
}

/// Reasoning that was sent in the newest answer has to come back in front of it.
fn check_thinking_came_back(turns: &[ScriptedTurn], place: &Place, request: &Request) -> Result<(), Breach> {
    let newest = request.messages.iter().rfind(|message| message.role == Role::Assistant);
    let Some((number, newest)) = place.turns.len().checked_sub(1).zip(newest) else { return Ok(()) };
    // Between scripted turns stand only looks, which are made without reasoning.
    if place.looks > 0 {
        return Ok(());
    }
    let sent = turns.get(number).is_some_and(|turn| turn.thinking.is_some());
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

fn with_fault(mut events: Vec<Event>, fault: Option<FaultKind>, breach: Option<Breach>) -> Reply {
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
            events.push(("error", error_json("overloaded_error", "Overloaded")));
            End::Whole
        }
        Some(FaultKind::DripMs(wait)) => End::Drip(Duration::from_millis(wait)),
        Some(FaultKind::Status { .. }) | None => End::Whole,
    };
    Reply::Stream { events, end, breach }
}

async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let reply = match check_headers(&shared.script, &headers) {
        Ok(()) => {
            let models = &shared.script.models;
            let data: Vec<Value> = models.iter().map(|model| model_json(model, &shared.script)).collect();
            Reply::Document(
                json!({"data": data, "has_more": false, "first_id": models.first(), "last_id": models.last()}),
            )
        }
        Err(reply) => reply,
    };
    shared.record("/v1/models", Value::Null, None, &reply);
    reply.into_response()
}

async fn model(
    State(shared): State<Arc<Shared>>,
    UrlPath(model): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let reply = match check_headers(&shared.script, &headers) {
        Ok(()) if shared.script.models.contains(&model) => {
            Reply::Document(model_json(&model, &shared.script))
        }
        Ok(()) => Reply::error(StatusCode::NOT_FOUND, "not_found_error", format!("model: {model}")),
        Err(reply) => reply,
    };
    shared.record(&format!("/v1/models/{model}"), Value::Null, None, &reply);
    reply.into_response()
}

fn model_json(model: &str, script: &Script) -> Value {
    json!({
        "type": "model", "id": model, "display_name": format!("{model}, scripted"), "lifecycle": "active",
        "created_at": "2026-09-28T00:00:00Z", "max_input_tokens": script.max_input_tokens.unwrap_or(1_000_000),
        "max_tokens": 128_000, "capabilities": {"image_input": {"supported": true}},
    })
}

/// A request without the bulk of its pictures, for the record.
fn without_image_data(mut value: Value) -> Value {
    strip_image_data(&mut value);
    value
}

fn strip_image_data(value: &mut Value) {
    match value {
        Value::Object(fields) if fields.get("type").and_then(Value::as_str) == Some("base64") => {
            if let Some(data) = fields.get_mut("data") {
                *data = json!(format!("{} characters", data.as_str().map_or(0, str::len)));
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(strip_image_data),
        Value::Array(values) => values.iter_mut().for_each(strip_image_data),
        _ => {}
    }
}
