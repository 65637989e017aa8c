//! What can go wrong with one try of a turn: to be tried again, to be asked differently, or the end of it.

use std::time::Duration;

use crate::TurnError;

/// A fault that may pass.
#[derive(Debug)]
pub(crate) enum Setback {
    RateLimited { retry_after: Option<Duration> },
    Overloaded { retry_after: Option<Duration> },
    ServerFailed { message: String, retry_after: Option<Duration> },
    Unreachable(reqwest::Error),
    Cut,
    Silent(Duration),
}

/// Why a try brought no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may be tried again.
    Setback(Setback),
    /// The provider found a fault in the request; another form of it may be taken.
    Refused { status: u16, message: String },
    /// The name of the model, or of the address, is unknown to the provider.
    NotFound { message: String },
    /// There is no use in trying again.
    Final(TurnError),
}

impl Setback {
    /// The wait the provider asked for.
    pub(crate) fn wish(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after }
            | Self::Overloaded { retry_after }
            | Self::ServerFailed { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::Cut | Self::Silent(_) => None,
        }
    }

    /// The fault in one sentence, for a person who watches.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::RateLimited { .. } => "The provider limits the rate of requests.".to_owned(),
            Self::Overloaded { .. } => "The provider is overloaded.".to_owned(),
            Self::ServerFailed { message, .. } => format!("The provider failed: {message}"),
            Self::Unreachable(_) => "The provider cannot be reached.".to_owned(),
            Self::Cut => "The answer broke off.".to_owned(),
            Self::Silent(silence) => format!("The provider sent nothing for {} seconds.", silence.as_secs()),
        }
    }

    /// The error when it did not pass.
    pub(crate) fn give_up(self, tries: u32) -> TurnError {
        match self {
            Self::RateLimited { retry_after } => TurnError::RateLimited { tries, retry_after },
            Self::Overloaded { .. } => TurnError::Overloaded { tries },
            Self::ServerFailed { message, .. } => TurnError::ServerFailed { tries, message },
            Self::Unreachable(source) => TurnError::Unreachable { tries, source },
            Self::Cut => TurnError::Cut { tries },
            Self::Silent(silence) => TurnError::Silent { tries, silence },
        }
    }
}

impl Failure {
    /// Whether a request that failed before its answer began may be paid all the same: it was sent, and nobody said that it is not
    /// answered.
    pub(crate) fn may_be_paid(&self) -> bool {
        match self {
            Self::Setback(Setback::Silent(_)) => true,
            Self::Setback(Setback::Unreachable(error)) => !error.is_connect(),
            Self::Setback(
                Setback::RateLimited { .. }
                | Setback::Overloaded { .. }
                | Setback::ServerFailed { .. }
                | Setback::Cut,
            )
            | Self::Refused { .. }
            | Self::NotFound { .. }
            | Self::Final(_) => false,
        }
    }
}

/// An error answer as it came.
#[derive(Debug)]
pub(crate) struct ErrorAnswer<'a> {
    pub(crate) status: u16,
    /// The beginning of the body.
    pub(crate) body: &'a str,
    pub(crate) retry_after: Option<Duration>,
    /// The provider's own word on whether to try again (`x-should-retry`).
    pub(crate) should_retry: Option<bool>,
}

/// A provider's explanation, or the status where it gave none.
pub(crate) fn or_status(message: String, status: u16) -> String {
    if message.is_empty() { format!("status {status}") } else { message }
}
