//! Calls of foreign clients, carried to a server that records what it was sent.

use std::time::Duration;

use nightshift_model::{
    Model, Provider, Providers, RelayAnswer, RelayApi, RelayError, RelayRequest, RetryPolicy,
};
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use crate::wire::{Canned, HELLO, Then, client, error, impatient, settings, stream};

const BODY: &str = r#"{"model":"claude-sonnet-5-5","max_tokens":50,"stream":true,"messages":[]}"#;

fn post(path: &str, body: &str) -> RelayRequest {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-api-key", "nightshift-of-the-program"),
        ("cookie", "a=b"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "one-2026"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    RelayRequest { method: Method::POST, path: path.to_owned(), headers, body: body.to_owned().into() }
}

async fn relayed(url: String, request: &RelayRequest) -> Result<RelayAnswer, RelayError> {
    let provider = client(url);
    let weight = provider.weigh("anthropic", request)?;
    provider.relay("anthropic", request, &weight).await
}

async fn whole(answer: &mut RelayAnswer) -> String {
    let mut bytes = Vec::new();
    while let Some(part) = answer.next().await.unwrap() {
        bytes.extend_from_slice(&part);
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_call_goes_on_with_the_owner_s_key_and_nothing_that_the_program_showed() {
    let mut server = Canned::start(vec![(stream(HELLO), Then::Close)]).await;
    let mut answer = relayed(server.base_url(), &post("/v1/messages", BODY)).await.unwrap();
    assert_eq!((answer.status, whole(&mut answer).await.as_str()), (200, HELLO));
    let sent = server.requests.recv().await.unwrap();
    let lower = sent.to_lowercase();
    assert!(
        sent.starts_with("POST /v1/messages HTTP/1.1\r\n") && sent.contains(r#""max_tokens":50"#),
        "{sent}"
    );
    assert!(lower.contains("x-api-key: sk-ant-secret\r\n"), "{sent}");
    assert!(lower.contains("anthropic-version: 2023-06-01\r\n"), "{sent}");
    assert!(lower.contains("anthropic-beta: one-2026\r\n"), "{sent}");
    assert!(!lower.contains("of-the-program") && !lower.contains("cookie"), "{sent}");
    let (usage, model) = answer.counted(Duration::ZERO);
    assert_eq!((usage.input_tokens, usage.output_tokens), (5, 3));
    assert_eq!(model.as_deref(), Some("claude-sonnet-5-5"));
}

#[tokio::test]
async fn a_provider_that_says_what_it_was_shown_does_not_tell_the_key() {
    let said =
        r#"{"error":{"message":"headers were x-api-key: sk-ant-secret, authorization: sk-ant-secret"}}"#;
    let shown = "request-id: sk-ant-secret\r\nx-request-id: r1\r\nset-cookie: k=sk-ant-secret\r\n";
    let server = Canned::start(vec![(error(401, shown, said), Then::Close)]).await;
    let mut answer = relayed(server.base_url(), &post("/v1/messages", BODY)).await.unwrap();
    let body = whole(&mut answer).await;
    assert_eq!(body, r#"{"error":{"message":"headers were x-api-key: [hidden], authorization: [hidden]"}}"#);
    let mut names: Vec<&str> = answer.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!((answer.status, names), (401, vec!["x-request-id"]));
    assert_eq!(
        answer.counted(Duration::ZERO).0,
        nightshift_protocol::Usage::default(),
        "an error costs nothing"
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_ends_with_an_error_and_is_counted_as_far_as_it_came() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n";
    let server = Canned::start(vec![(format!("{cut}{HELLO}"), Then::Close)]).await;
    let mut answer = relayed(server.base_url(), &post("/v1/messages", BODY)).await.unwrap();
    let mut last = answer.next().await;
    while matches!(last, Ok(Some(_))) {
        last = answer.next().await;
    }
    assert_eq!(last, Err(RelayError::Unreachable));
    assert_eq!(answer.next().await, Ok(None));
    assert_eq!(answer.counted(Duration::ZERO).0.input_tokens, 5);
}

#[tokio::test]
async fn a_provider_that_stalls_behind_its_head_is_given_up_as_if_it_had_hung_up() {
    let begun = &HELLO[..HELLO.find("event: content_block_stop").unwrap()];
    let mut server = Canned::start(vec![(stream(begun), Then::Hold)]).await;
    let patience = RetryPolicy { silence: Duration::from_millis(60), ..impatient() };
    let provider = Provider::messages(settings(server.base_url(), patience)).unwrap();
    let request = post("/v1/messages", BODY);
    let weight = provider.weigh("anthropic", &request).unwrap();
    let mut answer = provider.relay("anthropic", &request, &weight).await.unwrap();
    let mut last = answer.next().await;
    while matches!(last, Ok(Some(_))) {
        last = answer.next().await;
    }
    assert_eq!(last, Err(RelayError::Unreachable));
    assert_eq!(answer.next().await, Ok(None));
    let used = answer.counted(Duration::from_secs(1)).0;
    assert_eq!((used.input_tokens, used.output_tokens), (5, 50), "what its model can have written");
    drop(answer);
    server.gone.recv().await.unwrap();
}

#[tokio::test]
async fn the_worst_of_a_call_is_what_it_costs_to_keep_all_that_it_reads_where_it_asks_for_that() {
    let provider = client("http://127.0.0.1:1".to_owned());
    let worst = |control: serde_json::Value| {
        let text = json!({"type": "text", "text": "word ".repeat(1_000), "cache_control": control});
        let messages = json!([{"role": "user", "content": [text]}]);
        let body = json!({"model": "claude-sonnet-5-5", "max_tokens": 50, "messages": messages});
        provider.weigh("anthropic", &post("/v1/messages", &body.to_string())).unwrap().worst
    };
    for (control, rate) in [
        (json!(null), 2_000),
        (json!({"type": "ephemeral"}), 2_500),
        (json!({"type": "ephemeral", "ttl": "1h"}), 4_000),
    ] {
        let worst = worst(control);
        let expected = (worst.input_tokens * rate + 50 * 10_000_u64).div_ceil(1_000);
        assert_eq!(worst.cost_microdollars, expected, "{rate}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_address_is_not_told() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = Canned::start(vec![(moved.to_owned(), Then::Close)]).await;
    let answer = relayed(server.base_url(), &post("/v1/messages", BODY)).await.unwrap();
    assert_eq!((answer.status, answer.headers.len()), (302, 0));
}

#[tokio::test]
async fn a_provider_without_a_key_or_of_another_name_carries_nothing() {
    let mut providers = Providers::default();
    providers.add_without_key("openai", "OPENAI_API_KEY");
    providers.add("anthropic", client("http://127.0.0.1:1".to_owned()));
    assert_eq!(providers.relay_api("anthropic"), Ok(RelayApi::Messages));
    let missing =
        RelayError::MissingKey { provider: "openai".to_owned(), variable: "OPENAI_API_KEY".to_owned() };
    assert_eq!(providers.relay_api("openai"), Err(missing.clone()));
    assert_eq!(providers.weigh("openai", &post("/responses", BODY)), Err(missing));
    let unknown = RelayError::UnknownProvider { provider: "x".to_owned() };
    assert_eq!(providers.relay_api("x"), Err(unknown));
    let request = post("/v1/messages", BODY);
    let weight = providers.weigh("anthropic", &request).unwrap();
    assert!(weight.worst.cost_microdollars > 0, "its price is known");
    let refused = providers.relay("anthropic", &request, &weight).await;
    assert_eq!(refused.err(), Some(RelayError::Unreachable));
}

#[tokio::test]
async fn the_scripted_server_takes_a_relayed_call_for_one_of_a_vendor_s_own_client() {
    let script = json!({"model": "claude-sonnet-5-5", "turns": [{"say": "Hello."}]});
    let model = ScriptedModel::start(Script::from_value(script).unwrap()).await;
    let body = json!({
        "model": "claude-sonnet-5-5", "max_tokens": 100, "stream": true,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Begin."}]}],
    });
    let mut request = post("/v1/messages", &body.to_string());
    request.headers.remove("anthropic-version");
    let mut answer = relayed(model.base_url(), &request).await.unwrap();
    let body = whole(&mut answer).await;
    assert!(body.contains("Hello."), "{body}");
    assert!(answer.counted(Duration::ZERO).0.output_tokens > 0);
}
