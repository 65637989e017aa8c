//! Clients of model providers: a neutral conversation goes in, one turn of the model comes out.
//!
//! It speaks Anthropic's Messages API; other providers fit behind the same [`Model`] trait. It retries what is worth
//! retrying, reads the answer while it streams, counts tokens and prices them.
//!
//! It never knows a run or a sandbox, never runs a tool, never decides what belongs into a conversation, never
//! reads the environment, and never writes a key anywhere but into the request's header.

mod anthropic;
mod error;
mod key;
mod model;
mod price;
mod retry;
mod server_sent_events;

pub use anthropic::{Anthropic, AnthropicSettings, InvalidSettings};
pub use error::{InvalidAnswer, TurnError, Unsendable};
pub use key::{InvalidKey, Key};
pub use model::{ImageSource, Model, ModelFacts, Progress, Turn, TurnRequest};
pub use price::{LongPrompt, Price, Rates};
pub use retry::RetryPolicy;
