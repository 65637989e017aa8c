//! The few things that only GraphQL has: drafts made ready, threads of review comments, and who any token belongs to.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::server::Reply;
use super::state::State;

/// The name under which a fault is planned for a query, for example `graphql/resolveReviewThread`.
pub(super) fn operation(query: &str) -> &'static str {
    const KNOWN: [(&str, &str); 4] = [
        ("markPullRequestReadyForReview", "graphql/markPullRequestReadyForReview"),
        ("resolveReviewThread", "graphql/resolveReviewThread"),
        ("reviewThreads", "graphql/reviewThreads"),
        ("viewer", "graphql/viewer"),
    ];
    KNOWN.iter().find(|(word, _)| query.contains(word)).map_or("graphql/unknown", |(_, name)| name)
}

/// Carries a query out. Only what is asked by variables is understood: values within a query are a breach.
pub(super) fn act(state: &mut State, login: &str, body: &Value) -> Reply {
    let query = body["query"].as_str().unwrap_or_default();
    let variables = &body["variables"];
    let text = |name: &str| variables[name].as_str().unwrap_or_default().to_owned();
    let data = match operation(query) {
        "graphql/markPullRequestReadyForReview" => {
            let id = text("id");
            let found = state.repositories.iter_mut().find_map(|repository| {
                let prefix = format!("PR_{}_", repository.id);
                let number = id.strip_prefix(&prefix)?.parse().ok()?;
                repository.pull_request(number)
            });
            found.map(|pull_request| {
                pull_request.draft = false;
                json!({ "markPullRequestReadyForReview": { "pullRequest": { "isDraft": false } } })
            })
        }
        "graphql/viewer" => Some(json!({ "viewer": { "login": login } })),
        "graphql/resolveReviewThread" => {
            let id = text("id");
            let comment = id.strip_prefix("PRRT_").and_then(|id| id.parse::<u64>().ok());
            comment.and_then(|comment| {
                let repository = state
                    .repositories
                    .iter_mut()
                    .find(|repository| repository.thread_of(comment) == Some(comment))?;
                repository.resolved.insert(comment);
                Some(json!({ "resolveReviewThread": { "thread": { "id": id, "isResolved": true } } }))
            })
        }
        "graphql/reviewThreads" => {
            let number = variables["number"].as_u64().unwrap_or(0);
            state.repository(&text("owner"), &text("name")).map(|repository| {
                let first = repository.review_comments.iter();
                let first = first.filter(|one| one.pull_request == number && one.in_reply_to.is_none());
                let threads: Vec<Value> = first
                    .map(|one| {
                        json!({
                            "id": format!("PRRT_{}", one.id),
                            "isResolved": repository.resolved.contains(&one.id),
                            "comments": { "nodes": [{ "databaseId": one.id }] },
                        })
                    })
                    .collect();
                let page = json!({ "hasNextPage": false, "endCursor": null });
                json!({ "repository": { "pullRequest": { "reviewThreads": { "nodes": threads, "pageInfo": page } } } })
            })
        }
        _ => {
            state.breaches.push(format!("a query that the fake does not know: {query}"));
            None
        }
    };
    let answer = match data {
        Some(data) => json!({ "data": data }),
        None => {
            json!({ "data": null, "errors": [{ "type": "NOT_FOUND", "message": "Could not resolve to a node" }] })
        }
    };
    Reply::json(StatusCode::OK, answer)
}
