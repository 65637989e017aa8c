//! The HTTP API over a whole owner: what scripts and the UI see.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{ChangedFiles, ErrorCode, RunList, Tree, UserError};
use nightshift_server::Guard;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use suite::Night;

const TOKEN: &str = "secret";

/// The API of a night, served on a port of its own.
struct Served {
    night: Night,
    url: String,
    http: reqwest::Client,
}

impl Served {
    async fn begin(script: Value) -> Self {
        let night = Night::begin(script).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router =
            nightshift_server::router(std::sync::Arc::new(night.owner.api.clone()), Guard::new(TOKEN, port));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        // That one is set already is no error.
        let _already_set = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { night, url: format!("http://127.0.0.1:{port}"), http }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&str>) -> (StatusCode, Vec<u8>) {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_owned()),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status(), response.bytes().await.unwrap().to_vec())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.ask(Method::GET, &format!("/api/v1{path}"), None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    async fn refused(&self, method: Method, path: &str, body: Option<&str>) -> (StatusCode, ErrorCode) {
        let (status, body) = self.ask(method, path, body).await;
        let error: UserError = serde_json::from_slice(&body)
            .unwrap_or_else(|_| panic!("{path}: {status} {}", String::from_utf8_lossy(&body)));
        assert!(!error.message.is_empty(), "{path}");
        (status, error.code)
    }
}

fn one_file() -> Value {
    json!({"turns": [
        {"calls": [{"tool": "shell", "input": {"command":
            "mkdir 'a b' && echo new > 'a b/ü.txt' && echo two >> notes.txt && git add -A && git commit -qm 'Add a note' && cat notes.txt"}}]},
        {"calls": [{"tool": "evidence", "input": {"claim": "There are two notes.", "step": "1.1"}}]},
        {"calls": [{"tool": "finish", "input": {"title": "Add a note", "summary": "As asked."}}]},
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_answered_with_code_message_and_hint() {
    let served = Served::begin(json!({"turns": []})).await;
    let cases = [
        (Method::GET, "/api/v1/nothing", None, StatusCode::NOT_FOUND, ErrorCode::NotFound),
        (Method::GET, "/elsewhere", None, StatusCode::NOT_FOUND, ErrorCode::NotFound),
        (Method::DELETE, "/api/v1/runs", None, StatusCode::METHOD_NOT_ALLOWED, ErrorCode::InvalidRequest),
        (Method::GET, "/api/v1/runs/run-nope", None, StatusCode::NOT_FOUND, ErrorCode::NotFound),
        (
            Method::GET,
            "/api/v1/runs?limit=many",
            None,
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::InvalidRequest,
        ),
        (
            Method::GET,
            "/api/v1/runs?colour=red",
            None,
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::InvalidRequest,
        ),
        (
            Method::GET,
            "/api/v1/runs?state=asleep",
            None,
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::InvalidRequest,
        ),
        (
            Method::GET,
            "/api/v1/runs?cursor=x",
            None,
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::InvalidRequest,
        ),
        (
            Method::GET,
            "/api/v1/artifacts/x",
            None,
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::InvalidRequest,
        ),
        (
            Method::POST,
            "/api/v1/tasks",
            Some("{"),
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::InvalidRequest,
        ),
        (
            Method::POST,
            "/api/v1/tasks",
            Some("{}"),
            StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::InvalidRequest,
        ),
        (Method::POST, "/api/v1/tasks", None, StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidRequest),
    ];
    for (method, path, body, status, code) in cases {
        assert_eq!(served.refused(method, path, body).await, (status, code), "{path} {body:?}");
    }
    let large = format!("{{\"text\": \"{}\"}}", "x".repeat(2 << 20));
    let refused = served.refused(Method::POST, "/api/v1/runs/run-nope/messages", Some(&large)).await;
    assert_eq!(refused, (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge));
    let unauthorised = served.http.get(format!("{}/api/v1/runs", served.url)).send().await.unwrap();
    assert_eq!(unauthorised.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_comes_in_parts_that_leave_nothing_out() {
    let served = Served::begin(json!({"turns": []})).await;
    let mut submitted = Vec::new();
    for _ in 0..5 {
        submitted.push(served.night.submit("Do something").await);
    }
    submitted.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let list: RunList = served.get(&format!("/runs?limit=2{cursor}")).await;
        seen.extend(list.runs.into_iter().map(|run| run.run));
        match list.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, submitted);
    let elsewhere: RunList = served.get("/runs?repository=/elsewhere&state=unfinished").await;
    assert_eq!(elsewhere.runs, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_s_files_and_changes_can_be_looked_at() {
    let served = Served::begin(one_file()).await;
    let run = served.night.submit("Add a note").await;
    served.night.until_in_review(&run).await;

    let changed: ChangedFiles = served.get(&format!("/pull-requests/{run}/files")).await;
    let paths: Vec<_> =
        changed.files.iter().map(|file| (file.path.as_str(), file.added, file.removed)).collect();
    assert_eq!(paths, [("a b/ü.txt", Some(1), Some(0)), ("notes.txt", Some(1), Some(0))]);

    let top: Tree = served.get(&format!("/runs/{run}/tree")).await;
    let names: Vec<_> = top.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((names, &top.commit), (vec!["a b", "notes.txt"], &changed.head));
    let before: Tree = served.get(&format!("/runs/{run}/tree?commit={}", changed.base)).await;
    assert_eq!(before.entries.len(), 1);

    let (_, file) =
        served.ask(Method::GET, &format!("/api/v1/runs/{run}/blob?path=a%20b/%C3%BC.txt"), None).await;
    assert_eq!(file, b"new\n");
    let diff = format!("/api/v1/pull-requests/{run}/diff?path=notes.txt");
    let (_, diff) = served.ask(Method::GET, &diff, None).await;
    let diff = String::from_utf8(diff).unwrap();
    assert!(diff.contains("+two") && !diff.contains("+new"), "{diff}");

    let outside = format!("/api/v1/runs/{run}/blob?path=../../../../etc/passwd");
    let refused = (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidRequest);
    assert_eq!(served.refused(Method::GET, &outside, None).await, refused);
    let missing = format!("/api/v1/runs/{run}/tree?path=nowhere");
    assert_eq!(
        served.refused(Method::GET, &missing, None).await,
        (StatusCode::NOT_FOUND, ErrorCode::NotFound)
    );
}
