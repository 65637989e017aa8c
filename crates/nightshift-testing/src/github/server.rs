//! The server around the state.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extracted};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::description::{Description, decoded};
use super::faults::{Fault, Faults};
use super::git::{GitHistory, GitRequest, backend, clone_bare, head_of};
use super::moments::{Moment, Moments};
use super::routes::{Call, act, not_found};
use super::state::{
    CheckRun, CommitStatus, Deed, Issue, IssueComment, PullRequest, PullRequestState, Repository, Review,
    ReviewComment, State, Token,
};
use super::{attachments, graphql};

/// The largest request that is taken, in bytes.
const LARGEST_REQUEST: usize = 64 * 1024 * 1024;

/// Requests of an hour.
const HOURLY: u64 = 5_000;

/// A GitHub that listens on the loopback address until it is dropped.
#[derive(Debug)]
pub struct GitHub {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    web: String,
    root: PathBuf,
    state: Mutex<State>,
    faults: Mutex<Faults>,
    moments: Moments,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    headers: Vec<(String, String)>,
    json: Option<Value>,
    bytes: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: StatusCode, value: Value) -> Self {
        Self { status, headers: Vec::new(), json: Some(value), bytes: Vec::new() }
    }

    pub(super) fn bytes(status: StatusCode, bytes: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), json: None, bytes }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn into_response(self) -> Response {
        let bytes = match &self.json {
            Some(value) => value.to_string().into_bytes(),
            None => self.bytes,
        };
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = self.status;
        if self.json.is_some() {
            let kind = HeaderValue::from_static("application/json; charset=utf-8");
            response.headers_mut().insert("content-type", kind);
        }
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl GitHub {
    /// Serves on a free port; `root` is an empty folder for the bare repositories.
    ///
    /// # Panics
    ///
    /// If nothing can listen on the loopback address: a test cannot go on without it.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    pub async fn start(root: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        let shared = Arc::new(Shared {
            web: format!("http://{address}"),
            root: root.to_owned(),
            state: Mutex::new(State { remaining: HOURLY, ..State::default() }),
            faults: Mutex::default(),
            moments: Moments::default(),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            // It ends by being dropped; an error of the listener shows as an unreachable server.
            let _ = axum::serve(listener, router).await;
        });
        Self { address, shared, serving }
    }

    /// The address of the site, for example `http://127.0.0.1:40123`.
    pub fn web_url(&self) -> String {
        self.shared.web.clone()
    }

    /// The address uploads go to.
    pub fn uploads_url(&self) -> String {
        format!("http://{}/uploads", self.address)
    }

    /// Lets requests with a token in, as this login.
    pub fn admit(&self, token: &str, kind: Token, login: &str) {
        self.shared.state().tokens.insert(token.to_owned(), (kind, login.to_owned()));
    }

    /// Adds a repository with the history of `from`.
    ///
    /// # Errors
    ///
    /// If git fails.
    pub fn add_repository(&self, owner: &str, name: &str, from: &Path) -> std::io::Result<PathBuf> {
        let git_dir = self.shared.root.join(owner).join(format!("{name}.git"));
        clone_bare(from, &git_dir)?;
        let mut state = self.shared.state();
        let id = state.next_id();
        state.repositories.push(Repository {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            git_dir: git_dir.clone(),
            default_branch: "main".to_owned(),
            pull_requests: Vec::new(),
            issues: Vec::new(),
            reviews: Vec::new(),
            review_comments: Vec::new(),
            issue_comments: Vec::new(),
            resolved: [].into(),
            check_runs: Vec::new(),
            statuses: Vec::new(),
            permissions: BTreeMap::new(),
            deeds: Vec::new(),
        });
        Ok(git_dir)
    }

    /// Lets the next calls of an operation fail, for example `pulls/create` or `git/receive-pack`.
    pub fn fail_next(&self, operation: &str, fault: Fault, times: u32) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).plan(operation, fault, times);
    }

    /// How many moments have passed.
    pub fn moment(&self) -> Moment {
        self.shared.moments.now()
    }

    /// Stops the world at a moment, or at none any more: the request that reaches it is never answered.
    pub fn stop_at(&self, moment: Option<Moment>) {
        self.shared.moments.stop_at(moment);
    }

    /// Returns when the chosen moment is reached.
    pub async fn stopped(&self) {
        self.shared.moments.reached().await;
    }

    /// What broke the rules so far, oldest first; empty is good.
    pub fn breaches(&self) -> Vec<String> {
        self.shared.state().breaches.clone()
    }

    /// The operations that were called so far, oldest first.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state().requests.clone()
    }

    /// All pull requests of a repository, oldest first.
    pub fn pull_requests(&self, owner: &str, name: &str) -> Vec<PullRequest> {
        self.with(owner, name, |repository| repository.pull_requests.clone())
    }

    /// All branches of a repository.
    pub fn branches(&self, owner: &str, name: &str) -> Vec<String> {
        self.with(owner, name, |repository| GitHistory(&repository.git_dir).branches())
    }

    /// The newest commit of a branch.
    pub fn head(&self, owner: &str, name: &str, branch: &str) -> Option<String> {
        self.with(owner, name, |repository| head_of(&repository.git_dir, branch))
    }

    /// The files that differ between where two branches parted and the second one, as a pull request shows them.
    pub fn changed_files(&self, owner: &str, name: &str, base: &str, head: &str) -> Vec<String> {
        self.with(owner, name, |repository| GitHistory(&repository.git_dir).changed_files(base, head))
    }

    /// All review comments of a repository, oldest first.
    pub fn review_comments(&self, owner: &str, name: &str) -> Vec<ReviewComment> {
        self.with(owner, name, |repository| repository.review_comments.clone())
    }

    /// All comments on issues and in conversations, oldest first.
    pub fn issue_comments(&self, owner: &str, name: &str) -> Vec<IssueComment> {
        self.with(owner, name, |repository| repository.issue_comments.clone())
    }

    /// Ids of the first comments of the threads that are resolved.
    pub fn resolved_threads(&self, owner: &str, name: &str) -> Vec<u64> {
        self.with(owner, name, |repository| repository.resolved.iter().copied().collect())
    }

    /// The tokens that were issued to installations, oldest first.
    pub fn issued(&self) -> Vec<String> {
        self.shared.state().issued.clone()
    }

    /// How many requests of the hour are left.
    pub fn remaining(&self) -> u64 {
        self.shared.state().remaining
    }

    /// How many pictures were uploaded, cited or not.
    pub fn uploads(&self) -> usize {
        self.shared.state().assets.len()
    }

    /// A person reviews: the review and its comments on lines, `(path, line, text)`. Returns the comments' ids.
    pub fn review(
        &self,
        place: (&str, &str, u64),
        user: &str,
        state: &str,
        body: &str,
        comments: &[(&str, u64, &str)],
    ) -> Vec<u64> {
        let (owner, name, pull_request) = place;
        let mut all = self.shared.state();
        let review = all.next_id();
        let ids: Vec<u64> = comments.iter().map(|_| all.next_id()).collect();
        let Some(repository) = all.repository(owner, name) else { return Vec::new() };
        repository.reviews.push(Review {
            id: review,
            pull_request,
            state: state.to_owned(),
            body: body.to_owned(),
            user: user.to_owned(),
        });
        for (&id, (path, line, text)) in ids.iter().zip(comments) {
            repository.review_comments.push(ReviewComment {
                id,
                pull_request,
                review: Some(review),
                in_reply_to: None,
                path: (*path).to_owned(),
                line: *line,
                body: (*text).to_owned(),
                user: user.to_owned(),
            });
        }
        ids
    }

    /// A person writes under an issue or pull request.
    pub fn comment(&self, owner: &str, name: &str, comment: IssueComment) -> u64 {
        let mut all = self.shared.state();
        let id = all.next_id();
        if let Some(repository) = all.repository(owner, name) {
            repository.issue_comments.push(IssueComment { id, ..comment });
        }
        id
    }

    /// Says what somebody may do in a repository: `admin`, `write`, `read` or `none`. Whoever nothing is said of may write.
    pub fn permit(&self, owner: &str, name: &str, login: &str, permission: &str) {
        self.with(owner, name, |repository| {
            repository.permissions.insert(login.to_ascii_lowercase(), permission.to_owned());
        });
    }

    /// Somebody changes the text of an issue.
    pub fn edit_issue(&self, owner: &str, name: &str, number: u64, by: &str, body: &str) {
        self.with(owner, name, |repository| {
            repository.deeds.push(Deed { issue: number, by: by.to_owned(), label: None });
            if let Some(issue) = repository.issues.iter_mut().find(|issue| issue.number == number) {
                issue.body = body.to_owned();
            }
        });
    }

    /// Somebody sets a label of an issue, or sets it anew.
    pub fn label_issue(&self, owner: &str, name: &str, number: u64, by: &str, label: &str) {
        self.with(owner, name, |repository| {
            repository.deeds.push(Deed { issue: number, by: by.to_owned(), label: Some(label.to_owned()) });
            if let Some(issue) = repository.issues.iter_mut().find(|issue| issue.number == number) {
                issue.labels.insert(label.to_owned());
            }
        });
    }

    /// A person makes a pull request a draft, or ready.
    pub fn set_draft(&self, owner: &str, name: &str, number: u64, draft: bool) {
        self.with(owner, name, |repository| {
            if let Some(pull_request) = repository.pull_request(number) {
                pull_request.draft = draft;
            }
        });
    }

    /// A person opens an issue; its labels are set by `ada`. Returns its number.
    pub fn open_issue(&self, owner: &str, name: &str, issue: Issue) -> u64 {
        self.with(owner, name, |repository| {
            let number = repository.next_number();
            for label in &issue.labels {
                let (by, label) = ("ada".to_owned(), Some(label.clone()));
                repository.deeds.push(Deed { issue: number, by, label });
            }
            repository.issues.push(Issue { number, ..issue });
            number
        })
    }

    /// A check reports on a commit.
    pub fn check(&self, owner: &str, name: &str, check: CheckRun) {
        let mut all = self.shared.state();
        let id = all.next_id();
        if let Some(repository) = all.repository(owner, name) {
            repository.check_runs.retain(|one| (&one.sha, &one.name) != (&check.sha, &check.name));
            repository.check_runs.push(CheckRun { id, ..check });
        }
    }

    /// A program sets a status of a commit, or sets it anew.
    pub fn status(&self, owner: &str, name: &str, status: CommitStatus) {
        self.with(owner, name, |repository| {
            repository.statuses.retain(|one| (&one.sha, &one.context) != (&status.sha, &status.context));
            repository.statuses.push(status);
        });
    }

    /// Comments on lines, by whoever wrote them: a person answers in a thread.
    pub fn answer(&self, owner: &str, name: &str, to: u64, user: &str, body: &str) {
        let mut all = self.shared.state();
        let id = all.next_id();
        let Some(repository) = all.repository(owner, name) else { return };
        let Some(first) = repository.review_comments.iter().find(|one| one.id == to).cloned() else { return };
        let (user, body) = (user.to_owned(), body.to_owned());
        repository.review_comments.push(ReviewComment { id, in_reply_to: Some(to), user, body, ..first });
    }

    /// The base branch moves on so that a pull request can no longer be merged, or can again.
    pub fn set_mergeable(&self, owner: &str, name: &str, number: u64, mergeable: Option<bool>) {
        self.with(owner, name, |repository| {
            if let Some(pull_request) = repository.pull_request(number) {
                pull_request.mergeable = mergeable;
            }
        });
    }

    /// A person merges or closes a pull request on the site.
    pub fn settle(&self, owner: &str, name: &str, number: u64, state: PullRequestState) {
        self.with(owner, name, |repository| {
            if let Some(pull_request) = repository.pull_request(number) {
                pull_request.state = state;
            }
        });
    }

    fn with<T: Default>(&self, owner: &str, name: &str, look: impl FnOnce(&mut Repository) -> T) -> T {
        self.shared.state().repository(owner, name).map(look).unwrap_or_default()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A request, read whole.
struct Asked {
    method: String,
    path: String,
    raw_query: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

async fn serve(Extracted(shared): Extracted<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST_REQUEST).await else {
        return Reply::json(StatusCode::PAYLOAD_TOO_LARGE, json!({ "message": "too large" })).into_response();
    };
    let raw_query = parts.uri.query().unwrap_or_default().to_owned();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(&value.replace('+', " ")))
    };
    let query = raw_query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        raw_query,
        query,
        headers: parts.headers,
        body,
    };
    shared.moments.pass().await;
    let (operation, reply) = answer(&shared, &asked).await;
    shared.moments.pass().await;
    let cut = shared.faults.lock().unwrap_or_else(PoisonError::into_inner).next(&format!("{operation}#cut"));
    if cut == Some(Fault::CutAfterActing) {
        // The server closes the connection in the middle of the body.
        let nothing = stream::once(async {
            Err::<Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
        });
        return Response::new(Body::from_stream(nothing));
    }
    reply.into_response()
}

/// The name of the operation and its answer.
async fn answer(shared: &Arc<Shared>, asked: &Asked) -> (String, Reply) {
    if let Some(path) = asked.path.strip_prefix("/api/v3") {
        return rest(shared, asked, path);
    }
    match asked.path.as_str() {
        "/api/graphql" => {
            let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            let operation = graphql::operation(body["query"].as_str().unwrap_or_default()).to_owned();
            let reply = refuse(shared, asked, &operation).unwrap_or_else(|| {
                let mut state = shared.state();
                let token = bearer(&asked.headers).unwrap_or_default();
                let login = state.tokens.get(&token).map(|(_, login)| login.clone()).unwrap_or_default();
                graphql::act(&mut state, &login, &body)
            });
            (operation, reply)
        }
        "/uploads/user-attachments/assets" => {
            let operation = "attachments/upload".to_owned();
            let reply = refuse(shared, asked, &operation).unwrap_or_else(|| {
                let mut state = shared.state();
                let kind =
                    bearer(&asked.headers).and_then(|token| state.tokens.get(&token).map(|(kind, _)| *kind));
                attachments::upload(
                    &mut state,
                    kind.unwrap_or(Token::Personal),
                    &asked.query,
                    &asked.body,
                    &shared.web,
                )
            });
            (operation, reply)
        }
        path => match path.strip_prefix("/user-attachments/assets/") {
            Some(uuid) => {
                ("attachments/download".to_owned(), attachments::download(&shared.state(), uuid, &shared.web))
            }
            None => site(shared, asked).await,
        },
    }
}

/// What a request for an operation is refused with before it is looked at: no token, a planned fault.
fn refuse(shared: &Shared, asked: &Asked, operation: &str) -> Option<Reply> {
    let mut state = shared.state();
    state.requests.push(operation.to_owned());
    if asked.headers.get("user-agent").is_none() {
        state.breaches.push(format!("{operation}: a request without user-agent"));
    }
    let known = bearer(&asked.headers).is_some_and(|token| state.tokens.contains_key(&token));
    // An App proves itself by a signed token of three parts (RFC 7519).
    let app = operation.starts_with("apps/")
        && bearer(&asked.headers).is_some_and(|token| token.matches('.').count() == 2);
    if !known && !app {
        return Fault::NotAuthorized.reply(0);
    }
    drop(state);
    let mut faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
    let fault = faults.next(operation)?;
    if fault == Fault::CutAfterActing {
        faults.plan(&format!("{operation}#cut"), fault, 1);
    }
    if operation.starts_with("graphql/") { fault.graphql_reply(now_unix()) } else { fault.reply(now_unix()) }
}

fn rest(shared: &Shared, asked: &Asked, path: &str) -> (String, Reply) {
    let Some(found) = Description::get().find(&asked.method, path) else {
        shared.state().breaches.push(format!("{} {path} is not in the description", asked.method));
        return ("unknown".to_owned(), not_found());
    };
    let operation = found.operation;
    if let Some(reply) = refuse(shared, asked, operation) {
        return (operation.to_owned(), reply);
    }
    let header =
        |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body: Value = if asked.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&asked.body).unwrap_or_else(|_| json!("no JSON"))
    };
    let mut state = shared.state();
    if !header("accept").contains("application/vnd.github+json") {
        state.breaches.push(format!("{operation}: accept is {:?}", header("accept")));
    }
    if !matches!(header("x-github-api-version"), "2022-11-28" | "2026-03-10") {
        state.breaches.push(format!("{operation}: x-github-api-version is missing"));
    }
    if let Some(breach) = Description::get().breach(operation, &asked.query, &body) {
        state.breaches.push(breach.clone());
        let reply = Reply::json(StatusCode::UNPROCESSABLE_ENTITY, json!({ "message": breach }));
        return (operation.to_owned(), reply);
    }
    let token = bearer(&asked.headers).unwrap_or_default();
    let login = state.tokens.get(&token).map(|(_, login)| login.clone()).unwrap_or_default();
    let call = Call {
        operation,
        parameters: found.parameters,
        query: asked.query.clone(),
        body,
        login: &login,
        web: &shared.web,
    };
    let mut reply = act(&mut state, &call);
    let value = reply.json.clone().unwrap_or_default();
    if let Some(wrong) = Description::get().wrong_answer(operation, reply.status.as_u16(), &value) {
        state.breaches.push(format!("the fake's own answer to {operation} is wrong: {wrong}"));
    }
    let hash = Sha256::digest(value.to_string().as_bytes());
    let tag: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("W/\"{tag}\"");
    if asked.method == "GET" && header("if-none-match") == tag {
        // It does not count against the hour's requests.
        reply = Reply::bytes(StatusCode::NOT_MODIFIED, Vec::new());
    } else {
        state.remaining = state.remaining.saturating_sub(1);
    }
    let remaining = state.remaining.to_string();
    let reply = reply.header("etag", &tag).header("x-ratelimit-limit", &HOURLY.to_string());
    let resets = (now_unix() + 3_600).to_string();
    (
        operation.to_owned(),
        reply.header("x-ratelimit-remaining", &remaining).header("x-ratelimit-reset", &resets),
    )
}

/// Git, and files as the site shows them.
async fn site(shared: &Arc<Shared>, asked: &Asked) -> (String, Reply) {
    let parts: Vec<String> = asked.path.trim_matches('/').splitn(5, '/').map(decoded).collect();
    if let [owner, name, "blob", reference, path] = parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let mut state = shared.state();
        let git_dir = state.repository(owner, name).map(|repository| repository.git_dir.clone());
        let raw = asked.query.iter().any(|(name, value)| name == "raw" && value == "true");
        let file = git_dir.filter(|_| raw).and_then(|folder| GitHistory(&folder).file(reference, path));
        let reply = file.map_or_else(not_found, |bytes| Reply::bytes(StatusCode::OK, bytes));
        return ("site/blob".to_owned(), reply);
    }
    let receive = asked.path.ends_with("/git-receive-pack") || asked.raw_query == "service=git-receive-pack";
    let operation = if receive { "git/receive-pack" } else { "git/upload-pack" };
    let login = basic(&asked.headers)
        .and_then(|token| shared.state().tokens.get(&token).map(|(_, login)| login.clone()));
    let Some(login) = login else {
        let reply = Reply::bytes(StatusCode::UNAUTHORIZED, Vec::new());
        return (operation.to_owned(), reply.header("www-authenticate", "Basic realm=\"GitHub\""));
    };
    // Faults are for what moves objects, not for the greeting before it.
    if asked.method == "POST" {
        shared.state().requests.push(operation.to_owned());
        let mut faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.next(operation);
        if fault == Some(Fault::CutAfterActing) {
            faults.plan(&format!("{operation}#cut"), Fault::CutAfterActing, 1);
        }
        if let Some(reply) = fault.and_then(|fault| fault.reply(now_unix())) {
            return (operation.to_owned(), reply);
        }
    }
    let request = GitRequest {
        method: &asked.method,
        path: &asked.path,
        query: &asked.raw_query,
        headers: &asked.headers,
        body: &asked.body,
        login: &login,
    };
    let failed = |_| Reply::bytes(StatusCode::BAD_GATEWAY, Vec::new());
    (operation.to_owned(), backend(&shared.root, &request).await.unwrap_or_else(failed))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("authorization")?.to_str().ok()?;
    let token = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("token "))?;
    Some(token.to_owned())
}

/// The password of a basic authorization, which is where git puts a token.
fn basic(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("authorization")?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
    Some(pair.split_once(':')?.1.to_owned())
}

#[expect(clippy::disallowed_methods, reason = "the fake has a clock of its own, as a server has")]
fn now_unix() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
