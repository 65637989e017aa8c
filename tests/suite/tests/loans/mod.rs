//! Sandboxes that no run has, borrowed over HTTP.

use std::time::Duration;

use nightshift_protocol::{CommandAnswer, ErrorCode, SandboxLoan, ScreenAnswer};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use suite::WITHIN;

use crate::served::{Served, TOKEN};

async fn served() -> Served {
    Served::begin(json!({"turns": []})).await
}

async fn ask<T: DeserializeOwned>(served: &Served, method: Method, path: &str, body: &Value) -> T {
    let text = body.to_string();
    let (status, answer) = served.ask(method, &format!("/api/v1{path}"), Some(&text)).await;
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap()
}

async fn borrow(served: &Served, seconds: u32) -> SandboxLoan {
    ask(served, Method::POST, "/sandboxes", &json!({"leaseSeconds": seconds})).await
}

async fn command(served: &Served, loan: &SandboxLoan, line: &str) -> CommandAnswer {
    let path = format!("/sandboxes/{}/commands", loan.sandbox);
    ask(served, Method::POST, &path, &json!({"command": line})).await
}

/// Waits until the sandbox cannot be used any more, and returns why.
async fn until_gone(served: &Served, loan: &SandboxLoan) -> String {
    let look = async {
        loop {
            let path = format!("/api/v1/sandboxes/{}/actions", loan.sandbox);
            let body = json!({"action": "cursor_position"}).to_string();
            // Looking is no use, or it would renew the lease.
            if served.night.owner.supervisor.lent_sandboxes().is_empty() {
                let (_, answer) = served.ask(Method::POST, &path, Some(&body)).await;
                let error: nightshift_protocol::UserError = serde_json::from_slice(&answer).unwrap();
                return error.message;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, look).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_borrowed_sandbox_has_a_shell_files_and_a_screen_until_it_is_given_back() {
    let served = served().await;
    let loan = borrow(&served, 600).await;
    assert_eq!((loan.width, loan.height, loan.lease_seconds), (320, 200, 600));
    let listed: Vec<SandboxLoan> = ask(&served, Method::GET, "/sandboxes", &json!({})).await;
    assert_eq!(listed, std::slice::from_ref(&loan));

    let file = format!("/api/v1/sandboxes/{}/file?path=notes/a.txt", loan.sandbox);
    let (status, _) = served.ask(Method::PUT, &file, Some("one\ntwo\n")).await;
    assert_eq!(status, StatusCode::OK);
    let counted = command(&served, &loan, "wc -l < notes/a.txt; echo three >> notes/a.txt; exit 7").await;
    assert_eq!((counted.exit_code, counted.output.trim()), (Some(7), "2"));
    assert_eq!(counted.ending, "exit status 7");
    let (status, content) = served.ask(Method::GET, &file, None).await;
    assert_eq!((status, content.as_slice()), (StatusCode::OK, b"one\ntwo\nthree\n".as_slice()));

    let path = format!("/sandboxes/{}/actions", loan.sandbox);
    let click = json!({"action": "left_click", "coordinate": [10, 20]});
    let shown: ScreenAnswer = ask(&served, Method::POST, &path, &click).await;
    assert!(shown.picture.unwrap().starts_with("iVBORw0KGgo"), "a PNG in base64");
    let pointer: ScreenAnswer =
        ask(&served, Method::POST, &path, &json!({"action": "cursor_position"})).await;
    let said = ScreenAnswer { text: Some("The pointer is at 10,20.".to_owned()), picture: None };
    assert_eq!(pointer, said);

    let machine = served.night.driver.machine(&loan.sandbox).unwrap();
    let one = format!("/sandboxes/{}", loan.sandbox);
    let left: Vec<SandboxLoan> = ask(&served, Method::DELETE, &one, &json!({})).await;
    assert_eq!(left, []);
    assert!(!machine.runs());
    assert!(until_gone(&served, &loan).await.ends_with("is not lent any more: it was closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loan_that_is_not_used_lapses_and_one_that_is_renewed_or_in_use_does_not() {
    let served = served().await;
    let (loan, other) = (borrow(&served, 1).await, borrow(&served, 60).await);
    assert_eq!(command(&served, &loan, "sleep 2; echo still here").await.output.trim(), "still here");
    let renewed: SandboxLoan =
        ask(&served, Method::POST, &format!("/sandboxes/{}/lease", other.sandbox), &json!({})).await;
    assert_eq!(renewed, other);
    let one = format!("/sandboxes/{}", other.sandbox);
    let _left: Vec<SandboxLoan> = ask(&served, Method::DELETE, &one, &json!({})).await;
    let why = until_gone(&served, &loan).await;
    assert!(why.contains("it was not used for longer than its lease"), "{why}");
    assert!(served.night.driver.machine(&loan.sandbox).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_asker_goes_away_is_ended() {
    let served = served().await;
    let loan = borrow(&served, 600).await;
    let path = format!("{}/api/v1/sandboxes/{}/commands", served.url, loan.sandbox);
    let asked = served
        .http
        .post(path)
        .bearer_auth(TOKEN)
        .json(&json!({"command": "echo $$ > pid; sleep 600; echo never > after"}))
        .send();
    let asked = tokio::spawn(asked);
    let alive = "test -s pid && kill -0 $(cat pid) 2>/dev/null";
    let begun = async { while command(&served, &loan, alive).await.exit_code != Some(0) {} };
    tokio::time::timeout(WITHIN, begun).await.expect("the command begins");
    asked.abort();
    let ended = async { while command(&served, &loan, alive).await.exit_code == Some(0) {} };
    tokio::time::timeout(WITHIN, ended).await.expect("the command is ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_eight_are_lent_and_a_place_is_free_again_when_one_is_closed() {
    let served = served().await;
    let mut loans = Vec::new();
    for _ in 0..8 {
        loans.push(borrow(&served, 600).await);
    }
    let refused = served.refused(Method::POST, "/api/v1/sandboxes", Some("{}")).await;
    assert_eq!(refused, (StatusCode::CONFLICT, ErrorCode::Conflict));
    let one = format!("/sandboxes/{}", loans[0].sandbox);
    let left: Vec<SandboxLoan> = ask(&served, Method::DELETE, &one, &json!({})).await;
    assert_eq!(left.len(), 7);
    let again = async {
        loop {
            let (status, _) = served.ask(Method::POST, "/api/v1/sandboxes", Some("{}")).await;
            if status == StatusCode::OK {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, again).await.expect("the place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_ends_ends_its_loan_and_says_why() {
    let served = served().await;
    let loan = borrow(&served, 600).await;
    served.night.driver.machine(&loan.sandbox).unwrap().end();
    let why = until_gone(&served, &loan).await;
    assert!(why.contains("its machine has ended: the sandbox was stopped"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_ends_leaves_no_lent_sandbox_behind() {
    let mut served = served().await;
    let loan = borrow(&served, 600).await;
    let machine = served.night.driver.machine(&loan.sandbox).unwrap();
    served.night.owner_restarts().await;
    assert!(!machine.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_in_a_sandbox_is_refused_with_a_reason() {
    let served = served().await;
    let loan = borrow(&served, 600).await;
    let at = |operation: &str| format!("/api/v1/sandboxes/{}/{operation}", loan.sandbox);
    let invalid = (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidRequest);
    let missing = (StatusCode::NOT_FOUND, ErrorCode::NotFound);
    let large = "x".repeat((1 << 20) + 1);
    let cases = [
        (Method::POST, "/api/v1/sandboxes".to_owned(), r#"{"leaseSeconds": 0}"#, invalid),
        (Method::POST, "/api/v1/sandboxes".to_owned(), r#"{"lease": 10}"#, invalid),
        (Method::POST, at("actions"), r#"{"action": "left_click", "coordinate": [320, 0]}"#, invalid),
        (Method::POST, at("actions"), r#"{"action": "key", "text": "ctrl+nonsense"}"#, invalid),
        (Method::POST, at("actions"), r#"{"action": "zoom", "region": [5, 5, 5, 9]}"#, invalid),
        (Method::POST, at("commands"), r#"{"command": " "}"#, invalid),
        (Method::POST, at("commands"), r#"{"command": "true", "timeLimitSeconds": 1801}"#, invalid),
        (Method::GET, at("file?path="), "", invalid),
        (Method::GET, at("file?path=none.txt"), "", missing),
        (Method::GET, at("file?path=/tmp"), "", invalid),
        (Method::POST, "/api/v1/sandboxes/sandbox-0000000000/lease".to_owned(), "{}", missing),
        (Method::DELETE, "/api/v1/sandboxes/%2E%2E".to_owned(), "{}", missing),
    ];
    for (method, path, body, expected) in cases {
        assert_eq!(served.refused(method, &path, Some(body)).await, expected, "{path} {body}");
    }
    let (status, _) = served.ask(Method::PUT, &at("file?path=large"), Some(&large)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_ended_at_its_time_limit_and_its_output_is_bounded() {
    let served = served().await;
    let loan = borrow(&served, 600).await;
    let path = format!("/sandboxes/{}/commands", loan.sandbox);
    let body = json!({"command": "echo begun; sleep 600", "timeLimitSeconds": 1});
    let ended: CommandAnswer = ask(&served, Method::POST, &path, &body).await;
    assert_eq!((ended.exit_code, ended.ending.as_str()), (None, "ended after 1 s, its time limit"));
    assert_eq!(ended.output.trim(), "begun");
    let long = command(&served, &loan, "head -c 6000000 /dev/zero | tr '\\0' x").await;
    assert_eq!(long.exit_code, Some(0));
    assert!(long.output.len() < 20_000, "{}", long.output.len());
    assert!(long.output.ends_with("more bytes were not read)"), "{}", &long.output[long.output.len() - 80..]);
}
