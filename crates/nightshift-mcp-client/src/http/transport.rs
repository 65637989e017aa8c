//! The client that rmcp's Streamable HTTP works with: it sends what that decides, and takes in what is admitted.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;

use super::error::HttpError;
use super::events::events;
use super::exchange::{Exchange, Open};
use super::reply::{Reply, Sent, reply};
use crate::admission::{Admission, LONGEST_MESSAGE, Noticed, unfolded};
use crate::text::line;

/// What the protocol names a session by.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// The longest such name in bytes.
const LONGEST_SESSION: usize = 1_024;

/// How much of an answer that is none is read, in bytes, and how much of it is told, in characters.
const MOST_OF_ERROR: usize = 64 * 1024;
const TOLD_OF_ERROR: usize = 200;

/// Bytes that all lists of tools of one conversation may have: rmcp keeps what it needs of each.
const MOST_LISTED: usize = 8 * 1024 * 1024;

/// What it costs a server of its measure when an answer's stream is taken up again: a hundred a minute are done.
const TAKEN_UP: u32 = 1_000;

type Failure = StreamableHttpError<HttpError>;

/// Speaks with one server. Clones are the same.
#[derive(Clone)]
pub(crate) struct Http {
    exchange: Arc<Exchange>,
    state: Arc<State>,
}

/// What is known of the conversation.
pub(super) struct State {
    admission: Mutex<Admission>,
    noticed: Arc<Mutex<Noticed>>,
    listed: AtomicUsize,
}

impl fmt::Debug for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Http").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn admit(&self, text: &[u8]) -> Option<ServerJsonRpcMessage> {
        self.admission().admit(text)
    }

    pub(super) fn is_flooded(&self) -> bool {
        let flooded = self.admission().is_flooded();
        if flooded {
            self.trouble(HttpError::Flooded);
        }
        flooded
    }

    /// Keeps why an exchange failed, for whoever is only told that it did.
    pub(super) fn trouble(&self, trouble: HttpError) {
        self.noticed.lock().unwrap_or_else(PoisonError::into_inner).trouble = Some(trouble);
    }

    /// Takes an answer that lists tools into account. One that is too much is not taken in, and is the last.
    pub(super) fn has_room_for_list(&self, length: usize) -> bool {
        let before = self.listed.fetch_add(length, Ordering::Relaxed);
        let has_room = before.saturating_add(length) <= MOST_LISTED;
        if !has_room {
            self.admission().pass_over(u32::MAX);
        }
        has_room
    }

    fn admission(&self) -> std::sync::MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Http {
    pub(crate) fn new(exchange: Exchange, noticed: Arc<Mutex<Noticed>>) -> Self {
        let admission = Mutex::new(Admission::new(Arc::clone(&noticed)));
        let state = State { admission, noticed, listed: AtomicUsize::new(0) };
        Self { exchange: Arc::new(exchange), state: Arc::new(state) }
    }

    fn failed(&self, error: HttpError) -> Failure {
        self.state.trouble(error.clone());
        StreamableHttpError::Client(error)
    }

    async fn post(
        &self,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        fields: HeaderMap,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        if self.state.is_flooded() {
            return Err(StreamableHttpError::Client(HttpError::Flooded));
        }
        let asked = match &message {
            JsonRpcMessage::Request(request) => {
                self.state.admission().expect(&request.request, &request.id);
                Some((&request.request, request.id.clone()))
            }
            JsonRpcMessage::Notification(_) | JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => None,
        };
        let sent = Sent {
            awaits: asked.is_some(),
            in_session: session.is_some(),
            discovers: matches!(asked, Some((ClientRequest::DiscoverRequest(_), _))),
        };
        let lists = matches!(asked, Some((ClientRequest::ListToolsRequest(_), _)));
        let id = asked.map(|(_, id)| id);
        let body = Bytes::from(serde_json::to_vec(&message)?);
        let (answer, open) =
            self.exchange.ask(Method::POST, &fields, body).await.map_err(|error| self.failed(error))?;
        let status = answer.status();
        let text = |name: &HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let begun = text(&SESSION).filter(|id| id.len() <= LONGEST_SESSION).map(str::to_owned);
        let kind = text(&CONTENT_TYPE).map(str::to_owned);
        match reply(status, kind.as_deref(), sent) {
            Reply::Taken => Ok(StreamableHttpPostResponse::Accepted),
            Reply::SessionGone => {
                self.state.trouble(HttpError::SessionGone);
                Err(StreamableHttpError::SessionExpired)
            }
            Reply::Events => {
                let stream = events(answer.into_body(), open, Arc::clone(&self.state), lists);
                Ok(StreamableHttpPostResponse::Sse(stream, begun))
            }
            Reply::Message => {
                let text = whole(answer, open).await.map_err(|error| self.failed(error))?;
                self.message(&text, lists, begun)
            }
            Reply::Older => {
                let text = beginning(answer, open).await;
                Ok(self.older(&text, status, id, begun))
            }
            Reply::Refused { told: true } => {
                let text = beginning(answer, open).await;
                match self.state.admit(&text) {
                    Some(error @ JsonRpcMessage::Error(_)) => {
                        Ok(StreamableHttpPostResponse::Json(error, begun))
                    }
                    _ => Err(self.failed(refused(status, &text))),
                }
            }
            Reply::Refused { told: false } => {
                let text = beginning(answer, open).await;
                Err(self.failed(refused(status, &text)))
            }
            Reply::NotLetIn => {
                let said = said(&beginning(answer, open).await);
                Err(self.failed(HttpError::NotLetIn { status: status.as_u16(), said }))
            }
            Reply::Nothing => Err(self.failed(HttpError::Nothing)),
            Reply::OtherKind => {
                let kind = line(kind.as_deref().unwrap_or("nothing that is named"), 80);
                Err(self.failed(HttpError::OtherKind { kind }))
            }
        }
    }

    /// An answer of JSON.
    fn message(
        &self,
        text: &[u8],
        lists: bool,
        begun: Option<String>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        if lists && !self.state.has_room_for_list(text.len()) {
            return Err(self.failed(HttpError::TooLong { most: MOST_LISTED }));
        }
        match self.state.admit(text) {
            Some(answer @ (JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_))) => {
                Ok(StreamableHttpPostResponse::Json(answer, begun))
            }
            _ => Err(self.failed(HttpError::Odd)),
        }
    }

    /// What an older server says to the newer beginning, as the answer that the older beginning follows. It may name another
    /// request than it was asked, or be no message at all.
    fn older(
        &self,
        text: &[u8],
        status: StatusCode,
        id: Option<RequestId>,
        begun: Option<String>,
    ) -> StreamableHttpPostResponse {
        let error = match unfolded(text) {
            Some(JsonRpcMessage::Error(told)) => told.error,
            _ => ErrorData::invalid_request(refused(status, text).to_string(), None),
        };
        StreamableHttpPostResponse::Json(ServerJsonRpcMessage::error(error, id), begun)
    }
}

/// The fields that rmcp wants to be sent, and those that every message has.
fn fields(session: Option<&str>, given: HashMap<HeaderName, HeaderValue>) -> Result<HeaderMap, Failure> {
    let mut fields: HeaderMap = given.into_iter().collect();
    if let Some(session) = session {
        let session =
            HeaderValue::from_str(session).map_err(|_| StreamableHttpError::Client(HttpError::Odd))?;
        fields.insert(SESSION, session);
    }
    Ok(fields)
}

/// The whole body, if it is not too long.
async fn whole(answer: Response<Incoming>, _open: Open) -> Result<Vec<u8>, HttpError> {
    let (mut body, mut whole) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| HttpError::Cut { why: line(&error.to_string(), TOLD_OF_ERROR) })?;
        if let Some(bytes) = frame.data_ref() {
            if whole.len() + bytes.len() > LONGEST_MESSAGE {
                return Err(HttpError::TooLong { most: LONGEST_MESSAGE });
            }
            whole.extend_from_slice(bytes);
        }
    }
    Ok(whole)
}

/// The beginning of what stands behind an error, as far as it comes.
async fn beginning(answer: Response<Incoming>, _open: Open) -> Vec<u8> {
    let (mut body, mut beginning) = (answer.into_body(), Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(bytes) = frame.data_ref() {
            beginning.extend_from_slice(bytes.get(..MOST_OF_ERROR - beginning.len()).unwrap_or(bytes));
        }
        if beginning.len() >= MOST_OF_ERROR {
            break;
        }
    }
    beginning
}

fn refused(status: StatusCode, text: &[u8]) -> HttpError {
    HttpError::Status { status: status.as_u16(), said: said(text) }
}

/// What stands behind an error, for a sentence; pages for people say nothing.
fn said(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text.get(..4 * TOLD_OF_ERROR).unwrap_or(text));
    let text = line(&text, TOLD_OF_ERROR);
    if text.is_empty() || text.starts_with('<') { String::new() } else { format!(": {text}") }
}

impl StreamableHttpClient for Http {
    type Error = HttpError;

    async fn post_message(
        &self,
        _address: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _authorization: Option<String>,
        given: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let mut fields = fields(session.as_deref(), given)?;
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        self.post(message, session, fields).await
    }

    async fn delete_session(
        &self,
        _address: Arc<str>,
        session: Arc<str>,
        _authorization: Option<String>,
        given: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let fields = fields(Some(&session), given)?;
        // A server need not let clients end sessions, and says so by a status.
        self.exchange
            .ask(Method::DELETE, &fields, Bytes::new())
            .await
            .map_err(StreamableHttpError::Client)?;
        Ok(())
    }

    /// Takes the stream of an answer up again where it was cut. A stream of what the server says of its own accord is not opened:
    /// nobody asked for it, and it would be a connection that never ends.
    async fn get_stream(
        &self,
        _address: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        _authorization: Option<String>,
        given: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, sse_stream::Error>>, Failure> {
        let last_event = last_event.and_then(|id| HeaderValue::from_str(&id).ok());
        let Some(last_event) = last_event else { return Err(StreamableHttpError::ServerDoesNotSupportSse) };
        self.state.admission().pass_over(TAKEN_UP);
        if self.state.is_flooded() {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        let mut fields = fields(session.as_deref(), given)?;
        fields.insert(LAST_EVENT, last_event);
        fields.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let asked = self.exchange.ask(Method::GET, &fields, Bytes::new()).await;
        let (answer, open) = asked.map_err(|error| self.failed(error))?;
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let sent = Sent { awaits: true, in_session: session.is_some(), discovers: false };
        match reply(answer.status(), kind, sent) {
            Reply::Events => Ok(events(answer.into_body(), open, Arc::clone(&self.state), false)),
            // What was not heard until now will not be.
            _ => {
                let why = format!("it was not taken up again: HTTP {}", answer.status().as_u16());
                self.state.trouble(HttpError::Cut { why });
                Err(StreamableHttpError::ServerDoesNotSupportSse)
            }
        }
    }
}
