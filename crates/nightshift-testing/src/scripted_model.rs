//! A model provider that answers from a script and is stricter than the real one.
//!
//! It speaks Anthropic's Messages API, version 2026-10-21, streaming, and the listing of models. Each request is
//! checked against the API's rules; a request that breaks one is answered 400 with the reason, and the *breach* is
//! remembered, so that a test fails even where the program under test got over it.
//!
//! It keeps no conversation: which turn to answer follows from the number of answers in the request. A repeated
//! request, or a program that was killed and started again, gets the same answer. Only faults that a script asks for
//! a number of times are counted.

mod answer;
mod find;
mod picture;
mod police;
mod script;
mod server;
mod wire;

pub use script::{
    Aside, Conversation, Expectation, Fault, FaultKind, InvalidScript, Script, ScriptedCall, ScriptedTurn,
    When,
};
pub use server::{RecordedRequest, ScriptedModel};
