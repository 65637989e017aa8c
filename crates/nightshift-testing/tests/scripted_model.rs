//! The scripted model as a client sees it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_testing::scripted_model::{RecordedRequest, Script, ScriptedModel};
use serde_json::{Value, json};

struct Answer {
    status: u16,
    retry_after: Option<String>,
    /// The data of the events, or the one JSON document.
    data: Vec<Value>,
    /// The answer broke off.
    cut: bool,
}

async fn serve(script: Value) -> ScriptedModel {
    ScriptedModel::start(Script::from_value(script).unwrap()).await
}

fn client(key: &str) -> reqwest::Client {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("x-api-key", key.parse().unwrap());
    headers.insert("anthropic-version", "2026-10-21".parse().unwrap());
    headers.insert("content-type", "application/json".parse().unwrap());
    plain_client().default_headers(headers).build().unwrap()
}

/// Without TLS: everything here is on the loopback address.
fn plain_client() -> reqwest::ClientBuilder {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls)
}

async fn post(client: &reqwest::Client, model: &ScriptedModel, body: &Value) -> Answer {
    let url = format!("{}/v1/messages", model.base_url());
    let mut response = client.post(url).body(body.to_string()).send().await.unwrap();
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let mut bytes = Vec::new();
    let cut = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    let text = String::from_utf8(bytes).unwrap();
    let data = match serde_json::from_str(&text) {
        Ok(document) => vec![document],
        Err(_) => text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    };
    Answer { status, retry_after, data, cut }
}

/// A request with these tools and messages.
fn request(tools: Value, messages: Value) -> Value {
    json!({"model": "claude-sonnet-5-5", "max_tokens": 100, "stream": true, "tools": tools, "messages": messages})
}

fn hello() -> Value {
    request(json!([]), json!([{"role": "user", "content": "Hello."}]))
}

fn shell() -> Value {
    json!({"name": "shell", "input_schema": {"type": "object"}})
}

fn kinds(answer: &Answer) -> Vec<&str> {
    answer.data.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn joined_deltas(answer: &Answer, index: u64, field: &str) -> String {
    let deltas =
        answer.data.iter().filter(|event| event["type"] == "content_block_delta" && event["index"] == index);
    deltas.filter_map(|event| event["delta"][field].as_str()).collect()
}

fn started(answer: &Answer, index: usize) -> Value {
    let mut starts = answer.data.iter().filter(|event| event["type"] == "content_block_start");
    starts.nth(index).unwrap()["content_block"].clone()
}

#[tokio::test]
async fn a_turn_is_streamed_in_pieces_as_the_provider_does() {
    let say = "I shall look at the files, größer and smaller ones.";
    let model = serve(json!({"turns": [{"thinking": "Look first.", "say": say,
        "calls": [{"tool": "shell", "input": {"command": "ls -la /home/user/project"}}]}]}))
    .await;
    let body = request(json!([shell()]), json!([{"role": "user", "content": "Begin."}]));
    let answer = post(&client("key"), &model, &body).await;

    assert_eq!(answer.status, 200);
    assert_eq!(kinds(&answer)[..3], ["message_start", "ping", "content_block_start"]);
    assert_eq!(
        kinds(&answer)[kinds(&answer).len() - 3..],
        ["content_block_stop", "message_delta", "message_stop"]
    );
    assert_eq!(joined_deltas(&answer, 0, "thinking"), "Look first.");
    assert!(!joined_deltas(&answer, 0, "signature").is_empty());
    assert_eq!(joined_deltas(&answer, 1, "text"), say);
    let input: Value = serde_json::from_str(&joined_deltas(&answer, 2, "partial_json")).unwrap();
    assert_eq!(input, json!({"command": "ls -la /home/user/project"}));
    assert_eq!(started(&answer, 2)["name"], "shell");
    let end = &answer.data[answer.data.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "tool_use");
    assert!(end["usage"]["output_tokens"].as_u64().unwrap() > 10);
    assert_eq!(model.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn the_turn_follows_from_the_answers_in_the_request_alone() {
    let script = json!({"turns": [{"say": "first"}, {"say": "second"}]});
    let second = request(
        json!([]),
        json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "first"}, {"role": "user", "content": "b"}]),
    );
    let client = client("key");
    let model = serve(script.clone()).await;
    let before = post(&client, &model, &second).await;
    let repeated = post(&client, &model, &second).await;
    let restarted = serve(script).await;
    let after = post(&client, &restarted, &second).await;
    assert_eq!(joined_deltas(&before, 0, "text"), "second");
    assert_eq!(before.data, repeated.data);
    assert_eq!(before.data, after.data);
    assert_eq!(model.requests().iter().map(|request| request.turn).collect::<Vec<_>>(), [Some(1), Some(1)]);
}

#[tokio::test]
async fn computer_calls_take_the_form_that_is_offered() {
    let model = serve(json!({"turns": [{"calls": [
        {"tool": "computer", "input": {"action": "left_click", "coordinate": [7, 8]}}]}]}))
    .await;
    let client = client("key");
    let user = json!([{"role": "user", "content": "Click."}]);
    let trained =
        post(&client, &model, &request(json!([{"type": "computer_toolset_20260801"}]), user.clone())).await;
    let plain = json!({"name": "computer", "input_schema": {"type": "object"}});
    let plain = post(&client, &model, &request(json!([plain]), user)).await;

    assert_eq!(started(&trained, 0)["name"], "left_click");
    assert_eq!(started(&trained, 0)["toolset_name"], "computer");
    assert_eq!(joined_deltas(&trained, 0, "partial_json"), r#"{"coordinate":[7,8]}"#);
    assert_eq!(started(&plain, 0)["name"], "computer");
    assert_eq!(started(&plain, 0)["toolset_name"], Value::Null);
    assert_eq!(joined_deltas(&plain, 0, "partial_json"), r#"{"action":"left_click","coordinate":[7,8]}"#);
}

#[tokio::test]
async fn a_breach_is_answered_400_and_remembered() {
    let model = serve(json!({"turns": [{"say": "hello"}]})).await;
    let mut body = hello();
    body["temperature"] = json!(0.5);
    let answer = post(&client("key"), &model, &body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.data[0]["error"]["type"], "invalid_request_error");
    assert_eq!(model.breaches(), ["temperature: not supported by anthropic-version 2026-10-21"]);
}

#[tokio::test]
async fn missing_headers_are_breaches_and_a_wrong_key_is_the_providers_refusal() {
    let model = serve(json!({"key": "good", "turns": [{"say": "hello"}]})).await;
    let bare = plain_client().build().unwrap();
    assert_eq!(post(&bare, &model, &hello()).await.status, 401);
    assert_eq!(post(&client("bad"), &model, &hello()).await.status, 401);
    let keyed = bare.post(format!("{}/v1/messages", model.base_url())).header("x-api-key", "good");
    assert_eq!(keyed.send().await.unwrap().status(), 400);
    assert_eq!(model.breaches(), ["the request carries no key", "anthropic-version: has to be 2026-10-21"]);
    assert_eq!(post(&client("good"), &model, &hello()).await.status, 200);
}

#[tokio::test]
async fn an_unmet_expectation_is_a_breach() {
    let turn = |expect: Value| json!({"turns": [{"calls": [{"tool": "shell"}]}, {"say": "done", "expect": [expect]}]});
    let model = serve(turn(json!({"lastResultContains": "passed"}))).await;
    let client = client("key");
    let first = request(json!([shell()]), json!([{"role": "user", "content": "Test."}]));
    let id = started(&post(&client, &model, &first).await, 0)["id"].clone();
    let with_result = |text: &str| {
        request(
            json!([shell()]),
            json!([
                {"role": "user", "content": "Test."},
                {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "shell", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text}]},
            ]),
        )
    };
    assert_eq!(post(&client, &model, &with_result("3 tests passed")).await.status, 200);
    assert_eq!(model.breaches(), Vec::<String>::new());
    assert_eq!(post(&client, &model, &with_result("1 test failed")).await.status, 400);
    let breaches = model.breaches();
    assert!(
        breaches[0].contains("LastResultContains(\"passed\")") && breaches[0].contains("1 test failed"),
        "{breaches:?}"
    );
}

#[tokio::test]
async fn reasoning_that_did_not_come_back_is_a_breach() {
    let model = serve(json!({"turns": [{"thinking": "Hm.", "say": "first"}, {"say": "second"}]})).await;
    let body = request(
        json!([]),
        json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "first"}, {"role": "user", "content": "b"}]),
    );
    assert_eq!(post(&client("key"), &model, &body).await.status, 400);
    assert_eq!(model.breaches(), ["answer 0: expected `thinking` as its first block"]);
}

#[tokio::test]
async fn faults_happen_as_often_as_the_script_says_and_then_the_turn_is_answered() {
    let model =
        serve(json!({"turns": [{"say": "hello", "fault": {"status": 429, "retryAfter": "7", "times": 2}}]}))
            .await;
    let client = client("key");
    for _ in 0..2 {
        let refused = post(&client, &model, &hello()).await;
        assert_eq!((refused.status, refused.retry_after.as_deref()), (429, Some("7")));
        assert_eq!(refused.data[0]["error"]["type"], "rate_limit_error");
    }
    assert_eq!(post(&client, &model, &hello()).await.status, 200);
    assert_eq!(model.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_cut_breaks_the_connection_after_the_events_it_names() {
    let model = serve(json!({"turns": [{"say": "hello", "fault": {"cutAfterEvents": 3}}]})).await;
    let client = client("key");
    let cut = post(&client, &model, &hello()).await;
    assert_eq!((kinds(&cut), cut.cut), (vec!["message_start", "ping", "content_block_start"], true));
    let whole = post(&client, &model, &hello()).await;
    assert_eq!((kinds(&whole).last().copied(), whole.cut), (Some("message_stop"), false));
}

#[tokio::test]
async fn a_colour_that_is_not_on_the_screen_is_a_breach_that_the_turn_tells() {
    let find = json!({"$find": {"color": "#7c3aed"}});
    let model = serve(json!({"turns": [{"calls": [{"tool": "shell", "input": {"at": find}}]}]})).await;
    let body = request(json!([shell()]), json!([{"role": "user", "content": "Click."}]));
    let answer = post(&client("key"), &model, &body).await;
    assert_eq!(joined_deltas(&answer, 0, "text"), "The request has no picture to look at.");
    assert_eq!(model.breaches(), ["The request has no picture to look at."]);
}

#[tokio::test]
async fn a_turn_beyond_the_script_and_a_tool_that_is_not_offered_are_breaches() {
    let model = serve(json!({"turns": [{"calls": [{"tool": "shell"}]}]})).await;
    let client = client("key");
    assert_eq!(post(&client, &model, &hello()).await.status, 400);
    let second = request(
        json!([]),
        json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]),
    );
    assert_eq!(post(&client, &model, &second).await.status, 400);
    assert_eq!(
        model.breaches(),
        [
            "the script calls shell, which the request does not offer",
            "the script has 1 turns for this conversation, and 2 is asked for"
        ]
    );
}

#[tokio::test]
async fn models_are_listed_and_an_unknown_one_is_not_found() {
    let model = serve(json!({"model": ["claude-opus-5-5", "claude-sonnet-5-5"]})).await;
    let client = client("key");
    let get = async |path: &str| {
        let response = client.get(format!("{}{path}", model.base_url())).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (status, list) = get("/v1/models").await;
    assert_eq!((status, list["data"][1]["id"].as_str()), (200, Some("claude-sonnet-5-5")));
    assert_eq!(get("/v1/models/claude-opus-5-5").await.0, 200);
    let (status, error) = get("/v1/models/claude-9").await;
    assert_eq!((status, error["error"]["message"].as_str()), (404, Some("model: claude-9")));
}

#[tokio::test]
async fn requests_are_recorded_without_the_bulk_of_their_pictures() {
    let model = serve(json!({"turns": [{"say": "hello"}]})).await;
    let source = json!({"type": "base64", "media_type": "image/png", "data": "aGVsbG8="});
    let body =
        request(json!([]), json!([{"role": "user", "content": [{"type": "image", "source": source}]}]));
    assert_eq!(post(&client("key"), &model, &body).await.status, 400);
    let mut recorded = body;
    recorded["messages"][0]["content"][0]["source"]["data"] = json!("8 characters");
    let expected =
        RecordedRequest { path: "/v1/messages".to_owned(), body: recorded, status: 400, turn: None };
    assert_eq!(model.requests(), [expected]);
}

#[test]
fn the_program_tells_its_address_and_ends_with_the_breaches() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let (script, log) = (folder.path().join("script.json"), folder.path().join("log.jsonl"));
    std::fs::write(&script, r#"{"turns": []}"#).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_nightshift-scripted-model"))
        .args(["--script".as_ref(), script.as_os_str(), "--log".as_ref(), log.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let address = told["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nanthropic-version: 2026-10-21\r\nconnection: close\r\n\r\n").unwrap();
    connection.read_to_string(&mut String::new()).unwrap();

    let pid = program.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = program.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "breach: the request carries no key\n");
    let logged: Value = serde_json::from_str(&std::fs::read_to_string(&log).unwrap()).unwrap();
    assert_eq!(
        logged,
        json!({"request": 1, "path": "/v1/models", "status": 401, "turn": null, "breach": "the request carries no key"})
    );
}
