//! The HTTP server around a script.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::plan::{Planned, check_headers, plan, too_large};
use super::protocol::Protocol;
use super::reply::Reply;
use super::script::{FaultKind, Script, ScriptedTurn};

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
pub(super) struct Shared {
    pub(super) script: Script,
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
            .route("/v1/responses", post(responses))
            .route("/v1/chat/completions", post(chat))
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

    /// The address to give to a client of OpenAI's APIs, for example `http://127.0.0.1:40123/v1`.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
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
    pub(super) fn fault(&self, conversation: usize, number: usize, turn: &ScriptedTurn) -> Option<FaultKind> {
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

async fn messages(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Response {
    turn(&shared, Protocol::Messages, "/v1/messages", &headers, body).await
}

async fn responses(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Response {
    turn(&shared, Protocol::Responses, "/v1/responses", &headers, body).await
}

async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Response {
    turn(&shared, Protocol::Chat, "/v1/chat/completions", &headers, body).await
}

async fn turn(shared: &Shared, protocol: Protocol, path: &str, headers: &HeaderMap, body: Body) -> Response {
    let bytes = axum::body::to_bytes(body, MAX_REQUEST_BYTES + 1).await;
    let json = bytes.as_ref().ok().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let planned = match (&bytes, &json) {
        (Ok(bytes), json) if bytes.len() <= MAX_REQUEST_BYTES => {
            plan(shared, protocol, headers, json.as_ref())
        }
        _ => Err(too_large()),
    };
    let Planned { turn, delay, reply } = planned.unwrap_or_else(Planned::without_turn);
    shared.record(path, json.map(without_image_data).unwrap_or_default(), turn, &reply);
    tokio::time::sleep(delay).await;
    reply.into_response(protocol)
}

/// Whose list is asked for: only Anthropic's clients send its version.
fn lister(headers: &HeaderMap) -> Protocol {
    if headers.contains_key("anthropic-version") || headers.contains_key("x-api-key") {
        Protocol::Messages
    } else {
        Protocol::Chat
    }
}

async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let protocol = lister(&headers);
    let reply = match check_headers(&shared.script, protocol, &headers) {
        Ok(()) => {
            let models = &shared.script.models;
            let data: Vec<Value> = models.iter().map(|model| model_json(model, &shared.script)).collect();
            Reply::Document(match protocol {
                Protocol::Messages => {
                    json!({"data": data, "has_more": false, "first_id": models.first(), "last_id": models.last()})
                }
                Protocol::Responses | Protocol::Chat => json!({
                    "object": "list",
                    "data": models.iter().map(|model| openai_model_json(model)).collect::<Vec<_>>(),
                }),
            })
        }
        Err(reply) => reply,
    };
    shared.record("/v1/models", Value::Null, None, &reply);
    reply.into_response(protocol)
}

async fn model(
    State(shared): State<Arc<Shared>>,
    UrlPath(model): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let protocol = lister(&headers);
    let reply = match check_headers(&shared.script, protocol, &headers) {
        Ok(()) if shared.script.models.contains(&model) => Reply::Document(match protocol {
            Protocol::Messages => model_json(&model, &shared.script),
            Protocol::Responses | Protocol::Chat => openai_model_json(&model),
        }),
        Ok(()) => Reply::error(StatusCode::NOT_FOUND, "not_found_error", format!("model: {model}")),
        Err(reply) => reply,
    };
    shared.record(&format!("/v1/models/{model}"), Value::Null, None, &reply);
    reply.into_response(protocol)
}

fn openai_model_json(model: &str) -> Value {
    json!({"id": model, "object": "model", "created": 1_790_000_000, "owned_by": "nightshift"})
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
        // Pictures of OpenAI's APIs are URLs that hold them.
        Value::String(url) if url.starts_with("data:image/") && url.len() > 200 => {
            *url = format!("data: {} characters", url.len());
        }
        Value::Array(values) => values.iter_mut().for_each(strip_image_data),
        _ => {}
    }
}
