//! A conversation with one server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CancelledNotification, CancelledNotificationParam, ClientCapabilities,
    ClientConfig, ClientRequest, Implementation, ListToolsRequest, PaginatedRequestParams,
    ProgressNotificationParam, ProtocolVersion, Request, ServerResult,
};
use rmcp::service::{
    ClientInitializeError, NotificationContext, PeerRequestOptions, RequestHandle, RunningService,
    ServiceError,
};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::text::line;
use crate::wire::{Noticed, Wire};

/// Pages of a server's tools that are read.
const MOST_PAGES: u32 = 100;

/// Tools of a server that are looked at; of each no more is kept than could be offered.
const MOST_LISTED: usize = 500;

/// Characters of what a server says of its trouble, or of its progress.
const LONGEST_WORDS: usize = 500;

/// How long a server may take to hear that its answer is not wanted any more.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// How a conversation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// As 2026-07-28 has it, without sessions; and as before it where the server does not know that.
    Newest,
    /// As 2026-07-28 has it and not otherwise: for one that takes its time to begin, of which it is not known what it knows.
    NewestOnly,
    /// With `initialize`, as up to 2025-11-25: some servers end when they are asked anything else first.
    Initialize,
}

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// Its name and version, in its words.
    pub itself: Option<String>,
    /// The protocol's version that is spoken.
    pub protocol: String,
}

/// A tool as its server lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerTool {
    /// Its name.
    pub name: String,
    /// What it does, cut to what is offered.
    pub description: String,
    /// JSON schema of its input, as every provider takes it; `None` where none of them could.
    pub schema: Option<Value>,
    /// Whether it changes nothing, as the server has it.
    pub read_only: bool,
    /// Whether a second call with the same input changes nothing more, likewise.
    pub idempotent: bool,
    /// Whether it has to do with anything outside, likewise.
    pub open_world: bool,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the call, or the last progress, on.
    pub silence: Duration,
    /// From the call on, whatever progress there is.
    pub total: Duration,
}

/// A server cannot be spoken with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// It hung up.
    #[error("it ended before it answered{}", of(.wrote))]
    HungUp {
        /// What it wrote instead of the protocol.
        wrote: Option<String>,
    },
    /// It does not answer.
    #[error("it did not answer within {} s{}", seconds(.within), of(.wrote))]
    Silent {
        /// How long it was waited for.
        within: Duration,
        /// What it wrote instead of the protocol.
        wrote: Option<String>,
    },
    /// It refuses, or answers something else.
    #[error("it does not begin as the protocol has it: {what}")]
    Odd {
        /// What it said.
        what: String,
    },
}

/// A call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The server hung up in the middle.
    #[error("the server ended before it answered")]
    HungUp,
    /// It sent more of its own accord than is taken.
    #[error("the server was hung up on: it sent too much that nobody asked for")]
    Flooded,
    /// It did not answer.
    #[error("the server did not answer within {} s", seconds(.after))]
    Silent {
        /// How long it was waited for.
        after: Duration,
    },
    /// The server says that it is wrong.
    #[error("the server refused it: {message} ({code})")]
    Refused {
        /// Its number (JSON-RPC).
        code: i32,
        /// Its words.
        message: String,
    },
    /// It wants something first that nobody is there for.
    #[error("the server wants {what} before it answers, which is not to be had here")]
    Wants {
        /// What.
        what: &'static str,
    },
    /// The answer is something else than one.
    #[error("the server's answer is not what the protocol has")]
    Odd,
    /// Who called does not want it any more.
    #[error("it was interrupted")]
    Interrupted,
}

/// A duration in seconds, for a sentence.
fn seconds(duration: &Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// What it wrote instead of the protocol, for a sentence.
fn of(wrote: &Option<String>) -> String {
    wrote.as_ref().map(|wrote| format!("; it wrote: {wrote}")).unwrap_or_default()
}

/// A server that is spoken with; dropping it hangs up.
#[derive(Debug)]
pub struct Client {
    service: RunningService<RoleClient, Listener>,
    noticed: Arc<Mutex<Noticed>>,
    progress: watch::Receiver<String>,
}

/// Hears what a server says while it is called.
#[derive(Debug)]
struct Listener {
    progress: watch::Sender<String>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        // Nothing is offered: no model, no folders, nobody who answers.
        let version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("nightshift", env!("CARGO_PKG_VERSION")),
        )
        .with_protocol_version(version)
    }

    async fn on_progress(&self, said: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let words = said.message.as_deref().map(|message| line(message, LONGEST_WORDS)).unwrap_or_default();
        self.progress.send_replace(words);
    }
}

impl Client {
    /// Begins a conversation.
    ///
    /// # Errors
    ///
    /// Why there is none. The stream is closed then.
    pub async fn connect(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        generation: Generation,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        let noticed: Arc<Mutex<Noticed>> = Arc::default();
        let (progress, heard) = watch::channel(String::new());
        let wire = Wire::new(stream, Arc::clone(&noticed));
        let lifecycle = match generation {
            Generation::Newest => ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::LATEST],
                legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
            },
            Generation::NewestOnly => {
                ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::LATEST] }
            }
            Generation::Initialize => ClientLifecycleMode::Initialize,
        };
        let beginning = Listener { progress }.serve_with_lifecycle(wire, lifecycle);
        let wrote = |noticed: &Mutex<Noticed>| seen(noticed).no_json;
        match tokio::time::timeout(within, beginning).await {
            Ok(Ok(service)) => Ok(Self { service, noticed, progress: heard }),
            Ok(Err(error)) => Err(refused(&error, wrote(&noticed))),
            Err(_) => Err(ConnectError::Silent { within, wrote: wrote(&noticed) }),
        }
    }

    /// What the server says of itself.
    pub fn server(&self) -> Server {
        let Some(info) = self.service.peer().peer_info() else { return Server::default() };
        let named =
            |server: &Implementation| format!("{} {}", line(&server.name, 80), line(&server.version, 40));
        Server {
            itself: info.server_info.as_ref().map(named),
            protocol: line(info.protocol_version.as_str(), 40),
        }
    }

    /// Whether it has hung up.
    pub fn is_closed(&self) -> bool {
        self.service.is_closed() || self.service.peer().is_transport_closed()
    }

    /// What the server says of what it is at; it changes as that goes on.
    pub fn progress(&self) -> watch::Receiver<String> {
        self.progress.clone()
    }

    /// The server's tools, 500 at most.
    ///
    /// # Errors
    ///
    /// Why they are not known.
    pub async fn tools(&self, within: Duration) -> Result<Vec<ServerTool>, CallError> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        let listing = async {
            for _ in 0..MOST_PAGES {
                let page = PaginatedRequestParams::default().with_cursor(cursor.take());
                let request = ClientRequest::ListToolsRequest(ListToolsRequest::with_param(page));
                match self.begin(request).await?.await_response().await {
                    Ok(ServerResult::ListToolsResult(page)) => {
                        let room = MOST_LISTED - tools.len();
                        tools.extend(page.tools.into_iter().take(room).map(listed));
                        cursor = page.next_cursor;
                    }
                    Ok(_) => return Err(CallError::Odd),
                    Err(error) => return Err(self.failed(error)),
                }
                if cursor.is_none() || tools.len() >= MOST_LISTED {
                    break;
                }
            }
            Ok(())
        };
        match tokio::time::timeout(within, listing).await {
            Ok(listed) => listed.map(|()| tools),
            Err(_) => Err(CallError::Silent { after: within }),
        }
    }

    /// Calls a tool, until it answers, or patience or `interrupted` is over; the server is told then.
    ///
    /// # Errors
    ///
    /// Why there is no answer. Whether the tool did something is not known then, but where the server refused.
    pub async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        patience: Patience,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Answer, CallError> {
        let call = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let mut progress = self.progress.clone();
        progress.mark_unchanged();
        let begun = self.begin(ClientRequest::CallToolRequest(Request::new(call)));
        // A server that reads nothing lets nothing be begun.
        let handle = match tokio::time::timeout(patience.silence, begun).await {
            Ok(begun) => begun?,
            Err(_) => return Err(CallError::Silent { after: patience.silence }),
        };
        let (id, peer) = (handle.id.clone(), handle.peer.clone());
        let began = Instant::now();
        let mut heard = began;
        let response = handle.await_response();
        tokio::pin!(response, interrupted);
        let error = loop {
            let until = (heard + patience.silence).min(began + patience.total);
            tokio::select! {
                biased;
                answered = &mut response => return self.answered(answered),
                () = &mut interrupted => break CallError::Interrupted,
                Ok(()) = progress.changed() => heard = Instant::now(),
                () = tokio::time::sleep_until(until) => {
                    break CallError::Silent { after: until - began };
                }
            }
        };
        let reason = error.to_string();
        let told = CancelledNotification::new(CancelledNotificationParam::new(Some(id), Some(reason)));
        // One that does not read hears nothing of it, and nobody waits for it.
        let _soon = tokio::time::timeout(TOLD_WITHIN, peer.send_notification(told.into())).await;
        Err(error)
    }

    fn answered(&self, answered: Result<ServerResult, ServiceError>) -> Result<Answer, CallError> {
        match answered {
            Ok(ServerResult::CallToolResult(result)) => Ok(Answer::of(result)),
            Ok(ServerResult::EmptyResult(_) | ServerResult::TaskAckResult(_)) => {
                Ok(Answer { parts: Vec::new(), failed: false })
            }
            Ok(ServerResult::CustomResult(value)) => Ok(Answer::in_other_words(&value.0)),
            Ok(ServerResult::InputRequiredResult(_)) => {
                Err(CallError::Wants { what: "an answer of a person" })
            }
            Ok(ServerResult::CreateTaskResult(_)) => Err(CallError::Wants { what: "a task of its own" }),
            Ok(_) => Err(CallError::Odd),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn begin(&self, request: ClientRequest) -> Result<RequestHandle<RoleClient>, CallError> {
        let begun =
            self.service.peer().send_cancellable_request(request, PeerRequestOptions::no_options()).await;
        begun.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ServiceError) -> CallError {
        match error {
            ServiceError::McpError(error) => {
                CallError::Refused { code: error.code.0, message: line(&error.message, LONGEST_WORDS) }
            }
            ServiceError::TransportClosed | ServiceError::TransportSend(_) if seen(&self.noticed).flooded => {
                CallError::Flooded
            }
            ServiceError::TransportClosed | ServiceError::TransportSend(_) => CallError::HungUp,
            _ => CallError::Odd,
        }
    }
}

fn seen(noticed: &Mutex<Noticed>) -> Noticed {
    noticed.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn listed(tool: rmcp::model::Tool) -> ServerTool {
    let hints = tool.annotations.unwrap_or_default();
    let description = tool.description.as_deref().unwrap_or_default();
    ServerTool {
        read_only: hints.read_only_hint.unwrap_or(false),
        idempotent: hints.idempotent_hint.unwrap_or(false),
        open_world: hints.open_world_hint.unwrap_or(true),
        ..ServerTool::new(&tool.name, description, &tool.input_schema)
    }
}

fn refused(error: &ClientInitializeError, wrote: Option<String>) -> ConnectError {
    let odd = |what: &str| ConnectError::Odd { what: line(what, LONGEST_WORDS) };
    match error {
        ClientInitializeError::ConnectionClosed(_)
        | ClientInitializeError::TransportError { .. }
        | ClientInitializeError::Cancelled => ConnectError::HungUp { wrote },
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => refused(fallback, wrote),
        ClientInitializeError::JsonRpcError(error) => odd(&format!("{} ({})", error.message, error.code.0)),
        ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } => {
            let versions: Vec<&str> = server_supported.iter().take(10).map(ProtocolVersion::as_str).collect();
            odd(&format!("it speaks no version that is known here, only {}", versions.join(", ")))
        }
        _ => odd("it answered something else"),
    }
}
