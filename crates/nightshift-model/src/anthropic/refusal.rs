//! What a fault that the provider reports means: to try again, or which error it is.

use serde_json::Value;

use crate::TurnError;
use crate::error::excerpt;
use crate::failure::{ErrorAnswer, Failure, Setback, or_status};
use crate::json::parsed;

/// What an error answer means.
pub(crate) fn read_error_answer(answer: &ErrorAnswer<'_>) -> Failure {
    let ErrorAnswer { status, body, retry_after, should_retry } = *answer;
    let json = parsed(body.as_bytes());
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
        400 if tells_of_the_window(&message) => Failure::Final(TurnError::ContextExceeded { message }),
        400 if kind == "billing_error" || message.contains("credit balance") => {
            Failure::Final(TurnError::NoCredit { message })
        }
        _ => Failure::Refused { status, message: or_status(message, status) },
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
        "invalid_request_error" => Failure::Refused { status: 400, message },
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
        for status in [401, 402, 403] {
            assert!(matches!(read(status, "invalid_request_error", "x"), Failure::Final(_)), "{status}");
        }
        for refused in [400, 413, 422] {
            let read = read(refused, "invalid_request_error", "x");
            assert!(matches!(read, Failure::Refused { status, .. } if status == refused), "{refused}");
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
        assert!(matches!(other, Failure::Refused { status: 400, .. }));
    }

    #[test]
    fn a_page_of_a_proxy_is_shown_in_part() {
        let answer =
            ErrorAnswer { status: 418, body: " <html>no</html> ", retry_after: None, should_retry: None };
        let Failure::Refused { status, message } = read_error_answer(&answer) else {
            panic!("it is tried again")
        };
        assert_eq!((status, message.as_str()), (418, "<html>no</html>"));
    }

    #[test]
    fn an_overload_within_a_stream_passes_and_a_bad_request_does_not() {
        let overloaded = read_streamed_error("overloaded_error", String::new());
        assert!(matches!(overloaded, Failure::Setback(Setback::Overloaded { .. })));
        let refused = read_streamed_error("invalid_request_error", "no".to_owned());
        assert!(matches!(refused, Failure::Refused { .. }));
    }
}
