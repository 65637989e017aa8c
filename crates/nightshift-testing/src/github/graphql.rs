//! The few things that only GraphQL has: drafts made ready, threads of review comments, when an issue's words were changed,
//! and who any token belongs to.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::server::Reply;
use super::state::State;

/// A word that only that query has, and the name under which a fault is planned for it.
const KNOWN: [(&str, &str); 5] = [
    ("markPullRequestReadyForReview", "graphql/markPullRequestReadyForReview"),
    ("resolveReviewThread", "graphql/resolveReviewThread"),
    ("reviewThreads", "graphql/reviewThreads"),
    ("timelineItems", "graphql/issueHistory"),
    ("viewer", "graphql/viewer"),
];

/// The names of all queries and mutations.
pub(super) fn operations() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(_, name)| *name)
}

/// The name under which a fault is planned for a query, for example `graphql/resolveReviewThread`.
pub(super) fn operation(query: &str) -> &'static str {
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
        "graphql/issueHistory" => {
            let number = variables["number"].as_u64().unwrap_or(0);
            let found = state.repository(&text("owner"), &text("name"));
            found.filter(|repository| repository.issues.iter().any(|one| one.number == number)).map(
                |repository| {
                    // Each a second after the one before it, and all after comments.
                    let deeds = repository.deeds.iter().enumerate().filter(|(_, deed)| deed.issue == number);
                    let at =
                        |second: usize| format!("2026-01-05T09:{:02}:{:02}Z", second / 60 % 60, second % 60);
                    let set = deeds.clone().filter_map(|(second, deed)| {
                    let label = json!({ "name": deed.label.as_ref()? });
                    Some(json!({
                        "__typename": "LabeledEvent", "createdAt": at(second), "actor": { "login": deed.by },
                        "label": label,
                    }))
                });
                    let edited = deeds.clone().rfind(|(_, deed)| deed.label.is_none());
                    json!({ "repository": { "issue": {
                    "lastEditedAt": edited.map(|(second, _)| at(second)),
                    "editor": edited.map(|(_, deed)| json!({ "login": deed.by })),
                    "timelineItems": { "nodes": set.collect::<Vec<_>>() },
                } } })
                },
            )
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
