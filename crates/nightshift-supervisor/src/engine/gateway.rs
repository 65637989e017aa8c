//! What answers a foreign agent in the sandbox: the provider of its models, and the sandbox's own tools.
//!
//! The program shows a pass that is good for this turn alone, so that pages in the sandbox's browser, which can make
//! requests too, get nothing. The key is added behind this.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use nightshift_agent::AgentMachine;
use nightshift_egress::{Origin, OriginBody};
use nightshift_model::{LONGEST_RELAYED, Model, Pricing, RelayApi, RelayError, RelayRequest, Weight};
use nightshift_protocol::{EngineModelCall, EngineModelRequest, EventBody, PauseReason, Usage};
use tokio::sync::{Semaphore, oneshot};

use super::link::{Link, NotReserved, Reserved, Teller, TurnOver};
use crate::trouble;
use call::{Call, NotMade, Paid};

mod call;

/// Where the sandbox's own tools are.
pub(crate) const TOOLS: &str = "/nightshift/tools";

/// Model calls of one agent at once; more wait.
const AT_ONCE: usize = 4;

/// Refusals of a turn that are written down: an agent may try for ever.
const MOST_REFUSALS: u32 = 20;

/// How long a request may take to come whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// How long a call waits for others that may use what is left, before it is looked again.
const LATER: Duration = Duration::from_millis(200);

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
    /// Model calls that were intended in the run.
    calls: AtomicU32,
    over: TurnOver,
}

/// Who a gateway is for, and what it works with.
pub(crate) struct GatewayParts {
    pub(crate) turn: u32,
    pub(crate) provider: String,
    pub(crate) pass: String,
    /// Model calls that were intended before in the run.
    pub(crate) calls: u32,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) link: Link,
    pub(crate) teller: Teller,
    /// The sandbox's own tools.
    pub(crate) tools: Arc<dyn Origin>,
}

impl Gateway {
    pub(crate) fn new(parts: GatewayParts) -> Self {
        let GatewayParts { turn, provider, pass, calls, model, link, teller, tools } = parts;
        let (room, refusals) = (Arc::new(Semaphore::new(AT_ONCE)), AtomicU32::new(0));
        let (calls, over) = (AtomicU32::new(calls), link.over());
        Self { turn, provider, pass, model, link, teller, tools, room, refusals, calls, over }
    }

    async fn relay(&self, api: RelayApi, path: &str, request: Request<OriginBody>) -> Response<OriginBody> {
        let refuse = |status, message: &str| error(api, status, message);
        // A place comes first: no more bodies are kept than there are places.
        let Ok(place) = Arc::clone(&self.room).acquire_owned().await else {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "nightshift: the turn is over");
        };
        let (head, body) = request.into_parts();
        let mut over = self.over.clone();
        let whole = tokio::select! {
            biased;
            whole = tokio::time::timeout(WHOLE_WITHIN, Limited::new(body, LONGEST_RELAYED).collect()) => whole,
            // One that comes slowly does not reach into another turn.
            () = over.passed() => return refuse(StatusCode::FORBIDDEN, &said_of_not_made(&NotMade::TurnOver)),
        };
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
            Err(why @ RelayError::TooManyValues { .. }) => {
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("nightshift: {why}"));
            }
            Err(why @ (RelayError::Reaches { .. } | RelayError::NoNumber { .. })) => {
                return refuse(StatusCode::BAD_REQUEST, &format!("nightshift: {why}"));
            }
            Err(why) => return refuse(StatusCode::NOT_FOUND, &format!("nightshift: {why}")),
        };
        let (paid, reserved) = match &weight.model {
            None => (None, None),
            Some(model) => match self.reserve(model, &weight).await {
                Ok(reserved) => match self.intend(model, &weight) {
                    Some(paid) => (Some(paid), Some(reserved)),
                    None => return refuse(StatusCode::FORBIDDEN, &said_of_not_made(&NotMade::TurnOver)),
                },
                Err(why) => {
                    self.note_refusal(model, &why).await;
                    return refuse(StatusCode::FORBIDDEN, &format!("nightshift: not called: {why}"));
                }
            },
        };
        // In a task of its own, and nothing is waited for before it: what is intended has an end, and what was sent is counted,
        // also when the program goes away meanwhile.
        let (head, headed) = oneshot::channel();
        let call = Call {
            provider: self.provider.clone(),
            model: Arc::clone(&self.model),
            over: self.over.clone(),
            began: Instant::now(),
            paid,
        };
        tokio::spawn(async move {
            let _kept = (place, reserved);
            call.make(request, weight, head).await;
        });
        match headed.await {
            Ok(Ok(response)) => response,
            Ok(Err(why @ NotMade::TurnOver)) => refuse(StatusCode::FORBIDDEN, &said_of_not_made(&why)),
            Ok(Err(why)) => refuse(StatusCode::BAD_GATEWAY, &said_of_not_made(&why)),
            Err(_) => refuse(StatusCode::BAD_GATEWAY, "nightshift: the call ended"),
        }
    }

    /// Waits until a call may be made, or says why it may not.
    async fn reserve(&self, model: &str, weight: &Weight) -> Result<Reserved, String> {
        // The program chooses the model, not the person: the usual limit holds as well.
        let holds = match self.model.pricing(&self.provider, model) {
            Pricing::Known => true,
            Pricing::Unknown => false,
            Pricing::Keyless => self.link.ask(AgentMachine::is_limited_in_money) != Some(true),
        };
        if !holds {
            return Err(format!(
                "the model's price is not known, so the task's limit in money would not be held; {}",
                trouble::where_a_price_is_named(&self.provider, &shown(model))
            ));
        }
        loop {
            match self.link.reserve(weight.worst, &self.over) {
                Ok(reserved) => return Ok(reserved),
                Err(NotReserved::Limit(reason)) => return Err(said_of(&reason)),
                Err(NotReserved::Over) => return Err("the turn is over".to_owned()),
                Err(NotReserved::Later) => tokio::time::sleep(LATER).await,
            }
        }
    }

    /// Begins to write down that a call is going to be made, before it is: an owner that ends meanwhile counts it then. `None`
    /// where nobody writes any more.
    fn intend(&self, model: &str, weight: &Weight) -> Option<Paid> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let call = EngineModelRequest {
            number,
            provider: self.provider.clone(),
            model: shown(model),
            worst: weight.worst,
        };
        let intended = vec![EventBody::EngineCallIntended { turn: self.turn, call }];
        let writing = self.teller.begin(intended).ok()?;
        let (turn, asked, teller) = (self.turn, model.to_owned(), self.teller.clone());
        Some(Paid { turn, number, asked, worst: weight.worst, writing: Some(writing), teller })
    }

    async fn note_refusal(&self, model: &str, why: &str) {
        if self.refusals.fetch_add(1, Ordering::Relaxed) < MOST_REFUSALS {
            let call = EngineModelCall {
                number: 0,
                provider: self.provider.clone(),
                model: shown(model),
                status: None,
                refused: Some(why.to_owned()),
                usage: Usage::default(),
                took_ms: 0,
            };
            let refused = vec![EventBody::EngineCalledModel { turn: self.turn, call }];
            let _nobody_writes = self.teller.write(refused).await;
        }
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

fn said_of_not_made(why: &NotMade) -> String {
    match why {
        NotMade::TurnOver => "nightshift: not called: the turn is over".to_owned(),
        NotMade::Relay(error) => format!("nightshift: {error}"),
    }
}

/// A model's name, as a program wrote it, cut to what any has.
fn shown(model: &str) -> String {
    model.chars().take(200).collect()
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
