//! Why there is no conversation with a server, and why a call has no answer.

use std::time::Duration;

/// A server cannot be spoken with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// It hung up.
    #[error("it ended before it answered{}", of(.wrote))]
    HungUp {
        /// What it wrote instead of the protocol.
        wrote: Option<String>,
    },
    /// It does not answer.
    #[error("it did not answer within {} s{}", seconds(.within), of(.wrote))]
    Silent {
        /// How long it was waited for.
        within: Duration,
        /// What it wrote instead of the protocol.
        wrote: Option<String>,
    },
    /// There is no connection to it.
    #[error("it was not reached: {why}")]
    NotReached {
        /// Why not.
        why: String,
    },
    /// It refuses, or answers something else.
    #[error("it does not begin as the protocol has it: {what}")]
    Odd {
        /// What it said.
        what: String,
    },
}

/// A call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The server hung up in the middle.
    #[error("the server ended before it answered")]
    HungUp,
    /// The server was not asked, or did not take the request: nothing was done.
    #[error("the server was not reached: {why}")]
    NotReached {
        /// Why not.
        why: String,
    },
    /// The request was sent, and there is no answer.
    #[error("the server's answer is lost: {why}")]
    Lost {
        /// Why.
        why: String,
    },
    /// It sent more of its own accord than is taken.
    #[error("the server was hung up on: it sent too much that nobody asked for")]
    Flooded,
    /// It did not answer.
    #[error("the server did not answer within {} s", seconds(.after))]
    Silent {
        /// How long it was waited for.
        after: Duration,
    },
    /// The server says that it is wrong.
    #[error("the server refused it: {message} ({code})")]
    Refused {
        /// Its number (JSON-RPC).
        code: i32,
        /// Its words.
        message: String,
    },
    /// It wants something first that nobody is there for.
    #[error("the server wants {what} before it answers, which is not to be had here")]
    Wants {
        /// What.
        what: &'static str,
    },
    /// The answer is something else than one.
    #[error("the server's answer is not what the protocol has")]
    Odd,
    /// Who called does not want it any more.
    #[error("it was interrupted")]
    Interrupted,
}

/// A duration in seconds, for a sentence.
fn seconds(duration: &Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// What it wrote instead of the protocol, for a sentence.
fn of(wrote: &Option<String>) -> String {
    wrote.as_ref().map(|wrote| format!("; it wrote: {wrote}")).unwrap_or_default()
}
