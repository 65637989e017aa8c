//! What differs between the APIs of providers. Pure, but for the pictures a request needs.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_protocol::{Message, StopReason, Usage};
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::failure::{ErrorAnswer, Failure};
use crate::fragment::{Conversations, Translated};
use crate::server_sent_events::ServerSentEvent;
use crate::settings::KeyHeader;
use crate::{ImageSource, InvalidAnswer, ModelFacts, Price, Progress, RelayApi, TurnRequest, Unsendable};

/// An API of models.
#[async_trait]
pub(crate) trait Dialect: Send + Sync + std::fmt::Debug {
    /// Which API foreign clients of it speak.
    fn relay_api(&self) -> RelayApi;

    /// How it wants to be shown the key.
    fn key_header(&self) -> KeyHeader;

    /// Headers that go with each request.
    fn fixed_headers(&self) -> &'static [(&'static str, &'static str)];

    /// The path of a turn, below the provider's address.
    fn turn_path(&self) -> &'static [&'static str];

    /// The path of the list of models, and its query.
    fn list_path(&self) -> (&'static [&'static str], &'static [(&'static str, &'static str)]);

    /// Translates what is new in a conversation.
    async fn translated(
        &self,
        request: &TurnRequest,
        remembered: &Mutex<Conversations>,
        images: &dyn ImageSource,
    ) -> Result<Arc<Translated>, Unsendable>;

    /// Puts a request together in the best form that the model is not known to refuse.
    fn body(&self, request: &TurnRequest, conversation: &Translated) -> Result<Bytes, Unsendable>;

    /// Headers that follow from that form.
    fn headers(&self, request: &TurnRequest) -> HeaderMap;

    /// Takes a refusal of that form, and remembers it for the model. Returns whether there is a simpler form; each
    /// form is refused once, so this ends.
    fn step_down(&self, request: &TurnRequest, message: &str) -> bool;

    /// Begins an answer.
    fn answer(&self, request: &TurnRequest) -> Box<dyn Arriving>;

    /// What an error answer means.
    fn read_error(&self, answer: &ErrorAnswer<'_>) -> Failure;

    /// What an error within a stream means.
    fn read_streamed_error(&self, kind: &str, message: String) -> Failure;

    /// What the provider says about a model.
    fn model_facts(&self, facts: &Value, asked: &str) -> ModelFacts;

    /// The list price of a model.
    fn price(&self, model: &str) -> Option<Price>;
}

/// An answer that is arriving.
pub(crate) trait Arriving: Send {
    /// Takes the next event.
    fn take(&mut self, event: &ServerSentEvent) -> Result<Taken, Broken>;

    /// Whether it is whole, should the stream end here.
    fn may_end(&self) -> bool;

    /// What it has used as far as the provider has said.
    fn usage(&self) -> Usage;

    /// Whether that is all, although the answer is not whole yet.
    fn is_counted(&self) -> bool;

    /// The answer, once it is whole.
    fn finish(self: Box<Self>) -> Whole;
}

/// What an event led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing to tell.
    Quiet,
    /// Something to show.
    Progress(Progress),
    /// The answer is whole.
    Whole,
}

/// Why no answer comes from this stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The provider reports a fault within the stream.
    Reported {
        /// The provider's kind, for example `overloaded_error`.
        kind: String,
        /// Its explanation.
        message: String,
    },
    /// The stream makes no sense.
    Invalid(InvalidAnswer),
}

impl From<InvalidAnswer> for Broken {
    fn from(invalid: InvalidAnswer) -> Self {
        Self::Invalid(invalid)
    }
}

/// A whole answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Whole {
    pub(crate) message: Message,
    pub(crate) stop: StopReason,
    pub(crate) usage: Usage,
    pub(crate) model: String,
}

/// A figure of tokens. No answer has more than the bound, which keeps sums of figures from overflowing.
pub(crate) fn tokens(usage: Option<&Value>, path: &str) -> Option<u64> {
    usage?.pointer(path)?.as_u64().map(|tokens| tokens.min(u64::from(u32::MAX)))
}

/// Words to show, or nothing.
pub(crate) fn shown(text: Option<&Value>, progress: fn(String) -> Progress) -> Taken {
    match text.and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Taken::Progress(progress(text.to_owned())),
        _ => Taken::Quiet,
    }
}
