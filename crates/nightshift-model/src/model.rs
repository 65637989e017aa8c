//! What a provider's client does, whoever the provider is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_protocol::{Image, Message, StopReason, ToolDefinition, Usage};

use crate::{Price, Pricing, RelayAnswer, RelayApi, RelayError, RelayRequest, TurnError, Weight};

/// A provider of models.
#[async_trait]
pub trait Model: Send + Sync {
    /// Asks the model for its next turn and waits until the answer is whole.
    ///
    /// Faults that pass (overload, cut streams, a lost network) are retried within the client's policy; each retry
    /// is told through `progress`. Dropping the future closes the connection and leaves nothing behind.
    ///
    /// # Errors
    ///
    /// A [`TurnError`] that names what a person or the agent can do about it.
    async fn turn(
        &self,
        request: &TurnRequest,
        images: &dyn ImageSource,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Turn, TurnError>;

    /// Asks the provider, once and without a charge, whether the key is good and the model known.
    ///
    /// # Errors
    ///
    /// [`TurnError::WrongKey`], [`TurnError::UnknownModel`], or why the provider could not be asked.
    async fn check(&self, model: &str) -> Result<ModelFacts, TurnError>;

    /// Asks the provider which models there are.
    ///
    /// # Errors
    ///
    /// Why the provider could not be asked, or that it lists none.
    async fn models(&self) -> Result<ModelList, TurnError>;

    /// The list price of a model, if it is known.
    fn price(&self, model: &str) -> Option<Price>;

    /// Which API the foreign clients of a provider speak, where calls of theirs can be carried to it.
    ///
    /// # Errors
    ///
    /// That there is no such provider, or no key for it.
    fn relay_api(&self, provider: &str) -> Result<RelayApi, RelayError> {
        Err(RelayError::UnknownProvider { provider: provider.to_owned() })
    }

    /// Finds out what a foreign client's request asks for and may cost at worst, without sending it.
    ///
    /// # Errors
    ///
    /// Why it is not carried.
    fn weigh(&self, provider: &str, request: &RelayRequest) -> Result<Weight, RelayError> {
        let _not_looked_at = request;
        Err(RelayError::UnknownProvider { provider: provider.to_owned() })
    }

    /// Carries a weighed request to the provider, with the owner's key in the place of the program's own. It is not tried
    /// again: the client that made it does that.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    async fn relay(
        &self,
        provider: &str,
        request: &RelayRequest,
        weight: &Weight,
    ) -> Result<RelayAnswer, RelayError> {
        let _not_sent = (request, weight);
        Err(RelayError::UnknownProvider { provider: provider.to_owned() })
    }

    /// What is known of what a provider's model costs, which a foreign client of it calls.
    fn pricing(&self, provider: &str, model: &str) -> Pricing {
        let _not_known = (provider, model);
        Pricing::Unknown
    }

    /// The same usage with what it costs, where the model's price is known.
    fn cost(&self, provider: &str, model: &str, usage: Usage) -> Usage {
        let _not_known = (provider, model);
        usage
    }
}

/// What a model is asked.
#[derive(Debug, Clone)]
pub struct TurnRequest {
    /// The provider's name of the model.
    pub model: String,
    /// Standing instructions; may be empty. With the tools they are translated once and remembered by their `Arc`, as messages
    /// are: pass the same one again.
    pub system: Arc<str>,
    /// The tools on offer.
    pub tools: Arc<[ToolDefinition]>,
    /// The conversation, oldest first; roles alternate, and the first and the last are the user's.
    ///
    /// A message is translated once and remembered by its `Arc`: pass the same `Arc` again, not a copy.
    pub messages: Arc<Vec<Arc<Message>>>,
    /// The most tokens the model may write, thinking included; at least 1.
    pub max_output_tokens: u32,
    /// Tokens of conversation above which the provider may clear old results, or sum them up, where it offers to. The
    /// conversation here stays as it is.
    pub clear_results_above: Option<u64>,
}

/// One turn of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The answer; always an assistant's message with its verbatim content.
    pub message: Message,
    /// Why the model stopped.
    pub stop: StopReason,
    /// What this answer used and cost. Input, cache reads and cache writes together are the conversation's size.
    pub usage: Usage,
    /// What tries of this turn had used when they were cut, as the provider had reported it or else by an estimate: to be paid,
    /// but no part of the conversation's size.
    pub lost: Usage,
    /// The model that answered, by the provider's own name.
    pub model: String,
}

/// What can be told of a turn before it is whole, for a person to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More words for the reader.
    Text(String),
    /// More reasoning.
    Thinking(String),
    /// The model began to write a tool call.
    ToolCallStarted {
        /// The tool, by our name.
        name: String,
    },
    /// What the turn used, with its price, of which no answer comes: it is given up, or nobody waits for it any more. It is paid
    /// all the same. Where the provider has not told it, it is estimated.
    Used(Usage),
    /// The try failed and is repeated from its beginning: whatever was told of it so far is void.
    Retrying {
        /// Why, in one sentence.
        reason: String,
        /// How long until the next try.
        wait: Duration,
        /// The number of the next try; the first try of a turn is 1.
        attempt: u32,
    },
}

/// Where the bytes of a conversation's pictures are.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// Reads a whole picture.
    ///
    /// # Errors
    ///
    /// Any IO error; it ends the turn before it is sent.
    async fn read(&self, image: &Image) -> std::io::Result<Bytes>;
}

/// The models there are.
#[derive(Debug, Default)]
pub struct ModelList {
    /// What can be asked for; each id is a name that a turn takes.
    pub models: Vec<ModelFacts>,
    /// The providers that could not be asked, by name, and why.
    pub troubles: Vec<(String, TurnError)>,
}

/// What a provider says about one of its models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// The provider's name of it, aliases resolved.
    pub id: String,
    /// The name for people.
    pub display_name: String,
    /// The size of its window in tokens, where told.
    pub max_input_tokens: Option<u64>,
    /// The most it can write in one turn in tokens, where told.
    pub max_output_tokens: Option<u64>,
    /// Whether it reads pictures, where told.
    pub reads_images: Option<bool>,
    /// Whether it is listed and can no longer be used.
    pub retired: bool,
    /// Its list price, where known.
    pub price: Option<Price>,
}
