//! Clients of model providers: a neutral conversation goes in, one turn of the model comes out.
//!
//! It speaks Anthropic's Messages API, OpenAI's Responses API and the Chat Completions API of local servers, all behind
//! the one [`Model`] trait; [`Providers`] chooses by a model's name. It retries what is worth retrying, reads the answer
//! while it streams, counts tokens and prices them.
//!
//! It never knows a run or a sandbox, never runs a tool, never decides what belongs into a conversation, never
//! reads the environment, and never writes a key anywhere but into the request's header.

mod anthropic;
mod chat;
mod dialect;
mod error;
mod failure;
mod fragment;
mod heads;
mod json;
mod key;
mod model;
mod openai;
mod price;
mod probe;
mod provider;
mod providers;
mod relay;
mod responses;
mod retry;
mod server_sent_events;
mod settings;
mod spent;
mod tools;

pub use chat::{ChatSettings, ModelSettings};
pub use error::{InvalidAnswer, TurnError, Unsendable};
pub use key::{InvalidKey, Key};
pub use model::{ImageSource, Model, ModelFacts, ModelList, Progress, Turn, TurnRequest};
pub use price::{LongPrompt, Price, Pricing, Rates, newest_called};
pub use probe::{Probe, probe};
pub use provider::Provider;
pub use providers::Providers;
pub use relay::{LONGEST_RELAYED, RelayAnswer, RelayApi, RelayError, RelayRequest, Weight};
pub use responses::SafetyChecks;
pub use retry::RetryPolicy;
pub use settings::{InvalidSettings, ProviderSettings};
pub use tools::Coordinates;
