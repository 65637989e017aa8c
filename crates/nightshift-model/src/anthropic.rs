//! Anthropic's Messages API, version 2026-10-21, streaming.

mod answer;
mod body;
mod message;
mod names;
mod refusal;
mod trained;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_protocol::ToolDefinition;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;

use self::answer::Answer;
use self::message::MessagesForm;
use self::names::{CONTEXT_MANAGEMENT_BETA, Forms};
use crate::dialect::{Arriving, Dialect};
use crate::failure::{ErrorAnswer, Failure};
use crate::fragment::{Conversations, Translated, translated};
use crate::heads::RequestHeads;
use crate::settings::KeyHeader;
use crate::{ImageSource, ModelFacts, Price, RelayApi, TurnRequest, Unsendable, price};

/// The version of the API, as the vendor's own client of November 2026 names it.
const VERSION: &str = "2026-10-21";

/// The Messages API.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The forms of models that refused one.
    forms: Mutex<HashMap<String, Forms>>,
    heads: RequestHeads<Forms>,
}

impl Messages {
    fn forms(&self, model: &str) -> Forms {
        let known = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(model).copied().unwrap_or_else(|| Forms::of(model))
    }
}

#[async_trait]
impl Dialect for Messages {
    fn relay_api(&self) -> RelayApi {
        RelayApi::Messages
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::ApiKey
    }

    fn fixed_headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", VERSION)]
    }

    fn turn_path(&self) -> &'static [&'static str] {
        &["v1", "messages"]
    }

    fn list_path(&self) -> (&'static [&'static str], &'static [(&'static str, &'static str)]) {
        (&["v1", "models"], &[("limit", "1000")])
    }

    async fn translated(
        &self,
        request: &TurnRequest,
        remembered: &Mutex<Conversations>,
        images: &dyn ImageSource,
    ) -> Result<Arc<Translated>, Unsendable> {
        let conversation = translated(&MessagesForm, request, remembered, images).await?;
        body::check_images(&conversation)?;
        Ok(conversation)
    }

    fn body(&self, request: &TurnRequest, conversation: &Translated) -> Result<Bytes, Unsendable> {
        body::body(request, self.forms(&request.model), &self.heads, conversation)
    }

    fn headers(&self, request: &TurnRequest) -> HeaderMap {
        let forms = self.forms(&request.model);
        let has_screen = request.tools.iter().any(|tool| matches!(tool, ToolDefinition::Computer { .. }));
        let clears =
            request.clear_results_above.is_some() && forms.clears_context && !request.tools.is_empty();
        let betas = [forms.computer.beta().filter(|_| has_screen), clears.then_some(CONTEXT_MANAGEMENT_BETA)];
        let betas: Vec<&str> = betas.into_iter().flatten().collect();
        let mut headers = HeaderMap::new();
        if let Some(value) = HeaderValue::from_str(&betas.join(",")).ok().filter(|value| !value.is_empty()) {
            headers.insert("anthropic-beta", value);
        }
        headers
    }

    fn step_down(&self, request: &TurnRequest, message: &str) -> bool {
        let Some(simpler) = self.forms(&request.model).after_refusal(message) else { return false };
        let mut known = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(request.model.clone(), simpler);
        true
    }

    fn answer(&self, _request: &TurnRequest) -> Box<dyn Arriving> {
        Box::new(Answer::default())
    }

    fn read_error(&self, answer: &ErrorAnswer<'_>) -> Failure {
        refusal::read_error_answer(answer)
    }

    fn read_streamed_error(&self, kind: &str, message: String) -> Failure {
        refusal::read_streamed_error(kind, message)
    }

    fn model_facts(&self, facts: &Value, asked: &str) -> ModelFacts {
        let text = |field| facts.get(field).and_then(Value::as_str);
        let id = text("id").unwrap_or(asked);
        ModelFacts {
            id: id.to_owned(),
            display_name: text("display_name").unwrap_or(id).to_owned(),
            max_input_tokens: facts.get("max_input_tokens").and_then(Value::as_u64),
            max_output_tokens: facts.get("max_tokens").and_then(Value::as_u64),
            reads_images: facts.pointer("/capabilities/image_input/supported").and_then(Value::as_bool),
            retired: text("lifecycle").is_some_and(|lifecycle| lifecycle == "retired"),
            price: price::anthropic(id).or_else(|| price::anthropic(asked)),
        }
    }

    fn price(&self, model: &str) -> Option<Price> {
        price::anthropic(model)
    }
}
