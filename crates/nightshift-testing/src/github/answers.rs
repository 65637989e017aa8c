//! Answers: GitHub's published examples with what the fake knows written over them.

use serde_json::{Value, json};

use super::description::Description;
use super::git::head_of;
use super::state::{
    CheckRun, CommitStatus, Issue, IssueComment, PullRequest, PullRequestState, Repository, Review,
    ReviewComment, overlay,
};

/// When everything happened; who needs an order has the ids.
const AT: &str = "2026-01-05T09:00:00Z";

fn example(operation: &str) -> Value {
    let example = Description::get().example(operation);
    match example {
        Value::Array(mut all) if !all.is_empty() => all.swap_remove(0),
        one => one,
    }
}

fn filled(operation: &str, over: Value) -> Value {
    let mut value = example(operation);
    overlay(&mut value, over);
    value
}

pub(super) fn repository(repository: &Repository, web: &str) -> Value {
    let full_name = repository.full_name();
    filled(
        "repos/get",
        json!({
            "id": repository.id, "name": repository.name, "full_name": full_name,
            "owner": { "login": repository.owner }, "default_branch": repository.default_branch,
            "html_url": format!("{web}/{full_name}"), "clone_url": format!("{web}/{full_name}.git"),
            "permissions": { "admin": false, "push": true, "pull": true },
        }),
    )
}

pub(super) fn pull_request(repository: &Repository, one: &PullRequest, web: &str) -> Value {
    let (state, merged) = match &one.state {
        PullRequestState::Open => ("open", None),
        PullRequestState::Closed => ("closed", None),
        PullRequestState::Merged(commit) => ("closed", Some(commit)),
    };
    let full_name = repository.full_name();
    let branch = |name: &str| {
        json!({
            "label": format!("{}:{name}", repository.owner), "ref": name,
            "sha": head_of(&repository.git_dir, name).unwrap_or_else(|| "0".repeat(40)),
            "repo": { "id": repository.id, "name": repository.name, "full_name": full_name },
        })
    };
    let label = |name: &String| {
        let mut label = example("issues/add-labels");
        overlay(&mut label, json!({ "name": name }));
        label
    };
    let mut value = filled(
        "pulls/get",
        json!({
            "number": one.number, "title": one.title, "body": one.body, "draft": one.draft, "state": state,
            "merged": merged.is_some(), "merged_at": merged.map(|_| AT), "merge_commit_sha": merged,
            "mergeable": one.mergeable,
            "mergeable_state": if one.mergeable == Some(false) { "dirty" } else { "clean" },
            "node_id": format!("PR_{}_{}", repository.id, one.number),
            "html_url": format!("{web}/{full_name}/pull/{}", one.number),
            "head": branch(&one.head), "base": branch(&one.base),
            "labels": one.labels.iter().map(label).collect::<Vec<_>>(),
            "requested_teams": [],
        }),
    );
    let reviewer = example("users/get-authenticated");
    let mut simple = value["user"].clone();
    let reviewers = one.reviewers.iter().map(|login| {
        overlay(&mut simple, json!({ "login": login, "id": reviewer["id"] }));
        simple.clone()
    });
    value["requested_reviewers"] = reviewers.collect();
    value
}

/// A pull request as lists have it, which is less.
pub(super) fn pull_request_in_list(repository: &Repository, one: &PullRequest, web: &str) -> Value {
    let whole = pull_request(repository, one, web);
    let mut value = example("pulls/list");
    if let (Value::Object(value), Value::Object(whole)) = (&mut value, whole) {
        for (key, inner) in whole {
            if value.contains_key(&key) {
                value.insert(key, inner);
            }
        }
    }
    value
}

pub(super) fn labels(names: impl Iterator<Item = String>) -> Value {
    names.map(|name| filled("issues/add-labels", json!({ "name": name }))).collect()
}

pub(super) fn review(one: &Review) -> Value {
    filled(
        "pulls/list-reviews",
        json!({
            "id": one.id, "state": one.state, "body": one.body, "user": { "login": one.user },
            "submitted_at": AT, "author_association": "MEMBER",
        }),
    )
}

pub(super) fn review_comment(one: &ReviewComment) -> Value {
    let mut value = filled(
        "pulls/list-review-comments",
        json!({
            "id": one.id, "body": one.body, "path": one.path, "line": one.line, "user": { "login": one.user },
            "pull_request_review_id": one.review, "author_association": "MEMBER",
        }),
    );
    if let Value::Object(value) = &mut value {
        match one.in_reply_to {
            Some(id) => value.insert("in_reply_to_id".to_owned(), json!(id)),
            None => value.remove("in_reply_to_id"),
        };
    }
    value
}

pub(super) fn issue_comment(one: &IssueComment, repository: &Repository, web: &str) -> Value {
    filled(
        "issues/list-comments",
        json!({
            "id": one.id, "body": one.body, "user": { "login": one.user }, "author_association": one.association,
            "created_at": "2026-01-05T08:00:00Z",
            "issue_url": format!("{web}/api/v3/repos/{}/issues/{}", repository.full_name(), one.number),
        }),
    )
}

pub(super) fn issue(one: &Issue, repository: &Repository, web: &str) -> Value {
    let mut value = filled(
        "issues/list-for-repo",
        json!({
            "number": one.number, "title": one.title, "body": one.body, "state": "open",
            "user": { "login": one.user }, "author_association": one.association,
            "html_url": format!("{web}/{}/issues/{}", repository.full_name(), one.number),
        }),
    );
    value["labels"] = labels(one.labels.iter().cloned());
    if let Value::Object(value) = &mut value {
        // Its presence says that the issue is a pull request.
        value.remove("pull_request");
    }
    value
}

/// A pull request as an issue, which each of them is as well.
pub(super) fn issue_of_pull_request(one: &PullRequest, repository: &Repository, web: &str) -> Value {
    let url = format!("{web}/{}/pull/{}", repository.full_name(), one.number);
    let mut value = filled(
        "issues/list-for-repo",
        json!({
            "number": one.number, "title": one.title, "body": one.body, "html_url": url,
            "state": if one.state == PullRequestState::Open { "open" } else { "closed" },
            "pull_request": { "html_url": url },
        }),
    );
    value["labels"] = labels(one.labels.iter().cloned());
    value
}

pub(super) fn combined_status(sha: &str, all: usize, page: &[&CommitStatus]) -> Value {
    let mut whole = Description::get().example("repos/get-combined-status-for-ref");
    let one = whole["statuses"][0].clone();
    let status = |status: &&CommitStatus| {
        let mut value = one.clone();
        let (context, state, description) = (&status.context, &status.state, &status.description);
        overlay(
            &mut value,
            json!({ "context": context, "state": state, "description": description, "updated_at": AT }),
        );
        value
    };
    let state = |states: &[&str]| page.iter().any(|one| states.contains(&one.state.as_str()));
    // "failure if any of the contexts report as error or failure, pending if there are no statuses or a context is
    // pending, success if the latest status for all contexts is success" (REST reference).
    let combined = match () {
        () if state(&["error", "failure"]) => "failure",
        () if page.is_empty() || state(&["pending"]) => "pending",
        () => "success",
    };
    whole["sha"] = json!(sha);
    whole["state"] = json!(combined);
    whole["statuses"] = page.iter().map(status).collect();
    whole["total_count"] = json!(all);
    whole
}

pub(super) fn check_runs(all: usize, runs: &[&CheckRun]) -> Value {
    let whole = Description::get().example("checks/list-for-ref");
    let one = whole["check_runs"][0].clone();
    let run = |run: &&CheckRun| {
        let mut value = one.clone();
        overlay(
            &mut value,
            json!({
                "id": run.id, "head_sha": run.sha, "name": run.name,
                "status": if run.conclusion.is_some() { "completed" } else { "in_progress" },
                "conclusion": run.conclusion,
                "completed_at": run.conclusion.as_ref().map(|_| AT),
                "output": { "title": run.name, "summary": run.summary, "text": "" },
                "pull_requests": [],
            }),
        );
        value
    };
    json!({ "total_count": all, "check_runs": runs.iter().map(run).collect::<Vec<_>>() })
}
