//! A provider of models, whichever API it speaks.
//!
//! ```text
//!   turn ─▶ translate ─▶ send ─▶ stream ─▶ whole ─▶ Turn
//!                         ▲        │
//!                         ├─ wait ◀┤ a fault that may pass: overload, a cut, silence
//!                         └────────┘ the model refuses a form of the request: the next simpler one, remembered
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_protocol::{Usage, json_values};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::dialect::{Arriving, Broken, Dialect, Taken, Whole};
use crate::error::excerpt;
use crate::failure::{ErrorAnswer, Failure, Setback};
use crate::fragment::Conversations;
use crate::json::{MOST_VALUES, parsed};
use crate::server_sent_events::EventReader;
use crate::settings::http_client;
use crate::spent::{Spent, Told};
use crate::{
    ChatSettings, ImageSource, InvalidAnswer, InvalidSettings, Key, Model, ModelFacts, ModelList, Price,
    Pricing, Progress, ProviderSettings, RelayAnswer, RelayApi, RelayError, RelayRequest, SafetyChecks, Turn,
    TurnError, TurnRequest, Unsendable, Weight, anthropic, chat, relay, responses,
};

/// No answer is larger: 128 thousand tokens are about half a megabyte, and events multiply that by at most some twenty.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// No answer holds more values in all its events: each token of it comes with some ten.
const MAX_ANSWER_VALUES: usize = 3_000_000;
/// No error, and no list of models, is larger.
const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
/// How long the end of a whole answer is waited for, so that the connection can serve the next turn.
const LINGER: Duration = Duration::from_millis(100);

/// A client of one provider. It may be shared by all runs.
pub struct Provider {
    settings: ProviderSettings,
    base: Url,
    http: Client,
    conversations: Mutex<Conversations>,
    dialect: Box<dyn Dialect>,
    /// Prices that a person names, by the provider's names of its models.
    prices: BTreeMap<String, Price>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Provider")
            .field("settings", &self.settings)
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// Makes a client of Anthropic's Messages API, version 2026-10-21; no connection is made yet.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`] if an address is no address, or the system has no certificates.
    pub fn messages(settings: ProviderSettings) -> Result<Self, InvalidSettings> {
        Self::new(settings, Box::new(anthropic::Messages::default()))
    }

    /// Makes a client of OpenAI's Responses API; no connection is made yet.
    ///
    /// # Errors
    ///
    /// As [`Provider::messages`].
    pub fn responses(settings: ProviderSettings, checks: SafetyChecks) -> Result<Self, InvalidSettings> {
        Self::new(settings, Box::new(responses::Responses::new(checks)))
    }

    /// Makes a client of the Chat Completions API as Ollama, llama.cpp, vLLM and many gateways speak it; no
    /// connection is made yet.
    ///
    /// # Errors
    ///
    /// As [`Provider::messages`].
    pub fn chat(settings: ProviderSettings, chat: ChatSettings) -> Result<Self, InvalidSettings> {
        Self::new(settings, Box::new(chat::Chat::new(chat)))
    }

    fn new(settings: ProviderSettings, dialect: Box<dyn Dialect>) -> Result<Self, InvalidSettings> {
        let base = settings.base()?;
        let http = http_client(&settings, &base, dialect.key_header(), dialect.fixed_headers())?;
        let (conversations, prices) = (Mutex::default(), BTreeMap::new());
        Ok(Self { settings, base, http, conversations, dialect, prices })
    }

    /// The same with these prices, by the provider's names of its models, in the place of list prices.
    #[must_use]
    pub fn with_prices(self, prices: BTreeMap<String, Price>) -> Self {
        Self { prices, ..self }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Refused only by URLs that cannot be a base, and those of HTTP can.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn dice(&self) -> u32 {
        let mut bytes = [0; 4];
        self.settings.entropy.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn priced(&self, usage: Usage, model: &str, asked: &str) -> Usage {
        let price = self.price(model).or_else(|| self.price(asked));
        Usage { cost_microdollars: price.map_or(0, |price| price.cost(&usage)), ..usage }
    }

    /// What is sent, in the best form that the model is not known to refuse.
    async fn body(&self, request: &TurnRequest, images: &dyn ImageSource) -> Result<Bytes, Unsendable> {
        let conversation = self.dialect.translated(request, &self.conversations, images).await?;
        self.dialect.body(request, &conversation)
    }

    /// One try. What it uses is noted in `spent`.
    async fn attempt(
        &self,
        request: &TurnRequest,
        body: Bytes,
        progress: &(dyn Fn(Progress) + Send + Sync),
        spent: &mut Spent<'_>,
    ) -> Result<Whole, Failure> {
        let url = self.url(self.dialect.turn_path());
        spent.begin(body.clone(), request.max_output_tokens);
        let sent = self.http.post(url).headers(self.dialect.headers(request)).body(body);
        let mut response = match self.send(sent).await {
            Ok(response) => response,
            Err(failure) => {
                if !failure.may_be_paid() {
                    spent.nothing();
                }
                return Err(failure);
            }
        };
        let mut answer = self.dialect.answer(request);
        self.stream(&mut response, answer.as_mut(), progress, spent).await?;
        // An error of a lost connection is of no interest any more: the answer is whole.
        let _ = timeout(LINGER, response.chunk()).await;
        Ok(answer.finish())
    }

    /// Feeds the answer until it is whole.
    async fn stream(
        &self,
        response: &mut Response,
        answer: &mut dyn Arriving,
        progress: &(dyn Fn(Progress) + Send + Sync),
        spent: &mut Spent<'_>,
    ) -> Result<(), Failure> {
        let too_large = || Failure::Final(InvalidAnswer::TooLarge { limit: MAX_ANSWER_BYTES }.into());
        let mut events = EventReader::new(MAX_ANSWER_BYTES);
        let (mut received, mut values) = (0_usize, 0_usize);
        while let Some(bytes) = self.chunk(response).await? {
            received += bytes.len();
            spent.came(bytes.len());
            if received > MAX_ANSWER_BYTES {
                return Err(too_large());
            }
            events.push(&bytes).map_err(|_| too_large())?;
            while let Some(event) = events.next() {
                let held = json_values(event.data.as_bytes());
                values += held;
                for (held, limit) in [(held, MOST_VALUES), (values, MAX_ANSWER_VALUES)] {
                    if held > limit {
                        return Err(Failure::Final(InvalidAnswer::TooManyValues { limit }.into()));
                    }
                }
                let taken = answer.take(&event);
                // A fault that the provider reports is no cut: what it has said by then is what it bills.
                let ends = matches!(taken, Ok(Taken::Whole) | Err(Broken::Reported { .. }));
                let usage = answer.usage();
                spent.told(if ends || answer.is_counted() { Told::InAll(usage) } else { Told::SoFar(usage) });
                match taken {
                    Ok(Taken::Quiet) => {}
                    Ok(Taken::Progress(news)) => progress(news),
                    Ok(Taken::Whole) => return Ok(()),
                    Err(Broken::Reported { kind, message }) => {
                        return Err(self.dialect.read_streamed_error(&kind, message));
                    }
                    Err(Broken::Invalid(invalid)) => return Err(Failure::Final(invalid.into())),
                }
            }
        }
        if answer.may_end() { Ok(()) } else { Err(Failure::Setback(Setback::Cut)) }
    }

    /// Sends a request and waits for the headers of a good answer.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Failure> {
        let silence = self.settings.retry.silence;
        let response = timeout(silence, request.send())
            .await
            .map_err(|_| Failure::Setback(Setback::Silent(silence)))?
            .map_err(|error| Failure::Setback(Setback::Unreachable(with_origin_only(error))))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after = header(response.headers(), RETRY_AFTER.as_str())
            .and_then(|text| crate::retry::retry_after(text, self.settings.clock.now()));
        let should_retry = header(response.headers(), "x-should-retry").and_then(|text| text.parse().ok());
        let body = self.document(response).await.unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        Err(self.dialect.read_error(&ErrorAnswer { status, body: &body, retry_after, should_retry }))
    }

    /// The next bytes of an answer; `None` at its end.
    async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        let silence = self.settings.retry.silence;
        match timeout(silence, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(_)) => Err(Failure::Setback(Setback::Cut)),
            Err(_) => Err(Failure::Setback(Setback::Silent(silence))),
        }
    }

    /// Reads a small answer whole, and a large one up to the limit.
    async fn document(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut document = Vec::new();
        while let Some(bytes) = self.chunk(&mut response).await? {
            document.extend_from_slice(&bytes);
            if document.len() > MAX_DOCUMENT_BYTES {
                document.truncate(MAX_DOCUMENT_BYTES);
                break;
            }
        }
        Ok(document)
    }

    async fn get(&self, url: Url) -> Result<Value, Failure> {
        let response = self.send(self.http.get(url)).await?;
        let document = self.document(response).await?;
        parsed(&document).ok_or_else(|| {
            let excerpt = excerpt(&String::from_utf8_lossy(&document), 200);
            Failure::Final(InvalidAnswer::NotJson { excerpt }.into())
        })
    }

    async fn list(&self) -> Result<Vec<ModelFacts>, Failure> {
        let (path, query) = self.dialect.list_path();
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let list = self.get(url).await?;
        let models = list.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = models.iter().filter(|facts| facts.get("id").is_some_and(Value::is_string));
        Ok(named.map(|facts| self.facts(facts, "")).collect())
    }

    /// What the provider says about a model, with its price.
    fn facts(&self, facts: &Value, asked: &str) -> ModelFacts {
        let facts = self.dialect.model_facts(facts, asked);
        let named = self.prices.get(&facts.id).or_else(|| self.prices.get(asked)).copied();
        ModelFacts { price: named.or(facts.price), ..facts }
    }

    /// The error for a name that the provider has not; it asks which ones there are.
    async fn not_found(&self, model: &str, message: String) -> TurnError {
        match self.list().await {
            Ok(list) => TurnError::UnknownModel {
                model: model.to_owned(),
                known: list.into_iter().map(|facts| facts.id).collect(),
            },
            Err(failure) => unlisted(&failure, model, message),
        }
    }

    async fn ended(&self, failure: Failure, model: &str) -> TurnError {
        match failure {
            Failure::NotFound { message } => self.not_found(model, message).await,
            Failure::Setback(setback) => setback.give_up(1),
            Failure::Refused { status, message } => TurnError::RequestRefused { status, message },
            Failure::Final(error) => error,
        }
    }
}

#[async_trait]
impl Model for Provider {
    async fn turn(
        &self,
        request: &TurnRequest,
        images: &dyn ImageSource,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Turn, TurnError> {
        let policy = &self.settings.retry;
        let began = Instant::now();
        let mut body = self.body(request, images).await?;
        let mut spent = Spent::new(progress, self.price(&request.model));
        let mut tries = 0;
        loop {
            tries += 1;
            let attempt = self.attempt(request, body.clone(), progress, &mut spent);
            let failure = match timeout_at(began + policy.total, attempt).await {
                Ok(Ok(Whole { message, stop, usage, model })) => {
                    // A server that does not count is not free: no limit would hold.
                    let usage =
                        if usage == Usage::default() { relay::estimated(&body, &message) } else { usage };
                    let usage = self.priced(usage, &model, &request.model);
                    let lost = spent.answered();
                    let model = if model.is_empty() { request.model.clone() } else { model };
                    return Ok(Turn { message, stop, usage, lost, model });
                }
                Ok(Err(failure)) => failure,
                Err(_) => return Err(TurnError::TookTooLong { tries, limit: policy.total }),
            };
            spent.cut();
            match failure {
                Failure::Setback(setback) => {
                    let wait = policy.wait(tries, began.elapsed(), setback.wish(), self.dice());
                    let Some(wait) = wait else { return Err(setback.give_up(tries)) };
                    progress(Progress::Retrying { reason: setback.reason(), wait, attempt: tries + 1 });
                    sleep(wait).await;
                }
                Failure::Refused { message, .. } if self.dialect.step_down(request, &message) => {
                    body = self.body(request, images).await?;
                    tries -= 1;
                }
                failure => return Err(self.ended(failure, &request.model).await),
            }
        }
    }

    async fn check(&self, model: &str) -> Result<ModelFacts, TurnError> {
        let (path, _) = self.dialect.list_path();
        let path: Vec<&str> = path.iter().copied().chain([model]).collect();
        let message = match self.get(self.url(&path)).await {
            Ok(facts) => return Ok(self.facts(&facts, model)),
            Err(Failure::NotFound { message }) => message,
            Err(failure) => return Err(self.ended(failure, model).await),
        };
        // Some servers list their models and know no address of a single one.
        match self.list().await {
            Ok(list) => list.iter().find(|facts| facts.id == model).cloned().ok_or_else(|| {
                let known = list.into_iter().map(|facts| facts.id).collect();
                TurnError::UnknownModel { model: model.to_owned(), known }
            }),
            Err(failure) => Err(unlisted(&failure, model, message)),
        }
    }

    async fn models(&self) -> Result<ModelList, TurnError> {
        match self.list().await {
            Ok(list) => {
                let models = list.into_iter().filter(|facts| !facts.retired).collect();
                Ok(ModelList { models, troubles: Vec::new() })
            }
            Err(Failure::NotFound { message }) => Err(TurnError::RequestRefused { status: 404, message }),
            Err(failure) => Err(self.ended(failure, "").await),
        }
    }

    fn price(&self, model: &str) -> Option<Price> {
        self.prices.get(model).copied().or_else(|| self.dialect.price(model))
    }

    fn relay_api(&self, _provider: &str) -> Result<RelayApi, RelayError> {
        Ok(self.dialect.relay_api())
    }

    fn weigh(&self, _provider: &str, request: &RelayRequest) -> Result<Weight, RelayError> {
        let mut weight = relay::weigh(self.dialect.relay_api(), request)?;
        if let Some(price) = weight.model.as_deref().and_then(|model| self.price(model)) {
            weight.worst.cost_microdollars = price.worst(&weight.worst, weight.kept);
        }
        Ok(weight)
    }

    async fn relay(
        &self,
        _provider: &str,
        request: &RelayRequest,
        weight: &Weight,
    ) -> Result<RelayAnswer, RelayError> {
        let path: Vec<&str> = request.path.split('/').filter(|part| !part.is_empty()).collect();
        let sent = self
            .http
            .request(request.method.clone(), self.url(&path))
            .headers(relay::sent_headers(&request.headers))
            .body(weight.body());
        let silence = self.settings.retry.silence;
        let response =
            timeout(silence, sent.send()).await.map_err(|_| RelayError::Unanswered)?.map_err(|error| {
                if error.is_connect() { RelayError::Unreachable } else { RelayError::Unanswered }
            })?;
        let key = self.settings.key.as_ref().map(Key::bytes).unwrap_or_default();
        Ok(RelayAnswer::new(response, key, weight.worst, silence))
    }

    fn pricing(&self, _provider: &str, model: &str) -> Pricing {
        match (self.price(model), &self.settings.key) {
            (Some(_), _) => Pricing::Known,
            (None, Some(_)) => Pricing::Unknown,
            (None, None) => Pricing::Keyless,
        }
    }

    fn cost(&self, _provider: &str, model: &str, usage: Usage) -> Usage {
        relay::priced(usage, self.price(model))
    }
}

/// The error for a name that the provider has not, where it lists none.
fn unlisted(failure: &Failure, model: &str, message: String) -> TurnError {
    match failure {
        // It is not the model that is unknown, but the address: nothing there lists models.
        Failure::NotFound { .. } => TurnError::RequestRefused { status: 404, message },
        _ => TurnError::UnknownModel { model: model.to_owned(), known: Vec::new() },
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
/// The error with no more of the address than says who cannot be reached: the rest may hold a key.
fn with_origin_only(mut error: reqwest::Error) -> reqwest::Error {
    if let Some(url) = error.url_mut() {
        url.set_path("");
        url.set_query(None);
        let _no_host = url.set_username("");
        let _no_host = url.set_password(None);
    }
    error
}
