//! What OpenAI's two APIs share: how they tell of errors and of models.

use nightshift_protocol::Usage;
use serde_json::Value;

use crate::dialect::tokens;
use crate::error::excerpt;
use crate::failure::{ErrorAnswer, Failure, Setback, or_status};
use crate::json::parsed;
use crate::{ModelFacts, Price, TurnError};

/// The most bytes of one picture in base 64; OpenAI takes 50 MB of pictures in one request (documentation, "Images and
/// vision"), and a screenshot has not a tenth of this.
pub(crate) const MAX_IMAGE_BYTES: usize = 20 * 1024 * 1024;

/// The most bytes of a request; the vendor takes more, servers behind a proxy mostly not.
pub(crate) const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;

/// What an error answer means. Servers that speak the Chat API write the body in several ways: an object `error`, a
/// text `error`, or `message` or `detail` at the top.
pub(crate) fn read_error_answer(answer: &ErrorAnswer<'_>) -> Failure {
    let ErrorAnswer { status, body, retry_after, should_retry } = *answer;
    let json = parsed(body.as_bytes());
    let told = |path| json.as_ref().and_then(|json| json.pointer(path)).and_then(Value::as_str);
    let message = ["/error/message", "/error", "/message", "/detail"].into_iter().find_map(told);
    let message = excerpt(message.unwrap_or_else(|| body.trim()), 2000);
    let code = told("/error/code").or_else(|| told("/error/type")).unwrap_or_default();
    if tells_of_credit(code) {
        return Failure::Final(TurnError::NoCredit { message });
    }
    if tells_of_the_window(code, &message) {
        return Failure::Final(TurnError::ContextExceeded { message });
    }
    // llama.cpp answers so where the model's picture reader was not loaded.
    if status == 500 && tells_of_pictures(&message) {
        return Failure::Refused { status, message };
    }
    let passes = matches!(status, 408 | 409 | 429 | 500..);
    if passes && should_retry != Some(false) {
        return Failure::Setback(match status {
            429 => Setback::RateLimited { retry_after },
            503 | 529 => Setback::Overloaded { retry_after },
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
        400 if code == "model_not_found" => Failure::NotFound { message },
        _ => Failure::Refused { status, message: or_status(message, status) },
    }
}

/// What an error within a stream means.
pub(crate) fn read_streamed_error(kind: &str, message: String) -> Failure {
    let message = if message.is_empty() { kind.to_owned() } else { message };
    match kind {
        _ if tells_of_credit(kind) => Failure::Final(TurnError::NoCredit { message }),
        _ if tells_of_the_window(kind, &message) => Failure::Final(TurnError::ContextExceeded { message }),
        "rate_limit_exceeded" => Failure::Setback(Setback::RateLimited { retry_after: None }),
        "server_is_overloaded" | "slow_down" => Failure::Setback(Setback::Overloaded { retry_after: None }),
        "invalid_prompt" | "invalid_request_error" | "invalid_image" | "image_parse_error" => {
            Failure::Refused { status: 400, message }
        }
        // `server_error`, and kinds of the future.
        _ => Failure::Setback(Setback::ServerFailed { message, retry_after: None }),
    }
}

fn tells_of_credit(code: &str) -> bool {
    matches!(code, "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active")
}

/// OpenAI and vLLM have a code, llama.cpp another; Ollama only words.
fn tells_of_the_window(code: &str, message: &str) -> bool {
    matches!(code, "context_length_exceeded" | "exceed_context_size_error")
        || message.contains("maximum context length")
        || message.contains("exceeds the available context size")
}

/// Whether a refusal is about pictures, which the model or the server then does not read.
pub(crate) fn tells_of_pictures(message: &str) -> bool {
    let message = message.to_lowercase();
    ["image", "vision", "multimodal", "mmproj"].iter().any(|word| message.contains(word))
}

/// What is told about a model; servers that speak the Chat API add facts in fields of their own.
pub(crate) fn model_facts(facts: &Value, asked: &str, price: impl Fn(&str) -> Option<Price>) -> ModelFacts {
    let id = facts.get("id").and_then(Value::as_str).unwrap_or(asked);
    // vLLM, llama.cpp, and OpenRouter.
    let window = ["/max_model_len", "/meta/n_ctx", "/meta/n_ctx_train", "/context_length"];
    let kinds = facts.pointer("/architecture/input_modalities").and_then(Value::as_array);
    ModelFacts {
        id: id.to_owned(),
        display_name: facts.get("name").and_then(Value::as_str).unwrap_or(id).to_owned(),
        max_input_tokens: window.iter().find_map(|path| facts.pointer(path)?.as_u64()),
        max_output_tokens: None,
        reads_images: kinds.map(|kinds| kinds.iter().any(|kind| kind == "image")),
        retired: false,
        price: price(id).or_else(|| price(asked)),
    }
}

/// A usage in which `input` counts cached tokens in, as the vendor reports it.
pub(crate) fn usage(usage: Option<&Value>, input: &str, details: &str, output: &str) -> Usage {
    let figure = |path: &str| tokens(usage, path).unwrap_or_default();
    let cache_read = figure(&format!("{details}/cached_tokens"));
    let cache_write = figure(&format!("{details}/cache_write_tokens"));
    Usage {
        input_tokens: figure(input).saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read_tokens: cache_read,
        cache_write_tokens: cache_write,
        cache_write_hour_tokens: 0,
        output_tokens: figure(output),
        cost_microdollars: 0,
    }
}

/// A call's input, or the text that was to be JSON and is not.
pub(crate) fn arguments(text: &str) -> (Value, Option<String>) {
    if text.trim().is_empty() {
        return (Value::Object(serde_json::Map::new()), None);
    }
    match parsed(text.as_bytes()) {
        Some(input) => (input, None),
        None => (Value::Null, Some(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: u16, body: Value) -> Failure {
        let body = body.to_string();
        read_error_answer(&ErrorAnswer { status, body: &body, retry_after: None, should_retry: None })
    }

    #[test]
    fn errors_are_read_in_the_words_of_each_server() {
        let quota = read(429, json!({"error": {"code": "insufficient_quota", "message": "Pay."}}));
        assert!(matches!(quota, Failure::Final(TurnError::NoCredit { .. })), "{quota:?}");
        let rate = read(429, json!({"error": {"code": "rate_limit_exceeded", "message": "Slow."}}));
        assert!(matches!(rate, Failure::Setback(Setback::RateLimited { .. })), "{rate:?}");
        let ollama = read(400, json!({"error": "model does not support tools"}));
        let Failure::Refused { message, .. } = ollama else { panic!("{ollama:?}") };
        assert_eq!(message, "model does not support tools");
        let llama =
            read(400, json!({"error": {"code": 400, "type": "exceed_context_size_error", "message": "x"}}));
        assert!(matches!(llama, Failure::Final(TurnError::ContextExceeded { .. })), "{llama:?}");
        let vllm = read(400, json!({"message": "This model's maximum context length is 8192 tokens."}));
        assert!(matches!(vllm, Failure::Final(TurnError::ContextExceeded { .. })), "{vllm:?}");
        let openai = read(404, json!({"error": {"code": "model_not_found", "message": "No."}}));
        assert!(matches!(openai, Failure::NotFound { .. }), "{openai:?}");
    }

    #[test]
    fn a_server_without_a_reader_of_pictures_is_not_asked_the_same_again() {
        let body = json!({"error": {"message": "image input is not supported - you may need the mmproj"}});
        assert!(matches!(read(500, body), Failure::Refused { status: 500, .. }));
        assert!(matches!(read(500, json!({"error": "out of memory"})), Failure::Setback(_)));
    }

    #[test]
    fn cached_tokens_are_counted_once() {
        let told = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
            "output_tokens": 7});
        let usage = usage(Some(&told), "/input_tokens", "/input_tokens_details", "/output_tokens");
        let expected = Usage {
            input_tokens: 10,
            cache_read_tokens: 60,
            cache_write_tokens: 30,
            cache_write_hour_tokens: 0,
            output_tokens: 7,
            cost_microdollars: 0,
        };
        assert_eq!(usage, expected);
    }

    #[test]
    fn local_servers_tell_the_window_in_fields_of_their_own() {
        let window = |facts: Value| model_facts(&facts, "", |_| None).max_input_tokens;
        assert_eq!(window(json!({"id": "a", "max_model_len": 8192})), Some(8192));
        assert_eq!(window(json!({"id": "a", "meta": {"n_ctx": 4096, "n_ctx_train": 9}})), Some(4096));
        assert_eq!(window(json!({"id": "a"})), None);
    }
}
