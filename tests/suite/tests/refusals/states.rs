//! What cannot be done with a run where it is.

use nightshift_protocol::{ErrorCode, RunSummary, UserError};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{UNPROCESSABLE, quiet};
use crate::one_file;
use crate::served::Served;

const CONFLICT: (StatusCode, ErrorCode) = (StatusCode::CONFLICT, ErrorCode::Conflict);
const NOT_FOUND: (StatusCode, ErrorCode) = (StatusCode::NOT_FOUND, ErrorCode::NotFound);

/// A run in review, and its path.
async fn in_review() -> (Served, String) {
    let served = Served::begin(one_file()).await;
    let run = served.night.submit("Add a note").await;
    served.night.until_in_review(&run).await;
    (served, run.to_string())
}

async fn post(served: &Served, path: &str, body: &str) -> (StatusCode, ErrorCode) {
    served.refused(Method::POST, &format!("/api/v1{path}"), Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_review_is_decided_on_by_its_pull_request_only() {
    let (served, run) = in_review().await;
    for operation in ["pause", "continue", "cancel", "interrupt", "suspend", "checkpoints"] {
        assert_eq!(post(&served, &format!("/runs/{run}/{operation}"), "{}").await, CONFLICT, "{operation}");
    }
    let said = post(&served, &format!("/runs/{run}/messages"), r#"{"text": "x"}"#).await;
    assert_eq!(said, CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_run_is_merged_for_good() {
    let (served, run) = in_review().await;
    let (status, _) = served.ask(Method::POST, &format!("/api/v1/pull-requests/{run}/merge"), None).await;
    assert_eq!(status, StatusCode::OK);
    for operation in ["merge", "close"] {
        assert_eq!(
            post(&served, &format!("/pull-requests/{run}/{operation}"), "").await,
            CONFLICT,
            "{operation}"
        );
    }
    for operation in ["pause", "continue", "cancel", "interrupt", "suspend"] {
        assert_eq!(post(&served, &format!("/runs/{run}/{operation}"), "{}").await, CONFLICT, "{operation}");
    }
    assert_eq!(post(&served, &format!("/runs/{run}/limits"), r#"{"turns": 9}"#).await, CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pull_request_is_not_merged_and_its_files_can_still_be_seen() {
    let (served, run) = in_review().await;
    let (status, _) = served.ask(Method::POST, &format!("/api/v1/pull-requests/{run}/close"), None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(post(&served, &format!("/pull-requests/{run}/merge"), "").await, CONFLICT);
    let (status, diff) = served.ask(Method::GET, &format!("/api/v1/pull-requests/{run}/diff"), None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(String::from_utf8(diff).unwrap().contains("+two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_path_of_the_branch_is_refused_and_what_is_not_there_is_not_found() {
    let (served, run) = in_review().await;
    for path in ["../x", "/etc/passwd", "a/../../x", ".git/config/..", "a%00b"] {
        for operation in [format!("runs/{run}/blob"), format!("runs/{run}/tree")] {
            let asked = format!("/api/v1/{operation}?path={path}");
            let refused = served.refused(Method::GET, &asked, None).await;
            assert!(refused == UNPROCESSABLE || refused == NOT_FOUND, "{asked}: {refused:?}");
        }
    }
    for (asked, expected) in [
        (format!("runs/{run}/blob?path=nowhere"), NOT_FOUND),
        (format!("runs/{run}/blob"), NOT_FOUND),
        (format!("runs/{run}/tree?path=notes.txt"), NOT_FOUND),
        (format!("runs/{run}/tree?commit=abc"), UNPROCESSABLE),
        (format!("runs/{run}/tree?commit={}", "0".repeat(40)), NOT_FOUND),
        (format!("pull-requests/{run}/diff?path=../x"), UNPROCESSABLE),
    ] {
        let refused = served.refused(Method::GET, &format!("/api/v1/{asked}"), None).await;
        assert_eq!(refused, expected, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_that_is_not_there_is_told_and_a_screen_is_a_web_socket() {
    let (served, run) = in_review().await;
    let small = served.refused(Method::GET, &format!("/api/v1/runs/{run}/thumbnail"), None).await;
    assert_eq!(small, CONFLICT);
    let plain = served.refused(Method::GET, &format!("/api/v1/runs/{run}/screen"), None).await;
    assert_eq!(plain, UNPROCESSABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_are_from_one_to_sixteen_and_from_a_checkpoint_that_is_there() {
    let (served, run) = in_review().await;
    for count in ["0", "17", "4294967295"] {
        let wish = format!(r#"{{"checkpoint": "1.1", "count": {count}}}"#);
        assert_eq!(post(&served, &format!("/runs/{run}/fork"), &wish).await, UNPROCESSABLE, "{count}");
    }
    for named in ["1.1", "", "checkpoint-", "checkpoint-zzzzzzzzzz", "%"] {
        let wish = json!({"checkpoint": named}).to_string();
        for operation in ["fork", "rewind"] {
            assert_eq!(post(&served, &format!("/runs/{run}/{operation}"), &wish).await, NOT_FOUND, "{named}");
        }
    }
    let removed = served.refused(Method::DELETE, &format!("/api/v1/runs/{run}/checkpoints/1.1"), None).await;
    assert_eq!(removed, NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_message_says_nothing_to_anybody() {
    let served = quiet().await;
    let run = served.night.submit("Do something").await;
    for text in ["", " ", "\n\t"] {
        let said = json!({"text": text}).to_string();
        assert_eq!(post(&served, &format!("/runs/{run}/messages"), &said).await, UNPROCESSABLE, "{text:?}");
    }
    assert_eq!(
        post(&served, &format!("/runs/{run}/messages"), r#"{"text": "x", "delivery": "soon"}"#).await,
        UNPROCESSABLE
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn before_its_delivery_a_run_has_no_pull_request() {
    let served =
        Served::begin(json!({"turns": [{"calls": [{"tool": "ask", "input": {"question": "Which?"}}]}]}))
            .await;
    let run = served.night.submit("Do something").await;
    served.night.until_state(&run, "a question", |state| state.name() == "waiting").await;
    for path in ["", "/files", "/diff"] {
        let (status, body) =
            served.ask(Method::GET, &format!("/api/v1/pull-requests/{run}{path}"), None).await;
        let error: UserError = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, error.code), NOT_FOUND, "{path}");
        assert!(error.hint.contains("It is waiting"), "{error:?}");
    }
    assert_eq!(post(&served, &format!("/pull-requests/{run}/merge"), "").await, CONFLICT);
    assert_eq!(post(&served, &format!("/runs/{run}/continue"), "").await, CONFLICT);
    let (status, body) = served.ask(Method::POST, &format!("/api/v1/runs/{run}/cancel"), None).await;
    let cancelled: RunSummary = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, cancelled.state.name()), (StatusCode::OK, "cancelled"));
    assert_eq!(post(&served, &format!("/runs/{run}/cancel"), "").await, CONFLICT);
}
