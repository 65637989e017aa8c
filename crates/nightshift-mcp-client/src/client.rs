//! A conversation with one server.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CancelledNotification, CancelledNotificationParam, ClientCapabilities,
    ClientConfig, ClientRequest, DiscoverRequest, DiscoverRequestParams, ErrorData, Implementation,
    ListToolsRequest, PaginatedRequestParams, PingRequest, ProgressNotificationParam, ProgressToken,
    ProtocolVersion, Request, ServerResult,
};
use rmcp::service::{
    ClientInitializeError, NotificationContext, PeerRequestOptions, RequestHandle, RunningService,
    ServiceError,
};
use rmcp::transport::Transport;
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig, StreamableHttpError,
};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use rustls::ClientConfig as Trust;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::admission::{NOT_UNDERSTOOD, Noticed};
use crate::answer::Answer;
use crate::endpoint::Endpoint;
use crate::error::{CallError, ConnectError};
use crate::http::{Dial, Exchange, Http, HttpError};
use crate::text::line;
use crate::wire::Wire;

/// Pages of a server's tools that are read.
const MOST_PAGES: u32 = 100;

/// Tools of a server that are looked at; of each no more is kept than could be offered.
const MOST_LISTED: usize = 500;

/// Characters of what a server says of its trouble, or of its progress.
const LONGEST_WORDS: usize = 500;

/// What of progress is kept for a call that does not listen just now.
const PROGRESS: usize = 64;

/// How long a server may take to hear that its answer is not wanted any more: a program, and one at an address, which is connected
/// to for it.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
const TOLD_AWAY_WITHIN: Duration = Duration::from_secs(5);

/// What rmcp says in the place of an answer that was awaited in a session that is gone.
const LOST_WITH_SESSION: &str = "streamable HTTP session was re-initialized before the response arrived";

/// How often the stream of an answer that was cut is taken up again at once before it is given up, and after what time.
const TAKEN_UP_AGAIN: usize = 5;
const TAKEN_UP_AFTER: Duration = Duration::from_millis(500);
const TAKEN_UP_AFTER_AT_MOST: Duration = Duration::from_secs(8);

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

/// A server that is spoken with; dropping it hangs up.
#[derive(Debug)]
pub struct Client {
    service: RunningService<RoleClient, Listener>,
    noticed: Arc<Mutex<Noticed>>,
    progress: broadcast::Sender<(ProgressToken, String)>,
    /// Whether it is at an address, and no program.
    away: bool,
}

/// Hears what a server says while it is called.
#[derive(Debug)]
struct Listener {
    progress: broadcast::Sender<(ProgressToken, String)>,
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
        // Nobody may be waiting.
        let _calls = self.progress.send((said.progress_token, words));
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
        let wire = Wire::new(stream, Arc::clone(&noticed));
        Self::begin_by(wire, noticed, false, generation, within).await
    }

    /// Begins a conversation with a server at an address. Each request makes a connection of its own, by `dial`; the server
    /// has to be whom `trust` trusts.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn reach(
        endpoint: Endpoint,
        dial: Arc<dyn Dial>,
        trust: Arc<Trust>,
        generation: Generation,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        let noticed: Arc<Mutex<Noticed>> = Arc::default();
        let shown = endpoint.address.to_string();
        let exchange = Exchange::new(endpoint.address, endpoint.headers, dial, trust);
        let mut config = StreamableHttpClientTransportConfig::with_uri(shown);
        let mut again = ExponentialBackoff::default();
        again.max_times = Some(TAKEN_UP_AGAIN);
        again.base_duration = TAKEN_UP_AFTER;
        again.max_delay = Some(TAKEN_UP_AFTER_AT_MOST);
        config.retry_config = Arc::new(again);
        let http = Http::new(exchange, Arc::clone(&noticed));
        let transport = StreamableHttpClientTransport::with_client(http, config);
        Self::begin_by(transport, noticed, true, generation, within).await
    }

    async fn begin_by<T>(
        transport: T,
        noticed: Arc<Mutex<Noticed>>,
        away: bool,
        generation: Generation,
        within: Duration,
    ) -> Result<Self, ConnectError>
    where
        T: Transport<RoleClient> + 'static,
        T::Error: Error + Send + Sync + 'static,
    {
        let (progress, _) = broadcast::channel(PROGRESS);
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
        let beginning = Listener { progress: progress.clone() }.serve_with_lifecycle(transport, lifecycle);
        match tokio::time::timeout(within, beginning).await {
            Ok(Ok(service)) => Ok(Self { service, noticed, progress, away }),
            Ok(Err(error)) => Err(refused(&error, seen(&noticed))),
            Err(_) => Err(ConnectError::Silent { within, wrote: seen(&noticed).no_json }),
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
        self.service.is_closed() || self.service.peer().is_transport_closed() || seen(&self.noticed).flooded
    }

    /// How many sessions were begun with it: a server at an address may end one, and the next is begun without a word.
    pub fn sessions(&self) -> u32 {
        seen(&self.noticed).sessions
    }

    /// Whether the server still answers, which it is asked by what it has to answer at once.
    pub async fn answers(&self, within: Duration) -> bool {
        let knows_sessions = self.server().protocol.as_str() < ProtocolVersion::LATEST.as_str();
        let question = if knows_sessions {
            ClientRequest::PingRequest(PingRequest {
                method: Default::default(),
                extensions: Default::default(),
            })
        } else {
            ClientRequest::DiscoverRequest(DiscoverRequest::new(DiscoverRequestParams {}))
        };
        let answer = async {
            let Ok(handle) = self.begin(question).await else { return false };
            // A refusal is an answer too.
            matches!(handle.await_response().await, Ok(_) | Err(ServiceError::McpError(_)))
        };
        tokio::time::timeout(within, answer).await.unwrap_or(false)
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

    /// Calls a tool, until it answers, or patience or `interrupted` is over; the server is told then. What it says of how far this
    /// call is goes to `told`, and lengthens the wait.
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
        told: impl Fn(&str),
    ) -> Result<Answer, CallError> {
        let call = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let mut progress = self.progress.subscribe();
        let begun = self.begin(ClientRequest::CallToolRequest(Request::new(call)));
        // A server that reads nothing lets nothing be begun.
        let handle = match tokio::time::timeout(patience.silence, begun).await {
            Ok(begun) => begun?,
            Err(_) => return Err(CallError::Silent { after: patience.silence }),
        };
        let (id, peer, token) = (handle.id.clone(), handle.peer.clone(), handle.progress_token.clone());
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
                said = progress.recv() => match said {
                    Ok((of, words)) if of == token => {
                        heard = Instant::now();
                        told(&words);
                    }
                    Ok(_) => {}
                    // More was said than was listened to: this call's was among it, perhaps.
                    Err(_lagged) => heard = Instant::now(),
                },
                () = tokio::time::sleep_until(until) => {
                    break CallError::Silent { after: until - began };
                }
            }
        };
        let reason = error.to_string();
        let told = CancelledNotification::new(CancelledNotificationParam::new(Some(id), Some(reason)));
        // One that does not read hears nothing of it, and nobody waits for it.
        let within = if self.away { TOLD_AWAY_WITHIN } else { TOLD_WITHIN };
        let _soon = tokio::time::timeout(within, peer.send_notification(told.into())).await;
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
        self.noticed.lock().unwrap_or_else(PoisonError::into_inner).trouble = None;
        let begun =
            self.service.peer().send_cancellable_request(request, PeerRequestOptions::no_options()).await;
        begun.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ServiceError) -> CallError {
        let noticed = seen(&self.noticed);
        match error {
            ServiceError::McpError(error) => said(error),
            ServiceError::TransportClosed | ServiceError::TransportSend(_) if noticed.flooded => {
                CallError::Flooded
            }
            ServiceError::TransportSend(error) if self.away => of_http(error.error.as_ref()),
            ServiceError::TransportClosed if self.away => {
                let why = || "the connection ended before the answer was whole".to_owned();
                noticed.trouble.map_or_else(|| CallError::Lost { why: why() }, HttpError::of_call)
            }
            ServiceError::TransportClosed | ServiceError::TransportSend(_) => CallError::HungUp,
            _ => CallError::Odd,
        }
    }
}

/// What a server says that it does not do; some of it is said in its place, of an answer that did not come.
fn said(error: ErrorData) -> CallError {
    match error.message.as_ref() {
        NOT_UNDERSTOOD => CallError::Odd,
        LOST_WITH_SESSION => {
            CallError::Lost { why: "it ended the session before the answer came".to_owned() }
        }
        message => CallError::Refused { code: error.code.0, message: line(message, LONGEST_WORDS) },
    }
}

/// What an exchange that failed means for its call.
fn of_http(error: &(dyn Error + 'static)) -> CallError {
    let mut error = Some(error);
    while let Some(current) = error {
        match current.downcast_ref::<StreamableHttpError<HttpError>>() {
            Some(StreamableHttpError::Client(error)) => return error.clone().of_call(),
            Some(StreamableHttpError::SessionExpired) => return HttpError::SessionGone.of_call(),
            // Its session was gone before anything was done.
            Some(StreamableHttpError::ReinitializationFailed(error)) => {
                let why = format!("it ended the session and begins no other: {}", line(&error.message, 200));
                return CallError::NotReached { why };
            }
            Some(_) | None => {}
        }
        error = current.source();
    }
    CallError::Lost { why: "the connection ended before the answer came".to_owned() }
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

fn refused(error: &ClientInitializeError, noticed: Noticed) -> ConnectError {
    let odd = |what: &str| ConnectError::Odd { what: line(what, LONGEST_WORDS) };
    match error {
        ClientInitializeError::ConnectionClosed(_)
        | ClientInitializeError::TransportError { .. }
        | ClientInitializeError::Cancelled => match noticed.trouble {
            Some(HttpError::NotReached { why }) => ConnectError::NotReached { why },
            Some(trouble) => odd(&trouble.to_string()),
            None => ConnectError::HungUp { wrote: noticed.no_json },
        },
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => refused(fallback, noticed),
        ClientInitializeError::JsonRpcError(error) => odd(&format!("{} ({})", error.message, error.code.0)),
        ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } => {
            let versions: Vec<&str> = server_supported.iter().take(10).map(ProtocolVersion::as_str).collect();
            odd(&format!("it speaks no version that is known here, only {}", versions.join(", ")))
        }
        _ => odd("it answered something else"),
    }
}
