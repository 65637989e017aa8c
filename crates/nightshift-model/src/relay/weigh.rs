//! What a request of a foreign client asks for, and what it may cost at worst.

use bytes::Bytes;
use nightshift_protocol::{Message, Usage, json_values};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{RelayApi, RelayError, RelayRequest, Weight};
use crate::json::MOST_VALUES;
use crate::price::Kept;

/// Tokens that an answer may have where the request sets no limit.
const USUAL_ANSWER: u64 = 32_000;

/// Bytes of text for one token, at the least.
const BYTES_A_TOKEN: u64 = 3;

/// Tokens of a picture, at the most that is usual.
const PICTURE: u64 = 5_000;

/// The calls that are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// A model answers.
    Turn,
    /// The tokens of what a turn would be asked are counted; nothing is paid.
    Count,
    /// Nothing is paid, and nothing is told.
    Free,
}

/// Finds out what a request asks for. Only the calls that agents need are carried: files, batches and the account are
/// nothing for a program in a sandbox.
pub(crate) fn weigh(api: RelayApi, request: &RelayRequest) -> Result<Weight, RelayError> {
    let free = |body| Weight { model: None, worst: Usage::default(), kept: Kept::Not, body };
    match call(api, &request.method, &request.path).ok_or(RelayError::NotCarried)? {
        Call::Free => Ok(free(Bytes::new())),
        Call::Count => {
            let mut body = read(&request.body)?;
            tame(body.as_object_mut().ok_or(RelayError::NotJson)?)?;
            Ok(free(body.to_string().into()))
        }
        Call::Turn => {
            let mut body = read(&request.body)?;
            let fields = body.as_object_mut().ok_or(RelayError::NotJson)?;
            let model = fields.get("model").and_then(Value::as_str).ok_or(RelayError::NotJson)?.to_owned();
            tame(fields)?;
            let asked = limit(&request.path, fields)?;
            let answers = whole_number(fields, "n")?.unwrap_or(1).clamp(1, 128);
            let cap = match request.path.as_str() {
                "/responses" => Some("max_output_tokens"),
                "/chat/completions" => Some("max_completion_tokens"),
                _ => None,
            };
            if let Some(cap) = cap.filter(|_| asked.is_none()) {
                fields.insert(cap.to_owned(), json!(USUAL_ANSWER));
            }
            let streams = fields.get("stream") == Some(&Value::Bool(true));
            if streams && request.path == "/chat/completions" {
                // Without it nothing is said of what was used.
                fields.insert("stream_options".to_owned(), json!({"include_usage": true}));
            }
            let output = asked.unwrap_or(USUAL_ANSWER).saturating_mul(answers);
            let worst = Usage {
                input_tokens: tokens_in(&body),
                output_tokens: output.min(u64::from(u32::MAX)),
                ..Usage::default()
            };
            let kept = match api {
                RelayApi::Messages => kept_of(&body),
                // It is done without being asked for, and some models write it down dearer.
                RelayApi::OpenAi => Kept::Minutes,
            };
            Ok(Weight { model: Some(model), worst, kept, body: body.to_string().into() })
        }
    }
}

/// The most that an answer may have, where the request says it. What is a limit for another call is taken out: the provider would
/// not be held by it.
fn limit(path: &str, fields: &mut Map<String, Value>) -> Result<Option<u64>, RelayError> {
    let mut asked: Option<u64> = None;
    for name in ["max_tokens", "max_completion_tokens", "max_output_tokens"] {
        let holds = match path {
            "/v1/messages" => name == "max_tokens",
            "/chat/completions" => name != "max_output_tokens",
            "/responses" => name == "max_output_tokens",
            _ => false,
        };
        if holds {
            asked = asked.max(whole_number(fields, name)?);
        } else {
            fields.remove(name);
        }
    }
    Ok(asked)
}

/// A number that is counted with, where it is said.
fn whole_number(fields: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, RelayError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(said) => said.as_u64().map(Some).ok_or(RelayError::NoNumber { what: name }),
    }
}

/// What a body says. It is a program's: what it holds is counted before it costs memory.
fn read(body: &[u8]) -> Result<Value, RelayError> {
    if json_values(body) > MOST_VALUES {
        return Err(RelayError::TooManyValues { limit: MOST_VALUES });
    }
    serde_json::from_slice(body).map_err(|_| RelayError::NotJson)
}

/// Takes out of a request what would have the provider work for the sandbox beyond answering: reach hosts, run programs, sum up
/// what was said, answer quicker for more money.
///
/// # Errors
///
/// [`RelayError::Reaches`] for what cannot be taken out: pictures and files at an address, and conversations that the provider
/// keeps, whose size cannot be seen.
fn tame(fields: &mut Map<String, Value>) -> Result<(), RelayError> {
    for name in [
        "mcp_servers",
        "web_search_options",
        "plugins",
        "container",
        "service_tier",
        "speed",
        "inference_geo",
    ] {
        fields.remove(name);
    }
    take_out_compaction(fields);
    for name in ["previous_response_id", "conversation", "prompt"] {
        if fields.get(name).is_some_and(|value| !value.is_null()) {
            return Err(RelayError::Reaches { what: name });
        }
    }
    if fields.get("background") == Some(&Value::Bool(true)) {
        return Err(RelayError::Reaches { what: "background" });
    }
    if let Some(Value::Array(tools)) = fields.get_mut("tools") {
        tools.retain(is_client_s);
    }
    let conversation =
        ["messages", "input", "system", "instructions"].into_iter().filter_map(|name| fields.get(name));
    match conversation.filter_map(address_in).next() {
        Some(what) => Err(RelayError::Reaches { what }),
        None => Ok(()),
    }
}

/// Takes out what would have the provider sum the conversation up before it answers: that is a pass of its own, which is paid too.
/// What only clears is left.
fn take_out_compaction(fields: &mut Map<String, Value>) {
    let edits = match fields.get_mut("context_management") {
        Some(Value::Object(management)) => management.get_mut("edits"),
        // Responses has the list itself.
        list => list,
    };
    let Some(Value::Array(edits)) = edits else { return };
    edits.retain(|edit| edit["type"].as_str().is_some_and(|kind| kind.starts_with("clear_")));
    if edits.is_empty() {
        fields.remove("context_management");
    }
}

/// How long a request of the Messages API asks for anything in it to be kept.
fn kept_of(value: &Value) -> Kept {
    match value {
        Value::Array(items) => items.iter().map(kept_of).max().unwrap_or_default(),
        Value::Object(fields) => {
            let asked = match fields.get("cache_control") {
                None | Some(Value::Null) => Kept::Not,
                Some(control) => match control.get("ttl").and_then(Value::as_str) {
                    None | Some("5m") => Kept::Minutes,
                    Some(_) => Kept::Hour,
                },
            };
            fields.values().map(kept_of).fold(asked, Ord::max)
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => Kept::Not,
    }
}

/// Whether a tool is carried out by the client, and not by the provider.
fn is_client_s(tool: &Value) -> bool {
    const KINDS: [&str; 9] = [
        "custom",
        "function",
        "namespace",
        "local_shell",
        "apply_patch",
        "computer",
        "computer_use_preview",
        "tool_search",
        "",
    ];
    const BEGINNINGS: [&str; 5] = ["bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"];
    let kind = tool.get("type").and_then(Value::as_str).unwrap_or_default();
    KINDS.contains(&kind) || BEGINNINGS.iter().any(|beginning| kind.starts_with(beginning))
}

/// The name of a field by which the provider would fetch something from a host.
fn address_in(value: &Value) -> Option<&'static str> {
    let is_address = |value: &Value| {
        let text = value.as_str().or_else(|| value.get("url").and_then(Value::as_str)).unwrap_or_default();
        text.contains("://")
    };
    match value {
        Value::Array(items) => items.iter().find_map(address_in),
        Value::Object(fields) => {
            let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
            // What an agent called its tools with is its own business.
            if matches!(kind, "tool_use" | "function_call" | "custom_tool_call") {
                return None;
            }
            if kind == "url" && fields.get("url").is_some_and(Value::is_string) {
                return Some("url");
            }
            for name in ["image_url", "file_url"] {
                if fields.get(name).is_some_and(is_address) {
                    return Some(name);
                }
            }
            fields.values().find_map(address_in)
        }
        _ => None,
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
            "/v1/messages/count_tokens" => Some(Call::Count),
            _ => None,
        },
        (RelayApi::OpenAi, &Method::POST) => {
            matches!(path, "/responses" | "/responses/compact" | "/chat/completions").then_some(Call::Turn)
        }
        (RelayApi::Messages, &Method::GET) => is_model(path.strip_prefix("/v1")?).then_some(Call::Free),
        (RelayApi::OpenAi, &Method::GET) => is_model(path).then_some(Call::Free),
        _ => None,
    }
}

/// What a turn has used whose provider does not count, by the texts of request and answer.
pub(crate) fn estimated(request: &[u8], answer: &Message) -> Usage {
    let written = match answer {
        Message::Assistant { verbatim, .. } => tokens_in(verbatim),
        Message::User { .. } => 0,
    };
    Usage { input_tokens: read_by(request), output_tokens: written, ..Usage::default() }
}

/// Tokens that a turn reads, by the texts of its request.
pub(crate) fn read_by(request: &[u8]) -> u64 {
    tokens_in(&serde_json::from_slice(request).unwrap_or(Value::Null))
}

/// Tokens of all texts in a request, estimated.
fn tokens_in(value: &Value) -> u64 {
    let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX) / BYTES_A_TOKEN + 1;
    match value {
        Value::String(text) => length(text),
        Value::Array(items) => items.iter().map(tokens_in).sum(),
        Value::Object(fields) => {
            let tokens = |(name, value): (&String, &Value)| {
                let picture = is_picture(fields, name, value);
                length(name) + if picture { PICTURE } else { tokens_in(value) }
            };
            fields.iter().map(tokens).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

/// Whether a field is the bytes of a picture, as the APIs have it. What is said to be one and is none, they refuse.
fn is_picture(fields: &Map<String, Value>, name: &str, value: &Value) -> bool {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let bytes = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("data:image/"));
    match name {
        "data" => text("type") == "base64" && text("media_type").starts_with("image/"),
        "image_url" => matches!(text("type"), "input_image" | "computer_screenshot") && bytes(value),
        "url" => fields.len() <= 2 && bytes(value),
        _ => false,
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
            let weight = weighed(api, method, path, "{}").unwrap();
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
        let sent: Value = serde_json::from_slice(&weight.body()).unwrap();
        assert_eq!(sent, serde_json::from_str::<Value>(body).unwrap());
    }

    #[test]
    fn a_picture_weighs_as_one_and_not_as_its_bytes() {
        let picture = "A".repeat(3_000_000);
        let body =
            json!({"model": "m", "messages": [{"content": [{"source": {"type": "base64", "media_type": "image/png", "data": picture}}]}]}).to_string();
        let weight = weighed(RelayApi::Messages, Method::POST, "/v1/messages", &body).unwrap();
        assert!(
            (PICTURE..PICTURE + 50).contains(&weight.worst.input_tokens),
            "{}",
            weight.worst.input_tokens
        );
        assert_eq!(weight.worst.output_tokens, USUAL_ANSWER);
        // A long word is no picture because it is long.
        let body = json!({"model": "m", "messages": [{"content": "A".repeat(300_000)}]}).to_string();
        let weight = weighed(RelayApi::Messages, Method::POST, "/v1/messages", &body).unwrap();
        assert!(weight.worst.input_tokens >= 100_000, "{}", weight.worst.input_tokens);
    }

    fn sent(api: RelayApi, path: &str, body: Value) -> Value {
        let weight = weighed(api, Method::POST, path, &body.to_string()).unwrap();
        serde_json::from_slice(&weight.body()).unwrap()
    }

    #[test]
    fn the_largest_of_all_limits_counts_for_every_answer_and_one_is_set_where_there_is_none() {
        let body = json!({"model": "m", "max_tokens": 1, "max_completion_tokens": 900, "n": 4}).to_string();
        let weight = weighed(RelayApi::OpenAi, Method::POST, "/chat/completions", &body).unwrap();
        assert_eq!(weight.worst.output_tokens, 3_600);
        let capped = sent(RelayApi::OpenAi, "/responses", json!({"model": "m", "input": []}));
        assert_eq!(capped["max_output_tokens"], json!(USUAL_ANSWER));
    }

    #[test]
    fn a_limit_counts_only_where_it_holds_and_is_a_whole_number() {
        let chat = "/chat/completions";
        let worst = |path: &str, body: Value| {
            let api = if path == "/v1/messages" { RelayApi::Messages } else { RelayApi::OpenAi };
            weighed(api, Method::POST, path, &body.to_string()).map(|weight| weight.worst.output_tokens)
        };
        for (path, name) in [
            (chat, "max_output_tokens"),
            ("/responses", "max_tokens"),
            ("/responses", "max_completion_tokens"),
            ("/responses/compact", "max_output_tokens"),
            ("/v1/messages", "max_completion_tokens"),
        ] {
            assert_eq!(worst(path, json!({"model": "m", name: 1})), Ok(USUAL_ANSWER), "{path} {name}");
        }
        let capped = json!({"model": "m", "max_completion_tokens": USUAL_ANSWER});
        let foreign = json!({"model": "m", "max_output_tokens": 1, "max_tokens": null});
        assert_eq!(sent(RelayApi::OpenAi, chat, foreign)["max_completion_tokens"], json!(USUAL_ANSWER));
        assert_eq!(sent(RelayApi::OpenAi, chat, json!({"model": "m", "max_output_tokens": 1})), capped);
        for what in ["max_tokens", "n"] {
            for odd in [json!(8.0), json!(-1), json!("8"), json!([8])] {
                let refused = worst(chat, json!({"model": "m", what: odd}));
                assert_eq!(refused, Err(RelayError::NoNumber { what }), "{odd}");
            }
        }
    }

    #[test]
    fn a_provider_sums_no_conversation_up_and_may_clear_one() {
        let clear = json!({"type": "clear_tool_uses_20250919"});
        let compact =
            json!({"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}});
        let sent_with = |api, path: &str, management: Value| {
            let body = json!({"model": "m", "max_output_tokens": 9, "context_management": management});
            sent(api, path, body)["context_management"].clone()
        };
        let of_messages =
            |edits: Value| sent_with(RelayApi::Messages, "/v1/messages", json!({"edits": edits}));
        assert_eq!(of_messages(json!([compact, clear])), json!({"edits": [clear]}));
        assert_eq!(of_messages(json!([compact])), Value::Null);
        let compaction = json!([{"type": "compaction", "compact_threshold": 1_000}]);
        assert_eq!(sent_with(RelayApi::OpenAi, "/responses", compaction), Value::Null);
    }

    #[test]
    fn a_provider_is_not_made_to_reach_hosts_run_programs_or_hurry() {
        let body = json!({
            "model": "m", "max_tokens": 9, "service_tier": "priority", "speed": "fast", "container": "c",
            "mcp_servers": [{"type": "url", "url": "https://evil.example"}], "messages": [],
            "tools": [
                {"name": "Bash", "input_schema": {}}, {"type": "web_fetch_20250910", "name": "web_fetch"},
                {"type": "text_editor_20250728", "name": "e"}, {"type": "code_execution_20250825", "name": "c"},
                {"type": "mcp_toolset", "mcp_server_name": "x"},
            ],
        });
        let expected = json!({
            "model": "m", "max_tokens": 9, "messages": [],
            "tools": [{"name": "Bash", "input_schema": {}}, {"type": "text_editor_20250728", "name": "e"}],
        });
        assert_eq!(sent(RelayApi::Messages, "/v1/messages", body), expected);
        let tools = json!([{"type": "mcp", "server_url": "https://evil.example"}, {"type": "function", "name": "f"}, {"type": "web_search"}]);
        let left = sent(RelayApi::OpenAi, "/responses", json!({"model": "m", "input": [], "tools": tools}));
        assert_eq!(left["tools"], json!([{"type": "function", "name": "f"}]));
        let body =
            json!({"model": "m", "max_tokens": 9, "web_search_options": {}, "plugins": [{"id": "web"}]});
        assert_eq!(
            sent(RelayApi::OpenAi, "/chat/completions", body),
            json!({"model": "m", "max_tokens": 9}),
            "nor to search by a field of its own"
        );
    }

    #[test]
    fn what_a_provider_would_fetch_or_keep_is_refused_and_what_tools_were_called_with_is_not_looked_at() {
        let refused =
            |api, path: &str, body: Value| weighed(api, Method::POST, path, &body.to_string()).err();
        let picture = json!({"type": "image", "source": {"type": "url", "url": "https://evil.example/x"}});
        for (api, path, body, what) in [
            (
                RelayApi::Messages,
                "/v1/messages",
                json!({"model": "m", "messages": [{"role": "user", "content": [picture]}]}),
                "url",
            ),
            (
                RelayApi::OpenAi,
                "/responses",
                json!({"model": "m", "input": [{"content": [{"type": "input_image", "image_url": "https://evil.example"}]}]}),
                "image_url",
            ),
            (
                RelayApi::OpenAi,
                "/chat/completions",
                json!({"model": "m", "messages": [{"content": [{"image_url": {"url": "http://evil.example"}}]}]}),
                "image_url",
            ),
            (
                RelayApi::OpenAi,
                "/responses",
                json!({"model": "m", "input": [{"content": [{"type": "input_file", "file_url": "https://x"}]}]}),
                "file_url",
            ),
            (
                RelayApi::OpenAi,
                "/responses",
                json!({"model": "m", "previous_response_id": "r"}),
                "previous_response_id",
            ),
            (RelayApi::OpenAi, "/responses", json!({"model": "m", "background": true}), "background"),
        ] {
            assert_eq!(refused(api, path, body), Some(RelayError::Reaches { what }));
        }
        let call = json!({"type": "tool_use", "id": "t", "name": "Fetch", "input": {"type": "url", "url": "https://x"}});
        let body = json!({"model": "m", "messages": [{"role": "assistant", "content": [call]}]});
        assert_eq!(refused(RelayApi::Messages, "/v1/messages", body), None);
        let data = json!({"content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]});
        assert_eq!(refused(RelayApi::OpenAi, "/responses", json!({"model": "m", "input": [data]})), None);
    }

    #[test]
    fn a_count_of_tokens_reaches_no_further_than_a_turn() {
        let count = "/v1/messages/count_tokens";
        let picture = json!({"type": "image", "source": {"type": "url", "url": "https://evil.example/x"}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [picture]}]}).to_string();
        let refused = weighed(RelayApi::Messages, Method::POST, count, &body);
        assert_eq!(refused, Err(RelayError::Reaches { what: "url" }));
        let servers = json!([{"type": "url", "url": "https://evil.example"}]);
        let body = json!({"model": "m", "messages": [], "mcp_servers": servers});
        assert_eq!(sent(RelayApi::Messages, count, body), json!({"model": "m", "messages": []}));
        let refused = weighed(RelayApi::Messages, Method::POST, count, "nonsense");
        assert_eq!(refused, Err(RelayError::NotJson));
    }

    #[test]
    fn a_body_of_very_many_values_is_refused_before_it_is_taken_apart() {
        for path in ["/v1/messages", "/v1/messages/count_tokens"] {
            let body = format!(r#"{{"model":"m","messages":[{}{{}}]}}"#, "{},".repeat(MOST_VALUES / 2));
            let refused = weighed(RelayApi::Messages, Method::POST, path, &body);
            assert_eq!(refused, Err(RelayError::TooManyValues { limit: MOST_VALUES }), "{path}");
        }
    }

    #[test]
    fn what_a_request_has_kept_is_found_wherever_it_asks_for_it() {
        let kept = |control: Value| {
            let text = json!({"type": "text", "text": "x", "cache_control": control});
            let body = json!({"model": "m", "messages": [{"role": "user", "content": [text]}]}).to_string();
            weighed(RelayApi::Messages, Method::POST, "/v1/messages", &body).unwrap().kept
        };
        assert_eq!(kept(Value::Null), Kept::Not);
        assert_eq!(kept(json!({"type": "ephemeral"})), Kept::Minutes);
        assert_eq!(kept(json!({"type": "ephemeral", "ttl": "5m"})), Kept::Minutes);
        assert_eq!(kept(json!({"type": "ephemeral", "ttl": "1h"})), Kept::Hour);
        let body = r#"{"model":"m","cache_control":{"type":"ephemeral"},"messages":[]}"#;
        let whole = weighed(RelayApi::Messages, Method::POST, "/v1/messages", body).unwrap();
        assert_eq!(whole.kept, Kept::Minutes);
        let other = weighed(RelayApi::OpenAi, Method::POST, "/responses", r#"{"model":"m"}"#).unwrap();
        assert_eq!(other.kept, Kept::Minutes, "nobody has to ask for it there");
    }

    #[test]
    fn a_stream_of_chat_has_to_say_what_it_used() {
        let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#;
        let weight = weighed(RelayApi::OpenAi, Method::POST, "/chat/completions", body).unwrap();
        let sent: Value = serde_json::from_slice(&weight.body()).unwrap();
        assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    }

    #[test]
    fn a_turn_that_nobody_counts_is_estimated_by_its_texts() {
        let picture = format!("data:image/png;base64,{}", "A".repeat(300_000));
        let parts = json!([{"type": "text", "text": "x".repeat(3_000)}, {"type": "image_url", "image_url": {"url": picture}}]);
        let request = json!({"messages": [{"role": "user", "content": parts}]}).to_string();
        let verbatim = json!({"role": "assistant", "content": "y".repeat(300)});
        let used = estimated(request.as_bytes(), &Message::Assistant { blocks: Vec::new(), verbatim });
        assert!((1_000 + PICTURE..1_100 + PICTURE).contains(&used.input_tokens), "{}", used.input_tokens);
        assert!((100..130).contains(&used.output_tokens), "{}", used.output_tokens);
    }

    #[test]
    fn a_body_that_is_no_request_is_refused() {
        for body in ["", "[]", "{}", r#"{"model":7}"#, "nonsense"] {
            let refused = weighed(RelayApi::OpenAi, Method::POST, "/responses", body);
            assert_eq!(refused, Err(RelayError::NotJson), "{body}");
        }
    }
}
