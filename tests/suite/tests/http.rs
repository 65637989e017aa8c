//! The HTTP API over a whole owner: what scripts and the UI see.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed step is a failed test, which gives programs its own PATH"
)]

mod action;
mod attempts;
mod decisions;
mod loans;
mod mcp;
mod refusals;
mod served;

use nightshift_protocol::{ChangedFiles, ErrorCode, Overview, RunChanged, RunList, SearchReply, Tree};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use served::Served;

async fn get<T: serde::de::DeserializeOwned>(served: &Served, path: &str) -> T {
    let (status, body) = served.ask(Method::GET, &format!("/api/v1{path}"), None).await;
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
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
        let list: RunList = get(&served, &format!("/runs?limit=2{cursor}")).await;
        seen.extend(list.runs.into_iter().map(|run| run.run));
        match list.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, submitted);
    let elsewhere: RunList = get(&served, "/runs?repository=/elsewhere&state=unfinished").await;
    assert_eq!(elsewhere.runs, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_s_files_and_changes_can_be_looked_at() {
    let served = Served::begin(one_file()).await;
    let run = served.night.submit("Add a note").await;
    served.night.until_in_review(&run).await;

    let changed: ChangedFiles = get(&served, &format!("/pull-requests/{run}/files")).await;
    let paths: Vec<_> =
        changed.files.iter().map(|file| (file.path.as_str(), file.added, file.removed)).collect();
    assert_eq!(paths, [("a b/ü.txt", Some(1), Some(0)), ("notes.txt", Some(1), Some(0))]);

    let top: Tree = get(&served, &format!("/runs/{run}/tree")).await;
    let names: Vec<_> = top.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((names, &top.commit), (vec!["a b", "notes.txt"], &changed.head));
    let before: Tree = get(&served, &format!("/runs/{run}/tree?commit={}", changed.base)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_people_and_agents_wrote_is_found_and_counted() {
    let served = Served::begin(one_file()).await;
    let run = served.night.submit("Add a note <script>alert(1)</script>").await;
    served.night.until_in_review(&run).await;
    let found: SearchReply = get(&served, "/search?q=add%20not").await;
    let described = found.hits.iter().find(|hit| hit.kind == "runSubmitted").unwrap();
    assert_eq!((described.run.clone(), described.seq), (run.clone(), 1));
    let marked: Vec<_> =
        described.excerpt.iter().filter(|part| part.is_match).map(|part| part.text.as_str()).collect();
    assert_eq!(marked, ["Add", "note"]);
    assert!(found.hits.iter().any(|hit| hit.kind == "stepIntended"));
    let first: SearchReply = get(&served, "/search?q=note&limit=1").await;
    let cursor = first.next.unwrap();
    let second: SearchReply = get(&served, &format!("/search?q=note&limit=1&cursor={cursor}")).await;
    assert!(second.hits[0].seq < first.hits[0].seq);
    let listed: RunList = get(&served, "/runs?text=script").await;
    assert_eq!(listed.runs.len(), 1);
    let none: RunList = get(&served, "/runs?text=cat").await;
    assert_eq!(none.runs, []);
    let nothing = served.refused(Method::GET, "/api/v1/search?q=%22*", None).await;
    assert_eq!(nothing, (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidRequest));
    let overview: Overview = get(&served, "/overview").await;
    assert_eq!((overview.counts.in_review, overview.waits_for_you), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_everything_tells_who_was_away_what_changed_since() {
    let served = Served::begin(one_file()).await;
    let before: Overview = get(&served, "/overview").await;
    let run = served.night.submit("Add a note").await;
    served.night.until_in_review(&run).await;
    let url = format!("{}/api/v1/stream?after={}", served.url, before.position);
    let mut answer = served.http.get(url).bearer_auth(served::TOKEN).send().await.unwrap();
    let mut text = String::new();
    let (mut changed, mut overview) = (None, None);
    while changed.is_none() || overview.is_none() {
        let chunk = tokio::time::timeout(suite::WITHIN, answer.chunk()).await.unwrap().unwrap().unwrap();
        text += std::str::from_utf8(&chunk).unwrap();
        for frame in text.split("\n\n") {
            let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
            if frame.contains("event: run") {
                changed = data.and_then(|data| serde_json::from_str::<RunChanged>(data).ok());
            } else if frame.contains("event: overview") {
                overview = data.and_then(|data| serde_json::from_str::<Overview>(data).ok());
            }
        }
    }
    assert_eq!(changed.unwrap().run.run, run);
    assert_eq!(overview.unwrap().counts.in_review, 1);
}
