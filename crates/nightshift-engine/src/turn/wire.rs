//! Messages of the Agent Client Protocol, version 1, written and read with the protocol's own types.

use agent_client_protocol_schema::ProtocolVersion;
use agent_client_protocol_schema::v1::{
    CancelNotification, ClientCapabilities, ContentBlock, EnvVariable, HttpHeader, Implementation,
    InitializeRequest, InitializeResponse, LoadSessionRequest, McpServer, McpServerHttp, McpServerStdio,
    NewSessionRequest, PermissionOption, PermissionOptionKind, PlanEntryStatus, PromptRequest,
    RequestPermissionOutcome, RequestPermissionResponse, SelectedPermissionOutcome, SessionUpdate,
    TextContent, ToolCallContent, ToolCallStatus, ToolKind,
};
use nightshift_protocol::{Plan, PlanStep, PlanStepState};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Stop, Tools, message};
use crate::words::{cut, one_line};

/// The name of the sandbox's tools, as agents show it.
pub(super) const TOOLS: &str = "nightshift";

/// What carries an agent's tool calls on, where it speaks to tools by standard input and output alone.
const BRIDGE: &str = include_str!("../bridge.py");

/// Steps of a plan that are taken.
const MOST_STEPS: usize = 40;

/// A message of an agent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Incoming {
    Answer {
        id: Value,
        result: Result<Value, Refusal>,
    },
    Request {
        id: Value,
        method: String,
        params: Value,
    },
    Update {
        session: String,
        update: Update,
    },
    /// Something that needs no answer and means nothing here.
    Other,
}

/// An error of JSON-RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) message: String,
}

/// What is new in a session.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Update {
    Words(String),
    Action(Box<Call>),
    Plan(Plan),
    Ignored,
}

/// What is said of a tool call. What is absent stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) title: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) status: Option<CallStatus>,
    pub(super) files: Option<Vec<String>>,
    pub(super) detail: Option<String>,
    pub(super) command: Option<String>,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallStatus {
    Begun,
    Done,
    Failed,
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) agent: String,
    /// Whether it can go on with an earlier session.
    pub(super) loads: bool,
    /// Whether it reaches tools over HTTP.
    pub(super) http: bool,
}

fn request(id: u64, method: &str, params: impl Serialize) -> String {
    message(json!({"id": id, "method": method, "params": params}))
}

pub(super) fn initialize(id: u64) -> String {
    // Neither files nor terminals are offered: the agent is where they are.
    let params = InitializeRequest::new(ProtocolVersion::V1)
        .client_capabilities(ClientCapabilities::new())
        .client_info(Implementation::new("nightshift", env!("CARGO_PKG_VERSION")));
    request(id, "initialize", params)
}

/// What an agent says of itself, or the version that it speaks where it is another.
pub(super) fn initialized(result: &Value) -> Result<Facts, String> {
    let version = result.get("protocolVersion").cloned().unwrap_or_default();
    if version != json!(1) {
        return Err(version.to_string());
    }
    let Ok(response) = serde_json::from_value::<InitializeResponse>(result.clone()) else {
        return Err(version.to_string());
    };
    let agent = match &response.agent_info {
        Some(info) => format!("{} {}", info.title.as_ref().unwrap_or(&info.name), info.version),
        None => "an agent without a name".to_owned(),
    };
    Ok(Facts {
        agent: one_line(&agent, 100),
        loads: response.agent_capabilities.load_session,
        http: response.agent_capabilities.mcp_capabilities.http,
    })
}

fn servers(tools: &Tools, http: bool) -> Vec<McpServer> {
    let Tools { url, pass } = tools;
    vec![if http {
        let header = HttpHeader::new("Authorization", format!("Bearer {pass}"));
        McpServer::Http(McpServerHttp::new(TOOLS, url.as_str()).headers(vec![header]))
    } else {
        let args = vec!["-c".to_owned(), BRIDGE.to_owned()];
        let env = vec![
            EnvVariable::new("NIGHTSHIFT_TOOLS", url.as_str()),
            EnvVariable::new("NIGHTSHIFT_PASS", pass.as_str()),
        ];
        McpServer::Stdio(McpServerStdio::new(TOOLS, "/usr/bin/python3").args(args).env(env))
    }]
}

pub(super) fn open(id: u64, folder: &str, tools: &Tools, http: bool) -> String {
    request(id, "session/new", NewSessionRequest::new(folder).mcp_servers(servers(tools, http)))
}

pub(super) fn load(id: u64, session: &str, folder: &str, tools: &Tools, http: bool) -> String {
    let params = LoadSessionRequest::new(session.to_owned(), folder).mcp_servers(servers(tools, http));
    request(id, "session/load", params)
}

pub(super) fn prompt(id: u64, session: &str, words: &str) -> String {
    let words = vec![ContentBlock::Text(TextContent::new(words))];
    request(id, "session/prompt", PromptRequest::new(session.to_owned(), words))
}

pub(super) fn cancel(session: &str) -> String {
    let params = CancelNotification::new(session.to_owned());
    message(json!({"method": "session/cancel", "params": params}))
}

pub(super) fn unknown_method(id: &Value) -> String {
    message(json!({"id": id, "error": {"code": -32_601, "message": "Method not found"}}))
}

pub(super) fn permission_cancelled(id: &Value) -> String {
    let result = RequestPermissionResponse::new(RequestPermissionOutcome::Cancelled);
    message(json!({"id": id, "result": result}))
}

/// The answer to a question for leave: of what is offered, what holds for this once comes first.
pub(super) fn permission(id: &Value, options: &[PermissionOption], allowed: bool) -> String {
    let wanted = if allowed {
        [PermissionOptionKind::AllowOnce, PermissionOptionKind::AllowAlways]
    } else {
        [PermissionOptionKind::RejectOnce, PermissionOptionKind::RejectAlways]
    };
    let chosen = wanted.iter().find_map(|kind| options.iter().find(|option| option.kind == *kind));
    let Some(option) = chosen else { return permission_cancelled(id) };
    let outcome = SelectedPermissionOutcome::new(option.option_id.clone());
    let result = RequestPermissionResponse::new(RequestPermissionOutcome::Selected(outcome));
    message(json!({"id": id, "result": result}))
}

/// Reads a line; `None` where it is no message.
pub(super) fn read(line: &[u8]) -> Option<Incoming> {
    let mut message: Value = serde_json::from_slice(line).ok()?;
    let fields = message.as_object_mut()?;
    let id = fields.remove("id").filter(|id| id.is_u64() || id.is_i64() || id.is_string());
    let params = fields.remove("params").unwrap_or_default();
    if let Some(Value::String(method)) = fields.remove("method") {
        return Some(match id {
            Some(id) => Incoming::Request { id, method, params },
            None if method == "session/update" => update(params),
            None => Incoming::Other,
        });
    }
    let id = id?;
    if let Some(error) = fields.remove("error").filter(|error| !error.is_null()) {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or(0);
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        // What is behind it is often the only part that tells.
        let more = error.get("data").filter(|data| !data.is_null()).map(|data| match data {
            Value::String(text) => text.clone(),
            data => data.to_string(),
        });
        let message = more.map_or(message.to_owned(), |more| format!("{message} ({})", cut(&more, 400)));
        return Some(Incoming::Answer { id, result: Err(Refusal { code, message }) });
    }
    Some(Incoming::Answer { id, result: Ok(fields.remove("result").unwrap_or_default()) })
}

fn update(mut params: Value) -> Incoming {
    let session = params.get("sessionId").and_then(Value::as_str).unwrap_or_default().to_owned();
    let told = params.get_mut("update").map(Value::take).unwrap_or_default();
    let update = match serde_json::from_value::<SessionUpdate>(told) {
        Ok(SessionUpdate::AgentMessageChunk(chunk)) => match chunk.content {
            ContentBlock::Text(text) => Update::Words(text.text),
            _ => Update::Ignored,
        },
        Ok(SessionUpdate::ToolCall(call)) => Update::Action(Box::new(Call {
            id: call.tool_call_id.to_string(),
            name: call.name,
            title: Some(call.title),
            kind: Some(kind(call.kind)),
            status: Some(status(call.status)),
            files: Some(call.locations.iter().map(|place| place.path.display().to_string()).collect()),
            detail: detail(&call.content),
            command: command(call.raw_input.as_ref()),
        })),
        Ok(SessionUpdate::ToolCallUpdate(call)) => {
            let fields = call.fields;
            let files = |places: Vec<_>| {
                let path = |place: &agent_client_protocol_schema::v1::ToolCallLocation| {
                    place.path.display().to_string()
                };
                places.iter().map(path).collect()
            };
            Update::Action(Box::new(Call {
                id: call.tool_call_id.to_string(),
                name: fields.name,
                title: fields.title,
                kind: fields.kind.map(kind),
                status: fields.status.map(status),
                files: fields.locations.map(files),
                detail: fields.content.as_deref().and_then(detail),
                command: command(fields.raw_input.as_ref()),
            }))
        }
        Ok(SessionUpdate::Plan(plan)) => {
            let entry = |entry: &agent_client_protocol_schema::v1::PlanEntry| PlanStep {
                title: one_line(&entry.content, 200),
                state: match entry.status {
                    PlanEntryStatus::InProgress => PlanStepState::Active,
                    PlanEntryStatus::Completed => PlanStepState::Done,
                    _ => PlanStepState::Pending,
                },
            };
            Update::Plan(Plan { steps: plan.entries.iter().take(MOST_STEPS).map(entry).collect() })
        }
        // Of kinds that are not known, or of no interest.
        Ok(_) | Err(_) => Update::Ignored,
    };
    Incoming::Update { session, update }
}

fn kind(kind: ToolKind) -> String {
    serde_json::to_value(kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
}

fn status(status: ToolCallStatus) -> CallStatus {
    match status {
        ToolCallStatus::Completed => CallStatus::Done,
        ToolCallStatus::Failed => CallStatus::Failed,
        _ => CallStatus::Begun,
    }
}

/// What a call led to, as far as it is words or says which file was changed.
fn detail(content: &[ToolCallContent]) -> Option<String> {
    let parts = content.iter().filter_map(|part| match part {
        ToolCallContent::Content(content) => match &content.content {
            ContentBlock::Text(text) => Some(text.text.clone()),
            _ => None,
        },
        ToolCallContent::Diff(diff) => {
            Some(changed(&diff.path.display().to_string(), diff.old_text.as_deref(), &diff.new_text))
        }
        _ => None,
    });
    let text = parts.take(20).collect::<Vec<_>>().join("\n");
    (!text.trim().is_empty()).then(|| cut(text.trim(), 2_000))
}

/// A change in a line: how many lines there were and are.
fn changed(path: &str, old: Option<&str>, new: &str) -> String {
    let (before, after) = (old.map_or(0, |old| old.lines().count()), new.lines().count());
    format!("{path}: {before} lines became {after}")
}

/// The command line that a call is to run, where its input tells it.
pub(super) fn command(input: Option<&Value>) -> Option<String> {
    match input?.get("command")? {
        Value::String(command) => Some(command.clone()),
        Value::Array(words) => {
            let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
            let words = words?;
            // `bash -lc "…"` is what agents make of a line.
            match words.as_slice() {
                [shell, flag, line]
                    if shell.ends_with("sh") && flag.starts_with('-') && flag.ends_with('c') =>
                {
                    Some((*line).to_owned())
                }
                words => Some(words.join(" ")),
            }
        }
        _ => None,
    }
}

/// Why an agent says it ended its turn.
pub(super) fn stop(result: &Value) -> Stop {
    match result.get("stopReason").and_then(Value::as_str).unwrap_or_default() {
        "end_turn" => Stop::EndTurn,
        "max_tokens" => Stop::MaxTokens,
        "max_turn_requests" => Stop::MaxRequests,
        "refusal" => Stop::Refusal,
        "cancelled" => Stop::Cancelled,
        other => Stop::Other(one_line(other, 60)),
    }
}
