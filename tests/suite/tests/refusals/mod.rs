//! What the API refuses, for every operation that its own document lists.

mod doors;
mod states;

use nightshift_protocol::{ErrorCode, RunList, SearchReply};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::get;
use crate::served::{Served, TOKEN};

/// An operation of the API as the document has it.
struct Operation {
    method: Method,
    path: String,
    takes_body: bool,
    needs_body: bool,
    parameters: Vec<String>,
}

/// All of them but the one that is let in by a signature: webhooks have tests of their own.
fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(nightshift_server::openapi()).unwrap();
    let mut operations = Vec::new();
    let paths = document["paths"].as_object().unwrap().iter();
    for (path, methods) in paths.filter(|(path, _)| !path.contains("/webhooks/")) {
        for (method, operation) in methods.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let queried = parameters.filter(|parameter| parameter["in"] == "query");
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                // A file's bytes are no words of ours.
                takes_body: !operation["requestBody"]["content"]["application/json"].is_null(),
                needs_body: operation["requestBody"]["required"] == true,
                parameters: queried.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect(),
            });
        }
    }
    assert!(operations.len() > 30, "{} operations", operations.len());
    operations
}

impl Operation {
    /// The path with names in the place of its parameters.
    fn named(&self) -> String {
        let id = "0".repeat(64);
        self.path
            .replace("{run}", "run-zzzzzzzzzz")
            .replace("{checkpoint}", "checkpoint-zzzzzzzzzz")
            .replace("{id}", &id)
    }

    /// A body that the operation understands, and that leads nowhere.
    fn body(&self) -> Value {
        let last = self.path.rsplit('/').next().unwrap();
        match last {
            "tasks" => json!({"description": "x", "repository": "/nowhere"}),
            "messages" | "resume" => json!({"text": "x"}),
            "actions" => json!({"action": "screenshot"}),
            "comments" => json!({"path": "x", "line": 1, "words": "x"}),
            "rewind" | "fork" => json!({"checkpoint": "1.1"}),
            "approval" => json!({"decision": {"type": "approved"}}),
            "session" => json!({"ticket": "x"}),
            _ => json!({}),
        }
    }

    fn shown(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

async fn quiet() -> Served {
    Served::begin(json!({"turns": []})).await
}

const UNPROCESSABLE: (StatusCode, ErrorCode) = (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidRequest);

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_on_a_run_that_nobody_knows_says_so() {
    let served = quiet().await;
    for operation in operations().iter().filter(|operation| operation.path.contains("{run}")) {
        let body = operation.body().to_string();
        let body = operation.takes_body.then_some(body.as_str());
        let refused = served.refused(operation.method.clone(), &operation.named(), body).await;
        assert_eq!(refused, (StatusCode::NOT_FOUND, ErrorCode::NotFound), "{}", operation.shown());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_but_the_begin_of_a_session_answers_without_a_token() {
    let served = quiet().await;
    for operation in operations() {
        let url = format!("{}{}", served.url, operation.named());
        let request = served.http.request(operation.method.clone(), &url);
        let request = if operation.takes_body { request.json(&operation.body()) } else { request };
        let status = request.send().await.unwrap().status();
        // A session is begun by a ticket, which this one is none.
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", operation.shown());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_answers_under_a_name_that_was_rebound_or_to_another_site_s_page() {
    let served = quiet().await;
    for operation in operations() {
        for (header, value) in
            [("host", "evil.example"), ("origin", "https://evil.example"), ("origin", "null")]
        {
            let url = format!("{}{}", served.url, operation.named());
            let request =
                served.http.request(operation.method.clone(), &url).bearer_auth(TOKEN).header(header, value);
            let status = request.send().await.unwrap().status();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{} with {header}: {value}", operation.shown());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_is_json_and_says_so() {
    let served = quiet().await;
    for operation in operations().iter().filter(|operation| operation.takes_body) {
        let url = format!("{}{}", served.url, operation.named());
        for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
            let request = served.http.request(operation.method.clone(), &url).bearer_auth(TOKEN);
            let request = request.body(operation.body().to_string());
            let request =
                kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
            let answer = request.send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::UNPROCESSABLE_ENTITY,
                "{} as {kind:?}",
                operation.shown()
            );
            let error: nightshift_protocol::UserError = answer.json().await.unwrap();
            assert!(error.hint.contains("application/json"), "{}: {error:?}", operation.shown());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_broken_or_has_a_field_nobody_knows_is_refused() {
    let served = quiet().await;
    for operation in operations().iter().filter(|operation| operation.takes_body) {
        let mut misspelt = operation.body();
        misspelt["colour"] = json!("red");
        let misspelt = misspelt.to_string();
        // The fields of an action on a screen are the tool's, which looks at them once the sandbox is there.
        let misspelt = (!operation.path.ends_with("/actions")).then_some(misspelt.as_str());
        let none = operation.needs_body.then_some("");
        for body in ["{", "[]", "null", "\"text\""].into_iter().chain(none).chain(misspelt) {
            let refused = served.refused(operation.method.clone(), &operation.named(), Some(body)).await;
            assert_eq!(refused, UNPROCESSABLE, "{} with {body}", operation.shown());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operation_takes_a_body_of_more_than_a_mebibyte() {
    let served = quiet().await;
    for operation in operations().iter().filter(|operation| operation.takes_body) {
        let large = json!({"text": "x".repeat(2 << 20)}).to_string();
        let refused = served.refused(operation.method.clone(), &operation.named(), Some(&large)).await;
        assert_eq!(refused, (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge), "{}", operation.shown());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_nobody_knows_is_refused_and_not_passed_over() {
    let served = quiet().await;
    for operation in operations().iter().filter(|operation| !operation.parameters.is_empty()) {
        let path = format!("{}?q=x&colour=red", operation.named());
        assert_eq!(served.refused(operation.method.clone(), &path, None).await, UNPROCESSABLE, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_behind_the_question_mark_are_numbers() {
    let served = quiet().await;
    let numbers = ["limit", "after", "width"];
    let mut tried = 0;
    for operation in operations() {
        for parameter in operation.parameters.iter().filter(|name| numbers.contains(&name.as_str())) {
            for odd in ["many", "-1", "1.5", "99999999999999999999999"] {
                let path = format!("{}?q=x&{parameter}={odd}", operation.named());
                let path = if operation.path.ends_with("/search") { path } else { path.replace("q=x&", "") };
                assert_eq!(
                    served.refused(operation.method.clone(), &path, None).await,
                    UNPROCESSABLE,
                    "{path}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried >= 20, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_a_path_does_not_have_is_refused_as_one() {
    let served = quiet().await;
    let all = operations();
    for path in all.iter().map(|operation| &operation.path) {
        let has = |method: &Method| all.iter().any(|known| known.path == *path && known.method == *method);
        let named = all.iter().find(|operation| operation.path == *path).unwrap().named();
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            if !has(&method) {
                let refused = served.refused(method.clone(), &named, None).await;
                let expected = (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::InvalidRequest);
                assert_eq!(refused, expected, "{method} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_brought_into_its_range() {
    let served = quiet().await;
    for _ in 0..3 {
        served.night.submit("Do something").await;
    }
    let none: RunList = get(&served, "/runs?limit=0").await;
    assert_eq!((none.runs.len(), none.next.is_some()), (1, true));
    let all: RunList = get(&served, "/runs?limit=4294967295").await;
    assert_eq!((all.runs.len(), all.next), (3, None));
    let found: SearchReply = get(&served, "/search?q=something&limit=0").await;
    assert_eq!((found.hits.len(), found.next.is_some()), (1, true));
    let found: SearchReply = get(&served, "/search?q=something&limit=4294967295").await;
    assert_eq!((found.hits.len(), found.next), (3, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_past_the_end_gives_an_empty_part_and_one_of_another_list_is_refused() {
    let served = quiet().await;
    let run = served.night.submit("Do something").await;
    let before_all: RunList = get(&served, "/runs?cursor=0").await;
    assert_eq!((before_all.runs.len(), before_all.next), (0, None));
    let from_the_top: RunList = get(&served, "/runs?cursor=18446744073709551615").await;
    assert_eq!(from_the_top.runs.len(), 1);
    let nothing: SearchReply = get(&served, "/search?q=something&cursor=0").await;
    assert_eq!(nothing.hits, []);
    let later: Vec<Value> = get(&served, &format!("/runs/{run}/events?after=18446744073709551615")).await;
    assert_eq!(later, Vec::<Value>::new());
    for odd in ["x", "-1", "1.5", "18446744073709551616", "%00"] {
        for list in ["/api/v1/runs?", "/api/v1/search?q=x&"] {
            let path = format!("{list}cursor={odd}");
            assert_eq!(served.refused(Method::GET, &path, None).await, UNPROCESSABLE, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_needs_a_word() {
    let served = quiet().await;
    for path in ["/api/v1/search", "/api/v1/search?q=", "/api/v1/search?q=%20%22*", "/api/v1/search?limit=1"]
    {
        assert_eq!(served.refused(Method::GET, path, None).await, UNPROCESSABLE, "{path}");
    }
    let all: RunList = get(&served, "/runs?text=%20").await;
    assert_eq!(all.runs, [], "a list without words is a list of all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_none_is_named_with_those_there_are() {
    let served = quiet().await;
    for odd in ["asleep", "working,asleep", "Working", "unfinished,working", ",,"] {
        let path = format!("/api/v1/runs?state={odd}");
        let (status, body) = served.ask(Method::GET, &path, None).await;
        let error: nightshift_protocol::UserError = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{odd}");
        assert!(error.hint.contains("inReview") && error.hint.contains("unfinished"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_odd_in_itself_is_answered_and_leads_nowhere() {
    let served = quiet().await;
    for odd in ["run-%00", "%ff", "..%2f..%2fetc%2fpasswd", "run-_", "%25", &"x".repeat(5_000)] {
        let (status, body) = served.ask(Method::GET, &format!("/api/v1/runs/{odd}"), None).await;
        assert!(status.is_client_error(), "{odd}: {status}");
        let error: nightshift_protocol::UserError = serde_json::from_slice(&body).unwrap();
        assert!(!error.message.is_empty() && !error.hint.is_empty(), "{odd}: {error:?}");
    }
    for id in ["x", &"A".repeat(64), "..%2f..%2fnightshift.db"] {
        let path = format!("/api/v1/artifacts/{id}");
        assert_eq!(served.refused(Method::GET, &path, None).await, UNPROCESSABLE, "{id}");
    }
    let unknown = format!("/api/v1/artifacts/{}", "0".repeat(64));
    assert_eq!(
        served.refused(Method::GET, &unknown, None).await,
        (StatusCode::NOT_FOUND, ErrorCode::NotFound)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_be_begun_is_refused_by_its_reason_and_leaves_nothing() {
    let served = quiet().await;
    let here = served.night.repository();
    let wish = |field: &str, value: Value| {
        let mut wish = json!({"description": "Do it", "repository": here});
        wish[field] = value;
        wish.to_string()
    };
    for (body, code) in [
        (wish("description", json!("")), ErrorCode::InvalidRequest),
        (wish("description", json!(" \n\t")), ErrorCode::InvalidRequest),
        (wish("description", json!("x".repeat(50_001))), ErrorCode::InvalidRequest),
        (wish("repository", json!("/nowhere/at/all")), ErrorCode::RepositoryNotFound),
        (wish("repository", json!("")), ErrorCode::RepositoryNotFound),
        (wish("repository", json!("-oProxyCommand=x")), ErrorCode::RepositoryNotFound),
        (wish("repository", json!("https://ada:secret@example.org/a.git")), ErrorCode::RepositoryNotFound),
        (wish("baseBranch", json!("nope")), ErrorCode::BranchNotFound),
        (wish("baseBranch", json!("--upload-pack=x")), ErrorCode::BranchNotFound),
        (wish("model", json!("gpt-of-nobody")), ErrorCode::UnknownModel),
        (wish("model", json!("nobody/model")), ErrorCode::UnknownModel),
    ] {
        let refused = served.refused(Method::POST, "/api/v1/tasks", Some(&body)).await;
        assert_eq!(refused.1, code, "{}", &body[..body.len().min(120)]);
    }
    let all: RunList = get(&served, "/runs").await;
    assert_eq!(all.runs, []);
}
