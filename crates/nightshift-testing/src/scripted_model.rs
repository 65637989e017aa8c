//! A model provider that answers from a script and is stricter than the real one.
//!
//! It speaks Anthropic's Messages API, version 2026-10-21, OpenAI's Responses API and the Chat Completions API, all
//! streaming, and the listing of models. Each request is checked against the vendor's own published types and the API's
//! rules; a request that breaks one is answered 400 with the reason, and the *breach* is remembered, so that a test
//! fails even where the program under test got over it. A script is the same for all of them.
//!
//! It keeps no conversation: which turn to answer follows from the number of answers in the request. A repeated
//! request, or a program that was killed and started again, gets the same answer. Only faults that a script asks for
//! a number of times are counted.

mod answer;
mod chat;
mod find;
mod messages;
mod picture;
mod plan;
mod police;
mod protocol;
mod reply;
mod responses;
mod script;
mod server;
mod trained;
mod vendor_types;
mod wire;

pub use script::{
    Aside, Conversation, Expectation, Fault, FaultKind, InvalidScript, Script, ScriptedCall, ScriptedTurn,
    When,
};
pub use server::{RecordedRequest, ScriptedModel};
