//! One request and its answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use nightshift_protocol::OffsetDateTime;
use octocrab::Octocrab;
use reqwest::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LINK};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::account::{GitHub, Known, Session};
use super::limits::{LONGEST_WAIT, told_to_wait};
use super::wire::{InstallationToken, WithId};
use super::{Address, GitHubError};
use crate::secrets::Secret;

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;

/// How often a read is tried that fails in a way that may pass.
const TRIES: u32 = 4;

/// The wait before the second try; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Pages of a list that are read at most.
const PAGES: u32 = 10;

/// Items of a page; GitHub gives no more.
const FULL: usize = 100;

/// How long before its end a token is no longer used.
const END_MARGIN: Duration = Duration::from_secs(120);

/// Tags of answers that are kept at most.
const TAGS: usize = 500;

/// What is to be done, besides reading.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Post,
    Patch,
    Put,
}

/// A request, as often as it has to be sent.
enum Asked<'a> {
    Read { path: String, tag: Option<HeaderValue> },
    Change { change: Change, path: String, body: &'a Value },
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl GitHub {
    /// Reads one thing.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        at: &Address,
        what: &'static str,
        path: &str,
    ) -> Result<T, GitHubError> {
        let (body, _) = self.read_bytes(at, what, path).await?;
        serde_json::from_slice(&body).map_err(|_| self.nonsense(what))
    }

    /// Reads a list, page after page, up to 1,000 items.
    pub(super) async fn read_all<T: DeserializeOwned>(
        &self,
        at: &Address,
        what: &'static str,
        path: &str,
    ) -> Result<Vec<T>, GitHubError> {
        let pages: Vec<Vec<T>> = self.read_pages(at, what, path, Vec::len).await?;
        Ok(pages.into_iter().flatten().collect())
    }

    /// Reads the pages of something that is a list or has one, up to 1,000 items. A full page is always followed by a
    /// look at the next: where the site says that a page has not changed, it does not say whether there is one.
    pub(super) async fn read_pages<T: DeserializeOwned>(
        &self,
        at: &Address,
        what: &'static str,
        path: &str,
        items: impl Fn(&T) -> usize,
    ) -> Result<Vec<T>, GitHubError> {
        let mut pages = Vec::new();
        let join = if path.contains('?') { '&' } else { '?' };
        for page in 1..=PAGES {
            let (body, more) =
                self.read_bytes(at, what, &format!("{path}{join}per_page={FULL}&page={page}")).await?;
            let page: T = serde_json::from_slice(&body).map_err(|_| self.nonsense(what))?;
            let full = items(&page) >= FULL;
            pages.push(page);
            if !(more || full) {
                break;
            }
        }
        Ok(pages)
    }

    /// The body of an answer, also where the site says that it has not changed, and whether there is another page.
    async fn read_bytes(
        &self,
        at: &Address,
        what: &'static str,
        path: &str,
    ) -> Result<(Bytes, bool), GitHubError> {
        let known = self.inner.tags.lock().await.get(path).cloned();
        let mut wait = FIRST_WAIT;
        let mut tried = 1;
        loop {
            let outcome = self.read_once(at, what, path, known.as_ref().map(|(tag, _)| tag.as_str())).await;
            match outcome {
                Ok(answer) => {
                    let more = text(&answer.headers, LINK.as_str()).contains("rel=\"next\"");
                    if answer.status == 304 {
                        let body = known.map(|(_, body)| body).unwrap_or_default();
                        return Ok((body, more));
                    }
                    let tag = text(&answer.headers, ETAG.as_str());
                    if !tag.is_empty() {
                        let mut tags = self.inner.tags.lock().await;
                        if tags.len() >= TAGS {
                            tags.clear();
                        }
                        tags.insert(path.to_owned(), (tag.to_owned(), answer.body.clone()));
                    }
                    return Ok((answer.body, more));
                }
                Err(error @ (GitHubError::Server { .. } | GitHubError::Cut { .. })) if tried < TRIES => {
                    tracing::debug!(%error, tried, "a read is tried again");
                    tokio::time::sleep(wait).await;
                    (wait, tried) = (wait * 2, tried + 1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read_once(
        &self,
        at: &Address,
        what: &'static str,
        path: &str,
        tag: Option<&str>,
    ) -> Result<Answer, GitHubError> {
        let tag = tag.and_then(|tag| HeaderValue::from_str(tag).ok());
        self.patiently(at, what, &Asked::Read { path: self.rest(path), tag }).await
    }

    /// Changes something. It is sent once: whether a cut request was carried out has to be looked for.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        at: &Address,
        what: &'static str,
        change: Change,
        path: &str,
        body: &Value,
    ) -> Result<T, GitHubError> {
        let _alone = self.inner.gate.one_change_at_a_time().await;
        let asked = Asked::Change { change, path: self.rest(path), body };
        let answer = self.patiently(at, what, &asked).await?;
        serde_json::from_slice(&answer.body).map_err(|_| self.nonsense(what))
    }

    /// Asks what only GraphQL has. The values go by variables, never in the query's text.
    pub(super) async fn graphql(
        &self,
        at: &Address,
        what: &'static str,
        query: &str,
        variables: Value,
    ) -> Result<Value, GitHubError> {
        let url = self.inner.addresses.graphql.clone();
        let body = serde_json::json!({ "query": query, "variables": variables });
        let _alone = self.inner.gate.one_change_at_a_time().await;
        let asked = Asked::Change { change: Change::Post, path: url, body: &body };
        let answer = self.patiently(at, what, &asked).await?;
        let mut value: Value = serde_json::from_slice(&answer.body).map_err(|_| self.nonsense(what))?;
        if let Some(error) = value["errors"].as_array().and_then(|errors| errors.first()) {
            let host = self.host().to_owned();
            let message = readable(error["message"].as_str().unwrap_or_default());
            // It says with status 200 what REST says by the status ("Rate limits and query limits for the GraphQL API").
            return Err(match error["type"].as_str() {
                Some("NOT_FOUND") => GitHubError::NotFound { host, what },
                Some("FORBIDDEN") => GitHubError::NoPermission { host, what, message },
                // The one is what its documentation says, the other what it sends where the hour's points are used up.
                Some("RATE_LIMITED" | "RATE_LIMIT") => {
                    let now = self.inner.clock.now();
                    let until = told_to_wait(429, &answer.headers, &message, now).unwrap_or(now);
                    self.inner.gate.close_until(until).await;
                    GitHubError::RateLimited { host, until }
                }
                _ => GitHubError::Refused { host, what, status: answer.status, message },
            });
        }
        Ok(value["data"].take())
    }

    /// Sends a request when the site takes requests; a limit that was not known is waited for once if it is short.
    async fn patiently(
        &self,
        at: &Address,
        what: &'static str,
        asked: &Asked<'_>,
    ) -> Result<Answer, GitHubError> {
        self.wait_for_the_gate().await?;
        let mut waited = false;
        loop {
            let session = self.session(at).await?;
            let answer = self.read_whole(send(&session.octocrab, asked).await).await?;
            let Some(error) = self.refusal(&answer, what) else { return Ok(answer) };
            let now = self.inner.clock.now();
            let message = said(&answer.body);
            if let Some(until) = told_to_wait(answer.status, &answer.headers, &message, now) {
                self.inner.gate.close_until(until).await;
                if waited {
                    return Err(GitHubError::RateLimited { host: self.host().to_owned(), until });
                }
                // It was refused before it was carried out, so it may be sent again.
                self.wait_for_the_gate().await?;
                waited = true;
                continue;
            }
            if matches!(error, GitHubError::NotAuthorized { .. }) {
                // An installation's token may have been taken back; the next request asks for a new one.
                *self.inner.session.lock().await = None;
            }
            return Err(error);
        }
    }

    /// A path of the REST interface as the site's host has it.
    fn rest(&self, path: &str) -> String {
        format!("{}{path}", self.inner.addresses.api_path())
    }

    async fn wait_for_the_gate(&self) -> Result<(), GitHubError> {
        let now = self.inner.clock.now();
        let Some(until) = self.inner.gate.closed_until(now).await else { return Ok(()) };
        let wait = Duration::try_from(until - now).unwrap_or_default();
        if wait > LONGEST_WAIT {
            return Err(GitHubError::RateLimited { host: self.host().to_owned(), until });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn read_whole(
        &self,
        response: octocrab::Result<http::Response<ResponseBody>>,
    ) -> Result<Answer, GitHubError> {
        let response = response.map_err(|error| self.cut(&error))?;
        let (parts, body) = response.into_parts();
        let body =
            Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| self.cut(error.as_ref()))?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() })
    }

    /// The limit that an answer tells of, if it does; nothing is asked until then.
    pub(super) async fn limited(
        &self,
        status: u16,
        headers: &HeaderMap,
        message: &str,
    ) -> Option<GitHubError> {
        let until = told_to_wait(status, headers, message, self.inner.clock.now())?;
        self.inner.gate.close_until(until).await;
        Some(GitHubError::RateLimited { host: self.host().to_owned(), until })
    }

    fn refusal(&self, answer: &Answer, what: &'static str) -> Option<GitHubError> {
        let host = self.host().to_owned();
        let message = || said(&answer.body);
        match answer.status {
            200..=299 | 304 => None,
            401 => Some(GitHubError::NotAuthorized { host, message: message() }),
            403 | 429 => Some(GitHubError::NoPermission { host, what, message: message() }),
            404 | 410 => Some(GitHubError::NotFound { host, what }),
            500..=599 => Some(GitHubError::Server { host, status: answer.status }),
            status => Some(GitHubError::Refused { host, what, status, message: message() }),
        }
    }

    pub(super) fn nonsense(&self, what: &'static str) -> GitHubError {
        GitHubError::Nonsense { host: self.host().to_owned(), what }
    }

    fn cut(&self, error: &(dyn std::error::Error + 'static)) -> GitHubError {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message += &format!(": {cause}");
            source = cause.source();
        }
        GitHubError::Cut { host: self.host().to_owned(), message: readable(&message) }
    }

    /// The token to send now, and its client. An App's is bought where there is none that is good for a while.
    pub(super) async fn session(&self, at: &Address) -> Result<Session, GitHubError> {
        let mut slot = self.inner.session.lock().await;
        let now = self.inner.clock.now();
        if let Some(session) =
            slot.as_ref().filter(|one| one.until.is_none_or(|until| until - END_MARGIN > now))
        {
            return Ok(session.clone());
        }
        let (token, until) = match &self.inner.credential {
            Known::Token(token) => (token.clone(), None),
            Known::App { signer, installation } => {
                let proof = signer.sign(now).ok_or_else(|| self.nonsense("signing for the App"))?;
                self.inner.redactor.learn("the App's proof", &proof);
                self.buy_installation_token(at, &proof, *installation).await?
            }
        };
        let octocrab = self.client_with(&token).map_err(|error| self.cut(&error))?;
        let session = Session { token, until, octocrab };
        *slot = Some(session.clone());
        Ok(session)
    }

    /// The body of an answer that is good.
    async fn taken(
        &self,
        what: &'static str,
        response: octocrab::Result<http::Response<ResponseBody>>,
    ) -> Result<Bytes, GitHubError> {
        let answer = self.read_whole(response).await?;
        if let Some(limited) = self.limited(answer.status, &answer.headers, &said(&answer.body)).await {
            return Err(limited);
        }
        self.refusal(&answer, what).map_or(Ok(answer.body), Err)
    }

    async fn buy_installation_token(
        &self,
        at: &Address,
        proof: &Secret,
        installation: Option<u64>,
    ) -> Result<(Secret, Option<OffsetDateTime>), GitHubError> {
        let octocrab = self.client_with(proof).map_err(|error| self.cut(&error))?;
        let installation = match installation {
            Some(installation) => installation,
            None => {
                let what = "finding the App's installation";
                let path = format!("/repos/{}/installation", at.full_name());
                let body = self.taken(what, octocrab._get(self.rest(&path)).await).await?;
                serde_json::from_slice::<WithId>(&body).map_err(|_| self.nonsense(what))?.id
            }
        };
        let what = "getting a token for the App's installation";
        let path = format!("/app/installations/{installation}/access_tokens");
        let body = self.taken(what, octocrab._post(self.rest(&path), None::<&()>).await).await?;
        let bought: InstallationToken = serde_json::from_slice(&body).map_err(|_| self.nonsense(what))?;
        let token = Secret::new(&bought.token);
        // Nothing that is written from now on shows it.
        self.inner.redactor.learn("the App's token", &token);
        Ok((token, Some(bought.expires_at)))
    }
}

type ResponseBody = http_body_util::combinators::BoxBody<Bytes, octocrab::Error>;

async fn send(octocrab: &Octocrab, asked: &Asked<'_>) -> octocrab::Result<http::Response<ResponseBody>> {
    match asked {
        Asked::Read { path, tag } => {
            let headers = tag.iter().map(|tag| (IF_NONE_MATCH, tag.clone())).collect();
            octocrab._get_with_headers(path.as_str(), Some(headers)).await
        }
        Asked::Change { change: Change::Post, path, body } => {
            octocrab._post(path.as_str(), Some(*body)).await
        }
        Asked::Change { change: Change::Patch, path, body } => {
            octocrab._patch(path.as_str(), Some(*body)).await
        }
        Asked::Change { change: Change::Put, path, body } => octocrab._put(path.as_str(), Some(*body)).await,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What a refusal says, with the reasons it gives.
fn said(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut said = value["message"].as_str().unwrap_or("no reason was given").to_owned();
    for error in value["errors"].as_array().into_iter().flatten().take(5) {
        let reason = error["message"].as_str().map(str::to_owned).unwrap_or_else(|| {
            format!(
                "{} {}",
                error["field"].as_str().unwrap_or("?"),
                error["code"].as_str().unwrap_or("invalid")
            )
        });
        said += &format!("; {reason}");
    }
    readable(&said)
}

/// Somebody else's words on one line, without control characters, cut to 500 characters.
fn readable(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    words.join(" ").chars().filter(|character| !character.is_control()).take(500).collect()
}
