//! Why a model gave no turn, and what a person can do about it.

use std::time::Duration;

use nightshift_protocol::{ArtifactId, ErrorCode, UserError};

/// Why a model gave no turn.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The model's name begins with a provider that is not configured.
    #[error("there is no provider \"{provider}\"")]
    UnknownProvider {
        /// The part before the slash.
        provider: String,
        /// The providers there are.
        known: Vec<String>,
    },
    /// There is no key for the model's provider.
    #[error("there is no key for the provider {provider}")]
    MissingKey {
        /// The provider.
        provider: String,
        /// The environment variable that would hold it.
        variable: String,
    },
    /// The provider does not know the key, or the key was withdrawn.
    #[error("the provider refused the key")]
    WrongKey,
    /// The key is good, but not for this.
    #[error("the key may not do this: {message}")]
    NoPermission {
        /// The provider's explanation.
        message: String,
    },
    /// The account has no credit, or has reached a limit on spending.
    #[error("the account cannot pay: {message}")]
    NoCredit {
        /// The provider's explanation.
        message: String,
    },
    /// The provider has no model of that name.
    #[error("the provider has no model \"{model}\"")]
    UnknownModel {
        /// The name that was asked for.
        model: String,
        /// The names it has; empty if it did not say.
        known: Vec<String>,
    },
    /// No connection was made, or it broke before an answer began.
    #[error("the provider cannot be reached (tries: {tries})")]
    Unreachable {
        /// How many times it was tried.
        tries: u32,
        /// What went wrong the last time.
        #[source]
        source: reqwest::Error,
    },
    /// The account asks more often than it may.
    #[error("the provider limits the rate of requests (tries: {tries})")]
    RateLimited {
        /// How many times it was tried.
        tries: u32,
        /// How long the provider asked to wait; longer than the turn may take, or the tries are used up.
        retry_after: Option<Duration>,
    },
    /// The provider has more work than it can do.
    #[error("the provider is overloaded (tries: {tries})")]
    Overloaded {
        /// How many times it was tried.
        tries: u32,
    },
    /// The provider has a fault.
    #[error("the provider failed (tries: {tries}): {message}")]
    ServerFailed {
        /// How many times it was tried.
        tries: u32,
        /// The provider's explanation.
        message: String,
    },
    /// The answer broke off, each time.
    #[error("the answer broke off (tries: {tries})")]
    Cut {
        /// How many times it was tried.
        tries: u32,
    },
    /// The provider accepted the request and then sent nothing, each time.
    #[error("the provider fell silent for {} seconds (tries: {tries})", silence.as_secs())]
    Silent {
        /// How many times it was tried.
        tries: u32,
        /// How long it was waited for a sign of life.
        silence: Duration,
    },
    /// The time of one turn ran out while the provider was still answering.
    #[error("the turn took longer than {} seconds (tries: {tries})", limit.as_secs())]
    TookTooLong {
        /// How many times it was tried.
        tries: u32,
        /// The limit.
        limit: Duration,
    },
    /// The conversation does not fit the model's window.
    #[error("the conversation does not fit the model's window: {message}")]
    ContextExceeded {
        /// The provider's explanation, with the figures.
        message: String,
    },
    /// The provider found a fault in the request. Repeating it changes nothing.
    #[error("the provider refused the request ({status}): {message}")]
    RequestRefused {
        /// The HTTP status.
        status: u16,
        /// The provider's explanation.
        message: String,
    },
    /// The request breaks a limit of the provider that is known here; it was not sent.
    #[error("the request cannot be sent")]
    Unsendable(#[from] Unsendable),
    /// The answer is not what the provider's interface promises.
    #[error("the provider's answer makes no sense")]
    InvalidAnswer(#[from] InvalidAnswer),
}

/// Why a request was not sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// A message has nothing in it that a provider would take.
    #[error("message {index} is empty")]
    EmptyMessage {
        /// Its place in the conversation, from 0.
        index: usize,
    },
    /// A picture could not be read from where it is kept.
    #[error("the picture {artifact} cannot be read")]
    ImageUnreadable {
        /// The picture.
        artifact: ArtifactId,
        /// What the store said.
        #[source]
        source: std::io::Error,
    },
    /// A picture has too many bytes.
    #[error("the picture {artifact} has {bytes} bytes as text, more than {limit}")]
    ImageTooHeavy {
        /// The picture.
        artifact: ArtifactId,
        /// Its size in base 64.
        bytes: usize,
        /// The provider's limit.
        limit: usize,
    },
    /// A picture has too many pixels along one edge.
    #[error("the picture {artifact} is {edge} pixels long; with {images} pictures the limit is {limit}")]
    ImageTooLarge {
        /// The picture.
        artifact: ArtifactId,
        /// Its longer edge in pixels.
        edge: u32,
        /// How many pictures the conversation has; many lower the limit.
        images: usize,
        /// The provider's limit for that many.
        limit: u32,
    },
    /// There are too many pictures.
    #[error("the conversation has {images} pictures, more than {limit}")]
    TooManyImages {
        /// How many.
        images: usize,
        /// The provider's limit.
        limit: usize,
    },
    /// The whole request is too large.
    #[error("the request is larger than {limit} bytes")]
    TooLarge {
        /// The provider's limit.
        limit: usize,
    },
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnswer {
    /// An event or a body is not JSON.
    #[error("\"{excerpt}\" is not JSON")]
    NotJson {
        /// Its beginning, at most 200 characters.
        excerpt: String,
    },
    /// An event lacks a field, or a field is of the wrong kind.
    #[error("the event {event} has no valid {field}")]
    MissingField {
        /// The event.
        event: String,
        /// The field.
        field: &'static str,
    },
    /// Events came in an order that cannot be.
    #[error("the event {event} came out of order")]
    OutOfOrder {
        /// The event.
        event: String,
    },
    /// It exceeds every sensible size.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// Our limit.
        limit: usize,
    },
    /// It holds more than any answer does.
    #[error("it holds more than {limit} values")]
    TooManyValues {
        /// Our limit.
        limit: usize,
    },
}

impl TurnError {
    /// The error as a person meets it: what failed, why, and what to do.
    pub fn user_error(&self) -> UserError {
        let (code, hint) = match self {
            Self::UnknownProvider { known, .. } => (
                ErrorCode::UnknownModel,
                format!(
                    "Known are {}; others are named by [providers.NAME] in config.toml (docs/models.md).",
                    known.join(", ")
                ),
            ),
            Self::MissingKey { variable, .. } => (
                ErrorCode::MissingKey,
                format!("Give it by `nightshift key set {variable}`, then `nightshift restart`."),
            ),
            Self::WrongKey => (
                ErrorCode::WrongKey,
                "Check the key in the provider's console and set it again. A run that paused for it goes on with `nightshift continue`.".to_owned(),
            ),
            Self::NoPermission { .. } => (
                ErrorCode::ModelRefused,
                "Allow the key's workspace to use this model in the provider's console, or choose another model.".to_owned(),
            ),
            Self::NoCredit { .. } => (
                ErrorCode::ModelRefused,
                "Add credit or raise the limit in the provider's console, then continue the run.".to_owned(),
            ),
            Self::UnknownModel { known, .. } if known.is_empty() => {
                (ErrorCode::UnknownModel, "Choose a model that the provider lists.".to_owned())
            }
            Self::UnknownModel { known, .. } => {
                (ErrorCode::UnknownModel, format!("Choose one of: {}.", known.join(", ")))
            }
            Self::Unreachable { .. } => (
                ErrorCode::ModelUnavailable,
                "Check the network, the proxy and the provider's address in the settings. A run that paused for it goes on with `nightshift continue`."
                    .to_owned(),
            ),
            Self::RateLimited { retry_after: Some(wait), .. } => (
                ErrorCode::ModelUnavailable,
                format!("Continue the run in {} minutes, or let fewer runs work at once.", wait.as_secs().div_ceil(60)),
            ),
            Self::RateLimited { retry_after: None, .. } => (
                ErrorCode::ModelUnavailable,
                "Continue the run later, or let fewer runs work at once.".to_owned(),
            ),
            Self::Overloaded { .. }
            | Self::ServerFailed { .. }
            | Self::Cut { .. }
            | Self::Silent { .. }
            | Self::TookTooLong { .. } => (
                ErrorCode::ModelUnavailable,
                "Look at the provider's status page and continue the run when it is well again.".to_owned(),
            ),
            Self::ContextExceeded { .. } => (
                ErrorCode::ModelRefused,
                "Split the task, or choose a model with a larger window.".to_owned(),
            ),
            Self::RequestRefused { .. } => (
                ErrorCode::ModelRefused,
                "Check the model's name and the provider's address; if both are right, report this.".to_owned(),
            ),
            Self::Unsendable(_) => {
                (ErrorCode::ModelRefused, "Continue the run from an earlier checkpoint, and report this.".to_owned())
            }
            Self::InvalidAnswer(_) => (
                ErrorCode::ModelUnavailable,
                "Check that the address in the settings is that of the provider's API.".to_owned(),
            ),
        };
        UserError::new(code, with_causes(self), hint)
    }
}

/// An error's message and those of its causes, as one sentence.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let mut letters = text.chars();
    let capital: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{capital}{}.", letters.as_str().trim_end_matches('.'))
}

/// The beginning of a text, to be shown in an error.
pub(crate) fn excerpt(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_model_comes_with_the_names_to_choose_from() {
        let error = TurnError::UnknownModel {
            model: "claude-sonet".to_owned(),
            known: vec!["claude-opus-5-5".to_owned(), "claude-sonnet-5-5".to_owned()],
        };
        assert_eq!(
            error.user_error(),
            UserError::new(
                ErrorCode::UnknownModel,
                "The provider has no model \"claude-sonet\".",
                "Choose one of: claude-opus-5-5, claude-sonnet-5-5."
            )
        );
    }

    #[test]
    fn the_causes_are_told_in_one_sentence() {
        let error = TurnError::from(Unsendable::TooManyImages { images: 101, limit: 100 });
        assert_eq!(
            error.user_error().message,
            "The request cannot be sent: the conversation has 101 pictures, more than 100."
        );
    }

    #[test]
    fn a_limit_on_the_rate_says_when_to_come_back() {
        let error = TurnError::RateLimited { tries: 3, retry_after: Some(Duration::from_secs(3601)) };
        assert_eq!(
            error.user_error().hint,
            "Continue the run in 61 minutes, or let fewer runs work at once."
        );
    }
}
