//! Several attempts at one task over HTTP: submitted together, ranked, one merged and the others given up.

use std::path::Path;

use nightshift_protocol::{
    Attempt, AttemptList, CheckTally, ErrorCode, GivenUp, MergeReply, OthersClosed, RunId, RunState,
    SubmitReply,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use suite::{assert_exactly_once, evidence, finish, git, shell};

use crate::get;
use crate::served::Served;

/// Attempts that differ: the first to take a number adds so many lines, and what adds three fails its check.
fn different(numbers: &Path) -> Value {
    let work = format!(
        "for n in 1 2 3; do mkdir {}/$n 2>/dev/null && break; done; seq $n >> notes.txt && git commit -qam 'Add notes'",
        numbers.display()
    );
    json!({"turns": [
        {"calls": [shell(&work), shell("test $(wc -l < notes.txt) -lt 4")]},
        {"calls": [evidence("There are not too many.", "1.2")]},
        {"calls": [finish("Add notes")]},
    ]})
}

async fn post<T: serde::de::DeserializeOwned>(served: &Served, path: &str, body: Value) -> T {
    let text = body.to_string();
    let (status, answer) = served.ask(Method::POST, &format!("/api/v1{path}"), Some(&text)).await;
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap()
}

async fn submit(served: &Served, attempts: u32) -> SubmitReply {
    let repository = served.night.repository();
    let task = json!({"description": "Add notes", "repository": repository, "attempts": attempts});
    post(served, "/tasks", task).await
}

fn runs(reply: &SubmitReply) -> Vec<RunId> {
    reply.attempts.iter().map(|attempt| attempt.run.clone()).collect()
}

fn outcomes(closed: &OthersClosed) -> Vec<GivenUp> {
    closed.others.iter().map(|other| other.outcome.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_attempts_the_best_is_merged_and_the_others_are_closed_and_keep_their_branches() {
    let numbers = tempfile::tempdir().unwrap();
    let served = Served::begin(different(numbers.path())).await;
    let reply = submit(&served, 3).await;
    let runs = runs(&reply);
    assert_eq!((runs.len(), &runs[0]), (3, &reply.run));
    for run in &runs {
        assert_exactly_once(&served.night.until_in_review(run).await);
    }
    let branches: std::collections::BTreeSet<&str> =
        reply.attempts.iter().map(|attempt| attempt.branch.as_str()).collect();
    assert_eq!(branches.len(), 3, "each has a branch of its own: {branches:?}");

    let list: AttemptList = get(&served, &format!("/tasks/{}/attempts", reply.task)).await;
    assert_eq!(list.task, reply.task);
    let order: Vec<&RunId> = list.attempts.iter().map(|attempt| &attempt.run.run).collect();
    assert_eq!(order, runs.iter().collect::<Vec<_>>(), "they come in the order of submission");
    for (number, attempt) in (1..).zip(&list.attempts) {
        assert_eq!(attempt.run.attempt, Some(Attempt { number, of: 3 }));
        assert_eq!((attempt.number, &attempt.fork_of, attempt.critic), (number, &None, None));
        let added = attempt.change.unwrap().added;
        assert_eq!(attempt.rank, Some(u32::try_from(added).unwrap()), "{}", attempt.why);
        let passed = u32::from(added < 3);
        assert_eq!(attempt.checks, Some(CheckTally { passed, failed: 1 - passed }));
    }
    // A run's id names its task too.
    let same: AttemptList = get(&served, &format!("/tasks/{}/attempts", runs[2])).await;
    let standing = |list: &AttemptList| -> Vec<(RunId, Option<u32>, String)> {
        let attempts = list.attempts.iter();
        attempts.map(|attempt| (attempt.run.run.clone(), attempt.rank, attempt.why.clone())).collect()
    };
    assert_eq!((&same.task, standing(&same)), (&list.task, standing(&list)));

    let best = list.attempts.iter().find(|attempt| attempt.rank == Some(1)).unwrap();
    let kept = &best.run.run;
    let merged: MergeReply = post(&served, &format!("/pull-requests/{kept}/merge"), json!({})).await;
    assert_eq!(git(&merged.bare_repository, &["show", "trunk:notes.txt"]), "one\n1\n");
    for other in runs.iter().filter(|run| *run != kept) {
        let state = served.night.state(other).await;
        assert!(matches!(state, RunState::InReview { .. }), "a merge alone closes nothing: {state:?}");
    }
    let path = format!("/runs/{kept}/others/close");
    let closed: OthersClosed = post(&served, &path, json!({})).await;
    assert_eq!((&closed.kept, outcomes(&closed)), (kept, vec![GivenUp::PullRequestClosed; 2]));
    let numbers: Vec<u32> = closed.others.iter().map(|other| other.number).collect();
    assert!(!numbers.contains(&best.number) && numbers.is_sorted(), "{numbers:?}");
    for attempt in &reply.attempts {
        git(&merged.bare_repository, &["rev-parse", "--verify", "--quiet", &attempt.branch]);
    }
    let again: OthersClosed = post(&served, &path, json!({})).await;
    assert_eq!(outcomes(&again), vec![GivenUp::OverBefore { state: "closed".to_owned() }; 2]);
    assert!(matches!(served.night.state(kept).await, RunState::Merged { .. }));
    served.night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_are_not_done_are_cancelled_when_another_is_chosen() {
    let waits = json!({"turns": [{"calls": [shell("until [ -e ~/let-go ]; do sleep 0.05; done")]}]});
    let served = Served::begin(waits).await;
    let reply = submit(&served, 3).await;
    let runs = runs(&reply);
    served.night.owner.api.cancel(runs[2].as_str()).await.unwrap();
    let closed: OthersClosed = post(&served, &format!("/runs/{}/others/close", runs[0]), json!({})).await;
    let expected = [GivenUp::Cancelled, GivenUp::OverBefore { state: "cancelled".to_owned() }];
    assert_eq!(outcomes(&closed), expected);
    assert_eq!(served.night.state(&runs[1]).await, RunState::Cancelled);
    assert!(!served.night.state(&runs[0]).await.is_final(), "the one that was chosen goes on");
    // Whoever is given up is not kept, and a task's id is no run's where there are several.
    let lost = format!("/api/v1/runs/{}/others/close", runs[1]);
    assert_eq!(served.refused(Method::POST, &lost, None).await, (StatusCode::CONFLICT, ErrorCode::Conflict));
    let which = format!("/api/v1/runs/{}/cancel", reply.task);
    assert_eq!(served.refused(Method::POST, &which, None).await.1, ErrorCode::InvalidRequest);
    assert!(!served.night.state(&runs[0]).await.is_final());
    let list: AttemptList = get(&served, &format!("/tasks/{}/attempts", reply.task)).await;
    let why: Vec<(Option<u32>, &str)> =
        list.attempts.iter().map(|attempt| (attempt.rank, attempt.why.as_str())).collect();
    let given_up = "cancelled before it delivered anything";
    assert_eq!(why, [(None, "has delivered nothing yet"), (None, given_up), (None, given_up)]);
    served.night.owner.api.cancel(runs[0].as_str()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_ends_right_after_the_submission_leaves_every_attempt_to_the_next_and_each_runs_once() {
    let script = suite::script(Vec::new(), "1.1");
    let mut night = suite::Night::begin(script).await;
    let request =
        nightshift_protocol::SubmitTask { attempts: 3, ..suite::task("Add a note", &night.repository()) };
    let reply = night.owner.api.submit_task(request).await.unwrap();
    night.owner_restarts().await;
    let list = night.owner.api.attempts(reply.task.as_str()).await.unwrap();
    let there: Vec<RunId> = list.attempts.into_iter().map(|attempt| attempt.run.run).collect();
    assert_eq!(there, runs(&reply));
    for run in &there {
        let events = night.until_in_review(run).await;
        assert_exactly_once(&events);
        let submitted = suite::names(&events).iter().filter(|name| **name == "runSubmitted").count();
        assert_eq!(submitted, 1);
    }
    let list = night.owner.api.attempts(reply.task.as_str()).await.unwrap();
    let ranks: Vec<Option<u32>> = list.attempts.iter().map(|attempt| attempt.rank).collect();
    assert_eq!(ranks, [Some(1); 3], "equal ones share a place");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_attempts_and_unknown_tasks_are_refused_and_nothing_is_begun() {
    let served = Served::begin(json!({"turns": []})).await;
    for attempts in [0, 9] {
        let repository = served.night.repository();
        let task = json!({"description": "Add notes", "repository": repository, "attempts": attempts});
        let refused = served.refused(Method::POST, "/api/v1/tasks", Some(&task.to_string())).await;
        assert_eq!(refused, (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidRequest), "{attempts}");
    }
    let issue = json!({"number": 7, "url": "https://forge.example/o/r/issues/7"});
    let of_an_issue = json!({"description": "Add notes", "repository": served.night.repository(), "attempts": 2, "issue": issue});
    let refused = served.refused(Method::POST, "/api/v1/tasks", Some(&of_an_issue.to_string())).await;
    assert_eq!(refused.1, ErrorCode::InvalidRequest);
    let list: nightshift_protocol::RunList = get(&served, "/runs").await;
    assert_eq!(list.runs, Vec::new());
    // Nothing was imported either.
    assert_eq!(served.night.owner.api.overview().await.unwrap().position, 0);
    for (method, path) in [
        (Method::GET, "/api/v1/tasks/task-nope/attempts"),
        (Method::POST, "/api/v1/runs/run-nope/others/close"),
    ] {
        let refused = served.refused(method, path, None).await;
        assert_eq!(refused, (StatusCode::NOT_FOUND, ErrorCode::NotFound), "{path}");
    }
}
