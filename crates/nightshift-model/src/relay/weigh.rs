//! What a request of a foreign client asks for, and what it may cost at worst.

use nightshift_protocol::Usage;
use reqwest::Method;
use serde_json::{Value, json};

use super::{RelayApi, RelayError, RelayRequest, Weight};

/// Tokens that an answer may have where the request sets no limit.
const USUAL_ANSWER: u64 = 16_000;

/// Bytes of text for one token, at the least.
const BYTES_A_TOKEN: u64 = 3;

/// A text longer than this without a blank is a picture or a file, in bytes.
const LONGEST_WORD: usize = 8 * 1024;

/// Tokens of a picture, at the most that is usual.
const PICTURE: u64 = 5_000;

/// The calls that are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// A model answers.
    Turn,
    /// Nothing is paid.
    Free,
}

/// Finds out what a request asks for. Only the calls that agents need are carried: files, batches and the account are
/// nothing for a program in a sandbox.
pub(crate) fn weigh(api: RelayApi, request: &RelayRequest) -> Result<Weight, RelayError> {
    let free = Weight { model: None, worst: Usage::default(), body: request.body.clone() };
    match call(api, &request.method, &request.path).ok_or(RelayError::NotCarried)? {
        Call::Free => Ok(free),
        Call::Turn => {
            let mut body: Value = serde_json::from_slice(&request.body).map_err(|_| RelayError::NotJson)?;
            let fields = body.as_object_mut().ok_or(RelayError::NotJson)?;
            let number = |name: &str| fields.get(name).and_then(Value::as_u64);
            let answer = number("max_tokens")
                .or_else(|| number("max_output_tokens"))
                .or_else(|| number("max_completion_tokens"));
            let model = fields.get("model").and_then(Value::as_str).ok_or(RelayError::NotJson)?.to_owned();
            let streams = fields.get("stream") == Some(&Value::Bool(true));
            let mut sent = request.body.clone();
            if streams && request.path.ends_with("/chat/completions") {
                // Without it nothing is said of what was used.
                fields.insert("stream_options".to_owned(), json!({"include_usage": true}));
                sent = body.to_string().into();
            }
            let worst = Usage {
                input_tokens: tokens_in(&body),
                output_tokens: answer.unwrap_or(USUAL_ANSWER).min(u64::from(u32::MAX)),
                ..Usage::default()
            };
            Ok(Weight { model: Some(model), worst, body: sent })
        }
    }
}

fn call(api: RelayApi, method: &Method, path: &str) -> Option<Call> {
    let is_model = |path: &str| {
        let name = path.strip_prefix("/models").unwrap_or("/?");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        (name.is_empty() || name.starts_with('/')) && name.bytes().all(plain) && !name.contains("..")
    };
    match (api, method) {
        (RelayApi::Messages, &Method::POST) => match path {
            "/v1/messages" => Some(Call::Turn),
            "/v1/messages/count_tokens" => Some(Call::Free),
            _ => None,
        },
        (RelayApi::OpenAi, &Method::POST) => {
            matches!(path, "/responses" | "/chat/completions").then_some(Call::Turn)
        }
        (RelayApi::Messages, &Method::GET) => is_model(path.strip_prefix("/v1")?).then_some(Call::Free),
        (RelayApi::OpenAi, &Method::GET) => is_model(path).then_some(Call::Free),
        _ => None,
    }
}

/// Tokens of all texts in a request, estimated.
fn tokens_in(value: &Value) -> u64 {
    let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX) / BYTES_A_TOKEN + 1;
    match value {
        Value::String(text) if text.len() > LONGEST_WORD && !text.contains(char::is_whitespace) => PICTURE,
        Value::String(text) => length(text),
        Value::Array(items) => items.iter().map(tokens_in).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| length(name) + tokens_in(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn weighed(api: RelayApi, method: Method, path: &str, body: &str) -> Result<Weight, RelayError> {
        let body = body.to_owned().into();
        weigh(api, &RelayRequest { method, path: path.to_owned(), headers: HeaderMap::new(), body })
    }

    #[test]
    fn only_the_calls_that_agents_need_are_carried() {
        for (api, method, path) in [
            (RelayApi::Messages, Method::POST, "/v1/files"),
            (RelayApi::Messages, Method::POST, "/v1/messages/batches"),
            (RelayApi::Messages, Method::POST, "/v1/messages/../files"),
            (RelayApi::Messages, Method::GET, "/v1/organizations/api_keys"),
            (RelayApi::Messages, Method::GET, "/v1/models/../files"),
            (RelayApi::Messages, Method::GET, "/v1/models?after=x"),
            (RelayApi::Messages, Method::DELETE, "/v1/models/x"),
            (RelayApi::OpenAi, Method::POST, "/files"),
            (RelayApi::OpenAi, Method::GET, "/modelsx"),
            (RelayApi::OpenAi, Method::POST, "/v1/messages"),
        ] {
            let refused = weighed(api, method, path, r#"{"model":"m"}"#);
            assert_eq!(refused, Err(RelayError::NotCarried), "{path}");
        }
        for (api, method, path) in [
            (RelayApi::Messages, Method::GET, "/v1/models"),
            (RelayApi::Messages, Method::POST, "/v1/messages/count_tokens"),
            (RelayApi::OpenAi, Method::GET, "/models/gpt-6.1-sol"),
        ] {
            let weight = weighed(api, method, path, "").unwrap();
            assert_eq!((weight.model, weight.worst), (None, Usage::default()), "{path}");
        }
    }

    #[test]
    fn a_call_weighs_what_it_may_read_and_write() {
        let body = r#"{"model":"claude-haiku-5-5","max_tokens":300,"messages":[{"role":"user","content":"twelve bytes"}]}"#;
        let weight = weighed(RelayApi::Messages, Method::POST, "/v1/messages", body).unwrap();
        assert_eq!(weight.model.as_deref(), Some("claude-haiku-5-5"));
        assert_eq!(weight.worst.output_tokens, 300);
        assert!((15..40).contains(&weight.worst.input_tokens), "{}", weight.worst.input_tokens);
        assert_eq!(weight.body(), body);
    }

    #[test]
    fn a_picture_weighs_as_one_and_not_as_its_bytes() {
        let picture = "A".repeat(3_000_000);
        let body =
            json!({"model": "m", "messages": [{"content": [{"source": {"data": picture}}]}]}).to_string();
        let weight = weighed(RelayApi::Messages, Method::POST, "/v1/messages", &body).unwrap();
        assert!(
            (PICTURE..PICTURE + 50).contains(&weight.worst.input_tokens),
            "{}",
            weight.worst.input_tokens
        );
        assert_eq!(weight.worst.output_tokens, USUAL_ANSWER);
    }

    #[test]
    fn a_stream_of_chat_has_to_say_what_it_used() {
        let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#;
        let weight = weighed(RelayApi::OpenAi, Method::POST, "/chat/completions", body).unwrap();
        let sent: Value = serde_json::from_slice(&weight.body()).unwrap();
        assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    }

    #[test]
    fn a_body_that_is_no_request_is_refused() {
        for body in ["", "[]", "{}", r#"{"model":7}"#, "nonsense"] {
            let refused = weighed(RelayApi::OpenAi, Method::POST, "/responses", body);
            assert_eq!(refused, Err(RelayError::NotJson), "{body}");
        }
    }
}
