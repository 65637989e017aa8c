//! Anthropic's Messages API, version 2026-10-21, streaming.
//!
//! ```text
//!   turn ─▶ translate ─▶ send ─▶ stream ─▶ whole ─▶ Turn
//!                         ▲        │
//!                         ├─ wait ◀┤ a fault that may pass: overload, a cut, silence
//!                         └────────┘ the model knows no computer toolset: offer the plain function
//! ```

mod answer;
mod body;
mod fragment;
mod names;
mod refusal;
mod settings;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_protocol::{ToolDefinition, Usage};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::answer::{Answer, Broken, Taken, Whole};
use self::body::{assemble, fragments};
use self::fragment::Fragments;
use self::names::{ComputerForm, computer_form};
use self::refusal::{ErrorAnswer, Failure, Setback, read_error_answer, read_streamed_error};
use self::settings::http_client;
pub use self::settings::{AnthropicSettings, InvalidSettings};
use crate::error::excerpt;
use crate::server_sent_events::EventReader;
use crate::{
    ImageSource, InvalidAnswer, Model, ModelFacts, Price, Progress, Turn, TurnError, TurnRequest, price,
};

/// No answer is larger: 128 thousand tokens are about half a megabyte, and events multiply that by at most some twenty.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// No error, and no list of models, is larger.
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// How long the end of a whole answer is waited for, so that the connection can serve the next turn.
const LINGER: Duration = Duration::from_millis(100);

/// A client of Anthropic's Messages API. It may be shared by all runs.
pub struct Anthropic {
    settings: AnthropicSettings,
    base: Url,
    http: Client,
    fragments: Mutex<Fragments>,
    /// The models that turned out not to know the trained computer tool.
    without_toolset: Mutex<HashSet<String>>,
}

impl fmt::Debug for Anthropic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Anthropic").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Anthropic {
    /// Makes a client; no connection is made yet.
    ///
    /// # Errors
    ///
    /// [`InvalidSettings`] if an address is no address, or the system has no certificates.
    pub fn new(settings: AnthropicSettings) -> Result<Self, InvalidSettings> {
        let base = Url::parse(&settings.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| InvalidSettings::BaseUrl { base_url: excerpt(&settings.base_url, 200) })?;
        let http = http_client(&settings, &base)?;
        Ok(Self { settings, base, http, fragments: Mutex::default(), without_toolset: Mutex::default() })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Refused only by URLs that cannot be a base, and those of HTTP can.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    fn computer_form(&self, model: &str) -> ComputerForm {
        let without = self.without_toolset.lock().unwrap_or_else(PoisonError::into_inner);
        if without.contains(model) { ComputerForm::Function } else { computer_form(model) }
    }

    fn remember_without_toolset(&self, model: &str) {
        self.without_toolset.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned());
    }

    fn dice(&self) -> u32 {
        let mut bytes = [0; 4];
        self.settings.entropy.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn priced(&self, usage: Usage, model: &str, asked: &str) -> Usage {
        let price = price::anthropic(model).or_else(|| price::anthropic(asked));
        Usage { cost_microdollars: price.map_or(0, |price| price.cost(&usage)), ..usage }
    }

    /// One try. What it used before it broke is added to `lost`.
    async fn attempt(
        &self,
        body: Bytes,
        progress: &(dyn Fn(Progress) + Send + Sync),
        lost: &mut Usage,
    ) -> Result<Whole, Failure> {
        let mut response = self.send(self.http.post(self.url(&["messages"])).body(body)).await?;
        let mut answer = Answer::default();
        match self.stream(&mut response, &mut answer, progress).await {
            Ok(()) => {
                // An error of a lost connection is of no interest any more: the answer is whole.
                let _ = timeout(LINGER, response.chunk()).await;
                Ok(answer.finish())
            }
            Err(failure) => {
                *lost += answer.usage();
                Err(failure)
            }
        }
    }

    /// Feeds the answer until it is whole.
    async fn stream(
        &self,
        response: &mut Response,
        answer: &mut Answer,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Failure> {
        let too_large = || Failure::Final(InvalidAnswer::TooLarge { limit: MAX_ANSWER_BYTES }.into());
        let mut events = EventReader::new(MAX_ANSWER_BYTES);
        let mut received = 0_usize;
        while let Some(bytes) = self.chunk(response).await? {
            received += bytes.len();
            if received > MAX_ANSWER_BYTES {
                return Err(too_large());
            }
            events.push(&bytes).map_err(|_| too_large())?;
            while let Some(event) = events.next() {
                match answer.take(&event) {
                    Ok(Taken::Quiet) => {}
                    Ok(Taken::Progress(news)) => progress(news),
                    Ok(Taken::Whole) => return Ok(()),
                    Err(Broken::Reported { kind, message }) => {
                        return Err(read_streamed_error(&kind, message));
                    }
                    Err(Broken::Invalid(invalid)) => return Err(Failure::Final(invalid.into())),
                }
            }
        }
        Err(Failure::Setback(Setback::Cut))
    }

    /// Sends a request and waits for the headers of a good answer.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Failure> {
        let silence = self.settings.retry.silence;
        let response = timeout(silence, request.send())
            .await
            .map_err(|_| Failure::Setback(Setback::Silent(silence)))?
            .map_err(|error| Failure::Setback(Setback::Unreachable(error.without_url())))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after = header(response.headers(), RETRY_AFTER.as_str())
            .and_then(|text| crate::retry::retry_after(text, self.settings.clock.now()));
        let should_retry = header(response.headers(), "x-should-retry").and_then(|text| text.parse().ok());
        let body = self.document(response).await.unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        Err(read_error_answer(&ErrorAnswer { status, body: &body, retry_after, should_retry }))
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
        serde_json::from_slice(&document).map_err(|_| {
            let excerpt = excerpt(&String::from_utf8_lossy(&document), 200);
            Failure::Final(InvalidAnswer::NotJson { excerpt }.into())
        })
    }

    /// The error for a name that the provider has not; it asks which ones there are.
    async fn not_found(&self, model: &str, message: String) -> TurnError {
        let mut url = self.url(&["models"]);
        url.query_pairs_mut().append_pair("limit", "1000");
        match self.get(url).await {
            Ok(list) => TurnError::UnknownModel { model: model.to_owned(), known: ids(&list) },
            // It is not the model that is unknown, but the address: nothing there lists models.
            Err(Failure::NotFound { .. }) => TurnError::RequestRefused { status: 404, message },
            Err(_) => TurnError::UnknownModel { model: model.to_owned(), known: Vec::new() },
        }
    }
}

#[async_trait]
impl Model for Anthropic {
    async fn turn(
        &self,
        request: &TurnRequest,
        images: &dyn ImageSource,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Turn, TurnError> {
        let policy = &self.settings.retry;
        let began = Instant::now();
        let fragments = fragments(request, &self.fragments, images).await?;
        let mut form = self.computer_form(&request.model);
        let mut body = assemble(request, form, &fragments)?;
        let mut lost = Usage::default();
        let mut tries = 0;
        loop {
            tries += 1;
            let failure =
                match timeout_at(began + policy.total, self.attempt(body.clone(), progress, &mut lost)).await
                {
                    Ok(Ok(Whole { message, stop, usage, model })) => {
                        let usage = self.priced(usage, &model, &request.model);
                        let lost = self.priced(lost, &model, &request.model);
                        let model = if model.is_empty() { request.model.clone() } else { model };
                        return Ok(Turn { message, stop, usage, lost, model });
                    }
                    Ok(Err(failure)) => failure,
                    Err(_) => return Err(TurnError::TookTooLong { tries, limit: policy.total }),
                };
            match failure {
                Failure::Setback(setback) => {
                    let wait = policy.wait(tries, began.elapsed(), setback.wish(), self.dice());
                    let Some(wait) = wait else { return Err(setback.give_up(tries)) };
                    progress(Progress::Retrying { reason: setback.reason(), wait, attempt: tries + 1 });
                    sleep(wait).await;
                }
                Failure::ToolsetUnknown { .. }
                    if form == ComputerForm::Toolset && offers_computer(request) =>
                {
                    self.remember_without_toolset(&request.model);
                    form = ComputerForm::Function;
                    body = assemble(request, form, &fragments)?;
                    tries -= 1;
                }
                Failure::ToolsetUnknown { message } => {
                    return Err(TurnError::RequestRefused { status: 400, message });
                }
                Failure::NotFound { message } => return Err(self.not_found(&request.model, message).await),
                Failure::Final(error) => return Err(error),
            }
        }
    }

    async fn check(&self, model: &str) -> Result<ModelFacts, TurnError> {
        match self.get(self.url(&["models", model])).await {
            Ok(facts) => Ok(model_facts(&facts, model)),
            Err(Failure::NotFound { message }) => Err(self.not_found(model, message).await),
            Err(Failure::Setback(setback)) => Err(setback.give_up(1)),
            Err(Failure::ToolsetUnknown { message }) => {
                Err(TurnError::RequestRefused { status: 400, message })
            }
            Err(Failure::Final(error)) => Err(error),
        }
    }

    fn price(&self, model: &str) -> Option<Price> {
        price::anthropic(model)
    }
}

fn offers_computer(request: &TurnRequest) -> bool {
    request.tools.iter().any(|tool| matches!(tool, ToolDefinition::Computer { .. }))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn ids(list: &Value) -> Vec<String> {
    let models = list.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    models.iter().filter_map(|model| model.get("id")?.as_str().map(str::to_owned)).collect()
}

fn model_facts(facts: &Value, asked: &str) -> ModelFacts {
    let text = |field| facts.get(field).and_then(Value::as_str);
    let id = text("id").unwrap_or(asked);
    ModelFacts {
        id: id.to_owned(),
        display_name: text("display_name").unwrap_or(id).to_owned(),
        max_input_tokens: facts.get("max_input_tokens").and_then(Value::as_u64),
        max_output_tokens: facts.get("max_tokens").and_then(Value::as_u64),
        reads_images: facts.pointer("/capabilities/image_input/supported").and_then(Value::as_bool),
        price: price::anthropic(id).or_else(|| price::anthropic(asked)),
    }
}
