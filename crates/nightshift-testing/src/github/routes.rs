//! The REST operations, each a change of the state and an answer.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answers;
use super::git::{GitHistory, head_of};
use super::server::Reply;
use super::state::{IssueComment, PullRequest, PullRequestState, ReviewComment, State};

/// A request that fits the description.
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) parameters: BTreeMap<&'static str, String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Value,
    /// The login of whoever the token belongs to.
    pub(super) login: &'a str,
    pub(super) web: &'a str,
}

impl Call<'_> {
    fn number(&self, name: &str) -> u64 {
        self.parameters.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.body[name].as_str()
    }

    /// One page of a list, as `page` and `per_page` ask for it.
    fn page(&self, all: Vec<Value>) -> Reply {
        self.page_within(all, |_, page| Value::Array(page))
    }

    /// One page of a list within something, which `whole` makes of the number of all and of those of the page.
    fn page_within<T>(&self, all: Vec<T>, whole: impl FnOnce(usize, Vec<T>) -> Value) -> Reply {
        let number = |name, fallback| self.query(name).and_then(|text| text.parse().ok()).unwrap_or(fallback);
        let (page, size) = (number("page", 1_usize).max(1), number("per_page", 30_usize).clamp(1, 100));
        let more = all.len() > page * size;
        let count = all.len();
        let items = all.into_iter().skip((page - 1) * size).take(size).collect();
        let reply = Reply::json(StatusCode::OK, whole(count, items));
        // Who follows the pages looks for `rel="next"` (RFC 8288).
        if more {
            reply.header("link", &format!("<{}/next?page={}>; rel=\"next\"", self.web, page + 1))
        } else {
            reply
        }
    }
}

/// Carries a call out.
pub(super) fn act(state: &mut State, call: &Call<'_>) -> Reply {
    let parameter = |name: &str| call.parameters.get(name).map(String::as_str).unwrap_or_default();
    match call.operation {
        "users/get-authenticated" => {
            let mut user = super::description::Description::get().example(call.operation);
            user["login"] = json!(call.login);
            return Reply::json(StatusCode::OK, user);
        }
        "apps/create-installation-access-token" => return installation_token(state, call),
        _ => {}
    }
    let id = state.next_id();
    let (owner, name) = (parameter("owner").to_owned(), parameter("repo").to_owned());
    let Some(repository) = state.repository(&owner, &name) else { return not_found() };
    let web = call.web;
    match call.operation {
        "repos/get" => Reply::json(StatusCode::OK, answers::repository(repository, web)),
        "apps/get-repo-installation" => {
            let mut installation = super::description::Description::get().example(call.operation);
            installation["id"] = json!(repository.id);
            Reply::json(StatusCode::OK, installation)
        }
        "pulls/list" => {
            let wanted = call.query("state").unwrap_or("open");
            let head = call.query("head").map(str::to_owned);
            let base = call.query("base").map(str::to_owned);
            let fits = |one: &&PullRequest| {
                let open = one.state == PullRequestState::Open;
                (wanted == "all" || (wanted == "open") == open)
                    && head.as_ref().is_none_or(|head| *head == format!("{}:{}", repository.owner, one.head))
                    && base.as_ref().is_none_or(|base| *base == one.base)
            };
            let list = repository.pull_requests.iter().rev().filter(fits);
            call.page(list.map(|one| answers::pull_request_in_list(repository, one, web)).collect())
        }
        "pulls/create" => create_pull_request(repository, call),
        "pulls/get" | "pulls/update" | "pulls/merge" | "pulls/request-reviewers" => {
            one_pull_request(repository, call)
        }
        "pulls/list-reviews" => {
            let number = call.number("pull_number");
            let of = repository.reviews.iter().filter(|one| one.pull_request == number);
            call.page(of.map(answers::review).collect())
        }
        "pulls/list-review-comments" => {
            let number = call.number("pull_number");
            let of = repository.review_comments.iter().filter(|one| one.pull_request == number);
            call.page(of.map(answers::review_comment).collect())
        }
        "pulls/create-reply-for-review-comment" => {
            let (pull_request, to) = (call.number("pull_number"), call.number("comment_id"));
            let thread = repository
                .review_comments
                .iter()
                .find(|one| one.id == to && one.pull_request == pull_request);
            // "Replies to replies are not supported" (REST reference).
            let Some(first) = thread.filter(|one| one.in_reply_to.is_none()).cloned() else {
                return not_found();
            };
            let body = call.text("body").unwrap_or_default().to_owned();
            let reply =
                ReviewComment { id, in_reply_to: Some(first.id), body, user: call.login.to_owned(), ..first };
            repository.review_comments.push(reply.clone());
            Reply::json(StatusCode::CREATED, answers::review_comment(&reply))
        }
        "issues/get" => {
            let number = call.number("issue_number");
            let issue = repository.issues.iter().find(|one| one.number == number);
            let issue = issue.map(|one| answers::issue(one, repository, web));
            let pull_request = repository.pull_requests.iter().find(|one| one.number == number);
            let pull_request = pull_request.map(|one| answers::issue_of_pull_request(one, repository, web));
            issue.or(pull_request).map_or_else(not_found, |found| Reply::json(StatusCode::OK, found))
        }
        "issues/list-for-repo" => {
            let wanted = call.query("labels").map(str::to_owned);
            let fits = |labels: &std::collections::BTreeSet<String>| {
                wanted.as_ref().is_none_or(|wanted| wanted.split(',').all(|label| labels.contains(label)))
            };
            let issues = repository.issues.iter().filter(|one| fits(&one.labels));
            let issues = issues.map(|one| answers::issue(one, repository, web));
            // "GitHub's REST API considers every pull request an issue" (REST reference).
            let open = |one: &&PullRequest| one.state == PullRequestState::Open && fits(&one.labels);
            let pull_requests = repository.pull_requests.iter().filter(open);
            let pull_requests = pull_requests.map(|one| answers::issue_of_pull_request(one, repository, web));
            call.page(issues.chain(pull_requests).collect())
        }
        "issues/add-labels" => {
            let number = call.number("issue_number");
            let list = call.body.as_array().or_else(|| call.body["labels"].as_array());
            let names: Vec<String> =
                list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            let labels = match repository.pull_request(number) {
                Some(one) => &mut one.labels,
                None => match repository.issues.iter_mut().find(|one| one.number == number) {
                    Some(one) => &mut one.labels,
                    None => return not_found(),
                },
            };
            labels.extend(names);
            Reply::json(StatusCode::OK, answers::labels(labels.iter().cloned()))
        }
        "issues/list-comments" | "issues/list-comments-for-repo" => {
            let number = call.parameters.contains_key("issue_number").then(|| call.number("issue_number"));
            let of = repository
                .issue_comments
                .iter()
                .filter(|one| number.is_none_or(|number| one.number == number));
            call.page(of.map(|one| answers::issue_comment(one, repository, web)).collect())
        }
        "issues/create-comment" => {
            let number = call.number("issue_number");
            let comment = IssueComment {
                id,
                number,
                body: call.text("body").unwrap_or_default().to_owned(),
                user: call.login.to_owned(),
                association: "MEMBER".to_owned(),
            };
            repository.issue_comments.push(comment.clone());
            Reply::json(StatusCode::CREATED, answers::issue_comment(&comment, repository, web))
        }
        "repos/get-collaborator-permission-level" => {
            let login = parameter("username");
            let known = repository.permissions.get(&login.to_ascii_lowercase());
            let mut answer = super::description::Description::get().example(call.operation);
            answer["permission"] = json!(known.map_or("write", String::as_str));
            answer["user"]["login"] = json!(login);
            Reply::json(StatusCode::OK, answer)
        }
        "checks/list-for-ref" => {
            let sha = parameter("ref");
            let runs: Vec<_> = repository.check_runs.iter().filter(|one| one.sha == sha).collect();
            call.page_within(runs, |all, page| answers::check_runs(all, &page))
        }
        "repos/get-combined-status-for-ref" => {
            let sha = parameter("ref");
            let statuses: Vec<_> = repository.statuses.iter().filter(|one| one.sha == sha).collect();
            call.page_within(statuses, |all, page| answers::combined_status(sha, all, &page))
        }
        other => {
            state.breaches.push(format!("the fake has no {other}"));
            Reply::json(StatusCode::NOT_IMPLEMENTED, json!({ "message": "not in the fake" }))
        }
    }
}

fn installation_token(state: &mut State, call: &Call<'_>) -> Reply {
    let mut answer = super::description::Description::get().example(call.operation);
    let token = format!("ghs_installation{:020}", state.next_id());
    state.tokens.insert(token.clone(), (super::state::Token::Installation, "nightshift[bot]".to_owned()));
    state.issued.push(token.clone());
    answer["token"] = json!(token);
    answer["expires_at"] = json!("2099-01-01T00:00:00Z");
    Reply::json(StatusCode::CREATED, answer)
}

fn create_pull_request(repository: &mut super::state::Repository, call: &Call<'_>) -> Reply {
    let head = call.text("head").unwrap_or_default();
    let head = head.strip_prefix(&format!("{}:", repository.owner)).unwrap_or(head).to_owned();
    let base = call.text("base").unwrap_or_default().to_owned();
    let invalid = |field: &str, code: &str| {
        unprocessable(&json!([{ "resource": "PullRequest", "field": field, "code": code }]))
    };
    let Some(tip) = head_of(&repository.git_dir, &head) else { return invalid("head", "invalid") };
    let Some(target) = head_of(&repository.git_dir, &base) else { return invalid("base", "invalid") };
    let open =
        |one: &&PullRequest| one.state == PullRequestState::Open && one.head == head && one.base == base;
    if repository.pull_requests.iter().any(|one| open(&one)) {
        let message = format!("A pull request already exists for {}:{head}.", repository.owner);
        return unprocessable(&json!([{ "resource": "PullRequest", "code": "custom", "message": message }]));
    }
    if GitHistory(&repository.git_dir).contains(&target, &tip) {
        let message = format!("No commits between {base} and {head}");
        return unprocessable(&json!([{ "resource": "PullRequest", "code": "custom", "message": message }]));
    }
    let body = call.text("body").unwrap_or_default().to_owned();
    if body.chars().count() > 65_536 {
        return unprocessable(
            &json!([{ "resource": "PullRequest", "field": "body", "code": "custom", "message": "body is too long (maximum is 65536 characters)" }]),
        );
    }
    let created = PullRequest {
        number: repository.next_number(),
        title: call.text("title").unwrap_or_default().to_owned(),
        body,
        head,
        base,
        draft: call.body["draft"] == true,
        state: PullRequestState::Open,
        labels: [].into(),
        reviewers: [].into(),
        mergeable: Some(true),
    };
    repository.pull_requests.push(created.clone());
    Reply::json(StatusCode::CREATED, answers::pull_request(repository, &created, call.web))
}

fn one_pull_request(repository: &mut super::state::Repository, call: &Call<'_>) -> Reply {
    let number = call.number("pull_number");
    let git_dir = repository.git_dir.clone();
    let Some(one) = repository.pull_request(number) else { return not_found() };
    match call.operation {
        "pulls/update" => {
            if let Some(title) = call.text("title") {
                one.title = title.to_owned();
            }
            if let Some(body) = call.text("body") {
                one.body = body.to_owned();
            }
            match (call.text("state"), &one.state) {
                (Some("closed"), PullRequestState::Open) => one.state = PullRequestState::Closed,
                (Some("open"), PullRequestState::Closed) => one.state = PullRequestState::Open,
                (Some(_), PullRequestState::Merged(_)) => {
                    return unprocessable(
                        &json!([{ "resource": "PullRequest", "field": "state", "code": "invalid" }]),
                    );
                }
                _ => {}
            }
        }
        "pulls/request-reviewers" => {
            let logins = call.body["reviewers"].as_array().into_iter().flatten().filter_map(Value::as_str);
            one.reviewers.extend(logins.map(str::to_owned));
        }
        "pulls/merge" => {
            let refused = |message: &str, status| Reply::json(status, json!({ "message": message }));
            if one.state != PullRequestState::Open || one.draft || one.mergeable == Some(false) {
                return refused("Pull Request is not mergeable", StatusCode::METHOD_NOT_ALLOWED);
            }
            let head = head_of(&git_dir, &one.head);
            if call.text("sha").is_some_and(|sha| head.as_deref() != Some(sha)) {
                let message = "Head branch was modified. Review and try the merge again.";
                return refused(message, StatusCode::CONFLICT);
            }
            let Some(commit) = GitHistory(&git_dir).merge(&one.base, &one.head) else {
                return refused("Pull Request is not mergeable", StatusCode::METHOD_NOT_ALLOWED);
            };
            one.state = PullRequestState::Merged(commit.clone());
            let merged =
                json!({ "sha": commit, "merged": true, "message": "Pull Request successfully merged" });
            return Reply::json(StatusCode::OK, merged);
        }
        _ => {}
    }
    let status =
        if call.operation == "pulls/request-reviewers" { StatusCode::CREATED } else { StatusCode::OK };
    let one = one.clone();
    let whole = if status == StatusCode::CREATED {
        answers::pull_request_in_list(repository, &one, call.web)
    } else {
        answers::pull_request(repository, &one, call.web)
    };
    Reply::json(status, whole)
}

pub(super) fn not_found() -> Reply {
    let documentation = "https://docs.github.com/rest";
    Reply::json(
        StatusCode::NOT_FOUND,
        json!({ "message": "Not Found", "documentation_url": documentation, "status": "404" }),
    )
}

fn unprocessable(errors: &Value) -> Reply {
    let documentation = "https://docs.github.com/rest";
    Reply::json(
        StatusCode::UNPROCESSABLE_ENTITY,
        json!({ "message": "Validation Failed", "errors": errors, "documentation_url": documentation }),
    )
}
