//! What a fault that the provider reports means: to try again, or which error it is.

use std::time::Duration;

use serde_json::Value;

use super::names::COMPUTER_TOOLSET;
use crate::TurnError;
use crate::error::excerpt;

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
    /// The model does not know the trained computer tool; it may be asked again with a plain one.
    ToolsetUnknown { message: String },
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

/// What an error answer means.
pub(crate) fn read_error_answer(answer: &ErrorAnswer<'_>) -> Failure {
    let ErrorAnswer { status, body, retry_after, should_retry } = *answer;
    let json: Option<Value> = serde_json::from_str(body).ok();
    let told = |path| json.as_ref().and_then(|json| json.pointer(path)).and_then(Value::as_str);
    let message = excerpt(told("/error/message").unwrap_or_else(|| body.trim()), 2000);
    let kind = told("/error/type").unwrap_or_default();
    let passes = matches!(status, 408 | 429 | 500..);
    if passes && should_retry != Some(false) {
        return Failure::Setback(match (status, kind) {
            (429, _) => Setback::RateLimited { retry_after },
            (529, _) | (_, "overloaded_error") => Setback::Overloaded { retry_after },
            _ => Setback::ServerFailed { message: or_status(message, status), retry_after },
        });
    }
    match status {
        401 => Failure::Final(TurnError::WrongKey),
        402 => Failure::Final(TurnError::NoCredit { message }),
        403 => Failure::Final(TurnError::NoPermission { message }),
        404 => Failure::NotFound { message },
        429 => Failure::Final(TurnError::RateLimited { tries: 1, retry_after }),
        500.. => Failure::Final(TurnError::ServerFailed { tries: 1, message: or_status(message, status) }),
        400 if message.contains(COMPUTER_TOOLSET) => Failure::ToolsetUnknown { message },
        400 if tells_of_the_window(&message) => Failure::Final(TurnError::ContextExceeded { message }),
        400 if kind == "billing_error" || message.contains("credit balance") => {
            Failure::Final(TurnError::NoCredit { message })
        }
        _ => Failure::Final(TurnError::RequestRefused { status, message: or_status(message, status) }),
    }
}

/// What an error within a stream means.
pub(crate) fn read_streamed_error(kind: &str, message: String) -> Failure {
    let message = if message.is_empty() { kind.to_owned() } else { message };
    match kind {
        "overloaded_error" => Failure::Setback(Setback::Overloaded { retry_after: None }),
        "rate_limit_error" => Failure::Setback(Setback::RateLimited { retry_after: None }),
        "invalid_request_error" if tells_of_the_window(&message) => {
            Failure::Final(TurnError::ContextExceeded { message })
        }
        "invalid_request_error" => Failure::Final(TurnError::RequestRefused { status: 400, message }),
        "authentication_error" => Failure::Final(TurnError::WrongKey),
        "permission_error" => Failure::Final(TurnError::NoPermission { message }),
        "billing_error" => Failure::Final(TurnError::NoCredit { message }),
        // `api_error`, `timeout_error`, and kinds of the future.
        _ => Failure::Setback(Setback::ServerFailed { message, retry_after: None }),
    }
}

/// The provider has no code for it; it says "prompt is too long: 210000 tokens > 200000 maximum" or, where the answer
/// no longer fits, "input length and `max_tokens` exceed context limit".
fn tells_of_the_window(message: &str) -> bool {
    message.contains("prompt is too long") || message.contains("exceed context limit")
}

fn or_status(message: String, status: u16) -> String {
    if message.is_empty() { format!("status {status}") } else { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, kind: &str, message: &str) -> Failure {
        let body =
            serde_json::json!({"type": "error", "error": {"type": kind, "message": message}}).to_string();
        read_error_answer(&ErrorAnswer { status, body: &body, retry_after: None, should_retry: None })
    }

    #[test]
    fn only_faults_that_pass_are_tried_again() {
        for status in [429, 500, 502, 503, 529] {
            assert!(matches!(read(status, "api_error", "x"), Failure::Setback(_)), "{status}");
        }
        for status in [400, 401, 403, 413, 422] {
            assert!(matches!(read(status, "invalid_request_error", "x"), Failure::Final(_)), "{status}");
        }
    }

    #[test]
    fn the_providers_word_that_a_fault_will_not_pass_is_heeded() {
        let answer = ErrorAnswer { status: 500, body: "", retry_after: None, should_retry: Some(false) };
        let Failure::Final(error) = read_error_answer(&answer) else { panic!("it is tried again") };
        assert_eq!(error.to_string(), "the provider failed (tries: 1): status 500");
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_from_other_bad_requests() {
        let too_long =
            read(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum");
        assert!(matches!(too_long, Failure::Final(TurnError::ContextExceeded { .. })));
        let other = read(400, "invalid_request_error", "max_tokens: too low");
        assert!(matches!(other, Failure::Final(TurnError::RequestRefused { status: 400, .. })));
    }

    #[test]
    fn a_refusal_that_names_the_toolset_is_no_failure_of_the_request() {
        let message = "tools.0: Input tag 'computer_toolset_20260801' found using 'type' does not match";
        assert!(matches!(read(400, "invalid_request_error", message), Failure::ToolsetUnknown { .. }));
    }

    #[test]
    fn a_page_of_a_proxy_is_shown_in_part() {
        let answer =
            ErrorAnswer { status: 418, body: " <html>no</html> ", retry_after: None, should_retry: None };
        let Failure::Final(error) = read_error_answer(&answer) else { panic!("it is tried again") };
        assert_eq!(error.to_string(), "the provider refused the request (418): <html>no</html>");
    }

    #[test]
    fn an_overload_within_a_stream_passes_and_a_bad_request_does_not() {
        let overloaded = read_streamed_error("overloaded_error", String::new());
        assert!(matches!(overloaded, Failure::Setback(Setback::Overloaded { .. })));
        let refused = read_streamed_error("invalid_request_error", "no".to_owned());
        assert!(matches!(refused, Failure::Final(TurnError::RequestRefused { .. })));
    }
}
