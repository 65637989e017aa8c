//! Reviewing over HTTP: comments, wishes for changes, decisions, the queue, statistics, and webhooks of a site.

use nightshift_forge::secrets::Secret;
use nightshift_protocol::{
    ErrorCode, MergeReply, PullRequestDetail, PullRequestState, PullRequestSummary, RemarkState, ReviewQueue,
    RunId, RunState, Statistics, UserError,
};
use nightshift_supervisor::DeliverySettings;
use nightshift_testing::github::{Token, webhook_example};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use suite::site::{SiteNight, delivery, signature};

use crate::get;
use crate::served::Served;

const CONFLICT: (StatusCode, ErrorCode) = (StatusCode::CONFLICT, ErrorCode::Conflict);
const UNPROCESSABLE: (StatusCode, ErrorCode) = (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidRequest);

/// Two rounds: the work, and what the agent makes of three remarks.
fn two_rounds() -> Value {
    let work = |number: u32| {
        let command = format!("echo round {number} >> notes.txt && git commit -qam 'Round {number}'");
        json!({"calls": [
            {"tool": "shell", "input": {"command": command}},
            {"tool": "evidence", "input": {"claim": "It is there.", "step": "1.1"}},
        ]})
    };
    let finish = |answers: &[&str]| {
        let answers: Vec<Value> =
            answers.iter().map(|name| json!({"name": name, "words": "Done.", "settled": true})).collect();
        let mut input = json!({"title": "Add a note", "summary": "As asked."});
        if !answers.is_empty() {
            input["answers"] = json!(answers);
        }
        json!({"calls": [{"tool": "finish", "input": input}]})
    };
    json!({"turns": [work(0), finish(&[]), work(1), finish(&["f2", "f3"])]})
}

async fn in_review(served: &Served) -> RunId {
    let run = served.night.submit("Add a note").await;
    served.night.until_in_review(&run).await;
    run
}

/// Does something to a run's pull request that must go well.
async fn done<T: serde::de::DeserializeOwned>(
    served: &Served,
    (method, path): (Method, &str),
    body: Option<Value>,
) -> T {
    let text = body.map(|body| body.to_string());
    let (status, answer) =
        served.ask(method, &format!("/api/v1/pull-requests/{path}"), text.as_deref()).await;
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap()
}

async fn refused(served: &Served, (method, path): (Method, &str), body: &Value) -> (StatusCode, ErrorCode) {
    served.refused(method, &format!("/api/v1/pull-requests/{path}"), Some(&body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_goes_from_the_first_comment_over_a_second_round_to_the_merge() {
    let served = Served::begin(two_rounds()).await;
    let run = in_review(&served).await;
    let at = |operation: &str| format!("{run}/{operation}");
    let line = json!({"path": "notes.txt", "line": 2, "words": "Say which round.", "quote": "round 0"});

    let noted: PullRequestDetail = done(&served, (Method::POST, &at("comments")), Some(line.clone())).await;
    let remarks = |detail: &PullRequestDetail| -> Vec<(String, RemarkState)> {
        detail.remarks.iter().map(|remark| (remark.feedback.name.clone(), remark.state)).collect()
    };
    assert_eq!(remarks(&noted), [("f1".to_owned(), RemarkState::Pending)]);
    let back: PullRequestDetail = done(&served, (Method::DELETE, &at("comments/f1")), None).await;
    assert_eq!(back.remarks, []);
    assert_eq!(refused(&served, (Method::DELETE, &at("comments/f1")), &json!({})).await, CONFLICT);
    // A name is not given twice, although nobody saw the first.
    let _noted: PullRequestDetail = done(&served, (Method::POST, &at("comments")), Some(line)).await;
    let words = json!({"words": "Shorter, please."});
    let asked: PullRequestDetail = done(&served, (Method::POST, &at("ask")), Some(words.clone())).await;
    let states = [("f2".to_owned(), RemarkState::Asked), ("f3".to_owned(), RemarkState::Asked)];
    assert_eq!(remarks(&asked), states);

    let twice = |events: &[nightshift_protocol::Event]| {
        suite::names(events).iter().filter(|name| **name == "pullRequestDescribed").count() == 1
    };
    served.night.until(&run, "the second delivery", twice).await;
    served.night.until_in_review(&run).await;
    let again: PullRequestDetail = get(&served, &format!("/pull-requests/{run}")).await;
    let states = [("f2".to_owned(), RemarkState::Resolved), ("f3".to_owned(), RemarkState::Resolved)];
    assert_eq!((remarks(&again), again.commits.len()), (states.to_vec(), 2));
    let good: PullRequestDetail =
        done(&served, (Method::POST, &at("approve")), Some(json!({"words": "Good."}))).await;
    assert!(good.approved && good.summary.state == PullRequestState::Open);

    let queue: ReviewQueue = get(&served, "/reviews").await;
    assert_eq!((queue.limit, queue.waiting, queue.entries.len()), (None, 1, 1));
    assert_eq!(queue.entries[0].why, "ready; tiny (2 lines in 1 file); nothing speaks against it");
    let merged: MergeReply = done(&served, (Method::POST, &at("merge")), None).await;
    assert_eq!(merged.base, "trunk");
    for (operation, body) in [("merge", &json!({})), ("close", &words), ("ask", &words), ("approve", &words)]
    {
        assert_eq!(refused(&served, (Method::POST, &at(operation)), body).await, CONFLICT, "{operation}");
    }
    let queue: ReviewQueue = get(&served, "/reviews").await;
    assert_eq!((queue.waiting, queue.entries.len()), (0, 0));

    // Half of the two lines came with the second round.
    let sums: Statistics = get(&served, "/statistics?by=week&since=1d").await;
    let total = &sums.total;
    assert_eq!((total.runs, total.merged, total.merged_unchanged, total.rounds), (1, 1, 0, 1));
    assert!(total.review_seconds.is_some() && sums.rows.len() == 1 && sums.rows[0].runs == 1, "{sums:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pull_request_is_counted_and_takes_no_more_words() {
    let served = Served::begin(two_rounds()).await;
    let run = in_review(&served).await;
    let closed: PullRequestSummary = done(&served, (Method::POST, &format!("{run}/close")), None).await;
    assert_eq!(closed.state, PullRequestState::Closed);
    let line = json!({"path": "notes.txt", "line": 2, "words": "Late."});
    assert_eq!(refused(&served, (Method::POST, &format!("{run}/comments")), &line).await, CONFLICT);
    assert_eq!(refused(&served, (Method::POST, &format!("{run}/close")), &json!({})).await, CONFLICT);
    let sums: Statistics = get(&served, "/statistics?by=blueprint").await;
    assert_eq!((sums.rows[0].name.as_str(), sums.total.closed, sums.total.merged), ("default", 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_say_nothing_and_lines_that_are_elsewhere_are_refused_and_nothing_is_kept_of_them() {
    let served = Served::begin(two_rounds()).await;
    let run = in_review(&served).await;
    let comment = |path: &str, line: u64, words: &str| json!({"path": path, "line": line, "words": words});
    let long = "x".repeat(4_001);
    for (operation, body) in [
        ("comments", comment("other.txt", 1, "Why?")),
        ("comments", comment("notes.txt", 0, "Why?")),
        ("comments", comment("../notes.txt", 1, "Why?")),
        ("comments", comment("notes.txt", 1, " \n")),
        ("comments", comment("notes.txt", 1, &long)),
        ("ask", json!({})),
        ("ask", json!({"words": " "})),
        ("ask", json!({"words": long})),
        ("ask", json!({"words": "Look:", "comments": [comment("other.txt", 1, "Why?")]})),
        ("approve", json!({"words": long})),
    ] {
        let refused = refused(&served, (Method::POST, &format!("{run}/{operation}")), &body).await;
        assert_eq!(refused, UNPROCESSABLE, "{operation} {:.80}", body.to_string());
    }
    let kept: PullRequestDetail = get(&served, &format!("/pull-requests/{run}")).await;
    assert!(kept.remarks.is_empty() && !kept.approved);
    assert!(matches!(kept.run_state, RunState::InReview { .. }));
    for odd in ["by=colour", "since=soon", "since=-3d", "by=week&since="] {
        let refused = served.refused(Method::GET, &format!("/api/v1/statistics?{odd}"), None).await;
        assert_eq!(refused, UNPROCESSABLE, "{odd}");
    }
}

// --- webhooks -----------------------------------------------------------------------------------------------------

const SECRET: &str = "It's a Secret to Everybody";

/// An owner that looks at its site when a webhook says so, and at no other time.
async fn told_by_webhooks(secret: Option<&str>) -> (Served, nightshift_testing::github::GitHub) {
    let settings = DeliverySettings {
        webhook_secret: secret.map(Secret::new),
        poll_every: std::time::Duration::from_secs(3_600),
        ..delivery()
    };
    let SiteNight { site, night, .. } = SiteNight::begin_with(two_rounds(), Token::Personal, settings).await;
    (Served::over(night).await, site)
}

/// Sends a webhook as a site does: without a token of the owner.
async fn webhook(served: &Served, headers: &[(&str, &str)], body: &str) -> Result<StatusCode, ErrorCode> {
    let request = served.http.post(format!("{}/api/v1/webhooks/github", served.url)).body(body.to_owned());
    let request = request.header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    match answer.status() {
        status if status.is_success() => Ok(status),
        _ => Err(answer.json::<UserError>().await.unwrap().code),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_needs_the_right_signature_an_id_of_its_own_and_an_owner_who_has_the_secret() {
    let (served, _site) = told_by_webhooks(Some(SECRET)).await;
    let body = webhook_example("pull_request.closed").to_string();
    let right = signature(SECRET, body.as_bytes());
    let (wrong, other) = (signature("another", body.as_bytes()), signature(SECRET, b"another body"));
    let event = ("x-github-event", "pull_request");
    for bad in [
        wrong.as_str(),
        &other,
        "",
        "sha256=",
        "sha256=zz",
        &right[7..],
        &right[..60],
        &right.replace("sha256", "sha1"),
    ] {
        let headers = [event, ("x-github-delivery", "1"), ("x-hub-signature-256", bad)];
        assert_eq!(webhook(&served, &headers, &body).await, Err(ErrorCode::NotAuthorized), "{bad}");
    }
    let missing = webhook(&served, &[event, ("x-github-delivery", "1")], &body).await;
    assert_eq!(missing, Err(ErrorCode::NotAuthorized));
    // What was refused has used no id up.
    let sent = |id| [event, ("x-github-delivery", id), ("x-hub-signature-256", right.as_str())];
    assert_eq!(webhook(&served, &sent("1"), &body).await, Ok(StatusCode::ACCEPTED));
    assert_eq!(webhook(&served, &sent("1"), &body).await, Err(ErrorCode::Conflict));
    assert_eq!(webhook(&served, &sent("2"), &body).await, Ok(StatusCode::ACCEPTED));
    assert_eq!(webhook(&served, &sent(""), &body).await, Err(ErrorCode::Conflict));
    let broken = signature(SECRET, b"{");
    let headers = [event, ("x-github-delivery", "3"), ("x-hub-signature-256", broken.as_str())];
    assert_eq!(webhook(&served, &headers, "{").await, Err(ErrorCode::InvalidRequest));

    let (open, _site) = told_by_webhooks(None).await;
    assert_eq!(webhook(&open, &sent("1"), &body).await, Err(ErrorCode::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_event_leads_to_a_look_and_others_to_none() {
    let (served, site) = told_by_webhooks(Some(SECRET)).await;
    let repository = format!("{}/ada/notes", site.web_url());
    let task = json!({"description": "Add a note", "repository": repository}).to_string();
    let (status, reply) = served.ask(Method::POST, "/api/v1/tasks", Some(&task)).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&reply));
    let reply: nightshift_protocol::SubmitReply = serde_json::from_slice(&reply).unwrap();
    served.night.until_in_review(&reply.run).await;
    served.night.owner.supervisor.watch_forge().await;
    let looks = || site.requests().iter().filter(|request| *request == "pulls/get").count();
    let until = async |count: usize, what: &str| {
        let waited = tokio::time::timeout(suite::WITHIN, async {
            while looks() < count {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "no look after {what}");
    };
    until(1, "the beginning").await;
    let send = async |number: usize, event: &str, body: &Value| {
        let body = body.to_string();
        let (id, signed) = (format!("delivery-{number}"), signature(SECRET, body.as_bytes()));
        let headers =
            [("x-github-event", event), ("x-github-delivery", &id), ("x-hub-signature-256", &signed)];
        webhook(&served, &headers, &body).await
    };
    let kinds = [
        "pull_request.closed",
        "pull_request_review.submitted",
        "pull_request_review_comment.created",
        "issue_comment.created",
        "issues.labeled",
        "check_run.completed",
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let (event, before) = (kind.split('.').next().unwrap(), looks());
        let body = webhook_example(kind);
        assert!(body.is_object(), "there is no example of {kind}");
        assert_eq!(send(number, event, &body).await, Ok(StatusCode::ACCEPTED), "{kind}");
        until(before + 1, kind).await;
        // The look that was begun reads more than that; the next begins when it is over.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    let before = looks();
    for (number, event) in (100..).zip(["ping", "star", "workflow_job"]) {
        assert_eq!(send(number, event, &json!({"zen": "Keep it simple."})).await, Ok(StatusCode::ACCEPTED));
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(looks(), before);
    assert_eq!(site.breaches(), Vec::<String>::new());
}
