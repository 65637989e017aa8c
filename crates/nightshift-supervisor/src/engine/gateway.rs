//! What answers a foreign agent in the sandbox: the provider of its models, and the sandbox's own tools.
//!
//! The program shows a pass that is good for this turn alone, so that pages in the sandbox's browser, which can make
//! requests too, get nothing. The key is added behind this.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use nightshift_egress::{Origin, OriginBody};
use nightshift_model::{LONGEST_RELAYED, Model, RelayApi, RelayError, RelayRequest, Weight};
use nightshift_protocol::{EngineModelCall, EventBody, PauseReason, Usage};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::link::{Link, NotReserved, Reserved, Teller};

/// Where the sandbox's own tools are.
pub(crate) const TOOLS: &str = "/nightshift/tools";

/// Model calls of one agent at once; more wait.
const AT_ONCE: usize = 4;

/// Refusals of a turn that are written down: an agent may try for ever.
const MOST_REFUSALS: u32 = 20;

/// How long a request may take to come whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// Parts of an answer that wait for the program.
const PARTS: usize = 16;

/// How long a call waits for others that may use what is left, before it is looked again.
const LATER: Duration = Duration::from_millis(200);

/// A call that is made.
struct Call {
    turn: u32,
    provider: String,
    model: Arc<dyn Model>,
    teller: Teller,
    began: Instant,
}

/// What goes back to the program before the answer's parts.
type Head = oneshot::Sender<Result<Response<OriginBody>, RelayError>>;

impl Call {
    /// Makes it, streams its answer to the program, and counts it when it is over, whichever way.
    async fn make(self, request: RelayRequest, weight: Weight, mut head: Head) {
        let sent = tokio::select! {
            sent = self.model.relay(&self.provider, &request, &weight) => Some(sent),
            () = head.closed() => None,
        };
        let mut answer = match sent {
            Some(Ok(answer)) => answer,
            // It may have been answered, and is paid then: nothing less than the worst is counted.
            Some(Err(RelayError::Unanswered)) | None => {
                self.note(&weight, None, None, weight.worst).await;
                let _gone = head.send(Err(RelayError::Unanswered));
                return;
            }
            Some(Err(why)) => {
                self.note(&weight, None, None, Usage::default()).await;
                let _gone = head.send(Err(why));
                return;
            }
        };
        let (parts, taken) = mpsc::channel::<Result<Bytes, RelayError>>(PARTS);
        let (status, headers) = (answer.status, std::mem::take(&mut answer.headers));
        let _gone = head.send(Ok(response(status, headers, taken)));
        loop {
            let part = tokio::select! {
                part = answer.next() => part,
                // The program has gone away: nothing more is read, and little more is paid.
                () = parts.closed() => break,
            };
            let part = match part {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => break,
                Err(error) => Err(error),
            };
            let is_last = part.is_err();
            if parts.send(part).await.is_err() || is_last {
                break;
            }
        }
        let (usage, named) = answer.counted();
        self.note(&weight, named, Some(status), usage).await;
    }

    /// Writes down what a call used; those that cost nothing are not told.
    async fn note(&self, weight: &Weight, named: Option<String>, status: Option<u16>, usage: Usage) {
        let Some(asked) = &weight.model else { return };
        let named = named.unwrap_or_else(|| asked.clone());
        let usage = match self.model.cost(&self.provider, &named, usage) {
            // A name with a date in it, or of another form, may be in no table.
            free if free.cost_microdollars == 0 => self.model.cost(&self.provider, asked, usage),
            priced => priced,
        };
        let call = call_of(&self.provider, &named, status, usage, self.began);
        let body = EventBody::EngineCalledModel { turn: self.turn, call };
        let _nobody_writes = self.teller.write(vec![body]).await;
    }
}

fn response(
    status: u16,
    headers: HeaderMap,
    taken: mpsc::Receiver<Result<Bytes, RelayError>>,
) -> Response<OriginBody> {
    let body = stream::unfold(taken, |mut taken| async move {
        let part = taken.recv().await?;
        Some((part.map(http_body::Frame::data).map_err(std::io::Error::other), taken))
    });
    let mut response = Response::new(StreamBody::new(body).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    response
}

/// What answers in one turn.
pub(crate) struct Gateway {
    turn: u32,
    provider: String,
    pass: String,
    model: Arc<dyn Model>,
    link: Link,
    teller: Teller,
    tools: Arc<dyn Origin>,
    room: Arc<Semaphore>,
    refusals: AtomicU32,
}

/// Who a gateway is for, and what it works with.
pub(crate) struct GatewayParts {
    pub(crate) turn: u32,
    pub(crate) provider: String,
    pub(crate) pass: String,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) link: Link,
    pub(crate) teller: Teller,
    /// The sandbox's own tools.
    pub(crate) tools: Arc<dyn Origin>,
}

impl Gateway {
    pub(crate) fn new(parts: GatewayParts) -> Self {
        let GatewayParts { turn, provider, pass, model, link, teller, tools } = parts;
        let (room, refusals) = (Arc::new(Semaphore::new(AT_ONCE)), AtomicU32::new(0));
        Self { turn, provider, pass, model, link, teller, tools, room, refusals }
    }

    async fn relay(&self, api: RelayApi, path: &str, request: Request<OriginBody>) -> Response<OriginBody> {
        let refuse = |status, message: &str| error(api, status, message);
        // A place comes first: no more bodies are kept than there are places.
        let Ok(place) = Arc::clone(&self.room).acquire_owned().await else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "nightshift: the turn is over");
        };
        let (head, body) = request.into_parts();
        let whole = tokio::time::timeout(WHOLE_WITHIN, Limited::new(body, LONGEST_RELAYED).collect()).await;
        let body = match whole {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, "nightshift: the request is too large");
            }
            Err(_) => {
                return refuse(StatusCode::REQUEST_TIMEOUT, "nightshift: the request did not come whole");
            }
        };
        let request =
            RelayRequest { method: head.method, path: path.to_owned(), headers: head.headers, body };
        let weight = match self.model.weigh(&self.provider, &request) {
            Ok(weight) => weight,
            Err(RelayError::NotJson) => {
                return refuse(StatusCode::BAD_REQUEST, "nightshift: the body is no request");
            }
            Err(why @ RelayError::Reaches { .. }) => {
                return refuse(StatusCode::BAD_REQUEST, &format!("nightshift: {why}"));
            }
            Err(why) => return refuse(StatusCode::NOT_FOUND, &format!("nightshift: {why}")),
        };
        let reserved = match &weight.model {
            None => None,
            Some(model) => match self.reserve(&weight).await {
                Ok(reserved) => Some(reserved),
                Err(why) => {
                    self.note_refusal(model, &why).await;
                    return refuse(StatusCode::FORBIDDEN, &format!("nightshift: not called: {why}"));
                }
            },
        };
        // In a task of its own: what was sent is counted also when the program goes away meanwhile.
        let (head, headed) = oneshot::channel();
        let call = Call {
            turn: self.turn,
            provider: self.provider.clone(),
            model: Arc::clone(&self.model),
            teller: self.teller.clone(),
            began: Instant::now(),
        };
        tokio::spawn(async move {
            let _kept = (place, reserved);
            call.make(request, weight, head).await;
        });
        match headed.await {
            Ok(Ok(response)) => response,
            Ok(Err(why)) => refuse(StatusCode::BAD_GATEWAY, &format!("nightshift: {why}")),
            Err(_) => refuse(StatusCode::BAD_GATEWAY, "nightshift: the call ended"),
        }
    }

    /// Waits until a call may be made, or says why it may not.
    async fn reserve(&self, weight: &Weight) -> Result<Reserved, String> {
        let unpriced = weight.worst.cost_microdollars == 0;
        if unpriced && self.link.ask(nightshift_agent::AgentMachine::is_limited_in_money) == Some(true) {
            return Err(
                "the model's price is not known, so the task's limit in money would not be held".to_owned()
            );
        }
        loop {
            match self.link.reserve(weight.worst) {
                Ok(reserved) => return Ok(reserved),
                Err(NotReserved::Limit(reason)) => return Err(said_of(&reason)),
                Err(NotReserved::Over) => return Err("the turn is over".to_owned()),
                Err(NotReserved::Later) => tokio::time::sleep(LATER).await,
            }
        }
    }

    async fn note_refusal(&self, model: &str, why: &str) {
        if self.refusals.fetch_add(1, Ordering::Relaxed) < MOST_REFUSALS {
            let call = EngineModelCall {
                refused: Some(why.to_owned()),
                ..call_of(&self.provider, model, None, Usage::default(), Instant::now())
            };
            self.note(call).await;
        }
    }

    async fn note(&self, call: EngineModelCall) {
        let _nobody_writes =
            self.teller.write(vec![EventBody::EngineCalledModel { turn: self.turn, call }]).await;
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let key = headers.get("x-api-key").map(HeaderValue::as_bytes);
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        [key, bearer].into_iter().flatten().any(|shown| same(shown, self.pass.as_bytes()))
    }
}

#[async_trait]
impl Origin for Gateway {
    async fn answer(&self, request: Request<OriginBody>) -> Response<OriginBody> {
        let path = request.uri().path().to_owned();
        let api = self.model.relay_api(&self.provider).unwrap_or(RelayApi::OpenAi);
        // A page asks first whether it may; it may not.
        if !self.is_known(request.headers()) || request.headers().contains_key("origin") {
            return error(api, StatusCode::UNAUTHORIZED, "nightshift: this is for the agent of this sandbox");
        }
        if path == TOOLS {
            return self.tools.answer(request).await;
        }
        let own = path.strip_prefix('/').and_then(|path| path.strip_prefix(self.provider.as_str()));
        match own.filter(|rest| rest.starts_with('/')) {
            Some(rest) => {
                // Clients of OpenAI's API have its version in their address, or not.
                let rest = match api {
                    RelayApi::OpenAi => {
                        rest.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(rest)
                    }
                    RelayApi::Messages => rest,
                };
                self.relay(api, rest, request).await
            }
            None => error(api, StatusCode::NOT_FOUND, "nightshift: there is nothing here"),
        }
    }
}

/// Whether two texts are the same; it takes as long whatever they have in common.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other)) == 0
}

fn said_of(reason: &PauseReason) -> String {
    match reason {
        PauseReason::Limit { limit } => format!("the task may use {limit}"),
        _ => "the turn is over".to_owned(),
    }
}

fn call_of(
    provider: &str,
    model: &str,
    status: Option<u16>,
    usage: Usage,
    began: Instant,
) -> EngineModelCall {
    EngineModelCall {
        provider: provider.to_owned(),
        model: model.chars().take(200).collect(),
        status,
        refused: None,
        usage,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

fn error(api: RelayApi, status: StatusCode, message: &str) -> Response<OriginBody> {
    let body = Full::new(Bytes::from(api.error(message))).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Clients of both vendors look at it before they try again.
    response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    response
}

#[cfg(test)]
mod tests;
